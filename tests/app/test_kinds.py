"""Kinds: what the process that reads a file is told of them is all there is."""

from app.kinds import Field, Kind, from_json, to_json
from app.tasks import COLUMNS, KIND


def test_a_kind_comes_through_text_as_it_was() -> None:
    kind = Kind("books", "deleted_books", "book", "books", (Field("name", "Name", "line", "title “x”", True, 0),))
    for each in (kind, KIND):
        assert from_json(to_json(each)) == each


def test_the_columns_are_those_of_the_table_in_order() -> None:
    assert KIND.columns == COLUMNS
