"""Kinds: what the process that reads a file is told of them is all there is."""

from app.records.kinds import (
    Field,
    Kind,
    from_json,
    to_json,
)

BOOKS = Kind(
    table="books",
    deletions="deleted_books",
    noun="book",
    plural="books",
    fields=(Field(name="name", label="Name", reads="line", names="title “x”", required=True, default=0),),
)


def test_a_kind_comes_through_text_as_it_was() -> None:
    assert from_json(to_json(BOOKS)) == BOOKS


def test_the_columns_are_those_of_the_table_in_order() -> None:
    assert BOOKS.columns == ("id", "name", "created_at", "updated_at")
