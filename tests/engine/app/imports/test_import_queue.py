"""Imports wait for each other, and each comes to an end, whatever becomes of the processes that work on it."""

import asyncio
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from sqlite_utils.utils import sqlite3

from app.database.db import db
from app.database.preparation import prepare
from app.imports import import_queue
from app.imports.import_queue import MOST_ATTEMPTS, Queue
from app.migrations import migrations
from app.records.kinds import kinds
from tests.engine.app.imports.reading.kind import KIND
from tests.engine.conftest import PATIENCE, PLAIN, Server
from tests.importing import JSON, bring, settled, until, upload

ROWS = b"title,notes\n" + b"".join(b"Row %d,some notes\n" % number for number in range(5_000))
QUICK = b"title\nOne\nTwo\n"


def readers(server: Server) -> list[psutil.Process]:
    """The processes that read files for a server and its workers."""
    found = []
    for process in psutil.Process(server.process.pid).children(recursive=True):
        try:
            if "app.imports.reading.process" in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def reader(server: Server) -> psutil.Process:
    """The process that reads, as soon as there is one."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := readers(server):
            return found[0]
    raise AssertionError("nothing reads")


@contextmanager
def watched(server: Server) -> Iterator[list[int]]:
    """How many processes read, again and again."""
    counts: list[int] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.05):
            counts.append(len(readers(server)))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield counts
    finally:
        ended.set()
        watching.join()


def upload_all(server: Server, count: int, content: bytes) -> list[str]:
    """Bring that many files at once, each on a connection of its own."""

    def one(number: int) -> str:
        with httpx.Client(base_url=server.url, **PLAIN) as client:
            return upload(client, f"{number}.csv", content)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(one, range(count)))


@pytest.mark.parametrize("count", [8, pytest.param(30, marks=pytest.mark.slow)])
@pytest.mark.parametrize("served", ["server", pytest.param("workers", marks=pytest.mark.slow)])
def test_many_uploads_at_once_are_read_one_after_another(
    request: pytest.FixtureRequest, served: str, count: int
) -> None:
    server: Server = request.getfixturevalue(served)
    with watched(server) as counts, httpx.Client(base_url=server.url, **PLAIN) as client:
        addresses = upload_all(server, count, ROWS)
        waiting = [client.get(address, headers=JSON).json() for address in addresses]
        for address in addresses:
            last = until(client, address, settled)
            assert (last["state"], last["rows_total"], last["before"]) == ("ready", 5_000, 0)
    assert max(each["before"] for each in waiting) >= 2
    assert max(counts) == 1


def test_who_waits_is_told_how_many_come_before(client: httpx.Client, server: Server) -> None:
    addresses = [upload(client, f"{number}.csv", ROWS * 3) for number in range(4)]
    each = client.get(addresses[3], headers=JSON).json()
    assert each["before"] == 3
    card = client.get(addresses[3]).text
    assert "3 imports come before it. It begins by itself." in card
    assert ">Waiting</p>" in card
    assert ">Waiting</span>" in client.get("/imports").text
    assert client.post(f"{addresses[2]}/cancel").status_code == 303
    until(client, addresses[3], lambda each: each["before"] <= 2)
    for address in addresses[:2]:
        client.post(f"{address}/cancel")
    assert until(client, addresses[3], settled)["state"] == "ready"


def test_a_reader_that_is_killed_is_a_sentence(client: httpx.Client, server: Server) -> None:
    address = upload(client, "rows.csv", ROWS * 10)
    reader(server).kill()
    each = until(client, address, settled)
    assert each["state"] == "failed"
    assert "was killed, perhaps because the machine had no memory left (SIGKILL)" in each["error"]
    assert "Import the file again" in client.get(address).text
    assert not (server.data / "uploads" / str(each["id"])).exists()
    assert bring(client, "x.csv", QUICK)["state"] == "done"


def test_a_reader_that_is_killed_while_rows_are_written_has_them_taken_back(
    client: httpx.Client, server: Server
) -> None:
    server.add(2)
    address = upload(client, "rows.csv", ROWS * 4)
    until(client, address, settled)
    client.post(f"{address}/start")
    until(client, address, lambda each: each["rows_done"] > 0)
    reader(server).kill()
    each = until(client, address, settled)
    assert each["state"] == "undone"
    assert "SIGKILL" in each["error"]
    assert [row["title"] for row in server.sql("SELECT title FROM tasks")] == ["Task 1", "Task 2"]


def test_a_cancel_ends_the_reader(client: httpx.Client, server: Server) -> None:
    address = upload(client, "rows.csv", ROWS * 20)
    process = reader(server)
    process.suspend()  # It says nothing any more.
    client.post(f"{address}/cancel")
    psutil.wait_procs([process], timeout=20)
    assert not process.is_running()
    assert client.get(address, headers=JSON).json()["state"] == "discarded"


def test_after_a_crash_of_the_server_all_that_waited_comes_to_its_end(tmp_path: Path) -> None:
    server = Server(tmp_path / "data")
    with httpx.Client(base_url=server.url, **PLAIN) as client:
        addresses = [upload(client, f"{number}.csv", ROWS) for number in range(3)]
        process = reader(server)
    server.stop(signal.SIGKILL)
    psutil.wait_procs([process], timeout=PATIENCE)
    assert not process.is_running()
    again = Server(tmp_path / "data")
    with httpx.Client(base_url=again.url, **PLAIN) as client:
        for address in addresses:
            assert until(client, address, settled)["state"] == "ready"
    again.stop()


def test_when_a_worker_is_killed_another_goes_on(workers: Server) -> None:
    with httpx.Client(base_url=workers.url, **PLAIN) as client:
        addresses = [upload(client, f"{number}.csv", ROWS * 2) for number in range(3)]
        worker = reader(workers).parent()
        assert worker is not None
        worker.kill()
        for address in addresses:
            end = time.monotonic() + PATIENCE
            while time.monotonic() < end:
                try:
                    each = client.get(address, headers=JSON).json()
                    if settled(each):
                        break
                    time.sleep(0.05)
                except httpx.TransportError:
                    continue  # To the worker that is gone.
            assert each["state"] == "ready"


INSERT = """
    INSERT INTO imports (kind, filename, state, process, attempts, moved_at, understood, rows_done)
    VALUES ('tasks', 'old.csv', ?, ?, ?, ?, '{"columns": [], "sample": [], "format": "CSV"}', ?)
