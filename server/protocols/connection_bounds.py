"""The limits that HTTP/1.1 and HTTP/2 connections share: a table of them, reading in pieces, the end of idle ones.

`server/protocols/http1.py` and `server/protocols/http2.py` stand on it, before the class of Uvicorn that they change.
"""

import asyncio
from abc import abstractmethod
from typing import Any

from server.guard.peer_account import TRANSPORT
from server.protocols.connection_table import connections_of
from server.protocols.deadlines import UNREAD, Patience, Unread
from server.protocols.paced_reading import PiecewiseFlow, taken_from


class BoundedConnection(asyncio.Protocol):
    """A mixin for the protocols of Uvicorn, whose attributes it uses; `_feed` reads a piece of what has come."""

    transport: Any
    loop: asyncio.AbstractEventLoop
    server_state: Any
    client: tuple[str, int] | None
    timeout_keep_alive: int
    flow: Any
    # What is found out about the connection, such as whose it is, holds for all of its requests.
    _connection: dict[str, Any]
    _drained = 0

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self.flow = PiecewiseFlow(transport, self.loop, self._feed)
        self._connection = {TRANSPORT: transport}
        self._patience = Patience(self.timeout_keep_alive)
        self._unread = Unread()
        self._table = connections_of(self.server_state)
        self._table.enter(self, self._address())  # type: ignore[arg-type]

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._table.leave(self)  # type: ignore[arg-type]
        self.flow.forget()
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        """Let the app go on."""
        self._drained += 1
        super().resume_writing()

    def make_way(self) -> None:
        """End at once."""
        self.transport.abort()

    @abstractmethod
    def _feed(self, data: bytes | memoryview) -> None:
        """Read a piece of what has come."""

    def _look_whether_read(self) -> int:
        """End the connection where its client does not take what it is sent; how much waits for that."""
        transport = self.transport
        waiting: int = transport.get_write_buffer_size()
        if self._unread.tick(bool(waiting), taken_from(transport, waiting, self._drained) if waiting else 0):
            self._note_cut(UNREAD)
            transport.abort()
        return waiting

    def _note_cut(self, kind: str) -> None:
        """Have it in the log that the connection, or a request on it, is ended."""
        self._table.cuts.note(kind, self._address())

    def _address(self) -> str:
        return self.client[0] if self.client else ""
