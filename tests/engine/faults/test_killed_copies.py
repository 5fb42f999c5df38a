"""Commands that copy the file are killed at any moment: the file is as before or as after, each backup is whole, and
what is left of half a copy goes with the next command.
"""

import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils.utils import sqlite3

from app.database.preparation import prepare
from app.database.sqlite_connections import connect
from app.migrations import migrations
from tests.engine.conftest import PROJECT

ROWS = 3000
MIGRATE = """
import sys
from pathlib import Path
from sqlite_utils import Migrations
from app.database.preparation import prepare
from app.migrations import migrations

more = Migrations(migrations.name)
for migration in migrations._migrations:
    more(name=migration.name)(migration.fn)

@more()
def change_all(db):
    db.execute("UPDATE tasks SET title = 'After'")

prepare(Path(sys.argv[1]), more)
"""


def write(path: Path, title: str) -> Path:
    """A file with many tasks of this title."""
    with closing(connect(path)) as connection:
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO tasks (title, notes) VALUES (?, ?)", [(title, "x" * 1000)] * ROWS)
        connection.execute("COMMIT")
    return path


def state(path: Path) -> tuple[int, str]:
    """How many tasks a whole file has, and what all of them are called."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        ((count, title),) = connection.execute("SELECT count(*), title FROM tasks GROUP BY title").fetchall()
        return count, title


def run(command: list[Any], seconds: float | None) -> float:
    """Run a command, or kill it after so many seconds; how long it took."""
    begun = time.monotonic()
    with subprocess.Popen([sys.executable, *command], cwd=PROJECT, stdout=subprocess.DEVNULL) as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        code = process.wait()
    assert code in (0, -signal.SIGKILL)
    return time.monotonic() - begun


def kill_at_any_moment(command: list[Any], data: Path, kills: int) -> int:
    """Kill a command again and again, each time with the same data; how often it had changed the file before."""
    chance = random.Random(1)
    kept = shutil.copytree(data, data.parent / "kept")
    seconds = run(command, None)
    changed = 0
    for _ in range(kills):
        shutil.copy(kept / "app.db", data / "app.db")
        for ending in ("-wal", "-shm"):
            (data / f"app.db{ending}").unlink(missing_ok=True)
        # Most of it is Python that starts.
        run(command, chance.uniform(0.3, 1.1) * seconds)
        assert state(data / "app.db") in ((ROWS, "Before"), (ROWS, "After"))
        changed += state(data / "app.db") == (ROWS, "After")
        for copy in (data / "backups").glob("*"):
            if not copy.name.startswith(".making-"):
                assert state(copy) == (ROWS, "Before"), copy
    run(["server.py", "backup", "--data", data], None)
    left = [path.name for path in (*data.iterdir(), *(data / "backups").iterdir()) if path.name.startswith(".")]
    assert left == []
    return changed


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Data that is called “Before”."""
    return write(prepare(tmp_path / "data", migrations), "Before").parent


MANY = pytest.param(60, marks=pytest.mark.slow)


@pytest.mark.parametrize("kills", [2, MANY])
def test_restore(data: Path, tmp_path: Path, kills: int) -> None:
    other = write(prepare(tmp_path / "other", migrations), "After")
    changed = kill_at_any_moment(["server.py", "restore", other, "--data", data], data, kills)
    print(f"\n{kills} kills of restore, {changed} after its commit: each file and each backup whole")


@pytest.mark.parametrize("kills", [2, MANY])
def test_backup(data: Path, kills: int) -> None:
    assert kill_at_any_moment(["server.py", "backup", "--data", data], data, kills) == 0


@pytest.mark.parametrize("kills", [4, MANY])
def test_a_migration(data: Path, kills: int) -> None:
    changed = kill_at_any_moment(["-c", MIGRATE, data], data, kills)
    print(f"\n{kills} kills of a migration, {changed} after its commit: each file and each backup whole")
