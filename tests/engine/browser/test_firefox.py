"""A real Firefox: pages follow each change there too, and what a person is doing stays."""

import json
from pathlib import Path

from tests.engine.conftest import Server
from tests.engine.firefox import Firefox, Tab
from tests.engine.reloading import Checkout

TITLES = "[...document.querySelectorAll('#tasks .title')].map(each => each.innerText.trim())"
EDITED = "document.querySelector('.editing [name=title]')"


def follows(tab: Tab) -> None:
    """Wait until the page is live."""
    tab.wait("document.documentElement.dataset.connection === 'open'")


def opened(firefox: Firefox, url: str) -> Tab:
    tab = firefox.open(url)
    follows(tab)
    tab.evaluate("window.isTheSame = true")
    return tab


def test_a_page_follows_what_another_program_writes(firefox: Firefox, server: Server) -> None:
    server.add(2)
    tab = opened(firefox, f"{server.url}/tasks")
    server.sql("INSERT INTO tasks (title) VALUES ('From the command line')")
    tab.wait(f"{TITLES}.join() === 'From the command line,Task 2,Task 1'")
    server.sql("DELETE FROM tasks WHERE title = 'Task 2'")
    tab.wait(f"{TITLES}.join() === 'From the command line,Task 1'")
    assert tab.evaluate("window.isTheSame")
    tab.close()


def test_a_form_that_is_being_filled_in_survives_an_update(firefox: Firefox, server: Server) -> None:
    server.add(3)
    tab = opened(firefox, f"{server.url}/tasks")
    tab.click("#tasks a.edit")
    tab.wait(f"{EDITED} === document.activeElement")
    tab.evaluate(f"{EDITED}.select()")
    tab.type("Half a title")
    server.sql("UPDATE tasks SET title = 'Changed elsewhere' WHERE title = 'Task 1'")
    tab.wait(f"{TITLES}.includes('Changed elsewhere')")
    assert tab.evaluate(f"{EDITED}.value") == "Half a title"
    assert tab.evaluate(f"{EDITED} === document.activeElement")
    tab.type(" more")
    tab.press("Save")
    tab.wait(f"{TITLES}.includes('Half a title more')")
    assert [row["title"] for row in server.sql("SELECT title FROM tasks ORDER BY id")] == [
        "Changed elsewhere",
        "Task 2",
        "Half a title more",
    ]
    tab.close()


def test_a_saved_edit_of_the_code_is_on_the_page(firefox: Firefox, tmp_path: Path) -> None:
    checkout = Checkout(tmp_path).start()
    try:
        tab = opened(firefox, f"{checkout.url}/tasks")
        tab.click("#add-task [name=title]")
        tab.type("Half a task")
        checkout.edit("templates/tasks.py", 'H1("Tasks"', 'H1("Edited tasks"')
        tab.wait("document.querySelector('h1').innerText === 'Edited tasks'")
        assert tab.evaluate("document.querySelector('#add-task [name=title]').value") == "Half a task"
        assert tab.evaluate("window.isTheSame")
        tab.close()
    finally:
        checkout.end_anyhow()


def test_a_file_is_imported(firefox: Firefox, server: Server, tmp_path: Path) -> None:
    server.empty()
    file = tmp_path / "two.json"
    file.write_text(
        json.dumps([{"title": "Grüße", "due": "2026-05-01"}, {"title": "Second", "done": True}]), encoding="utf-8"
    )
    tab = opened(firefox, f"{server.url}/imports")
    tab.give_file("input[type=file]", file)
    tab.press("Read the file")
    tab.press("Import 2 tasks")
    tab.wait("document.body.innerText.includes('Take this import back')")
    assert [tuple(row) for row in server.sql("SELECT title, due, done FROM tasks ORDER BY id")] == [
        ("Grüße", "2026-05-01", 0),
        ("Second", None, 1),
    ]
    tab.close()
