"""The file of who may come in, damaged, locked, away or without room: nobody comes in by it, and each is told why.

The owner on this machine goes on, as it is the connection that says so.
"""

import contextlib
import itertools
import json
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit

import httpx
import pytest

from server.app_name import PREFIX, SLUG
from server.sharing import one_time_links
from server.sharing.sign_in_token import read
from tests.engine.accounts import ASK, NAMELESS, only_root, run_as
from tests.engine.faults.test_full_disk import SmallDisk, fill, small_disk
from tests.engine.server.test_run import Running, until

FILES = ("access.db", "access.db-wal", "access.db-shm")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """Told to listen to all machines; for the tests it is bound to this one."""
    running = Running(
        *("-m", "uvicorn", "app.main:app", "--port", "0"), data=tmp_path / "data", **{f"{PREFIX}HOST": "0.0.0.0"}
    )
    running.wait_for("Application startup complete")
    yield running
    running.end_anyhow()


@pytest.fixture
def person(running: Running) -> Iterator[httpx.Client]:
    with running.client() as client:
        assert sign_in(client, running.data).status_code == 303
        yield client


@pytest.fixture
def small(tmp_path: Path) -> Iterator[SmallDisk]:
    """A server for others too, on a small disk."""
    yield from small_disk(tmp_path, "--proxy-headers")


def sign_in(client: httpx.Client, data: Path) -> httpx.Response:
    return client.post("/sign-in", data={"token": read(data), "next": "/tasks"})


def test_of_a_damaged_file_nobody_is_let_in(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / "access.db").write_bytes(b"This is no SQLite file." * 400)
    running = Running("-m", "uvicorn", "app.main:app", "--port", "0", data=data, **{f"{PREFIX}HOST": "0.0.0.0"})
    try:
        with running.client(cookies={f"{SLUG}_access_{urlsplit(running.url).port}": "some-cookie"}) as client:
            refused = client.get("/tasks")
            assert refused.status_code == 503
            assert "cannot be read" in refused.text
            assert refused.headers["cache-control"] == "no-store"
            assert client.get("/sign-in").status_code == 200
            assert client.get("/healthz").json() == {"status": "ok"}
        with running.client() as client:
            answer = sign_in(client, data)
            assert answer.status_code == 503
            assert "access.db" in answer.text
            assert "set-cookie" not in answer.headers
        assert (data / "access.db").read_bytes().startswith(b"This is no SQLite file.")
    finally:
        running.end_anyhow()


@only_root
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says who has opened a connection")
def test_the_owner_on_this_machine_goes_on(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / "access.db").write_bytes(b"This is no SQLite file." * 400)
    running = Running("server.py", "run", data=data)
    try:
        address = urlsplit(running.url)
        with running.client() as owner:
            assert owner.get("/tasks").status_code == 200
            assert owner.post("/tasks", data={"title": "Mine"}).status_code == 303
        headers = json.dumps({"Cookie": f"{SLUG}_access_{address.port}=some-cookie"})
        asked = ("GET /tasks", "GET /healthz")
        printed = run_as(NAMELESS, ASK, address.hostname, address.port, headers, 0, *asked)
        assert printed.splitlines()[:2] == ["503", "200"]
    finally:
        running.end_anyhow()


def test_while_another_program_holds_it_those_inside_go_on_and_nobody_waits_long(
    running: Running, person: httpx.Client
) -> None:
    with closing(sqlite3.connect(running.data / "access.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert person.get("/tasks").status_code == 200
        with running.client() as client:
            answer = sign_in(client, running.data)
            assert answer.status_code == 503
            assert "Another program" in answer.text
            assert "set-cookie" not in answer.headers
            assert client.get("/tasks").status_code == 401
        signed_out = person.post("/sign-out")
        assert signed_out.status_code == 503, "who could not be signed out is told so"
        assert person.get("/tasks").status_code == 200
        other.execute("ROLLBACK")
    assert person.post("/sign-out").status_code == 303
    assert person.get("/tasks").status_code == 401


def test_many_who_wait_for_it_wait_together_and_not_one_after_another(running: Running, person: httpx.Client) -> None:
    """What holds the file may do so for long: each is told after BUSY_SECONDS, whoever else waits."""

    def late(_: int) -> int:
        with running.client() as client:
            return sign_in(client, running.data).status_code

    with closing(sqlite3.connect(running.data / "access.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(12) as threads:
            begun = time.monotonic()
            answers = threads.map(late, range(12))
            assert all(person.get("/tasks").status_code == 200 for _ in range(20))
            assert list(answers) == [503] * 12
            assert time.monotonic() - begun < 12, "one after another they would take twice as long"
        other.execute("ROLLBACK")
    assert late(0) == 303


def test_a_program_that_writes_there_without_a_pause_keeps_nobody_from_signing_in(running: Running) -> None:
    """It commits over and over; between two of its commits there is room for others."""
    stop = Event()

    def write() -> int:
        with closing(sqlite3.connect(running.data / "access.db", isolation_level=None, timeout=20)) as other:
            for count in itertools.count():
                if stop.is_set():
                    return count
                other.execute("BEGIN IMMEDIATE")
                other.execute("UPDATE tokens SET token_hash = token_hash")
                other.execute("COMMIT")
        raise AssertionError

    with running.client() as first:
        assert sign_in(first, running.data).status_code == 303
    with ThreadPoolExecutor(1) as thread:
        writing = thread.submit(write)
        try:
            for _ in range(3):
                with running.client() as client:
                    assert sign_in(client, running.data).status_code == 303
                    assert client.get("/tasks").status_code == 200
                    assert client.post("/sign-out").status_code == 303
                    assert client.get("/tasks").status_code == 401
        finally:
            stop.set()
        assert writing.result() > 10


def test_what_is_moved_away_lets_nobody_in_any_more(running: Running, person: httpx.Client, tmp_path: Path) -> None:
    for name in FILES:
        with contextlib.suppress(FileNotFoundError):
            shutil.move(running.data / name, tmp_path / name)
    until(lambda: person.get("/tasks").status_code == 401)
    assert sign_in(person, running.data).status_code == 303
    assert person.get("/tasks").status_code == 200


def test_on_a_full_disk_a_sign_in_is_refused_in_words_and_passes_when_there_is_room(small: SmallDisk) -> None:
    """The link for once is not used up by it, and who is in stays in."""
    until(lambda: (small.disk / "token").exists())
    token = (small.disk / "token").read_text(encoding="utf-8")
    with small.client() as person, small.client() as late:
        assert person.post("/sign-in", data={"token": token}).status_code == 303
        code = one_time_links.make(small.disk)
        fill(small.disk)
        for form in ({"token": token}, {"code": code}):
            answer = late.post("/sign-in", data=form)
            assert answer.status_code == 507
            assert "Make room" in answer.text
            assert "set-cookie" not in answer.headers
        assert person.get("/tasks").status_code == 200
        (small.disk / "filler").unlink()
        assert late.post("/sign-in", data={"code": code}).status_code == 303
        assert late.get("/tasks").status_code == 200
        assert late.post("/sign-in", data={"code": code}).status_code == 401


def test_what_happens_is_not_lost_in_silence(running: Running, person: httpx.Client) -> None:
    with closing(sqlite3.connect(running.data / "access.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with running.client() as stranger:
            assert stranger.post("/sign-in", data={"token": "wrong"}).status_code == 401
        running.wait_for("What happened at the sign-in could not be kept in .*access.db: database is locked")
        other.execute("ROLLBACK")
    assert "Tried a wrong token" in running.printed
