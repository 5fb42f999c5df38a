"""What comes on a connection is read in small pieces, one a turn of the event loop.

A loop reads up to 256 kB at once: that is 7,000 requests or 40,000 pings, and no other connection would have its turn
meanwhile.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl

from server.protocols.deadlines import BY_ITSELF

PIECE = 4096
# As much as a loop reads at once: what turns out to be quickly read comes in one again.
LARGEST = 256 * 1024
# Chunks of a body, or frames: each takes a call or two.
MANY = 64
# What is smaller is read at once: nearly every head and message, and not too many of them.
SMALL = 1024
# Each request that waits for the one before it takes some kilobytes.
HEADS = 8
# A buffer holds 64 KiB when it is full, and a quarter when it is called drained.
DRAINED = 48 * 1024
# Where Linux says in struct tcp_info how many bytes the other side has taken (tcpi_bytes_acked).
_TAKEN = struct.Struct("=120xQ")


class PiecewiseFlow(FlowControl):
    """Uvicorn's flow control, which also keeps what has come and is not read yet; nothing more comes meanwhile.

    `feed` reads a piece. While reading is paused nothing is fed either, and while it is held it cannot be resumed.
    """

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop, feed: Callable[[memoryview], None]) -> None:
        super().__init__(transport)
        self.piece = PIECE
        self.is_held = False
        self._data = b""
        self._at = 0
        self._loop = loop
        self._feed = feed
        self._is_due = False

    @property
    def has_rest(self) -> bool:
        """Whether something has come that is not read yet."""
        return self._at < len(self._data)

    def take(self, data: bytes) -> None:
        """Read it, a piece now and the others in turns to come."""
        if self.has_rest or self.read_paused:
            self._data = self._data[self._at :] + data
            self._at = 0
            return
        self._data, self._at = data, 0
        piece = self._next()
        if self.has_rest:
            self._transport.pause_reading()
            self._come_again()
        self._feed(piece)

    def fit(self, things: int) -> None:
        """Read twice as much in the next turn, but little where many things were in this one."""
        self.piece = PIECE if things > MANY else min(2 * self.piece, LARGEST)

    def forget(self) -> None:
        """Drop what is not read yet."""
        self._data, self._at = b"", 0

    def pause_reading(self) -> None:
        """Read nothing more for now."""
        if not (self.read_paused or self._transport.is_closing()):
            self.read_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on, first what is here."""
        if self.is_held or not self.read_paused or self._transport.is_closing():
            return
        self.read_paused = False
        if self.has_rest:
            self._come_again()
        else:
            self._transport.resume_reading()

    def _come_again(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._turn_due)

    def _turn_due(self) -> None:
        self._is_due = False
        if not self.read_paused:
            self._turn()

    def _turn(self) -> None:
        if self.has_rest and not self._transport.is_closing():
            self._feed(self._next())
        if self._transport.is_closing():
            self.forget()
        elif self.read_paused:
            return
        elif self.has_rest:
            self._come_again()
        else:
            self._transport.resume_reading()

    def _next(self) -> memoryview:
        """The next piece, with the ends of no more than HEADS of heads in it."""
        data, begin = self._data, self._at
        end = min(begin + self.piece, len(data))
        after = begin
        for _ in range(HEADS):
            after = data.find(b"\r\n\r\n", after, end) + 4
            if after == 3:
                break
        else:
            end = after
        if end == len(data):
            self.forget()
        else:
            self._at = end
        return memoryview(data)[begin:end]


def taken_from(transport: Any, waiting: int, drained: int) -> int:
    """How many bytes the other side has taken so far beyond what its system takes by itself, as far as that is known.

    The system keeps megabytes on the way: that none leave our own buffer for a while does not mean that none are read.
    Others than Linux do not say; there `waiting` bytes are in a buffer that was full and drained so many times.
    """
    if hasattr(socket, "TCP_INFO"):
        # A socket that is gone, or is of another kind, does not say either.
        with contextlib.suppress(OSError):
            told = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TAKEN.size)
            if len(told) == _TAKEN.size:
                return max(0, int(_TAKEN.unpack(told)[0]) - BY_ITSELF)
    return drained * DRAINED - waiting
