"""Live fragments: every page ends with what was committed last, and is told no more than it has to be.

The hub alone, around an app of a few lines; on the real server, over real sockets, what pages rely on.
"""

import asyncio
import logging
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Scope, Send
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from server import live, views
from server.live import DAY_TURNS, Hub
from server.token import read
from tests.app.test_main import Running
from tests.conftest import Server
from tests.watching import (
    App,
    Follower,
    Page,
    answer,
    element,
    in_loop,
    settled,
    state_of,
    until,
    version_of,
    watching,
)

# What is sent


def test_a_page_is_sent_what_it_does_not_have(hub: Hub, app: App) -> None:
    async def run() -> None:
        page = Page(hub)
        app.commit("/b")
        page.watch(a="v0", b="v0", c=None, d="of another server")
        await until(lambda: len(page.frames) == 3)
        assert page.frames == ["b v1", "c v0", "d v0"]
        app.commit("/a")
        await until(lambda: len(page.frames) == 4)
        assert page.frames[3] == "a v2"
        await page.close()

    in_loop(run())


def test_a_commit_that_changes_nothing_here_sends_nothing(hub: Hub, app: App) -> None:
    async def run() -> None:
        page = Page(hub)
        page.watch(a="v0")
        await until(lambda: app.renders)
        app.commit()
        await until(lambda: app.renders["/a"] > 1)
        await settled(hub)
        assert page.frames == []
        await page.close()

    in_loop(run())


def test_a_list_that_changes_is_followed(hub: Hub, app: App) -> None:
    async def run() -> None:
        page = Page(hub)
        page.watch(a="v0", b="v0")
        await until(lambda: app.renders.keys() == {"/a", "/b"})
        page.watch(b="v0", c="v0")
        await until(lambda: "/c" in app.renders)
        app.commit("/a", "/b", "/c")
        await until(lambda: len(page.frames) == 2)
        await settled(hub)
        assert page.frames == ["b v1", "c v1"]
        assert app.renders["/a"] == 1
        page.say(watching(("b", "/a", "v1")))
        app.commit("/b")
        await until(lambda: len(hub._views) == 1)
        await settled(hub)
        app.commit("/a")
        await until(lambda: len(page.frames) == 3)
        assert page.outlet.frames[2].startswith('<hx-partial hx-target="#b" hx-swap="outerMorph"><p id="a"')
        page.watch()
        await until(lambda: not hub._views)
        await page.close()

    in_loop(run())


def test_an_echo_of_an_older_frame_is_not_answered(hub: Hub, app: App) -> None:
    async def run() -> None:
        page = Page(hub)
        page.watch(a="v0")
        await until(lambda: app.renders)
        for number in (1, 2):
            app.commit("/a")
            await until(lambda: len(page.frames) == number)  # noqa: B023
        page.watch(a="v1")
        page.watch(a="v2")
        page.watch(a="v2", b=None)
        await until(lambda: "b v0" in page.frames)
        assert page.frames == ["a v1", "a v2", "b v0"]
        await page.close()

    in_loop(run())


def test_a_page_without_a_version_gets_one_though_nothing_changes(hub: Hub, app: App) -> None:
    async def run() -> None:
        page = Page(hub)
        page.watch(a="v0")
        await until(lambda: app.renders)
        app.commit()
        page.watch(a=None)
        await until(lambda: page.frames == ["a v0"])
        await page.close()

    in_loop(run())


def test_a_token_that_cannot_be_read_leaves_the_last_good_state(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.002)
    looks = []

    def token() -> int:
        looks.append(app.commits)
        if app.commits == 1:
            raise sqlite3.OperationalError("disk I/O error")
        return app.commits

    async def run() -> None:
        hub = Hub(app, token)
        page = Page(hub)
        page.watch(a="v0")
        await until(lambda: app.renders)
        app.commit("/a")
        await until(lambda: looks.count(1) > 2)
        assert page.frames == []
        app.commit("/a")
        await until(lambda: page.frames == ["a v2"])
        await page.close()

    in_loop(run())


def test_a_notice_goes_to_all_and_one_that_lasts_to_those_who_come_later(hub: Hub) -> None:
    async def run() -> None:
        first = Page(hub)
        await until(lambda: hub.tabs)
        hub.tell("for now", lasting=False)
        hub.tell("from now on", lasting=True)
        second = Page(hub)
        await until(lambda: second.outlet.frames)
        assert first.outlet.frames == ["for now", "from now on"]
        assert second.outlet.frames == ["from now on"]
        await first.close()
        await second.close()

    in_loop(run())