"""
NOW = "2999-01-01T00:00:00.000Z"


def left(server: Server, state: str, process: int = 0, attempts: int = 0, moved_at: str = NOW, rows: int = 0) -> str:
    """An import as something has left it; its address."""
    server.sql(INSERT, [state, process, attempts, moved_at, rows])
    return f"/imports/{server.sql('SELECT max(id) AS id FROM imports')[0]['id']}"


def put(server: Server, address: str, content: bytes) -> Path:
    """The file of an import."""
    path = server.data / "uploads" / address.rpartition("/")[2]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def test_what_a_process_left_whose_number_another_has_now_is_taken_up(client: httpx.Client, server: Server) -> None:
    address = left(server, "checking", process=1)
    put(server, address, QUICK)
    assert until(client, address, settled)["state"] == "ready"


@pytest.mark.parametrize(
    ("state", "end", "words"),
    [
        ("checking", "failed", f"The server stopped {MOST_ATTEMPTS} times while it read this file"),
        pytest.param(
            "undoing",
            "done",
            f"The server stopped {MOST_ATTEMPTS} times while it took this import back. Try again.",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_ends_the_server_again_and_again_is_given_up(
    client: httpx.Client, server: Server, state: str, end: str, words: str
) -> None:
    address = left(server, state, process=1, attempts=MOST_ATTEMPTS)
    put(server, address, QUICK)
    each = until(client, address, settled)
    assert (each["state"], each["error"][: len(words)]) == (end, words)
    assert words in client.get(address).text


def test_an_import_whose_rows_cannot_be_written_is_taken_back_with_the_reason(
    client: httpx.Client, server: Server
) -> None:
    trigger = "BEFORE INSERT ON tasks WHEN new.title = 'Two' BEGIN SELECT raise(ABORT, 'no two'); END"
    server.sql(f"CREATE TRIGGER odd {trigger}")
    try:
        each = bring(client, "x.csv", QUICK)
    finally:
        server.sql("DROP TRIGGER odd")
    assert (each["state"], each["error"]) == ("undone", "The rows could not be written: no two.")
    assert server.sql("SELECT * FROM tasks") == []
    assert f"Import {each['id']}: SQLite says: no two." in server.log.read_text(encoding="utf-8")


def test_rows_that_cannot_be_taken_back_are_said_to_be_there(client: httpx.Client, server: Server) -> None:
    address = upload(client, "x.csv", QUICK)
    until(client, address, settled)
    client.post(f"{address}/start")
    until(client, address, settled)
    server.sql("CREATE TRIGGER odd BEFORE DELETE ON tasks BEGIN SELECT raise(ABORT, 'it stays'); END")
    client.post(f"{address}/cancel")
    each = until(client, address, settled)
    server.sql("DROP TRIGGER odd")
    assert (each["state"], each["rows_done"]) == ("done", 2)
    assert "It was not taken back whole. The rows could not be taken out: it stays." in client.get(address).text
    client.post(f"{address}/cancel")
    assert until(client, address, settled)["state"] == "undone"
    assert server.sql("SELECT * FROM tasks") == []


@pytest.mark.parametrize(
    "column", ["x" * 150_000, "Gone", "title\x00"], ids=["150 kB", "one that there is not", "zero byte"]
)
def test_a_column_that_the_file_does_not_have_is_refused_and_nothing_changes(
    client: httpx.Client, server: Server, column: str
) -> None:
    address = upload(client, "x.csv", b"title,what\nOne,Two\n")
    until(client, address, settled)
    answer = client.post(f"{address}/columns", data={"title": column})
    assert answer.status_code == 422
    assert "The file has no such column for “Title”." in answer.text
    assert client.get(address, headers=JSON).json()["state"] == "ready"
    assert client.post(f"{address}/columns", data={"title": "what", "due": ""}).status_code == 303
    each = until(client, address, settled)
    assert each["understood"]["sample"][0]["title"] == "Two"


def test_what_a_file_is_called_does_not_matter(client: httpx.Client, server: Server) -> None:
    for name in ("--help", "-x.csv", "a\x00b.csv", "a\nb.csv", "\u202egnp.csv", "x" * 1000, "é漢😀.csv", "%00.csv"):
        address = upload(client, name, QUICK)
        each = until(client, address, settled)
        assert each["state"] == "ready", (name, each["error"])
        assert each["filename"].isprintable()
        assert len(each["filename"]) <= 200


def test_the_lock_is_readable_by_its_owner_alone(client: httpx.Client, server: Server) -> None:
    bring(client, "x.csv", QUICK)
    assert (server.data / "imports.lock").stat().st_mode & 0o777 == 0o600
    with closing(httpx.Client(base_url=server.url, **PLAIN)) as other:
        assert other.get("/imports").status_code == 200


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of the data, with a queue in this process."""
    db.open(prepare(tmp_path, migrations))
    monkeypatch.setitem(kinds, "tasks", KIND)
    yield tmp_path
    db.close()


