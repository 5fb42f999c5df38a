"""Asking for a view: what the app cannot answer is said to the page, once, and stops no other view."""

import asyncio
import logging
import time
from typing import Any

import anyio.to_thread
import pytest
from starlette.types import Scope, Send

from server.live import view_requests
from server.live.endpoint import Hub
from tests.engine.watching import App, Page, answer, in_loop, settled, until


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
    monkeypatch.setattr(view_requests, "RENDER_SECONDS", 0.05)

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
