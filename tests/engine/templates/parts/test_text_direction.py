"""A person's text inside other text: by property over the controls of direction, and on pages in a real Chromium."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from templates.parts.text_direction import (
    BEGINS,
    END,
    LINES,
    balanced,
    isolated,
    own,
    quoted,
)

LETTERS = "ab 1אبג" + "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069" + LINES
TEXTS = st.text(st.sampled_from(LETTERS), max_size=30)
TURNING = ("R", "AL", "AN", "RLE", "LRE", "RLO", "LRO", "PDF", "RLI", "LRI", "FSI", "PDI")


@given(TEXTS)
def test_a_text_ends_what_it_begins_and_nothing_else(text: str) -> None:
    mended, depth = balanced(text), 0
    for letter in mended:
        depth += (letter in BEGINS) - (letter == END)
        assert depth >= 0, "it would end the frame around it"
    assert depth == 0, "it would take the end of the frame for its own"
    assert not set(mended) & set(LINES), "the end of a line ends every frame"
    assert balanced(mended) == mended
    kept = [letter for letter in text if letter not in LINES and letter != END]
    assert [letter for letter in mended if letter != END and letter != " "] == [each for each in kept if each != " "]


@given(TEXTS)
def test_in_a_sentence_a_text_that_turns_stands_in_a_frame(text: str) -> None:
    shown = isolated(text)
    if any(unicodedata.bidirectional(letter) in TURNING for letter in text):
        assert (shown[0], shown[1:-1], shown[-1]) == ("\u2068", balanced(text), "\u2069")
    elif not any(letter in "\u200e\u200f\u061c" for letter in text):
        assert shown == text


@pytest.mark.parametrize("text", ["", "Buy milk", "Käse & <b>", "牛乳を買う", "naïve 😀 1.5"])
def test_most_texts_are_as_they_are(text: str) -> None:
    assert isolated(text) == balanced(text) == text
    assert own(text).startswith("<bdi>")


def test_every_letter_that_turns_is_known_as_one() -> None:
    """As far as this Python's Unicode has them."""
    turning = [chr(code) for code in range(0x110000) if unicodedata.bidirectional(chr(code)) in (*TURNING, "AN")]
    assert [f"{ord(letter):x}" for letter in turning if isolated(letter) == letter] == []


def test_a_sentence_names_a_text_shortened() -> None:
    assert quoted("x" * 61) == f"“{'x' * 60}…”"
    assert quoted("\u202eevil") == "“\u2068\u202eevil\u2069”"
