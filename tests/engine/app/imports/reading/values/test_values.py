"""Values of other programs mean what people mean by them; what says more than that is known."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.imports.reading.values import values
from app.imports.reading.values.dates import PLAIN
from app.imports.reading.values.values import LONGEST_TITLE, READERS, text_of


def read(field: str, value: Any) -> tuple[Any, bool]:
    return READERS[field](value, PLAIN)


@pytest.mark.parametrize(
    "value", [1, True, "1", "TRUE", " yes ", "x", "✓", "[x]", "Done", "CLOSED", "completed", "Complete", "100%"]
)
def test_done_is_done(value: Any) -> None:
    assert read("done", value) == (1, True)


@pytest.mark.parametrize(
    "value", [0, False, "0", "false", "No", "[ ]", "open", "To Do", "doing", "Not Started", "needsAction", "0%"]
)
def test_open_is_open(value: Any) -> None:
    assert read("done", value) == (0, True)


@pytest.mark.parametrize(
    ("value", "done"),
    [
        ("2026-04-20T16:00:00.000Z", 1),
        ("April 20, 2026", 1),
        ("19.4.2026", 1),
        ("Cancelled", 1),
        ("Won't do", 1),
        ("In review", 0),
        ("In progress", 0),
        ("50%", 0),
        (2, 0),
        ("someday", 0),
        ({"state": "done"}, 0),
    ],
)
def test_a_state_that_says_more_than_done_or_open_is_kept(value: Any, done: int) -> None:
    assert read("done", value) == (done, False)


@pytest.mark.parametrize(
    ("value", "due"),
    [
        ("2026-05-01", ("2026-05-01", True)),
        ("2026-05-01T09:00:00Z", ("2026-05-01", False)),
        ("every day", (None, False)),
        (17, (None, False)),
        ({"date": "2026-05-01"}, ("2026-05-01", True)),
        ({"date": "2026-05-01", "string": "every day"}, ("2026-05-01", False)),
        ({"dateTime": "2026-05-01T00:00:00.0000000", "timeZone": "UTC"}, ("2026-05-01", True)),
        ({"dateTime": "2026-05-01T22:00:00Z", "timeZone": "Europe/Berlin"}, ("2026-05-02", True)),
        ({"dateTime": "2026-05-01T22:00:00", "timeZone": "Pacific Standard Time"}, ("2026-05-01", False)),
        ({"date": None, "start": "2026-05-01", "end": "2026-05-03"}, ("2026-05-01", False)),
        ({"date": 7}, (None, False)),
    ],
)
def test_due_is_a_day(value: Any, due: tuple[str | None, bool]) -> None:
    assert read("day", value) == due


def test_a_moment_that_is_not_understood_is_kept() -> None:
    assert read("moment", "2026-05-01T12:00:00+02:00") == ("2026-05-01T10:00:00Z", True)
    assert read("moment", "yesterday") == (None, False)


@pytest.mark.parametrize(
    ("value", "title"),
    [("  Buy\r\nmilk\tnow\0 ", "Buy milk now"), ("\u2028a\x85b", "a b"), (17, "17"), ("🌱", "🌱"), ("a\ud800", "a�")],
)
def test_a_title_is_one_line(value: Any, title: str) -> None:
    assert read("title", value) == (title, True)


def test_a_long_title_is_cut_and_says_so() -> None:
    assert read("title", "x" * LONGEST_TITLE) == ("x" * LONGEST_TITLE, True)
    assert read("title", "x" * (LONGEST_TITLE + 1)) == ("x" * (LONGEST_TITLE - 1) + "…", False)


@pytest.mark.parametrize(
    ("reader", "value", "found"),
    [
        ("yes_or_no", "Yes", 1),
        ("yes_or_no", False, 0),
        ("yes_or_no", "2026-05-01", None),
        ("yes_or_no", "perhaps", None),
        ("whole_number", " 25 ", 25),
        ("whole_number", Decimal("25.0"), 25),
        ("whole_number", -3, -3),
        ("whole_number", "25.5", None),
        ("whole_number", "9" * 30, None),
        ("whole_number", "٣", None),
        ("number", "2.5", 2.5),
        ("number", Decimal("1e3"), 1000.0),
        ("number", "-.5", -0.5),
        ("number", "inf", None),
        ("number", "1e999", None),
        ("number", "1,5", None),
        ("line", "a\r\nb\0 ", "a b"),
        ("text", " a\r\nb", " a\r\nb"),
    ],
)
def test_a_value_of_a_type_is_understood_or_said_not_to_be(reader: str, value: Any, found: Any) -> None:
    assert read(reader, value) == (found, found is not None)


@pytest.mark.parametrize(
    ("value", "id"),
    [
        ("17", (17, True)),
        (17, (17, True)),
        ("0", (None, False)),
        ("-1", (None, False)),
        ("1e3", (None, False)),
        ("9" * 30, (None, False)),
        ("1٣", (None, False)),
        (True, (None, False)),
    ],
)
def test_an_id_is_a_key_of_sqlite(value: Any, id: tuple[int | None, bool]) -> None:
    assert read("id", value) == id


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is\n", "as it is\n"),
        (Decimal("1.50"), "1.50"),
        (0.5, "0.5"),
        (False, "false"),
        ([{"näme": "x", "n": Decimal("0.5")}], '[{"näme":"x","n":0.5}]'),
    ],
)
def test_any_value_is_text(value: Any, text: str) -> None:
    assert text_of(value) == text


def test_notes_are_made_storable() -> None:
    assert values.storable("as\r\n\tit is 🌱") == "as\r\n\tit is 🌱"
    assert values.storable("a\0b\ud800c") == "ab�c"


@pytest.mark.parametrize("value", [None, "", " \n", [], {}])
def test_nothing_is_empty(value: Any) -> None:
    assert values.is_empty(value)


@pytest.mark.parametrize("value", [0, False, "0", [None], Decimal(0)])
def test_zero_and_false_are_not_empty(value: Any) -> None:
    assert not values.is_empty(value)


@given(st.sampled_from(sorted(READERS)), st.text() | st.integers() | st.floats(allow_nan=False) | st.lists(st.text()))
def test_no_value_breaks_a_reader(field: str, value: Any) -> None:
    read(field, value)
    values.storable(text_of(value)).encode()
