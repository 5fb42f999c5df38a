"""Signing in from another machine: the link takes one click, and the way out is on every page."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from playwright.sync_api import Browser, Page, expect

from server.app_name import PREFIX
from server.sharing.one_time_links import link_of, make
from server.sharing.sign_in_token import read
from tests.engine.browser.test_pages import AXE, _violations
from tests.engine.chromium import PATIENCE, new_title
from tests.engine.server.test_run import Running


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


@pytest.fixture
def person(visitor: Page, running: Running) -> Page:
    """The page of somebody who has signed in."""
    visitor.goto(f"/sign-in?token={read(running.data)}")
    visitor.get_by_role("button", name="Sign in").click()
    visitor.wait_for_url("**/tasks")
    expect(visitor.locator("html")).to_have_attribute("data-connection", "open")
    return visitor


def test_a_link_for_once_takes_no_click_and_works_once(visitor: Page, running: Running) -> None:
    link = link_of("", make(running.data))
    visitor.goto(link)
    visitor.wait_for_url("**/tasks")
    expect(visitor.get_by_role("button", name="Sign out")).to_be_visible()
    visitor.context.clear_cookies()
    visitor.goto(link)
    expect(visitor.get_by_role("alert")).to_contain_text("This link was used")
    is_in_order(visitor)


def test_without_javascript_it_takes_one_click(chromium: Browser, running: Running) -> None:
    context = chromium.new_context(base_url=running.url, java_script_enabled=False)
    page = context.new_page()
    page.goto(link_of("", make(running.data)))
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/tasks")
    page.get_by_role("link", name="Sessions").click()
    expect(page.get_by_text("this one", exact=True)).to_be_visible()
    page.get_by_role("button", name="Sign out", exact=True).first.click()
    page.wait_for_url("**/sign-in")
    context.close()


def test_what_opens_the_door_stays_not_in_the_address(visitor: Page, running: Running) -> None:
    visitor.goto(f"/sign-in?token={read(running.data)}")
    expect(visitor.get_by_label("Token")).to_have_value(read(running.data))
    assert visitor.evaluate("location.href") == f"{running.url}/sign-in"


def end_all(running: Running) -> None:
    """End all sessions, as from another browser."""
    with closing(sqlite3.connect(running.data / "access.db")) as file, file:
        file.execute("DELETE FROM sessions")


def test_other_pages_of_who_signs_out_show_the_way_in_at_once(person: Page) -> None:
    other = person.context.new_page()
    other.goto("/tasks?q=milk")
    expect(other.locator("html")).to_have_attribute("data-connection", "open")
    person.get_by_role("button", name="Sign out").click()
    expect(other.get_by_role("heading", name="Sign in")).to_be_visible()
    assert other.locator("input[name=next]").get_attribute("value") == "/tasks?q=milk"
    expect(other.locator(".record")).to_have_count(0)


def test_a_page_whose_session_was_ended_elsewhere_shows_the_way_in(person: Page, running: Running) -> None:
    end_all(running)
    expect(person.get_by_role("heading", name="Sign in")).to_be_visible()


@pytest.mark.slow
def test_a_page_that_slept_meanwhile_shows_it_too(person: Page, running: Running) -> None:
    """Its socket is not closed but refused, which a page is not told."""
    person.context.set_offline(True)
    person.evaluate("document.dispatchEvent(new CustomEvent('htmx-ws-close', {detail: {}}))")
    end_all(running)
    expect(person.get_by_role("heading", name="Sign in")).to_have_count(0)
    person.context.set_offline(False)
    expect(person.get_by_role("heading", name="Sign in")).to_be_visible()


@pytest.mark.slow
def test_who_signs_in_again_in_one_page_goes_on_in_the_others(person: Page, running: Running) -> None:
    other = person.context.new_page()
    other.goto("/tasks")
    expect(other.locator("html")).to_have_attribute("data-connection", "open")
    new_title(other).fill("Still being typed")
    person.goto(link_of("", make(running.data)))
    person.wait_for_url("**/tasks")
    new_title(person).fill("From the new session")
    person.get_by_role("button", name="Add").click()
    expect(other.locator(".record .title")).to_contain_text(["From the new session"])
    expect(new_title(other)).to_have_value("Still being typed")


def test_a_link_on_another_site_leads_to_the_page_and_a_form_there_changes_nothing(
    person: Page, running: Running
) -> None:
    elsewhere = person.context.new_page()
    elsewhere.route(
        "http://elsewhere.example/**",
        lambda route: route.fulfill(
            content_type="text/html",
            body=f'<a href="{running.url}/tasks">Look</a>'
            f'<form method="post" action="{running.url}/sign-out"><button>Win</button></form>',
        ),
    )
    elsewhere.goto("http://elsewhere.example/")
    elsewhere.get_by_role("link", name="Look").click()
    elsewhere.wait_for_url("**/tasks")
    expect(elsewhere.get_by_role("button", name="Sign out")).to_be_visible()
    elsewhere.goto("http://elsewhere.example/")
    elsewhere.get_by_role("button", name="Win").click()
    elsewhere.wait_for_url("**/sign-out")
    person.reload()
    expect(person.get_by_role("button", name="Sign out")).to_be_visible()


def test_an_export_after_a_while_asks_and_then_comes(person: Page, running: Running) -> None:
    with closing(sqlite3.connect(running.data / "access.db")) as file, file:
        file.execute("UPDATE sessions SET confirmed_at = 0")
    person.goto("/imports")
    person.get_by_role("link", name="SQLite").click()
    expect(person.get_by_role("heading", name="Show the token again")).to_be_visible()
    is_in_order(person)
    person.get_by_label("Token").fill(read(running.data))
    with person.expect_download() as download:
        person.get_by_role("button", name="Go on").click()
    assert download.value.suggested_filename == "data.db"
    expect(person.get_by_role("heading", name="Thank you")).to_be_visible()


def test_the_sessions_are_listed_and_a_new_link_is_shown(person: Page, running: Running) -> None:
    person.get_by_role("link", name="Sessions").click()
    person.wait_for_url("**/access")
    expect(person.get_by_text("this one", exact=True)).to_be_visible()
    is_in_order(person)
    old = read(running.data)
    person.get_by_role("button", name="Make a new link").click()
    expect(person.get_by_role("heading", name="The new link")).to_be_visible()
    is_in_order(person)
    assert read(running.data) != old
    expect(person.locator("#new-link")).to_have_text(f"{running.url}/sign-in?token={read(running.data)}")
    person.get_by_role("link", name="Who is signed in").click()
    expect(person.get_by_text("this one", exact=True)).to_be_visible()
