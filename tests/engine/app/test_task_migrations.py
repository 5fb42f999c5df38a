"""The schema of the tasks: its rules hold whichever program writes, and what is kept beside them is right."""

import re
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlite_utils import Database
from sqlite_utils.utils import sqlite3

from app.database.sqlite_connections import Connection
from app.migrations import migrations
from app.records.search_words import folded
from app.records.sort_keys import sort_key
from tests.engine.app.test_migrations import NAMES, new_file


def is_right(connection: Connection) -> None:
    """What is kept beside the tasks (counts, completions, search and order) says the same as the tasks."""
    for done in (0, 1):
        kept = connection.execute("SELECT tasks FROM task_counts WHERE done = ?", [done]).fetchall()
        assert kept == connection.execute("SELECT count(*) FROM tasks WHERE done = ?", [done]).fetchall()
    completed = connection.execute("SELECT task_id FROM completions ORDER BY 1").fetchall()
    assert completed == connection.execute("SELECT id FROM tasks WHERE done = 1 ORDER BY 1").fetchall()
    for id, title, notes in connection.execute("SELECT id, title, notes FROM tasks").fetchall():
        assert connection.execute("SELECT 1 FROM tasks_sort WHERE id = ?", [id]).fetchall(), "it has its place"
        if not connection.execute("SELECT 1 FROM unindexed WHERE table_name = 'tasks' AND id = ?", [id]).fetchall():
            texts = [text.decode() if isinstance(text, bytes) else text for text in (title, notes)]
            kept = connection.execute("SELECT words FROM tasks_fts WHERE rowid = ?", [id]).fetchall()
            assert kept == [("".join(map(folded, texts)),)]
            kept = connection.execute("SELECT sort_key FROM tasks_sort WHERE id = ?", [id]).fetchall()
            assert kept == [(sort_key(texts[0]),)]


CHANGES = [
    "UPDATE tasks SET done = 1",
    "UPDATE tasks SET title = title",
    "UPDATE OR IGNORE tasks SET title = 'Milk'",
    "UPDATE OR REPLACE tasks SET title = 'Milk'",
    "REPLACE INTO tasks (id, title) VALUES (1, 'Milk')",
    "INSERT INTO tasks (id, title) VALUES (1, 'Milk') ON CONFLICT DO UPDATE SET title = 'Milk'",
    "INSERT OR FAIL INTO tasks (id, title) VALUES (1, 'Milk') ON CONFLICT (id) DO UPDATE SET title = 'Milk'",
    "DELETE FROM tasks; INSERT INTO tasks (id, title) VALUES (1, 'Milk')",
    "UPDATE tasks SET id = 7; UPDATE tasks SET id = 1",
]


def version(connection: Connection) -> list[Any]:
    return connection.execute("SELECT version FROM row_versions WHERE table_name = 'tasks' AND id = 1").fetchall()


