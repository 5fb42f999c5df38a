"""A client of HTTP/2 that may do what no library would."""

import struct
from collections.abc import Callable
from typing import Any

import zttp

from server.protocols.http2_frames import (
    DATA,
    END_HEADERS,
    HEADERS,
    PREFACE,
)
from tests.engine.ticking import Client

RST_STREAM, SETTINGS, PING = 3, 4, 6
END_STREAM = 0x1
# GET and POST, https, and /, as RFC 7541 has them in its static table; then `host: localhost`.
GET, POST = b"\x82\x87\x84", b"\x83\x87\x84"
HOST = b"\x41\x09localhost"


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def get(stream: int) -> bytes:
    return frame(HEADERS, END_HEADERS | END_STREAM, stream, GET + HOST)


def post(stream: int, more: bytes = b"") -> bytes:
    return frame(HEADERS, END_HEADERS, stream, POST + HOST) + (frame(DATA, 0, stream, more) if more else b"")


def hello(window: int | None = None) -> bytes:
    """How a connection begins; `window` is how many bytes of an answer are wanted at first."""
    return PREFACE + frame(SETTINGS, 0, 0, b"" if window is None else struct.pack(">HI", 4, window))


class Events:
    """What the server says, read by zttp, which has said nothing itself."""

    def __init__(self, client: Client, streams: int = 0) -> None:
        self._client = client
        self._reader = zttp.Connection(zttp.CLIENT, protocol=zttp.HTTP2)
        self._read = 0
        self.all: list[Any] = []
        for _ in range(streams):
            # It takes answers only to what it believes to have asked.
            self._reader.send_request(b"GET", b"/", b"2", [(b"host", b"localhost")]).end_message()
        self._reader.data_to_send()

    async def until(self, happened: Callable[["Events"], Any]) -> None:
        """Take what comes until this is so, or the server has closed."""
        while True:
            self._reader.receive_data(self._client.got[self._read :])
            self._read = len(self._client.got)
            self.all += iter(self._reader.next_event, zttp.NEED_DATA)
            self._reader.data_to_send()
            if happened(self) or self._client.is_closed:
                return
            await self._client.read(self._read + 1)

    def of(self, kind: type[Any]) -> list[Any]:
        """The events of this kind."""
        return [event for event in self.all if isinstance(event, kind)]

    def body(self, stream: int) -> bytes:
        """What has come of an answer."""
        return b"".join(event.data for event in self.of(zttp.Data) if event.stream_id == stream)
