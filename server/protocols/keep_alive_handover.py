"""Handing an open HTTP/1.1 connection to another process of the same server, between two requests."""

import asyncio
import socket
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Literal

# How soon it is looked again whether all of an answer has gone.
LOOK_SECONDS = 0.01


class RetiringConnection(asyncio.Protocol):
    """A mixin for Uvicorn's protocol; `_is_idle` says whether all that has come is answered."""

    transport: Any
    loop: asyncio.AbstractEventLoop
    scheme: Literal["http", "https"] | None
    _give: Callable[[socket.socket], None] | None = None

    def retire(self, give: Callable[[socket.socket], None]) -> None:
        """Pass the connection on through `give`, as soon as nothing is being asked or answered on it."""
        self._give = give
        self._give_when_idle()

    def shutdown(self) -> None:
        """Close when the answer is done; a connection that is passed on stays open."""
        if self._give is None:
            self._shut_down()

    def _give_when_idle(self) -> None:
        if self.transport.is_closing() or self._give is None:
            return
        if self.scheme == "https":
            self._shut_down()
        elif self._is_idle():
            # What comes from here on waits in the socket for the next process.
            self.transport.pause_reading()
            if self.transport.get_write_buffer_size():
                self.loop.call_later(LOOK_SECONDS, self._give_when_idle)
                return
            self._give(self.transport.get_extra_info("socket").dup())
            self.transport.abort()

    def _shut_down(self) -> None:
        super().shutdown()  # type: ignore[misc]

    @abstractmethod
    def _is_idle(self) -> bool:
        """Whether all that has come is answered."""
