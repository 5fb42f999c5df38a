"""Folding: what is found in a text as people write it is found in the folded one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.records.search_words import PIECE_LETTERS, folded, sought


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Donaudampfschiff, 東京tower", "  donaudampfschiff  東 京   tower "),
        ("Straße, STRASSE & ẞ", "  strasse  strasse  ss "),
        ("Café (olé)", "  cafe  ole "),
        ("a_b foo-bar", "  a  b  foo  bar "),
        ("ﾗｰﾒﾝ Ｏﬃｃｅ", "  ラ ー メ ン   office "),
        ("が か\u3099", "  が   が  "),
        ("हिन्दी", "  हिन्दी "),
        ("🎂!", " "),
        ("", "   "),
    ],
)
def test_words_are_set_apart_and_folded(text: str, words: str) -> None:
    assert folded(text) == words


@pytest.mark.parametrize(
    ("word", "key"),
    [("Milk", "milk"), ("mi", " mi"), ("M", "  m"), ("a-b", "  a  b"), ("京", " 京 "), ("東京", "東 京"), ("🎂", "")],
)
def test_short_words_are_sought_at_the_begin_and_longer_ones_anywhere(word: str, key: str) -> None:
    assert sought(word) == key
    assert not key or key in folded(f"x {word}!")


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_a_word_is_in_the_text_that_has_it(before: str, word: str) -> None:
    key = sought("".join(word.split()))
    assert len(key) != 1
    assert len(key) != 2
    assert key in folded(f"{before} {''.join(word.split())} after")


@pytest.mark.parametrize("letters", ["Straße ", "Straße", "京"])
def test_a_large_text_is_folded_in_pieces_that_end_between_words(letters: str) -> None:
    text = letters * (3 * PIECE_LETTERS // len(letters))
    words = folded(text)
    if letters.endswith(" "):
        assert words.split() == ["strasse"] * text.count(" ")
    else:
        assert words.replace(" ", "") == text.casefold()
