"""The files of the data go while they are served: nothing that was acknowledged is lost, and nobody is left believing.

Each way in which they go, with one worker and with two: writers write all the time, and count what was acknowledged.
"""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from server.app_name import PREFIX
from server.sharing.sign_in_token import read
from tests.engine.conftest import PATIENCE, PLAIN, PROJECT, SERVED, Server
from tests.engine.watching import Follower

WRITERS = 3
NOTICED_SECONDS = 10 if os.environ.get("CI") else 5
TITLE = "Nothing is saved at this moment"


def delete_directory(data: Path) -> None:
    """As `rm -rf data` and `git clean -fdx` do."""
    shutil.rmtree(data)


def delete_file(data: Path) -> None:
    (data / "app.db").unlink()


def replace_file(data: Path) -> None:
    """As `mv other.db data/app.db` does."""
    other = data.parent / "other.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE theirs (a)")
        connection.commit()
    other.rename(data / "app.db")


def move_file(data: Path) -> None:
    (data / "app.db").rename(data / "moved.db")


def move_directory(data: Path) -> None:
    data.rename(data.with_name("elsewhere"))


def replace_directory(data: Path) -> None:
    """As a disk does that is mounted over it."""
    data.rename(data.with_name("elsewhere"))
    data.mkdir(mode=0o700)


def delete_log(data: Path) -> None:
    (data / "app.db-wal").unlink()


