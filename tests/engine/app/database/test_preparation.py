"""What a start does before the file is opened: it is private, and what cannot be used is refused and left as it was."""

import asyncio
import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.database.db import Database
from app.database.preparation import UnusableDirectory, prepare
from app.database.sqlite_connections import UnusableDatabase
from app.migrations import migrations
from server.app_name import PREFIX
from tests.engine.app.database.shared import (
    add,
    db,
    directory,
    foreign,
    mode,
    titles,
)
from tests.engine.conftest import PROJECT
from tests.engine.server.test_run import Start, start

__all__ = ["db", "directory", "start"]  # fixtures


@pytest.mark.parametrize("is_there", [False, True])
def test_only_the_owner_may_read_whatever_the_umask(tmp_path: Path, is_there: bool) -> None:
    before = os.umask(0)
    try:
        directory = tmp_path / "new" / "data"
        if is_there:
            directory.mkdir(mode=0o755, parents=True)
        db = Database()
        db.open(prepare(directory, migrations))
        asyncio.run(db.write(add("secret")))
        titles(db)
        assert mode(directory) == (0o755 if is_there else 0o700)
        modes = {path.name: mode(path) for path in directory.iterdir()}
        assert modes == {"app.db": 0o600, "app.db-wal": 0o600, "app.db-shm": 0o600}
        db.close()
    finally:
        os.umask(before)


def test_the_file_is_closed_to_others_and_a_directory_left_as_its_owner_has_it(directory: Path) -> None:
    directory.chmod(0o1775)
    (directory / "app.db").chmod(0o644)
    prepare(directory, migrations)
    assert (mode(directory), mode(directory / "app.db")) == (0o1775, 0o600)


def fill(directory: Path) -> bytes:
    """Put tasks into the file, all in the one file; its bytes."""
    with foreign(directory) as connection:
        rows = [(f"Task {number}", "notes " * 20) for number in range(1000)]
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO tasks (title, notes) VALUES (?, ?)", rows)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return (directory / "app.db").read_bytes()


def root_page(directory: Path, table: str) -> int:
    with foreign(directory) as connection:
        page: int = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", [table]).fetchone()[0]
        return page


def is_refused(directory: Path, *words: str) -> None:
    """The file is refused for a reason that holds these words, and it is as it was."""
    before = (directory / "app.db").read_bytes()
    with pytest.raises(UnusableDatabase) as refusal:
        prepare(directory, migrations)
    assert "\n" not in str(refusal.value)
    for word in (*words, str(directory / "app.db"), "not touched"):
        assert word in str(refusal.value)
    assert (directory / "app.db").read_bytes() == before
    # To look into it, SQLite opens the log beside it; nothing has been written there, and no copy been made.
    left = {path.name: path.stat().st_size for path in directory.iterdir()}
    assert left.keys() <= {"app.db", "app.db-wal", "app.db-shm"}
    assert not left.get("app.db-wal")


@pytest.mark.parametrize(
    "header",
    [b"garbage, no database", b"SQLite format 4\0", b"\0" * 100, b"<html>"],
    ids=["words", "another version", "zeros", "a page"],
)
def test_a_file_that_is_no_database_is_refused(directory: Path, header: bytes) -> None:
    whole = fill(directory)
    (directory / "app.db").write_bytes(header + whole[len(header) :])
    is_refused(directory, "damaged", "backups", ".recover")


@pytest.mark.parametrize("table", ["tasks", "tasks_fts_data", "tasks_fts_idx", "imports", "sqlite_schema", "middle"])
def test_a_damaged_page_is_found_before_anything_is_written(directory: Path, table: str) -> None:
    whole = bytearray(fill(directory))
    pages = len(whole) // 4096
    page = {"sqlite_schema": 2, "middle": pages // 2}.get(table) or root_page(directory, table)
    at = (page - 1) * 4096
    whole[at : at + 4096] = b"\xde\xad" * 2048
    (directory / "app.db").write_bytes(whole)
    is_refused(directory, "damaged")


def test_a_file_that_was_cut_off_is_refused(directory: Path) -> None:
    whole = fill(directory)
    (directory / "app.db").write_bytes(whole[: len(whole) // 2])
    is_refused(directory, "damaged")


def test_a_file_that_another_program_has_for_itself_is_not_called_damaged(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.database.sqlite_connections.BUSY_SECONDS", 0.1)
    with foreign(directory) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("INSERT INTO tasks (title) VALUES ('x')")
        with pytest.raises(UnusableDatabase) as refusal:
            prepare(directory, migrations)
    assert "damaged" not in str(refusal.value)
    assert "locked" in str(refusal.value)


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    for path in (tmp_path / "file", tmp_path / "file" / "data"):
        with pytest.raises(UnusableDirectory, match="--data"):
            prepare(path, migrations)


def test_a_file_that_cannot_be_made_private_is_refused(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, mode: int) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(path))

    monkeypatch.setattr(os, "chmod", refuse)
    with pytest.raises(UnusableDatabase, match=r"app.db cannot be used: Operation not permitted.*--data"):
        prepare(directory, migrations)


def test_an_unusable_file_ends_the_start_with_one_line_and_exit_code_1(directory: Path) -> None:
    (directory / "app.db").write_bytes(b"garbage" * 1000)
    ended = subprocess.run(
        [sys.executable, PROJECT / "server.py", "--no-open", "--port", "0", "--data", directory],
        capture_output=True,
        encoding="utf-8",
    )
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert "app.db is damaged" in line


TOGETHER = """
import os, sys
from pathlib import Path
from app.database.preparation import prepare
from server.sharing.sign_in_token import secret
from app.migrations import migrations

def start(directory):
    prepare(directory, migrations)
    assert len(secret(directory / "session.key")) == 32

for round in range(int(sys.argv[2])):
    hear_ready, ready = os.pipe()
    hear_go, go = os.pipe()
    children = []
    for _ in range(6):
        if child := os.fork():
            children.append(child)
            continue
        os.close(go)
        os.write(ready, b".")
        os.read(hear_go, 1)
        start(Path(sys.argv[1]) / f"{round}")
        os._exit(0)
    for _ in children:
        os.read(hear_ready, 1)
    os.close(go)
    ended = [os.waitpid(child, 0)[1] for child in children]
    assert ended == [0] * len(children), f"round {round}: {ended}"
"""


@pytest.mark.parametrize("rounds", [3, pytest.param(200, marks=pytest.mark.slow)])
def test_processes_that_start_at_once_make_one_database(tmp_path: Path, rounds: int) -> None:
    subprocess.run(
        [sys.executable, "-c", TOGETHER, tmp_path, str(rounds)],
        env={f"{PREFIX}DATA": str(tmp_path / "data")},
        cwd=PROJECT,
        check=True,
    )
    for round in range(rounds):
        with foreign(tmp_path / f"{round}") as connection:
            applied = connection.execute("SELECT count(*), count(DISTINCT name) FROM _sqlite_migrations").fetchone()
            assert applied[0] == applied[1] > 0
        assert sorted(path.name for path in (tmp_path / f"{round}").iterdir()) == ["app.db", "session.key"]


def test_two_servers_that_start_at_once_on_a_new_directory_share_it(tmp_path: Path, start: Start) -> None:
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: start("server.py"), range(2))
    with one.client() as writing, other.client() as reading:
        assert reading.get("/tasks").status_code == 200
        assert writing.post("/tasks", data={"title": "Of the one"}).status_code == 303
        assert "Of the one" in reading.get("/tasks").text
