"""What `drop` does to the data: all that belonged to a feature goes in one commit, or nothing does."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database

from app.db import Connection, UnusableDatabase, connect, prepare
from app.migrations import migrations
from app.removals import taken_out


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a feature in it, as `new` makes it, and an import that has brought a row."""
    # The code of the feature is not here to say so.
    monkeypatch.setattr("app.backups.unknown_migrations", lambda connection, migrations: set())
    path = prepare(tmp_path / "data", migrations)
    with closing(connect(path)) as connection:
        connection.execute("INSERT INTO tasks (title) VALUES ('Mine')")
        connection.execute("CREATE TABLE books (id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT)")
        connection.execute("CREATE TABLE deleted_books (id INTEGER PRIMARY KEY, title TEXT)")
        Database(connection).table("books").enable_fts(["title"], create_triggers=True)
        connection.execute("INSERT INTO books (title) VALUES ('Dune')")
        for kind in ("books", "tasks"):
            connection.execute(
                "INSERT INTO imports (kind, filename, state, process) VALUES (?, 'a.csv', 'done', 0)", [kind]
            )
        connection.execute("INSERT INTO imported_rows VALUES (1, 1), (2, 1)")
        connection.execute("INSERT INTO _sqlite_migrations VALUES (NULL, ?, 'create_books', '')", [migrations.name])
    (tmp_path / "data" / "uploads").mkdir()
    (tmp_path / "data" / "uploads" / "1").write_text("x")
    return tmp_path / "data"


@pytest.fixture
def connection(data: Path) -> Iterator[Connection]:
    with closing(connect(data / "app.db")) as connection:
        yield connection


def schema(connection: Connection) -> list[tuple[str, ...]]:
    return [tuple(row) for row in connection.execute("SELECT name, sql FROM sqlite_schema ORDER BY name")]


def test_all_that_belonged_to_it_is_gone_and_the_rest_is_as_before(
    data: Path, connection: Connection, tmp_path: Path
) -> None:
    with taken_out(data, "books") as words:
        assert "books" in [name for name, *_ in schema(connection)], "nothing goes before the end"
    prepare(tmp_path / "fresh", migrations)
    with closing(connect(tmp_path / "fresh" / "app.db")) as fresh:
        assert schema(connection) == schema(fresh)
        applied = "SELECT name FROM _sqlite_migrations ORDER BY name"
        assert list(map(tuple, connection.execute(applied))) == list(map(tuple, fresh.execute(applied)))
    assert [tuple(row) for row in connection.execute("SELECT import_id FROM imported_rows")] == [(2,)]
    assert connection.execute("SELECT title FROM tasks").fetchone()[0] == "Mine"
    assert not (data / "uploads" / "1").exists()
    (copy,) = (data / "backups").iterdir()
    assert str(copy) in words
    with closing(connect(copy)) as kept:
        assert kept.execute("SELECT title FROM books").fetchone()[0] == "Dune"


def test_where_the_code_cannot_be_edited_the_data_stays(data: Path, connection: Connection) -> None:
    with pytest.raises(RuntimeError), taken_out(data, "books"):
        raise RuntimeError
    assert connection.execute("SELECT title FROM books").fetchone()[0] == "Dune"
    assert (data / "uploads" / "1").exists()


def test_a_file_that_another_program_holds_is_left_as_it_is(
    data: Path, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.db.BUSY_SECONDS", 0.1)
    connection.execute("BEGIN IMMEDIATE")
    with pytest.raises(UnusableDatabase, match=r"locked\. Nothing was changed"), taken_out(data, "books"):
        pytest.fail("the code is not edited then")
    connection.execute("ROLLBACK")
    assert connection.execute("SELECT title FROM books").fetchone()[0] == "Dune"


def test_data_that_never_had_it_is_not_copied(tmp_path: Path) -> None:
    with taken_out(tmp_path / "none", "books") as words:
        assert "There is no data" in words
    prepare(tmp_path / "data", migrations)
    with taken_out(tmp_path / "data", "books") as words:
        assert "had no table books" in words
    assert not (tmp_path / "data" / "backups").exists()
