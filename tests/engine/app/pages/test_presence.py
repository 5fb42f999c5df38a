"""Presence: every page says how many tabs follow, over all workers, whatever becomes of one."""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from app.database import db as database
from app.database.db import db
from app.database.preparation import prepare
from app.migrations import migrations
from app.pages import presence as module
from app.pages.presence import WRITE_SECONDS, Presence
from tests.engine.conftest import Server
from tests.engine.watching import Follower, until


def tabs(server: Server) -> dict[int, int]:
    """How many tabs each process has."""
    return {row["process"]: row["tabs"] for row in server.sql("SELECT * FROM presence") if row["tabs"]}


def words_of(server: Server) -> str:
    return httpx.get(f"{server.url}/connection", headers={"HX-Request": "true"}).text


def until_there_are(server: Server, count: int, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while sum(tabs(server).values()) != count:
        assert time.monotonic() < end, tabs(server)
        time.sleep(0.02)
    assert (f"Live in {count} open tabs" if count > 1 else ">Live<") in words_of(server)


def test_tabs_are_counted_over_all_workers_and_a_killed_one_is_forgotten(workers: Server) -> None:
    with ExitStack() as open_tabs:
        followers: list[Follower] = []
        # The system spreads connections as it likes: until each worker has some.
        while len(tabs(workers)) < 2 or len(followers) < 4:
            followers.append(open_tabs.enter_context(Follower(workers.url)))
            until_there_are(workers, len(followers))
            assert len(followers) < 40
        assert httpx.get(f"{workers.url}/healthz").json()["clients"] == len(followers)
        followers[0].watch(("connection", "/connection", None))
        followers[0].next()
        victim, lost = min(tabs(workers).items())
        os.kill(victim, signal.SIGKILL)
        until_there_are(workers, len(followers) - lost)
        assert victim not in tabs(workers)
    until_there_are(workers, 0)


def test_pages_are_told_when_a_tab_comes_and_goes(workers: Server) -> None:
    with Follower(workers.url) as follower:
        follower.watch(("connection", "/connection", None))
        follower.until_text(">Live<")
        with Follower(workers.url):
            follower.until_text("Live in 2 open tabs")
        follower.until_text(">Live<")


@pytest.mark.slow  # The browser's test of a server that comes back looks at this too.
def test_what_a_killed_server_has_left_is_not_counted(tmp_path: Path) -> None:
    server = Server(tmp_path / "data")
    with Follower(server.url):
        until_there_are(server, 1)
        server.stop(signal.SIGKILL)
    assert len(tabs(server)) == 1
    again = Server(tmp_path / "data")
    until_there_are(again, 0)
    assert again.stop() == 0


def read(sql: str) -> list[database.Row]:
    """What the file says."""
    with closing(database.open_reading(db.path, waits=True)) as connection:
        return connection.execute(sql).fetchall()


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file alone, which does not wait long for other programs."""
    monkeypatch.setattr("app.database.write_queue.BUSY_SECONDS", 0.05)
    path = prepare(tmp_path, migrations)
    db.open(path)
    yield path
    db.close()
    db.on_commit = lambda: None


def test_there_are_at_most_four_commits_a_second(file: Path) -> None:
    commits: list[float] = []
    db.on_commit = lambda: commits.append(time.monotonic())

    async def run() -> None:
        presence = Presence()
        end = time.monotonic() + 0.6
        count = 0
        while time.monotonic() < end:
            count += 1
            presence.count(count)
            await asyncio.sleep(0.001)
        await until(lambda: presence._writing and presence._writing.done())
        assert read("SELECT tabs FROM presence")[0]["tabs"] == count

    asyncio.run(run())
    assert 2 <= len(commits) <= 4
    assert all(after - before >= 0.9 * WRITE_SECONDS for before, after in pairwise(commits))


def test_a_count_that_cannot_be_written_is_logged_and_tried_again(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(module, "WRITE_SECONDS", 0.01)

    async def run() -> None:
        presence = Presence()
        with closing(database.connect(file)) as other:
            other.execute("BEGIN IMMEDIATE")
            presence.count(3)
            await until(lambda: caplog.records)
        presence.count(4)
        await until(lambda: presence._writing and presence._writing.done())
        assert read("SELECT tabs FROM presence")[0]["tabs"] == 4

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())
    assert "will be tried again: database is locked." in caplog.records[0].getMessage()


@pytest.mark.parametrize("waits", [True, False])
def test_leaving_takes_the_row_out_also_while_it_is_being_written(file: Path, waits: bool) -> None:
    async def run() -> None:
        presence = Presence()
        presence.count(3)
        await asyncio.sleep(0)
        if waits:
            await until(lambda: read("SELECT * FROM presence"))
        await presence.leave()
        # What was written before this is on disk by now.
        await db.write(lambda connection: None)
        assert [tuple(row) for row in read("SELECT * FROM presence")] == []

    asyncio.run(run())


def test_looking_after_others_leaves_ones_own_row_alone(file: Path) -> None:
    async def look() -> None:
        own = Presence()
        await db.write(lambda c: c.execute("INSERT INTO presence (process, tabs) VALUES (?, 7)", [os.getpid()]))
        await own.begin()
        assert read("SELECT * FROM presence") == [], "an earlier process of this number has left it"
        own.count(2)
        await until(lambda: read("SELECT * FROM presence"))
        await own.clear()
        assert [row["tabs"] for row in read("SELECT tabs FROM presence")] == [2]
        await own.leave()

    asyncio.run(look())


@pytest.mark.parametrize("value", ["'many'", "x'00ff'", "2.5", "-3"])
def test_a_count_that_makes_no_sense_takes_no_page_away(server: Server, value: str) -> None:
    try:
        for process in (server.process.pid, 999_999):
            server.sql(f"INSERT OR REPLACE INTO presence VALUES (?, {value})", [process])
        for path in ("/connection", "/tasks", "/healthz"):
            assert httpx.get(f"{server.url}{path}").status_code == 200
    finally:
        server.sql("DELETE FROM presence")
