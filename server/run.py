"""Carries the app on Uvicorn: one `uvicorn.Config` set on purpose, and the page opened in the browser.

What the app does is not known here; it is named by its import path.
"""

import asyncio
import contextlib
import errno
import faulthandler
import importlib.util
import logging
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType

import uvicorn

from server import background_work, log
from server.app_name import NAME
from server.guard import peer_account
from server.guard.request_bodies import MESSAGE_LIMIT
from server.protocols.accept import AcceptingServer
from server.protocols.connection_table import OPEN_FILES
from server.settings import Settings, bracketed
from server.sharing import certificate, certificate_renewal, one_time_links, sign_in_token
from server.standard_streams import say
from server.workers.stalled_loop import Watch
from server.workers.supervisor import ANSWER_SECONDS, END_SECONDS, Workers

APP = "app.main:app"
HTTP_PROTOCOL = "server.protocols.http1:HttpProtocol"
HAS_UVLOOP = importlib.util.find_spec("uvloop") is not None
BACKLOG = 2048
ROOT = Path(__file__).resolve().parent.parent

logger = logging.getLogger(__name__)


class AddressTaken(OSError):
    """The address is in use, or may not be used; the message says what to do."""


def config(settings: Settings) -> uvicorn.Config:
    """Uvicorn's configuration for these settings. Raises SettingsError for a certificate that cannot be used."""
    cert, key = certificate.files(settings)
    return uvicorn.Config(
        APP,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        # The fastest loop and parser there are wheels for; the parser with limits on the head of a request.
        loop="uvloop" if HAS_UVLOOP else "asyncio",
        http=certificate.http_protocol(settings, HTTP_PROTOCOL)[0],
        # The only one of Uvicorn's three that neither copies frames through streams nor keeps a task a connection.
        # Live updates go out through it as finished frames.
        ws="server.protocols.websocket:WebSocketProtocol",
        # The protocol has a way of its own, in which a frame is compressed once for all.
        ws_per_message_deflate=False,
        # A page says in a few kilobytes what it shows; the guard holds this limit under other servers too.
        ws_max_size=MESSAGE_LIMIT,
        # Nobody is trusted to say for whom they speak, unless the owner says that there is a proxy on this machine.
        proxy_headers=settings.proxy_headers,
        forwarded_allow_ips="127.0.0.1,::1",
        # Nobody needs to know.
        server_header=False,
        # Long enough for a person to read and click again on the same connection.
        timeout_keep_alive=30,
        # What a thousand tabs need that come back at once, after a restart, before the first is answered.
        backlog=BACKLOG,
        # A request that is being answered may end; an export of a gigabyte does not hold up a restart.
        timeout_graceful_shutdown=3,
        log_config=log.config(settings.log_level, settings.log_format),
        # One line a request comes from server/log.py, which knows the request's id and how long it took.
        access_log=False,
        timeout_worker_healthcheck=ANSWER_SECONDS,
        # An app that cannot start is not served.
        lifespan="on",
        ssl_certfile=cert,
        ssl_keyfile=key,
        ssl_context_factory=certificate.context if cert else None,
    )


def serve(settings: Settings) -> int:
    """Serve until Ctrl-C or SIGTERM; the exit code. Raises AddressTaken before anything else is started.

    The address is printed when there is an app at it, but with the reload at once, as a page says there what is wrong.
    """
    configuration = config(settings)
    _allow_open_files()
    if not HAS_UVLOOP:
        logger.warning("uvloop is not installed here: asyncio's own event loop serves, at about half the speed.")
    with contextlib.ExitStack() as open_sockets:
        sockets = [open_sockets.enter_context(each) for each in _listen(settings)]
        if settings.reload:
            from server.reload.supervisor import Reloader  # The watcher is loaded only where it watches.

            reloader = Reloader(configuration, sockets[0], ROOT, settings.editor, _here(_address(settings, sockets[0])))
            _hear_the_end(reloader.hear_the_end)
            _announce(settings, sockets[0])
            return reloader.run()

        def announce() -> None:
            _announce(settings, sockets[0])

        if settings.workers > 1:
            workers = Workers(configuration, sockets, announce)
            # Why an app cannot be loaded is said once, here, instead of by every worker.
            configuration.load_app()
            workers.run()
            return workers.failure
        server = Server(configuration, announce)
        # Uvicorn raises the signal again, at its end, for whoever was there before: itself, so that the end is clean.
        _hear_the_end(server.handle_exit)
        server.run(sockets=sockets)
        return 0 if server.started else 1


