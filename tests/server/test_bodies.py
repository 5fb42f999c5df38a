"""How much a client may send: limits that hold however it is cut into pieces."""

import asyncio
import contextlib
import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException
from starlette.types import Message

from server.bodies import JSON_LEVELS, MESSAGE_LIMIT, limited, limited_messages, shallow


def read(wrap: Any, pieces: Iterable[bytes]) -> bytes:
    """What an app reads of a body that comes in these pieces."""
    messages = iter([{"type": "http.request", "body": piece, "more_body": True} for piece in pieces])

    async def receive() -> Message:
        return next(messages, {"type": "http.request"})

    async def read_all() -> bytes:
        bounded = wrap(receive)
        body = b""
        while (message := await bounded()).get("more_body"):
            body += message["body"]
        return body

    return asyncio.run(read_all())


def test_a_body_ends_at_its_limit() -> None:
    assert read(lambda receive: limited(receive, 1024), [b"x" * 1000, b"x" * 24]) == b"x" * 1024
    with pytest.raises(HTTPException, match=r"0\.5 MiB") as refusal:
        read(lambda receive: limited(receive, 1024 * 512), [b"x" * 1024 * 512, b"x"])
    assert refusal.value.status_code == 413


# JSON

VALUES = st.recursive(
    st.none() | st.integers() | st.text('[]{}"\\/ä∀x'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('[]{}"\\x'), inner, max_size=3),
)


def in_pieces(text: bytes, size: int) -> list[bytes]:
    return [text[start : start + size] for start in range(0, len(text), size)]


@given(VALUES, st.integers(0, JSON_LEVELS + 20), st.integers(1, 9), st.booleans())
@example("\\" * 7, JSON_LEVELS, 1, False)
def test_json_is_let_through_up_to_its_depth_however_it_is_cut(
    value: Any, around: int, size: int, ascii_only: bool
) -> None:
    for _ in range(around):
        value = [value]
    text = json.dumps(value, ensure_ascii=ascii_only).encode()
    if depth_of(value) <= JSON_LEVELS:
        assert read(shallow, in_pieces(text, size)) == text
    else:
        with pytest.raises(HTTPException, match="100 levels") as refusal:
            read(shallow, in_pieces(text, size))
        assert refusal.value.status_code == 400


def depth_of(value: Any) -> int:
    if not isinstance(value, list | dict):
        return 0
    return 1 + max(map(depth_of, value.values() if isinstance(value, dict) else value), default=0)


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_only_what_is_open_counts_and_strings_do_not(size: int) -> None:
    for text in (b"[" + b"[],{}," * 500, rb'["\"' + b"[" * 500 + b'"]', rb'["\\",' + b"[" * 90, b"[]" * 500):
        assert read(shallow, in_pieces(text, size)) == text
    for text in (rb'["\"",' + b"[" * 500, rb'["\\",' + b"[" * 500, rb'["\\\"",' + b"[" * 500):
        with pytest.raises(HTTPException, match="100 levels"):
            read(shallow, in_pieces(text, size))


@given(st.text('[]{}"\\ x').map(lambda text: text.encode() + b"[" * 2000))
def test_what_is_let_through_never_is_too_deep_for_python(text: bytes) -> None:
    with contextlib.suppress(HTTPException, ValueError):
        json.loads(read(shallow, [text]))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_json_of_another_encoding_cannot_hide_its_depth(encoding: str) -> None:
    """The second byte of “∀” is a quotation mark: in UTF-16 it would seem to begin a string."""
    text = ('["∀",' + "[" * 2000).encode(encoding)
    with pytest.raises(HTTPException, match="UTF-8"):
        read(shallow, [text])


# WebSocket messages


@pytest.mark.parametrize(
    ("message", "is_let_through"),
    [
        ({"text": "x" * MESSAGE_LIMIT}, True),
        ({"text": "x" * MESSAGE_LIMIT, "bytes": None}, True),
        ({"bytes": b"x" * MESSAGE_LIMIT, "text": None}, True),
        ({"text": "€" * (MESSAGE_LIMIT // 3)}, True),
        ({"text": "x" * (MESSAGE_LIMIT + 1)}, False),
        ({"bytes": b"x" * (MESSAGE_LIMIT + 1)}, False),
        ({"text": "€" * (MESSAGE_LIMIT // 3 + 1)}, False),
    ],
    ids=range(7),
)
def test_a_message_has_a_limit_in_bytes(message: dict[str, Any], is_let_through: bool) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.receive", **message}

    async def send(message: Message) -> None:
        sent.append(message)

    async def exchange() -> Message:
        bounded, answer = limited_messages(receive, send)
        received = await bounded()
        await answer({"type": "websocket.send", "text": "an answer"})
        return received

    received = asyncio.run(exchange())
    if is_let_through:
        assert received == {"type": "websocket.receive", **message}
        assert [each["type"] for each in sent] == ["websocket.send"]
    else:
        assert (received["type"], received["code"]) == ("websocket.disconnect", 1009)
        assert [(each["type"], each.get("code")) for each in sent] == [("websocket.close", 1009)]
