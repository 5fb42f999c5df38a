"""Live pages in a real Chromium: every open page follows every change, and nothing a person is doing is lost."""

import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, WebSocketRoute, expect

from tests.engine.chromium import BROWSERS, ZONE, new_title
from tests.engine.conftest import Server
from tests.importing import settled, until, upload

# What a page shows, without what htmx and the person have left in it; and what it would show if it was loaded now.
SHOWN = """(page) => [...page.querySelectorAll("[data-live]:not(#connection)")].map((element) => {
    const copy = element.cloneNode(true);
    for (const each of [copy, ...copy.querySelectorAll("*")]) {
        each.removeAttribute("data-htmx-powered");
        if (each.getAttribute("class") === "") each.removeAttribute("class");
    }
    return copy.outerHTML;
})"""
LOADED_NOW = f"""async () => {{
    const answer = await fetch(location.href, {{ cache: "no-store" }});
    return ({SHOWN})(new DOMParser().parseFromString(await answer.text(), "text/html"));
}}"""
HIDE = """(hidden) => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""
KEEPING_BROWSERS = [each for each in BROWSERS if each != "chromium-headless-shell"]
COUNT_SWAPS = """() => {
    window.swaps = 0;
    document.addEventListener("htmx-before-swap", ({ detail: { tasks } }) => {
        window.swaps += tasks.filter(({ target }) => target?.id === "tasks").length;
    });
}"""


def open_page(context: BrowserContext, path: str = "/tasks") -> Page:
    """A page that follows."""
    page = context.new_page()
    page.goto(path)
    follows(page)
    return page


def follows(page: Page) -> None:
    expect(page.locator("html")).to_have_attribute("data-connection", "open", timeout=10000)
    expect(page.locator("#connection .now")).to_be_visible()


def shows_what_a_new_page_shows(page: Page) -> None:
    wanted = page.evaluate(LOADED_NOW)
    end = time.monotonic() + 10
    while (shown := page.evaluate(f"({SHOWN})(document)")) != wanted:
        assert time.monotonic() < end, (shown, wanted)
        page.wait_for_timeout(20)


@contextmanager
def busy(server: Server, statement: str, pause: float = 0.01) -> Iterator[None]:
    """Another program that runs this a hundred times a second."""
    done = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(server.data / "app.db", timeout=10, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            number = 0
            while not done.wait(pause):
                number += 1
                connection.execute(statement, [f"Busy {number}"])

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("name", [pytest.param("server", marks=pytest.mark.slow), "workers"])
def test_a_write_from_anywhere_reaches_every_page(chromium: Any, name: str, request: pytest.FixtureRequest) -> None:
    served: Server = request.getfixturevalue(name)
    context = chromium.new_context(base_url=served.url)
    pages = [open_page(context) for _ in range(3)]
    while name == "workers" and len(served.sql("SELECT * FROM presence WHERE tabs")) < 2:
        # The system spreads connections as it likes: until each worker has some.
        pages.append(open_page(context))
        expect(pages[-1].locator("#connection")).to_contain_text(f"Live in {len(pages)} open tabs")
        assert len(pages) < 20

    def shown_first(title: str) -> None:
        for page in pages:
            expect(page.locator(".record .title").first).to_have_text(title)

    new_title(pages[0]).fill("By a page")
    pages[0].keyboard.press("Enter")
    shown_first("By a page")
    subprocess.run(
        [sys.executable, "-m", "sqlite_utils", "insert", served.data / "app.db", "tasks", "-"],
        input='{"title": "By sqlite-utils"}',
        encoding="utf-8",
        check=True,
    )
    shown_first("By sqlite-utils")
    served.sql("INSERT INTO tasks (title) VALUES ('By SQL')")
    shown_first("By SQL")
    with httpx.Client(base_url=served.url, timeout=20) as client:
        address = upload(client, "x.csv", b"title\nBy an import\n")
        until(client, address, settled)
        client.post(f"{address}/start")
    shown_first("By an import")
    shows_what_a_new_page_shows(pages[1])
    expect(pages[0].locator("#connection")).to_contain_text(f"Live in {len(pages)} open tabs")
    pages.pop().close()
    expect(pages[0].locator("#connection")).to_contain_text(f"Live in {len(pages)} open tabs")
    context.close()


def test_a_search_changes_only_when_its_rows_do(context: BrowserContext, server: Server) -> None:
    server.sql("INSERT INTO tasks (title) VALUES ('Buy milk'), ('Buy bread')")
    page = open_page(context, "/tasks?q=milk")
    page.evaluate(COUNT_SWAPS)
    other = open_page(context)
    server.sql("UPDATE tasks SET title = 'Buy rolls' WHERE title = 'Buy bread'")
    expect(other.get_by_text("Buy rolls")).to_be_visible()
    server.sql("UPDATE tasks SET due = '2030-01-02' WHERE title = 'Buy milk'")
    expect(page.get_by_text("2 Jan 2030")).to_be_visible()
    assert page.evaluate("window.swaps") == 1


def test_typing_goes_on_while_everything_changes(context: BrowserContext, server: Server) -> None:
    server.add(5)
    page = open_page(context)
    page.get_by_role("link", name="Edit Task 3").click()
    title = page.locator(".editing").get_by_label("Title")
    notes = page.locator(".editing").get_by_label(re.compile("^Notes"))
    expect(title).to_be_focused()
    page.evaluate(COUNT_SWAPS)
    words = "what I have to say about it"
    with busy(server, "UPDATE tasks SET title = ? WHERE title LIKE 'Busy%' OR title = 'Task 5'"):
        title.press("End")
        page.keyboard.type(f" {words}", delay=20)
        notes.focus()
        page.keyboard.type(words, delay=20)
        for _ in range(5):
            page.keyboard.press("ArrowLeft")
        page.keyboard.type("X", delay=20)
        page.keyboard.press("Shift+ArrowLeft")
        page.wait_for_timeout(200)
        assert notes.evaluate("(field) => [field.selectionStart, field.selectionEnd]") == [22, 23]
        assert notes.evaluate("(field) => field === document.activeElement")
        new = new_title(page)
        new.focus()
        page.keyboard.type(words, delay=20)
    expect(title).to_have_value(f"Task 3 {words}")
    expect(notes).to_have_value("what I have to say aboXut it")
    expect(new).to_have_value(words)
    expect(new).to_be_focused()
    assert page.evaluate("window.swaps") > 30
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".record .title").nth(2)).to_have_text(f"Task 3 {words}")
    with busy(server, "UPDATE tasks SET title = ? WHERE title LIKE 'Busy%'"):
        search = page.locator("#search")
        search.press_sequentially("Task 3 what", delay=60)
        expect(page.locator(".record")).to_have_count(1)
    expect(search).to_have_value("Task 3 what")
    expect(search).to_be_focused()


def test_the_place_on_the_page_and_what_was_opened_stay(context: BrowserContext, server: Server) -> None:
    server.add(60)
    page = open_page(context)
    page.mouse.wheel(0, 600)
    # A function: the policy of the page lets nobody evaluate a text.
    page.wait_for_function("() => scrollY === 600")
    server.sql("UPDATE tasks SET title = 'Renamed' WHERE title = 'Task 55'")
    expect(page.get_by_text("Renamed")).to_be_visible()
    assert page.evaluate("scrollY") == 600
    with httpx.Client(base_url=server.url, timeout=20) as client:
        address = upload(client, "x.csv", b"title\nOne\n")
        until(client, address, settled)
    page.goto(address)
    follows(page)
    page.locator("details summary").first.click()
    server.sql("UPDATE imports SET filename = 'renamed.csv'")
    expect(page.get_by_role("heading", name="renamed.csv")).to_be_visible()
    expect(page.locator("details").first).to_have_attribute("open", "")


def test_a_field_that_both_sides_changed_keeps_what_was_typed(page: Page, server: Server) -> None:
    """The page's own fields are outside of what is live: one is put in, and the frames are written here."""
    routes: list[WebSocketRoute] = []
    page.route_web_socket("**/live", lambda route: routes.append(route))
    page.goto("/tasks")
    page.evaluate(
        """() => document.querySelector(".column").insertAdjacentHTML(
            "beforeend", "<p id=box data-live=/box data-version=1><input id=field value=one></p>")"""
    )
    field = page.locator("#field")

    def push(value: str) -> None:
        element = f'<p id="box" data-live="/box" data-version="{value}"><input id="field" value="{value}"></p>'
        routes[0].send(f'<hx-partial hx-target="#box" hx-swap="outerMorph">{element}</hx-partial>')
        expect(page.locator("#box")).to_have_attribute("data-version", value)

    push("two")
    expect(field).to_have_value("two")
    field.fill("mine")
    push("three")
    expect(field).to_have_value("mine")
    expect(page.locator(".toast")).to_contain_text("Changed elsewhere to “three”. Your text was kept.")