class Server(AcceptingServer):
    """A server that ends when its loop hangs, and within END_SECONDS of a signal; the stack is then in the log.

    It calls `on_start` when it serves.
    """

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve, watched."""
        await super().startup(sockets)
        self.renewing = certificate_renewal.begin(self.config)
        Watch().follow(asyncio.get_running_loop())
        if self.started:
            self._on_start()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the end."""
        faulthandler.dump_traceback_later(END_SECONDS, exit=True)
        super().handle_exit(sig, frame)


def _allow_open_files() -> None:
    """Take as many as the system allows: each open page is one, and many systems begin with 256 or 1,024."""
    if os.name != "posix":
        return
    import resource  # There is none elsewhere.

    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if most == resource.RLIM_INFINITY else min(OPEN_FILES, most)
    if wanted > allowed != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _listen(settings: Settings) -> list[socket.socket]:
    """Listen before anything is loaded: a taken port is one line, and who comes early waits for the answer.

    One socket a worker where the system spreads connections over the sockets of one address: Linux alone does.
    """
    count = settings.workers if sys.platform == "linux" else 1
    if count == 1:
        return [_socket(settings, settings.port)]
    # Sockets that share an address would also share it with a second server that is started by mistake.
    with _socket(settings, settings.port) as only:
        port = only.getsockname()[1]
    return [_socket(settings, port, shared=True) for _ in range(count)]


def _socket(settings: Settings, port: int, shared: bool = False) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET, socket.SOCK_STREAM)
    if os.name == "posix":
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listening.bind((settings.host, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise AddressTaken(
                f"Port {port} is in use: stop the program that has it, or choose another with --port."
            ) from None
        raise AddressTaken(f"Cannot listen on {settings.host}:{port}: {error.strerror}.") from None
    listening.set_inheritable(True)
    return listening


def _hear_the_end(handler: Callable[[int, FrameType | None], None]) -> None:
    for end in (signal.SIGINT, signal.SIGTERM):
        signal.signal(end, handler)


def _address(settings: Settings, listening: socket.socket) -> str:
    scheme = "https" if settings.tls or settings.cert else "http"
    return f"{scheme}://{bracketed(settings.host)}:{listening.getsockname()[1]}"


def _here(address: str) -> str:
    """An address as this machine itself finds it."""
    return address.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


def _announce(settings: Settings, listening: socket.socket) -> None:
    address = _address(settings, listening)
    say(f"{NAME} is at {address}")
    if not settings.is_private:
        behind_proxy = settings.proxy_headers and settings.allow_host
        outside = f"https://{settings.allow_host[0]}" if behind_proxy else address
        say(sign_in_token.announce(settings.data, outside))
    here = _here(address)
    asks_owner = not (settings.is_private and peer_account.is_knowable())
    # What is printed by a service goes to a log, where no link belongs.
    if asks_owner and (settings.open or sys.stdout.isatty()):
        say(f"Sign in on this machine, once: {_link_for_once(settings, here)}")
    missing = certificate.http_protocol(settings, HTTP_PROTOCOL)[1]
    if missing:
        say(missing)
    if settings.tls and not settings.cert:
        say(certificate.how_to_trust(settings.data / "tls" / "ca.pem"))
    if settings.open:
        background_work.thread("Opening the browser", partial(_open_when_ready, settings, here, asks_owner))


def _link_for_once(settings: Settings, address: str) -> str:
    """A link that signs one browser in; where the data cannot be written, the address, as the app then says why."""
    try:
        return one_time_links.link_of(address, one_time_links.make(settings.data))
    except OSError:
        return address


def _page_for_once(settings: Settings, address: str) -> str:
    """The address of a file that leads a browser to such a link."""
    try:
        return one_time_links.page_to(settings.data, one_time_links.make(settings.data), address).resolve().as_uri()
    except OSError:
        return address


def _open_when_ready(settings: Settings, address: str, asks_owner: bool) -> None:
    """Open the browser at the first answer; a machine without a screen is left alone.

    Where the owner would have to sign in, the page that is opened does it.
    """
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return
    import urllib.request  # Only here, as they take a twentieth of the time of a start.
    import webbrowser

    # It is asked only whether it answers; whose certificate it has does not matter.
    anyone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anyone.check_hostname = False
    anyone.verify_mode = ssl.CERT_NONE
    for _ in range(300):
        try:
            urllib.request.urlopen(f"{address}/healthz", timeout=5, context=anyone).close()
        except OSError:
            time.sleep(0.1)
        else:
            webbrowser.open(_page_for_once(settings, address) if asks_owner else address)
            return
