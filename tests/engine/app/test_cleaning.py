"""Texts as they are kept."""

import pytest

from app.cleaning import one_line, storable, without_controls


@pytest.mark.parametrize(
    ("text", "line", "kept"),
    [
        ("a  b", "a b", "a  b"),
        ("tab\x01x", "tab x", "tab\x01x"),
        ("\x7f", "", "\x7f"),
        ("a\r\nb\u2028c\x85d", "a b c d", "a\r\nb\u2028c\x85d"),
        ("x\0y\n", "xy", "xy\n"),
        ("\ud800\n", "\ufffd", "\ufffd\n"),
        ("naïve 😀", "naïve 😀", "naïve 😀"),
    ],
)
def test_a_text_is_cleaned_once(text: str, line: str, kept: str) -> None:
    assert (one_line(text), storable(text)) == (line, kept)
    assert (one_line(line), without_controls(line), storable(kept)) == (line, line, kept)
