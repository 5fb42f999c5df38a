"""The file of the data is written over while it is served: nothing wrong is shown or written, and a copy leads back.

Each way in which that happens, with one worker and with two, while writers write all the time.
"""

import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.engine.conftest import PATIENCE, PROJECT, SERVED, Server
from tests.engine.faults.test_lost_data import TITLE, Writers, command, page, titles, titles_from_page, until


def copy_other(data: Path) -> None:
    """As `cp other.db data/app.db` does."""
    other = data.parent / "other.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE theirs (a)")
        connection.commit()
    shutil.copyfile(other, data / "app.db")


def copy_same_schema(data: Path) -> None:
    """The data of another directory, written by the same version of the app."""
    assert command("backup", data.parent / "theirs.db", data=data.parent / "theirs").returncode == 0
    shutil.copyfile(data.parent / "theirs.db", data / "app.db")


def copy_older(data: Path) -> None:
    """As `cp data/backups/….db data/app.db` does."""
    shutil.copyfile(kept_copy(data), data / "app.db")


def truncate(data: Path) -> None:
    """As `> data/app.db` does."""
    (data / "app.db").write_bytes(b"")


def cut(data: Path) -> None:
    """As a disk does that was full while something else wrote to it."""
    with (data / "app.db").open("r+b") as opened:
        opened.truncate(3 * 4096)


def write_text(data: Path) -> None:
    """As `echo hello > data/app.db` does."""
    (data / "app.db").write_text("hello\n", encoding="utf-8")


def truncate_log(data: Path) -> None:
    (data / "app.db-wal").write_bytes(b"")


WAYS = [copy_other, copy_same_schema, copy_older, truncate, cut, write_text, truncate_log]
# These run in the quick set; all others are alike.
QUICK = [(copy_other, 2)]


def kept_copy(data: Path) -> Path:
    (copy,) = (data / "backups").glob("*.db")
    return copy


@pytest.fixture
def data(tmp_path: Path) -> Path:
    other = Server(tmp_path / "theirs")
    assert httpx.post(f"{other.url}/tasks", data={"title": "Of another directory"}).status_code == 303
    assert other.stop() == 0
    return tmp_path / "data"


def begin_again(data: Path) -> subprocess.CompletedProcess[str]:
    """A second server with the same data."""
    return subprocess.run(
        [sys.executable, PROJECT / "server.py", *SERVED, "--data", data],
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
    )


@pytest.mark.parametrize(
    ("way", "workers"),
    [
        pytest.param(way, workers, marks=() if (way, workers) in QUICK else pytest.mark.slow)
        for way in WAYS
        for workers in (1, 2)
    ],
)
def test_nothing_goes_on_with_it_and_the_kept_copy_leads_back(
    data: Path, way: Callable[[Path], None], workers: int
) -> None:
    server = Server(data, "--workers", str(workers))
    try:
        assert httpx.post(f"{server.url}/tasks", data={"title": "In the copy"}).status_code == 303
        assert command("backup", data=data).returncode == 0
        writers = Writers(server.url)
        try:
            until(lambda: len(writers.acknowledged) > 20, "there are writes")
            way(data)
            put_there = (data / "app.db").read_bytes()
            until(lambda: writers.refused, "writes are refused")
            until(lambda: httpx.get(f"{server.url}/healthz").status_code == 503, "its health says so")
        finally:
            writers.end()
        assert writers.refused == {503}
        health = httpx.get(f"{server.url}/healthz").json()
        assert "was written over or cut short while the app runs" in health["status"]
        until(lambda: all(TITLE in page(server.url) for _ in range(8 * workers)), "each worker's pages say so")
        until(lambda: str(kept_copy(data)) in page(server.url), "they name the kept copy")
        assert 'href="/export.db"' not in page(server.url)
        assert "In the copy" not in page(server.url)
        assert httpx.get(f"{server.url}/export.db", timeout=PATIENCE).status_code == 503
        assert httpx.post(f"{server.url}/tasks", data={"title": "Too late"}).status_code == 503
        if way is not truncate_log:
            assert (data / "app.db").read_bytes() == put_there
        _nobody_else_begins(server)
    finally:
        server.stop()
    log = server.log.read_text(encoding="utf-8")
    assert len(re.findall("Nothing is written until that is mended", log)) == 1, log
    assert "Traceback" not in log, log
    if way is not truncate_log:
        assert (data / "app.db").read_bytes() == put_there, "its end has written to what was put there"
    restored = command("restore", kept_copy(data), data=data)
    assert restored.returncode == 0, restored.stderr
    again = Server(data)
    try:
        assert titles_from_page(again.url) == {"In the copy"}
        assert TITLE not in page(again.url)
        assert httpx.post(f"{again.url}/tasks", data={"title": "Well again"}).status_code == 303
    finally:
        assert again.stop() == 0
    assert titles(data / "app.db") == {"In the copy", "Well again"}


def _nobody_else_begins(server: Server) -> None:
    """Neither a restore nor another server; and `doctor` says why."""
    data = server.data
    before = (data / "app.db").read_bytes()
    restored = command("restore", kept_copy(data), data=data)
    assert restored.returncode == 1
    assert "Nothing was changed" in restored.stderr
    looked = command("doctor", data=data)
    assert looked.returncode == 1
    assert "was written over while the server" in looked.stdout
    again = begin_again(data)
    assert again.returncode == 1
    assert "was written over while the server" in again.stderr, again.stderr
    assert (data / "app.db").read_bytes() == before


@pytest.mark.slow
def test_the_next_start_goes_on_with_what_was_put_there(data: Path) -> None:
    server = Server(data)
    try:
        assert httpx.post(f"{server.url}/tasks", data={"title": "In the copy"}).status_code == 303
        assert command("backup", data=data).returncode == 0
        copy_same_schema(data)
        until(lambda: httpx.get(f"{server.url}/healthz").status_code == 503, "its health says so")
        time.sleep(1)
    finally:
        server.stop()
    again = Server(data)
    try:
        assert titles_from_page(again.url) == {"Of another directory"}
    finally:
        assert again.stop() == 0
    said = "was written over while it was served, and is used as it is now. The newest copy of what was there"
    assert said in again.log.read_text(encoding="utf-8")
