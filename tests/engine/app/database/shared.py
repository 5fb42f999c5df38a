"""A data directory for tests, made ready and opened, and what they ask of it."""

import asyncio
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils.utils import sqlite3

from app.database.db import Database
from app.database.preparation import prepare
from app.database.sqlite_connections import Connection
from app.migrations import migrations


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A data directory that has been made ready."""
    prepare(tmp_path / "data", migrations)
    return tmp_path / "data"


@pytest.fixture
def db(directory: Path) -> Iterator[Database]:
    """The opened file of that directory."""
    db = Database()
    db.open(directory / "app.db")
    yield db
    db.close()


def foreign(directory: Path) -> closing[Connection]:
    """The file as another program has it open, which knows nothing of this app.

    In the process that has it open already it must be the same SQLite: two of them would lose each other's locks
    (https://www.sqlite.org/howtocorrupt.html, section 2.2.1).
    """
    return closing(sqlite3.connect(directory / "app.db", isolation_level=None, timeout=10))


def add(title: str) -> Callable[[Connection], int]:
    """A change that adds a task, and gives its id."""

    def change(connection: Connection) -> int:
        id: int = connection.execute("INSERT INTO tasks (title) VALUES (?) RETURNING id", [title]).fetchone()[0]
        return id

    return change


def titles(db: Database) -> list[str]:
    return [row["title"] for row in asyncio.run(db.read("SELECT title FROM tasks ORDER BY id"))]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
