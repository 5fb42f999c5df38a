"""Of imports only so much is kept, and no file that nothing waits for."""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from app.imports.sweep import OPEN_IMPORTS
from tests.engine.app.imports.test_import_queue import (
    NOW,
    QUICK,
    left,
    put,
)
from tests.engine.conftest import PATIENCE, Server
from tests.importing import JSON, until

UNDERSTOOD = {"understood": '{"columns": [], "sample": [], "format": "CSV"}'}


def left_many(server: Server, state: str, moved: list[str]) -> list[str]:
    """Imports as something has left them at these moments, in one commit; their addresses."""
    rows = [
        {"kind": "tasks", "filename": "old.csv", "state": state, "process": 0, "moved_at": moment, **UNDERSTOOD}
        for moment in moved
    ]
    server.insert("imports", rows)
    last = server.sql("SELECT max(id) AS id FROM imports")[0]["id"]
    return [f"/imports/{id}" for id in range(last - len(moved) + 1, last + 1)]


def test_too_many_files_at_once_are_refused(client: httpx.Client, server: Server) -> None:
    left_many(server, "ready", [NOW] * OPEN_IMPORTS)
    answer = client.post("/imports", files={"file": ("x.csv", QUICK)}, headers=JSON)
    assert answer.status_code == 429
    assert answer.json()["message"].startswith(f"{OPEN_IMPORTS} files wait here already")
    assert not list((server.data / "uploads").iterdir())
    server.sql("UPDATE imports SET state = 'discarded' WHERE id = (SELECT max(id) FROM imports)")
    assert client.post("/imports", files={"file": ("x.csv", QUICK)}).status_code == 303
    server.sql("UPDATE imports SET bytes_total = ?", [10**12])
    server.sql("UPDATE imports SET state = 'discarded' WHERE id % 2")
    assert client.post("/imports", files={"file": ("x.csv", QUICK)}).status_code == 429


def wait_for(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_what_was_kept_long_enough_goes_at_the_next_look(client: httpx.Client, server: Server) -> None:
    """One look for all of it: it comes every few seconds."""
    looks = [waits_for_a_person(client, server), is_over(client, server), nothing_waits_for(server)]
    for look in looks:
        look()


def waits_for_a_person(client: httpx.Client, server: Server) -> Callable[[], None]:
    """An import that nobody started expires."""
    late = left(server, "ready", moved_at="2020-01-01T00:00:00.000Z")
    file = put(server, late, QUICK)
    fresh = left(server, "ready")
    kept = put(server, fresh, QUICK)

    def look() -> None:
        each = until(client, late, lambda each: each["state"] == "expired")
        wait_for(lambda: not file.exists())
        assert each["error"] == ""
        assert "waited 7 days for its import to be started" in client.get(late).text
        assert client.post(f"{late}/start").status_code == 409
        assert client.get(fresh, headers=JSON).json()["state"] == "ready"
        assert "waits for you for 7 days" in client.get(fresh).text
        assert kept.exists()

    return look


def is_over(client: httpx.Client, server: Server) -> Callable[[], None]:
    """Imports that are over are kept only so long and so many, and their rows stay."""
    server.add(3)
    old = left(server, "done", moved_at="2020-01-01T00:00:00.000Z")
    # Before the other one here, which is over at the look.
    hour = datetime.now(UTC) - timedelta(hours=1)
    last = left_many(server, "done", [f"{hour + timedelta(seconds=number):%FT%T.000Z}" for number in range(103)])
    for address in (old, last[0], last[-1]):
        made = "INSERT INTO imported_rows (import_id, row_id, version) SELECT ?, id, 0 FROM tasks"
        server.sql(made, [int(address.rpartition("/")[2])])

    def look() -> None:
        wait_for(lambda: server.sql("SELECT count(*) AS rows FROM imported_rows")[0]["rows"] == 3)
        over = "SELECT count(*) AS imports FROM imports WHERE state IN ('done', 'expired')"
        assert server.sql(over)[0]["imports"] == 100
        assert client.get(old).status_code == client.get(last[0]).status_code == 404
        assert client.get(last[-1]).status_code == 200
        assert len(server.sql("SELECT * FROM tasks")) == 3

    return look


def nothing_waits_for(server: Server) -> Callable[[], None]:
    """Files go that nothing waits for."""
    over = put(server, "/imports/999999", b"x")
    os.utime(over, (0, 0))
    just_now = put(server, "/imports/999998", b"x")
    gone = put(server, "/.999999999-abc", b"x")
    coming = put(server, f"/.{server.process.pid}-abc", b"x")

    def look() -> None:
        wait_for(lambda: not over.exists() and not gone.exists())
        assert just_now.exists()
        assert coming.exists()

    return look
