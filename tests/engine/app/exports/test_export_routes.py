"""Exports over HTTP: what goes out is all there is, harmless to a spreadsheet, and a database that opens."""

import asyncio
import csv
import errno
import io
import json
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path

import httpx
import pytest
from sqlite_utils.utils import sqlite3
from starlette.types import Message

from app.database.db import Database
from app.database.preparation import prepare
from app.exports import export_routes
from app.exports.export_routes import SENT_AT_ONCE, WAITING
from app.migrations import migrations
from app.records.kinds import Field, Kind
from server.guard.request_bodies import FORM_LIMIT
from templates.parts.forms import LINE_LENGTH
from tests.engine.conftest import PATIENCE, PLAIN, Server
from tests.engine.watching import until
from tests.importing import bring

HEADER = ["id", "title", "notes", "due", "done", "created_at", "updated_at"]


def test_csv_holds_every_row_and_no_formula(client: httpx.Client, server: Server) -> None:
    server.add(2500)
    for title in ("=1+1", "+1", "-1", "@SUM(A1)"):
        server.sql("INSERT INTO tasks (title, notes) VALUES (?, ?)", [title, '\tindented, "quoted"\nand more'])
    answer = client.get("/export.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="tasks.csv"'
    assert answer.content.startswith(b"\xef\xbb\xbfid,"), "Excel would read it in the encoding of the machine"
    header, *rows = csv.reader(io.StringIO(answer.content.decode("utf-8-sig"), newline=""))
    assert header == HEADER
    assert len(rows) == 2504
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert rows[-1][1:3] == ["'@SUM(A1)", '\'\tindented, "quoted"\nand more']


def test_json_is_a_list_of_rows(client: httpx.Client, server: Server) -> None:
    assert client.get("/export.json").json() == []
    server.add(2500, notes="ünï\n", due="2030-01-01")
    rows = client.get("/export.json").json()
    assert len(rows) == 2500
    assert list(rows[0]) == HEADER
    assert rows == [dict(row) for row in server.sql(f"SELECT {', '.join(HEADER)} FROM tasks ORDER BY id")]


def test_an_export_is_of_one_moment(client: httpx.Client, server: Server) -> None:
    server.add(3000)
    with client.stream("GET", "/export.json") as answer:
        chunks = answer.iter_text()
        text = next(chunks)
        server.sql("DELETE FROM tasks")
        text += "".join(chunks)
    assert len(json.loads(text)) == 3000


def test_the_database_is_whole(client: httpx.Client, server: Server, tmp_path: Path) -> None:
    server.add(100)
    copy = tmp_path / "copy.db"
    answer = client.get("/export.db")
    copy.write_bytes(answer.content)
    assert answer.headers["content-length"] == str(copy.stat().st_size)
    assert answer.headers["content-disposition"] == 'attachment; filename="data.db"'
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert connection.execute("SELECT count(*) FROM tasks").fetchone()[0] == 100


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"range": "bytes=0-99"},
        {"range": "bytes=999999999-"},
        {"range": "bytes=5-1"},
        {"range": "bytes=0-1,5-9"},
        {"range": "bytes=0-9", "if-range": '"another"'},
        {"range": "lines=1-2"},
        {"if-none-match": "*"},
        {"if-modified-since": "Tue, 01 Jan 2030 00:00:00 GMT"},
        {"hx-request": "true"},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_whatever_is_asked_for_all_is_sent_and_nothing_is_left(
    client: httpx.Client, server: Server, headers: dict[str, str], method: str
) -> None:
    for address in ("/export.db", "/export.csv", "/export.json"):
        before = left(server)
        answer = client.request(method, address, headers=headers)
        assert (answer.status_code, answer.headers["accept-ranges"]) == (200, "none"), "the next copy may differ"
        if method == "HEAD":
            assert answer.content == b""
        elif address == "/export.db":
            assert answer.content.startswith(b"SQLite format 3\0")
        assert left(server) == before


