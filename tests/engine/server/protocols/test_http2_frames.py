"""The frames of HTTP/2, however they are cut into pieces."""

import pytest

from server.protocols.http2_frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    HEADERS,
    PADDED,
    PREFACE,
    WINDOW_UPDATE,
    Frames,
)
from tests.engine.h2 import PING, RST_STREAM, SETTINGS, frame

TALK = b"".join(
    [
        PREFACE,
        frame(SETTINGS, 0, 0, b"\0\3\0\0\0\5"),
        frame(HEADERS, 0, 1, b"h" * 100),
        frame(CONTINUATION, 0, 1, b""),
        frame(CONTINUATION, END_HEADERS, 1, b"c" * 50),
        frame(DATA, 0, 1, b"d" * 700),
        frame(DATA, 0, 3, b"other" * 100),
        frame(DATA, PADDED, 1, b"\xff" + bytes(255)),
        frame(DATA, 0, 1, b""),
        frame(WINDOW_UPDATE, 0, 0, b"\0\0\1\0"),
        frame(PING, 0, 0, b"12345678"),
        frame(RST_STREAM, 0, 1, b"\0\0\0\x08"),
    ]
)


@pytest.mark.parametrize("size", [1, 2, 7, 9, 10, 64, 10_000])
def test_pieces_of_any_size_say_the_same(size: int) -> None:
    frames = Frames({1})
    for at in range(0, len(TALK), size):
        frames.feed(TALK[at : at + size])
    # Settings, two continuations, an empty DATA, a ping and a reset.
    assert (frames.empty, frames.updates, frames.bodies) == (6, 1, {1: 700})
    assert frames.head_bytes == 3 * 9 + 150
    assert not frames.is_begun


@pytest.mark.parametrize(
    ("begun", "is_begun"),
    [
        (b"", True),
        (PREFACE[:20], True),
        (PREFACE, False),
        (PREFACE + frame(SETTINGS, 0, 0, b"")[:3], True),
        (PREFACE + frame(PING, 0, 0, b"12345678")[:-1], True),
        (PREFACE + frame(HEADERS, 0, 1, b"h"), True),
        (PREFACE + frame(HEADERS, END_HEADERS, 1, b"h"), False),
        (PREFACE + frame(HEADERS, END_HEADERS, 1, b"h") + frame(DATA, 0, 1, b"half")[:-2], False),
    ],
)
def test_what_has_begun_is_known_and_a_body_has_limits_of_its_own(begun: bytes, is_begun: bool) -> None:
    frames = Frames({1})
    frames.feed(begun)
    assert frames.is_begun == is_begun


def test_a_head_is_one_thing_however_many_frames_it_has() -> None:
    frames = Frames(())
    frames.feed(PREFACE + frame(HEADERS, 0, 1, b"h"))
    first = frames.begun
    frames.feed(frame(CONTINUATION, 0, 1, b"more") * 5)
    assert frames.begun == first
    frames.feed(frame(CONTINUATION, END_HEADERS, 1, b"") + frame(HEADERS, 0, 3, b"h"))
    assert frames.begun > first
