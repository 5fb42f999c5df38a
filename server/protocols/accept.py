"""Accepts connections for Uvicorn, and knows of each before anything was said on it.

Uvicorn leaves that to the event loop: the handshake of TLS may take a minute there, and where no more files may be
open uvloop stops listening for ever, without a word.
"""

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
import sys
from collections.abc import Callable
from typing import Any

import uvicorn

from server import background_work
from server.protocols.connection_table import Connections, Doing, connections_of
from server.protocols.deadlines import HEAD_SECONDS

logger = logging.getLogger(__name__)

# Between two looks at those who are there already: who asks at once is known before many others have come.
ACCEPTS_A_TURN = 8
HANDSHAKE_SECONDS = HEAD_SECONDS
# For closing an encrypted connection, with all that was written.
SHUTDOWN_SECONDS = 10
# How long nobody is accepted when there are no more files.
PAUSE_SECONDS = 1
FULL = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
_WORDS = b"Too many connections are open here. Try again in some seconds."
NO_ROOM = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\ncache-control: no-store\r\nconnection: close\r\n"
    b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n\r\n%s" % (len(_WORDS), _WORDS)
)


class AcceptingServer(uvicorn.Server):
    """Uvicorn's server, with connections from an Acceptor; on Windows, whose loop cannot wait for a socket, its own."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve."""
        if sockets is None or sys.platform == "win32":
            await super().startup(sockets)
            return
        await super().startup([])
        table = connections_of(self.server_state)
        self.servers: list[Any] = [Acceptor(each, self._protocol, table, self.config.ssl) for each in sockets]

    def _protocol(self) -> asyncio.Protocol:
        kind: Any = self.config.http_protocol_class
        protocol: asyncio.Protocol = kind(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol


class Acceptor:
    """Accepts on one socket; what asyncio calls a server."""

    def __init__(
        self,
        listening: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        table: Connections,
        context: ssl.SSLContext | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listening = listening
        self._protocol = protocol
        self._table = table
        self._context = context
        self._paused: asyncio.TimerHandle | None = None
        self._is_full = False
        self._is_closed = False
        listening.setblocking(False)
        self._loop.add_reader(listening, self._accept)

    def close(self) -> None:
        """Accept nobody any more; the socket stays open for whoever else has it."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._paused is not None:
            self._paused.cancel()
        else:
            self._loop.remove_reader(self._listening)

    async def wait_closed(self) -> None:
        """Nothing is left to wait for."""

    def _accept(self) -> None:
        for _ in range(ACCEPTS_A_TURN):
            try:
                connection, address = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in FULL:
                    raise
                self._pause(error)
                return
            if self._is_full:
                self._is_full = False
                logger.warning("Connections are accepted again.")
            self._begin(connection, address[0] if isinstance(address, tuple) else "")

    def _pause(self, error: OSError) -> None:
        """Make room and wait; said once, until somebody was accepted again."""
        if not self._is_full:
            self._is_full = True
            logger.error(
                "No connection can be accepted: %s. %d connections are open; “ulimit -n” shows how many files may be.",
                error.strerror,
                len(self._table),
            )
        self._table.make_room()
        self._loop.remove_reader(self._listening)
        self._paused = self._loop.call_later(PAUSE_SECONDS, self._go_on)

    def _go_on(self) -> None:
        self._paused = None
        self._loop.add_reader(self._listening, self._accept)

    def _begin(self, connection: socket.socket, address: str) -> None:
        connection.setblocking(False)
        if not self._table.has_room(address):
            self._table.cuts.note("there was no room for it", address)
            with connection, contextlib.suppress(OSError):
                if self._context is None:
                    connection.send(NO_ROOM)
            return
        arriving = _Arriving(connection)
        self._table.enter(arriving, address)
        task = background_work.once("Serving a connection", self._serve(connection, address))
        arriving.task = task
        task.add_done_callback(lambda _: self._table.leave(arriving))

    async def _serve(self, connection: socket.socket, address: str) -> None:
        limits: dict[str, Any] = {}
        if self._context is not None:
            limits = {"ssl_handshake_timeout": HANDSHAKE_SECONDS, "ssl_shutdown_timeout": SHUTDOWN_SECONDS}
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection, ssl=self._context, **limits)
        except ConnectionAbortedError:
            self._table.cuts.note("the handshake of TLS did not come within 10 seconds", address)
        except OSError as error:
            # No TLS, another version of it, or a client that is gone again.
            if self._context is not None:
                self._table.cuts.note("the handshake of TLS failed", address)
            logger.debug("%s could not be served: %s", address, error)


class _Arriving:
    """A connection on which the handshake of TLS is under way; without TLS there is one for a moment."""

    task: asyncio.Task[None]

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._is_new = True

    def look(self) -> None:
        """The handshake has an end of its own."""
        self._is_new = False

    def is_admitted(self) -> bool:
        """Nobody knows yet who it is."""
        return False

    def doing(self) -> Doing:
        """What goes on: nothing was asked."""
        return Doing.BUSY if self._is_new else Doing.SLOW

    def make_way(self) -> None:
        """End at once."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
