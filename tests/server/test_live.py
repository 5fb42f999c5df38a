"""Live fragments: every page ends with what was committed last, and is told no more than it has to be.

The hub alone, around an app of a few lines, where a fault has to be made: a view that fails, a reader that stalls, a
clock that turns. On the real server, over real sockets, what pages rely on.
"""

import asyncio
import json
import logging
import re
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import anyio.to_thread
import httpx
import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame as WebSocketFrame
from websockets.frames import Opcode
from websockets.sync.client import connect

from server import live
from server.live import DAY_TURNS, VIEWS_PER_TAB, Frame, Hub
from server.token import read
from tests.app.test_main import Running
from tests.conftest import Server


class App:
    """Views by their path: how often each was rendered, and a number for each that is its data."""

    def __init__(self) -> None:
        self.data: dict[str, int] = {}
        self.commits = 0
        self.renders: dict[str, int] = {}
        self.instead: dict[str, Callable[[Scope, Send], Awaitable[None]]] = {}

    def commit(self, *paths: str) -> None:
        """Change what these views show; without any, something that none shows."""
        self.commits += 1
        for path in paths:
            self.data[path] = self.commits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        self.renders[path] = self.renders.get(path, 0) + 1
        if path in self.instead:
            await self.instead[path](scope, send)
        else:
            await answer(send, element(path.strip("/"), self.data.get(path, 0)))


def element(id: str, number: int, more: str = "") -> str:
    """What a view answers; its version says which state it is."""
    return f'<p id="{id}" data-live="/{id}" data-version="v{number}">{more}</p>'


async def answer(send: Send, text: str, status: int = 200, kind: bytes = b"text/html; charset=utf-8") -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
    await send({"type": "http.response.body", "body": text.encode()})


class Outlet:
    """A connection that takes what is written, unless it is blocked."""

    def __init__(self) -> None:
        self.on_drain: Callable[[], None] | None = None
        self.frames: list[str] = []
        self.is_blocked = False
        self.is_given_up = False
        self.on_frame: Callable[[str], None] = lambda text: None

    def write_frame(self, frame: Frame) -> bool:
        if self.is_blocked:
            return False
        self.frames.append(frame.text)
        self.on_frame(frame.text)
        return True

    def drain(self) -> None:
        self.is_blocked = False
        if self.on_drain is not None:
            self.on_drain()

    def end(self, code: int, reason: str) -> None:
        self.is_given_up = code == 1013


class Page:
    """An open page of the hub alone."""

    def __init__(self, hub: Hub, cookie: str = "", outlet: Outlet | None = None) -> None:
        self.outlet = outlet or Outlet()
        self.sent: list[Message] = []
        self._said: asyncio.Queue[Message] = asyncio.Queue()
        headers = [(b"host", b"localhost")] + ([(b"cookie", cookie.encode())] if cookie else [])
        scope = {
            "type": "websocket",
            "scheme": "ws",
            "headers": headers,
            "server": ("127.0.0.1", 5001),
            "extensions": {"kindling.frames": self.outlet},
        }
        self._said.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.create_task(hub(scope, self._said.get, self._send))

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    def say(self, text: str) -> None:
        self._said.put_nowait({"type": "websocket.receive", "text": text})

    def watch(self, **versions: str | None) -> None:
        self.say(watching(*((id, f"/{id}", version) for id, version in versions.items())))

    async def heard(self) -> None:
        """Wait until the hub has taken in all that was said; it does so between two of its waits."""
        await until(self._said.empty)

    async def close(self) -> None:
        self._said.put_nowait({"type": "websocket.disconnect", "code": 1001})
        await self.task

    @property
    def frames(self) -> list[str]:
        """The versions that were sent, each with its element."""
        return [" ".join(state_of(text)) for text in self.outlet.frames]


def watching(*entries: tuple[str, str, str | None]) -> str:
    return json.dumps({"watch": [{"id": id, "url": url, "version": version} for id, url, version in entries]})


