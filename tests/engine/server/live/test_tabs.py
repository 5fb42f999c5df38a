"""Tabs: whoever reads slowly gets fewer and newer frames, costs little, and delays nobody."""

import asyncio
import socket
import time
from contextlib import closing

import pytest
from starlette.types import Scope, Send
from websockets.frames import Frame as WebSocketFrame
from websockets.frames import Opcode

from server.live import tabs, views
from server.live.endpoint import Hub
from tests.engine.watching import App, Follower, Page, answer, element, handshake, in_loop, serving, until, watching


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
    monkeypatch.setattr(tabs, "DRAIN_SECONDS", 0.1)

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


def silent_reader(port: int, message: str) -> socket.socket:
    """A page that says what it shows, and then reads nothing."""
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.connect(("127.0.0.1", port))
    reader.sendall(handshake("localhost"))
    answered = b""
    while not answered.endswith(b"\r\n\r\n"):
        answered += reader.recv(1)
    reader.sendall(WebSocketFrame(Opcode.TEXT, message.encode()).serialize(mask=True))
    return reader


def test_a_reader_that_stalls_costs_little_memory_and_is_let_go_with_1013(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tabs, "DRAIN_SECONDS", 0.3)
    monkeypatch.setattr(views, "BYTES_PER_SECOND", 10**12)
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
