"""Writes: those that wait are committed together, each has its own result, and none waits for ever."""

import asyncio
import struct
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlite_utils.utils import sqlite3

from app.database.db import Database
from app.database.preparation import prepare
from app.database.sqlite_connections import Connection, connect
from app.database.write_queue import JOINED_WRITES, Writes
from app.migrations import migrations
from server import background_work
from tests.engine.app.database.shared import (
    add,
    db,
    directory,
    foreign,
    titles,
)

__all__ = ["db", "directory"]  # fixtures


def test_what_is_made_with_a_commit_is_in_it_and_where_that_fails_the_changes_are(
    db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    def is_made_with_them(connection: Connection) -> None:
        connection.execute("UPDATE tasks SET notes = title WHERE notes = ''")
        if connection.execute("SELECT 1 FROM tasks WHERE title = 'odd'").fetchall():
            raise ValueError("nothing to be made of it")

    db.before_commit = is_made_with_them
    asyncio.run(db.write(add("plain")))
    assert not caplog.records
    asyncio.run(db.write(add("odd")))
    rows = asyncio.run(db.read("SELECT title, notes FROM tasks ORDER BY id"))
    assert [tuple(row) for row in rows] == [("plain", "plain"), ("odd", "")]
    assert "nothing to be made of it" in caplog.text


def commits(directory: Path) -> int:
    """How many commits the write-ahead log holds: https://www.sqlite.org/fileformat2.html#the_write_ahead_log."""
    log = (directory / "app.db-wal").read_bytes()
    if not log:
        return 0
    page_size, _, salt = struct.unpack(">II8s", log[8:24])
    frames = [log[at : at + 24] for at in range(32, len(log), 24 + page_size)]
    return sum(frame[8:16] == salt and frame[4:8] != bytes(4) for frame in frames)


async def joined(db: Database, *changes: Callable[[Connection], Any]) -> list[Any]:
    """Ask for these changes while the writer is busy, so that it joins them; their results or exceptions."""
    busy, free = threading.Event(), threading.Event()

    def keep_busy(connection: Connection) -> None:
        busy.set()
        assert free.wait(20)

    async def result(change: Callable[[Connection], Any]) -> Any:
        try:
            return await db.write(change)
        except BaseException as error:
            return error

    async with asyncio.timeout(20):
        first = asyncio.ensure_future(db.write(keep_busy))
        await asyncio.to_thread(busy.wait, 20)
        waiting = [asyncio.ensure_future(result(change)) for change in changes]
        await asyncio.sleep(0)
        free.set()
        await first
        return await asyncio.gather(*waiting)


def test_writes_that_wait_are_joined_into_one_commit(db: Database, directory: Path) -> None:
    before = commits(directory)
    ids = asyncio.run(joined(db, *(add(f"Task {number}") for number in range(JOINED_WRITES))))
    assert commits(directory) - before == 1, "the write that kept the writer busy changed nothing"
    assert ids == list(range(1, JOINED_WRITES + 1)), "in the order in which they came"
    asyncio.run(joined(db, *(add("more") for _ in range(JOINED_WRITES + 1))))
    assert commits(directory) - before == 3, "one more than fit into one commit"


def fail_after_writing(connection: Connection) -> None:
    add("of the failing write")(connection)
    raise ZeroDivisionError("not this one")


def break_a_rule(connection: Connection) -> None:
    add("of the failing write")(connection)
    connection.execute("INSERT INTO tasks (title) VALUES ('')")


def leave(connection: Connection) -> None:
    add("of the failing write")(connection)
    sys.exit("a change has no business to do that")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (fail_after_writing, ZeroDivisionError),
        (break_a_rule, sqlite3.IntegrityError),
        (leave, SystemExit),
    ],
)
def test_a_write_that_fails_is_undone_alone(db: Database, change: Any, error: type[BaseException]) -> None:
    before, failed, after = asyncio.run(joined(db, add("before"), change, add("after")))
    assert isinstance(failed, error)
    assert (before, titles(db)) == (1, ["before", "after"])
    assert isinstance(after, int)
    asyncio.run(db.write(add("later")))
    assert titles(db) == ["before", "after", "later"]


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=12))
def test_each_of_many_writes_has_its_own_result(
    tmp_path_factory: pytest.TempPathFactory, writes: list[tuple[int, bool]]
) -> None:
    directory = tmp_path_factory.getbasetemp() / "many writes"
    prepare(directory, migrations)
    db = Database()
    db.open(directory / "app.db")

    def change(number: int, fails: bool) -> Callable[[Connection], int]:
        def run(connection: Connection) -> int:
            add(f"{number}")(connection)
            if fails:
                raise ValueError(number)
            return number

        return run

    try:
        asyncio.run(db.write(lambda connection: connection.execute("DELETE FROM tasks").rowcount))
        results = asyncio.run(joined(db, *(change(*write) for write in writes)))
        for (number, fails), result in zip(writes, results, strict=True):
            assert (isinstance(result, ValueError) and result.args == (number,)) if fails else result == number
        assert titles(db) == [f"{number}" for number, fails in writes if not fails]
    finally:
        db.close()


