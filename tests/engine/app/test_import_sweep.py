"""Of imports only so much is kept, and no file that nothing waits for."""

import os
import time
from collections.abc import Callable
from typing import Any

import httpx

from app.import_sweep import OPEN_IMPORTS
from tests.engine.app.test_import_queue import QUICK, left, put
from tests.engine.conftest import PATIENCE, Server
from tests.importing import JSON, until


def test_too_many_files_at_once_are_refused(client: httpx.Client, server: Server) -> None:
    for _ in range(OPEN_IMPORTS):
        left(server, "ready")
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


def test_what_waits_for_a_person_expires(client: httpx.Client, server: Server) -> None:
    late = left(server, "ready", moved_at="2020-01-01T00:00:00.000Z")
    file = put(server, late, QUICK)
    fresh = left(server, "ready")
    kept = put(server, fresh, QUICK)
    each = until(client, late, lambda each: each["state"] == "expired")
    wait_for(lambda: not file.exists())
    assert each["error"] == ""
    assert "waited 7 days for its import to be started" in client.get(late).text
    assert client.post(f"{late}/start").status_code == 409
    assert client.get(fresh, headers=JSON).json()["state"] == "ready"
    assert "waits for you for 7 days" in client.get(fresh).text
    assert kept.exists()


def test_imports_that_are_over_are_kept_only_so_long_and_their_rows_stay(client: httpx.Client, server: Server) -> None:
    server.add(3)
    old = left(server, "done", moved_at="2020-01-01T00:00:00.000Z")
    last = [left(server, "done", moved_at=f"2990-01-01T00:00:{number / 10:06.3f}Z") for number in range(103)]
    for address in (old, last[0], last[-1]):
        made = "INSERT INTO imported_rows (import_id, row_id, version) SELECT ?, id, 0 FROM tasks"
        server.sql(made, [int(address.rpartition("/")[2])])
    wait_for(lambda: server.sql("SELECT count(*) AS rows FROM imported_rows")[0]["rows"] == 3)
    assert server.sql("SELECT count(*) AS imports FROM imports")[0]["imports"] == 100
    assert client.get(old).status_code == client.get(last[0]).status_code == 404
    assert client.get(last[-1]).status_code == 200
    assert len(server.sql("SELECT * FROM tasks")) == 3


def test_files_that_nothing_waits_for_go(client: httpx.Client, server: Server) -> None:
    over = put(server, "/imports/999999", b"x")
    os.utime(over, (0, 0))
    just_now = put(server, "/imports/999998", b"x")
    gone = put(server, "/.999999999-abc", b"x")
    coming = put(server, f"/.{server.process.pid}-abc", b"x")
    wait_for(lambda: not over.exists() and not gone.exists())
    assert just_now.exists()
    assert coming.exists()
