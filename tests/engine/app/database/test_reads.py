"""Reads: short ones at once, long ones beside the event loop, all of one answer from one moment; each has an end."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils.utils import sqlite3
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from app.database import reads
from app.database.db import Database
from app.database.preparation import prepare
from app.database.reads import (
    TOO_MANY,
    TOO_SLOW,
    Moments,
    UnansweredRead,
)
from app.database.sqlite_connections import Connection
from app.migrations import migrations
from server.fragments import FragmentCache, fragment
from server.guard.middleware import ADMITTED
from tests.engine.watching import until

# Takes as many steps of SQLite's machine as it is told, far more than the loop has time for.
COUNT = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT sum(1) FROM n"
LONG = 1_000_000
ENDLESS = 10**12


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """An opened file with three tasks."""
    db = Database()
    db.open(prepare(tmp_path / "data", migrations))
    asyncio.run(db.write(add("one", "two", "three")))
    yield db
    db.close()


def add(*titles: str) -> Callable[[Connection], None]:
    """A change that adds tasks."""

    def change(connection: Connection) -> None:
        connection.executemany("INSERT INTO tasks (title) VALUES (?)", [(title,) for title in titles])
        connection.execute("INSERT OR REPLACE INTO tasks_fts (rowid, words) SELECT id, title FROM tasks")

    return change


def threads(db: Database, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """On which threads SQLite runs each statement from now on."""
    seen: list[str] = []
    for name in ("read_briefly", "read_patiently"):
        method = getattr(reads.Reader, name)

        def noted(*arguments: Any, method: Callable[..., Any] = method) -> Any:
            seen.append(threading.current_thread().name.partition("_")[0])
            return method(*arguments)

        monkeypatch.setattr(reads.Reader, name, noted)
    return seen


async def stalls(work: Awaitable[Any]) -> float:
    """The longest time in seconds that the loop stood still while `work` was done."""
    longest = 0.0

    async def beat() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0)
            longest = max(longest, time.perf_counter() - before)

    beating = asyncio.ensure_future(beat())
    try:
        await work
    finally:
        beating.cancel()
    return longest


def test_a_short_read_stays_on_the_loop(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = threads(db, monkeypatch)
    rows = asyncio.run(db.read("SELECT title FROM tasks WHERE id > ? ORDER BY id", [1]))
    assert [row["title"] for row in rows] == ["two", "three"]
    assert seen == ["MainThread"]


def test_a_long_read_goes_on_beside_it(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = threads(db, monkeypatch)
    assert asyncio.run(db.read(COUNT, [LONG]))[0][0] == LONG
    assert seen == ["MainThread", "reader"]


@pytest.mark.parametrize(
    ("sql", "is_long"),
    [
        ("SELECT rowid FROM tasks_fts WHERE tasks_fts MATCH 'one'", False),
        ("SELECT id FROM tasks WHERE id IN (SELECT rowid FROM tasks_fts WHERE tasks_fts match 'one')", False),
        ("SELECT id FROM tasks WHERE title = 'one'", True),
        ("SELECT count(*) = 3 FROM tasks", True),
        ("SELECT min(id) FROM tasks WHERE (SELECT count(*) FROM tasks) = 3", False),
        ("SELECT min(id) FROM tasks WHERE (SELECT COUNT( ) AS n\n FROM tasks ) = 3", False),
        ("SELECT a / 3 FROM (SELECT count(*) AS a FROM main.tasks)", False),
    ],
)
def test_what_is_known_to_be_long_goes_there_at_once(
    db: Database, monkeypatch: pytest.MonkeyPatch, sql: str, is_long: bool
) -> None:
    seen = threads(db, monkeypatch)
    assert [tuple(row) for row in asyncio.run(db.read(sql, is_long=is_long))] == [(1,)]
    assert seen == ["reader"]


def test_a_large_value_and_many_rows_are_read_whole(db: Database) -> None:
    large = "ä" * 3_000_000
    asyncio.run(db.write(add(large, *("x" * 20_000))))
    rows = asyncio.run(db.read("SELECT title FROM tasks WHERE id > 3 ORDER BY id"))
    assert [row["title"] for row in rows] == [large, *("x" * 20_000)]


def test_the_loop_does_not_stand_still(db: Database) -> None:
    """A coarse bound: the machine may have much else to do."""
    assert asyncio.run(stalls(db.read(COUNT, [2 * LONG]))) < 0.5


def test_the_reads_of_an_answer_leave_the_loop_soon(db: Database) -> None:
    """However long the read is: counted in processor time of the loop's thread, not by a clock."""

    async def held() -> float:
        begin = time.thread_time()
        reading = asyncio.ensure_future(db.read(COUNT, [ENDLESS]))
        await asyncio.sleep(0)
        spent = time.thread_time() - begin
        reading.cancel()
        await asyncio.wait([reading])
        return spent

    assert asyncio.run(asyncio.wait_for(held(), 20)) < 0.5