def test_when_the_whole_transaction_is_lost_each_of_its_writes_is_told(db: Database, directory: Path) -> None:
    """A full disk ends the transaction in the middle: what comes after it in the batch must not slip in alone."""
    with foreign(directory) as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON tasks WHEN new.title = 'too much' "
            "BEGIN SELECT RAISE(ROLLBACK, 'no room'); END"
        )
    results = asyncio.run(joined(db, add("before"), add("too much"), add("after")))
    assert [str(result) for result in results] == ["no room"] * 3
    assert titles(db) == []
    asyncio.run(db.write(add("later")))
    assert titles(db) == ["later"]


def test_a_change_that_ends_the_transaction_itself_is_told_so(db: Database) -> None:
    def commit(connection: Connection) -> None:
        connection.execute("COMMIT")

    def give_up(connection: Connection) -> None:
        connection.execute("ROLLBACK")
        raise ZeroDivisionError

    for change, error in ((commit, sqlite3.OperationalError), (give_up, ZeroDivisionError)):
        (result,) = asyncio.run(joined(db, change))
        assert isinstance(result, error)
    asyncio.run(asyncio.wait_for(db.write(add("later")), 20))
    assert titles(db) == ["later"]


def test_a_caller_who_has_gone_harms_nobody(db: Database) -> None:
    async def cancel_one() -> list[Any]:
        busy, free = threading.Event(), threading.Event()

        def keep_busy(connection: Connection) -> None:
            busy.set()
            assert free.wait(20)

        first = asyncio.ensure_future(db.write(keep_busy))
        await asyncio.to_thread(busy.wait, 20)
        others = [asyncio.ensure_future(db.write(add(title))) for title in ("one", "gone", "three")]
        await asyncio.sleep(0)
        others[1].cancel()
        first.cancel()
        free.set()
        return await asyncio.gather(first, *others, return_exceptions=True)

    results = asyncio.run(cancel_one())
    assert [type(result) for result in results] == [asyncio.CancelledError, int, asyncio.CancelledError, int]
    asyncio.run(db.write(add("later")))
    assert [title for title in titles(db) if title != "gone"] == ["one", "three", "later"]


def test_the_end_waits_for_the_writes_that_wait(directory: Path) -> None:
    db = Database()
    db.open(directory / "app.db")

    async def close_while_writing() -> list[Any]:
        busy, free = threading.Event(), threading.Event()

        def keep_busy(connection: Connection) -> None:
            busy.set()
            assert free.wait(20)

        first = asyncio.ensure_future(db.write(keep_busy))
        await asyncio.to_thread(busy.wait, 20)
        writes = [asyncio.ensure_future(db.write(add(f"{number}"))) for number in range(3 * JOINED_WRITES)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(asyncio.to_thread(db.close))
        free.set()
        await asyncio.gather(first, closing)
        with foreign(directory) as connection:
            assert connection.execute("SELECT count(*) FROM tasks").fetchone() == (len(writes),)
        return await asyncio.gather(*writes)

    assert len(asyncio.run(close_while_writing())) == 3 * JOINED_WRITES
    assert not (directory / "app.db-wal").exists()


class Broken(sqlite3.OperationalError):
    """No other connection can be had."""


def no_connection() -> Connection:
    raise Broken("no connection")


def fail() -> None:
    raise RuntimeError("after the commit")


@pytest.mark.parametrize("connects", [True, False])
def test_a_thread_that_has_failed_still_ends_and_answers_all_that_wait(
    directory: Path, monkeypatch: pytest.MonkeyPatch, connects: bool
) -> None:
    monkeypatch.setattr(background_work, "FIRST_PAUSE", 0.01)
    connect_again = partial(connect, directory / "app.db") if connects else no_connection
    writes = Writes(
        connect(directory / "app.db"),
        connect=connect_again,
        check=lambda: None,
        complete=lambda _: None,
        on_commit=fail,
    )

    async def write() -> list[Any]:
        first = asyncio.ensure_future(writes.write(add("first")))
        await first
        second = asyncio.ensure_future(writes.write(add("second")))
        await asyncio.sleep(0)
        await asyncio.to_thread(writes.close)
        return await asyncio.gather(first, second, return_exceptions=True)

    async def bounded() -> list[Any]:
        async with asyncio.timeout(20):
            return await write()

    first, second = asyncio.run(bounded())
    assert first == 1
    # Either way the second is answered: it came before the failure, or with another connection, or cannot be had.
    assert second == 2 or (not connects and isinstance(second, Broken))
