"""Carries the app on Uvicorn: one `uvicorn.Config` set on purpose, and the page opened in the browser.

What the app does is not known here; it is named by its import path.
"""

import errno
import importlib.util
import os
import signal
import socket
import sys
import threading
import time
import urllib.request
import webbrowser
from collections.abc import Callable
from types import FrameType

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import ChangeReload, Multiprocess

from server.settings import Settings

APP = "app.main:app"
WATCHED = ["app", "server", "templates", "static"]


class AddressTaken(OSError):
    """The address is in use, or may not be used; the message says what to do."""


def config(settings: Settings) -> uvicorn.Config:
    """Uvicorn's configuration for these settings."""
    return uvicorn.Config(
        APP,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        reload=settings.reload,
        reload_dirs=WATCHED if settings.reload else None,
        reload_includes=["*.css", "*.js", "*.svg"] if settings.reload else None,
        # The fastest loop and parser there are wheels for; Windows has no uvloop.
        loop="uvloop" if importlib.util.find_spec("uvloop") else "asyncio",
        http="httptools",
        ws="websockets-sansio",
        # Fragments are small and mostly sent on loopback: deflate would cost more than it saves.
        ws_per_message_deflate=False,
        # Nobody is trusted to say for whom they speak; a proxy needs to be allowed by name.
        proxy_headers=False,
        server_header=False,
        # Long enough for a person to read and click again on the same connection.
        timeout_keep_alive=30,
        timeout_graceful_shutdown=3,
        log_level=settings.log_level,
        # One line a request is for debugging; the terminal of a person stays calm.
        access_log=settings.log_level == "debug",
        lifespan="on",
    )


def serve(settings: Settings) -> int:
    """Serve until Ctrl-C or SIGTERM; the exit code. Raises AddressTaken before anything else is started.

    Whoever ends at a signal takes it before the address is printed, so that none is lost while the app is loaded.
    """
    configuration = config(settings)
    server = uvicorn.Server(configuration)
    with _listen(settings) as listening:
        if settings.reload:
            reloader = ChangeReload(configuration, target=server.run, sockets=[listening])
            _hear_the_end(reloader.signal_handler)
            _announce(settings, listening)
            reloader.run()
            return 0
        if settings.workers > 1:
            supervisor = Multiprocess(configuration, sockets=[listening])
            _announce(settings, listening)
            # A worker that cannot load the app would be started again for ever: load it here first.
            configuration.load_app()
            supervisor.run()
            return int(any(worker.exitcode == STARTUP_FAILURE for worker in supervisor.processes))
        # Uvicorn raises the signal again, at its end, for whoever was there before: itself, so that the end is clean.
        _hear_the_end(server.handle_exit)
        _announce(settings, listening)
        server.run(sockets=[listening])
        return 0 if server.started else 1


def _listen(settings: Settings) -> socket.socket:
    """Listen before anything is loaded: a taken port is one line, and who comes early waits for the answer."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    if os.name == "posix":
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
        listening.listen()
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise AddressTaken(
                f"Port {settings.port} is in use: stop the program that has it, or choose another with --port."
            ) from None
        raise AddressTaken(f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}.") from None
    listening.set_inheritable(True)
    return listening


def _hear_the_end(handler: Callable[[int, FrameType | None], None]) -> None:
    for end in (signal.SIGINT, signal.SIGTERM):
        signal.signal(end, handler)


def _announce(settings: Settings, listening: socket.socket) -> None:
    address = f"http://{_bracketed(settings.host)}:{listening.getsockname()[1]}"
    print(f"Kindling is at {address}", flush=True)
    if settings.open:
        threading.Thread(target=_open_when_ready, args=(address,), daemon=True).start()


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _open_when_ready(address: str) -> None:
    """Open the browser at the first answer; a machine without a screen is left alone."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return
    for _ in range(300):
        try:
            urllib.request.urlopen(f"{address}/healthz", timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            webbrowser.open(address)
            return