def insert(connection: Any) -> int:
    return int(connection.execute(INSERT, ["checking", 0, 0, NOW, 0]).lastrowid)


async def state_of(id: int) -> tuple[str, str]:
    (row,) = await db.read("SELECT state, error FROM imports WHERE id = ?", [id])
    return row["state"], row["error"]


async def has_ended(id: int = 0) -> bool:
    return bool(await db.read("SELECT 1 FROM imports WHERE id = ? AND state <> 'checking'", [id]))


async def until_true(condition: Callable[[], Awaitable[object]]) -> None:
    for _ in range(100 * PATIENCE):
        if await condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("It never comes")


async def ended(queue: Queue, id: int) -> tuple[str, str]:
    """How an import ends that is called once."""
    queue.wake()
    await until_true(lambda: has_ended(id))
    await queue.end()
    return await state_of(id)


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (None, "It came to no end. Try again."),
        (RuntimeError("odd"), "It failed (RuntimeError); the log says where. Try again."),
        (OSError(28, "No space left on device"), "There was no room left on the disk."),
        (sqlite3.OperationalError("database is locked"), "The rows could not be written: database is locked."),
    ],
)
def test_whatever_the_work_does_the_import_has_an_end(
    file: Path, monkeypatch: pytest.MonkeyPatch, job: Exception | None, words: str
) -> None:
    async def work(id: int) -> None:
        if job is not None:
            raise job

    async def run() -> tuple[str, str]:
        return await ended(Queue(), await db.write(insert))

    monkeypatch.setitem(import_queue.JOBS, "checking", work)
    state, error = asyncio.run(run())
    assert state == "failed"
    assert error.startswith(words)