def test_an_edit_is_told_what_happens_to_its_task(context: BrowserContext, server: Server) -> None:
    server.add(3)
    page = open_page(context)
    page.get_by_role("link", name="Edit Task 2").click()
    page.locator(".editing").get_by_label("Title").fill("Mine")
    note = page.locator(".editing [role=status]")
    expect(note).to_be_empty()
    with httpx.Client(base_url=server.url) as client:
        id = server.sql("SELECT id FROM tasks WHERE title = 'Task 2'")[0]["id"]
        client.patch(f"/tasks/{id}", data={"title": "Yours"})
        expect(note).to_contain_text("its title there is now “Yours”. Your text is kept.")
        client.delete(f"/tasks/{id}")
    expect(note).to_contain_text("deleted elsewhere")
    expect(page.locator(".editing").get_by_label("Title")).to_have_value("Mine")
    server.sql("INSERT INTO tasks (title) VALUES ('New')")
    expect(page.locator(".record .title").first).to_have_text("New")
    expect(page.locator(".editing").get_by_label("Title")).to_have_value("Mine")


def test_rows_that_came_by_scrolling_follow_too(context: BrowserContext, server: Server) -> None:
    server.add(60)
    page = open_page(context)
    for count in (40, 60):
        page.mouse.wheel(0, 10000)
        expect(page.locator(".record")).to_have_count(count)
    server.sql("UPDATE tasks SET title = 'Far down' WHERE title = 'Task 11'")
    expect(page.locator(".record .title").nth(49)).to_have_text("Far down")
    expect(page.locator(".record")).to_have_count(60)


