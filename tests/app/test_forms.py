"""Forms: each type of field takes what a person would write, and says what is wrong with anything else."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import forms
from app.forms import InputError, Reader, changes_of

READERS: dict[str, tuple[str, Reader]] = {
    "title": ("Title", forms.line),
    "pages": ("Pages", forms.optional(forms.whole_number)),
    "mine": ("Mine", forms.yes_or_no),
}


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (forms.line, " a \n b\0 ", "a b"),
        (forms.optional_line, " ", ""),
        (forms.text, "a\r\nb", "a\nb"),
        (forms.optional_text, "", ""),
        (forms.whole_number, " -12 ", -12),
        (forms.whole_number, "12.0", 12),
        (forms.number, "1.5", 1.5),
        (forms.number, "1e3", 1000.0),
        (forms.day, " 2030-01-02 ", "2030-01-02"),
        (forms.yes_or_no, "1", 1),
        (forms.yes_or_no, "", 0),
        (forms.optional(forms.day), " ", None),
        (forms.optional(forms.yes_or_no), "0", 0),
    ],
)
def test_a_field_is_read(read: Reader, text: str, value: Any) -> None:
    assert read(text, "Field") == value


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (forms.line, " \t", "“Field” is missing."),
        (forms.line, "x" * 1001, "“Field” has at most 1000 characters."),
        (forms.text, " \n", "“Field” is missing."),
        (forms.whole_number, "1.5", "“1.5” is not a whole number. Write “Field” as 12."),
        (forms.whole_number, "9" * 19, "not a whole number"),
        (forms.whole_number, "٣", "not a whole number"),
        (forms.number, "many", "“many” is not a number. Write “Field” as 1.5."),
        (forms.number, "inf", "not a number"),
        (forms.number, "1_0", "not a number"),
        (forms.day, "2030-02-30", "“2030-02-30” is not a date. Write it as 2026-12-31."),
        (forms.yes_or_no, "maybe", "“Field” is 1 or 0."),
        (forms.optional(forms.whole_number), "x", "not a whole number"),
    ],
)
def test_what_is_wrong_is_said(read: Reader, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(text, "Field")


@given(st.sampled_from([forms.line, forms.text, forms.whole_number, forms.number, forms.day]), st.text())
def test_any_text_is_read_or_refused(read: Reader, text: str) -> None:
    with suppress(InputError):
        assert read(text, "Field") is not None


def test_a_form_changes_what_it_names_and_what_is_required() -> None:
    assert changes_of({"pages": "3", "colour": "red"}, READERS) == {"pages": 3}
    assert changes_of({"title": "a", "mine": "1"}, READERS, READERS) == {"title": "a", "pages": None, "mine": 1}
    with pytest.raises(InputError, match="“Title” is missing"):
        changes_of({"mine": "1"}, READERS, READERS)
