"""A disk that is really full: a small file system of the server's own. What cannot be kept is refused with a sentence,
what is there can be read, and when there is room again everything goes on by itself.

A file that may not grow, and one that another program holds, are in tests/engine/app/database/test_db.py.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.engine.conftest import PROJECT
from tests.engine.server.test_run import Running

DISK = 4 * 2**20
# A mount that is seen by this process and its children alone, and gone with them, whoever started it.
MOUNTED = 'mount -t tmpfs -o size={},mode=0700 tmpfs "$0" && exec "$@"'
UNSHARE = ["unshare", "--mount", *([] if hasattr(os, "geteuid") and os.geteuid() == 0 else ["--map-root-user"])]


class SmallDisk(Running):
    """A server whose data lies on a small disk."""

    def __init__(self, data: Path, *options: str, size: int = DISK) -> None:
        data.mkdir()
        self.mountpoint = data
        code = "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])"
        mounted = [*UNSHARE, "sh", "-c", MOUNTED.format(size), data]
        super().__init__(
            *("-c", code, *mounted, sys.executable, PROJECT / "server.py", "run", *options),
            data=data,
        )

    @property
    def disk(self) -> Path:
        """The disk, as the server sees it."""
        return Path(f"/proc/{self.process.pid}/root{self.mountpoint}")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[SmallDisk]:
    """A server on a disk of its own."""
    yield from small_disk(tmp_path)


def small_disk(tmp_path: Path, *options: str) -> Iterator[SmallDisk]:
    """The same with options; skips where this system does not let us mount one."""
    probe = [*UNSHARE, "sh", "-c", MOUNTED.format(DISK), tmp_path, "true"]
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("this system does not let us mount a small disk")
    running = SmallDisk(tmp_path / "data", *options)
    yield running
    running.end_anyhow()


def fill(disk: Path, left: int = 0) -> None:
    """Leave that many bytes free."""
    with contextlib.suppress(OSError), (disk / "filler").open("ab", buffering=0) as filler:
        while True:
            free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
            if free <= left:
                return
            filler.write(bytes(min(free - left, 65536)))


def titles(client: httpx.Client) -> list[str]:
    return [task["title"] for task in client.get("/export.json").json()]


def test_a_full_disk_is_said_loses_nothing_and_passes(small: SmallDisk) -> None:
    with small.client() as client:
        assert client.post("/tasks", data={"title": "Before"}).status_code == 303
        fill(small.disk)
        kept = 1
        statuses = []
        # What the log has room for is kept; then it is full.
        while 507 not in statuses and len(statuses) < 200:
            answer = client.post("/tasks", data={"title": "Large", "notes": "x" * 50_000})
            statuses.append(answer.status_code)
            kept += answer.status_code == 303
        assert set(statuses) <= {303, 507}, statuses
        assert answer.status_code == 507
        assert "Make room" in answer.text

        for _ in range(2):
            for ask in (
                lambda: client.post("/tasks", data={"title": "Refused", "notes": "x" * 50_000}),
                lambda: client.patch("/tasks/1", data={"notes": "x" * 50_000}),
                lambda: client.post("/imports", files={"file": ("a.csv", b"title\n" + b"A row\n" * 200_000)}),
                lambda: client.post("/imports", files={"file": ("small.csv", b"title\n" + b"A row\n" * 100_000)}),
                lambda: client.get("/export.db"),
            ):
                answer = ask()
                assert answer.status_code == 507, (answer.request.url, answer.text)
                assert "Make room" in answer.text
        assert "Before" in client.get("/tasks").text
        assert client.get("/tasks/1").status_code == 200
        assert "Before" in client.get("/export.csv").text
        assert client.get("/healthz").status_code == 200
        assert len(titles(client)) == kept
        left = {path.name for path in small.disk.rglob("*")} - {"filler", "uploads"}
        assert left <= {"app.db", "app.db-wal", "app.db-shm", "session.key", "token"}, "half a file is not left"

        (small.disk / "filler").unlink()
        assert client.post("/tasks", data={"title": "After"}).status_code == 303
        assert client.post("/imports", files={"file": ("a.csv", b"title\nImported\n")}).status_code == 303
        assert client.get("/export.db").status_code == 200
        found = titles(client)
        assert len(found) == kept + 1
        assert {"Before", "After"} <= set(found)
        assert "Refused" not in found
        checked = subprocess.run(
            [sys.executable, "-c", CHECK, small.disk / "app.db"], capture_output=True, encoding="utf-8", check=True
        )
        assert checked.stdout == "ok\n"
    assert small.end(signal.SIGTERM) == 0
    assert "Traceback" not in small.printed


CHECK = "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute('PRAGMA integrity_check').fetchone())"


COMMANDS = """
import contextlib, os, sys
from pathlib import Path
from sqlite_utils import Migrations
import app.database.sqlite_connections
from app.backup.backups import backup, restore
from app.database.preparation import prepare
from app.database.sqlite_connections import UnusableDatabase, connect, open_unchanged
from app.migrations import migrations
from app.backup.remove_feature_data import taken_out
from server.commands.project_edits import EditError, Kept