def test_an_undo_is_offered_though_the_row_went_before_the_answer_came(page: Page, server: Server) -> None:
    server.add(2)
    page.goto("/tasks")
    follows(page)
    held: list[Any] = []
    page.route(re.compile(r"/tasks/\d+$"), lambda route: held.append((route, route.fetch())))
    page.get_by_role("button", name="Delete Task 2").click()
    expect(page.locator(".record .title")).to_have_text(["Task 1"])
    while not held:
        page.wait_for_timeout(10)
    route, response = held[0]
    route.fulfill(response=response)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".record .title")).to_have_text(["Task 2", "Task 1"])


def test_an_answer_that_comes_after_newer_pushes_does_not_stay(page: Page, server: Server) -> None:
    page.goto("/tasks")
    follows(page)
    held: list[Any] = []
    page.route("**/tasks", lambda route: held.append((route, route.fetch())))
    new = new_title(page)
    new.fill("First")
    page.keyboard.press("Enter")
    expect(page.locator(".record .title")).to_have_text(["First"])
    server.sql("INSERT INTO tasks (title) VALUES ('Second')")
    expect(page.locator(".record .title")).to_have_text(["Second", "First"])
    route, response = held[0]
    route.fulfill(response=response)
    expect(new).to_have_value("")
    expect(page.locator(".record .title")).to_have_text(["Second", "First"])


def test_what_was_sent_for_the_list_before_does_not_take_the_place_of_the_next(page: Page, server: Server) -> None:
    """A frame that was on its way while the person went on; it is held and sent here."""
    server.add(2)
    routes: list[WebSocketRoute] = []
    page.route_web_socket("**/live", lambda route: routes.append(route))
    page.goto("/tasks")
    page.locator("#search").fill("Task 1")
    expect(page.locator(".record .title")).to_have_text(["Task 1"])
    with httpx.Client(base_url=server.url, headers={"HX-Request": "true"}) as client:
        for path in ("/tasks", "/connection"):
            element = client.get(path).text
            id = path.strip("/")
            routes[0].send(f'<hx-partial hx-target="#{id}" hx-swap="outerMorph">{element}</hx-partial>')
    expect(page.locator("#connection .now")).to_be_visible()
    expect(page.locator(".record .title")).to_have_text(["Task 1"])


