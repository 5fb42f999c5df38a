"""The file: what was acknowledged is in it, whatever happens."""

import asyncio
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from sqlite_utils.utils import sqlite3

from app.database.db import Database
from tests.engine.app.database.shared import (
    add,
    db,
    directory,
    foreign,
    mode,
    titles,
)
from tests.engine.conftest import PROJECT, Server
from tests.engine.server.test_run import Running, Start, start

__all__ = ["db", "directory", "start"]  # fixtures


def test_a_write_gives_its_result_once_everybody_can_read_it(db: Database, directory: Path) -> None:
    id = asyncio.run(db.write(add("Milk")))
    assert [tuple(row) for row in asyncio.run(db.read("SELECT id, title FROM tasks"))] == [(id, "Milk")]
    with ThreadPoolExecutor(1) as elsewhere:
        assert elsewhere.submit(titles, db).result() == ["Milk"]
    with foreign(directory) as connection:
        assert connection.execute("SELECT title FROM tasks").fetchall() == [("Milk",)]


def test_a_read_cannot_write(db: Database) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        asyncio.run(db.read("INSERT INTO tasks (title) VALUES ('x') RETURNING id"))
    assert titles(db) == []


def test_the_token_moves_with_every_commit_of_any_program_and_with_nothing_else(db: Database, directory: Path) -> None:
    tokens = [db.token()]

    def moved() -> bool:
        tokens.append(db.token())
        return tokens[-1] not in tokens[:-1]

    assert not moved()
    asyncio.run(db.write(add("own")))
    assert moved()
    titles(db)
    with closing(db.long_reading()) as reading:
        reading.execute("SELECT * FROM tasks").fetchall()
    assert not moved()
    with foreign(directory) as connection:
        connection.execute("INSERT INTO tasks (title) VALUES ('foreign')")
        assert moved()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DELETE FROM tasks")
        assert not moved()
        connection.execute("ROLLBACK")
        assert not moved()
    with pytest.raises(ZeroDivisionError):
        asyncio.run(db.write(lambda connection: 1 / 0))
    assert not moved()


def test_a_long_read_shows_the_state_of_its_begin(db: Database) -> None:
    for title in ("one", "two", "three"):
        asyncio.run(db.write(add(title)))
    with closing(db.long_reading()) as reading:
        rows = reading.execute("SELECT title FROM tasks ORDER BY id")
        assert next(rows)["title"] == "one"
        asyncio.run(db.write(lambda connection: connection.execute("UPDATE tasks SET title = 'changed'").rowcount))
        assert reading.execute("SELECT title FROM tasks WHERE id = 3").fetchone()["title"] == "three"
        assert [row["title"] for row in rows] == ["two", "three"]
    assert titles(db) == ["changed"] * 3


def test_the_file_is_copied_whole_while_it_is_written(db: Database, directory: Path, tmp_path: Path) -> None:
    for number in range(3):
        asyncio.run(db.write(add(f"Task {number}")))

    async def write_and_copy() -> None:
        writes = asyncio.gather(*(db.write(add(f"Later {number}")) for number in range(200)))
        await asyncio.to_thread(db.backup, tmp_path / "copy.db")
        await writes

    asyncio.run(write_and_copy())
    assert mode(tmp_path / "copy.db") == 0o600
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        copied = [title for (title,) in copy.execute("SELECT title FROM tasks ORDER BY id")]
    assert copied[:3] == ["Task 0", "Task 1", "Task 2"]
    assert copied == titles(db)[: len(copied)]


LIMITED = """
import app.database.sqlite_connections
app.database.sqlite_connections.BUSY_SECONDS = 0.3
import app.database.db
connect = app.database.db.connect

def connect_with_little_room(path):
    connection = connect(path)
    connection.execute("PRAGMA max_page_count = 100")
    return connection

app.database.db.connect = connect_with_little_room
from app.main import app
"""


@pytest.fixture
def limited(start: Start, tmp_path: Path) -> Running:
    """A server whose disk is soon full, and that soon loses patience."""
    (tmp_path / "limited.py").write_text(LIMITED, encoding="utf-8")
    return start("-m", "uvicorn", "limited:app", "--port", "0", PYTHONPATH=f"{tmp_path}{os.pathsep}{PROJECT}")


