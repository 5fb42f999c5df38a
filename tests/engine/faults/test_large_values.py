"""Values of a size that no form takes: another program may write them, and every page still has an answer at once."""

import csv
import io
import time
from typing import Any

import httpx
import pytest

from templates.parts.forms import LINE_LENGTH
from templates.parts.values import SHOWN_TEXT
from tests.engine.conftest import DELETIONS, Server

LARGE = 20_000_000


@pytest.fixture
def large(server: Server) -> int:
    """The id of a task with 20 MB of notes and a title of 2 MB, among others."""
    server.add(3)
    server.sql(
        "INSERT INTO tasks (title, notes) VALUES ('Title ' || printf('%.*c', 2000000, 't'), ?)", ["né" * (LARGE // 3)]
    )
    return server.sql("SELECT max(id) FROM tasks")[0][0]


def answers(client: httpx.Client, address: str, most: int, method: str = "GET", **options: Any) -> str:
    """What is answered: well, soon, and not too much."""
    begin = time.monotonic()
    answer = client.request(method, address, **options)
    assert answer.status_code == 200, answer.text[:1000]
    assert time.monotonic() - begin < 10, "a coarse bound: the machine may have much else to do"
    assert len(answer.content) < most
    return answer.text


def test_a_list_does_not_show_what_is_too_large_for_it(client: httpx.Client, large: int) -> None:
    for address in ("/tasks", "/tasks?sort=title", "/tasks?q=task", "/tasks?sort=oldest&pages=2"):
        assert "Task 1" in answers(client, address, 100_000)
    assert f'<a href="/tasks/{large}" class="title">…</a>' in answers(client, "/tasks", 100_000)


def test_a_page_shows_the_begin(client: httpx.Client, large: int) -> None:
    page = answers(client, f"/tasks/{large}", 2_000_000)
    assert f"here are its first {SHOWN_TEXT:,} characters" in page
    assert "né" * (SHOWN_TEXT // 2) in page
    assert "né" * (SHOWN_TEXT // 2 + 1) not in page
    assert "t" * (LINE_LENGTH - 6) in page
    assert "t" * LINE_LENGTH not in page


def test_what_is_too_large_cannot_be_changed_and_is_not_cut_by_a_form(
    htmx: httpx.Client, server: Server, large: int
) -> None:
    form = answers(htmx, f"/tasks/{large}/edit", 2_000_000)
    assert form.count("Too large to be changed here") == 2
    assert 'name="notes"' not in form
    assert 'name="title"' not in form
    answers(htmx, f"/tasks/{large}/changes?since=0", 100_000)
    answers(htmx, f"/tasks/{large}", 2_000_000, "PATCH", data={"due": "2030-01-01"})
    (row,) = server.sql("SELECT length(notes) AS notes, length(title) AS title, due FROM tasks WHERE id = ?", [large])
    assert tuple(row) == (2 * (LARGE // 3), 2_000_006, "2030-01-01")


def test_it_is_deleted_and_comes_back_whole(
    client: httpx.Client, htmx: httpx.Client, server: Server, large: int
) -> None:
    answers(htmx, f"/tasks/{large}", 100_000, "DELETE")
    assert "Undo" in answers(client, f"/tasks?deleted={large}", 100_000)
    assert server.sql(f"SELECT length(notes) FROM {DELETIONS}")[0][0] == 2 * (LARGE // 3)
    answers(htmx, f"/tasks/{large}/restore", 100_000, "POST")
    assert server.sql("SELECT length(notes) FROM tasks WHERE id = ?", [large])[0][0] == 2 * (LARGE // 3)


def test_what_a_form_has_written_can_be_changed_by_one(htmx: httpx.Client, server: Server) -> None:
    server.add(1)
    id = server.sql("SELECT id FROM tasks")[0][0]
    notes = "words " * 150_000
    answers(htmx, f"/tasks/{id}", 2_000_000, "PATCH", data={"notes": notes})
    form = answers(htmx, f"/tasks/{id}/edit", 2_000_000)
    assert notes in form
    assert 'name="notes"' in form


def test_an_export_has_all_of_it(client: httpx.Client, server: Server, large: int) -> None:
    notes = "né" * (LARGE // 3)
    server.sql("UPDATE tasks SET notes = ? WHERE id = ?", ['=1+"2"\n' + notes, large])
    server.add(2)
    before = [dict(row) for row in server.sql("SELECT * FROM tasks ORDER BY id")]
    assert client.get("/export.json").json() == before
    csv.field_size_limit(10 * LARGE)
    rows = list(csv.DictReader(io.StringIO(client.get("/export.csv").content.decode("utf-8-sig"), newline="")))
    assert [row["id"] for row in rows] == [str(row["id"]) for row in before]
    assert rows[3]["notes"] == "'" + before[3]["notes"]
    assert rows[3]["title"] == before[3]["title"]
    assert (rows[3]["due"], rows[3]["done"]) == ("", "0")
