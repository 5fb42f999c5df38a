"""Kinds: what the process that reads a file is told of them is all there is."""

from app.kinds import Field, Kind, from_json, to_json

BOOKS = Kind("books", "deleted_books", "book", "books", (Field("name", "Name", "line", "title “x”", True, 0),))


def test_a_kind_comes_through_text_as_it_was() -> None:
    assert from_json(to_json(BOOKS)) == BOOKS


def test_the_columns_are_those_of_the_table_in_order() -> None:
    assert BOOKS.columns == ("id", "name", "created_at", "updated_at")
