"""What FastHTML's documentation writes works here: its routes in a real browser, under the policy that stays strict.

The routes are those of `fasthtml_examples.py`; what had to be written otherwise stands in docs/fasthtml.md.
"""

import contextlib
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.engine.conftest import PLAIN
from tests.engine.reloading import Checkout, until

HERE = Path(__file__).parent
MAIN = """
from fasthtml.common import Beforeware, setup_toasts
from app import fasthtml_examples as examples

examples.rt.to_app(app)
setup_toasts(app)
app.before.append(Beforeware(examples.only_members, skip=[r"/(?!members).*"]))
"""
# What refuses code that was put together says so here, and a page that is answered with an error.
EXPECTED = ("404 (Not Found)",)


class Project(Checkout):
    """A copy of the project with the examples in it."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        shutil.copy(HERE / "fasthtml_examples.py", self.root / "app" / "fasthtml_examples.py")
        with (self.root / "app" / "main.py").open("a", encoding="utf-8") as main:
            main.write(MAIN)

    def edit(self, before: str, after: str) -> None:
        """Change the examples."""
        path = self.root / "app" / "fasthtml_examples.py"
        text = path.read_text(encoding="utf-8")
        assert before in text
        path.write_text(text.replace(before, after), encoding="utf-8")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp("fasthtml")).start()
    yield project
    assert project.end() == 0
    project.end_anyhow()


@pytest.fixture
def page(chromium: Any, project: Project) -> Iterator[Page]:
    """A page whose console stays silent: nothing is refused by the policy, and nothing fails."""
    context = chromium.new_context(base_url=project.url, locale="en-GB")
    context.set_default_timeout(20_000)
    complaints: list[str] = []
    page = context.new_page()
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert [each for each in complaints if not each.endswith(EXPECTED)] == []


def open_page(page: Page, address: str) -> None:
    """Open an address, and wait until all scripts have run."""
    page.goto(address)
    page.wait_for_load_state("load")


def style(page: Page, selector: str, name: str) -> str:
    found: str = page.locator(selector).evaluate(f"element => getComputedStyle(element).{name}")
    return found


def test_a_page_and_a_fragment(page: Page) -> None:
    open_page(page, "/hello")
    expect(page).to_have_title("Hello")
    assert page.locator("main").count() == 1
    page.locator("#greeting").click()
    expect(page.locator("#greeting")).to_have_text("Nice to meet you")


def test_a_counter(page: Page) -> None:
    open_page(page, "/counter")
    page.get_by_role("button").click()
    expect(page.locator("#clicks")).to_have_text("1")


def test_children_inherit(page: Page) -> None:
    open_page(page, "/menu")
    page.get_by_text("Salad").click()
    expect(page.locator("#course")).to_have_text("Salad, please")
    expect(page.get_by_text("Soup", exact=True)).to_be_visible()


def test_a_list(page: Page) -> None:
    open_page(page, "/todos")
    page.locator("#new-todo").fill("Write a route")
    page.get_by_role("button", name="Add").click()
    expect(page.locator("#todo-2")).to_contain_text("Write a route")
    expect(page.locator("#new-todo")).to_have_value("")
    page.locator("#todo-1 button").click()
    expect(page.locator("#todo-1")).to_have_count(0)
    expect(page.locator("#todos li")).to_have_count(1)


def test_a_form_that_is_a_dataclass(page: Page) -> None:
    open_page(page, "/profile")
    expect(page.locator("[name=name]")).to_have_value("Ada")
    page.locator("[name=age]").fill("37")
    page.locator("[name=born]").fill("2001-02-03")
    page.locator("[type=checkbox]").check()
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#saved")).to_have_text("Ada 37 2001-02-03 True")


def test_parameters(page: Page) -> None:
    answer = page.request.get("/item/shirt/4?tag=a&tag=b").json()
    assert answer == {"name": "shirt", "size": 5, "tags": ["a", "b"], "on": "2026-01-02", "browser": True}
    assert page.request.get("/item/shirt/large?tag=a").status == 404
    assert page.request.get("/item/shirt/4").status == 400


def test_a_session_and_a_cookie(page: Page) -> None:
    for number in (1, 2):
        open_page(page, "/visits")
        expect(page.locator("#visits")).to_have_text(f"Visit {number}")
    assert "seen" in {each["name"] for each in page.context.cookies()}


def test_a_guard_before_a_route(page: Page) -> None:
    open_page(page, "/members")
    expect(page).to_have_url(re.compile("/hello$"))
    open_page(page, "/join")
    expect(page.locator("#inside")).to_be_visible()


def test_a_redirect_for_htmx(page: Page) -> None:
    open_page(page, "/leave")
    page.get_by_role("button").click()
    expect(page).to_have_url(re.compile("/hello$"))


def test_headers_for_htmx(page: Page) -> None:
    open_page(page, "/events")
    page.get_by_role("button").click()
    expect(page.locator("#heard")).to_have_text("heard it")
    expect(page).to_have_url(re.compile("rang=1$"))


def test_a_component_and_a_status(page: Page) -> None:
    answer = page.goto("/hero")
    assert answer is not None
    assert (answer.status, answer.headers["x-answer"]) == (404, "hero")
    expect(page.locator(".hero .word")).to_have_text("small")


def test_toasts(page: Page) -> None:
    open_page(page, "/toast")
    toast = page.locator(".fh-toast-success")
    expect(toast).to_contain_text("It is <done>")
    assert style(page, ".fh-toast-success", "backgroundColor") == "rgb(76, 175, 80)"
    toast.get_by_role("button").click()
    expect(toast).to_have_count(0)


def test_a_chat_over_a_socket(page: Page) -> None:
    open_page(page, "/chat")
    for number, word in enumerate(("one", "two"), 1):
        page.locator("#message").fill(word)
        page.get_by_role("button").click()
        expect(page.locator("#messages li")).to_have_count(number)
        expect(page.locator("#messages li").last).to_have_text(word)
    # A frame's style is applied as a page's is.
    assert style(page, "#messages li:last-child", "color") == "rgb(0, 0, 99)"
    # It has this one socket, though a form in it sends, and of the live one nothing comes into it.
    until(lambda: page.request.get("/chatting").text() == "1", "there is one socket of the chat")
    expect(page.locator("body")).not_to_contain_text("Missing required field")
    expect(page.locator("html")).to_have_attribute("data-connection", "open")


def test_messages_that_the_server_sends(page: Page) -> None:
    open_page(page, "/ticker")
    expect(page.locator(".tick")).to_have_text(["tick 0", "tick 1", "tick 2"])


def test_an_upload(page: Page) -> None:
    open_page(page, "/upload")
    page.locator("[type=file]").set_input_files({"name": "a.txt", "mimeType": "text/plain", "buffer": b"12345"})
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#size")).to_have_text("5 bytes")
    expect(page.locator("#uploaded header")).to_have_text("a.txt")


def test_more_rows_are_loaded(page: Page) -> None:
    open_page(page, "/scroll")
    expect(page.locator("tr")).to_have_count(30)
    page.locator("tr").last.scroll_into_view_if_needed()
    expect(page.get_by_text("Row 59", exact=True)).to_be_attached()


def test_choices_and_checks(page: Page) -> None:
    open_page(page, "/choose")
    page.locator("#country").select_option("Peru")
    expect(page.locator("#city option")).to_have_text(["Lima", "Cusco"])
    page.locator("#email").fill("nobody")
    page.locator("#email").blur()
    expect(page.locator("#problem")).to_have_text("An address has an @ in it")


def test_inline_scripts_styles_and_handlers(page: Page) -> None:
    open_page(page, "/inline")
    page.locator("#open").click()
    expect(page.get_by_text("I am open")).to_be_visible()
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_text("I am open")).to_be_hidden()
    page.locator("#light").click()
    expect(page.locator("#light")).to_have_class("lit")
    assert style(page, "#light", "backgroundColor") == "rgb(255, 255, 0)"
    assert style(page, "#light", "borderTopColor") == "rgb(1, 2, 3)"
    until(lambda: page.evaluate("window.loads > 0 && window.isModule"), "it is so on the page")
    page.locator("#fetch").click()
    until(lambda: page.evaluate("window.lateScript && window.fetched"), "it is so on the page")
    until(
        lambda: page.evaluate("getComputedStyle(document.getElementById('pressed')).marginLeft === '7px'"),
        "it is so on the page",
    )
    assert style(page, "#pressed", "color") == "rgb(3, 2, 1)"
    page.locator("#pressed").click()
    expect(page.locator("#pressed")).to_have_text("pressed")
    # And all of that without a word of it on the page.
    assert page.locator("style, script:not([src]), [onclick]").count() == 0


def test_polling_and_lazy_loading(page: Page) -> None:
    open_page(page, "/poll")
    expect(page.locator("#lazy")).to_have_text("came later")
    until(lambda: page.evaluate("Number(document.getElementById('poll').textContent) > 2"), "it is so on the page")


def test_a_drawing_answers(page: Page) -> None:
    open_page(page, "/drawing")
    page.locator("#circle").click()
    expect(page.locator("#svg rect")).to_have_attribute("fill", "blue")
    assert page.locator("#rect").evaluate("each => each.getBoundingClientRect().width") > 0


def test_a_condition_and_a_value_of_the_page(page: Page) -> None:
    page.set_viewport_size({"width": 777, "height": 600})
    open_page(page, "/search")
    page.locator("#q").press_sequentially("a b")
    expect(page.locator("#found")).to_be_empty()
    page.locator("#q").press("Enter")
    expect(page.locator("#found")).to_have_text("a b at 777")


def test_parts_of_an_answer(page: Page) -> None:
    open_page(page, "/parts")
    page.get_by_role("button").click()
    expect(page.locator("#one")).to_have_text("first")
    expect(page.locator("#two")).to_have_text("second")


@pytest.mark.parametrize(
    "name", ["Ada", "'; document.body.innerHTML = 'stolen'; '", "</script><script>alert(1)</script>"]
)
def test_what_was_put_together_never_runs_and_is_said(page: Page, project: Project, name: str) -> None:
    page.goto(f"/unsafe?name={name.replace(';', '%3B').replace(' ', '%20')}")
    page.wait_for_load_state("networkidle")
    page.locator("#put-together").click()
    expect(page).to_have_title("Unsafe")
    page.locator("#constant").click()
    expect(page).to_have_title(" ".join(name.split()))
    assert page.evaluate("[window.name1, window.name2]") == [None, name]
    assert style(page, "#narrow", "width") == f"{len(name)}px"
    assert style(page, "#wide", "width") != f"{len(name)}px"
    said = project.printed()
    for what in ("onclick of <button>", "<script>", "style of <div>"):
        assert f"/unsafe: {what} was put together at run time" in said
    assert "data_title=title" in said
    box = page.locator(".refused")
    box.locator("summary").click()
    expect(box).to_contain_text("onclick of <button> was put together at run time")
    expect(box).to_contain_text("<script> was put together")
    assert name not in {path.read_text(encoding="utf-8") for path in (project.data / "inline").iterdir()}


def test_a_frame_pushed_over_the_live_socket(page: Page, project: Project) -> None:
    open_page(page, "/board")
    expect(page.locator("html")).to_have_attribute("data-connection", "open")
    for total in (1, 2):
        with closing(sqlite3.connect(project.data / "app.db")) as connection, connection:
            connection.execute("INSERT INTO tasks (title) VALUES ('One more')")
        buttons = page.locator("#board button")
        expect(buttons).to_have_count(total)
        assert style(page, "#board button:last-child", "color") == "rgb(7, 7, 7)"
        for number in range(total):
            expect(buttons.nth(number)).to_have_css("order", str(total))
        buttons.last.click()
        expect(buttons.last).to_have_text("pressed")


def test_components_and_addresses_of_functions(page: Page) -> None:
    open_page(page, "/components")
    expect(page.locator(".grid > div")).to_have_text(["a", "b"])
    expect(page.locator("#dialog header")).to_have_text("Head")
    page.goto(page.locator("#link").get_attribute("href") or "")
    expect(page.locator("#more")).to_have_text("x 3")
    until(lambda: page.request.get("/plain").text() == "<ul><li>noted</li></ul>", "it was noted")


def test_a_page_of_ones_own(page: Page) -> None:
    open_page(page, "/whole")
    assert style(page, "#mine", "color") == "rgb(0, 99, 0)"
    assert page.locator("header").count() == 0


def test_an_edited_constant_is_followed(page: Page, project: Project) -> None:
    open_page(page, "/inline")
    page.evaluate("window.stays = true")
    old = page.locator("#main link").get_attribute("href") or ""
    project.edit("rgb(255, 255, 0)", "rgb(0, 255, 0)")
    project.edit("3px solid rgb(1, 2, 3)", "3px solid rgb(4, 5, 6)")
    until(
        lambda: page.evaluate("getComputedStyle(document.getElementById('light')).borderTopColor === 'rgb(4, 5, 6)'"),
        "it is so on the page",
    )
    page.locator("#light").click()
    until(
        lambda: page.evaluate(
            "getComputedStyle(document.getElementById('light')).backgroundColor === 'rgb(0, 255, 0)'"
        ),
        "it is so on the page",
    )
    assert page.evaluate("window.stays")
    # A page that was sent before the edit, and asks after it, is given what it names.
    assert "rgb(255, 255, 0)" in page.request.get(old).text()
    project.edit('showModal()"', 'show()"')
    until(lambda: page.evaluate("document.getElementById('open').dataset.inline !== undefined"), "it is so on the page")
    until(lambda: "show()" in handler(page, "#open") and "showModal" not in handler(page, "#open"), "it is followed")
    page.locator("#open").click()
    expect(page.get_by_text("I am open")).to_be_visible()


def test_nothing_of_our_own_pages_inherits_but_what_is_meant_to(chromium: Any, project: Project) -> None:
    """Whoever asks for something says itself what it is about, or is in a list or a record that says it for all."""
    meant = ("hx-target", "hx-swap", "hx-vals", "hx-sync")
    with closing(sqlite3.connect(project.data / "app.db")) as connection, connection:
        connection.executemany("INSERT INTO tasks (title, notes) VALUES (?, 'x')", [(f"Task {n}",) for n in range(60)])
        (id,) = connection.execute("SELECT max(id) FROM tasks").fetchone()
    context = chromium.new_context(base_url=project.url)
    page = context.new_page()
    found: set[str] = set()
    for address in ("/tasks", "/tasks?q=Task", f"/tasks/{id}", f"/tasks/{id}/edit", "/imports", "/access"):
        page.goto(address)
        page.wait_for_load_state("load")
        for element, name, source in page.evaluate(INHERITED):
            if not (name in meant and source in ("OL.rows", "ARTICLE.card detail")):
                found.add(f"{address}: {element} inherits {name} of {source}")
    context.close()
    # It disables the buttons in the link, of which there are none.
    assert {each for each in found if "A.button inherits hx-disable of FORM.edit-form" not in each} == set()


INHERITED = """() => {
  const isVerb = (name) => /^hx-(get|post|put|patch|delete)$/.test(name);
  const named = (element) => `${element.tagName}.${element.className}`;
  const found = [];
  for (const element of document.querySelectorAll("[hx-get], [hx-post], [hx-put], [hx-patch], [hx-delete]")) {
    for (let above = element.parentElement; above; above = above.parentElement) {
      for (const name of above.getAttributeNames()) {
        if (name.startsWith("hx-") && !isVerb(name) && !element.hasAttribute(name)) {
          found.push([named(element), name, named(above)]);
        }
      }
    }
  }
  return found;
}"""


def test_another_worker_has_the_files_that_one_has_named(tmp_path: Path) -> None:
    other = Project(tmp_path).start("--no-reload", "--workers", "2")
    with contextlib.ExitStack() as stack:
        stack.callback(other.end_anyhow)
        clients: dict[str, httpx.Client] = {}

        def both() -> bool:
            """Each connection is one worker's, which says its number."""
            client = stack.enter_context(httpx.Client(base_url=other.url, **PLAIN))
            clients[client.get("/probe").text] = client
            return len(clients) == 2

        until(both, "both workers answer")
        one, another = clients.values()
        addresses = re.findall(r"/inline/[0-9a-f]+\.\w+", one.get("/inline").text)
        assert len(addresses) >= 3
        assert [another.get(address).status_code for address in addresses] == [200] * len(addresses)


def handler(page: Page, selector: str) -> str:
    """The code of a handler, as the server gives it."""
    hash = page.locator(selector).get_attribute("data-inline")
    assert hash is not None
    return page.request.get(f"/inline/{hash.partition(':')[2]}.js").text()


def test_what_the_browser_refuses_is_told(chromium: Any, project: Project) -> None:
    context = chromium.new_context(base_url=project.url)
    page = context.new_page()
    page.goto("/raw")
    expect(page.locator(".refused summary")).to_have_text(re.compile("Left out of this page: [12]"))
    page.locator(".refused summary").click()
    expect(page.locator(".refused")).to_contain_text("script-src")
    until(lambda: "The browser refused" in project.printed(), "the terminal has it too")
    context.close()
