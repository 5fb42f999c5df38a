"""Live fragments: every page ends with what was committed last, and is told no more than it has to be.

The hub alone, around an app of a few lines; on the real server, over real sockets, what pages rely on.
"""

import asyncio
import logging
import random
import re
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from server.live import endpoint, views
from server.live.endpoint import DAY_TURNS, Hub
from tests.engine.conftest import Server
from tests.engine.watching import (
    App,
    Follower,
    Page,
    answer,
    element,
    handshake,
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
    monkeypatch.setattr(endpoint, "LOOK_SECONDS", 0.002)
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


def test_cookies_that_the_app_does_not_read_are_no_part_of_the_person(hub: Hub, app: App) -> None:
    seen: list[bytes] = []

    async def note(scope: Scope, send: Send) -> None:
        seen.append(dict(scope["headers"]).get(b"cookie", b""))
        await answer(send, element("a", app.commits))

    app.instead["/a"] = note

    async def run() -> None:
        headers = ("session=a", "n=1; session=a", " session =b;n=2; session= a ;session", "n=3; session=a; session2=b")
        pages = [Page(hub, header) for header in headers]
        for page in pages:
            page.watch(a=None)
        await until(lambda: all(page.frames for page in pages))
        assert seen == [b"session=a"]
        for page in pages:
            await page.close()

    in_loop(run())


def test_the_day_turns_at_midnight(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "LOOK_SECONDS", 0.002)
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
    monkeypatch.setattr(endpoint, "LOOK_SECONDS", 0.002)
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

URLS = ("/a", "/a?q=milk", "/b", "/b?q=milk")
PAGES = st.integers(0, 2)
LISTS = st.sets(st.sampled_from(URLS)).map(lambda urls: {url[1]: url for url in sorted(urls)})
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), st.sampled_from(URLS)),
        st.tuples(st.just("show"), PAGES, LISTS),
        st.tuples(st.just("load"), PAGES, LISTS),
        st.tuples(st.just("forget"), PAGES),
        st.tuples(st.just("block"), PAGES),
        st.tuples(st.just("drain"), PAGES),
        st.tuples(st.just("cut"), PAGES),
        st.tuples(st.just("reconnect"), PAGES),
        st.tuples(st.just("restart")),
        st.tuples(st.just("turn"), st.integers(1, 6)),
        st.tuples(st.just("wait")),
    ),
    max_size=40,
)


class Shown:
    """What a page has on its screen: for each element its address and its HTML; it tells the hub as live.js does."""

    def __init__(self, hub: Hub) -> None:
        self.has: dict[str, tuple[str, str]] = {}
        self.newest: dict[str, int] = {}
        self.connect(hub)

    def connect(self, hub: Hub) -> None:
        self.page = Page(hub)
        self.page.outlet.on_frame = self.take
        self.tell()

    async def reconnect(self, hub: Hub) -> None:
        await self.page.close()
        self.connect(hub)

    def take(self, frame: str) -> None:
        id, version = state_of(frame)
        url, number = frame.split('data-live="')[1].split('"')[0], int(version[1:])
        # What was sent for the address that it showed before is on its way after that has changed.
        if self.has.get(id, ("",))[0] == url:
            assert number >= self.newest.get(url, -1), f"{url} went back to {number}"
            self.show(id, url, frame[frame.index("><") + 1 : -len("</hx-partial>")])
            self.tell()

    def show(self, id: str, url: str, text: str) -> None:
        self.has[id] = (url, text)
        self.newest[url] = number_of(text)

    def tell(self) -> None:
        entries = [(id, url, f"v{number_of(text)}" if text else None) for id, (url, text) in self.has.items()]
        self.page.say(watching(*entries))


def number_of(text: str) -> int:
    return int(text.split('data-version="v')[1].split('"')[0])


