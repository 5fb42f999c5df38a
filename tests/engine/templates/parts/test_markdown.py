"""Markdown: what is drawn at once is cheap, whatever stands in it; what would be many times its text is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from templates.parts.markdown import (
    MOST_HTML,
    SHORT_LINES,
    SHORT_PUNCTUATION,
    SHORT_SIGNS,
    SHORT_TEXT,
    TooLarge,
    is_short,
    to_html,
)

A_NOTE = "Buy **milk**, and read [this](https://example.org).\n\n- one\n- two"


def test_what_a_person_writes_into_a_note_is_short() -> None:
    assert is_short(A_NOTE)
    assert is_short("Some words, and some more of them. " * 50)


@pytest.mark.parametrize(
    "text",
    [
        "a" * (SHORT_TEXT + 1),
        "a\n" * (SHORT_LINES + 1),
        "[" * (SHORT_SIGNS + 1),
        "_a" * (SHORT_SIGNS + 1),
        "|" * (SHORT_SIGNS + 1),
        "-" * (SHORT_PUNCTUATION + 1),
        "🌱" * (SHORT_PUNCTUATION + 1),
    ],
    ids=["letters", "lines", "brackets", "underscores", "columns", "dashes", "other signs"],
)
def test_what_may_cost_more_is_not_short(text: str) -> None:
    assert not is_short(text)


@given(st.text(st.sampled_from("[]()*_~`<>&\\|! \n\tab1.-+#=:"), max_size=60))
def test_whatever_is_short_is_not_many_times_as_long(text: str) -> None:
    if is_short(text):
        assert len(to_html(text)) <= 100 + 100 * len(text)


@pytest.mark.parametrize(
    "text",
    [
        f"[a]: /{'x' * 60_000}\n\n" + "[a] " * 1000,
        "a|" * 500 + "\n" + "-|" * 500 + "\n" + "a\n" * 100,
        "&" * (MOST_HTML // 5 + 1),
    ],
    ids=["references", "cells", "escapes"],
)
def test_what_would_be_many_times_its_text_is_refused(text: str) -> None:
    with pytest.raises(TooLarge):
        to_html(text)


def test_a_column_says_how_it_is_aligned_without_a_style() -> None:
    html = to_html("|a|b|\n|:-:|--:|\n|1|2|\n")
    assert '<th align="center">a</th>' in html
    assert "style" not in html
