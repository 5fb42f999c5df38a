"""Text: UTF-8 is told from anything else, in bytes, behind escapes and in JSON."""

import json
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.guard.utf8 import (
    has_half_a_pair,
    is_escaped_utf8,
    is_utf8,
    names_utf8,
    unescaped,
)


@given(st.binary())
def test_it_is_what_python_decodes_and_nothing_else(text: bytes) -> None:
    try:
        text.decode()
    except UnicodeDecodeError:
        assert not is_utf8(text)
        assert not is_escaped_utf8(b"".join(b"%%%02x" % byte for byte in text))
    else:
        assert is_utf8(text)
        assert is_escaped_utf8(b"".join(b"%%%02x" % byte for byte in text))


ESCAPING = st.sampled_from(
    [b"%", b"=", b"%3D", b"%3d", b"%0A", b"\r", b"\n", b" ", b"\t", b"_", b"4", b"a", b"\xc3", b"\0"]
)


@given(st.lists(ESCAPING).map(b"".join))
def test_what_is_escaped_is_read_as_python_reads_it(text: bytes) -> None:
    assert unescaped(text) == unquote_to_bytes(text)


@pytest.mark.parametrize("text", [b"%ff", b"%ed%a0%80", b"a%C3", b"%C3a%A4", b"%c0%af", b"\xff", b"%f5%80%80%80"])
def test_escaped_bytes_that_are_no_text(text: bytes) -> None:
    assert not is_escaped_utf8(text)


@pytest.mark.parametrize("text", [b"", b"%", b"%zz", b"%C3%A4", b"%c3%a4", b"\xc3\xa4", b"100%", b"%00", b"%41%%42"])
def test_escaped_bytes_that_are_text(text: bytes) -> None:
    assert is_escaped_utf8(text)


@pytest.mark.parametrize(
    "header",
    [
        b"text/plain; charset=punycode",
        b"text/plain;charset=utf-16",
        b'text/plain; charset="latin-1"',
        b"text/plain; CHARSET = idna",
        b"text/plain; charset*=utf-8''punycode",
        b"text/plain; charset*0=utf-; charset*1=16",
        b"text/plain; charset=utf-8; charset=cp037",
        b"text/plain; charset=",
        b"form-data; name=x; charset=rot13",
    ],
)
def test_another_charset(header: bytes) -> None:
    assert not names_utf8(header)


@pytest.mark.parametrize(
    "header", [b"", b"text/plain", b"text/plain; charset=UTF-8", b'a/b; charset="utf-8"', b"a/b; charset=us-ascii"]
)
def test_no_other_charset(header: bytes) -> None:
    assert names_utf8(header)


@given(st.text(st.characters()), st.booleans())
def test_json_holds_half_a_character_or_not(text: str, is_key: bool) -> None:
    whole = json.dumps({text: 1} if is_key else [text]).encode()
    # Two halves that happen to stand beside each other are one character.
    is_whole = json.loads(whole) is not None and is_encodable("".join(json.loads(whole)))
    assert has_half_a_pair(whole) == (not is_whole)


def is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@pytest.mark.parametrize(
    ("text", "is_half"),
    [
        (rb'"\ud800"', True),
        (rb'"\uDC00"', True),
        (rb'"\ud83d\ude00"', False),
        (rb'"\ud83d \ude00"', True),
        (rb'"\ud83d\ud83d\ude00"', True),
        (rb'"\\ud800"', False),
        (rb'"\\\ud800"', True),
        (rb'"\u00e4"', False),
        (rb'"ud800"', False),
    ],
)
def test_halves_of_pairs(text: bytes, is_half: bool) -> None:
    assert has_half_a_pair(text) == is_half
