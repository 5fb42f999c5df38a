"""The file: made for its owner alone, read without waiting, and no end of any other when it cannot be written."""

import asyncio
import logging
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils.utils import sqlite3

from app.access import access_file as module
from app.access.access_file import SHAPE, AccessFile, UnusableFile
from app.database.sqlite_connections import Connection
from tests.engine.conftest import PROJECT
from tests.engine.watching import until

INSERT = "INSERT INTO tokens VALUES (?)"


@pytest.fixture
def file(tmp_path: Path) -> Iterator[AccessFile]:
    file = AccessFile(tmp_path)
    yield file
    asyncio.run(file.close())


def write(file: AccessFile, value: str) -> None:
    asyncio.run(file.write(lambda connection: connection.execute(INSERT, [value])))


def values(file: AccessFile) -> list[str]:
    return [row[0] for row in file.rows("SELECT token_hash FROM tokens ORDER BY rowid")]


def test_it_is_made_when_it_is_needed_for_its_owner_alone(file: AccessFile) -> None:
    assert not file.path.exists()
    assert values(file) == []
    write(file, "a")
    assert values(file) == ["a"]
    assert {stat.S_IMODE(each.stat().st_mode) for each in file.path.parent.iterdir()} == {0o600}


def test_its_state_moves_at_every_commit_of_any_program(file: AccessFile) -> None:
    states = [file.state()]
    write(file, "a")
    states.append(file.state())
    with closing(sqlite3.connect(file.path)) as other, other:
        other.execute(INSERT, ["b"])
    states.append(file.state())
    assert len(set(states)) == 3
    assert file.state() == states[-1]


def test_a_change_that_fails_changes_nothing(file: AccessFile) -> None:
    def fail(connection: Connection) -> None:
        connection.execute(INSERT, ["lost"])
        raise KeyError("on purpose")

    with pytest.raises(KeyError):
        asyncio.run(file.write(fail))
    assert values(file) == []


def test_processes_that_make_it_at_once_make_it_once(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys; from pathlib import Path; from app.access.access_file import AccessFile\n"
        "file = AccessFile(Path(sys.argv[1]))\n"
        "asyncio.run(file.write(lambda c: c.execute('INSERT INTO tokens VALUES (?)', [sys.argv[2]])))\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", program, tmp_path, str(number)], cwd=PROJECT) for number in range(4)
    ]
    assert [each.wait(60) for each in processes] == [0] * 4
    file = AccessFile(tmp_path)
    assert sorted(values(file)) == ["0", "1", "2", "3"]
    asyncio.run(file.close())


def test_a_reader_does_not_wait_for_who_holds_the_file(file: AccessFile) -> None:
    """The guard reads on the event loop: to wait there would keep everybody waiting."""
    write(file, "a")
    with closing(sqlite3.connect(file.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        assert values(file) == ["a"]
        assert time.monotonic() - began < 1
    asyncio.run(file.close())
    with closing(sqlite3.connect(file.path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute(INSERT, ["b"])
        began = time.monotonic()
        with pytest.raises(sqlite3.OperationalError):
            values(AccessFile(file.path.parent))
        assert time.monotonic() - began < 1


def test_who_holds_the_file_keeps_the_writer_waiting_only_for_a_while(
    file: AccessFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.2)
    write(file, "a")
    with closing(sqlite3.connect(file.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            write(file, "b")
    write(file, "c")
    assert values(file) == ["a", "c"]


def test_what_nobody_waits_for_is_written_together(file: AccessFile) -> None:
    async def change_often() -> None:
        for number in range(5):
            file.write_soon(lambda connection, number=number: connection.execute(INSERT, [str(number)]))
        assert values(file) == []
        await until(lambda: values(file))

    asyncio.run(change_often())
    assert values(file) == ["0", "1", "2", "3", "4"]


def test_of_too_many_at_once_some_are_left_out_and_the_log_says_so(
    file: AccessFile, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "SOON_CHANGES", 2)

    async def change_often() -> None:
        for number in range(5):
            file.write_soon(lambda connection, number=number: connection.execute(INSERT, [str(number)]))
        await file.close()

    with caplog.at_level(logging.ERROR):
        asyncio.run(change_often())
    assert values(file) == ["0", "1"]
    assert caplog.text.count("too much happens at once") == 3


def test_it_ends_with_what_waits_written(file: AccessFile) -> None:
    async def change_and_end() -> None:
        file.write_soon(lambda connection: connection.execute(INSERT, ["last"]))
        await file.close()

    asyncio.run(change_and_end())
    assert not [each for each in threading.enumerate() if each.name.startswith("access")]
    assert values(file) == ["last"]


def test_a_newer_shape_is_left_alone(file: AccessFile) -> None:
    write(file, "a")
    with closing(sqlite3.connect(file.path)) as newer:
        newer.execute(f"PRAGMA user_version = {SHAPE + 1}")
    with pytest.raises(UnusableFile, match=r"access\.db: .* newer version"):
        write(file, "b")


def test_another_file_in_its_place_is_the_one_that_counts(file: AccessFile, caplog: pytest.LogCaptureFixture) -> None:
    write(file, "before")
    assert values(file) == ["before"]
    for ending in ("", "-wal", "-shm"):
        Path(f"{file.path}{ending}").unlink(missing_ok=True)
    write(file, "after")
    file.look_after()
    assert values(file) == ["after"]
    assert "is another file than before" in caplog.text
    file.look_after()
    assert caplog.text.count("another file") == 1


@pytest.mark.parametrize("ending", ["", "-wal", "-shm"])
def test_a_change_to_a_file_that_goes_meanwhile_is_not_acknowledged(file: AccessFile, ending: str) -> None:
    write(file, "before")

    def change(connection: Connection) -> None:
        connection.execute("INSERT INTO tokens VALUES ('lost')")
        Path(f"{file.path}{ending}").unlink()

    with pytest.raises(UnusableFile, match=r"access\.db.* at this moment"):
        asyncio.run(file.write(change))
    file.look_after()
    write(file, "after")
    assert "after" in values(file)
