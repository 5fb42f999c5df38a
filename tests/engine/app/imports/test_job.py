"""The work of an import when things go wrong: a stop in the middle, a cancel, a file of a million rows."""

import json
import signal
import statistics
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.engine.conftest import Server
from tests.importing import JSON, settled, until, upload

ROWS = b"title,notes\n" + b"".join(b"Row %d,some notes\n" % number for number in range(15_000))


def _start(client: httpx.Client, content: bytes = ROWS) -> str:
    address = upload(client, "rows.csv", content)
    assert until(client, address, settled)["state"] == "ready"
    client.post(f"{address}/start")
    until(client, address, lambda each: each["rows_done"] > 0)
    return address


def test_a_cancel_takes_every_row_out_again(client: httpx.Client, server: Server) -> None:
    server.add(3)
    address = _start(client)
    assert client.post(f"{address}/cancel").status_code == 303
    assert until(client, address, settled)["state"] == "undone"
    assert [row["title"] for row in server.sql("SELECT title FROM tasks")] == ["Task 1", "Task 2", "Task 3"]
    assert server.sql("SELECT * FROM imported_rows") == []


def _brought(client: httpx.Client, name: str, content: bytes) -> str:
    address = upload(client, name, content)
    until(client, address, settled)
    client.post(f"{address}/start")
    assert until(client, address, settled)["state"] == "done"
    return address


def _taken_back(client: httpx.Client, address: str) -> dict[str, Any]:
    client.post(f"{address}/cancel")
    each = until(client, address, settled)
    assert (each["state"], each["rows_done"]) == ("undone", 0)
    return each


def _own(*ids: int) -> bytes:
    moment = "2026-01-01T00:00:00.000Z"
    row = {"notes": "", "due": None, "done": 0, "created_at": moment, "updated_at": moment}
    return json.dumps([{"id": id, "title": f"Row {id}"} | row for id in ids]).encode()


def test_rows_of_an_import_that_were_changed_since_stay_when_it_is_taken_back(
    client: httpx.Client, server: Server
) -> None:
    address = _brought(client, "x.csv", b"title\nOne\nTwo\nThree\nFour\nFive\n")
    assert "leaves the tasks that were changed since" in client.get(address).text
    one, two, three, four, _ = [row["id"] for row in server.sql("SELECT id FROM tasks ORDER BY id")]
    client.delete(f"/tasks/{one}")
    client.patch(f"/tasks/{two}", data={"notes": "three weeks of notes"})
    client.delete(f"/tasks/{three}")
    client.post(f"/tasks/{three}/restore")
    server.sql("UPDATE tasks SET done = 1 WHERE id = ?", [four])
    assert _taken_back(client, address)["rows_kept"] == 3
    assert "3 tasks</strong> were changed or replaced since and stay." in client.get(address).text
    assert [row["title"] for row in server.sql("SELECT title FROM tasks ORDER BY id")] == ["Two", "Three", "Four"]
    assert [row["title"] for row in server.sql("SELECT title FROM deletions")] == ["One"]


def test_rows_of_a_later_import_stay(client: httpx.Client, server: Server) -> None:
    first = _brought(client, "a.json", _own(500))
    server.sql("DELETE FROM tasks WHERE id = 500")
    second = _brought(client, "b.json", _own(500, 501))
    assert _taken_back(client, first)["rows_kept"] == 1
    assert [row["id"] for row in server.sql("SELECT id FROM tasks ORDER BY id")] == [500, 501]
    assert _taken_back(client, second)["rows_kept"] == 0
    assert server.sql("SELECT * FROM tasks") == []


def test_rows_with_numbers_that_were_used_before_are_taken_out_too(client: httpx.Client, server: Server) -> None:
    server.add(3)
    server.sql("DELETE FROM tasks")
    address = _brought(client, "a.json", _own(1, 3, 7))
    assert [row["id"] for row in server.sql("SELECT id FROM tasks ORDER BY id")] == [1, 3, 7]
    assert _taken_back(client, address)["rows_kept"] == 0
    assert "Every task that this import had made is out again" in client.get(address).text
    assert server.sql("SELECT * FROM tasks") == []


