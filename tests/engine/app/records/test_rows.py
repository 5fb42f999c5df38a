"""Rows: what is deleted comes back whole, and what is gone is said to be."""

from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path

import pytest
from starlette.exceptions import HTTPException

from app.database.sqlite_connections import NOW, Connection, connect
from app.records import rows
from app.records.kinds import Field, Kind

TITLE = Field(name="title", label="Title", reads="line")
BOOKS = Kind(table="books", deletions="deleted", noun="book", plural="books", fields=(TITLE,))


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    with closing(connect(tmp_path / "app.db")) as connection:
        connection.execute(
            f"CREATE TABLE books (id INTEGER PRIMARY KEY, title TEXT, "
            f"created_at TEXT DEFAULT ({NOW}), updated_at TEXT DEFAULT ({NOW}))"
        )
        connection.execute(
            "CREATE TABLE deleted (id INTEGER PRIMARY KEY, title, created_at, updated_at, "
            f"deleted_at TEXT DEFAULT ({NOW}))"
        )
        connection.execute("CREATE TABLE row_versions (table_name TEXT, id INTEGER, version INTEGER)")
        yield connection


def found(connection: Connection, table: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in connection.execute(f"SELECT id, title, updated_at FROM {table}")]


def test_a_deleted_row_comes_back_whole_and_once(connection: Connection) -> None:
    id = rows.insert(connection, "books", {"title": "Dune"})
    before = found(connection, "books")
    rows.set_aside(connection, BOOKS, id)
    assert (found(connection, "books"), found(connection, "deleted")) == ([], before)
    assert rows.bring_back(connection, BOOKS, id)
    assert (found(connection, "books"), found(connection, "deleted")) == (before, [])
    assert not rows.bring_back(connection, BOOKS, id)


def test_what_another_program_has_taken_the_number_of_stays_where_it_is_kept(connection: Connection) -> None:
    id = rows.insert(connection, "books", {"title": "Dune"})
    rows.set_aside(connection, BOOKS, id)
    connection.execute("INSERT INTO books (id, title) VALUES (?, 'Emma')", [id])
    with pytest.raises(HTTPException, match="in use again") as refused:
        rows.bring_back(connection, BOOKS, id)
    assert refused.value.status_code == 409
    assert [row[1] for table in ("books", "deleted") for row in found(connection, table)] == ["Emma", "Dune"]


def test_what_breaks_a_rule_stays_where_it_is_kept(connection: Connection) -> None:
    connection.execute(
        "CREATE TABLE strict_books (id INTEGER PRIMARY KEY, title CHECK (title <> ''), created_at, updated_at)"
    )
    connection.execute("INSERT INTO deleted (id, title) VALUES (3, '')")
    with pytest.raises(HTTPException, match="breaks a rule of the data") as refused:
        rows.bring_back(connection, BOOKS._replace(table="strict_books"), 3)
    assert refused.value.status_code == 409
    assert [row[0] for row in found(connection, "deleted")] == [3]


def test_what_was_deleted_long_ago_goes_for_good(connection: Connection) -> None:
    connection.execute("INSERT INTO deleted (id, deleted_at) VALUES (9, '2020-01-01T00:00:00.000Z')")
    id = rows.insert(connection, "books", {"title": "Dune"})
    rows.set_aside(connection, BOOKS, id)
    assert [row[0] for row in found(connection, "deleted")] == [id]


def test_a_change_of_what_is_gone_says_so(connection: Connection) -> None:
    id = rows.insert(connection, "books", {"title": "Dune", "updated_at": "then"})
    rows.update(connection, "books", "book", id, {"title": "Emma"}, {})
    ((_, title, updated_at),) = found(connection, "books")
    assert (title, updated_at == "then") == ("Emma", False)
    with pytest.raises(HTTPException, match="This book is gone"):
        rows.update(connection, "books", "book", id + 1, {"title": "Emma"}, {})


@pytest.mark.parametrize(
    ("form", "changes"),
    [
        ({}, True),
        ({"_version": "-7"}, True),
        ({"_version": "0"}, False),
        ({"_version": ""}, False),
        ({"_version": "-7.0"}, False),
        ({"updated_at": "then"}, True),
        ({"updated_at": "now"}, False),
        ({"_version": "-7", "updated_at": "now"}, False),
    ],
)
def test_a_row_that_is_another_by_now_is_left_alone(
    connection: Connection, form: dict[str, str], changes: bool
) -> None:
    id = rows.insert(connection, "books", {"title": "Dune", "updated_at": "then"})
    connection.execute("INSERT INTO row_versions VALUES ('books', ?, -7), ('deleted', ?, 0)", [id, id])
    with nullcontext() if changes else pytest.raises(rows.Conflict):
        rows.update(connection, "books", "book", id, {"title": "Emma"}, form)
    assert found(connection, "books")[0][1] == ("Emma" if changes else "Dune")
    with pytest.raises(HTTPException, match="This book is gone"):
        rows.update(connection, "books", "book", id + 1, {"title": "Emma"}, form)