def test_a_read_that_takes_too_long_ends_with_a_sentence(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads, "READ_SECONDS", 0.2)
    with pytest.raises(UnansweredRead, match=TOO_SLOW):
        asyncio.run(asyncio.wait_for(db.read(COUNT, [ENDLESS]), 20))
    assert asyncio.run(db.read(COUNT, [7], is_long=True))[0][0] == 7, "the thread is free again"


def test_no_more_wait_than_there_is_room_for(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads, "WAITING_READS", 3)
    monkeypatch.setattr(reads, "READ_SECONDS", 0.3)

    async def ask() -> list[Any]:
        several = [db.read(COUNT, [ENDLESS], is_long=True) for _ in range(reads.THREADS_PER_PERSON + 3 + 2)]
        short = db.read("SELECT max(id) FROM tasks")
        return await asyncio.gather(*several, short, return_exceptions=True)

    *several, short = asyncio.run(ask())
    assert [str(error) for error in several] == [TOO_SLOW] * (reads.THREADS_PER_PERSON + 3) + [TOO_MANY] * 2
    assert short[0][0] == 3, "what is short needs no thread"


def test_one_person_does_not_take_the_waiting_places_of_all(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads, "READS_PER_PERSON", 3)
    monkeypatch.setattr(reads, "READ_SECONDS", 0.3)
    monkeypatch.setattr(reads, "WAITING_READS", 3)

    async def several() -> list[Any]:
        asked = [ask(db, person, ENDLESS) for person in "aaaaaaab"]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        await until(lambda: not db._reads._under_way and not db._reads._turns.of("a"))
        return answers

    words = [str(error) for error in asyncio.run(several())]
    assert words == [TOO_SLOW] * 3 + [TOO_MANY] * 4 + [TOO_SLOW]


async def ask(db: Database, person: str, count: int, method: str = "GET") -> int:
    """What a request of a person reads that counts so far."""
    found: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found.append((await db.read(COUNT, [count], is_long=True))[0][0])

    async def wait() -> Message:
        return await asyncio.get_running_loop().create_future()

    async def send(message: Message) -> None: ...

    await Moments(app)({"type": "http", "method": method, ADMITTED: person}, wait, send)
    return found[0]


def test_the_time_of_a_read_counts_from_when_it_begins(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads, "READ_SECONDS", 0.3)

    async def several() -> list[Any]:
        asked = [ask(db, "a", count) for count in (ENDLESS, ENDLESS, ENDLESS, ENDLESS, 7)]
        return await asyncio.gather(*asked, return_exceptions=True)

    *endless, short = asyncio.run(several())
    assert [str(error) for error in endless] == [TOO_SLOW] * 4
    assert short == 7, "it has waited for twice the time that a read may take"


