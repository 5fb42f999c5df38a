"""Connections and transactions: the pragmas are on, and other programs that write are waited for."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import pytest
from sqlite_utils.utils import sqlite3

from app.database.db import Database
from app.database.sqlite_connections import Connection, open_existing
from tests.engine.app.database.shared import (
    add,
    db,
    directory,
    foreign,
    titles,
)
from tests.engine.conftest import Server

__all__ = ["db", "directory"]  # fixtures


def test_foreign_keys_and_the_full_synchronous_mode_are_on(db: Database) -> None:
    def pragmas(connection: Connection) -> list[Any]:
        names = ("foreign_keys", "synchronous", "journal_mode")
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    assert asyncio.run(db.write(pragmas)) == [1, 2, "wal"]


def test_text_in_another_encoding_is_shown_as_well_as_it_can_be(client: httpx.Client, server: Server) -> None:
    server.sql("INSERT INTO tasks (title, notes) VALUES (CAST(x'4361666520e9' AS TEXT), CAST(x'ff' AS TEXT))")
    for address in ("/tasks", "/export.csv", "/export.json"):
        answer = client.get(address)
        assert answer.status_code == 200
        assert "Cafe \N{REPLACEMENT CHARACTER}" in answer.text


def test_a_write_waits_for_another_program_that_writes(db: Database, directory: Path) -> None:
    order: list[str] = []

    async def write() -> None:
        with foreign(directory) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO tasks (title) VALUES ('theirs')")

            async def let_go() -> None:
                await asyncio.sleep(1)
                order.append("theirs")
                connection.execute("COMMIT")

            async def go_on() -> None:
                await db.write(add("ours"))
                order.append("ours")

            await asyncio.gather(go_on(), let_go())

    asyncio.run(write())
    assert order == ["theirs", "ours"]
    assert titles(db) == ["theirs", "ours"]


# Inserts without a pause, as `sqlite3` in a script does; it says so once it has begun.
INSERT_ON_AND_ON = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
connection.execute("PRAGMA synchronous = FULL")
connection.execute("INSERT INTO tasks (title) VALUES ('theirs')")
print(flush=True)
for _ in range(500_000):
    connection.execute("INSERT INTO tasks (title) VALUES ('theirs')")
"""


def test_a_program_that_writes_without_a_pause_does_not_starve_the_writer(db: Database, directory: Path) -> None:
    """SQLite's own waiting, which tries ten times a second at the end, gets one or two writes through a second."""
    command = [sys.executable, "-c", INSERT_ON_AND_ON, str(directory / "app.db")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        took = []
        try:
            for number in range(30):
                began = time.monotonic()
                asyncio.run(db.write(add(f"ours {number}")))
                took.append(time.monotonic() - began)
                time.sleep(0.05)  # In which the other program is at it again.
            assert other.poll() is None
        finally:
            other.kill()
    # One that the machine keeps waiting says nothing.
    assert median(took) < 0.2, took


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        open_existing(tmp_path / "none.db")
    assert not list(tmp_path.iterdir())
