"""Signing in from another machine: the link takes one click, and the way out is on every page."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from server.name import PREFIX
from server.token import read
from tests.browser.test_pages import AXE, _violations
from tests.chromium import PATIENCE
from tests.server.test_run import Running
from tests.subject import new_title


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Told to listen to all machines; for the tests it is bound to this one."""
    data = tmp_path_factory.mktemp("open") / "data"
    running = Running("-m", "uvicorn", "app.main:app", "--port", "0", data=data, **{f"{PREFIX}HOST": "0.0.0.0"})
    running.wait_for("Application startup complete")
    yield running
    running.end_anyhow()


@pytest.fixture(params=[pytest.param(320, marks=pytest.mark.slow), 1280])
def visitor(request: pytest.FixtureRequest, chromium: Browser, running: Running) -> Iterator[Page]:
    """A page of somebody who has not signed in."""
    context = chromium.new_context(base_url=running.url, viewport={"width": request.param, "height": 800})
    context.set_default_timeout(PATIENCE)
    context.add_init_script(AXE)
    yield context.new_page()
    context.close()


def is_in_order(page: Page) -> None:
    assert _violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0


def test_the_link_takes_one_click_and_the_way_out_is_one_more(visitor: Page, running: Running) -> None:
    visitor.goto(f"/sign-in?token={read(running.data)}")
    is_in_order(visitor)
    visitor.keyboard.press("Enter")
    visitor.wait_for_url("**/tasks")
    is_in_order(visitor)
    new_title(visitor).fill("From afar")
    visitor.get_by_role("button", name="Add").click()
    expect(visitor.locator(".record .title")).to_contain_text(["From afar"])
    visitor.get_by_role("button", name="Sign out").click()
    visitor.wait_for_url("**/sign-in")
    visitor.go_back()
    expect(visitor.get_by_role("heading", name="Sign in")).to_be_visible()


def test_who_pastes_the_token_comes_to_the_page_that_was_wanted(visitor: Page, running: Running) -> None:
    visitor.goto("/tasks?q=milk")
    is_in_order(visitor)
    visitor.get_by_label("Token").fill("not this one")
    visitor.get_by_role("button", name="Sign in").click()
    expect(visitor.get_by_role("alert")).to_contain_text("That is not the token.")
    visitor.get_by_label("Token").fill(read(running.data))
    visitor.get_by_role("button", name="Sign in").click()
    visitor.wait_for_url("**/tasks?q=milk")
    expect(visitor.get_by_role("button", name="Sign out")).to_be_visible()
