"""Rows of a file from outside in a schema of our own: all of them, or a sentence that names the first that cannot."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database
from sqlite_utils.utils import sqlite3

from app.backup import foreign_file
from app.backup.copy_rows import fill
from app.backup.foreign_file import UnusableFile
from app.migrations import migrations

Filled = Callable[..., list[str]]


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    """A schema of our own, without rows, in a transaction."""
    with closing(sqlite3.connect(":memory:", isolation_level=None, uri=True)) as connection:
        migrations.apply(Database(connection, recursive_triggers=False))
        yield connection


@pytest.fixture
def filled(connection: sqlite3.Connection, tmp_path: Path) -> Filled:
    """Fills it from a file of this app to which these statements were done; what was left out."""

    def fill_from(*statements: str) -> list[str]:
        with closing(sqlite3.connect(tmp_path / "theirs.db", isolation_level=None)) as theirs:
            migrations.apply(Database(theirs, recursive_triggers=False))
            theirs.execute("INSERT INTO tasks (title, done) VALUES ('Dune', 0), ('Emma', 1)")
            theirs.execute("PRAGMA writable_schema = ON")
            for statement in statements:
                theirs.execute(statement)
        odd = foreign_file.copied(tmp_path / "theirs.db", tmp_path / "copy.db")
        connection.execute("ATTACH ? AS source", [foreign_file.address(tmp_path / "copy.db")])
        connection.execute("BEGIN")
        return fill(connection, foreign_file.tables(tmp_path / "copy.db"), odd)

    return fill_from


def titles(connection: sqlite3.Connection) -> list[str]:
    return [title for (title,) in connection.execute("SELECT title FROM main.tasks ORDER BY id")]


def test_a_column_of_ours_that_is_missing_has_its_default(filled: Filled, connection: sqlite3.Connection) -> None:
    drop = [f"DROP TRIGGER tasks_index_{event}" for event in ("insert", "update", "move", "delete")]
    assert filled(*drop, "ALTER TABLE tasks DROP COLUMN notes") == []
    assert titles(connection) == ["Dune", "Emma"]
    assert connection.execute("SELECT DISTINCT notes FROM tasks").fetchall() == [("",)]


def test_names_that_differ_in_case_are_the_same(filled: Filled, connection: sqlite3.Connection) -> None:
    assert filled("ALTER TABLE imports RENAME TO i", "ALTER TABLE i RENAME TO IMPORTS") == []
    assert titles(connection) == ["Dune", "Emma"]


def test_a_table_of_another_is_brought_and_one_that_is_refused_named(filled: Filled) -> None:
    with pytest.raises(UnusableFile, match=r"row 2 of “mine” \(a x\).*UNIQUE constraint failed: mine\.a"):
        filled(
            "CREATE TABLE mine (a TEXT, b TEXT, UNIQUE (b))",
            "INSERT INTO mine VALUES ('x', 'y'), ('x', 'z')",
            "UPDATE sqlite_schema SET sql = replace(sql, '(b)', '(a)') WHERE name = 'mine'",
        )


def test_what_a_search_that_is_left_out_kept_its_words_in_goes_with_it(
    filled: Filled, connection: sqlite3.Connection
) -> None:
    left_out = filled(
        "CREATE VIRTUAL TABLE words USING fts5(text)", "CREATE TABLE words_of_mine (a)", "CREATE TABLE data (a)"
    )
    assert left_out == ["virtual table “words”"]
    brought = connection.execute("SELECT name FROM main.sqlite_schema WHERE name LIKE 'words%' OR name = 'data'")
    assert sorted(brought.fetchall()) == [("data",), ("words_of_mine",)]


@pytest.mark.parametrize(
    "made",
    [
        "(a TEXT NOT NULL)",
        "(a TEXT DEFAULT (date('now')))",
        "(a TEXT PRIMARY KEY) WITHOUT ROWID",
        "(a TEXT) STRICT",
        "(a TEXT NOT NULL, b TEXT, PRIMARY KEY (a, b))",
        "(a TEXT PRIMARY KEY) without  rowid, strict",
    ],
)
def test_rules_that_a_table_of_a_person_loses_are_named(filled: Filled, made: str) -> None:
    assert filled(f"CREATE TABLE diary {made}") == ["rules of table “diary”"]


def test_a_table_that_loses_no_rule_is_not_named(filled: Filled) -> None:
    assert filled("CREATE TABLE diary (id INTEGER PRIMARY KEY, strict TEXT NOT NULL DEFAULT 'x', b DEFAULT 5)") == []


def test_what_an_index_of_places_kept_goes_with_it(filled: Filled, connection: sqlite3.Connection) -> None:
    assert filled("CREATE VIRTUAL TABLE rt USING rtree(id, a, b)") == ["virtual table “rt”"]
    assert connection.execute("SELECT name FROM main.sqlite_schema WHERE name LIKE 'rt%'").fetchall() == []


def test_nothing_comes_that_would_stand_before_what_sqlite_has(filled: Filled, connection: sqlite3.Connection) -> None:
    left_out = filled(
        "ALTER TABLE tasks ADD COLUMN RowId TEXT DEFAULT 'x'",
        "CREATE TABLE json_each (value)",
        "CREATE TABLE pragma_user_version (value)",
        "CREATE TABLE mine (rowid, oid)",
        "INSERT INTO mine VALUES (5, 6)",
    )
    assert left_out == ["column “RowId” of “tasks”", "table “json_each”", "table “pragma_user_version”"]
    connection.execute("COMMIT")
    connection.execute("DETACH source")
    assert connection.execute("SELECT value FROM json_each('[7]')").fetchall() == [(7,)]
    assert connection.execute("SELECT * FROM main.mine").fetchall() == [(5, 6)]
    assert connection.execute("SELECT rowid FROM main.tasks ORDER BY id").fetchall() == [(1,), (2,)]


def test_what_is_made_of_rows_does_not_come(filled: Filled, connection: sqlite3.Connection) -> None:
    assert filled("UPDATE tasks_sort SET sort_key = x'00'", "INSERT INTO unindexed VALUES ('nothing', 7)") == []
    for table in ("tasks_sort", "unindexed"):
        assert connection.execute(f"SELECT * FROM main.{table}").fetchall() == [], table
