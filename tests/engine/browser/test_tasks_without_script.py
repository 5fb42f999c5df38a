"""Tasks as plain pages and forms, where there is no JavaScript: ticks, the filter, and a mistake."""

import re

from playwright.sync_api import Page, expect

from tests.engine.browser.test_without_script import plain
from tests.engine.conftest import Server

__all__ = ["plain"]  # a fixture


def test_a_tick_is_kept(plain: Page, server: Server) -> None:
    server.add(1)
    plain.goto("/tasks")
    plain.get_by_role("checkbox", name="Done: Task 1").click()
    expect(plain.get_by_role("checkbox", name="Done: Task 1")).to_be_checked()
    assert server.sql("SELECT done FROM tasks")[0]["done"] == 1


def test_search_filter_order_and_pages(plain: Page, server: Server) -> None:
    server.add(45)
    server.sql("UPDATE tasks SET done = 1 WHERE title = 'Task 7'")
    server.until_indexed()
    plain.goto("/tasks")
    plain.get_by_role("link", name="Done 1").click()
    expect(plain.locator(".record .title")).to_have_text(["Task 7"])
    plain.get_by_role("link", name="All 45").click()
    plain.get_by_label("Search tasks").fill("task 4")
    plain.get_by_label("Order").select_option("Oldest first")
    plain.get_by_role("button", name="Search").click()
    expect(plain.locator(".record .title")).to_have_text(["Task 4", *[f"Task {n}" for n in range(40, 46)]])


def test_a_tick_returns_to_the_list_it_came_from(plain: Page, server: Server) -> None:
    server.add(3)
    plain.goto("/tasks?status=open&sort=oldest")
    plain.get_by_role("checkbox", name="Done: Task 1").click()
    expect(plain).to_have_url(re.compile(r"/tasks\?status=open&sort=oldest$"))
    expect(plain.locator(".record .title")).to_have_text(["Task 2", "Task 3"])


def test_what_was_typed_wrong_comes_back_with_the_reason(plain: Page, server: Server) -> None:
    plain.goto("/tasks")
    plain.get_by_label("New task").fill("   ")
    plain.get_by_label("Due date").fill("2030-01-01")
    plain.get_by_role("button", name="Add").click()
    expect(plain.get_by_role("alert")).to_have_text("A task needs a title.")
    expect(plain.get_by_label("Due date")).to_have_value("2030-01-01")
