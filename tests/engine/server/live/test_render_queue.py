"""Renderings: one for all who show a view, one at a time, and never more than are needed."""

import asyncio

import pytest
from starlette.types import Scope, Send

from server.live import render_queue, views
from server.live.endpoint import Hub
from tests.engine.watching import App, Page, answer, element, in_loop, settled, until


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


def test_quick_commits_are_joined_and_the_last_state_is_sent(
    hub: Hub, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "FRAME_SECONDS", 0.02)

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
    monkeypatch.setattr(views, "FRAME_SECONDS", 0.05)

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


def test_what_views_keep_is_bounded_and_rendered_again_where_a_page_needs_it(
    hub: Hub, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(render_queue, "KEPT_BYTES", 200)

    async def run() -> None:
        app.data |= {"/a": 1, "/b": 2}
        first = Page(hub)
        first.watch(a=None, b=None)
        await until(lambda: first.frames == ["a v1", "b v2"])
        await settled(hub)
        assert [view.frame is None for view in hub._views.values()].count(True) == 1, "the newest may stay"
        late, current = Page(hub), Page(hub)
        late.watch(a="v0", b="v0")
        await until(lambda: sorted(late.frames) == ["a v1", "b v2"])
        renders = dict(app.renders)
        current.watch(a="v1", b="v2")
        await current.heard()
        await settled(hub)
        assert (current.frames, app.renders) == ([], renders), "what it has needs no frame"
        for page in (first, late, current):
            await page.close()
        assert (hub._renderings._kept_bytes, len(hub._renderings._kept)) == (0, 0)

    in_loop(run())


def test_a_page_that_reads_slowly_gets_the_newest_state_of_what_was_dropped_meanwhile(
    hub: Hub, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(render_queue, "KEPT_BYTES", 1)

    async def run() -> None:
        slow, quick = Page(hub), Page(hub)
        for page in (slow, quick):
            page.watch(a="v0", b="v0")
        await settled(hub)
        slow.outlet.is_blocked = True
        for _ in range(5):
            app.commit("/a", "/b")
            hub.wake()
            newest = [f"a v{app.commits}", f"b v{app.commits}"]
            await until(lambda newest=newest: sorted(quick.frames[-2:]) == newest)
        assert slow.frames == []
        slow.outlet.drain()
        await until(lambda: sorted(slow.frames) == newest)
        for page in (slow, quick):
            await page.close()

    in_loop(run())


def test_few_renderings_wait_at_once(hub: Hub, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render_queue, "RENDERINGS", 3)

    async def run() -> None:
        under_way, most = 0, 0

        async def wait(scope: Scope, send: Send) -> None:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.001)
            under_way -= 1
            await answer(send, element(scope["path"].strip("/"), 1))

        paths = [f"v{number}" for number in range(20)]
        app.instead = {f"/{path}": wait for path in paths}
        page = Page(hub)
        page.watch(**dict.fromkeys(paths))
        await until(lambda: len(page.frames) == 20)
        assert most == 3
        await page.close()

    in_loop(run())


def test_a_large_state_arrives_whole(hub: Hub, app: App) -> None:
    async def run() -> None:
        async def large(scope: Scope, send: Send) -> None:
            await answer(send, element("a", app.commits, "ä" * render_queue.LARGE_BYTES))

        app.instead["/a"] = large
        page = Page(hub)
        page.watch(a=None)
        await until(lambda: page.frames == ["a v0"])
        app.commit("/a")
        hub.wake()
        await until(lambda: page.frames == ["a v0", "a v1"])
        assert page.outlet.frames[-1].count("ä") == render_queue.LARGE_BYTES
        await page.close()

    in_loop(run())
