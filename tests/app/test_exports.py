"""Exports over HTTP: what goes out is all there is, harmless to a spreadsheet, and a database that opens."""

import csv
import io
import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import httpx
import psutil

from tests.conftest import PATIENCE, Server

HEADER = ["id", "title", "notes", "due", "done", "created_at", "updated_at"]


def test_csv_holds_every_row_and_no_formula(client: httpx.Client, server: Server) -> None:
    server.add(2500)
    for title in ("=1+1", "+1", "-1", "@SUM(A1)"):
        server.sql("INSERT INTO tasks (title, notes) VALUES (?, ?)", [title, '\tindented, "quoted"\nand more'])
    answer = client.get("/export.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="tasks.csv"'
    header, *rows = csv.reader(io.StringIO(answer.text, newline=""))
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


def test_the_database_is_whole_and_leaves_nothing_behind(client: httpx.Client, server: Server, tmp_path: Path) -> None:
    server.add(100)
    before = set(server.data.iterdir())
    copy = tmp_path / "copy.db"
    copy.write_bytes(client.get("/export.db").content)
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert connection.execute("SELECT count(*) FROM tasks").fetchone()[0] == 100
    deadline = time.monotonic() + 10  # The copy goes after the answer has gone.
    while set(server.data.iterdir()) != before and time.monotonic() < deadline:
        client.get("/healthz")
    assert set(server.data.iterdir()) == before


def test_the_copy_of_the_file_is_gone_when_it_was_sent(client: httpx.Client, server: Server) -> None:
    process = psutil.Process(server.process.pid)

    def until_the_copy_is_gone() -> int:
        """How many descriptors the server has then; the copy goes after the answer has gone."""
        deadline = time.monotonic() + 10
        while list(server.data.glob(".export-*")) and time.monotonic() < deadline:
            client.get("/healthz")
        return process.num_fds()

    client.get("/export.db")
    before = until_the_copy_is_gone()
    for _ in range(10):
        assert client.get("/export.db").content.startswith(b"SQLite format 3\0")
    # One copy may just be going; ten would stay if any did.
    assert until_the_copy_is_gone() < before + 5
    assert not list(server.data.glob(".export-*"))


def test_a_copy_that_a_killed_server_was_sending_is_taken_away(server: Server) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    left, sent = (server.data / f".export-{process}-abcdefgh.db" for process in (gone.pid, os.getpid()))
    mine = server.data / f"export-{gone.pid}.db"
    for file in (left, sent, mine):
        file.touch()
    deadline = time.monotonic() + PATIENCE
    while left.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert sent.exists(), "its process lives"
    assert mine.exists(), "a person gave it this name"
    sent.unlink()
    mine.unlink()
