"""How much a client may send: limits that hold however it is cut into pieces."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from server.guard.multipart import FIELDS
from server.guard.request_bodies import (
    FORM_LIMIT,
    JSON_LEVELS,
    MESSAGE_LIMIT,
    _form,
    checked,
    limited,
    limited_messages,
)


def read(wrap: Any, pieces: Iterable[bytes]) -> bytes:
    """What an app reads of a body that comes in these pieces."""
    messages = iter([{"type": "http.request", "body": piece, "more_body": True} for piece in pieces])

    async def receive() -> Message:
        return next(messages, {"type": "http.request"})

    async def read_all() -> bytes:
        bounded = wrap(receive)
        body, message = b"", {"more_body": True}
        while message.get("more_body"):
            message = await bounded()
            body += message.get("body", b"")
        return body

    return asyncio.run(read_all())


def test_a_body_ends_at_its_limit() -> None:
    assert read(lambda receive: limited(receive, 1024), [b"x" * 1000, b"x" * 24]) == b"x" * 1024
    with pytest.raises(HTTPException, match=r"512 KiB") as refusal:
        read(lambda receive: limited(receive, 1024 * 512), [b"x" * 1024 * 512, b"x"])
    assert refusal.value.status_code == 413


def sent(kind: str, pieces: Iterable[bytes]) -> bytes:
    """What an app reads of a body of that kind."""

    def wrap(receive: Receive) -> Receive:
        scope = {"headers": [(b"content-type", kind.encode("latin-1"))]}
        return checked(scope, receive, limit=FORM_LIMIT, upload_limit=0)[1]

    return read(wrap, pieces)


# JSON

JSON = "application/json"
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
        assert sent(JSON, in_pieces(text, size)) == text
    else:
        with pytest.raises(HTTPException, match="100 levels") as refusal:
            sent(JSON, in_pieces(text, size))
        assert refusal.value.status_code == 400


def depth_of(value: Any) -> int:
    if not isinstance(value, list | dict):
        return 0
    return 1 + max(map(depth_of, value.values() if isinstance(value, dict) else value), default=0)


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_only_what_is_open_counts_and_strings_do_not(size: int) -> None:
    for text in (b"[" + b"[],{}," * 500, rb'["\"' + b"[" * 500 + b'"]', rb'["\\",' + b"[" * 90, b"[]" * 500):
        assert sent(JSON, in_pieces(text, size)) == text
    for text in (rb'["\"",' + b"[" * 500, rb'["\\",' + b"[" * 500, rb'["\\\"",' + b"[" * 500):
        with pytest.raises(HTTPException, match="100 levels"):
            sent(JSON, in_pieces(text, size))


@given(st.text('[]{}"\\ x').map(lambda text: text.encode() + b"[" * 2000))
def test_what_is_let_through_never_is_too_deep_for_python(text: bytes) -> None:
    with contextlib.suppress(HTTPException, ValueError):
        json.loads(sent(JSON, [text]))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_json_of_another_encoding_cannot_hide_its_depth(encoding: str) -> None:
    """The second byte of “∀” is a quotation mark: in UTF-16 it would seem to begin a string."""
    text = ('["∀",' + "[" * 2000).encode(encoding)
    with pytest.raises(HTTPException, match="UTF-8"):
        sent(JSON, [text])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"title":"\\ud800"}', 400),
        (b'{"title":"\\udfff\\ud800"}', 400),
        (b'{"\\udc00":1}', 400),
        (b'{"title":"\\ud83d\\ude00"}', 200),
        (b'{"title":"\\\\ud800"}', 200),
        (b'{"title":"\xed\xa0\x80"}', 400),
        (b'{"title":"\xff"}', 400),
        (b'\xef\xbb\xbf{"title":"x"}', 400),
        ('{"title":"Käse 🧀"}'.encode(), 200),
    ],
)
@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "application/a+json"])
def test_json_is_whole_characters_of_utf8(kind: str, body: bytes, status: int) -> None:
    assert status_of(kind, body) == status


def status_of(kind: str, body: bytes) -> int:
    """200 for a body that comes through as it is."""
    try:
        return 200 if sent(kind, [body]) == body else 0
    except HTTPException as error:
        return error.status_code if error.detail.endswith(".") else 0


# Forms

FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"title=K%C3%A4se+%F0%9F%A7%80&notes=100%", 200),
        (b"title=%ff", 400),
        (b"title=%ed%a0%80", 400),
        (b"t%e4=x", 400),
        (b"title=\xff", 400),
        (b"title=a&_charset_=UTF-8", 200),
        (b"title=a&_charset_=punycode", 415),
        (b"%5fcharset%5F=utf-16&title=a", 415),
        (b"_charset_=", 415),
        (b"&".join([b"a=b"] * FIELDS), 200),
        (b"&".join([b"a=b"] * (FIELDS + 1)), 400),
        (b"&" * 100_000, 400),
    ],
)
def test_a_form_is_a_few_fields_of_utf8(body: bytes, status: int) -> None:
    assert status_of(FORM, body) == status


# What the test leaves out, and what a form means by a plus sign.
MEANT = {ord("&"): None, ord("%"): None, ord("+"): " "}


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_letters_that_are_not_escaped_are_read_as_utf8(text: str) -> None:
    """So curl sends them; Starlette would read Latin-1."""
    body = sent(FORM, [b"title=" + text.replace("&", "").replace("%", "").encode()])
    assert body.isascii()
    assert parse_qsl(body.decode(), keep_blank_values=True) == [("title", text.translate(MEANT))]


KINDS = [
    ("application/x-www-form-urlencoded; charset=punycode", 415),
    ("application/x-www-form-urlencoded; charset=utf-16", 415),
    ("application/json; charset=utf-32", 415),
    ("text/plain; charset=latin-1", 415),
    ("application/octet-stream; charset=rot13", 415),
    ("multipart/form-data; boundary=x; charset=punycode", 415),
    ("multipart/form-data; charset*=utf-8''idna; boundary=x", 415),
    ("multipart/form-data", 400),
    ("multipart/form-data; boundary=" + "x" * 2000, 400),
    ("text/plain; a=ä", 400),
    ("application/x-www-form-urlencoded; charset=UTF-8", 200),
    ("text/plain; charset=us-ascii", 200),
]


@pytest.mark.parametrize(("kind", "status"), KINDS)
def test_a_kind_that_names_another_charset_is_refused(kind: str, status: int) -> None:
    assert status_of(kind, b"") == status


@pytest.mark.parametrize(
    ("kind", "seen"),
    [
        ("Application/JSON; charset=utf-8", b"application/json"),
        (" APPLICATION/X-WWW-FORM-URLENCODED ;charset=utf-8", FORM.encode()),
        ("Multipart/Form-Data; Boundary=x", b'multipart/form-data; boundary="x"'),
        ("text/CSV; header=present", b"text/CSV; header=present"),
    ],
)
def test_everyone_reads_the_same_kind(kind: str, seen: bytes) -> None:
    """FastHTML compares it letter by letter, and would take a form of another spelling into memory whole."""
    scope = {"headers": [(b"content-type", kind.encode())]}
    assert dict(checked(scope, None, limit=FORM_LIMIT, upload_limit=0)[0]["headers"])[b"content-type"] == seen


def test_a_body_says_once_what_it_is_and_is_not_packed() -> None:
    for headers in (
        [(b"content-type", b"text/plain"), (b"content-type", b"application/json")],
        [(b"content-encoding", b"gzip")],
        [(b"content-encoding", b"identity, br")],
    ):
        with pytest.raises(HTTPException) as refused:
            checked({"headers": headers}, None, limit=FORM_LIMIT, upload_limit=0)
        assert refused.value.status_code in (400, 415)
    checked({"headers": [(b"content-encoding", b"identity")]}, None, limit=FORM_LIMIT, upload_limit=0)


def test_text_is_utf8_and_other_bytes_are_bytes() -> None:
    assert status_of("text/csv", "Käse".encode()) == status_of("application/octet-stream", b"\xff") == 200
    assert status_of("text/csv", b"K\xe4se") == 400


def test_letters_that_are_not_escaped_are_not_taken_one_by_one() -> None:
    """A call for each of them held the loop for half a second; counted, as times depend on the machine."""
    text = "a=%41+&b=" + "é" * 100_000 + "aé" * 50_000
    calls = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        escaped = _form(text.encode())
    finally:
        sys.setprofile(None)
    assert parse_qsl(escaped.decode()) == parse_qsl(text)
    assert escaped.isascii()
    assert calls < 10_000


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
