"""Columns go to our fields by their names, and nothing in a row is lost."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.imports.reading.values.columns import (
    Places,
    Unusable,
    harmless,
    is_own,
    matched,
    restored,
    row_of,
)
from app.imports.reading.values.dates import Manner
from app.records.kinds import Field, Kind
from tests.engine.app.imports.reading.kind import COLUMNS, KIND


def task(**values: Any) -> dict[str, Any]:
    """A task with these values; what a file does not say is as in a new one."""
    return dict.fromkeys(COLUMNS) | {"notes": "", "done": 0} | values


@given(st.text() | st.text("'=+-@\t\ra"))
def test_harmless_cells_are_restored(cell: str) -> None:
    assert restored(harmless(cell)) == cell
    assert not harmless(cell).startswith(("=", "+", "-", "@", "\t", "\r"))


@pytest.mark.parametrize(
    ("cell", "made"),
    [("=1+1", "'=1+1"), ("-", "'-"), ("'=1", "''=1"), ("''@", "'''@"), ("it's", "it's"), ("'quoted'", "'quoted'")],
)
def test_a_formula_gets_one_apostrophe(cell: str, made: str) -> None:
    assert harmless(cell) == made


@pytest.mark.parametrize(
    ("columns", "fields"),
    [
        ("Task Name,Notes,DUE_DATE,Is-Completed,Date Added", "title,notes,due,done,created_at"),
        ("name,desc,due,dueComplete,closed,dateLastActivity", "title,notes,due,done,,updated_at"),
        ("Subject,Notes,Status,Due Date,Date Completed", "title,notes,,due,done"),
        ("Title,Content,Completed Time,Status", "title,notes,done,"),
        ("content,date", "title,due"),
        ("description,status,entry", "title,done,created_at"),
        ("Name,Title", ",title"),
        ("due,Due", "due,"),
        ("id,Task ID,Priority,Start date", ",,,"),
        ("body,state,closedAt,createdAt,updatedAt,title", "notes,done,,created_at,updated_at,title"),
    ],
)
def test_columns_go_to_fields_by_their_names(columns: str, fields: str) -> None:
    expected = {column: field for column, field in zip(columns.split(","), fields.split(","), strict=True) if field}
    assert matched(KIND, columns.split(",")) == expected


def test_what_a_person_has_chosen_goes_before_the_names() -> None:
    columns = ["Title", "Headline", "Due", "Notes"]
    assert matched(KIND, columns, {"title": "Headline"}) == {"Headline": "title", "Due": "due", "Notes": "notes"}
    assert matched(KIND, columns, {"due": None, "notes": "Due"}) == {"Due": "notes", "Title": "title"}
    assert matched(KIND, columns, {"title": "Notes", "notes": "Notes"}) == {"Notes": "title", "Due": "due"}
    assert matched(KIND, columns, {"title": "Gone"}) == {"Due": "due", "Notes": "notes"}


def test_our_own_columns_are_known() -> None:
    assert is_own(KIND, COLUMNS)
    assert is_own(KIND, reversed(COLUMNS))
    assert not is_own(KIND, COLUMNS[1:])
    assert not is_own(KIND, [*COLUMNS, "priority"])


def test_a_row_becomes_a_task_and_the_rest_goes_to_its_notes() -> None:
    row = {
        "Title": "Milk",
        "Status": "In review",
        "Due": "every day",
        "Notes": "Oat milk\n",
        "Created": "2026-05-01T12:00:00+02:00",
        "Tags": ["home", {"n": 1}],
        "Empty": "",
        "None": None,
        "Flag": False,
        "Two\nlines": " a\nb ",
    }
    notes = 'Oat milk\n\nStatus: In review\nDue: every day\nTags: ["home",{"n":1}]\nFlag: false\nTwo lines: a\nb'
    assert row_of(KIND, row, Places(matched(KIND, row))) == task(
        title="Milk", notes=notes, created_at="2026-05-01T10:00:00Z"
    )


def test_without_notes_what_is_kept_is_the_notes() -> None:
    row = {"title": "Milk", "shop": "Corner"}
    assert row_of(KIND, row, Places(matched(KIND, row)))["notes"] == "shop: Corner"


def test_the_notes_of_a_row_that_is_all_understood_are_as_they_were() -> None:
    row = {"title": "Milk", "notes": " as\r\n it is \n", "due": "2026-05-01", "done": "yes"}
    assert row_of(KIND, row, Places(matched(KIND, row))) == task(
        title="Milk", notes=" as\r\n it is \n", due="2026-05-01", done=1
    )


def test_a_title_that_is_too_long_is_kept_whole_in_the_notes() -> None:
    task = row_of(KIND, {"title": "x" * 2000}, Places({"title": "title"}))
    assert (len(task["title"]), task["notes"]) == (1000, "title: " + "x" * 2000)


def test_the_day_is_first_where_the_column_says_so() -> None:
    row = {"title": "Milk", "due": "01/05/2026"}
    assert row_of(KIND, row, Places(matched(KIND, row), {"due": Manner("day")}))["due"] == "2026-05-01"
    assert row_of(KIND, row, Places(matched(KIND, row), {"due": Manner("month")}))["due"] == "2026-01-05"


@pytest.mark.parametrize(
    ("row", "fields", "reason"),
    [
        ({"title": " \n", "notes": "x"}, {"title": "title"}, "It has no title"),
        ({"notes": "x"}, {"title": "title"}, "It has no title"),
        ({"": 7}, {"title": "title"}, "It has no title"),
        ({"Überschrift": "x"}, {}, "choose one"),
    ],
)
def test_a_row_without_a_title_is_no_task(row: dict[str, Any], fields: dict[str, str], reason: str) -> None:
    with pytest.raises(Unusable, match=reason):
        row_of(KIND, row, Places(fields))


WORDS = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8)
NAMES = st.sampled_from(["notes", "due", "done", "created", "updated", "tags", "x"])


@given(st.dictionaries(NAMES, WORDS | st.booleans() | st.integers() | st.lists(WORDS, min_size=1)), st.booleans())
def test_no_value_of_a_row_is_lost(row: dict[str, Any], day_first: bool) -> None:
    places = Places(matched(KIND, ["title", *row]), dict.fromkeys(row, Manner("day" if day_first else "month")))
    task = row_of(KIND, {"title": "Milk", **row}, places)
    for name, value in row.items():
        field = places.fields.get(name)
        kept = f"{name}: {'' if isinstance(value, (bool, list)) else value}" in task["notes"]
        understood = field is not None and task[field] not in (None, "")
        assert kept or understood


BOOKS = Kind(
    "books",
    "deleted_books",
    "book",
    "books",
    (
        Field("name", "Name", "line", required=True),
        Field("pages", "Pages", "whole_number", required=True),
        Field("read_on", "Read on", "day"),
        Field("is_mine", "Is mine", "yes_or_no", default=0),
    ),
)


def test_a_kind_without_a_place_for_the_rest_leaves_out_what_has_no_column() -> None:
    row = {"Name": "Dune", "PAGES": "412", "Read On": "1.5.2026", "Shelf": "3", "Is mine": "yes"}
    assert row_of(BOOKS, row, Places(matched(BOOKS, row))) == {
        "id": None,
        "name": "Dune",
        "pages": 412,
        "read_on": "2026-05-01",
        "is_mine": 1,
        "created_at": None,
        "updated_at": None,
    }


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"name": "Dune", "pages": "many"}, "“many” is not understood as “Pages”."),
        ({"name": "Dune", "pages": 412, "read on": "soon"}, "“soon” is not understood as “Read on”."),
        ({"name": "Dune", "pages": 412, "is mine": "maybe"}, "“maybe” is not understood as “Is mine”."),
        ({"name": "Dune", "pages": ""}, "It has no pages."),
        ({"name": "Dune"}, "No column is taken for the pages: choose one."),
    ],
)
def test_without_a_place_for_the_rest_a_row_that_is_not_understood_is_refused(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unusable, match=re.escape(reason)):
        row_of(BOOKS, row, Places(matched(BOOKS, row)))