def replace_log(data: Path) -> None:
    """With that of another file, which SQLite would read at the next start."""
    theirs = data.parent / "theirs.db"
    with closing(sqlite3.connect(theirs)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE theirs (a)")
        connection.commit()
        shutil.copy(f"{theirs}-wal", data.parent / "wal")
    (data.parent / "wal").rename(data / "app.db-wal")


def delete_index(data: Path) -> None:
    (data / "app.db-shm").unlink()


WAYS = [
    delete_directory,
    delete_file,
    replace_file,
    move_file,
    move_directory,
    replace_directory,
    delete_log,
    replace_log,
    delete_index,
]


class Writers:
    """Threads that add tasks until they are told not to, and what was acknowledged."""

    def __init__(self, url: str) -> None:
        self.acknowledged: set[str] = set()
        self.refused: set[int] = set()
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(url, number)) for number in range(WRITERS)]
        for thread in self._threads:
            thread.start()

    def _write(self, url: str, number: int) -> None:
        with httpx.Client(base_url=url, **PLAIN) as client:
            count = 0
            while not self._is_over.is_set():
                count += 1
                title = f"Written {number} {count}"
                status = client.post("/tasks", data={"title": title}).status_code
                if status < 400:
                    self.acknowledged.add(title)
                    time.sleep(0.01)  # All the time, and yet the machine has room for others.
                else:
                    self.refused.add(status)
                    time.sleep(0.02)

    def end(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(PATIENCE)


def until(is_so: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end, what
        time.sleep(0.02)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def command(*words: object, data: Path) -> subprocess.CompletedProcess[str]:
    """A command of server.py."""
    return subprocess.run(
        [sys.executable, PROJECT / "server.py", *map(str, words), "--data", data],
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
    )


def titles(file: Path) -> set[str]:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        return {title for (title,) in connection.execute("SELECT title FROM tasks")}


def page(url: str) -> str:
    """A page, over a connection of its own."""
    return httpx.get(f"{url}/tasks", timeout=PATIENCE).text


def titles_from_page(url: str) -> set[str]:
    return {task["title"] for task in httpx.get(f"{url}/export.json", timeout=PATIENCE).json()}


def lose(data: Path, way: Callable[[Path], None], *options: str) -> tuple[Server, set[str]]:
    """A server whose data have gone that way while it was written to; what was acknowledged."""
    server = Server(data, *options)
    writers = Writers(server.url)
    try:
        until(lambda: len(writers.acknowledged) > 20, "there are writes")
        # A kept fragment must not go on as if nothing had happened.
        assert TITLE not in httpx.get(f"{server.url}/tasks").text
        way(data)
        until(lambda: writers.refused, "writes are refused")
        until(lambda: httpx.get(f"{server.url}/healthz").status_code == 503, "its health says so")
    finally:
        writers.end()
    assert writers.refused == {503}
    return server, writers.acknowledged


# These run in the quick set; all others are alike.
QUICK = [(delete_directory, 2), (replace_file, 1)]


@pytest.mark.parametrize(
    ("way", "workers"),
    [
        pytest.param(way, workers, marks=() if (way, workers) in QUICK else pytest.mark.slow)
        for way in WAYS
        for workers in (1, 2)
    ],
)
def test_no_acknowledged_write_is_lost(data: Path, way: Callable[[Path], None], workers: int) -> None:
    """A copy from the page has them all; and what the next start finds, or is told to bring back."""
    server, acknowledged = lose(data, way, "--workers", str(workers))
    try:
        until(lambda: all(TITLE in page(server.url) for _ in range(8 * workers)), "each worker's pages say so")
        assert 'href="/export.db"' in page(server.url)
        assert httpx.post(f"{server.url}/tasks", data={"title": "Too late"}).status_code == 503
        health = httpx.get(f"{server.url}/healthz")
        assert health.status_code == 503
        assert "the data are lost: " in health.json()["status"]
        copy = data.parent / "copy.db"
        answer = httpx.get(f"{server.url}/export.db", timeout=PATIENCE)
        assert answer.status_code == 200
        copy.write_bytes(answer.content)
        assert acknowledged <= titles(copy)
        saved = until_secured(server, way)
    finally:
        server.stop()
    log = server.log.read_text(encoding="utf-8")
    assert len(re.findall("Nothing is written until that is mended", log)) == 1, log
    assert "Traceback" not in log, log
    if way in (move_directory, replace_directory):
        assert acknowledged <= titles(data.with_name("elsewhere") / "app.db")
    elif way is move_file:
        assert acknowledged <= titles(data / "moved.db")
    elif way in (delete_log, replace_log, delete_index):
        assert acknowledged <= titles(data / "app.db")
    else:
        restored = command("restore", saved, data=data)
        assert restored.returncode == 0, restored.stderr
        again = Server(data)
        try:
            assert acknowledged <= titles_from_page(again.url)
            assert TITLE not in httpx.get(f"{again.url}/tasks").text
        finally:
            assert again.stop() == 0


def until_secured(server: Server, way: Callable[[Path], None]) -> Path:
    """Wait until everything is where the next start finds it; the copy, where one was saved."""
    data = server.data
    if way not in (delete_directory, delete_file, replace_file):
        # What has no name for it: the file is given what its log has, and a log of another file goes.
        time.sleep(2)
        return data
    until(lambda: "data was saved" in server.log.read_text(encoding="utf-8"), "a copy is saved by itself")
    found = re.search(r"brings back: .* (\S+)", server.log.read_text(encoding="utf-8"))
    assert found
    until(lambda: found[1] in httpx.get(f"{server.url}/tasks").text, "the page names the copy")
    return Path(found[1])


@pytest.mark.slow
@pytest.mark.parametrize("way", [delete_log, replace_log, delete_index])
def test_a_file_without_its_log_is_whole_even_after_a_kill(data: Path, way: Callable[[Path], None]) -> None:
    server, acknowledged = lose(data, way)
    time.sleep(2)
    server.stop(signal.SIGKILL)
    assert acknowledged <= titles(data / "app.db")


@pytest.mark.parametrize(
    "way",
    [
        delete_directory,
        pytest.param(replace_file, marks=pytest.mark.slow),
        pytest.param(delete_log, marks=pytest.mark.slow),
    ],
)
def test_the_command_copies_what_the_server_has_open(data: Path, way: Callable[[Path], None]) -> None:
    server, acknowledged = lose(data, way)
    try:
        copy = data.parent / "copy.db"
        made = command("backup", copy, data=data)
        assert made.returncode == 0, made.stderr
        assert f"the server {server.process.pid} has open" in made.stdout
        assert acknowledged <= titles(copy)
        looked = command("doctor", data=data)
        assert looked.returncode == 1
        assert f"while the server {server.process.pid} has it open" in looked.stdout
        if way is not delete_log:
            restored = command("restore", copy, data=data)
            assert restored.returncode == 0, restored.stderr
            assert f"The server {server.process.pid} still shows what it had open" in restored.stdout
            assert httpx.post(f"{server.url}/tasks", data={"title": "Too late"}).status_code == 503
    finally:
        server.stop()
    assert acknowledged <= titles(data / "app.db")


def test_open_pages_say_so_and_it_goes_when_all_is_well_again(data: Path) -> None:
    server = Server(data)
    try:
        with Follower(server.url) as follower:
            follower.watch(("notice", "/notice", None))
            follower.next()
            assert TITLE not in follower.frames[-1]
            move_directory(data)
            begun = time.monotonic()
            follower.until_text(TITLE)
            assert time.monotonic() - begun < NOTICED_SECONDS
            until(lambda: "Nothing is written until" in server.log.read_text(encoding="utf-8"), "the log says so")
            data.with_name("elsewhere").rename(data)
            while TITLE in follower.frames[-1]:
                follower.next()
        until(lambda: "they were again" in server.log.read_text(encoding="utf-8"), "the log says that, too")
        assert httpx.post(f"{server.url}/tasks", data={"title": "Well again"}).status_code == 303
        assert httpx.get(f"{server.url}/healthz").json()["status"] == "ok"
    finally:
        assert server.stop() == 0
    assert "Well again" in titles(data / "app.db")


@pytest.fixture
def empty_again(data: Path) -> Iterator[Server]:
    """A server that was started again after its data were deleted."""
    server, _ = lose(data, delete_directory)
    until_secured(server, delete_directory)
    server.stop()
    again = Server(data)
    yield again
    again.stop()


def test_a_start_without_data_names_the_copy_that_was_saved(empty_again: Server) -> None:
    log = empty_again.log.read_text(encoding="utf-8")
    assert re.search(r"begins empty.* restore --data \S+ \S+-saved-\S+\.db", log), log


def test_a_copy_that_is_deleted_too_is_saved_again(data: Path) -> None:
    server, acknowledged = lose(data, delete_directory)
    try:
        until_secured(server, delete_directory).unlink()
        until(lambda: list(data.parent.glob("data-saved-*.db")), "it is there again")
    finally:
        server.stop()
    (saved,) = data.parent.glob("data-saved-*.db")
    assert acknowledged <= titles(saved)


def test_a_server_that_is_ended_at_once_has_saved_its_data(data: Path) -> None:
    server = Server(data)
    assert httpx.post(f"{server.url}/tasks", data={"title": "Just now"}).status_code == 303
    delete_directory(data)
    assert server.stop() == 0
    (saved,) = data.parent.glob("data-saved-*.db")
    assert titles(saved) == {"Just now"}


def test_strangers_hear_no_more_than_that_it_is_not_well(data: Path) -> None:
    server = Server(data, environment={f"{PREFIX}HOST": "0.0.0.0"})
    url = server.url.replace("0.0.0.0", "127.0.0.1")
    try:
        delete_file(data)
        until(lambda: httpx.get(f"{url}/healthz").status_code == 503, "its health says so")
        assert httpx.get(f"{url}/healthz").json() == {"status": "not ok"}
        assert TITLE not in httpx.get(f"{url}/sign-in").text
    finally:
        server.stop()


def test_a_second_server_does_not_begin_with_empty_data_beside_one_that_has_lost_them(data: Path) -> None:
    """As a process that Gunicorn starts in the place of another one would."""
    server = Server(data)
    try:
        delete_directory(data)
        again = subprocess.run(
            [sys.executable, PROJECT / "server.py", *SERVED, "--data", data],
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
        )
        assert again.returncode == 1
        assert f"while the server {server.process.pid} has it open" in again.stderr
        assert not (data / "app.db").exists()
    finally:
        server.stop()


def test_who_is_signed_in_from_elsewhere_sees_it_too_and_gets_the_copy(data: Path) -> None:
    server = Server(data, "--host", "0.0.0.0")
    url = server.url.replace("0.0.0.0", "127.0.0.1")
    try:
        with httpx.Client(base_url=url, **PLAIN) as client:
            assert client.post("/sign-in", data={"token": read(data)}).status_code == 303
            assert client.post("/tasks", data={"title": "From my phone"}).status_code == 303
            delete_directory(data)
            until(lambda: TITLE in client.get("/tasks").text, "its pages say so")
            assert client.post("/tasks", data={"title": "Too late"}).status_code == 503
            copy = data.parent / "copy.db"
            copy.write_bytes(client.get("/export.db").content)
            assert titles(copy) == {"From my phone"}
    finally:
        server.stop()


def test_an_upload_is_refused_with_words(data: Path) -> None:
    server = Server(data)
    try:
        delete_directory(data)
        files = {"file": ("tasks.csv", b"title\nOne\n" + b"Two\n" * 500_000)}
        answer = httpx.post(f"{server.url}/imports", files=files, data={"kind": "tasks"}, timeout=PATIENCE)
        assert answer.status_code == 503
        assert "was deleted while the app runs" in answer.text
    finally:
        server.stop()
    assert "Traceback" not in server.log.read_text(encoding="utf-8")
