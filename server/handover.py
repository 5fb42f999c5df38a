"""A worker that gives way to the next one: it says when it serves, and hands over its connections when told to.

A connection on which nothing is being asked is not closed but passed on, as the open socket that it is: whoever sends
the next request on it never learns that another process answers. One that is being answered is passed on when that is
done. Encrypted connections cannot be passed on, as their keys are in this process; they end after their answer.
"""

import asyncio
import contextlib
import faulthandler
import importlib
import logging
import multiprocessing
import os
import socket
import sys
import threading
import traceback
from collections.abc import Collection
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from typing import Any

import uvicorn

from server.protocol import HttpProtocol
from server.warm import forget
from server.workers import END_SECONDS, ChildServer

# What passes between a worker and the one who started it, each with what belongs to it.
STARTED, FAILED, TELL, RETIRE, CONNECTION = "started", "failed", "tell", "retire", "connection"
# What has been begun may take so long; it holds nobody up, as the next process serves by then.
FINISH_SECONDS = 30
CAN_PASS_ON = sys.platform != "win32"


def work(config: uvicorn.Config, listening: socket.socket, pipe: Connection, stale: Collection[str]) -> None:
    """Serve until told to retire; a failure to start is told instead, as the text of its traceback.

    `stale` names the modules of the warm process that were edited.
    """
    forget(stale)
    if __name__ in stale:
        importlib.import_module(__name__).work(config, listening, pipe, ())
        return
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    config.configure_logging()
    remembered = _Remembered()
    logging.getLogger("uvicorn.error").addFilter(remembered)
    try:
        config.load()
        GivingServer(config, pipe, remembered).run([listening])
    except SystemExit as end:
        # Uvicorn ends so where the app cannot start, having logged why.
        if end.code and remembered.text:
            _say(pipe, FAILED, remembered.text)
        raise
    except KeyboardInterrupt:
        sys.exit(130)  # Ctrl-C is for all processes of a terminal at once.
    except BaseException:
        _say(pipe, FAILED, traceback.format_exc())
        sys.exit(1)


def _end_with_parent() -> None:
    """Whatever hangs, nothing outlives the one who would end it."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    faulthandler.dump_traceback_later(END_SECONDS, exit=True)


class GivingServer(ChildServer):
    """A server that passes its connections on when it retires, and takes those of the one before it."""

    def __init__(self, config: uvicorn.Config, pipe: Connection, remembered: "_Remembered") -> None:
        super().__init__(config)
        self._pipe = pipe
        self._remembered = remembered
        self._is_retiring = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve, and to hear."""
        await super().startup(sockets)
        if self.started:
            loop = asyncio.get_running_loop()
            threading.Thread(target=self._hear, args=(loop,), name="hear", daemon=True).start()
            self._remembered.started = True
            _say(self._pipe, STARTED)

    def _hear(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            while True:
                word, content = self._pipe.recv()
                if word == CONNECTION:
                    content = recv_handle(self._pipe)
                loop.call_soon_threadsafe(self._do, word, content)
        except (EOFError, OSError, RuntimeError):
            return  # The other end is gone, or this one is.

    def _do(self, word: str, content: Any) -> None:
        if word == CONNECTION:
            asyncio.get_running_loop().create_task(self._take(socket.socket(fileno=content)))
        elif word == TELL:
            # An app that has open pages passes it on to them.
            tell = getattr(getattr(self.config.loaded_app, "state", None), "tell", None)
            if tell is not None:
                tell(*content)
        elif word == RETIRE:
            self._retire()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End, having passed on what was accepted or taken just before it was told to retire."""
        if self._is_retiring:
            self._pass_on()
        await super().shutdown(sockets)

    def _retire(self) -> None:
        for server in self.servers:
            server.close()
        self._is_retiring = self.should_exit = True
        self.config.timeout_graceful_shutdown = FINISH_SECONDS
        self._pass_on()

    def _pass_on(self) -> None:
        for connection in list(self.server_state.connections):
            if isinstance(connection, HttpProtocol) and CAN_PASS_ON:
                connection.retire(self._give)
            else:
                connection.shutdown()

    def _give(self, given: socket.socket) -> None:
        with given:
            self._pipe.send((CONNECTION, None))
            send_handle(self._pipe, given.fileno(), os.getppid())

    async def _take(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: self.config.http_protocol_class(  # type: ignore[call-arg]
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            ),
            connection,
        )


def _say(pipe: Connection, word: str, content: Any = None) -> None:
    """Tell the one who started this process something; one that is gone hears nothing."""
    with contextlib.suppress(OSError):
        pipe.send((word, content))


class _Remembered(logging.Filter):
    """Keeps the last trace that is logged until the app has started, and keeps it out of the log: it is told instead.

    What a lifespan fails with is not raised, but logged as text.
    """

    text = ""
    started = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is for the log."""
        if self.started or record.levelno < logging.ERROR:
            return True
        text = record.getMessage()
        if record.exc_info:
            text = "".join(traceback.format_exception(*record.exc_info))
        if "Traceback" in text or not self.text:
            self.text = text
        return False
