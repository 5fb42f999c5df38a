"""What an import does with rows that are in the data already, over HTTP, and how it is taken back."""

import json
import sqlite3
from typing import Any

import httpx
import pytest

from tests.engine.conftest import Server
from tests.importing import JSON, bring, settled, until, upload

FILE = b"Title,Due,Created\n" + b"".join(
    b"Task %d,2030-01-%02d,2026-01-02T03:04:%02dZ\n" % (number, number, number) for number in range(1, 16)
)


@pytest.fixture(autouse=True)
def _empty(server: Server) -> None:
    server.empty()


def rows_of(server: Server) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in server.sql("SELECT * FROM tasks ORDER BY id")]


def without_three_and_with_two_changed(server: Server) -> list[tuple[Any, ...]]:
    """The rows of the file, of which three are gone again and two were changed; they have to be imported first."""
    server.sql("DELETE FROM tasks WHERE title IN ('Task 3', 'Task 4', 'Task 5')")
    server.sql("UPDATE tasks SET due = '2031-12-31' WHERE title IN ('Task 7', 'Task 8')")
    return rows_of(server)


def test_the_same_file_twice_is_said_before_anything_is_written_and_doubles_nothing(
    client: httpx.Client, server: Server
) -> None:
    assert bring(client, "tasks.csv", FILE)["rows_done"] == 15
    before = rows_of(server)
    address = upload(client, "tasks.csv", FILE)
    each = until(client, address, settled)
    assert (each["state"], each["known"]) == ("ready", {"same": 15, "changed": 0, "twice": 0})
    page = client.get(address).text
    assert "All 15 tasks are there already" in page
    assert "Import them all the same" in page
    assert rows_of(server) == before
    client.post(f"{address}/start")
    done = until(client, address, settled)
    assert (done["rows_done"], done["known"]["skipped"]) == (0, 15)
    assert rows_of(server) == before


def test_a_part_that_is_there_is_left_and_the_rest_is_added(client: httpx.Client, server: Server) -> None:
    bring(client, "tasks.csv", FILE)
    before = without_three_and_with_two_changed(server)
    address = upload(client, "tasks.csv", FILE)
    until(client, address, settled)
    page = client.get(address).text
    assert "12 of these 15 tasks are there already</strong>, 2 of them with other values" in page
    assert page.count('type="radio"') == 3
    client.post(f"{address}/start", data={"known": "skip"})
    done = until(client, address, settled)
    assert (done["rows_done"], done["known"]["skipped"], done["known"]["updated"]) == (3, 12, 0)
    assert "3 tasks</strong> imported, 12 that were there already left as they were." in client.get(address).text
    assert rows_of(server)[:12] == before
    client.post(f"{address}/cancel")
    assert until(client, address, settled)["state"] == "undone"
    assert rows_of(server) == before


def test_what_has_other_values_is_updated_and_put_back(client: httpx.Client, server: Server) -> None:
    bring(client, "tasks.csv", FILE)
    server.sql("UPDATE tasks SET notes = 'mine', done = 1 WHERE title = 'Task 7'")
    before = without_three_and_with_two_changed(server)
    address = upload(client, "tasks.csv", FILE)
    until(client, address, settled)
    client.post(f"{address}/start", data={"known": "update"})
    done = until(client, address, settled)
    assert (done["rows_done"], done["known"]["skipped"], done["known"]["updated"]) == (5, 10, 2)
    assert "3 tasks</strong> imported, 2 updated, 10 that were" in client.get(address).text
    found = {row["title"]: row for row in server.sql("SELECT * FROM tasks")}
    assert len(found) == 15
    assert {title: row["due"] for title, row in found.items()} == {
        f"Task {number}": f"2030-01-{number:02}" for number in range(1, 16)
    }
    assert (found["Task 7"]["notes"], found["Task 7"]["done"]) == ("mine", 1), "the file says nothing of them"
    client.post(f"{address}/cancel")
    assert until(client, address, settled)["state"] == "undone"
    assert rows_of(server) == before
    assert "each that it had changed is as it was before" in client.get(address).text


