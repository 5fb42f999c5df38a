"""A real Chromium, the system's own, and a person's pages in it: fixtures of the rooms that drive it."""

import os
import shutil
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from server.commands.doctor import BROWSERS
from tests.engine.conftest import Server

# Where the person is.
ZONE = ZoneInfo("Europe/Berlin")
# How long anything on a page is waited for, in milliseconds: the machine may have much else to do.
PATIENCE = 30_000
# What Chromium says where a page is left before its socket has opened, as hx-ws then closes that itself.
LEFT_WHILE_CONNECTING = "WebSocket is closed before the connection is established."


# Playwright keeps an event loop running, which no test outside the room could bear.
@pytest.fixture(scope="package")
def chromium() -> Iterator[Any]:
    """A real Chromium, the system's own."""
    from playwright.sync_api import expect, sync_playwright

    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        reason = "no Chromium on this machine: install the system's package `chromium` to run the browser tests"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                # One process less to start and to speak with.
                "--in-process-gpu",
                "--disable-quic",
                "--disable-background-networking",
                "--disable-sync",
                # A name that an attacker has given the address of this machine.
                "--host-resolver-rules=MAP rebound.example 127.0.0.1",
            ],
        )
        yield browser
        browser.close()


@pytest.fixture
def context(chromium: Any, server: Server) -> Iterator[Any]:
    """A person's browser: nothing it asks for is on another origin, and its console stays silent."""
    context = chromium.new_context(base_url=server.url, timezone_id=ZONE.key, locale="en-GB")
    context.set_default_timeout(PATIENCE)
    complaints: list[str] = []
    context.on("request", lambda request: _note_foreign(request.url, server.url, complaints))
    context.on("console", lambda message: _note_console(message, complaints))
    context.on("weberror", lambda error: complaints.append(f"exception: {error.error}"))
    context.complaints = complaints
    yield context
    context.close()
    assert not complaints, "; ".join(complaints)


@pytest.fixture
def page(context: Any) -> Any:
    """A page of that browser."""
    return context.new_page()


def _note_foreign(url: str, own: str, complaints: list[str]) -> None:
    if not url.startswith((own, "data:", "blob:")):
        complaints.append(f"request to {url}")


def _note_console(message: Any, complaints: list[str]) -> None:
    if message.type in ("error", "warning") and not message.text.endswith(LEFT_WHILE_CONNECTING):
        complaints.append(f"console: {message.text}")


def new_title(page: Any) -> Any:
    """The field for the title of a new task on the page of tasks, which may be folded away."""
    field = page.locator("#new-title, #add [name=title]")
    if not field.is_visible():
        page.locator("#add > summary").click()
    return field
