"""How much a client may send, counted while it comes: bytes of a body, levels of JSON, bytes of a WebSocket message.

What is too much ends where it is noticed; nothing is read on, and nothing is parsed first.
"""

import re

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Send

FORM_LIMIT = 1024 * 1024
MESSAGE_LIMIT = 64 * 1024
# Python's own parser calls itself for each level, and gives up near a thousand.
JSON_LEVELS = 100
# An escaped character (its second half may come with the next piece), or one that begins or ends something.
_STRUCTURE = re.compile(rb'\\.?|["\[\]{}]', re.DOTALL)


def limited(receive: Receive, limit: int) -> Receive:
    """The same body, ending in 413 where it grows beyond `limit` bytes."""
    seen = 0

    async def receive_limited() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise HTTPException(413, f"That is larger than the {limit / 1024 / 1024:g} MiB that fit here.")
        return message

    return receive_limited


def shallow(receive: Receive) -> Receive:
    """The same body of JSON, ending in 400 where it goes deeper than JSON_LEVELS."""
    depth = _Depth()

    async def receive_shallow() -> Message:
        message = await receive()
        depth.add(message.get("body", b""))
        return message

    return receive_shallow


def limited_messages(receive: Receive, send: Send) -> tuple[Receive, Send]:
    """The same WebSocket, closed with 1009 at a message of more than MESSAGE_LIMIT bytes."""
    closed = False

    async def receive_limited() -> Message:
        nonlocal closed
        message = await receive()
        if message["type"] != "websocket.receive" or not _is_large(message):
            return message
        closed = True
        reason = f"A message has at most {MESSAGE_LIMIT // 1024} KiB."
        await send({"type": "websocket.close", "code": 1009, "reason": reason})
        return {"type": "websocket.disconnect", "code": 1009, "reason": reason}

    async def send_unless_closed(message: Message) -> None:
        if not closed:
            await send(message)

    return receive_limited, send_unless_closed


def _is_large(message: Message) -> bool:
    text = message.get("text")
    if text is None:
        return len(message.get("bytes") or b"") > MESSAGE_LIMIT
    # No character has more than four bytes: a short text needs no counting.
    return 4 * len(text) > MESSAGE_LIMIT and len(text.encode()) > MESSAGE_LIMIT


class _Depth:
    """How deep JSON goes that comes in pieces; brackets in strings do not count."""

    def __init__(self) -> None:
        self.level = 0
        self.in_string = False
        self.escaped = False

    def add(self, piece: bytes) -> None:
        """Raises HTTPException where it goes too deep, or is in an encoding that cannot be looked through."""
        if b"\0" in piece:
            raise HTTPException(400, "JSON is sent in UTF-8, without zero bytes.")
        if self.escaped and piece:
            piece = piece[1:]
            self.escaped = False
        for found in _STRUCTURE.finditer(piece):
            mark = found[0]
            if mark == b'"':
                self.in_string = not self.in_string
            elif mark == b"\\":
                self.escaped = True
            elif not self.in_string and mark in b"[{":
                self.level += 1
                if self.level > JSON_LEVELS:
                    raise HTTPException(400, f"That JSON goes deeper than the {JSON_LEVELS} levels that fit here.")
            elif not self.in_string and mark in b"]}":
                self.level -= 1