def test_what_was_changed_since_stays_at_a_taking_back(client: httpx.Client, server: Server) -> None:
    bring(client, "tasks.csv", FILE)
    without_three_and_with_two_changed(server)
    done = bring(client, "tasks.csv", FILE, known="update")
    server.sql("UPDATE tasks SET title = 'Mine' WHERE title = 'Task 7'")
    server.sql("UPDATE imported_rows SET before = '[' WHERE before LIKE '%Task 8%'")
    address = f"/imports/{done['id']}"
    client.post(f"{address}/cancel")
    undone = until(client, address, settled)
    assert (undone["state"], undone["rows_kept"]) == ("undone", 2)
    found = {row["title"]: row["due"] for row in server.sql("SELECT * FROM tasks")}
    assert (found["Mine"], found["Task 8"]) == ("2030-01-07", "2030-01-08")


def test_all_the_same_is_added_where_that_is_chosen(client: httpx.Client, server: Server) -> None:
    for known in ("", "add"):
        assert bring(client, "tasks.csv", FILE, known=known)["rows_done"] == 15
    assert len(rows_of(server)) == 30


def test_another_choice_is_refused(client: httpx.Client, server: Server) -> None:
    address = upload(client, "tasks.csv", FILE)
    until(client, address, settled)
    refused = client.post(f"{address}/start", data={"known": "replace"})
    assert refused.status_code == 422
    assert "skip, update, add" in refused.text
    assert client.get(address, headers=JSON).json()["state"] == "ready"


def test_an_export_of_our_own_updates_what_was_changed_since(client: httpx.Client, server: Server) -> None:
    server.add(5)
    for ending in ("csv", "json"):
        content = client.get(f"/export.{ending}").content
        before = rows_of(server)
        server.sql("UPDATE tasks SET title = 'Mistake', notes = 'x' WHERE id = (SELECT min(id) FROM tasks)")
        done = bring(client, f"tasks.{ending}", content, known="update")
        assert (done["rows_done"], done["known"]["same"], done["known"]["changed"]) == (1, 4, 1)
        assert rows_of(server) == before


def test_an_import_that_fails_half_way_has_changed_nothing(client: httpx.Client, server: Server) -> None:
    rows = [{"title": f"Row {number}", "created": "2026-01-01T00:00:00Z", "notes": "new"} for number in range(3000)]
    for row in rows[:1500]:
        row["notes"] = "old"
    bring(client, "old.json", json.dumps(rows[:1500]).encode())
    for row in rows:
        row["notes"] = "new"
    before = rows_of(server)
    server.sql("""
        CREATE TRIGGER refuse BEFORE INSERT ON tasks WHEN new.title = 'Row 2500' BEGIN
            SELECT RAISE(ABORT, 'not this one');
        END
    """)
    try:
        each = bring(client, "new.json", json.dumps(rows).encode(), known="update")
    finally:
        server.sql("DROP TRIGGER refuse")
    assert each["state"] == "undone"
    assert "not this one" in each["error"]
    assert rows_of(server) == before


def test_rows_that_come_twice_in_a_file_are_said_and_all_added(client: httpx.Client, server: Server) -> None:
    content = b"Title\nDune\nEmma\nDune\nDune\n"
    address = upload(client, "x.csv", content)
    assert until(client, address, settled)["known"] == {"same": 0, "changed": 0, "twice": 2}
    assert "2 tasks of the file are in it more than once" in client.get(address).text
    client.post(f"{address}/start")
    assert until(client, address, settled)["rows_done"] == 4
    again = bring(client, "x.csv", content)
    assert (again["rows_done"], again["known"]["skipped"]) == (0, 4)


def test_what_is_known_shows_without_a_choice_made_by_others(client: httpx.Client, server: Server) -> None:
    """Another program may have put anything into the file."""
    address = upload(client, "tasks.csv", FILE)
    until(client, address, settled)
    server.sql("UPDATE imports SET known = ?", ['{"same": [1]}'])
    assert client.get(address).status_code == 200
    with pytest.raises(sqlite3.IntegrityError):
        server.sql("UPDATE imports SET known = NULL")
