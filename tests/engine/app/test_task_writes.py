"""What the schema promises holds whatever a program writes, in every form that SQLite has for it."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlite_utils import Database
from sqlite_utils.utils import sqlite3

from app.database.sqlite_connections import Connection
from app.migrations import migrations
from app.records import indexing
from app.records.kinds import kinds
from app.tasks import KIND
from tests.engine.app.test_task_migrations import is_right

COMMAND = shutil.which("sqlite3")
IDS = st.sampled_from(["1", "2", "3", "4", "'2'", "3.0", "-1", "NULL", "9223372036854775806"])
TITLES = st.sampled_from(["'Milk'", "'Bread'", "'Ärger'", "''", "NULL", "x'4d696c6b'", "7"])
DONE = st.sampled_from(["0", "1", "'1'", "2", "NULL"])
WHERE = st.sampled_from(["id = 1", "id = 2", "id IN (1, 3)", "done = 0", "done = 1", "title LIKE 'm%'", "1"])
CONFLICT = st.sampled_from(["", " OR REPLACE", " OR IGNORE", " OR ABORT", " OR FAIL", " OR ROLLBACK"])
UPSERTS = st.sampled_from(
    [
        " ON CONFLICT DO NOTHING",
        " ON CONFLICT (id) DO NOTHING",
        " ON CONFLICT (id) DO UPDATE SET title = excluded.title, done = excluded.done",
        " ON CONFLICT (id) DO UPDATE SET done = 1 - done",
        " ON CONFLICT (id) DO UPDATE SET id = id + 1",
        " ON CONFLICT DO UPDATE SET title = excluded.title WHERE done = 0",
    ]
)
ROWS = st.lists(st.tuples(IDS, TITLES, DONE).map(lambda row: f"({', '.join(row)})"), min_size=1, max_size=4).map(
    ", ".join
)
STATEMENTS = st.one_of(
    st.tuples(CONFLICT, ROWS).map(lambda each: f"INSERT{each[0]} INTO tasks (id, title, done) VALUES {each[1]}"),
    st.tuples(ROWS, UPSERTS).map(lambda each: f"INSERT INTO tasks (id, title, done) VALUES {each[0]}{each[1]}"),
    st.tuples(CONFLICT, ROWS, UPSERTS).map(
        lambda each: f"INSERT{each[0]} INTO tasks (id, title, done) VALUES {each[1]}{each[2]}"
    ),
    st.tuples(CONFLICT, WHERE).map(
        lambda each: (
            f"INSERT{each[0]} INTO tasks (id, title, done) SELECT 4 - id, title, 1 - done FROM tasks WHERE {each[1]}"
        )
    ),
    ROWS.map(lambda rows: f"REPLACE INTO tasks (id, title, done) VALUES {rows}"),
    st.tuples(CONFLICT, IDS, WHERE).map(lambda each: f"UPDATE{each[0]} tasks SET id = {each[1]} WHERE {each[2]}"),
    st.tuples(CONFLICT, IDS, DONE, WHERE).map(
        lambda each: f"UPDATE{each[0]} tasks SET rowid = {each[1]}, done = {each[2]} WHERE {each[3]}"
    ),
    st.tuples(CONFLICT, WHERE).map(lambda each: f"UPDATE{each[0]} tasks SET id = id % 2 + 1 WHERE {each[1]}"),
    st.tuples(CONFLICT, TITLES, DONE, WHERE).map(
        lambda each: f"UPDATE{each[0]} tasks SET title = {each[1]}, done = {each[2]} WHERE {each[3]}"
    ),
    st.tuples(CONFLICT, WHERE).map(lambda each: f"UPDATE{each[0]} tasks SET id = id + 1 WHERE {each[1]}"),
    WHERE.map(lambda where: f"DELETE FROM tasks WHERE {where}"),
    st.just("DELETE FROM tasks"),
    st.sampled_from(["BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT a", "SAVEPOINT b", "ROLLBACK TO a", "RELEASE a"]),
)
SETTINGS = st.tuples(st.booleans(), st.booleans()).map(
    lambda each: [f"PRAGMA foreign_keys = {each[0]}", f"PRAGMA recursive_triggers = {each[1]}"]
)


@pytest.fixture(scope="module", autouse=True)
def kind() -> Iterator[None]:
    """The tasks are what the app is about."""
    with patch.dict(kinds, {"tasks": KIND}, clear=True):
        yield


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A file of this schema."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "app.db"
        with closing(sqlite3.connect(path)) as connection:
            migrations.apply(Database(connection, recursive_triggers=False))
        yield path


def rows_of(connection: Connection) -> dict[int, Any]:
    return {row[0]: row for row in connection.execute("SELECT id, title, notes, done, created_at FROM tasks")}


def versions_of(connection: Connection) -> dict[int, int]:
    return dict(connection.execute("SELECT id, version FROM row_versions WHERE table_name = 'tasks'").fetchall())


def check_versions(before: tuple[dict[int, Any], dict[int, int]], after: tuple[dict[int, Any], dict[int, int]]) -> None:
    """What has changed has another version, what has gone has none."""
    (rows, versions), (rows_now, versions_now) = before, after
    assert versions_now.keys() <= rows_now.keys()
    for id, row in rows.items():
        if id in rows_now and rows_now[id] != row:
            assert versions.get(id, 0) != versions_now.get(id, 0)


def all_is_right(connection: Connection) -> None:
    is_right(connection)
    # What is noted is made good, and then nothing is kept of what is gone.
    connection.execute("SAVEPOINT indexed")
    indexing.complete(connection)
    is_right(connection)
    assert connection.execute("SELECT * FROM unindexed").fetchall() == []
    tasks = connection.execute("SELECT id FROM tasks ORDER BY id").fetchall()
    assert connection.execute("SELECT rowid FROM tasks_fts ORDER BY rowid").fetchall() == tasks
    assert connection.execute("SELECT id FROM tasks_sort ORDER BY id").fetchall() == tasks
    connection.execute("INSERT INTO tasks_fts (tasks_fts, rank) VALUES ('integrity-check', 1)")
    connection.execute("ROLLBACK TO indexed")
    connection.execute("RELEASE indexed")
    # A program that goes on after this one finds no trace of it: what is noted is of a row that there is.
    assert connection.execute("SELECT id FROM replaced_tasks WHERE id NOT IN (SELECT id FROM tasks)").fetchall() == []


@given(SETTINGS, st.lists(STATEMENTS, max_size=12), st.booleans())
def test_all_is_right_after_each_statement_of_another_program(
    made: Path, settings: list[str], statements: list[str], is_indexed: bool
) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        with closing(sqlite3.connect(made)) as file:
            file.backup(connection)
        for statement in settings:
            connection.execute(statement)
        for statement in statements:
            before = rows_of(connection), versions_of(connection)
            # A statement that fails is to leave all right, too.
            with suppress(sqlite3.Error):
                connection.execute(statement)
            is_taken_back = statement.startswith("ROLLBACK") or "OR ROLLBACK" in statement
            if not is_taken_back:
                check_versions(before, (rows_of(connection), versions_of(connection)))
            all_is_right(connection)
            if is_indexed:
                indexing.complete(connection)


@pytest.mark.skipif(COMMAND is None, reason="there is no sqlite3 command here")
@given(SETTINGS, st.lists(STATEMENTS, min_size=1, max_size=12))
def test_all_is_right_after_what_the_command_line_writes(
    made: Path, settings: list[str], statements: list[str]
) -> None:
    assert COMMAND is not None
    path = made.with_name("written.db")
    shutil.copyfile(made, path)
    subprocess.run(
        [COMMAND, path], input=";\n".join([*settings, *statements, ""]), encoding="utf-8", capture_output=True
    )
    with closing(sqlite3.connect(path)) as connection:
        all_is_right(connection)


@pytest.mark.parametrize("recursive", [False, True])
@pytest.mark.parametrize(
    ("statement", "open", "done"),
    [
        ("INSERT OR REPLACE INTO tasks (id, title, done) VALUES (1, 'New words', 1)", 0, 2),
        ("REPLACE INTO tasks (id, title, done) VALUES (1, 'New words', 1), (1, 'Newer', 0), (2, 'Second', 1)", 1, 1),
        ("INSERT OR IGNORE INTO tasks (id, title, done) VALUES (1, 'New words', 1)", 1, 1),
        ("UPDATE OR REPLACE tasks SET id = 2 WHERE id = 1", 1, 0),
        ("UPDATE OR REPLACE tasks SET id = 1 WHERE id = 2", 0, 1),
        ("UPDATE tasks SET id = 7 WHERE id = 2", 1, 1),
    ],
)
def test_a_row_that_is_replaced_is_counted_once(statement: str, open: int, done: int, recursive: bool) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrations.apply(Database(connection, recursive_triggers=False))
        connection.execute(f"PRAGMA recursive_triggers = {recursive}")
        connection.execute("INSERT INTO tasks (title, done) VALUES ('First', 0), ('Other', 1)")
        connection.execute(statement)
        counts = connection.execute("SELECT tasks FROM task_counts ORDER BY done").fetchall()
        assert counts == [(open,), (done,)]
        all_is_right(connection)


def test_what_was_replaced_before_is_counted_again() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        schema = Database(connection, recursive_triggers=False)
        migrations.apply(schema, stop_before="count_replaced_tasks")
        connection.execute("INSERT INTO tasks (title, done) VALUES ('First', 0), ('Other', 1)")
        connection.execute("REPLACE INTO tasks (id, title, done) VALUES (1, 'New', 1), (2, 'Newer', 0)")
        connection.execute("UPDATE tasks SET id = 9 WHERE id = 1")
        migrations.apply(schema)
        assert connection.execute("SELECT tasks FROM task_counts ORDER BY done").fetchall() == [(1,), (1,)]
        assert connection.execute("SELECT task_id FROM completions").fetchall() == [(9,)]


def test_a_task_can_be_replaced_by_its_number_alone(made: Path) -> None:
    """A unique key that is added later needs more: what it may replace is to be noted too (count_replaced_tasks)."""
    with closing(sqlite3.connect(made)) as connection:
        assert connection.execute("SELECT name FROM pragma_index_list('tasks') WHERE \"unique\"").fetchall() == []
