"""A file that was written over is told from one that SQLite has written to."""

import os
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from app.database.integrity.file_identity import Identity, Kind


def make(path: Path, rows: int) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE a (id INTEGER PRIMARY KEY, b)")
    connection.executemany("INSERT INTO a VALUES (?, ?)", [(id, "x" * 500) for id in range(rows)])
    return connection


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[tuple[Path, sqlite3.Connection, Identity]]:
    path = tmp_path / "app.db"
    with closing(make(path, 300)) as connection:
        yield path, connection, Identity(path)


def test_what_sqlite_writes_is_right(opened: tuple[Path, sqlite3.Connection, Identity], tmp_path: Path) -> None:
    path, connection, identity = opened
    with closing(make(tmp_path / "other.db", 90)) as other:
        for statement in (
            "UPDATE a SET b = 'y' WHERE id = 7",
            "PRAGMA wal_checkpoint(PASSIVE)",
            "DELETE FROM a WHERE id > 100",
            "VACUUM",
            "PRAGMA wal_checkpoint(TRUNCATE)",
            "UPDATE a SET b = 'z' WHERE id = 8",
            "PRAGMA wal_checkpoint(RESTART)",
        ):
            connection.execute(statement).fetchall()
            assert identity.loss() is None, statement
        other.backup(connection)
        assert identity.loss() is None
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        assert identity.loss() is None
        os.utime(path)
        assert identity.loss() is None


def test_what_a_checkpoint_leaves_out_because_of_a_reader_is_right(
    opened: tuple[Path, sqlite3.Connection, Identity],
) -> None:
    """Of a page with a frame that the reader may not see yet, the frames before that are not copied either."""
    path, connection, identity = opened
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        for statements in (
            ("UPDATE a SET b = 'y' WHERE id IN (7, 200)", "UPDATE a SET b = 'z' WHERE id = 7"),
            # The first page says that the file is larger than it has become.
            ("INSERT INTO a SELECT id + 1000, b FROM a", "UPDATE a SET b = b || 'x' WHERE id > 1200"),
        ):
            before, after = statements
            connection.execute(before)
            reader.execute("BEGIN")
            assert reader.execute("SELECT count(*) FROM a").fetchone()
            connection.execute(after)
            _, frames, copied = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            assert copied < frames
            assert identity.loss() is None, before
            reader.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            assert identity.loss() is None, after


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 60))])
def test_whatever_programs_do_at_the_same_time_is_right(
    opened: tuple[Path, sqlite3.Connection, Identity], seed: int
) -> None:
    path, connection, identity = opened
    chance = random.Random(seed)
    connection.execute("PRAGMA wal_autocheckpoint = 40")
    with ExitStack() as stack:
        others = [stack.enter_context(closing(sqlite3.connect(path, isolation_level=None))) for _ in range(3)]
        for _ in range(150):
            other = chance.choice(others)
            first = chance.randrange(2000)
            match chance.randrange(6):
                case 0 | 1 | 2:
                    values = [
                        (chance.randrange(2000), "x" * chance.randrange(900)) for _ in range(chance.randrange(60))
                    ]
                    connection.execute("BEGIN")
                    connection.executemany("INSERT OR REPLACE INTO a VALUES (?, ?)", values)
                    connection.execute("COMMIT")
                case 3:
                    connection.execute("DELETE FROM a WHERE id BETWEEN ? AND ?", (first, first + 300))
                case 4:
                    other.execute("COMMIT" if other.in_transaction else "BEGIN")
                    other.execute("SELECT count(*) FROM a").fetchone()
                case 5:
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if chance.random() < 0.7:
                assert identity.loss() is None


@pytest.mark.parametrize("way", ["copy", "older", "empty", "log"])
def test_what_is_written_over_it_is_seen(
    opened: tuple[Path, sqlite3.Connection, Identity], tmp_path: Path, way: str
) -> None:
    path, connection, identity = opened
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    older = shutil.copy(path, tmp_path / "older.db")
    connection.execute("UPDATE a SET b = 'y' WHERE id = 7")
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    assert identity.loss() is None
    if way == "copy":
        make(tmp_path / "other.db", 20).close()
        shutil.copy(tmp_path / "other.db", path)
    elif way == "older":
        shutil.copy(older, path)
    else:
        (path if way == "empty" else Path(f"{path}-wal")).write_bytes(b"")
    loss = identity.loss()
    assert loss
    assert loss.kind is Kind.OVERWRITTEN
