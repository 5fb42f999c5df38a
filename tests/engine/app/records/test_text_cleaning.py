"""Texts as they are kept."""

import pytest

from app.records.text_cleaning import (
    odd_year,
    one_line,
    storable,
    without_controls,
)


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


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("0026-05-01", "2026-05-01"),
        ("0099-5-1", "2099-05-01"),
        ("02026-05-01", "2026-05-01"),
        ("0026/05/01", "2026-05-01"),
        (" 0026.05.01 ", "2026-05-01"),
        ("0000-05-01", "2026-12-31"),
        ("000-05-01", "2026-12-31"),
        ("202-05-01", "2026-12-31"),
        ("0999-12-31", "2026-12-31"),
        ("10000-01-01", "2026-12-31"),
        ("20260-05-01", "2026-12-31"),
        ("0026-05-01T10:00", "2026-05-01"),
    ],
)
def test_a_year_that_is_none_is_said_with_what_to_write(text: str, meant: str) -> None:
    written = text.strip().removesuffix("T10:00")
    words = f"The year of “{written}” is not one from 1000 to 9999. Write its four digits, as in {meant}."
    assert odd_year(text) == words


@pytest.mark.parametrize(
    "text",
    ["1000-01-01", "9999-12-31", "2026-02-30", "26-05-01", "01/05/2026", "1.5.26", "20260501", "0", "", "１２３-1-1"],
)
def test_nothing_is_said_of_other_texts(text: str) -> None:
    assert odd_year(text) == ""
