"""Multipart forms: what may come in their parts, however they are cut into pieces, and what every reader is spared."""

import asyncio
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException
from starlette.types import Message

from server.guard.multipart import (
    FIELD_BYTES,
    FIELDS,
    boundary_of,
    watched,
)


def field(value: bytes = b"value", disposition: bytes = b'form-data; name="a"', *headers: bytes) -> bytes:
    """A part with these headers."""
    lines = [b"Content-Disposition: " + disposition, *headers]
    return b"--x\r\n" + b"\r\n".join(lines) + b"\r\n\r\n" + value + b"\r\n"


FILE = b'form-data; name="file"; filename="a.csv"'


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--x--\r\n"


def read(pieces: Iterable[bytes]) -> bytes:
    """What comes through of a form in these pieces."""
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Message:
        return messages.pop(0)

    async def read_all() -> bytes:
        receive_watched = watched(receive, b"x")
        return b"".join([(await receive_watched())["body"] for _ in range(len(messages))])

    return asyncio.run(read_all())


def status_of(body: bytes, size: int = 65536) -> int:
    """Whether it comes through whole, which is 200, or how it is refused, however it is cut."""
    try:
        assert read(body[start : start + size] for start in range(0, len(body), size)) == body
    except HTTPException as error:
        return error.status_code if error.detail.endswith(".") else 0
    return 200


ODD = [
    (field(), 200),
    (field("Käse 🧀".encode()), 200),
    (field(b"x", FILE, b"Content-Type: text/csv"), 200),
    # A file may hold any bytes: what reads it finds out in which encoding.
    (field(b"\xff\xfe\0a", FILE), 200),
    (field(b"x", 'form-data; name="file"; filename="Käse.csv"'.encode()), 200),
    (field(b"x", b'form-data; name="file"; filename="a*=b.csv"'), 200),
    (field(b"x", FILE, b"Content-Type: text/csv; charset=utf-8"), 200),
    (field(b"UTF-8", b'form-data; name="_charset_"'), 200),
    (field(b"x", b'form-data; name="a"', b"Content-Transfer-Encoding: 8bit"), 200),
    # Bytes that are no text.
    (field(b"\xff"), 400),
    (field(b"\xed\xa0\x80"), 400),
    (field("ä".encode()[:1]), 400),
    (field(b"x", b'form-data; name="\xff"'), 400),
    (field(b"x", b'form-data; name="file"; filename="K\xe4se.csv"'), 400),
    # Another encoding than UTF-8.
    (field(b"a-999", b'form-data; name="a"', b"Content-Type: text/plain; charset=punycode"), 415),
    (field(b"x", FILE, b"Content-Type: text/csv; charset=iso-8859-1"), 415),
    (field(b"x", b'form-data; name="a"; charset=utf-7'), 415),
    (field(b"x", b'form-data; name="a"', b"X-Odd: charset*=utf-16''x"), 415),
    (field(b"punycode", b'form-data; name="_charset_"'), 415),
    (field(b"utf-16", b"form-data; name=_CHARSET_"), 415),
    (field(b"", b'form-data; name="_charset_"'), 415),
    (field(b"eA==", b'form-data; name="a"', b"Content-Transfer-Encoding: base64"), 415),
    (field(b"x", FILE, b"content-transfer-encoding: QUOTED-PRINTABLE"), 415),
    (field(b"x", FILE, b"Content-Encoding: gzip"), 415),
    # RFC 7578, section 4.2.
    (field(b"x", b"form-data; name=\"file\"; filename*=utf-8''a.csv"), 400),
    (field(b"x", b"form-data; name=\"file\"; filename*0*=punycode''a-9; filename*1=b"), 400),
    (field(b"x", b"form-data; name *= utf-8''a"), 400),
]


@pytest.mark.parametrize(("part", "status"), ODD, ids=range(len(ODD)))
@pytest.mark.parametrize("size", [1, 7, 65536])
def test_a_part_comes_through_or_is_refused_in_a_sentence(part: bytes, status: int, size: int) -> None:
    assert status_of(form(part), size) == status
    assert status_of(form(field(), part), size) == status


def test_one_file_and_not_too_many_fields() -> None:
    file = field(b"title\r\n", FILE)
    assert status_of(form(file, *[field()] * FIELDS)) == 200
    assert status_of(form(file, file)) == 400
    assert status_of(form(*[field()] * (FIELDS + 1))) == 400


def test_all_fields_together_have_a_limit_and_a_file_has_none_here() -> None:
    half = b"x" * (FIELD_BYTES // 2)
    assert status_of(form(field(half), field(half))) == 200
    assert status_of(form(field(half), field(half), field(b"y"))) == 413
    assert status_of(form(field(b"x" * 3 * FIELD_BYTES, FILE))) == 200


@pytest.mark.parametrize("size", [1, 65536])
def test_a_form_that_was_cut_off_is_no_form(size: int) -> None:
    whole = form(field(b"x", FILE))
    for end in (len(whole) - 10, len(whole) - 20, 30):
        assert status_of(whole[:end], size) == 400
    assert status_of(b"") == 200, "nothing is a form without fields"
    assert status_of(form()) == 200


@given(st.binary(max_size=300))
def test_anything_comes_through_or_is_refused(body: bytes) -> None:
    assert status_of(body) in (200, 400)
    assert status_of(form(field(body.replace(b"\r\n--x", b"")))) in (200, 400)


@pytest.mark.parametrize(
    "kind", [b"x", b'"x"', b"----WebKitFormBoundary7MA4YWxkTrZu0gW", b"x; charset=utf-8", b"'()+_,-./:=?"]
)
def test_a_boundary(kind: bytes) -> None:
    assert boundary_of(b"multipart/form-data; BOUNDARY=" + kind) == kind.partition(b";")[0].strip(b'"')


@pytest.mark.parametrize(
    "kind", [b"", b"; boundary=", b"; boundary*=utf-8''x", b"; boundary=" + b"x" * 71, b'; boundary="a\\b"']
)
def test_no_boundary(kind: bytes) -> None:
    with pytest.raises(HTTPException) as refused:
        boundary_of(b"multipart/form-data" + kind)
    assert refused.value.status_code == 400