def test_a_page_that_was_hidden_shows_the_present_state(context: BrowserContext, server: Server) -> None:
    server.add(3)
    page = open_page(context)
    page.evaluate(HIDE, True)
    with closing(sqlite3.connect(server.data / "app.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        for number in range(1000):
            connection.execute("INSERT INTO tasks (title) VALUES (?)", [f"Number {number}"])
    expect(page.locator(".record .title").first).to_have_text("Task 3")
    page.evaluate(HIDE, False)
    expect(page.locator(".record .title").first).to_have_text("Number 999")
    shows_what_a_new_page_shows(page)
    expect(page.locator("html")).to_have_attribute("data-connection", "open")


def test_a_server_that_comes_back_is_followed_again(chromium: Any, tmp_path: Path) -> None:
    server = Server(tmp_path / "data")
    server.add(3)
    # What the console says of a server that is away is expected.
    context = chromium.new_context(base_url=server.url, timezone_id=ZONE.key, locale="en-GB")
    page = open_page(context)
    bar = page.locator("#connection")
    port = str(urlsplit(server.url).port)
    server.stop(signal.SIGKILL)
    expect(bar.get_by_text("No connection to the server. Trying again…")).to_be_visible()
    server.sql("UPDATE tasks SET title = 'Meanwhile' WHERE title = 'Task 1'")
    again = Server(server.data, "--port", port)
    expect(page.get_by_text("Meanwhile")).to_be_visible(timeout=10000)
    expect(bar.get_by_text("Connected again, and up to date.")).to_be_visible()
    shows_what_a_new_page_shows(page)
    follows(page)
    # The tab that the killed server has counted is counted no more.
    expect(bar.locator(".now")).to_have_text("Live")
    context.close()
    assert again.stop() == 0


def test_a_server_that_stood_still_is_followed_on(page: Page, server: Server) -> None:
    server.add(3)
    page.goto("/tasks")
    follows(page)
    server.until_indexed()  # Stopped in the middle of a write, it would hold the file.
    server.process.send_signal(signal.SIGSTOP)
    try:
        server.sql("UPDATE tasks SET title = 'Meanwhile' WHERE title = 'Task 1'")
    finally:
        server.process.send_signal(signal.SIGCONT)
    expect(page.get_by_text("Meanwhile")).to_be_visible()
    shows_what_a_new_page_shows(page)


def test_a_socket_that_is_cut_without_a_word_is_found_out(page: Page, server: Server) -> None:
    """As by a laptop that sleeps, or a network that is gone: what is sent arrives on neither side."""
    server.add(3)
    asked: list[str] = []
    routes: list[WebSocketRoute] = []
    is_cut = False

    def carry(route: WebSocketRoute) -> None:
        upstream = route.connect_to_server()
        routes.append(route)
        is_first = len(routes) == 1

        def up(message: str | bytes) -> None:
            asked.append(str(message))
            if not (is_first and is_cut):
                upstream.send(message)

        route.on_message(up)
        upstream.on_message(lambda message: None if is_first and is_cut else route.send(message))

    page.route_web_socket("**/live", carry)
    page.clock.install()
    page.goto("/tasks")
    follows(page)
    for _ in range(3):
        # Nothing happens for a while: the page asks, and is answered.
        expect(page.locator("#connection[data-version]")).to_be_visible()
        count = len(asked)
        page.clock.fast_forward(25_000)
        expect(page.locator("#connection[data-version]")).to_be_visible()
        while len(asked) < count + 2:
            page.wait_for_timeout(10)
    assert len(routes) == 1
    is_cut = True
    server.sql("UPDATE tasks SET title = 'Meanwhile' WHERE title = 'Task 1'")
    page.clock.fast_forward(60_000)
    expect(page.get_by_text("No connection to the server. Trying again…")).to_be_visible()
    expect(page.get_by_text("Meanwhile")).to_be_visible()
    expect(page.get_by_text("Connected again, and up to date.")).to_be_visible()
    shows_what_a_new_page_shows(page)
    assert len(routes) == 2


@pytest.mark.slow
def test_back_to_a_page_that_the_browser_kept(chromium: Any, server: Server) -> None:
    program = next(filter(None, map(shutil.which, KEEPING_BROWSERS)), None)
    if program is None:
        pytest.skip(
            "Chromium's headless shell keeps no page: install the whole browser, the system's package `chromium`"
        )
    server.add(2)
    browser = chromium.browser_type.launch(
        executable_path=program,
        args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        ignore_default_args=["--disable-back-forward-cache"],
    )
    try:
        page = open_page(browser.new_context(base_url=server.url))
        for number in range(2):
            page.evaluate("window.isKept = true")
            page.goto("/imports")
            server.sql(f"UPDATE tasks SET title = 'Meanwhile {number}' WHERE id = (SELECT min(id) FROM tasks)")
            page.go_back(wait_until="commit")
            page.wait_for_function("() => window.isKept")
            expect(page.get_by_text(f"Meanwhile {number}")).to_be_visible()
            shows_what_a_new_page_shows(page)
            follows(page)
    finally:
        browser.close()