def test_who_calls_while_the_queue_looks_is_not_forgotten(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import that comes just when the queue has found that there is none."""
    queue = Queue()
    looked = import_queue._waiting
    made: list[int] = []

    async def look() -> Any:
        found = await looked()
        if not found and not made:
            made.append(await db.write(insert))
            queue.wake()
        return found

    async def run() -> tuple[str, str]:
        queue.wake()
        await until_true(lambda: has_ended(*made))
        await queue.end()
        return await state_of(made[0])

    monkeypatch.setattr(import_queue, "_waiting", look)
    state, error = asyncio.run(run())
    assert state == "failed"
    assert "The uploaded file is gone" in error


def test_a_stop_of_the_server_does_not_count_as_an_attempt(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(id: int) -> None:
        await asyncio.sleep(600)

    async def run() -> list[tuple[int, int]]:
        id, found = await db.write(insert), []
        for _ in range(2):
            queue = Queue()
            queue.wake()
            await until_true(lambda: db.read("SELECT 1 FROM imports WHERE process <> 0"))
            await queue.end()
            (row,) = await db.read("SELECT process, attempts FROM imports WHERE id = ?", [id])
            found.append((row["process"], row["attempts"]))
        return found

    monkeypatch.setitem(import_queue.JOBS, "checking", work)
    assert asyncio.run(run()) == [(0, 0), (0, 0)]


CHANGES = [
    "state = 'weird'",
    "rows_total = 'x'",
    "filename = x'ff'",
    "understood = '{'",
    "state = 'ready', understood = '{}'",
    "state = 'checking', process = 1, attempts = 'x'",
    "state = 'checking', process = 0, columns = '{\"title\": 5}'",
    "rows_kept = 'x', state = 'undone'",
    *(
        f"state = 'ready', understood = '{understood}'"
        for understood in (
            '{"sample": 5}',
            '{"sample": [5], "columns": 5}',
            '{"columns": [5]}',
            '{"columns": [{"field": 5}]}',
            '{"format": NaN}',
            '{"format": "\\ud800"}',
        )
    ),
    "state = 'ready', problem_count = 1, problems = '[5]'",
    "state = 'ready', known = '{\"choice\": []}'",
    "state = 'ready', choices = '{\"columns\": [[]]}'",
]


def test_rows_that_another_program_has_changed_harm_no_other(client: httpx.Client, server: Server) -> None:
    made = bring(client, "odd.csv", QUICK)["id"]
    columns = ", ".join(row["name"] for row in server.sql("PRAGMA table_info(imports)") if row["name"] != "id")
    odd = {}
    for change in CHANGES:
        server.sql(f"INSERT INTO imports ({columns}) SELECT {columns} FROM imports WHERE id = ?", [made])
        id = server.sql("SELECT max(id) AS id FROM imports")[0]["id"]
        server.sql(f"UPDATE imports SET {change} WHERE id = ?", [id])
        odd[f"/imports/{id}"] = change
    assert bring(client, "x.csv", QUICK)["state"] == "done"
    assert client.get("/imports").status_code == 200
    for address, change in odd.items():
        assert client.get(address).status_code == 200, change
        assert client.get(address, headers=JSON).status_code == 200, change
        assert client.post(f"{address}/columns", data={"title": "x"}).status_code in (409, 422), change
