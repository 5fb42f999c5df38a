"""The page follows the code, in a real Chromium: what changed is there, what a person was doing is as it was."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.engine.chromium import new_title
from tests.engine.reloading import Checkout, until

HEADING = 'H1("Tasks"'
WATCH = """() => {
    window.mutations = [];
    new MutationObserver((found) => window.mutations.push(...found.map((each) => `${each.type} ${each.attributeName} `
        + each.target.outerHTML?.slice(0, 80)))).observe(document.getElementById("main"),
        { subtree: true, childList: true, characterData: true, attributes: true });
}"""
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A server that follows its code, with a few tasks."""
    checkout = Checkout(tmp_path_factory.mktemp("browser")).start()
    with checkout.client() as client:
        for number in range(60):
            client.post("/tasks", data={"title": f"Task {number}", "notes": "Some words"})
    yield checkout
    checkout.end_anyhow()


@pytest.fixture(scope="module")
def browser(chromium: Any, running: Checkout) -> Iterator[BrowserContext]:
    """A person's browser, which keeps what it has loaded from test to test."""
    context = chromium.new_context(base_url=running.url, viewport={"width": 900, "height": 600})
    context.set_default_timeout(10_000)
    yield context
    context.close()


@pytest.fixture
def context(browser: BrowserContext, running: Checkout) -> Iterator[BrowserContext]:
    """That browser; after each test no page is open, and the code is as it was."""
    before = {
        path: path.read_text(encoding="utf-8")
        for room in ("app", "templates", "static")
        for path in _sources(running, room)
    }
    yield browser
    for page in browser.pages:
        page.close()
    edited = [path for path, text in before.items() if path.read_text(encoding="utf-8") != text]
    for path in edited:
        path.write_text(before[path], encoding="utf-8")
    if any(path.suffix == ".py" for path in edited):
        running.publish()


def _sources(running: Checkout, room: str) -> list[Any]:
    return [path for path in running.path(room).rglob("*") if path.suffix in (".py", ".css", ".js")]


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """A page of that browser, connected."""
    return opened(context)


def opened(context: BrowserContext, address: str = "/tasks") -> Page:
    page = context.new_page()
    page.goto(address)
    expect(page.locator("html")).to_have_attribute("data-connection", "open")
    page.evaluate("window.isTheSame = true")
    return page


def is_the_same(page: Page) -> bool:
    """Whether the page was never loaded again."""
    return bool(page.evaluate("window.isTheSame === true"))


