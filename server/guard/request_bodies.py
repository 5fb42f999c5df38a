"""What a client may send: how many bytes, in which encoding, how many fields, how many levels of JSON.

What is too much ends where it is noticed; nothing is read on, and nothing is parsed first. It stands around the app, so
that it holds for every way to read a body: a route of ours, FastHTML's parameters, another app beside it.
"""

import asyncio
import re
from collections.abc import Callable
from itertools import accumulate
from typing import NamedTuple

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from server.guard.multipart import (
    CHARSET_FIELD,
    FIELDS,
    NOT_UTF8,
    boundary_of,
    watched,
)
from server.guard.request_headers import HEADERS
from server.guard.utf8 import (
    CHARSETS,
    has_half_a_pair,
    is_escaped_utf8,
    is_utf8,
    names_utf8,
    unescaped,
)

FORM_LIMIT = 1024 * 1024
# Of somebody who is not let in: a token, and the page that is wanted, take a few hundred bytes.
STRANGER_LIMIT = 16 * 1024
MESSAGE_LIMIT = 64 * 1024
# What is longer is looked at, and read, beside the event loop.
SHORT = 64 * 1024
# Python's own parser calls itself for each level, and gives up near a thousand.
JSON_LEVELS = 100
URLENCODED, MULTIPART, JSON = b"application/x-www-form-urlencoded", b"multipart/form-data", b"application/json"
# Where a scope lists the forms that were read: their files are closed when the request ends, however it ends.
KEPT_FORMS = "server.forms"
# Longer than any that says something.
KIND_LIMIT = 1024
_JSON_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_NO_BRACKET = bytes(set(range(256)) - set(b"[]{}"))
_DEPTH = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


class Kind(NamedTuple):
    """What a request says of its body: `name` in lower case, and the boundary of a multipart form."""

    name: bytes = b""
    boundary: bytes = b""

    @classmethod
    def of(cls, scope: Scope) -> "Kind":
        """The kind that the headers name. Raises HTTPException where they name another charset, or make no sense."""
        named = [value for name, value in scope["headers"] if name == b"content-type"]
        if not named:
            return cls()
        whole = named[0]
        if len(named) > 1 or len(whole) > KIND_LIMIT or not whole.isascii():
            raise HTTPException(400, "A request says once, in plain letters, what kind of body it has.")
        if not names_utf8(whole):
            raise HTTPException(415, NOT_UTF8)
        name = whole.partition(b";")[0].strip().lower()
        return cls(name, boundary_of(whole) if name == MULTIPART else b"")

    def __bytes__(self) -> bytes:
        """As it is written where there is but one way."""
        return self.name + (b'; boundary="' + self.boundary + b'"' if self.boundary else b"")


def checked(scope: Scope, receive: Receive, *, limit: int, upload_limit: int) -> tuple[Scope, Receive]:
    """The same request, its body checked as it is read; what is larger than it may be, and so on, is an HTTPException.

    A multipart form may have `upload_limit` bytes, any other body `limit`. The kind of the body is written in one way
    only afterwards: everyone who reads it reads the same.
    """
    kind = Kind.of(scope)
    for name, value in scope["headers"]:
        if name == b"content-encoding" and value.lower() != b"identity":
            raise HTTPException(415, "A body is sent as it is, without Content-Encoding.")
        if name == b"transfer-encoding" and value.lower() != b"chunked":
            raise HTTPException(400, "A body comes whole or in chunks, in no other Transfer-Encoding.")
    if kind.name in (URLENCODED, MULTIPART, JSON):
        headers = [(name, bytes(kind) if name == b"content-type" else value) for name, value in scope["headers"]]
        scope = {**scope, "headers": headers}
        scope.pop(HEADERS, None)
    # Only a file of a multipart form is kept on disk as it comes; anything else is read into memory.
    if kind.name == MULTIPART:
        return scope, watched(limited(receive, upload_limit), kind.boundary)
    receive = limited(receive, limit)
    if kind.name == URLENCODED:
        return scope, whole(receive, _form)
    # What does not say its kind may be read as JSON.
    if b"json" in kind.name or not kind.name:
        return scope, whole(receive, _json)
    return scope, whole(receive, _text) if kind.name.startswith(b"text/") else receive


