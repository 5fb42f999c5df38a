"""Messages: what a page may say, and the bytes that it is sent."""

import zlib

import pytest

from server.live.messages import (
    VIEWS_PER_TAB,
    Frame,
    Refused,
    parse,
    partial,
)
from tests.engine.conftest import Server
from tests.engine.watching import Follower, watching


def test_the_bytes_on_the_wire_are_made_once() -> None:
    frame = Frame("ä" * 100)
    assert frame.plain is frame.plain
    assert frame.plain == b"\x81\x7e\x00\xc8" + "ä".encode() * 100
    assert frame.deflated is frame.deflated
    assert frame.deflated[0] == 0xC1
    assert zlib.decompressobj(wbits=-15).decompress(frame.deflated[2:] + b"\0\0\xff\xff").decode() == frame.text


@pytest.mark.parametrize(
    "message",
    [
        "",
        "no JSON",
        "[]",
        "{}",
        "3",
        "null",
        '{"watch": 3}',
        '{"watch": ["a"]}',
        '{"watch": [{"id": "a"}]}',
        '{"watch": [{"id": 3, "url": "/a"}]}',
        '{"watch": [{"id": ["a"], "url": "/a"}]}',
        '{"watch": [{"id": "a b", "url": "/a"}]}',
        '{"watch": [{"id": "1", "url": "/a"}]}',
        '{"watch": [{"id": "a", "url": "a"}]}',
        '{"watch": [{"id": "a", "url": "//elsewhere.test/"}]}',
        '{"watch": [{"id": "a", "url": "http://elsewhere.test/"}]}',
        '{"watch": [{"id": "a", "url": "/a\\r\\nx: y"}]}',
        '{"watch": [{"id": "a", "url": "/ä"}]}',
        '{"watch": [{"id": "a", "url": "/a", "version": 3}]}',
        r'{"watch": [{"id": "a", "url": "/a", "version": "\ud800"}]}',
        r'{"watch": [{"id": "a\ud800", "url": "/a"}]}',
        r'{"watch": [{"id": "a", "url": "/\udfff"}]}',
        '{"watch": [{"id": "a", "url": "/a", "version": "%s"}]}' % ("v" * 65),
        "[" * 60000,
        watching(*((f"a{number}", "/a", None) for number in range(VIEWS_PER_TAB + 1))),
    ],
    ids=lambda message: message[:40],
)
def test_a_message_that_makes_no_sense_is_refused_with_words(message: str) -> None:
    with pytest.raises(Refused, match=r"\.$"):
        parse(message)


def test_a_list_says_what_each_element_shows() -> None:
    message = watching(("a", "/a?q=%20", "v1"), ("b-2", "/", None))
    assert parse(message) == {"a": ("/a?q=%20", "v1"), "b-2": ("/", "")}
    assert parse('{"watch": [{"id": "a", "url": "/a"}]}') == {"a": ("/a", "")}


def test_where_html_goes_is_an_attribute_whatever_is_in_it() -> None:
    frame = partial('#a"b', "outerMorph", "<p>ä</p>".encode())
    assert frame.text == '<hx-partial hx-target="#a&quot;b" hx-swap="outerMorph"><p>ä</p></hx-partial>'


@pytest.mark.parametrize(
    ("message", "code", "words"),
    [
        ("no JSON", 1008, 'A message is {"watch": [{"id": …, "url": …, "version": …}]}.'),
        (b"bytes", 1008, 'A message is {"watch": [{"id": …, "url": …, "version": …}]}.'),
        ("x" * 64 * 1024, 1008, 'A message is {"watch": [{"id": …, "url": …, "version": …}]}.'),
        ("x" * (64 * 1024 + 1), 1009, ""),
    ],
    ids=["words", "bytes", "64 KiB", "more"],
)
def test_a_bad_message_ends_the_connection(server: Server, message: str | bytes, code: int, words: str) -> None:
    with Follower(server.url) as follower:
        follower.socket.send(message)
        ended, reason = follower.close_code()
    assert ended == code
    assert reason.startswith(words)