def left(server: Server) -> tuple[set[Path], int]:
    """What lies beside the file, and how many copies the server holds; once there are none any more."""
    deadline = time.monotonic() + 10
    while (count := copies(server)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return set(server.data.iterdir()), count


def copies(server: Server) -> int:
    """How many files without a name the server has open."""
    opened = Path(f"/proc/{server.process.pid}/fd")
    if not opened.exists():
        pytest.skip("this system does not show what a process has open")
    count = 0
    for each in opened.iterdir():
        with suppress(FileNotFoundError):  # It has just been closed.
            count += "(deleted)" in str(each.readlink())
    return count


def test_of_a_client_that_leaves_nothing_is_left(server: Server, client: httpx.Client) -> None:
    server.add(3000, notes="x" * 2000)
    before = left(server)
    for address in ("/export.db", "/export.csv", "/export.json") * 3:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
            connection.sendall(f"GET {address} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
            assert connection.recv(10_000).startswith(b"HTTP/1.1 200")
    assert left(server) == before
    assert client.get("/export.db").status_code == 200, "each has given back its turn"


def test_the_copy_has_no_name_while_it_is_sent(server: Server, client: httpx.Client) -> None:
    server.add(3000, notes="x" * 2000)
    before = set(server.data.iterdir())
    with client.stream("GET", "/export.db") as answer:
        pieces = answer.iter_raw()
        next(pieces)
        assert set(server.data.iterdir()) == before
        assert sum(map(len, pieces)) > 6_000_000


def test_few_are_sent_at_once_and_the_others_are_told_to_wait(server: Server) -> None:
    server.add(3000, notes="x" * 2000)
    host, port = server.url.removeprefix("http://").split(":")
    with ExitStack() as stack:
        slow = [
            stack.enter_context(socket.create_connection((host, int(port)), timeout=PATIENCE))
            for _ in range(SENT_AT_ONCE + WAITING)
        ]
        for connection in slow:  # They ask, and read no more than the begin.
            connection.sendall(f"GET /export.db HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        for connection in slow[:SENT_AT_ONCE]:
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
        with httpx.Client(base_url=server.url, **PLAIN) as client:
            deadline = time.monotonic() + PATIENCE
            while (answer := client.get("/export.csv")).status_code == 200 and time.monotonic() < deadline:
                pass
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            assert "try again" in answer.text
            assert client.get("/tasks").status_code == 200
        assert copies(server) == SENT_AT_ONCE
    with httpx.Client(base_url=server.url, **PLAIN) as client:
        deadline = time.monotonic() + PATIENCE
        while (answer := client.get("/export.csv")).status_code == 503 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert answer.status_code == 200


def test_what_a_killed_process_was_making_goes_at_the_next_start(server: Server, tmp_path: Path) -> None:
    data = shutil.copytree(server.data, tmp_path / "data")
    (data / ".making-abcdefgh").mkdir()
    (data / ".making-abcdefgh" / "copy.db").write_text("half", encoding="utf-8")
    (data / "making.db").write_text("of a person", encoding="utf-8")
    other = Server(data)
    try:
        assert not (data / ".making-abcdefgh").exists()
        assert (data / "making.db").read_text(encoding="utf-8") == "of a person"
    finally:
        assert other.stop() == 0


LARGE = {
    "zero in the middle": b"a" * 600_000 + b"\0" + b"b" * 600_000,
    "letters of several bytes": "äß€😀".encode() * 120_000 + b"x",
    "letters of several bytes, moved by one": b"x" + "😀".encode() * 400_000,
    "no UTF-8": b"a" * 600_000 + b"\xff" + b"b" * 600_000 + b"\xe2\x82",
}


@pytest.mark.parametrize("type", ["TEXT", "BLOB"])
@pytest.mark.parametrize("value", LARGE.values(), ids=LARGE)
def test_a_large_text_is_whole_whatever_is_in_it(client: httpx.Client, server: Server, value: bytes, type: str) -> None:
    server.sql(f"INSERT INTO tasks (title, notes) VALUES ('large', CAST(? AS {type}))", [value])
    server.sql("INSERT INTO tasks (title, notes) VALUES ('=small', 'x' || char(0) || 'y')")
    large = value.decode(errors="replace")
    (first, second) = client.get("/export.json").json()
    assert (first["title"], first["due"], first["done"], second["notes"]) == ("large", None, 0, "x\0y")
    assert first["notes"] == large
    field = csv.field_size_limit(10_000_000)
    try:
        _, first, second = csv.reader(io.StringIO(client.get("/export.csv").text, newline=""))
    finally:
        csv.field_size_limit(field)
    assert (first[1], first[3], first[4], second[1:3]) == ("large", "", "0", ["'=small", "x\0y"])
    assert first[2] == large


# A form has a head and a title besides.
MOST = FORM_LIMIT - 2000
DENSE = {
    "quotation marks": '"',
    "backslashes": "\\",
    "ends of lines": "\n",
    "controls": "\x01",
    "quotation marks and commas": '",',
    "formulas": "=\n",
    "letters of four bytes": "😀",
}


# One of each format is as large as a form may be; that the others are takes a minute.
LARGE_ALWAYS = "quotation marks"


@pytest.mark.parametrize("format", ["csv", "json"])
@pytest.mark.parametrize(
    ("names", "size"),
    [pytest.param([*DENSE], MOST // 10, id="each")]
    + [pytest.param([name], MOST, id=name, marks=[] if name == LARGE_ALWAYS else pytest.mark.slow) for name in DENSE],
)
def test_what_the_app_has_taken_comes_in_again_as_it_went_out(
    client: httpx.Client, server: Server, format: str, names: list[str], size: int
) -> None:
    """Texts of what an export has to escape, as large as a form may be, and what follows one."""
    for name in names:
        for title, length in (("t" * LINE_LENGTH, size), ('"' * LINE_LENGTH, 1000)):
            letters = DENSE[name]
            text = f"a{letters * (length // len(letters.encode()))}{name}z"
            # As it is sent, no letter takes more than one byte for each of its own: a form in parts.
            answer = client.post("/tasks", files={"title": (None, title), "notes": (None, text)})
            assert answer.status_code == 303, answer.text[:200]
    before = [tuple(row) for row in server.sql("SELECT * FROM tasks ORDER BY id")]
    assert len(before) == 2 * len(names)
    assert len(before[0][2].encode()) > size - 10
    exported = client.get(f"/export.{format}").content
    server.empty()
    assert (each := bring(client, f"tasks.{format}", exported))["state"] == "done"
    assert each["problem_count"] == 0, each["problems"]
    assert [tuple(row) for row in server.sql("SELECT * FROM tasks ORDER BY id")] == before


class Reader:
    """A client that has taken `pieces` of an answer and then takes nothing until it is let go on."""

    def __init__(self, pieces: int) -> None:
        self.pieces = pieces
        self.goes_on = asyncio.Event()
        self.body = b""
        self.is_whole = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.body":
            if self.pieces == 0:
                await self.goes_on.wait()
            self.pieces -= 1
            self.body += message.get("body", b"")
            self.is_whole = not message.get("more_body")

    async def receive(self) -> Message:
        return await asyncio.get_running_loop().create_future()


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A file with so many tasks that an export has several pieces."""
    db = Database()
    db.open(prepare(tmp_path / "data", migrations))
    rows = [(f"Task {number}", "n" * 4000) for number in range(500)]
    insert = "INSERT INTO tasks (title, notes) VALUES (?, ?)"
    asyncio.run(db.write(lambda connection: connection.executemany(insert, rows)))
    monkeypatch.setattr(export_routes, "db", db)
    monkeypatch.setattr(export_routes, "_may_stay", lambda request: True)
    monkeypatch.setattr(export_routes, "MOMENT_SECONDS", 0.2)
    # They belong to the loop that first waits for them.
    monkeypatch.setattr(export_routes, "_sending", asyncio.Semaphore(SENT_AT_ONCE))
    monkeypatch.setattr(export_routes, "_making", asyncio.Semaphore(1))
    yield db
    db.close()


def is_reset(path: Path) -> bool:
    """Whether nothing keeps the log from being reset, after a write."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as other:
        other.execute("UPDATE tasks SET title = 'Changed' WHERE id = 400")
        return bool(other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0)


@pytest.mark.parametrize("make", ["_csv", "_json"])
@pytest.mark.parametrize("pieces", [1, 3])
def test_a_client_that_takes_its_time_keeps_the_log_from_being_reset_only_for_a_while(
    db: Database, make: str, pieces: int
) -> None:
    fields = (Field("title", "Title", "title"), Field("notes", "Notes", "text"))
    kind = Kind("tasks", "deletions", "task", "tasks", fields)

    async def run(reader: Reader) -> None:
        answer = export_routes.Export(
            partial(export_routes._rows, getattr(export_routes, make)(kind)), "tasks", "text/plain"
        )
        sending = asyncio.create_task(answer({"type": "http", "method": "GET"}, reader.receive, reader.send))
        if not reader.goes_on.is_set():
            await until(lambda: reader.pieces == 0)
            assert not is_reset(db.path), "its moment is kept at first"
            await until(lambda: is_reset(db.path))
            reader.goes_on.set()
        await sending
        assert reader.is_whole

    slow, quick = Reader(pieces), Reader(-1)
    quick.goes_on.set()
    whole = b"".join(piece.encode() for piece in getattr(export_routes, make)(kind))
    asyncio.run(run(quick))
    assert quick.body == whole
    asyncio.run(run(slow))
    assert slow.body == whole, "all of it is of the moment in which it was begun"


def test_where_a_slow_client_would_take_the_last_room_its_export_ends(
    db: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def run() -> None:
        fields = (Field("title", "Title", "title"), Field("notes", "Notes", "text"))
        pieces = export_routes._csv(Kind("tasks", "deletions", "task", "tasks", fields))
        reader = Reader(1)
        await export_routes.Export(partial(export_routes._rows, pieces), "tasks", "text/plain")(
            {"type": "http", "method": "GET"}, reader.receive, reader.send
        )
        assert not reader.is_whole

    monkeypatch.setattr(export_routes, "refuse_without_room", full)
    asyncio.run(asyncio.wait_for(run(), PATIENCE))
    assert is_reset(db.path)
    assert "its client is slow and the rest cannot be put aside: [Errno 28] No space" in caplog.text


def test_a_number_without_end_is_null_in_json(db: Database) -> None:
    """SQLite keeps what JSON does not have, where another program has written it."""
    with closing(sqlite3.connect(db.path)) as other, other:
        columns = "weight REAL, note TEXT, created_at TEXT, updated_at TEXT"
        other.execute(f"CREATE TABLE stones (id INTEGER PRIMARY KEY, {columns})")
        for weight, note in ((9e999, 'a"b'), (-9e999, "x" * 600_000), (1.5, "ä")):
            other.execute("INSERT INTO stones (weight, note) VALUES (?, ?)", [weight, note])
    fields = (Field("weight", "Weight", "number"), Field("note", "Note", "text"))
    exported = "".join(export_routes._json(Kind("stones", "deleted", "stone", "stones", fields)))
    rows = json.loads(exported, parse_constant=pytest.fail)
    assert [(row["weight"], row["note"][:3]) for row in rows] == [(None, 'a"b'), (None, "xxx"), (1.5, "ä")]


def test_a_huge_text_takes_its_size_in_time(client: httpx.Client, server: Server) -> None:
    server.sql("INSERT INTO tasks (title, notes) VALUES ('huge', ?)", ["word " * 12_000_000])
    begin = time.monotonic()
    assert len(client.get("/export.json", timeout=PATIENCE).content) > 60_000_000
    assert time.monotonic() - begin < 10, "it takes a second; read from its begin for each piece it took fifteen"
