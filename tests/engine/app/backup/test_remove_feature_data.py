"""What `drop` does to the data: all that belonged to a feature goes in one commit, or nothing does."""

import itertools
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from sqlite_utils import Database
from sqlite_utils.utils import sqlite3

from app.backup.remove_feature_data import taken_out
from app.database.preparation import prepare
from app.database.sqlite_connections import Connection, connect
from app.migrations import migrations
from server.commands.project_edits import EditError, Kept

BOOKS = Kept("books", ("books_fts", "books", "deleted_books"), ("create_books",))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A file with a feature in it, as `new` makes it, and an import that has brought a row."""
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
        connection.execute("INSERT INTO imported_rows (import_id, row_id, version) VALUES (1, 1, 0), (2, 1, 0)")
        connection.execute("INSERT INTO _sqlite_migrations VALUES (NULL, ?, 'create_books', '')", [migrations.name])
    (tmp_path / "data" / "uploads").mkdir()
    (tmp_path / "data" / "uploads" / "1").write_text("x", encoding="utf-8")
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
    with taken_out(data, BOOKS) as words:
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


def test_what_is_written_meanwhile_is_in_the_copy(data: Path) -> None:
    acknowledged: list[str] = []
    begun = threading.Event()

    def write() -> None:
        other = sqlite3.connect(data / "app.db", timeout=60, isolation_level=None)
        with closing(other), suppress(sqlite3.OperationalError):  # At the end the table is gone.
            for number in itertools.count():
                other.execute("INSERT INTO books (title) VALUES (?)", [f"Book {number}"])
                acknowledged.append(f"Book {number}")
                if number == 20:
                    begun.set()

    writing = threading.Thread(target=write, daemon=True)
    writing.start()
    assert begun.wait(60)
    with taken_out(data, BOOKS):
        pass
    writing.join(60)
    (copy,) = (data / "backups").iterdir()
    with closing(connect(copy)) as kept:
        found = [row["title"] for row in kept.execute("SELECT title FROM books ORDER BY id")]
    assert found == ["Dune", *acknowledged]


def test_a_copy_that_cannot_be_kept_stops_it(
    data: Path, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.database.copies.RESERVE_BYTES", 10**18)
    monkeypatch.setattr("app.database.copies.size_of", lambda path: 10**18)
    with pytest.raises(EditError, match=r"No space left.*Nothing was changed"), taken_out(data, BOOKS):
        pytest.fail("the code is not edited then")
    assert connection.execute("SELECT title FROM books").fetchone()[0] == "Dune"
    assert list((data / "backups").iterdir()) == []


def test_where_the_code_cannot_be_edited_the_data_stays(data: Path, connection: Connection) -> None:
    with pytest.raises(RuntimeError), taken_out(data, BOOKS):
        raise RuntimeError
    assert connection.execute("SELECT title FROM books").fetchone()[0] == "Dune"
    assert (data / "uploads" / "1").exists()
    assert list((data / "backups").iterdir()) == []


def test_a_file_that_another_program_holds_is_left_as_it_is(
    data: Path, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.database.sqlite_connections.BUSY_SECONDS", 0.1)
    connection.execute("BEGIN IMMEDIATE")
    with pytest.raises(EditError, match=r"locked\. Nothing was changed"), taken_out(data, BOOKS):
        pytest.fail("the code is not edited then")
    connection.execute("ROLLBACK")
    assert connection.execute("SELECT title FROM books").fetchone()[0] == "Dune"


def test_data_that_never_had_it_is_not_copied(tmp_path: Path) -> None:
    with taken_out(tmp_path / "none", BOOKS) as words:
        assert "There is no data" in words
    prepare(tmp_path / "data", migrations)
    with taken_out(tmp_path / "data", BOOKS) as words:
        assert "had no table books" in words
    assert not (tmp_path / "data" / "backups").exists()


def test_data_of_before_the_last_migrations_is_brought_up_to_date_first(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with closing(connect(tmp_path / "data" / "app.db")) as connection:
        migrations.apply(Database(connection), stop_before="create_presence")
        connection.execute("CREATE TABLE books (id INTEGER PRIMARY KEY, title TEXT)")
    with taken_out(tmp_path / "data", BOOKS):
        pass
    prepare(tmp_path / "fresh", migrations)
    with closing(connect(tmp_path / "data" / "app.db")) as old, closing(connect(tmp_path / "fresh" / "app.db")) as new:
        assert schema(old) == schema(new)


def test_what_it_shares_with_others_is_changed_as_told(data: Path, connection: Connection) -> None:
    shared = BOOKS._replace(changes=("ALTER TABLE presence ADD COLUMN readers INTEGER",))
    with taken_out(data, shared):
        pass
    assert "readers" in connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'presence'").fetchone()[0]


def test_data_that_cannot_be_looked_at_is_not_taken_for_none(tmp_path: Path) -> None:
    (tmp_path / "app.db").symlink_to("app.db")
    with (
        pytest.raises(EditError, match=r"app\.db cannot be looked at: .* Nothing was changed"),
        taken_out(tmp_path, BOOKS),
    ):
        pytest.fail("the code is not edited then")