def test_a_read_that_waits_too_long_is_answered_too(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads, "READ_SECONDS", 1)
    monkeypatch.setattr(reads, "WAIT_SECONDS", 0.2)

    async def several() -> list[Any]:
        return await asyncio.gather(*(ask(db, "a", ENDLESS) for _ in range(3)), return_exceptions=True)

    assert [str(error) for error in asyncio.run(several())] == [TOO_SLOW, TOO_SLOW, TOO_MANY]
    assert asyncio.run(db.read(COUNT, [7], is_long=True))[0][0] == 7


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nobody_waits_for_more_than_a_turn_of_another_person(
    db: Database, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """However many tabs another has: who waits has the next place that becomes free."""
    monkeypatch.setattr(reads, "READ_SECONDS", 1)
    order: list[str] = []

    async def noted(person: str, count: int) -> None:
        try:
            await ask(db, person, count, method)
        except UnansweredRead:
            order.append(f"{person} ended")
        else:
            order.append(f"{person} answered")

    async def several() -> None:
        tabs = [asyncio.ensure_future(noted("a", ENDLESS)) for _ in range(8)]
        await asyncio.sleep(0.1)
        await noted("b", 7)
        assert order == ["b answered"], "one person leaves a place"
        tabs += [asyncio.ensure_future(noted("c", ENDLESS)) for _ in range(8)]
        await asyncio.sleep(0.1)
        await noted("d", 7)
        assert order.count("d answered") == 1
        assert order.count("a ended") <= 2, "those that had begun before"
        assert order.count("c ended") <= 1
        for tab in tabs:
            tab.cancel()
        await asyncio.gather(*tabs, return_exceptions=True)
        await until(lambda: not db._reads._under_way)

    asyncio.run(several())


def test_a_read_that_nobody_waits_for_any_more_ends(db: Database) -> None:
    async def leave() -> None:
        reading = asyncio.ensure_future(db.read(COUNT, [ENDLESS], is_long=True))
        await asyncio.sleep(0.05)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await until(lambda: not db._reads._under_way)

    asyncio.run(leave())


def test_closing_ends_what_is_being_read(tmp_path: Path) -> None:
    db = Database()
    db.open(prepare(tmp_path / "data", migrations))

    async def close() -> None:
        reading = asyncio.ensure_future(db.read(COUNT, [ENDLESS], is_long=True))
        await asyncio.sleep(0.05)
        db.close()
        with pytest.raises(sqlite3.OperationalError):
            await reading

    asyncio.run(asyncio.wait_for(close(), 20))


def test_where_the_file_is_held_by_another_program_the_loop_does_not_wait(db: Database) -> None:
    with closing(sqlite3.connect(db.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM tasks")
        assert asyncio.run(db.read("SELECT count(*) FROM tasks"))[0][0] == 3


# One moment for one answer


async def answer(app: Any, method: str = "GET", receive: Receive | None = None) -> list[Message]:
    """What `app`, with its reads of one moment, sends."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def wait() -> Message:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    await Moments(app)({"type": "http", "method": method}, receive or wait, send)
    return sent


@pytest.mark.parametrize(
    ("method", "expected"), [("GET", [3, 3, 3, 4]), ("HEAD", [3, 3, 3, 4]), ("POST", [3, 4, 4, 4])]
)
def test_all_reads_of_a_get_are_of_one_moment(db: Database, method: str, expected: list[int]) -> None:
    counts: list[int] = []

    async def count(is_long: bool = False) -> None:
        counts.append((await db.read("SELECT count(*) FROM tasks", is_long=is_long))[0][0])

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await count()
        await db.write(add("four"))
        await count()
        await count(is_long=True)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await count()

    asyncio.run(answer(app, method))
    assert counts == expected


def test_two_reads_of_one_answer_at_once_take_turns(db: Database) -> None:
    found: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        long = [db.read(COUNT, [number], is_long=True) for number in (LONG, LONG + 1)]
        found.extend(await asyncio.gather(*long, db.read("SELECT count(*) FROM tasks")))

    asyncio.run(answer(app))
    assert [rows[0][0] for rows in found] == [LONG, LONG + 1, 3]


def test_a_read_that_outlives_its_answer_has_the_connection_alone(db: Database) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        outliving = [asyncio.ensure_future(db.read(COUNT, [LONG + number], is_long=True)) for number in range(3)]
        await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        assert [rows[0][0] for rows in await asyncio.gather(*outliving)] == [LONG, LONG + 1, LONG + 2]

    async def twice() -> None:
        await asyncio.gather(answer(app), answer(app))
        assert db._reads is not None
        idle = db._reads._idle
        assert len({id(reader) for reader in idle}) == len(idle)
        assert not any(reader.connection.in_transaction for reader in idle)

    asyncio.run(twice())


def test_a_snapshot_keeps_no_log_from_being_reset_once_the_answer_has_begun(db: Database) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await db.read("SELECT count(*) FROM tasks")
        await db.write(add("four"))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        with closing(sqlite3.connect(db.path)) as other:
            assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)

    asyncio.run(answer(app))


def test_a_read_ends_when_its_client_has_gone(db: Database) -> None:
    ends: list[Any] = []
    messages = [{"type": "http.request", "body": b"", "more_body": False}, {"type": "http.disconnect"}]

    async def receive() -> Message:
        if len(messages) == 1:
            await asyncio.sleep(0.05)
        return messages.pop(0)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await db.read(COUNT, [ENDLESS])
        except ClientDisconnect as gone:
            ends.extend([gone, (await receive())["type"], (await receive())["type"]])

    asyncio.run(asyncio.wait_for(answer(app, receive=receive), 20))
    assert isinstance(ends[0], ClientDisconnect)
    assert ends[1:] == ["http.request", "http.disconnect"], "the app hears all that came, in order"


def test_what_came_while_a_read_was_under_way_is_not_lost(db: Database) -> None:
    messages = [{"type": "http.request", "body": b"all", "more_body": False}]
    bodies: list[bytes] = []

    async def receive() -> Message:
        if not messages:
            await asyncio.get_running_loop().create_future()
        return messages.pop(0)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await db.read(COUNT, [LONG])
        bodies.append((await receive())["body"])

    asyncio.run(asyncio.wait_for(answer(app, receive=receive), 20))
    assert bodies == [b"all"]


def test_an_answer_is_kept_under_no_newer_token_than_what_it_has_read(db: Database) -> None:
    """A commit between two of its reads: it is of one moment, and made anew when it is asked for next."""
    counts: list[list[int]] = []

    @fragment
    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        first = (await db.read("SELECT count(*) + 0 FROM tasks WHERE id > 0"))[0][0]
        if not counts:
            await db.write(add("four"))
        second = (await db.read("SELECT count(*) FROM tasks"))[0][0]
        counts.append([first, second])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": f"{first} {second}".encode()})

    async def ask(cache: FragmentCache) -> bytes:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            await asyncio.get_running_loop().create_future()
            raise AssertionError

        scope = {"type": "http", "method": "GET", "raw_path": b"/", "query_string": b"", "headers": [], "path": "/"}
        await cache(scope, receive, send)
        return b"".join(message.get("body", b"") for message in sent)

    async def thrice() -> list[bytes]:
        cache = FragmentCache(Moments(route), db.token, session_cookie="session")
        return [await ask(cache) for _ in range(3)]

    assert asyncio.run(thrice()) == [b"3 3", b"4 4", b"4 4"]
    assert counts == [[3, 3], [4, 4]], "the third answer was kept"
