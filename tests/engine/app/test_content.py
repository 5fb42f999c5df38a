"""A file that was written over is told from one that SQLite has written to."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.identity import Identity, Kind


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