@settings(max_examples=150)
@given(STEPS, st.integers(0, 3), st.integers(0, 9))
def test_every_page_ends_as_one_that_is_loaded_now_and_never_goes_back(
    steps: list[Any], slowness: int, last_turns: int
) -> None:
    data = dict.fromkeys(URLS, 0)
    commits = 0

    def drawn(url: str) -> str:
        return f'<p id="{url[1]}" data-live="{url}" data-version="v{data[url]}">{url} at {data[url]}</p>'

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        query = scope["query_string"].decode()
        text = drawn(scope["path"] + (f"?{query}" if query else ""))
        for _ in range(slowness):
            await asyncio.sleep(0)
        await answer(send, text)

    async def run() -> None:
        hub = Hub(app, lambda: commits)
        pages = [Shown(hub) for _ in range(3)]
        # Where it ends, nothing comes that would mend what was missed.
        end = (["show", 0, {"a": "/a"}], ["wait"], ["wait"], ["commit", "/a"], ["turn", last_turns], ["commit", "/a"])
        for step in (*steps, *end):
            hub = await take(step, pages, hub)
        for shown in pages:
            if shown.page.outlet.on_frame != shown.take:
                await shown.reconnect(hub)
            shown.page.outlet.drain()
        await until(lambda: all(text == drawn(url) for shown in pages for url, text in shown.has.values()))
        for shown in pages:
            await shown.page.close()
        assert not hub._views

    async def take(step: Any, pages: list[Shown], hub: Hub) -> Hub:
        nonlocal commits
        match step:
            case ["commit", url]:
                commits += 1
                data[url] = commits
                hub.wake()
            case ["show", number, urls]:
                shown = pages[number]
                before = shown.has
                shown.has = {id: (url, "") for id, url in urls.items()}
                shown.has |= {id: old for id, old in before.items() if old[0] == urls.get(id)}
                shown.tell()
            case ["load", number, urls]:
                for id, url in urls.items():
                    pages[number].show(id, url, drawn(url))
                pages[number].tell()
                # What the hub wrote before it heard of that is on its way, and may well be older.
                await pages[number].page.heard()
            case ["forget", number]:
                pages[number].has = {id: (url, "") for id, (url, _) in pages[number].has.items()}
                pages[number].tell()
            case ["block", number]:
                pages[number].page.outlet.is_blocked = True
            case ["drain", number]:
                pages[number].page.outlet.drain()
            case ["cut", number]:
                pages[number].page.outlet.on_frame = lambda text: None
            case ["reconnect", number]:
                await pages[number].reconnect(hub)
            case ["restart"]:
                hub = Hub(app, lambda: commits)
                for shown in pages:
                    await shown.reconnect(hub)
            case ["turn", turns]:
                for _ in range(turns):
                    await asyncio.sleep(0)
            case ["wait"]:
                await asyncio.sleep(0.003)
        return hub

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(endpoint, "LOOK_SECONDS", 0.001)
        patch.setattr(views, "FRAME_SECONDS", 0.004)
        asyncio.run(run())


# Over real sockets


@pytest.fixture
def follower(server: Server) -> Iterator[Follower]:
    with Follower(server.url) as follower:
        yield follower


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


