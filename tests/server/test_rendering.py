"""Renderings: one for all who show a view, one at a time, and never more than are needed."""

import asyncio

import pytest

from server import views
from server.live import Hub
from tests.watching import App, Page, in_loop, settled, until


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
