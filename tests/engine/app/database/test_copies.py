"""Copies: under the name of one there is a whole file or none, whatever ends the process that makes it."""

import errno
import os
import shlex
import signal
import stat
import subprocess
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path

import pytest
from sqlite_utils.utils import sqlite3

import app.database.copies
from app.database.copies import (
    ROOM,
    check_room,
    copy_file,
    copy_pages,
    keep,
    placed,
    restore_command,
    room,
    sweep,
)
from tests.engine.conftest import PROJECT


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of 100 rows, with half of them in its log."""
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE songs (title)")
        connection.executemany("INSERT INTO songs VALUES (?)", [(f"Song {number}",) for number in range(50)])
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executemany("INSERT INTO songs VALUES (?)", [(f"Song {number}",) for number in range(50, 100)])
    return tmp_path / "a.db"


def rows(file: Path) -> int:
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        count: int = connection.execute("SELECT count(*) FROM songs").fetchone()[0]
        return count


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize("name", ["my app: v1", "it's", "a;b", "$HOME", "~"])
def test_the_command_that_brings_a_copy_back_reaches_the_program_word_by_word(tmp_path: Path, name: str) -> None:
    directory, copy = tmp_path / name, tmp_path / name / "backups" / "copy.db"
    words = shlex.split(restore_command(directory, copy))
    assert words == ["python3", "server.py", "restore", "--data", str(directory), str(copy)]


def test_a_copy_has_its_name_only_when_it_is_whole(file: Path, tmp_path: Path) -> None:
    (tmp_path / "copies").mkdir()
    with placed(tmp_path / "copies" / "b.db") as copy:
        copy_file(file, copy)
        assert not (tmp_path / "copies" / "b.db").exists()
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert names(tmp_path / "copies") == ["b.db"]
    assert rows(tmp_path / "copies" / "b.db") == 100
    assert (tmp_path / "copies" / "b.db").read_bytes()[18:20] == b"\1\1", "one file by itself"
    assert stat.S_IMODE((tmp_path / "copies" / "b.db").stat().st_mode) == 0o600


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, sqlite3.OperationalError])
def test_of_one_that_fails_nothing_is_left(tmp_path: Path, error: type[BaseException]) -> None:
    def make() -> None:
        with placed(tmp_path / "b.db") as copy:
            copy.write_text("half", encoding="utf-8")
            raise error

    with pytest.raises(error):
        make()
    assert names(tmp_path) == []


def test_nothing_that_is_there_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious", encoding="utf-8")
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("mine", "link"):
        with pytest.raises(FileExistsError, match=name), placed(tmp_path / name):
            pytest.fail("it is there")

    def make() -> None:
        with placed(tmp_path / "new") as copy:
            copy.write_text("ours", encoding="utf-8")
            (tmp_path / "new").write_text("theirs, meanwhile", encoding="utf-8")

    with pytest.raises(FileExistsError):
        make()
    assert names(tmp_path) == ["link", "mine", "new"]
    assert (tmp_path / "new").read_text(encoding="utf-8") == "theirs, meanwhile"
    assert (tmp_path / "mine").read_text(encoding="utf-8") == "precious"


def test_a_file_system_without_links_has_copies_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*paths: object) -> None:
        raise OSError(errno.EPERM, "not here")

    monkeypatch.setattr(os, "link", link)
    with placed(tmp_path / "b") as copy:
        copy.write_text("whole", encoding="utf-8")
    assert (tmp_path / "b").read_text(encoding="utf-8") == "whole"


KILLED = """
import sys, time
from pathlib import Path
from app.database.copies import placed
with placed(Path(sys.argv[1])) as copy:
    copy.write_text("half")
    print("half", flush=True)
    time.sleep(600)
"""


def test_what_a_killed_process_has_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    for name in ("making-abcdefgh", f"{ROOM}abcdefghi", f"{ROOM}short", "copy.db"):
        (tmp_path / name).mkdir()
    mine = names(tmp_path)
    command = [sys.executable, "-c", KILLED, tmp_path / "b.db"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8", cwd=PROJECT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        assert len(names(tmp_path)) == len(mine) + 1
        sweep(tmp_path)
        assert len(names(tmp_path)) == len(mine) + 1, "its process lives"
        process.send_signal(signal.SIGKILL)
    with room(tmp_path) as other:
        assert names(tmp_path) == sorted([*mine, other.name]), "whoever makes something next has swept it"
    assert names(tmp_path) == mine


def test_rooms_that_are_made_while_others_sweep_stay(tmp_path: Path) -> None:
    ended = threading.Event()

    def keep_sweeping() -> None:
        while not ended.is_set():
            with suppress(FileNotFoundError):
                sweep(tmp_path)

    sweeping = threading.Thread(target=keep_sweeping)
    sweeping.start()
    try:
        for _ in range(300):
            with room(tmp_path) as made:
                (made / "in it").touch()
                assert (made / "in it").exists()
    finally:
        ended.set()
        sweeping.join()
    assert names(tmp_path) == []


def test_copies_of_the_same_second_have_names_of_their_own(file: Path) -> None:
    kept = []
    for number in range(3):
        with closing(sqlite3.connect(file)) as connection:
            connection.execute(f"PRAGMA user_version = {number}")
        kept.append(keep(file, "-before-lunch").path)
    assert len(set(kept)) == 3
    assert [rows(copy) for copy in kept] == [100] * 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept} == {0o600}
    assert stat.S_IMODE((file.parent / "backups").stat().st_mode) == 0o700


def test_the_disk_keeps_a_reserve(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_room(file.parent, 1)
    monkeypatch.setattr(app.database.copies, "RESERVE_BYTES", 10**18)
    disk = app.database.copies.shutil.disk_usage(file.parent)
    with pytest.raises(OSError, match="copy of") as refusal:
        check_room(file.parent, disk.free - disk.total // 20 + 10**9)
    assert refusal.value.errno == errno.ENOSPC
    monkeypatch.setattr(app.database.copies, "size_of", lambda path: 10**18)
    with pytest.raises(OSError, match="copy of"):
        keep(file, "")
    assert names(file.parent / "backups") == []


def test_others_read_what_was_there_and_cannot_write_until_the_commit(file: Path, tmp_path: Path) -> None:
    seen = []

    def look() -> None:
        seen.append(rows(file))
        with (
            closing(sqlite3.connect(file, timeout=0)) as other,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            other.execute("DELETE FROM songs")
        new.execute("INSERT INTO songs VALUES ('meanwhile')")

    with closing(sqlite3.connect(tmp_path / "new.db", isolation_level=None)) as new:
        new.execute("CREATE TABLE songs (title)")
        with closing(sqlite3.connect(file)) as live:
            copy_pages(new, live, look)
    assert seen == [100], "asked once"
    assert rows(file) == 1


def test_where_looking_fails_nothing_is_changed(file: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "new.db", isolation_level=None)) as new:
        new.execute("CREATE TABLE songs (title)")
        with closing(sqlite3.connect(file)) as live, pytest.raises(ZeroDivisionError):
            copy_pages(new, live, lambda: 1 // 0)  # type: ignore[arg-type]
    assert rows(file) == 100
