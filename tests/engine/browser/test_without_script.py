"""Everything works as plain pages and forms where there is no JavaScript."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.engine.chromium import new_title
from tests.engine.conftest import Server


@pytest.fixture
def plain(chromium: Browser, server: Server) -> Iterator[Page]:
    """A page of a browser with JavaScript turned off."""
    context = chromium.new_context(base_url=server.url, java_script_enabled=False)
    context.set_default_timeout(5000)
    yield context.new_page()
    context.close()


def test_add_edit_delete_undo(plain: Page, server: Server) -> None:
    plain.goto("/tasks")
    new_title(plain).fill("Plain")
    plain.get_by_role("button", name="Add").click()
    expect(plain.locator(".record .title")).to_have_text(["Plain"])
    plain.get_by_role("link", name="Edit Plain").click()
    plain.get_by_label("Title").fill("Plainer")
    plain.get_by_label(re.compile("^Notes")).fill("*words*")
    plain.get_by_role("button", name="Save").click()
    expect(plain.get_by_role("heading", name="Plainer")).to_be_visible()
    expect(plain.locator(".notes em")).to_have_text("words")
    before = [tuple(row) for row in server.sql("SELECT * FROM tasks")]
    plain.get_by_role("button", name="Delete").click()
    expect(plain.locator(".record")).to_have_count(0)
    plain.get_by_role("button", name="Undo").click()
    expect(plain.locator(".record .title")).to_have_text(["Plainer"])
    assert [tuple(row) for row in server.sql("SELECT * FROM tasks")] == before


def test_search_order_and_pages(plain: Page, server: Server) -> None:
    server.add(45)
    plain.goto("/tasks")
    plain.get_by_role("link", name="More tasks").click()
    expect(plain.locator(".record .title").first).to_have_text("Task 25")
    plain.get_by_role("link", name="More tasks").click()
    expect(plain.locator(".record")).to_have_count(5)
    plain.get_by_role("link", name="Earlier tasks").click()
    expect(plain.locator(".record .title").first).to_have_text("Task 25")
    plain.locator("#search").fill("task 4")
    plain.get_by_label("Order").select_option("Oldest first")
    plain.get_by_role("button", name="Search").click()
    expect(plain.locator(".record .title")).to_have_text(["Task 4", *[f"Task {n}" for n in range(40, 46)]])


def test_an_import_from_file_to_list(plain: Page, server: Server, tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("Name,Due date\nFirst,2030-01-02\nSecond,\n", encoding="utf-8")
    plain.goto("/imports")
    plain.get_by_label("File to import").set_input_files(file)
    plain.get_by_role("button", name="Read the file").click()
    for _ in range(50):
        if plain.get_by_role("button", name="Import 2 tasks").count():
            break
        plain.reload()
    plain.get_by_role("button", name="Import 2 tasks").click()
    for _ in range(50):
        if plain.get_by_role("link", name="See them").count():
            break
        plain.reload()
    plain.get_by_role("link", name="See them").click()
    expect(plain.locator(".record .title")).to_have_text(["Second", "First"])


def test_what_was_typed_wrong_comes_back_with_the_reason(plain: Page, server: Server) -> None:
    plain.goto("/tasks")
    new_title(plain).fill("   ")
    plain.locator("[name=due]").fill("2030-01-01")
    plain.get_by_role("button", name="Add").click()
    expect(plain.get_by_role("alert")).to_contain_text(re.compile("title", re.IGNORECASE))
    expect(plain.locator("[name=due]")).to_have_value("2030-01-01")