def state_of(frame: str) -> tuple[str, str]:
    """The element that a frame is for, and its version."""
    found = re.match(r'<hx-partial hx-target="#([\w-]+)" hx-swap="(\w+)">(.*)</hx-partial>$', frame, re.DOTALL)
    assert found, frame
    if found[2] != "outerMorph":
        return found[1], found[3]
    version = re.match(r'[^>]* data-version="([^"]*)"', found[3])
    return found[1], version[1] if version else found[3]


async def until(happened: Callable[[], Any], seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        await asyncio.sleep(0.001)


async def settled(hub: Hub) -> None:
    """Wait until all has been rendered that is to be."""
    await until(
        lambda: (
            not hub._tasks
            and not hub._stale
            and not any(view.is_stale or view.is_rendering or view.timer for view in hub._views.values())
        )
    )


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def hub(app: App, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub that does not dawdle."""
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.002)
    monkeypatch.setattr(live, "FRAME_SECONDS", 0.001)
    return Hub(app, lambda: app.commits)


def in_loop(run: Coroutine[Any, Any, None]) -> None:
    """Run it, then make sure that it has left nothing in the loop."""

    async def watched() -> None:
        await run
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(watched())


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


def test_a_view_is_rendered_once_and_the_same_frame_goes_to_all(hub: Hub, app: App) -> None:
    async def run() -> None:
        pages = [Page(hub) for _ in range(200)]
        for page in pages:
            page.watch(a="v0")
        await until(lambda: app.renders)
        await settled(hub)
        assert app.renders == {"/a": 1}
        app.commit("/a")
        await until(lambda: pages[-1].frames)
        await settled(hub)
        assert app.renders == {"/a": 2}
        assert {id(page.outlet.frames[0]) for page in pages} == {id(pages[0].outlet.frames[0])}
        for page in pages:
            await page.close()

    in_loop(run())


def test_the_bytes_on_the_wire_are_made_once() -> None:
    frame = Frame("ä" * 100)
    assert frame.wire is frame.wire
    assert frame.wire == b"\x81\x7e\x00\xc8" + "ä".encode() * 100


def test_quick_commits_are_joined_and_the_last_state_is_sent(
    hub: Hub, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "FRAME_SECONDS", 0.02)

    async def run() -> None:
        page = Page(hub)
        page.watch(a="v0")
        await until(lambda: app.renders)
        for number in range(1000):
            app.commit("/a")
            hub.wake()
            if number % 10 == 0:
                await asyncio.sleep(0)
        await until(lambda: page.frames[-1:] == ["a v1000"])
        assert len(page.frames) < 20
        await page.close()

    in_loop(run())


def test_a_first_change_is_not_delayed(hub: Hub, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the pause between two changes has to be."""
    monkeypatch.setattr(live, "FRAME_SECONDS", 0.05)

    async def run() -> None:
        page = Page(hub)
        page.watch(a="v0")
        await until(lambda: app.renders)
        await asyncio.sleep(0.06)  # The pause itself is what the test is about.
        app.commit("/a")
        hub.wake()
        for _ in range(10):
            await asyncio.sleep(0)
        assert page.frames == ["a v1"]
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


def test_a_page_that_is_newer_than_the_last_frame_is_not_sent_back(
    hub: Hub, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another page's frame waits for its turn when a page comes that was made after the same commit."""
    monkeypatch.setattr(live, "FRAME_SECONDS", 0.1)

    async def run() -> None:
        first, second = Page(hub), Page(hub)
        first.watch(a="v0")
        await until(lambda: app.renders)
        app.commit("/a")
        second.watch(a="v1")
        await until(lambda: first.frames == ["a v1"])
        await settled(hub)
        assert second.frames == []
        app.commit("/a")
        second.say(watching(("a", "/a", None)))
        await until(lambda: first.frames == ["a v1", "a v2"])
        await until(lambda: second.frames)
        assert second.frames == ["a v2"]
        await first.close()
        await second.close()

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


def test_a_slow_view_does_not_hold_up_the_others_of_its_page(hub: Hub, app: App) -> None:
    go_on = asyncio.Event()

    async def slowly(scope: Scope, send: Send) -> None:
        await go_on.wait()
        await answer(send, element("slow", app.commits))

    app.instead["/slow"] = slowly

    async def run() -> None:
        page = Page(hub)
        page.watch(slow="v0", a=None, b="v0", last=None)
        await until(lambda: page.frames)
        app.commit("/b")
        await until(lambda: len(page.frames) > 1)
        assert page.frames == ["a v0", "b v1"]
        go_on.set()
        # What is listed last comes last: a page takes it as the sign that it has everything.
        await until(lambda: len(page.frames) == 4)
        assert page.frames[2:] == ["slow v1", "last v0"]
        await page.close()

    in_loop(run())


# What cannot be shown


async def crash(scope: Scope, send: Send) -> None:
    raise ZeroDivisionError


async def crash_with_words(scope: Scope, send: Send) -> None:
    await answer(send, "It failed.", 500)
    raise ZeroDivisionError


async def say_nothing(scope: Scope, send: Send) -> None:
    await answer(send, "")


async def send_elsewhere(scope: Scope, send: Send) -> None:
    await send({"type": "http.response.start", "status": 303, "headers": [(b"location", b"/b")]})
    await send({"type": "http.response.body"})


async def send_text(scope: Scope, send: Send) -> None:
    await answer(send, "text", kind=b"text/plain")


async def send_too_much(scope: Scope, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
    while True:
        await send({"type": "http.response.body", "body": b"x" * 1024 * 1024, "more_body": True})


async def hang(scope: Scope, send: Send) -> None:
    await asyncio.get_running_loop().create_future()


async def hang_in_a_thread(scope: Scope, send: Send) -> None:
    """As a handler that is no coroutine does: it cannot be cancelled."""
    await anyio.to_thread.run_sync(time.sleep, 1)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (crash, "/a failed; what happened is in the log."),
        (crash_with_words, "It failed."),
        (say_nothing, "/a is empty and cannot be live."),
        (send_elsewhere, "/a is no HTML and cannot be live."),
        (send_text, "/a is no HTML and cannot be live."),
        (send_too_much, "/a is larger than a live fragment may be, 4194304 bytes."),
        (hang, "/a was not rendered within 0.05 seconds."),
        (hang_in_a_thread, "/a was not rendered within 0.05 seconds."),
    ],
    ids=lambda each: each.__name__ if callable(each) else "",
)
def test_a_view_that_cannot_be_shown_is_said_once_and_the_others_go_on(
    hub: Hub, app: App, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: Any, words: str
) -> None:
    monkeypatch.setattr(live, "RENDER_SECONDS", 0.05)

    async def run() -> None:
        page = Page(hub)
        page.watch(a="v0", b="v0")
        await until(lambda: app.renders.keys() == {"/a", "/b"})
        app.instead["/a"] = fault
        app.commit("/b")
        toast = f"toasts {words}"
        await until(lambda: len(page.frames) == 2)
        assert sorted(page.frames) == ["b v1", toast]
        # What the page says of itself meanwhile is no question for the same words.
        page.watch(a="v0", b="v1")
        app.commit("/b")
        await until(lambda: "b v2" in page.frames)
        page.watch(a="v0", b="v2")
        await until(lambda: app.renders["/a"] > 2)
        await settled(hub)
        assert page.frames.count(toast) == 1
        del app.instead["/a"]
        app.commit("/a")
        await until(lambda: page.frames[-1] == "a v3")
        assert page.frames.count(toast) == 1
        await page.close()

    with caplog.at_level(logging.WARNING):
        in_loop(run())
    said = [record for record in caplog.records if "/a" in record.getMessage()]
    assert said
    assert len([record for record in said if record.exc_info]) == (1 if fault in (crash, crash_with_words) else 0)
    assert len(said) <= 2


def test_an_error_goes_where_it_says(hub: Hub, app: App) -> None:
    async def elsewhere(scope: Scope, send: Send) -> None:
        headers = [(b"content-type", b"text/html"), (b"hx-retarget", b"#there"), (b"hx-reswap", b"innerHTML")]
        await send({"type": "http.response.start", "status": 404, "headers": headers})
        await send({"type": "http.response.body", "body": b"gone"})

    app.instead["/a"] = elsewhere

    async def run() -> None:
        page = Page(hub)
        page.watch(a="v0")
        await until(lambda: page.outlet.frames)
        assert page.outlet.frames == ['<hx-partial hx-target="#there" hx-swap="innerHTML">gone</hx-partial>']
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


@pytest.mark.parametrize(
    "message",
    [
        "",
        "no JSON",
        "[]",
        "{}",
        "3",
        "null",
        '{"watch": 3}',
        '{"watch": ["a"]}',
        '{"watch": [{"id": "a"}]}',
        '{"watch": [{"id": 3, "url": "/a"}]}',
        '{"watch": [{"id": ["a"], "url": "/a"}]}',
        '{"watch": [{"id": "a b", "url": "/a"}]}',
        '{"watch": [{"id": "1", "url": "/a"}]}',
        '{"watch": [{"id": "a", "url": "a"}]}',
        '{"watch": [{"id": "a", "url": "//elsewhere.test/"}]}',
        '{"watch": [{"id": "a", "url": "http://elsewhere.test/"}]}',
        '{"watch": [{"id": "a", "url": "/a\\r\\nx: y"}]}',
        '{"watch": [{"id": "a", "url": "/ä"}]}',
        '{"watch": [{"id": "a", "url": "/a", "version": 3}]}',
        '{"watch": [{"id": "a", "url": "/a", "version": "%s"}]}' % ("v" * 65),
        "[" * 60000,
        watching(*((f"a{number}", "/a", None) for number in range(VIEWS_PER_TAB + 1))),
    ],
    ids=lambda message: message[:40],
)
def test_a_message_that_makes_no_sense_ends_the_connection_with_words(hub: Hub, message: str) -> None:
    async def run() -> None:
        page = Page(hub)
        page.say(message)
        await page.task
        assert page.sent[0] == {"type": "websocket.accept"}
        assert page.sent[1].pop("reason").endswith(".")
        assert page.sent[1:] == [{"type": "websocket.close", "code": 1008}]
        assert not hub.tabs

    in_loop(run())


# Readers that stall


def test_a_page_that_stalls_gets_fewer_and_newer_frames_and_delays_nobody(hub: Hub, app: App) -> None:
    async def run() -> None:
        quick, slow = Page(hub), Page(hub)
        for page in (quick, slow):
            page.watch(a="v0", b="v0")
        await until(lambda: app.renders.keys() == {"/a", "/b"})
        slow.outlet.is_blocked = True
        for number in range(1, 21):
            app.commit("/a")
            hub.wake()
            await until(lambda: quick.frames[-1:] == [f"a v{number}"])  # noqa: B023
        app.commit("/b")
        await until(lambda: quick.frames[-1] == "b v21")
        assert slow.frames == []
        slow.outlet.drain()
        assert slow.frames == ["a v20", "b v21"]
        await quick.close()
        await slow.close()

    in_loop(run())


def test_a_page_that_takes_nothing_is_given_up_whatever_it_says(
    hub: Hub, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "DRAIN_SECONDS", 0.1)

    async def run() -> None:
        page, quiet = Page(hub), Page(hub)
        quiet.watch(b="v0")
        page.outlet.is_blocked = quiet.outlet.is_blocked = True
        began = time.monotonic()
        while not page.outlet.is_given_up:
            page.watch(a=None)
            await asyncio.sleep(0.005)
        assert 0.1 <= time.monotonic() - began < 2
        assert not quiet.outlet.is_given_up
        await page.close()
        await quiet.close()

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
            await until(lambda: not hub._tasks)
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
        await until(lambda: not hub._tasks)
        assert not hub.tabs
        assert not hub._views
        assert not hub._stale

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
        patch.setattr(live, "FRAME_SECONDS", 0.004)
        asyncio.run(run())


# Over real sockets


class Follower:
    """The socket of a page of the real server."""

    def __init__(self, url: str, cookie: str = "") -> None:
        headers = {"Cookie": cookie} if cookie else {}
        self._connection = connect(f"ws{url.removeprefix('http')}/live", additional_headers=headers)
        self.socket = self._connection.__enter__()
        self.frames: list[str] = []

    def watch(self, *entries: tuple[str, str, str | None]) -> None:
        self.socket.send(watching(*entries))

    def next(self) -> tuple[str, str]:
        """The element and version of the next frame."""
        self.frames.append(str(self.socket.recv(timeout=5)))
        return state_of(self.frames[-1])

    def until(self, id: str, version: str) -> None:
        """Take frames until this element has this version."""
        while self.next() != (id, version):
            pass

    def until_text(self, text: str) -> None:
        """Take frames until one has this text."""
        while text not in (self.frames or [""])[-1]:
            self.next()

    def close_code(self) -> tuple[int, str]:
        """How the server ends the connection."""
        with pytest.raises(ConnectionClosed) as closed:
            list(self.socket)
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code, closed.value.rcvd.reason

    def __enter__(self) -> "Follower":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.__exit__(None, None, None)


def version_of(url: str, path: str, cookie: str = "") -> str:
    """The version that a page shows which is loaded now."""
    headers = {"HX-Request": "true"} | ({"Cookie": cookie} if cookie else {})
    found = re.search(r'data-version="([^"]+)"', httpx.get(f"{url}{path}", headers=headers).text)
    assert found
    return found[1]


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


@pytest.mark.parametrize(
    ("message", "code", "words"),
    [
        ("no JSON", 1008, 'A message is {"watch": [{"id": …, "url": …, "version": …}]}.'),
        (b"bytes", 1008, 'A message is {"watch": [{"id": …, "url": …, "version": …}]}.'),
        ("x" * 64 * 1024, 1008, 'A message is {"watch": [{"id": …, "url": …, "version": …}]}.'),
        ("x" * (64 * 1024 + 1), 1009, ""),
    ],
    ids=["words", "bytes", "64 KiB", "more"],
)
def test_a_bad_message_ends_the_connection(follower: Follower, message: str | bytes, code: int, words: str) -> None:
    follower.socket.send(message)
    ended, reason = follower.close_code()
    assert ended == code
    assert reason.startswith(words)


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


@contextmanager
def serving(app: ASGIApp) -> Iterator[int]:
    """An app on Uvicorn with our protocols, in a thread; the port."""
    config = uvicorn.Config(
        app,
        http="server.protocol:HttpProtocol",
        ws="server.protocol:WebSocketProtocol",
        lifespan="off",
        log_level="critical",
    )
    served = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=served.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            served.should_exit = True
            thread.join(10)


def silent_reader(port: int, message: str) -> socket.socket:
    """A page that says what it shows, and then reads nothing."""
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.connect(("127.0.0.1", port))
    key = b64encode(b"0" * 16).decode()
    reader.sendall(
        f"GET /live HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    answered = b""
    while not answered.endswith(b"\r\n\r\n"):
        answered += reader.recv(1)
    reader.sendall(WebSocketFrame(Opcode.TEXT, message.encode()).serialize(mask=True))
    return reader


def test_a_reader_that_stalls_costs_little_memory_and_is_let_go_with_1013(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "DRAIN_SECONDS", 0.3)
    monkeypatch.setattr(live, "BYTES_PER_SECOND", 10**12)
    large = "x" * 1_000_000

    async def render(scope: Scope, send: Send) -> None:
        await answer(send, element("a", app.commits, large))

    app.instead["/a"] = render
    hub = Hub(app, lambda: app.commits)
    with serving(hub) as port:
        with closing(silent_reader(port, watching(("a", "/a", None)))) as reader:
            end = time.monotonic() + 10
            (tab,) = hub.tabs
            waiting = 0
            while hub.tabs and time.monotonic() < end:
                app.commit("/a")
                waiting = max(waiting, tab.outlet.transport.get_write_buffer_size())  # type: ignore[attr-defined]
                time.sleep(0.001)  # As often as it likes: what is looked at is how much piles up.
            assert not hub.tabs
            assert waiting < 3 * len(large)
            assert app.renders["/a"] > 10
            # Who reads again at last finds the reason at the end.
            reader.settimeout(5)
            got = bytearray()
            while not got.endswith(b"\x03\xf5Nothing was read for too long."):
                piece = reader.recv(65536)
                assert piece, "it ended without a word"
                got = got[-100:] + piece
        with Follower(f"http://127.0.0.1:{port}") as other:
            other.watch(("a", "/a", None))
            assert other.next() == ("a", f"v{app.commits}")
