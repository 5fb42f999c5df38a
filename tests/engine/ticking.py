"""A connection to a protocol of the server in one event loop, over real sockets, with a clock that the test moves."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from server.protocols import connection_table
from server.protocols.connection_table import Connections
from server.protocols.http1 import HttpProtocol
from server.protocols.websocket import WebSocketProtocol


class Client:
    """The other end of a connection: it sends, moves the clock, and sees what comes."""

    def __init__(self, connection: socket.socket, table: Connections) -> None:
        self._socket = connection
        self._table = table
        self._loop = asyncio.get_running_loop()
        self.protocol: Any = None
        self.came = 0
        self.sent = 0
        self.got = b""
        self.is_closed = False

    async def send(self, data: bytes) -> None:
        """Send it, and wait until the server has read it; what it does not read any more is not waited for."""
        self.sent += len(data)
        with contextlib.suppress(ConnectionError):
            await self._loop.sock_sendall(self._socket, data)
        await until(self._has_read)
        await turns()

    async def pass_seconds(self, count: int) -> None:
        """Have the server's clock go on."""
        for _ in range(count):
            await turns()
            self._table.tick()
        await turns()

    async def read(self, least: int = 1) -> bytes:
        """Take what comes until there are so many bytes, or the server has closed."""
        while len(self.got) < least and not self.is_closed:
            await self._read()
        return self.got

    async def read_answers(self, count: int) -> bytes:
        """Take what comes until there are so many answers of 200, or the server has closed."""
        while self.got.count(b"HTTP/1.1 200 ") < count and not self.is_closed:
            await self._read()
        return self.got

    async def read_all(self) -> bytes:
        """Take what comes until the server closes."""
        while not self.is_closed:
            await self._read()
        return self.got

    async def _read(self) -> None:
        try:
            piece = await asyncio.wait_for(self._loop.sock_recv(self._socket, 65536), 10)
        except ConnectionError:
            piece = b""
        self.got += piece
        self.is_closed = not piece

    def is_paused(self) -> bool:
        """Whether the server reads nothing until the app does."""
        return bool(self.protocol.flow.read_paused)

    def _has_read(self) -> bool:
        if self._is_gone() or self.is_paused():
            return True
        return self.came >= self.sent and not self.protocol.flow.has_rest

    def _is_gone(self) -> bool:
        return bool(self.protocol.transport.is_closing())

    @property
    def is_open(self) -> bool:
        """Whether the server has the connection still."""
        return len(self._table) > 0 and not self._is_gone()


@contextlib.asynccontextmanager
async def connected(app: ASGIApp, kind: type[Any] = HttpProtocol, buffer: int = 0) -> AsyncIterator[Client]:
    """A connection to this app; `buffer` is how many bytes the client's system takes for it."""
    config = uvicorn.Config(app, lifespan="off", log_config=None, ws_max_size=65536, timeout_keep_alive=30)
    config.load()
    state = ServerState()
    table = connection_table.connections_of(state)
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as far:
        if buffer:
            far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        far.connect(listening.getsockname())
        far.setblocking(False)
        near, _ = listening.accept()
        if buffer:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        client = Client(far, table)

        config.ws_protocol_class = _counted(WebSocketProtocol, client)
        counted = _counted(kind, client)
        _, client.protocol = await loop.connect_accepted_socket(lambda: counted(config, state, {}), near)
        try:
            yield client
        finally:
            client.protocol.transport.abort()
            await until(lambda: not state.connections and not state.tasks)


def _counted(kind: type[Any], client: Client) -> type[Any]:
    class Counted(kind):  # type: ignore[misc]
        def data_received(self, data: bytes) -> None:
            client.came += len(data)
            super().data_received(data)

    return Counted


async def until(happened: Callable[[], Any]) -> None:
    """Wait for it."""
    end = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        await asyncio.sleep(0.001)


async def turns() -> None:
    """Let the loop do what is due."""
    for _ in range(10):
        await asyncio.sleep(0)


def in_loop(run: Coroutine[Any, Any, None]) -> None:
    """Run it with a clock that stands still but for `pass_seconds`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection_table, "TICK_SECONDS", 3600)
        asyncio.run(run)