def test_a_thousand_commits_are_few_frames_and_the_last_state(follower: Follower, server: Server) -> None:
    follower.watch(("tasks", "/tasks", version_of(server.url, "/tasks")))
    with closing(sqlite3.connect(server.data / "app.db", timeout=10, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        for number in range(1000):
            connection.execute("INSERT INTO tasks (title) VALUES (?)", [f"Number {number}"])
    follower.until("tasks", version_of(server.url, "/tasks"))
    assert "Number 999" in follower.frames[-1]
    assert len(follower.frames) < 500


@pytest.mark.slow  # The browser's test of a write from anywhere has two workers too.
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


def test_the_socket_is_for_pages_of_this_app_alone(server: Server) -> None:
    for header in ({"Origin": "http://elsewhere.test"}, {"Sec-Fetch-Site": "cross-site"}):
        with pytest.raises(InvalidStatus) as refused:
            connect(f"ws{server.url.removeprefix('http')}/live", additional_headers=header).__enter__()
        assert refused.value.response.status_code == 403


@pytest.mark.slow
def test_a_thousand_tabs_that_come_back_at_once_are_all_let_in(tmp_path: Path) -> None:
    """As after a restart: each tries again until somebody listens, and then is answered at its first attempt."""
    server = Server(tmp_path / "data")
    address = urlsplit(server.url)
    request = handshake(address.netloc)

    async def come_back() -> asyncio.StreamWriter:
        while True:
            try:
                reader, writer = await asyncio.open_connection(address.hostname, address.port)
                break
            except ConnectionRefusedError:
                await asyncio.sleep(random.uniform(0.01, 0.05))
        writer.write(request)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        return writer

    async def run() -> None:
        coming = [asyncio.create_task(come_back()) for _ in range(1000)]
        await asyncio.sleep(0)
        again = await asyncio.to_thread(Server, tmp_path / "data", "--port", str(address.port))
        writers = await asyncio.gather(*coming)
        answered = await asyncio.to_thread(httpx.get, f"{again.url}/healthz")
        assert answered.json()["clients"] == 1000
        for writer in writers:
            writer.transport.abort()
        assert again.stop() == 0

    server.stop(signal.SIGKILL)
    asyncio.run(run())


def test_what_does_not_exist_is_said_to_the_page(follower: Follower) -> None:
    follower.watch(("tasks", "/nowhere", None))
    target, words = follower.next()
    assert target == "toasts"
    assert "The address is wrong" in words


@pytest.mark.parametrize(
    "address",
    ["/export.db", "/export.csv", "/tasks/export.json", "/healthz", "/", "/sign-in", "/static/app.css", "/live"],
)
def test_only_a_fragment_can_be_watched_and_nothing_else_is_done(
    follower: Follower, server: Server, address: str
) -> None:
    before = set(server.data.iterdir())
    follower.watch(("tasks", address, None))
    target, words = follower.next()
    assert target == "toasts"
    assert "no fragment" in words or "The address is wrong" in words
    httpx.post(f"{server.url}/tasks", data={"title": "A commit"})
    follower.watch(("tasks", address, None), ("count", "/connection", None))
    follower.until("count", version_of(server.url, "/connection"))
    assert set(server.data.iterdir()) == before


def test_how_far_an_import_has_come_is_a_fragment(follower: Follower, server: Server) -> None:
    sql = "INSERT INTO imports (id, kind, filename, state, process) VALUES (7, 'tasks', 'a.csv', ?, 0)"
    server.sql(sql, ["discarded"])
    html = httpx.get(f"{server.url}/imports/7", headers={"HX-Request": "true"})
    json = httpx.get(f"{server.url}/imports/7", headers={"HX-Request": "true", "Accept": "application/json"})
    assert json.json()["filename"] == "a.csv"
    assert httpx.get(f"{server.url}/imports/7", headers={"HX-Request": "true"}).text == html.text
    assert "Accept" in html.headers["vary"]
    follower.watch(("import-7", "/imports/7", None))
    assert follower.next()[0] == "import-7"


@pytest.mark.parametrize(("name", "most"), [("VIEWS", 5), ("VIEWS_PER_PERSON", 3)])
def test_no_more_is_kept_live_than_there_is_room_for(
    hub: Hub, app: App, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, most: int
) -> None:
    monkeypatch.setattr(endpoint, name, most)
    caplog.set_level(logging.WARNING)

    async def run() -> None:
        pages = [Page(hub, person="a"), Page(hub, person="b")]
        for page, ids in zip(pages, ("abc", "ab"), strict=True):
            page.watch(**dict.fromkeys(ids))
            await until(lambda page=page, ids=ids: len(page.frames) == len(ids))
        for number in range(3):
            page = Page(hub, cookie=f"session={number}; other={number}", person="a")
            page.watch(d=None)
            await asyncio.wait_for(page.task, 5)
            assert page.sent[-1]["code"] == 1008
            assert "close other tabs" in page.sent[-1]["reason"]
        same = Page(hub, cookie="other=1", person="a")
        same.watch(a=None)
        await until(lambda: same.frames), "what is shown already costs nothing more"
        await pages[0].close()
        await same.close()
        again = Page(hub, person="a")
        again.watch(d=None)
        await until(lambda: again.frames)
        for page in (pages[1], again):
            await page.close()
        assert not hub._views_of

    in_loop(run())
    assert [record.getMessage() for record in caplog.records if "No more is kept live" in record.getMessage()] == [
        "No more is kept live: 5 views are, 3 of one person."
    ]
