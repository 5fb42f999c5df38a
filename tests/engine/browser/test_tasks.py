"""The main job in a real Chromium: add, find, edit, tick, delete, bring back, scroll; by mouse, by keyboard."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.engine.browser.test_imports import upload
from tests.engine.chromium import ZONE
from tests.engine.conftest import Server


def test_first_visit_invites_to_add_or_import(page: Page) -> None:
    page.goto("/")
    expect(page).to_have_url(re.compile("/tasks$"))
    expect(page.get_by_text("No tasks yet.")).to_be_visible()
    page.get_by_role("link", name="bring them from another app").click()
    expect(page.get_by_role("heading", name="Import & export")).to_be_visible()


def test_adding_shows_the_task_and_keeps_the_cursor_for_the_next(page: Page, server: Server) -> None:
    page.goto("/tasks")
    page.get_by_label("New task").fill("Buy milk")
    page.keyboard.press("Enter")
    expect(page.locator(".record")).to_have_text(re.compile("Buy milk"))
    expect(page.get_by_label("New task")).to_be_focused()
    page.keyboard.type("Buy bread")
    page.keyboard.press("Enter")
    expect(page.locator(".record")).to_have_count(2)
    expect(page.get_by_label("New task")).to_have_value("")
    assert [row["title"] for row in server.sql("SELECT title FROM tasks ORDER BY id")] == ["Buy milk", "Buy bread"]


def test_two_clicks_on_add_make_one_task(page: Page, server: Server) -> None:
    page.goto("/tasks")
    page.get_by_label("New task").fill("Once")
    page.get_by_role("button", name="Add").dblclick()
    expect(page.locator(".record")).to_have_count(1)
    page.wait_for_load_state("networkidle")
    assert server.sql("SELECT count(*) AS tasks FROM tasks")[0]["tasks"] == 1


def test_a_task_that_the_list_does_not_show_is_announced(page: Page, server: Server) -> None:
    server.add(1)
    page.goto("/tasks?status=done")
    page.get_by_label("New task").fill("Elsewhere")
    page.get_by_role("button", name="Add").click()
    expect(page.locator("#toasts")).to_contain_text("“Elsewhere”. This list does not show it.")


def test_search_narrows_while_typing_and_the_address_follows(page: Page, server: Server) -> None:
    server.add(30)
    server.sql("INSERT INTO tasks (title, notes) VALUES ('Buy milk', 'oat'), ('Call Zoë', ''), ('Party 🎉', '')")
    page.goto("/tasks")
    search = page.get_by_label("Search tasks")
    search.press_sequentially("mil")
    expect(page.locator(".record")).to_have_count(1)
    expect(page.get_by_text("1 found")).to_be_visible()
    expect(page).to_have_url(re.compile(r"q=mil\b"))
    expect(search).to_be_focused()
    for text in ("oat", "zoe", "🎉", "par 🎉"):
        search.fill(text)
        expect(page.locator(".record")).to_have_count(1)
    for text in ('"', "*", "AND", "milk OR", "NEAR(", "^milk", "-", "a" * 190):
        search.fill(text)
        expect(page.locator(".found")).to_be_visible()
    search.fill("nothing like it")
    expect(page.get_by_text("Nothing matches.")).to_be_visible()
    search.fill("")
    expect(page.locator(".record")).to_have_count(20)


def test_status_and_order_go_together_with_the_search(page: Page, server: Server) -> None:
    server.add(3)
    server.sql("UPDATE tasks SET done = 1 WHERE title = 'Task 2'")
    page.goto("/tasks")
    page.get_by_role("link", name="Open 2").click()
    expect(page.locator(".record .title")).to_have_text(["Task 3", "Task 1"])
    page.get_by_label("Order").select_option("Oldest first")
    expect(page.locator(".record .title")).to_have_text(["Task 1", "Task 3"])
    page.get_by_label("Search tasks").fill("3")
    expect(page.locator(".record .title")).to_have_text(["Task 3"])
    expect(page).to_have_url(re.compile("status=open"))
    page.reload()
    expect(page.locator(".record .title")).to_have_text(["Task 3"])
    expect(page.get_by_label("Order")).to_have_value("oldest")


def test_the_back_button_returns_to_the_list_before(page: Page, server: Server) -> None:
    server.add(2)
    server.sql("UPDATE tasks SET done = 1 WHERE title = 'Task 2'")
    page.goto("/tasks")
    page.get_by_role("link", name="Done 1").click()
    expect(page.locator(".record .title")).to_have_text(["Task 2"])
    page.go_back()
    expect(page.locator(".record .title")).to_have_text(["Task 2", "Task 1"])
    page.get_by_role("link", name="Task 1", exact=True).click()
    expect(page.get_by_role("heading", name="Task 1")).to_be_visible()
    page.go_back()
    expect(page.locator(".record")).to_have_count(2)


def test_ticking_marks_the_row_and_moves_the_figures(page: Page, server: Server) -> None:
    server.add(2)
    page.goto("/tasks")
    tick = page.get_by_role("checkbox", name="Done: Task 2")
    expect(tick).not_to_be_checked()
    tick.click()
    expect(tick).to_be_checked()
    expect(tick).to_be_focused()
    expect(page.locator(".figures")).to_have_text(re.compile(r"Open\s*1\s*Overdue\s*0\s*Done\s*1"))
    expect(page.get_by_role("img", name=re.compile("1 done in the last 14 days, 1 of them today"))).to_be_visible()
    page.keyboard.press("Enter")
    expect(tick).not_to_be_checked()
    assert server.sql("SELECT sum(done) AS done FROM tasks")[0]["done"] == 0


def test_editing_in_place_saves_and_escape_leaves_it(page: Page, server: Server) -> None:
    server.add(2)
    page.goto("/tasks")
    page.get_by_role("link", name="Edit Task 1").click()
    title = page.locator(".editing").get_by_label("Title")
    expect(title).to_be_focused()
    title.fill("Never mind")
    page.keyboard.press("Escape")
    expect(page.locator(".editing")).to_have_count(0)
    expect(page.locator(".record .title")).to_have_text(["Task 2", "Task 1"])
    page.get_by_role("link", name="Edit Task 1").click()
    title.fill("Renamed <b>")
    page.get_by_label("Due").last.fill("2030-01-31")
    page.get_by_label(re.compile("^Notes")).fill("Some *notes*")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".record .title")).to_have_text(["Task 2", "Renamed <b>"])
    expect(page.locator(".record").last).to_contain_text("31 Jan 2030")
    row = server.sql("SELECT title, due, notes FROM tasks WHERE id = (SELECT min(id) FROM tasks)")[0]
    assert tuple(row) == ("Renamed <b>", "2030-01-31", "Some *notes*")


def test_an_edit_of_what_changed_meanwhile_keeps_the_text_and_says_so(context: BrowserContext, server: Server) -> None:
    server.add(1)
    first, second = context.new_page(), context.new_page()
    for page in (first, second):
        page.goto("/tasks")
        page.get_by_role("link", name="Edit Task 1").click()
    first.locator(".editing").get_by_label("Title").fill("Mine")
    first.get_by_role("button", name="Save").click()
    expect(first.locator(".record .title")).to_have_text(["Mine"])
    second.locator(".editing").get_by_label("Title").fill("Yours")
    second.get_by_role("button", name="Save").click()
    expect(second.get_by_role("alert")).to_contain_text("changed in the meantime; its title is now “Mine”")
    expect(second.locator(".editing").get_by_label("Title")).to_have_value("Yours")
    second.get_by_role("button", name="Save").click()
    expect(second.locator(".record .title")).to_have_text(["Yours"])
    context.complaints.clear()  # type: ignore[attr-defined]  # Chromium notes the 409 in the console.


def test_undo_brings_the_whole_row_back_to_its_place(page: Page, server: Server) -> None:
    server.add(3, notes="All of it", due="2030-05-01", done=1)
    before = [tuple(row) for row in server.sql("SELECT * FROM tasks ORDER BY id")]
    completed = [tuple(row) for row in server.sql("SELECT * FROM completions ORDER BY task_id")]
    page.goto("/tasks")
    page.get_by_role("button", name="Delete Task 2").click()
    expect(page.locator(".record .title")).to_have_text(["Task 3", "Task 1"])
    expect(page.locator(".toast")).to_contain_text("Deleted “Task 2”")
    undo = page.get_by_role("button", name="Undo")
    expect(undo).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".record .title")).to_have_text(["Task 3", "Task 2", "Task 1"])
    expect(page.locator(".toast")).to_have_count(0)
    assert [tuple(row) for row in server.sql("SELECT * FROM tasks ORDER BY id")] == before
    assert [tuple(row) for row in server.sql("SELECT * FROM completions ORDER BY task_id")] == completed


@pytest.mark.slow
def test_scrolling_reaches_row_1000(page: Page, server: Server) -> None:
    server.add(1100)
    page.goto("/tasks?sort=oldest")
    page.evaluate(
        """async () => {
            for (let frame = 0; frame < 3000 && document.querySelectorAll(".record").length < 1000; frame++) {
                scrollTo(0, document.body.scrollHeight);
                await new Promise(requestAnimationFrame);
            }
        }"""
    )
    row = page.get_by_role("link", name="Task 1000", exact=True)
    row.scroll_into_view_if_needed()
    expect(row).to_be_in_viewport()
    titles = page.locator(".record .title").all_text_contents()
    assert titles == [f"Task {number}" for number in range(1, len(titles) + 1)]


def test_dates_are_marked_by_how_near_they_are(page: Page, server: Server) -> None:
    today = datetime.now(ZONE).date()
    far = today + timedelta(days=400)
    for due in (today - timedelta(days=1), today, today + timedelta(days=1), far):
        server.add(1, due=due.isoformat())
    server.add(1, due="2020-01-01", done=1)
    page.goto("/tasks?sort=due")
    expect(page.locator(".due")).to_have_text(
        ["1 Jan 2020", "Overdue: Yesterday", "Today", "Tomorrow", f"{far.day} {far:%b %Y}"]
    )
    expect(page.locator(".overdue .quiet, .due.overdue")).to_have_count(1)
    expect(page.locator(".figures .overdue")).to_have_text(re.compile("Overdue.*1"))


def test_keys_reach_the_search_and_the_new_task(page: Page) -> None:
    page.goto("/tasks")
    page.keyboard.press("/")
    expect(page.get_by_label("Search tasks")).to_be_focused()
    page.keyboard.type("n/")
    expect(page.get_by_label("Search tasks")).to_have_value("n/")
    page.locator("body").click(position={"x": 5, "y": 400})
    page.get_by_label("Search tasks").blur()
    page.keyboard.press("n")
    expect(page.get_by_label("New task")).to_be_focused()


def test_the_whole_job_works_with_the_keyboard_alone(page: Page, server: Server) -> None:
    page.goto("/tasks")
    page.keyboard.press("n")
    page.keyboard.type("By keys")
    page.keyboard.press("Enter")
    expect(page.locator(".record")).to_have_count(1)
    seen = []
    for _ in range(20):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate("document.activeElement.getAttribute('aria-label') ?? document.activeElement.innerText")
        )
        if seen[-1] == "Delete By keys":
            break
    assert [name for name in seen if "By keys" in name] == [
        "Done: By keys",
        "By keys",
        "Edit By keys",
        "Delete By keys",
    ]
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Undo")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".record .title")).to_have_text(["By keys"])


def test_two_clicks_on_delete_delete_once(page: Page, server: Server) -> None:
    server.add(2)
    page.goto("/tasks")
    page.get_by_role("button", name="Delete Task 2").dblclick()
    expect(page.locator(".toast")).to_have_count(1)
    expect(page.locator(".record .title")).to_have_text(["Task 1"])


def test_notes_are_markdown_without_raw_html(page: Page, server: Server) -> None:
    notes = (
        "# Plan\n\n- **bold**\n\n<script>alert(1)</script>\n\n<img src=x onerror=alert(1)>\n\n"
        "[bad](javascript:alert(1))\n\n![pixel](https://example.org/x.png)"
    )
    server.add(1, notes=notes)
    page.goto("/tasks")
    expect(page.get_by_role("img", name="Has notes")).to_be_visible()
    page.get_by_role("link", name="Task 1", exact=True).click()
    expect(page.locator(".notes strong")).to_have_text("bold")
    expect(page.locator(".notes :is(script, img)")).to_have_count(0)
    expect(page.locator(".notes a[href^='javascript']")).to_have_count(0)
    expect(page.locator(".notes")).to_contain_text("<script>alert(1)</script>")


def test_the_detail_page_ticks_edits_and_deletes(page: Page, server: Server) -> None:
    server.add(1)
    page.goto("/tasks")
    page.get_by_role("link", name="Task 1", exact=True).click()
    page.get_by_role("checkbox").click()
    expect(page.get_by_role("checkbox")).to_be_checked()
    page.get_by_role("link", name="Edit").click()
    page.get_by_label(re.compile("^Notes")).fill("1. first\n2. second")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".notes li")).to_have_count(2)
    page.get_by_role("button", name="Delete").click()
    expect(page).to_have_url(re.compile(r"/tasks\?deleted="))
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".record .title")).to_have_text(["Task 1"])


def test_a_server_that_is_gone_is_said_and_nothing_is_lost(page: Page, context: BrowserContext) -> None:
    page.goto("/tasks")
    context.set_offline(True)
    page.get_by_label("New task").fill("Keep me")
    page.get_by_role("button", name="Add").click()
    expect(page.locator(".toast")).to_contain_text("The server cannot be reached")
    expect(page.get_by_label("New task")).to_have_value("Keep me")
    context.set_offline(False)
    page.get_by_role("button", name="Add").click()
    expect(page.locator(".record .title")).to_have_text(["Keep me"])
    context.complaints.clear()  # type: ignore[attr-defined]  # Being offline is what the console was to say.


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_overdue_follows_the_persons_time_zone(chromium, server: Server, zone: str) -> None:  # type: ignore[no-untyped-def]
    context = chromium.new_context(base_url=server.url, timezone_id=zone)
    page = context.new_page()
    page.goto("/tasks")
    today = page.evaluate("new Date().toLocaleDateString('sv')")
    server.add(1, due=today)
    page.goto("/tasks")
    expect(page.locator(".due")).to_have_text("Today")
    context.close()


@pytest.fixture
def late_server(tmp_path: Path) -> Iterator[Server]:
    """A server for which it is ten seconds before midnight in Berlin, and an hour more where it stands."""
    if shutil.which("faketime") is None:
        pytest.skip("no faketime on this machine, which gives a process another clock: install it")
    begin = "2026-03-09 22:59:50"
    found = subprocess.run(["faketime", begin, "env"], capture_output=True, encoding="utf-8", check=True).stdout
    loaded = re.search(r"^LD_PRELOAD=(.*)$", found, re.MULTILINE)
    assert loaded
    clock = {"LD_PRELOAD": loaded[1], "FAKETIME": f"@{begin}", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "TZ": "UTC"}
    server = Server(tmp_path / "data", environment=clock)
    yield server
    assert server.stop() == 0


@pytest.mark.slow  # It waits for ten seconds; that the day turns on open pages is quick in tests/engine/server.
def test_an_open_page_turns_overdue_at_the_persons_midnight(chromium: Any, late_server: Server) -> None:
    context = chromium.new_context(base_url=late_server.url, timezone_id=ZONE.key)
    page = context.new_page()
    page.goto("/tasks")
    late_server.add(1, due="2026-03-09")
    page.reload()
    expect(page.locator(".due")).to_have_text("Today")
    expect(page.locator(".figures .overdue")).to_have_count(0)
    expect(page.locator(".due")).to_have_text("Overdue: Yesterday")
    expect(page.locator(".figures .overdue")).to_have_text(re.compile("Overdue.*1"))
    context.close()


def test_without_a_socket_pages_work_and_figures_follow_ones_own_edits(context: BrowserContext, server: Server) -> None:
    server.add(2)
    page = context.new_page()
    page.route_web_socket("**/live", lambda route: route.close(code=1011))
    page.goto("/tasks")
    page.get_by_role("checkbox", name="Done: Task 2").click()
    expect(page.locator(".figures")).to_have_text(re.compile(r"Open\s*1\s*Overdue\s*0\s*Done\s*1"))
    page.get_by_label("New task").fill("Third")
    page.keyboard.press("Enter")
    expect(page.locator(".record .title")).to_have_text(["Third", "Task 2", "Task 1"])
    expect(page.locator(".figures")).to_have_text(re.compile(r"Open\s*2"))


def test_the_figures_follow_every_program(page: Page, server: Server) -> None:
    server.add(3)
    page.goto("/tasks")
    expect(page.locator(".figures")).to_have_text(re.compile(r"Open\s*3"))
    server.sql("UPDATE tasks SET done = 1 WHERE title = 'Task 1'")
    expect(page.locator(".figures")).to_have_text(re.compile(r"Open\s*2\s*Overdue\s*0\s*Done\s*1"))


def test_a_real_export_is_shown_before_anything_is_written(page: Page, server: Server, tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(
        "Name;Status;Due date;Owner\nBuy milk;Done;2030-01-02;Ada\n;Open;;\nCall Bob;In review;soon;\n",
        encoding="utf-8",
    )
    upload(page, file)
    expect(page.get_by_text(re.compile("2 tasks.*found in CSV.*separated by semicolons"))).to_be_visible()
    expect(page.locator("tbody tr").first).to_have_text(re.compile("Buy milk.*Owner: Ada.*2030-01-02.*Yes"))
    expect(page.get_by_text("Title from “Name”")).to_be_visible()
    expect(page.get_by_text("1 row cannot be used")).to_be_visible()
    assert server.sql("SELECT count(*) AS tasks FROM tasks")[0]["tasks"] == 0
    page.get_by_role("button", name="Import 2 tasks").click()
    expect(page.get_by_text("2 tasks imported.")).to_be_visible()
    page.get_by_role("link", name="See them").click()
    expect(page.locator(".record .title")).to_have_text(["Call Bob", "Buy milk"])
    rows = [tuple(row) for row in server.sql("SELECT title, done, due, notes FROM tasks ORDER BY id")]
    assert rows[0] == ("Buy milk", 1, "2030-01-02", "Owner: Ada")
    assert rows[1] == ("Call Bob", 0, None, "Status: In review\nDue date: soon")