@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_stop_in_the_middle_takes_the_rows_back_at_the_next_start(tmp_path: Path, how: signal.Signals) -> None:
    server = Server(tmp_path / "data")
    with httpx.Client(base_url=server.url, timeout=60) as client:
        client.post("/tasks", data={"title": "Mine"})
        address = _start(client)
        readers = psutil.Process(server.process.pid).children(recursive=True)
    server.stop(how)
    psutil.wait_procs(readers, timeout=60)
    assert not [reader for reader in readers if reader.is_running()]
    again = Server(tmp_path / "data")
    with httpx.Client(base_url=again.url, timeout=60) as client:
        each = until(client, address, settled)
        assert each["state"] == "undone"
        assert each["error"] == "The server stopped in the middle of this import."
        assert [row["title"] for row in again.sql("SELECT title FROM tasks")] == ["Mine"]
    again.stop()


@pytest.mark.slow
def test_a_stop_while_reading_reads_again(tmp_path: Path) -> None:
    server = Server(tmp_path / "data")
    with httpx.Client(base_url=server.url, timeout=60) as client:
        address = upload(client, "rows.csv", ROWS * 2)
        assert client.get(address, headers=JSON).json()["state"] == "checking"
    server.stop(signal.SIGKILL)
    again = Server(tmp_path / "data")
    with httpx.Client(base_url=again.url, timeout=60) as client:
        assert until(client, address, settled)["state"] == "ready"
    again.stop()


def test_the_list_is_usable_while_rows_come_in(client: httpx.Client, htmx: httpx.Client, server: Server) -> None:
    address = _start(client)
    answers = 0
    while not settled(client.get(address, headers=JSON).json()):
        assert htmx.get("/tasks").status_code == 200
        assert htmx.post("/tasks", data={"title": "Meanwhile"}).status_code == 201
        answers += 1
    assert answers > 3
    assert len(server.sql("SELECT id FROM tasks WHERE title = 'Meanwhile'")) == answers


@pytest.mark.slow
def test_a_million_rows_cost_little_memory_and_leave_the_list_usable(
    client: httpx.Client, htmx: httpx.Client, server: Server, tmp_path: Path
) -> None:
    file = tmp_path / "million.csv"
    with file.open("w", encoding="utf-8") as out:
        out.write("title,notes,due,done\n")
        out.writelines(
            f"Row {number} of many,some notes about it,2030-01-{number % 28 + 1:02},{number % 2}\n"
            for number in range(1_000_000)
        )
    process = psutil.Process(server.process.pid)
    for _ in range(50):
        htmx.get("/tasks")

    def memory() -> int:
        return sum(each.memory_info().rss for each in [process, *process.children(recursive=True)])

    before = peak = memory()
    began = time.monotonic()
    with file.open("rb") as content:
        answer = client.post("/imports", files={"file": ("million.csv", content)}, timeout=120)
    address = answer.headers["location"]
    times: list[float] = []

    def wait() -> str:
        nonlocal peak
        while True:
            each = client.get(address, headers=JSON).json()
            peak = max(peak, memory())
            if settled(each):
                return str(each["state"])
            asked = time.perf_counter()
            assert htmx.get("/tasks").status_code == 200
            times.append(time.perf_counter() - asked)
            time.sleep(0.05)

    assert wait() == "ready"
    read = time.monotonic() - began
    client.post(f"{address}/start")
    assert wait() == "done"
    times.sort()
    print(
        f"\n1,000,000 rows: read in {read:.0f} s, in all {time.monotonic() - began:.0f} s; memory grew by "
        f"{(peak - before) / 1e6:.0f} MB; {len(times)} fragments: median {statistics.median(times) * 1000:.1f} ms, "
        f"p99 {times[int(len(times) * 0.99)] * 1000:.1f} ms, slowest {times[-1] * 1000:.1f} ms"
    )
    assert server.sql("SELECT count(*) AS tasks FROM tasks")[0]["tasks"] == 1_000_000
    assert peak - before < 100_000_000
