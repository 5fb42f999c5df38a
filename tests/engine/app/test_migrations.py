"""The schema: a file of any age is brought up to date with its data, or left as it was."""

import os
import re
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database, Migrations
from sqlite_utils.utils import sqlite3

from app.database.preparation import prepare
from app.database.sqlite_connections import Connection, UnusableDatabase
from app.migrations import migrations
from app.settings import settings

NAMES = [migration.name for migration in migrations.pending(Database(memory=True))]


def new_file(*, up_to: str | None = None) -> Connection:
    """A file of this schema, in memory, as any program opens it: with the settings that SQLite has by itself."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrations.apply(Database(connection, recursive_triggers=False), stop_before=up_to)
    return connection


def schema(connection: Connection) -> list[Any]:
    return connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2").fetchall()


@pytest.mark.parametrize("name", NAMES[1:])
def test_a_file_of_any_age_is_brought_up_to_date(name: str) -> None:
    with closing(new_file(up_to=name)) as old, closing(new_file()) as new:
        migrations.apply(Database(old, recursive_triggers=False))
        assert schema(old) == schema(new)


# Migrations that are pending in a file that holds something


def make_notes(db: Database) -> None:
    db.execute("CREATE TABLE notes (text TEXT)")


def add_colour(db: Database) -> None:
    db.execute("ALTER TABLE notes ADD COLUMN colour TEXT NOT NULL DEFAULT 'white'")


def fail(db: Database) -> None:
    db.execute("DELETE FROM notes")
    db.execute("ALTER TABLE colours ADD COLUMN colour TEXT")


def commit_and_fail(db: Database) -> None:
    db.execute("DELETE FROM notes")
    db.execute("COMMIT")
    raise ValueError("too late")


def end_the_process(db: Database) -> None:
    os._exit(9)


def those(*changes: Any) -> Migrations:
    made = Migrations(migrations.name)
    for change in changes:
        made()(change)
    return made


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A data directory with a file at its first migration, and one note in it."""
    path = prepare(tmp_path / "data", those(make_notes))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("INSERT INTO notes VALUES ('kept')")
    return tmp_path / "data"


def rows(path: Path) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT * FROM notes").fetchall()


def test_a_copy_is_made_before_a_pending_migration_and_only_then(directory: Path) -> None:
    backups = directory / "backups"
    prepare(directory, those(make_notes))
    assert not backups.exists(), "neither of a new file nor where nothing is pending"
    prepare(directory, those(make_notes, add_colour))
    (copy,) = backups.iterdir()
    assert re.fullmatch(r"\d{8}T\d{6}Z-before-add_colour\.db", copy.name)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (backups, copy)] == [0o700, 0o600]
    assert rows(copy) == [("kept",)]
    assert rows(directory / "app.db") == [("kept", "white")]
    prepare(directory, those(make_notes, add_colour))
    assert list(backups.iterdir()) == [copy]


def test_a_copy_can_be_put_back_and_migrated_again(directory: Path) -> None:
    prepare(directory, those(make_notes, add_colour))
    (copy,) = (directory / "backups").iterdir()
    copy.replace(directory / "app.db")
    prepare(directory, those(make_notes, add_colour))
    assert rows(directory / "app.db") == [("kept", "white")]


def test_a_migration_that_fails_leaves_the_file_as_it_was(directory: Path) -> None:
    before = (directory / "app.db").read_bytes()
    with pytest.raises(UnusableDatabase, match="no such table: colours") as refusal:
        prepare(directory, those(make_notes, add_colour, fail))
    assert str(directory / "app.db") in str(refusal.value)
    assert rows(directory / "app.db") == [("kept",)], "not even the migration before it"
    assert (directory / "app.db").read_bytes() == before
    assert list((directory / "backups").iterdir()) == [], "a start that is tried over and over keeps no copies"
    prepare(directory, those(make_notes, add_colour))
    assert rows(directory / "app.db") == [("kept", "white")]


def test_a_migration_that_has_committed_a_part_and_fails_leaves_the_copy(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UnusableDatabase, match="too late"):
        prepare(directory, those(make_notes, commit_and_fail))
    assert rows(directory / "app.db") == []
    (copy,) = (directory / "backups").iterdir()
    assert rows(copy) == [("kept",)]
    assert f"The data from before it are in {copy}." in caplog.text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is ended in the middle")
def test_a_migration_that_ends_the_process_again_and_again_leaves_one_copy(directory: Path) -> None:
    """As a hot reload has it tried at each edit."""
    for _ in range(19):
        process = os.fork()
        if not process:
            prepare(directory, those(make_notes, end_the_process))
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 9
    (copy,) = (directory / "backups").glob("*.db")
    assert rows(copy) == [("kept",)]
    assert rows(directory / "app.db") == [("kept",)]


def test_many_failing_migrations_of_changing_data_leave_few_copies(directory: Path) -> None:
    for number in range(19):
        with closing(sqlite3.connect(directory / "app.db")) as connection:
            connection.execute("INSERT INTO notes VALUES (?)", [f"note {number}"])
            connection.commit()
        with pytest.raises(UnusableDatabase, match="too late"):
            prepare(directory, those(make_notes, commit_and_fail))
    copies = list((directory / "backups").iterdir())
    assert len(copies) <= settings.keep_copies + 1
