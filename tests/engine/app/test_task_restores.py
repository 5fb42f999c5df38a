"""Restoring tasks, from files of every age: what counts them is counted again, whatever the file says."""

from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database
from sqlite_utils.utils import sqlite3

from app.backup.backups import BackupError, restore
from app.backup.recount import counters
from app.migrations import migrations
from tests.engine.app.backup.test_staging_process import (
    data,
    file,
    left_out,
    read,
    schema,
    write,
)

__all__ = ["data", "file"]  # fixtures

NAMES = [migration.name for migration in migrations.pending(Database(memory=True))]


# Of files of a few ages in the quick run: some have no triggers yet, some no index, some no versions.
AGES = [pytest.param(name, marks=[pytest.mark.slow] if at % 4 else []) for at, name in enumerate(NAMES[1:])]


@pytest.mark.parametrize("name", AGES)
def test_a_file_of_any_age_is_brought_up_to_date(name: str, data: Path, tmp_path: Path, made: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "old.db", isolation_level=None)) as connection:
        migrations.apply(Database(connection, recursive_triggers=False), stop_before=name)
        connection.execute("INSERT INTO tasks (title, done) VALUES ('Old', 1)")
    assert left_out(restore(data, tmp_path / "old.db")) == ""
    assert schema(data / "app.db") == schema(made / "app.db")
    assert read(data / "app.db") == ["Old"]
    assert read(data / "app.db", "SELECT tasks FROM task_counts ORDER BY done") == [0, 1]
    assert read(data / "app.db", "SELECT name FROM _sqlite_migrations ORDER BY id") == NAMES


def test_counters_are_counted_whatever_the_file_says(data: Path, file: Path) -> None:
    write(
        file,
        "UPDATE completions SET completed_at = '2020-02-02T20:20:20.020Z'",
        "UPDATE task_counts SET tasks = 999",
        "DELETE FROM task_counts WHERE done = 1",
        # As if a statement were about to replace a row that there is not.
        "INSERT INTO replaced_tasks VALUES (1000, 0)",
    )
    restore(data, file)
    assert read(data / "app.db", "SELECT id FROM replaced_tasks") == []
    path = data / "app.db"
    assert read(path, "SELECT done, tasks FROM task_counts ORDER BY done") == [(0, 2), (1, 1)]
    assert read(path, "SELECT completed_at FROM completions") == ["2020-02-02T20:20:20.020Z"], "that is data"


def test_sqlite_says_that_the_counts_of_tasks_are_counted() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrations.apply(Database(connection))
        assert counters(connection, ["tasks", "completions", "imports"]).columns == {"task_counts": {"tasks"}}


def test_a_counter_that_is_missing_is_counted(data: Path, file: Path) -> None:
    drop = [f"DROP TRIGGER task_counts_{event}" for event in ("insert", "update", "delete")]
    write(file, *drop, "DROP TABLE task_counts")
    assert left_out(restore(data, file)) == ""
    assert read(data / "app.db", "SELECT tasks FROM task_counts ORDER BY done") == [2, 1]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("title = ' '", "CHECK constraint failed"),
        pytest.param("due = 'soon'", "CHECK constraint failed", marks=pytest.mark.slow),
        pytest.param("done = 2", "CHECK constraint failed", marks=pytest.mark.slow),
    ],
)
def test_a_deleted_task_that_could_not_come_back_is_named(data: Path, file: Path, change: str, rule: str) -> None:
    keep = "INSERT INTO deletions (id, title, notes, done, created_at, updated_at) VALUES ({}, 'Gone', '', 1, 'x', 'x')"
    write(file, keep.format(70), keep.format(71), keep.format(72))
    restore(data, file)
    path = data / "app.db"
    assert read(path, "SELECT id FROM deletions ORDER BY id") == [70, 71, 72]
    assert read(path, "SELECT count(*) FROM tasks WHERE title = 'Gone'") == [0], "they were only tried"
    assert read(path, "SELECT sum(tasks) FROM task_counts") == read(path, "SELECT count(*) FROM tasks")
    before = read(path, "SELECT title FROM tasks ORDER BY id")
    write(file, f"UPDATE deletions SET {change} WHERE id = 71")
    with pytest.raises(BackupError, match=rf"a row of “deletions” \(id 71\) breaks a rule of the app: {rule}"):
        restore(data, file)
    assert read(path, "SELECT title FROM tasks ORDER BY id") == before