def limited(receive: Receive, limit: int) -> Receive:
    """The same body, ending in 413 where it grows beyond `limit` bytes."""
    seen = 0

    async def receive_limited() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            size = f"{limit / 1024 / 1024:g} MiB" if limit >= 1024 * 1024 else f"{limit / 1024:g} KiB"
            raise HTTPException(413, f"That is larger than the {size} that fit here.")
        return message

    return receive_limited


def whole(receive: Receive, check: Callable[[bytes], bytes]) -> Receive:
    """The same body in one piece, as `check` gives it back."""
    is_read = False

    async def receive_whole() -> Message:
        nonlocal is_read
        message = await receive()
        if is_read or message["type"] != "http.request":
            return message
        is_read = True
        pieces = [message.get("body", b"")]
        while message.get("more_body"):
            message = await receive()
            if message["type"] != "http.request":
                return message
            pieces.append(message.get("body", b""))
        body = b"".join(pieces)
        checked = check(body) if len(body) <= SHORT else await asyncio.to_thread(check, body)
        return {"type": "http.request", "body": checked, "more_body": False}

    return receive_whole


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


def check_fields(text: bytes) -> None:
    """Raises HTTPException for fields, name=value&…, that are too many, or no UTF-8."""
    if text.count(b"&") >= FIELDS:
        raise HTTPException(400, f"A form has at most {FIELDS} fields.")
    if not is_escaped_utf8(text):
        raise HTTPException(400, f"A field holds bytes that are no text. {NOT_UTF8}")


def _form(body: bytes) -> bytes:
    """A form as browsers write it; letters that are not escaped, as curl leaves them, are."""
    check_fields(body)
    for name, value in _parts(body):
        is_charset = len(name) <= 3 * len(CHARSET_FIELD) and _meant(name).lower() == CHARSET_FIELD
        if is_charset and _meant(value).strip().lower() not in CHARSETS:
            raise HTTPException(415, NOT_UTF8)
    if body.isascii():
        return body
    return b"&".join(b"=".join(map(_escaped, field)) for field in fields_of(body))


def fields_of(body: bytes) -> list[tuple[bytes, bytes]]:
    """The fields of a form, name=value&…, as bytes."""
    return [(_meant(name), _meant(value)) for name, value in _parts(body)]


def _parts(body: bytes) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, _, value in (field.partition(b"=") for field in body.split(b"&") if field)]


def _meant(text: bytes) -> bytes:
    return unescaped(text.replace(b"+", b" "))


def _escaped(text: bytes) -> bytes:
    """The same with every byte as %…: to look which need it takes longer."""
    return b"%" + text.hex("%").encode() if text else b""


def _text(body: bytes) -> bytes:
    if not is_utf8(body):
        raise HTTPException(400, "Text is sent in UTF-8.")
    return body


def _json(body: bytes) -> bytes:
    if b"\0" in body or body.startswith(b"\xef\xbb\xbf") or not is_utf8(body):
        raise HTTPException(400, "JSON is sent in UTF-8, without a byte order mark and without zero bytes.")
    if has_half_a_pair(body):
        raise HTTPException(400, r"That JSON holds half of a character, such as “\ud800” alone: send the whole of it.")
    brackets = _JSON_STRING.sub(b"", body).translate(None, _NO_BRACKET)
    if max(accumulate(map(_DEPTH.__getitem__, brackets)), default=0) > JSON_LEVELS:
        raise HTTPException(400, f"That JSON goes deeper than the {JSON_LEVELS} levels that fit here.")
    return body