@pytest.mark.parametrize("recursive", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_each_change_of_a_row_gives_it_another_version(change: str, recursive: bool) -> None:
    with closing(new_file()) as connection:
        connection.execute(f"PRAGMA recursive_triggers = {recursive}")
        connection.execute("INSERT INTO tasks (title) VALUES ('Milk')")
        versions = [version(connection)]
        assert versions == [[]], "what was never changed has none"
        for _ in range(5):
            connection.executescript(change)
            versions.append(version(connection))
        assert len({*map(str, versions)}) == 6
        connection.execute("INSERT INTO tasks (title) VALUES ('new')")
        connection.execute("DELETE FROM tasks")
        assert connection.execute("SELECT * FROM row_versions").fetchall() == [], "what is gone has none"


@pytest.mark.parametrize(
    ("change", "is_indexed"),
    [
        ("done = 1", False),
        ("due = '2030-01-02', updated_at = 'now', title = title, notes = notes", False),
        ("title = 'Oat milk'", True),
        ("notes = 'new words'", True),
        ("id = 7", True),
        ("rowid = 7", True),
    ],
)
def test_a_row_is_indexed_again_only_where_its_words_or_its_number_change(change: str, is_indexed: bool) -> None:
    with closing(new_file()) as connection:
        connection.execute("INSERT INTO tasks (title, notes) VALUES ('Milk', 'old words')")
        connection.execute("DELETE FROM unindexed")
        connection.execute(f"UPDATE tasks SET {change}")
        assert bool(connection.execute("SELECT * FROM unindexed").fetchall()) == is_indexed


TITLES = st.sampled_from(["Milk", "Bread and milk", "Ärger", "x"])
IDS = st.integers(1, 4)
DONE = st.integers(0, 1)
WRITES = st.one_of(
    st.tuples(st.just("INSERT INTO tasks (title, notes, done) VALUES (?, ?, ?)"), TITLES, TITLES, DONE),
    st.tuples(st.just("INSERT OR IGNORE INTO tasks (id, title, done) VALUES (?, ?, ?)"), IDS, TITLES, DONE),
    st.tuples(
        st.just("INSERT INTO tasks (id, title) VALUES (?, ?) ON CONFLICT DO UPDATE SET title = title || 1, done = 1"),
        IDS,
        TITLES,
    ),
    st.tuples(st.just("UPDATE tasks SET title = ?, notes = ? WHERE id = ?"), TITLES, TITLES, IDS),
    st.tuples(st.just("UPDATE tasks SET done = ? WHERE id = ?"), DONE, IDS),
    st.tuples(st.just("UPDATE OR REPLACE tasks SET rowid = ? WHERE id = ?"), IDS, IDS),
    st.tuples(st.just("UPDATE tasks SET done = 1 - done, title = title || ?"), TITLES),
    st.tuples(st.just("DELETE FROM tasks WHERE id = ?"), IDS),
    st.tuples(st.just("DELETE FROM tasks WHERE title LIKE ?"), TITLES),
    st.just(("DELETE FROM tasks",)),
    st.just(("INSERT INTO tasks (title, done) SELECT title, 1 - done FROM tasks",)),
)


@given(st.lists(WRITES, max_size=12))
def test_counts_completions_and_search_are_right_whichever_program_writes_what(writes: list[tuple[Any, ...]]) -> None:
    with closing(new_file()) as connection:
        for statement, *values in writes:
            connection.execute(statement, values)
            is_right(connection)


def test_a_program_that_replaces_whole_rows_leaves_them_right_too() -> None:
    """`sqlite-utils insert --replace` does it, with the triggers that it turns on."""
    with closing(new_file()) as connection:
        tasks = Database(connection).table("tasks")
        tasks.insert_all([{"id": 1, "title": "Old words", "done": 0}, {"id": 2, "title": "Other", "done": 1}])
        tasks.insert_all([{"id": 1, "title": "New words", "done": 1}], replace=True)
        tasks.insert_all([{"id": 2, "title": "Other", "done": 0}], replace=True)
        is_right(connection)


@pytest.mark.parametrize(
    "values",
    [
        {"title": ""},
        {"title": "  "},
        {"title": None},
        {"notes": None},
        {"done": 2},
        {"done": -1},
        {"done": None},
        {"done": "yes"},
        {"due": ""},
        {"due": "soon"},
        {"due": "2026-13-01"},
        {"due": "2026-02-30"},
        {"due": "2026-1-1"},
        {"due": "01.02.2026"},
        {"due": "2026-01-01 12:00"},
        {"due": "now"},
        {"due": 2461000},
    ],
    ids=repr,
)
def test_no_program_can_write_what_is_no_task(values: dict[str, Any]) -> None:
    row = {"title": "A task", "notes": "", "done": 0, "due": None} | values
    with closing(new_file()) as connection:
        # “now” is no error of the value for SQLite, but of the question.
        with pytest.raises(sqlite3.OperationalError if values == {"due": "now"} else sqlite3.IntegrityError):
            connection.execute(
                f"INSERT INTO tasks ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", list(row.values())
            )
        is_right(connection)


@pytest.mark.parametrize("due", [None, "2026-12-31", "2024-02-29", "0001-01-01", "9999-12-31"])
def test_a_title_is_enough_for_a_task(due: str | None) -> None:
    with closing(new_file()) as connection:
        connection.execute("INSERT INTO tasks (title, due) VALUES ('A task', ?)", [due])
        row = connection.execute("SELECT notes, due, done, created_at, updated_at FROM tasks").fetchone()
        assert row[:3] == ("", due, 0)
        for moment in row[3:]:
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", moment)


def test_the_address_of_a_deleted_task_is_not_given_to_another() -> None:
    with closing(new_file()) as connection:
        for _ in range(2):
            connection.execute("INSERT INTO tasks (title) VALUES ('A task')")
        connection.execute("DELETE FROM tasks")
        connection.execute("INSERT INTO tasks (title) VALUES ('A task')")
        assert connection.execute("SELECT id FROM tasks").fetchall() == [(3,)]


@pytest.mark.parametrize("name", NAMES[1:])
def test_a_file_of_any_age_is_brought_up_to_date_with_its_tasks(name: str) -> None:
    with closing(new_file(up_to=name)) as old:
        rows = [("Open task", 0), ("Done task", 1), ("Second open task", 0)]
        old.executemany("INSERT INTO tasks (title, done) VALUES (?, ?)", rows)
        migrations.apply(Database(old, recursive_triggers=False))
        assert old.execute("SELECT title, done FROM tasks ORDER BY id").fetchall() == rows
        is_right(old)


def test_a_file_from_before_is_indexed_too() -> None:
    with closing(new_file(up_to="index_tasks")) as connection:
        connection.execute("INSERT INTO tasks (title) VALUES ('zoo'), ('Aal')")
        migrations.apply(Database(connection, recursive_triggers=False))
        assert connection.execute("SELECT id FROM unindexed").fetchall() == [(1,), (2,)]
        assert connection.execute("SELECT id FROM tasks_sort ORDER BY sort_key").fetchall() == [(2,), (1,)]