def test_a_locked_file_and_a_full_disk_are_answered_clearly_and_lose_nothing(limited: Running) -> None:
    with limited.client() as client, foreign(limited.data) as other:
        assert client.post("/tasks", data={"title": "Before"}).status_code == 303

        other.execute("BEGIN IMMEDIATE")
        refused = client.post("/tasks", data={"title": "Meanwhile"})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
        assert "Another program is writing" in refused.text
        assert "Before" in client.get("/tasks").text, "who reads does not wait"
        other.execute("ROLLBACK")
        assert client.post("/tasks", data={"title": "Between"}).status_code == 303

        statuses = []
        while not statuses or (statuses[-1] == 303 and len(statuses) < 100):
            full = client.post("/tasks", data={"title": "Large", "notes": "x" * 20_000})
            statuses.append(full.status_code)
        assert set(statuses) == {303, 507}
        assert "Make room" in full.text
        count = other.execute("SELECT count(*) FROM tasks").fetchone()[0]
        assert count == 2 + len(statuses) - 1, "what was refused is not in the file, what was not is"
        assert client.get("/healthz").status_code == 200

        other.execute("DELETE FROM tasks WHERE title = 'Large'")
        assert client.post("/tasks", data={"title": "After"}).status_code == 303
        shown = client.get("/tasks").text
        assert all(title in shown for title in ("Before", "Between", "After"))
        assert "Meanwhile" not in shown
        assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)


KILLED = """
import asyncio, os, random, signal, sqlite3, sys
from pathlib import Path
from app.database.db import Database
from app.database.preparation import prepare
from app.migrations import migrations

def add(number):
    return lambda connection: connection.execute("INSERT INTO tasks (id, title) VALUES (?, 'x')", [number]).rowcount

async def write(db, say, first):
    async def one(number):
        await db.write(add(number))
        os.write(say, b"%d\\n" % number)
    for begin in range(first, first + 10_000, 8):
        await asyncio.gather(*(one(number) for number in range(begin, begin + 8)))

directory, rounds, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
chance = random.Random(seed)
acknowledged = set()
for number in range(rounds):
    hear, say = os.pipe()
    writer = os.fork()
    if not writer:
        os.close(hear)
        db = Database()
        db.open(prepare(directory, migrations))
        asyncio.run(write(db, say, number * 10_000))
    os.close(say)
    with os.fdopen(hear) as heard:
        for _ in range(chance.randint(1, 40)):
            acknowledged.add(int(heard.readline()))
        os.kill(writer, signal.SIGKILL)
        acknowledged.update(int(line) for line in heard if line.endswith("\\n"))
    os.waitpid(writer, 0)
    connection = sqlite3.connect(directory / "app.db")
    present = {id for id, in connection.execute("SELECT id FROM tasks")}
    assert acknowledged <= present, f"round {number}, seed {seed}: lost {acknowledged - present}"
    # Raises where index and tasks differ: https://www.sqlite.org/fts5.html, section 6.5.
    connection.execute("INSERT INTO tasks_fts(tasks_fts, rank) VALUES ('integrity-check', 1)")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
print(len(acknowledged))
"""


def kill_writers(directory: Path, rounds: int, seed: int) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, directory, str(rounds), str(seed)],
        cwd=PROJECT,
        capture_output=True,
        encoding="utf-8",
    )
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) > rounds


def test_what_was_acknowledged_survives_kill_9(directory: Path) -> None:
    kill_writers(directory, 4, seed=1)


@pytest.mark.slow
def test_what_was_acknowledged_survives_kill_9_two_hundred_times(directory: Path) -> None:
    kill_writers(directory, 200, seed=2)


def test_a_server_that_was_killed_starts_again_with_everything(start: Start) -> None:
    running = start("server.py")
    with running.client() as client:
        client.post("/tasks", data={"title": "Acknowledged"})
    assert running.end(signal.SIGKILL) == -signal.SIGKILL
    with start("server.py").client() as client:
        assert "Acknowledged" in client.get("/tasks").text


def test_the_running_server_keeps_its_files_private(server: Server, client: httpx.Client) -> None:
    client.post("/tasks", data={"title": "x"})
    assert mode(server.data) == 0o700
    files = [path for path in server.data.rglob("*") if path.is_file()]
    assert {"app.db", "app.db-wal", "app.db-shm", "session.key"} <= {path.name for path in files}
    assert {mode(path) for path in files} == {0o600}