# Who sees what, and when nobody looks


def test_each_person_sees_their_own(hub: Hub, app: App) -> None:
    async def personal(scope: Scope, send: Send) -> None:
        cookie = dict(scope["headers"]).get(b"cookie", b"nobody").decode()
        await answer(send, element("a", app.commits, cookie))

    app.instead["/a"] = personal

    async def run() -> None:
        pages = [Page(hub, cookie) for cookie in ("session=ann", "session=bob", "session=bob", "")]
        for page in pages:
            page.watch(a=None)
        await until(lambda: all(page.frames for page in pages))
        assert [re.findall(">([^<]+)</p>", page.outlet.frames[0]) for page in pages] == [
            ["session=ann"],
            ["session=bob"],
            ["session=bob"],
            ["nobody"],
        ]
        assert app.renders["/a"] == 3
        for page in pages:
            await page.close()

    in_loop(run())


def test_the_day_turns_at_midnight(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.002)
    now = 100 * DAY_TURNS - 1.0

    async def day(scope: Scope, send: Send) -> None:
        await answer(send, element("a", int(now // DAY_TURNS)))

    app.instead["/a"] = day

    async def run() -> None:
        nonlocal now
        hub = Hub(app, lambda: 0, clock=lambda: now)
        page = Page(hub)
        page.watch(a="v99")
        await until(lambda: app.renders)
        await settled(hub)
        now += 2
        await until(lambda: page.frames == ["a v100"])
        assert app.renders["/a"] == 2
        await page.close()

    in_loop(run())


def test_nobody_looks_when_no_page_is_open(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.002)
    looks = 0

    def token() -> int:
        nonlocal looks
        looks += 1
        return looks

    async def run() -> None:
        hub = Hub(app, token)
        hub.wake()
        for _ in range(2):
            page = Page(hub)
            page.watch(a=None)
            await until(lambda: page.frames)  # noqa: B023
            await page.close()
            await until(lambda: not hub._renderings._tasks)
            assert [timer for timer in asyncio.get_running_loop()._scheduled if not timer.cancelled()] == []  # type: ignore[attr-defined]
            seen = looks
            hub.wake()
            await asyncio.sleep(0.02)
            assert looks == seen

    in_loop(run())


def test_nothing_stays_of_pages_that_are_gone(hub: Hub, app: App, caplog: pytest.LogCaptureFixture) -> None:
    counts: list[int] = []
    hub.on_count = counts.append

    async def run() -> None:
        pages = [Page(hub, f"session={number % 3}") for number in range(50)]
        for number, page in enumerate(pages):
            page.watch(a=None, **{f"b{number}": None})
            if number % 7 == 0:
                await asyncio.sleep(0)
        for number, page in enumerate(pages):
            # Some go before anything was rendered for them, some while it is.
            app.commit("/a")
            hub.wake()
            if number % 5 == 0:
                await asyncio.sleep(0)
            await page.close()
        await until(lambda: not hub._renderings._tasks)
        assert not hub.tabs
        assert not hub._views
        assert not hub._renderings._queue

    with caplog.at_level(logging.DEBUG):
        in_loop(run())
    assert max(counts) <= 50
    assert counts[-1] == 0
    assert [record.getMessage() for record in caplog.records if record.levelno > logging.DEBUG] == []


def test_a_wake_after_the_end_is_no_error(hub: Hub, app: App) -> None:
    """A writer may commit once more while the loop closes."""

    async def run() -> None:
        Page(hub).watch(a=None)
        await until(lambda: app.renders)

    asyncio.run(run())
    hub.wake()


# Any order of events

VIEWS = ("/a", "/b", "/c")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), st.sampled_from(VIEWS)),
        st.tuples(st.just("watch"), st.integers(0, 2), st.sets(st.sampled_from(VIEWS))),
        st.tuples(st.just("load"), st.integers(0, 2), st.sets(st.sampled_from(VIEWS), min_size=1)),
        st.tuples(st.just("forget"), st.integers(0, 2)),
        st.tuples(st.just("block"), st.integers(0, 2)),
        st.tuples(st.just("drain"), st.integers(0, 2)),
        st.tuples(st.just("turn"), st.integers(1, 6)),
        st.tuples(st.just("wait")),
    ),
    max_size=40,
)