# Where there is no room for the index of its log, SQLite waits as long as for another program.
app.database.sqlite_connections.BUSY_SECONDS = 0.1
disk, rounds = Path(sys.argv[1]), int(sys.argv[2])
data, other = disk / "data", disk / "other"
for directory, title in ((data, "Before"), (other, "After")):
    with contextlib.closing(connect(prepare(directory, migrations))) as file:
        file.execute("INSERT INTO tasks (title, notes) VALUES (?, ?)", [title, "x" * 200_000])

def files():
    return {path.name: path.read_bytes() for path in disk.rglob("*") if path.is_file() and path.name != "filler"}

def title():
    with contextlib.closing(open_unchanged(data / "app.db")) as file:
        return file.execute("SELECT title FROM tasks").fetchone()[0]

more = Migrations(migrations.name)
for migration in migrations.pending(__import__("sqlite_utils").Database(memory=True)):
    more(name=migration.name)(migration.fn)

@more()
def change_all(db):
    db.execute("UPDATE tasks SET title = 'Changed'")

def drop():
    with taken_out(data, Kept("tasks", ("tasks_fts", "tasks"), ())):
        pass

COMMANDS = {
    "backup": lambda: backup(data),
    "backup to another place": lambda: backup(data, disk / "copy.db"),
    "restore": lambda: restore(data, other / "app.db"),
    "drop": drop,
    "migration": lambda: prepare(data, more),
}
before = files()
for free in (0, 100_000, 300_000, 500_000):
    with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
        while (left := os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize) > free:
            filler.write(bytes(min(left - free, 65536)))
    for name, command in COMMANDS.items():
        for _ in range(rounds):
            try:
                command()
                print(free, name, "was done")
            except (UnusableDatabase, EditError) as error:
                print(free, name, error)
            assert {name: content for name, content in files().items() if not name.endswith(("-wal", "-shm"))} == before
    (disk / "filler").unlink()
    assert title() == "Before"
for name, command in COMMANDS.items():
    if name != "drop":
        command()
assert title() == "Changed"
"""


@pytest.mark.parametrize("rounds", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_commands_on_a_full_disk_change_nothing_and_leave_nothing(tmp_path: Path, rounds: int) -> None:
    in_it = [*UNSHARE, "sh", "-c", MOUNTED.format(DISK), tmp_path]
    if shutil.which("unshare") is None or subprocess.run([*in_it, "true"], capture_output=True).returncode:
        pytest.skip("this system does not let us mount a small disk")
    command = [*in_it, sys.executable, "-c", COMMANDS, tmp_path, str(rounds)]
    ended = subprocess.run(command, cwd=PROJECT, capture_output=True, encoding="utf-8")
    assert ended.returncode == 0, ended.stderr
    said = ended.stdout.splitlines()
    assert len(said) == 4 * 5 * rounds
    # Without a single byte SQLite has no room for the index of its log, and takes that for a fault of the disk.
    reasons = ("No space left", "is full", "disk I/O error")
    assert [line for line in said if not any(reason in line for reason in reasons)] == []
