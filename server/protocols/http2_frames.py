"""What frames of HTTP/2 come on a connection, seen from their heads alone: no socket, no clock, and nothing is kept.

A frame is three bytes of length, one of type, one of flags and four of its stream (RFC 9113, section 4.1).
"""

from collections.abc import Container

HEAD = 9
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, WINDOW_UPDATE, CONTINUATION = 0, 1, 8, 9
END_HEADERS, PADDED = 0x4, 0x8


class Frames:
    """Follows the frames of one connection.

    `is_begun` is whether something has begun that has to end: a head, a frame other than DATA, the preface. `begun`
    tells one of these from the next. `head_bytes` is the size of the head that comes or came last. `empty` counts the
    frames that carry no content, which floods are made of, but for `updates` of windows. `bodies` has the bytes of DATA
    by stream, for those that `streams` holds; where there is padding, which may be all, none of it counts.
    """

    def __init__(self, streams: Container[int]) -> None:
        self._streams = streams
        self.bodies: dict[int, int] = {}
        self.begun = 0
        self.empty = 0
        self.updates = 0
        self.head_bytes = 0
        self._head = b""
        self._skip = len(PREFACE)
        self._type = -1
        self._stream = 0
        self._is_in_head = False
        self._is_padded = False

    @property
    def is_begun(self) -> bool:
        """Whether a head is not whole, or a frame that is no DATA."""
        return self._is_in_head or bool(self._head) or (self._skip > 0 and self._type != DATA)

    def feed(self, data: bytes | memoryview) -> None:
        """Look at what has come."""
        at = 0
        size = len(data)
        while at < size:
            if self._skip:
                taken = min(self._skip, size - at)
                self._skip -= taken
                at += taken
                self._count(taken)
                continue
            taken = min(HEAD - len(self._head), size - at)
            self._head += data[at : at + taken]
            at += taken
            if len(self._head) == HEAD:
                self._begin(self._head)
                self._head = b""

    def _begin(self, head: bytes) -> None:
        length = int.from_bytes(head[:3], "big")
        self._type, flags = head[3], head[4]
        self._stream = int.from_bytes(head[5:], "big") & 0x7FFFFFFF
        self._skip = length
        self._is_padded = bool(flags & PADDED)
        if self._type == HEADERS:
            self.head_bytes = 0
        if self._type in (HEADERS, CONTINUATION):
            self.head_bytes += HEAD
            self._is_in_head = not flags & END_HEADERS
        if not self._is_in_head:
            self.begun += 1
        if self._type == WINDOW_UPDATE:
            self.updates += 1
        elif self._type not in (DATA, HEADERS) or not length:
            self.empty += 1

    def _count(self, taken: int) -> None:
        if self._type in (HEADERS, CONTINUATION):
            self.head_bytes += taken
        elif self._type == DATA and not self._is_padded and self._stream in self._streams:
            self.bodies[self._stream] = self.bodies.get(self._stream, 0) + taken