class Shown:
    """What a page has on its screen: views and their numbers; it tells the hub of each change, as live.js does."""

    def __init__(self, hub: Hub) -> None:
        self.page = Page(hub)
        self.has: dict[str, int | None] = {}
        self.newest: dict[str, int] = {}
        self.page.outlet.on_frame = self.take

    def take(self, frame: str) -> None:
        id, version = state_of(frame)
        path, number = f"/{id}", int(version[1:])
        if path in self.has:
            assert number >= self.newest.get(path, -1), f"{path} went back to {number}"
            self.show(path, number)
            self.tell()

    def show(self, path: str, number: int) -> None:
        self.has[path] = number
        self.newest[path] = number

    def tell(self) -> None:
        self.page.watch(
            **{path.strip("/"): None if number is None else f"v{number}" for path, number in self.has.items()}
        )


@settings(max_examples=150)
@given(STEPS, st.integers(0, 3))
def test_every_page_ends_with_the_newest_state_and_never_goes_back(steps: list[Any], slowness: int) -> None:
    app = App()

    async def slowly(scope: Scope, send: Send) -> None:
        text = element(scope["path"].strip("/"), app.data.get(scope["path"], 0))
        for _ in range(slowness):
            await asyncio.sleep(0)
        await answer(send, text)

    app.instead = dict.fromkeys(VIEWS, slowly)

    async def run() -> None:
        hub = Hub(app, lambda: app.commits)
        pages = [Shown(hub) for _ in range(3)]
        for step in steps:
            await take(step, pages, hub)
        for shown in pages:
            shown.page.outlet.drain()
        await until(
            lambda: all(number == app.data.get(path, 0) for shown in pages for path, number in shown.has.items())
        )
        for shown in pages:
            await shown.page.close()
        assert not hub._views

    async def take(step: Any, pages: list[Shown], hub: Hub) -> None:
        match step:
            case ["commit", path]:
                app.commit(path)
                hub.wake()
            case ["watch", number, paths]:
                shown = pages[number]
                shown.has = {path: shown.has.get(path) for path in paths}
                shown.newest = {path: shown.newest.get(path, -1) for path in paths}
                shown.tell()
            case ["load", number, paths]:
                for path in paths:
                    pages[number].show(path, app.data.get(path, 0))
                pages[number].tell()
                # What the hub wrote before it heard of that is on its way, and may well be older.
                await pages[number].page.heard()
            case ["forget", number]:
                pages[number].has = dict.fromkeys(pages[number].has)
                pages[number].tell()
            case ["block", number]:
                pages[number].page.outlet.is_blocked = True
            case ["drain", number]:
                pages[number].page.outlet.drain()
            case ["turn", turns]:
                for _ in range(turns):
                    await asyncio.sleep(0)
            case ["wait"]:
                await asyncio.sleep(0.002)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live, "LOOK_SECONDS", 0.001)
        patch.setattr(views, "FRAME_SECONDS", 0.004)
        asyncio.run(run())


# Over real sockets


@pytest.fixture
def follower(server: Server) -> Iterator[Follower]:
    with Follower(server.url) as follower:
        yield follower


@pytest.fixture(scope="module")
def _workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("workers") / "data", "--workers", "2")
    yield server
    assert server.stop() == 0


