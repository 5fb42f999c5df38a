"""A line that names a field is a header, one with a value is none; columns without names go by what they hold."""

import pytest

from app.imports.reading.files.headers import fields_by_values, header_at, is_header
from app.records.kinds import Field, Kind
from tests.engine.app.imports.reading.kind import KIND


def rows(text: str) -> list[list[str]]:
    return [line.split(",") for line in text.split("|")]


@pytest.mark.parametrize(
    "text",
    [
        "Title,Due|Buy nails,2026-05-01",
        "Title|Buy nails",
        "Name,2026-05-01,2026-05-02|Kim,x,y",
        "Uno,Dos|Milk,x",
        "Aufgabe,Due|Milk,2026-05-01",
        "Uno,Done|Milk,yes",
        "Titel,Erledigt|Milk,WAHR",
        "Uno,Dos",
    ],
)
def test_a_line_that_names_a_field_or_holds_no_value_is_a_header(text: str) -> None:
    first, *others = rows(text)
    assert is_header(first, others, KIND)


@pytest.mark.parametrize(
    "text",
    [
        "Buy nails,2026-05-01|Paint the shed,2026-05-02",
        "Buy nails,1 May 2026",
        "Buy nails,01/05/2026|x,y",
        "Buy nails,3|Paint,4",
        "Buy nails,no|Paint,yes",
        "Buy nails,FALSCH",
        "Buy nails,https://example.com/1",
        "Buy nails,kim@example.com",
        "Buy nails,2.50 €",
        "Buy nails,garden|Paint,garden",
        "Buy nails|Paint the shed",
        "Buy nails",
    ],
)
def test_a_line_with_a_value_or_of_a_list_of_one_column_is_none(text: str) -> None:
    first, *others = rows(text)
    assert not is_header(first, others, KIND)


def test_remarks_before_a_header_are_passed_over() -> None:
    assert header_at(rows("A remark|Title,Due|Milk,x"), KIND) == 1
    assert header_at(rows("One|Two"), KIND) == 0


def test_columns_without_names_go_by_what_they_hold() -> None:
    records = [
        {"Column 1": "7", "Column 2": "Buy nails", "Column 3": "2026-05-01", "Column 4": "no", "Column 5": "x"},
        {"Column 1": "8", "Column 2": "Paint", "Column 3": "", "Column 4": "yes", "Column 5": "2026-05-01"},
    ]
    assert fields_by_values(KIND, records, {}) == {"Column 2": "title", "Column 3": "due", "Column 4": "done"}
    assert fields_by_values(KIND, records, {"due": "Column 5"}) == {"Column 2": "title", "Column 4": "done"}
    assert fields_by_values(KIND, records, {"title": None}) == {"Column 3": "due", "Column 4": "done"}


def test_days_go_to_the_fields_for_days_in_turn() -> None:
    trips = Kind(
        "trips",
        "deleted_trips",
        "trip",
        "trips",
        (
            Field("name", "Name", "line", required=True),
            Field("seats", "Seats", "whole_number"),
            Field("begins", "Begins", "day"),
            Field("ends", "Ends", "day"),
        ),
    )
    record = {"Column 1": "2026-05-01", "Column 2": "Sea", "Column 3": "2026-05-09", "Column 4": "4"}
    assert fields_by_values(trips, [record], {}) == {
        "Column 1": "begins",
        "Column 2": "name",
        "Column 3": "ends",
        "Column 4": "seats",
    }
