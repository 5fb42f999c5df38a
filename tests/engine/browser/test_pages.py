"""Every page and state, wide and narrow, light and dark: no violation of axe-core's rules, nothing cut off."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.engine.chromium import PATIENCE
from tests.engine.conftest import DELETIONS, ROOT, Server

AXE = (ROOT / "tests/engine/vendor/axe.min.js").read_text(encoding="utf-8")
PAGES = {
    "empty": "/tasks?q=nothing+like+it",
    "tasks": "/tasks",
    "task": "/tasks/1001",
    "edit": "/tasks/1001/edit",
    "import": "/imports",
    "not found": "/nothing",
    "deleted": "/tasks?deleted=1002",
}


@pytest.fixture
def filled(server: Server) -> Server:
    """Tasks of every kind."""
    server.sql(
        "INSERT INTO tasks (id, title, notes, due, done) VALUES"
        " (1000, 'Late', '', '2020-01-01', 0), (1001, ?, '# Plan\n\n- a `b`\n\n|x|y|\n|-|-|\n|1|2|', '2031-01-01', 0),"
        " (1003, 'Done', '', NULL, 1)",
        ["A very long title " * 12 + "x" * 120],
    )
    server.sql(
        f"INSERT INTO {DELETIONS} (id, title, notes, done, created_at, updated_at, deleted_at)"
        " VALUES (1002, 'Gone', '', 0, '', '', '2999-01-01')"
    )
    return server


# The narrowest and the darkest take their time; the two that people have most are looked at in every run.
SIZES = [
    pytest.param((320, "light"), marks=pytest.mark.slow),
    (390, "dark"),
    (1280, "light"),
    pytest.param((1280, "dark"), marks=pytest.mark.slow),
]


@pytest.fixture(params=SIZES, ids=lambda p: f"{p[0]}-{p[1]}")
def view(request: pytest.FixtureRequest, chromium: Browser, filled: Server) -> Iterator[Page]:
    """A page of a given width and colour scheme."""
    width, scheme = request.param
    context = chromium.new_context(
        base_url=filled.url, viewport={"width": width, "height": 800}, color_scheme=scheme, reduced_motion="reduce"
    )
    context.set_default_timeout(PATIENCE)
    # The page's own policy admits no script from elsewhere; this one is put in beside it.
    context.add_init_script(AXE)
    yield context.new_page()
    context.close()


def _violations(page: Page) -> list[str]:
    found = page.evaluate("async () => (await axe.run()).violations")
    return [f"{each['id']}: {node['html']}" for each in found for node in each["nodes"]]


def test_every_page_is_accessible_and_fits(view: Page) -> None:
    for name, path in PAGES.items():
        view.goto(path)
        assert _violations(view) == [], name
        overflow = view.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, f"{name} is {overflow} px too wide"


def test_every_state_is_accessible(view: Page, tmp_path: Path) -> None:
    view.goto("/tasks")
    view.get_by_role("link", name="Edit Late").click()
    expect(view.locator(".editing")).to_be_visible()
    view.get_by_role("button", name="Delete Done").click()
    expect(view.locator(".toast")).to_be_visible()
    assert _violations(view) == []
    file = tmp_path / "a file with quite a long name that goes on and on.csv"
    file.write_text("Name,Odd column\nOne,x\n,y\nThree,z\n", encoding="utf-8")
    view.goto("/imports")
    view.get_by_label("File to import").set_input_files(file)
    view.get_by_role("button", name="Read the file").click()
    view.get_by_text("1 row cannot be used").click()
    view.get_by_text("Columns:").click()
    assert _violations(view) == []
    view.get_by_role("button", name="Import 2 tasks").click()
    expect(view.get_by_text("2 tasks imported.")).to_be_visible()
    assert _violations(view) == []
    assert view.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0


def test_the_content_can_be_reached_past_the_navigation(page: Page) -> None:
    page.goto("/tasks")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