def seen(page: Page) -> str:
    """A property that the tests write into the style."""
    return str(page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--seen').trim()"))


def rename(running: Checkout, words: str = "") -> str:
    """Save other words in the heading."""
    words = words or f"Tasks, {next(_numbers)}"
    running.edit("templates/tasks.py", HEADING, f'H1("{words}"')
    return words


def test_what_a_person_was_doing_survives_an_edit(page: Page, running: Checkout) -> None:
    page.locator("a.edit").nth(10).click()
    title = page.locator(".editing [name=title]")
    title.fill("half a title")
    new = new_title(page)
    new.fill("Half a task")
    title.focus()
    title.evaluate("field => field.setSelectionRange(2, 5)")
    page.evaluate("window.scrollTo(0, 300)")
    top = page.evaluate("window.scrollY")
    words = rename(running)
    expect(page.locator("h1")).to_have_text(words)
    expect(title).to_have_value("half a title")
    expect(new).to_have_value("Half a task")
    expect(title).to_be_focused()
    assert title.evaluate("field => [field.selectionStart, field.selectionEnd]") == [2, 5]
    assert page.evaluate("window.scrollY") == top
    assert is_the_same(page)


def test_what_is_open_stays_open(running: Checkout, context: BrowserContext) -> None:
    running.edit(
        "templates/layout.py",
        'Main(content, id="main"',
        'Safe(\'<details id="more"><summary>More</summary>words 1</details>'
        '<dialog id="ask"><form method="dialog"><input id="reason"></form></dialog>\'), Main(content, id="main"',
    )
    running.publish()
    page = opened(context)
    page.locator("#more summary").click()
    page.evaluate("document.getElementById('ask').showModal()")
    page.locator("#reason").fill("because")
    running.edit("templates/layout.py", "words 1", "words 2")
    expect(page.locator("#more")).to_contain_text("words 2")
    expect(page.locator("#more")).to_have_attribute("open", "")
    expect(page.locator("#reason")).to_have_value("because")
    expect(page.locator("#reason")).to_be_focused()
    assert page.evaluate("document.getElementById('ask').matches(':modal')")
    assert is_the_same(page)


@pytest.mark.slow
def test_every_open_page_follows(page: Page, context: BrowserContext, running: Checkout) -> None:
    other = opened(context, "/imports")
    running.edit("templates/layout.py", '"Import & export"', '"In & out"')
    for each in (page, other):
        expect(each.get_by_role("link", name="In & out")).to_be_visible()
        assert is_the_same(each)


def test_an_edit_that_shows_nothing_moves_nothing(page: Page, running: Checkout) -> None:
    page.evaluate(WATCH)
    with page.expect_response("**/tasks"):
        running.edit("templates/tasks.py", "How tasks look", "How the tasks look")
    # The one after it is seen when all of it is done.
    running.edit("static/app.css", ":root {", ":root { --seen: 1;")
    until(lambda: seen(page) == "1", "it shows")
    assert page.evaluate("window.mutations") == []
    assert is_the_same(page)


def test_a_style_is_swapped_alone_and_nothing_flashes(page: Page, running: Checkout) -> None:
    page.evaluate(WATCH)
    page.evaluate("""() => {
        window.bare = 0;
        const look = () => {
            if (getComputedStyle(document.documentElement).getPropertyValue("--ground") === "") window.bare += 1;
            requestAnimationFrame(look);
        };
        look();
    }""")
    for number in range(3):
        running.path("static/app.css").write_text(
            running.path("static/app.css").read_text(encoding="utf-8") + f"\n:root {{ --seen: {number}; }}\n",
            encoding="utf-8",
        )
        until(lambda number=number: seen(page) == str(number), "it shows")
    until(lambda: page.evaluate("document.querySelectorAll('link[rel=stylesheet]').length === 2"), "it shows")
    assert page.evaluate("window.bare") == 0
    assert page.evaluate("window.mutations") == []
    assert is_the_same(page)


@pytest.mark.slow
def test_styles_that_are_saved_faster_than_they_load_end_with_the_last_one(page: Page, running: Checkout) -> None:
    style = running.path("static/app.css").read_text(encoding="utf-8")

    def slowly(route: Any) -> None:
        page.wait_for_timeout(150)
        route.continue_()

    page.route("**/static/app.*.css", slowly)
    for number in range(6):
        running.path("static/app.css").write_text(f"{style}\n:root {{ --seen: {number}; }}\n", encoding="utf-8")
        page.wait_for_timeout(60)
    until(lambda: seen(page) == "5", "the last one shows")
    until(lambda: page.locator("link[rel=stylesheet]").count() == 2, "the others are gone")
    assert seen(page) == "5"


@pytest.mark.parametrize("name", [pytest.param("app.js", marks=pytest.mark.slow), "vendor/hx-ws.min.js"])
def test_a_script_loads_the_page_again_and_keeps_the_scroll(page: Page, running: Checkout, name: str) -> None:
    page.evaluate("window.scrollTo(0, 300)")
    with page.expect_event("domcontentloaded"):
        running.path(f"static/{name}").write_text(
            running.path(f"static/{name}").read_text(encoding="utf-8") + "\n// edited\n", encoding="utf-8"
        )
    expect(page.locator("html")).to_have_attribute("data-connection", "open")
    assert not is_the_same(page)
    until(lambda: page.evaluate("window.scrollY === 300"), "it shows")


def test_a_broken_edit_lies_over_every_page_until_it_is_mended(
    page: Page, context: BrowserContext, running: Checkout
) -> None:
    new = new_title(page)
    new.fill("Half a task")
    source = running.path("templates/tasks.py").read_text(encoding="utf-8")
    running.edit("templates/tasks.py", "def add_form(", "def add_form(:")
    later = context.new_page()
    for number, each in enumerate((page, later)):
        if number:
            expect(page.locator(".failure h1")).to_be_visible()
            each.goto("/imports")
        expect(each.locator(".failure h1")).to_contain_text("SyntaxError: ")
        link = each.locator(".failure a")
        line = source[: source.index("def add_form(")].count("\n") + 1
        expect(link).to_have_text(f"templates/tasks.py:{line}")
        expect(link).to_have_attribute("href", f"vscode://file{running.path('templates/tasks.py')}:{line}")
        expect(each.locator(".failure .here")).to_have_text(source.splitlines()[line - 1].replace("(", "(:", 1))
        expect(each.locator(".failure li")).to_have_count(9)
    # A style that is swapped meanwhile mends nothing.
    running.path("static/app.css").write_text(
        running.path("static/app.css").read_text(encoding="utf-8") + "\n:root { --seen: broken; }\n", encoding="utf-8"
    )
    until(lambda: seen(page) == "broken", "it shows")
    expect(page.locator(".failure")).to_have_count(1)
    running.path("templates/tasks.py").write_text(source, encoding="utf-8")
    for each in (page, later):
        expect(each.locator(".failure")).to_have_count(0)
    expect(new).to_have_value("Half a task")
    assert is_the_same(page)


def test_a_page_that_fails_when_it_is_shown_says_so_until_it_is_mended(page: Page, running: Checkout) -> None:
    new = new_title(page)
    new.fill("Half a task")
    source = running.path("templates/layout.py").read_text(encoding="utf-8")
    running.edit("templates/layout.py", '    return (\n        A("Skip', '    1 / 0\n    return (\n        A("Skip')
    expect(page.locator(".failure h1")).to_have_text("ZeroDivisionError: division by zero")
    # The page is connected again by now; it still says so.
    expect(page.locator("html")).to_have_attribute("data-connection", "open")
    page.wait_for_timeout(300)
    expect(page.locator(".failure h1")).to_have_text("ZeroDivisionError: division by zero")
    running.path("templates/layout.py").write_text(source, encoding="utf-8")
    expect(page.locator(".failure")).to_have_count(0)
    expect(new).to_have_value("Half a task")
    assert is_the_same(page)


def test_a_form_that_fails_without_script_is_a_page_that_stays_and_mends_itself(page: Page, running: Checkout) -> None:
    page.evaluate("""() => {
        document.body.insertAdjacentHTML("beforeend", '<form id="f" method="post" action="/fail"></form>');
        document.getElementById("f").submit();
    }""")
    expect(page.locator(".failure h1")).to_have_text("ValueError: asked for it")
    asked = running.printed().count(" /fail ")
    page.wait_for_timeout(500)
    expect(page.locator(".failure h1")).to_have_text("ValueError: asked for it")
    assert running.printed().count(" /fail ") == asked, "it is not asked for again and again"
    running.edit("app/main.py", 'raise ValueError("asked for it")', 'return PlainTextResponse("mended")')
    expect(page.locator("body")).to_have_text("mended")


def test_a_page_of_an_exception_says_what_was_saved_since_and_goes_on_when_that_is_mended(
    page: Page, running: Checkout
) -> None:
    page.goto("/fail")
    expect(page.locator(".failure h1")).to_have_text("ValueError: asked for it")
    source = running.path("templates/tasks.py").read_text(encoding="utf-8")
    running.edit("templates/tasks.py", "def add_form(", "def add_form(:")
    expect(page.locator(".failure h1")).to_contain_text("SyntaxError: ")
    expect(page.locator(".failure")).to_have_count(1)
    # Also one that is asked for only now, with and without a script.
    assert "SyntaxError: " in running.get("/fail").text
    assert "asked for it" not in running.get("/fail").text
    fragment = running.get("/fail", **{"HX-Request": "true"})
    assert "SyntaxError: " in fragment.text
    page.reload()
    expect(page.locator(".failure h1")).to_contain_text("SyntaxError: ")
    # Another failure takes its place.
    running.path("templates/tasks.py").write_text("1 / 0\n", encoding="utf-8")
    expect(page.locator(".failure h1")).to_have_text("ZeroDivisionError: division by zero")
    running.path("templates/tasks.py").write_text(source, encoding="utf-8")
    expect(page.locator(".failure h1")).to_have_text("ValueError: asked for it")
    running.edit("app/main.py", 'raise ValueError("asked for it")', 'return PlainTextResponse("mended")')
    expect(page.locator("body")).to_have_text("mended")


def test_a_request_that_fails_is_laid_over_the_page(page: Page, running: Checkout) -> None:
    page.evaluate("htmx.ajax('GET', '/fail', {target: '#main'})")
    expect(page.locator(".failure h1")).to_have_text("ValueError: asked for it")
    expect(page.locator("#tasks")).to_be_attached()
    running.edit("app/main.py", 'raise ValueError("asked for it")', 'return PlainTextResponse("mended")')
    expect(page.locator(".failure")).to_have_count(0)


@pytest.mark.slow
def test_a_loop_that_stands_still_is_said_on_the_open_page_until_it_is_mended(page: Page, running: Checkout) -> None:
    new = new_title(page)
    new.fill("Half a task")
    running.edit("app/main.py", 'raise ValueError("asked for it")', "while True: pass")
    running.publish()
    page.evaluate("void fetch('/fail').catch(() => null)")
    expect(page.locator(".failure h1")).to_have_text("The event loop has stood still for 10 s.")
    expect(page.locator(".failure .here")).to_have_text("    while True: pass")
    # A page that comes later says so too.
    later = page.context.new_page()
    later.goto("/tasks")
    expect(later.locator(".failure h1")).to_be_visible()
    running.edit("app/main.py", "while True: pass", 'raise ValueError("asked for it")')
    for each in (page, later):
        expect(each.locator(".failure")).to_have_count(0)
    expect(later.locator("#tasks")).to_be_visible()
    expect(new).to_have_value("Half a task")
    assert is_the_same(page)


@pytest.mark.slow
def test_a_page_goes_on_after_a_version_that_hung_was_mended(page: Page, running: Checkout) -> None:
    new = new_title(page)
    new.fill("Half a task")
    running.edit("app/main.py", 'raise ValueError("asked for it")', "while True: pass")
    running.publish()
    with page.expect_request("**/fail"):
        page.evaluate("void fetch('/fail').catch(() => null)")
    running.edit("app/main.py", "while True: pass", 'raise ValueError("asked for it")')
    expect(page.get_by_role("heading", level=1)).to_have_text(rename(running))
    expect(page.locator(".failure")).to_have_count(0)
    expect(new).to_have_value("Half a task")
    assert is_the_same(page)


def test_what_the_browser_refuses_is_said_in_the_log(page: Page, running: Checkout) -> None:
    running.edit(
        "app/main.py",
        '    raise ValueError("asked for it")',
        "    from starlette.responses import HTMLResponse\n\n"
        "    return HTMLResponse(\"<p style='color: red'>x<script>document.title = 'it ran'</script>\")",
    )
    running.publish()
    page.goto("/fail")
    for words in (
        "script-src-elem",
        "document.title = 'it ran'",
        "style-src-attr",
        "color: red",
        f"{running.url}/fail:1",
    ):
        until(lambda words=words: words in running.printed(), f"{words} is said")
    assert page.title() != "it ran"


@pytest.mark.slow
def test_broken_at_the_first_start_the_page_mends_itself(
    chromium: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    checkout = Checkout(tmp_path_factory.mktemp("broken"))
    source = checkout.path("app/tasks.py").read_text(encoding="utf-8")
    checkout.path("app/tasks.py").write_text(source + "\n1 / 0\n", encoding="utf-8")
    checkout.start(wait=False)
    context = chromium.new_context(base_url=checkout.url)
    context.set_default_timeout(10_000)
    try:
        page = context.new_page()
        page.goto("/tasks")
        expect(page.locator(".failure h1")).to_have_text("ZeroDivisionError: division by zero")
        checkout.path("app/tasks.py").write_text(source + "\nnothing_like_it\n", encoding="utf-8")
        expect(page.locator(".failure h1")).to_have_text("NameError: name 'nothing_like_it' is not defined")
        checkout.path("app/tasks.py").write_text(source, encoding="utf-8")
        expect(page.locator("#tasks")).to_be_visible()
    finally:
        context.close()
        checkout.end_anyhow()