@pytest.fixture
def workers(_workers: Server) -> Server:
    """Two workers, with an empty file."""
    _workers.empty()
    return _workers


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The app as plain Uvicorn serves it, whose WebSockets take no finished frames."""
    data = tmp_path_factory.mktemp("plain") / "data"
    running = Running("-m", "uvicorn", "app.main:app", "--port", "0", data=data)
    running.wait_for("Application startup complete")
    yield running
    running.end_anyhow()


def test_a_commit_of_this_app_is_shown(follower: Follower, server: Server) -> None:
    milk = "/tasks?q=milk"
    follower.watch(("tasks", milk, version_of(server.url, milk)), ("one", "/connection", None))
    assert follower.next()[0] == "one"
    httpx.post(f"{server.url}/tasks", data={"title": "Buy bread"})
    httpx.post(f"{server.url}/tasks", data={"title": "Buy milk"})
    # The count of all tasks stands above the list, so that the bread is a change too.
    follower.until("tasks", version_of(server.url, milk))
    assert "Buy milk" in follower.frames[-1]


def test_another_programs_commit_is_shown(follower: Follower, server: Server) -> None:
    follower.watch(("tasks", "/tasks", version_of(server.url, "/tasks")))
    server.sql("INSERT INTO tasks (title) VALUES ('By SQL')")
    follower.until("tasks", version_of(server.url, "/tasks"))
    assert "By SQL" in follower.frames[-1]
    subprocess.run(
        [sys.executable, "-m", "sqlite_utils", "insert", server.data / "app.db", "tasks", "-"],
        input='{"title": "By hand"}',
        text=True,
        check=True,
    )
    follower.until("tasks", version_of(server.url, "/tasks"))
    assert "By hand" in follower.frames[-1]


def test_a_thousand_commits_are_few_frames_and_the_last_state(follower: Follower, server: Server) -> None:
    follower.watch(("tasks", "/tasks", version_of(server.url, "/tasks")))
    with closing(sqlite3.connect(server.data / "app.db", timeout=10, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        for number in range(1000):
            connection.execute("INSERT INTO tasks (title) VALUES (?)", [f"Number {number}"])
    follower.until("tasks", version_of(server.url, "/tasks"))
    assert "Number 999" in follower.frames[-1]
    assert len(follower.frames) < 500


def test_all_workers_show_every_commit(workers: Server) -> None:
    with ExitStack() as open_pages:
        followers = [open_pages.enter_context(Follower(workers.url)) for _ in range(6)]
        before = version_of(workers.url, "/tasks")
        for each in followers:
            each.watch(("tasks", "/tasks", before))
        httpx.post(f"{workers.url}/tasks", data={"title": "By one of them"})
        workers.add(1)
        after = version_of(workers.url, "/tasks")
        for each in followers:
            each.until("tasks", after)
    assert len({each.frames[-1] for each in followers}) == 1


def test_it_works_on_plain_uvicorn(plain: Running) -> None:
    with Follower(plain.url) as follower, Follower(plain.url) as other:
        for each in (follower, other):
            each.watch(("tasks", "/tasks", version_of(plain.url, "/tasks")), ("summary", "/summary", None))
            assert each.next()[0] == "summary"
        for number in range(20):
            httpx.post(f"{plain.url}/tasks", data={"title": f"Task {number}"})
        for each in (follower, other):
            each.until("tasks", version_of(plain.url, "/tasks"))
        follower.socket.send("no JSON")
        assert follower.close_code()[0] == 1008


def test_persons_are_told_what_they_see_themselves(server: Server) -> None:
    """Where it is tomorrow already, what is due today elsewhere is late."""
    server.sql("INSERT INTO tasks (title, due) VALUES ('Due', date('now'))")
    east, west = "timezone=Pacific%2FKiritimati", "timezone=Pacific%2FPago_Pago"
    for cookie in (east, west):
        with Follower(server.url, cookie) as follower:
            follower.watch(("tasks", "/tasks", None))
            assert follower.next() == ("tasks", version_of(server.url, "/tasks", cookie))
    assert version_of(server.url, "/tasks", east) != version_of(server.url, "/tasks", west)


def test_who_has_signed_out_is_shown_nothing_more(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", "--host", "0.0.0.0")
    url = server.url.replace("0.0.0.0", "127.0.0.1")
    with pytest.raises(InvalidStatus) as refused:
        Follower(url)
    assert refused.value.response.status_code == 401
    with httpx.Client(base_url=url) as client:
        client.post("/sign-in", data={"token": read(server.data)})
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        with Follower(url, cookie) as follower:
            follower.watch(("tasks", "/tasks", None))
            assert follower.next()[0] == "tasks"
            client.post("/sign-out")
            target, words = follower.next()
            assert (target, "Sign in first" in words) == ("toasts", True)
            assert follower.close_code() == (1008, "Sign in again.")
    server.stop()


def test_the_socket_is_for_pages_of_this_app_alone(server: Server) -> None:
    for header in ({"Origin": "http://elsewhere.test"}, {"Sec-Fetch-Site": "cross-site"}):
        with pytest.raises(InvalidStatus) as refused:
            connect(f"ws{server.url.removeprefix('http')}/live", additional_headers=header).__enter__()
        assert refused.value.response.status_code == 403


def test_what_does_not_exist_is_said_to_the_page(follower: Follower) -> None:
    follower.watch(("tasks", "/nowhere", None))
    target, words = follower.next()
    assert target == "toasts"
    assert "The address is wrong" in words
