"""Real processes: how they start, what they answer, and how they end."""

import contextlib
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from app.database.sqlite_connections import SAFE_FOR_SEVERAL
from server.app_name import NAME, PREFIX
from server.fragments import CHECK_EVERY
from server.run import OPEN_FILES
from tests.engine.conftest import PATIENCE, PLAIN, PROJECT, Server
from tests.engine.reloading import Checkout

PARTS = ("app", "server", "static", "templates", "server.py", "pyproject.toml")
# Starts what follows as macOS and many a Linux start a program.
WITH_FEW_FILES = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


class Running:
    """A process that serves; its address is the first one that it prints."""

    def __init__(self, *command: object, data: Path, cwd: Path = PROJECT, **environment: str) -> None:
        self.data = data
        self.process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            env={
                **os.environ,
                f"{PREFIX}DATA": str(data),
                f"{PREFIX}PORT": "0",
                f"{PREFIX}OPEN": "0",
                f"{PREFIX}RELOAD": "0",
                **environment,
            },
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        self.printed = ""
        self.url = self.wait_for(r"http://\S+")

    def wait_for(self, words: str) -> str:
        """Read what the process prints until these words come."""
        assert self.process.stdout is not None
        while not (found := re.search(words, self.printed)):
            line = self.process.stdout.readline()
            assert line, f"no {words} in {self.printed}"
            self.printed += line
        return found[0]

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, **PLAIN, **options)

    def end(self, how: signal.Signals, seconds: float = PATIENCE) -> int:
        """Its exit code, within so many seconds."""
        self.process.send_signal(how)
        self.printed += self.process.communicate(timeout=seconds)[0]
        return self.process.returncode

    def end_anyhow(self) -> None:
        if self.process.poll() is None:
            children = psutil.Process(self.process.pid).children(recursive=True)
            # First the one that would start another child in the place of each.
            for process in (self.process, *children):
                with contextlib.suppress(psutil.NoSuchProcess):  # It has just ended by itself.
                    process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


Start = Callable[..., Running]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts processes, and ends those that a failing test leaves."""
    running: list[Running] = []

    def start(*command: object, **options: Any) -> Running:
        running.append(Running(*command, **{"data": tmp_path / "data", **options}))
        return running[-1]

    yield start
    for each in running:
        each.end_anyhow()


def until(there: Callable[[], bool]) -> None:
    """Ask again and again until it is so."""
    deadline = time.monotonic() + PATIENCE
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_run_is_what_happens_without_a_command_and_ctrl_c_is_a_clean_end(start: Start) -> None:
    running = start("server.py")
    assert running.printed.startswith(f"{NAME} is at http://127.0.0.1:")
    with running.client() as client:
        # The connection waits where the app is not ready yet: nobody is refused at a printed address.
        assert client.get("/healthz").json()["status"] == "ok"
        assert running.end(signal.SIGINT) == 0
    assert "Traceback" not in running.printed


def test_sigterm_is_a_clean_end_that_keeps_what_was_acknowledged(start: Start) -> None:
    running = start("server.py", "run", "--host", "localhost")
    with running.client() as client:
        for number in range(5):
            assert client.post("/tasks", data={"title": f"Task {number}"}).status_code == 303
        assert running.end(signal.SIGTERM) == 0
    assert "Traceback" not in running.printed
    assert not (running.data / "app.db-wal").exists(), "the last connection has put everything into the one file"
    again = start("server.py")
    with again.client() as client:
        assert "Task 4" in client.get("/tasks").text


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells it of another process")
def test_more_pages_can_be_open_than_a_program_may_open_files_at_its_start(start: Start) -> None:
    running = start("-c", WITH_FEW_FILES, "server.py")
    allowed, most = psutil.Process(running.process.pid).rlimit(psutil.RLIMIT_NOFILE)
    assert allowed == min(OPEN_FILES, most)


@pytest.mark.parametrize(
    ("how", "options"),
    [
        (signal.SIGINT, ()),
        (signal.SIGTERM, ("--workers", "2")),
        (signal.SIGINT, ("--reload",)),
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in ((signal.SIGTERM, ()), (signal.SIGINT, ("--workers", "2")), (signal.SIGTERM, ("--reload",)))
        ),
    ],
    ids=str,
)
def test_a_signal_before_the_app_is_loaded_is_a_clean_end_too(
    start: Start, how: signal.Signals, options: tuple[str, ...]
) -> None:
    running = start("server.py", *options)
    assert running.end(how) == 0
    assert "Traceback" not in running.printed


def test_an_ipv6_address_is_printed_as_browsers_write_it(start: Start) -> None:
    try:
        running = start("server.py", "--host", "::1")
    except AssertionError as error:
        if "Cannot listen" in str(error):
            pytest.skip("this machine has no IPv6")
        raise
    assert running.url.startswith("http://[::1]:")
    with running.client() as client:
        assert client.get("/tasks").status_code == 200


def test_the_page_opens_in_the_browser_once_it_is_there(start: Start, tmp_path: Path) -> None:
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}.begun && mv {opened}.begun {opened}\n', encoding="utf-8")
    browser.chmod(0o755)
    running = start("server.py", "--open", DISPLAY=":0", BROWSER=f"{browser} %s")
    until(opened.exists)
    assert opened.read_text(encoding="utf-8").strip() == running.url
    assert running.end(signal.SIGINT) == 0
    assert "code=" not in running.printed, "here the owner is known by the connection"


def test_where_the_owner_has_to_sign_in_the_page_that_opens_does_it(start: Start, tmp_path: Path) -> None:
    """As on macOS, where the system does not say whose process asks, and where others can come in."""
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}.begun && mv {opened}.begun {opened}\n', encoding="utf-8")
    browser.chmod(0o700)
    running = start("server.py", "--open", "--proxy-headers", DISPLAY=":0", BROWSER=f"{browser} %s")
    printed = running.wait_for(r"Sign in on this machine, once: (\S+)").rpartition(" ")[2]
    until(opened.exists)
    address = opened.read_text(encoding="utf-8").strip()
    assert re.fullmatch(rf"file://{running.data}/links/[0-9a-f]{{64}}\.html", address)
    page = Path(address.removeprefix("file://"))
    assert [path.stat().st_mode & 0o777 for path in (page, page.parent, running.data)] == [0o600, 0o700, 0o700]
    found = re.search(rf"url=({running.url}/sign-in\?code=[\w-]+)", page.read_text(encoding="utf-8"))
    assert found
    assert found[1] != printed
    for link in (found[1], printed):
        with running.client() as client:
            assert client.get("/tasks").status_code == 401
            assert 'name="code"' in client.get(link).text
            assert client.post("/sign-in", data={"code": link.partition("=")[2]}).status_code == 303
            assert client.get("/tasks").status_code == 200
            assert client.post("/sign-in", data={"code": link.partition("=")[2]}).status_code == 401
    until(lambda: not page.exists())


def test_a_service_prints_no_link(start: Start) -> None:
    """What it prints is kept in a log."""
    running = start("server.py", "--no-open", "--proxy-headers")
    with running.client() as client:
        assert client.get("/healthz").status_code == 200
    assert running.end(signal.SIGTERM) == 0
    assert "code=" not in running.printed


def test_workers_share_the_data_are_all_well_and_end_together(start: Start) -> None:
    running = start("server.py", "--workers", "2")
    until(lambda: len(psutil.Process(running.process.pid).children()) >= 2)
    for number in range(6):
        # A connection is one worker's: with a new one for each request both get some.
        with running.client() as writing, running.client() as reading:
            writing.post("/tasks", data={"title": f"Task {number}"})
            assert f"Task {number}" in reading.get("/tasks").text
            assert reading.get("/healthz").json()["status"] == "ok"
    children = psutil.Process(running.process.pid).children(recursive=True)
    assert running.end(signal.SIGTERM) == 0
    _, alive = psutil.wait_procs(children, timeout=PATIENCE)
    assert alive == []


def test_workers_that_cannot_start_are_not_started_for_ever(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "app.db").write_bytes(b"no database" * 1000)
    done = subprocess.run(
        [sys.executable, "server.py", "--workers", "2", "--no-open", "--port", "0", "--data", tmp_path / "data"],
        cwd=PROJECT, capture_output=True, encoding="utf-8", timeout=PATIENCE,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("app.db is damaged") == 1
    assert "Traceback" not in done.stderr


def test_uvicorn_serves_the_same_app_by_itself(start: Start) -> None:
    running = start("-m", "uvicorn", "app.main:app", "--port", "0")
    with running.client() as client:
        assert client.post("/tasks", data={"title": "By uvicorn"}).status_code == 303
        assert "By uvicorn" in client.get("/tasks").text
        assert client.get("/tasks", headers={"Host": "evil.example"}).status_code == 403
    assert (running.data / "app.db").exists()


IMPURE = """
import time
from server.fragments import fragment

@app.get("/impure")
@fragment
def impure():
    return f"<p>The same line.</p>\\n<p>It is {time.time_ns()} now.</p>"
"""


def test_an_edit_is_served_without_a_new_start_and_a_broken_promise_is_reported(start: Start, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for part in PARTS:
        if (PROJECT / part).is_dir():
            shutil.copytree(PROJECT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(PROJECT / part, tree / part)
    with (tree / "app" / "main.py").open("a", encoding="utf-8") as main:
        main.write(IMPURE)
    running = start(tree / "server.py", "--reload", cwd=tmp_path)
    with running.client() as client:
        assert f"· {NAME}</title>" in client.get("/tasks").text
        assert len({client.get("/impure").text for _ in range(CHECK_EVERY + 1)}) == 1
        for _ in range(CHECK_EVERY + 1):
            client.get("/tasks")
        report = running.wait_for(r".*is not a pure fragment.*")
        assert "/impure is not a pure fragment" in report
        assert re.search(r"Line 2: kept “<p>It is \d+ now.</p>”, now “<p>It is \d+ now.</p>”", report)

    layout = tree / "templates" / "layout.py"
    layout.write_text(
        layout.read_text(encoding="utf-8").replace(f'NAME = "{NAME}"', 'NAME = "Tinder"'), encoding="utf-8"
    )

    def edited() -> bool:
        try:
            with running.client() as client:
                return "· Tinder</title>" in client.get("/tasks").text
        except httpx.TransportError:
            return False  # The process before took this connection with it.

    until(edited)
    assert running.end(signal.SIGINT) == 0
    assert running.printed.count("is not a pure fragment") == 1
    assert "/tasks is not a pure" not in running.printed


def test_who_serves_is_not_told_and_nobody_speaks_for_another(client: httpx.Client, server: Server) -> None:
    forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1", "X-Forwarded-Host": "evil.example"}
    answer = client.post(
        "/tasks",
        data={"title": "x"},
        headers={**forwarded, "Origin": server.url.replace("http:", "https:")},
    )
    assert answer.status_code == 403, "the scheme is the one that is spoken"
    assert "server" not in answer.headers
    assert client.get("/tasks", headers=forwarded).status_code == 403, "a proxy that nobody has spoken of"
    assert client.get("/tasks").status_code == 200


def test_where_uvloop_is_missing_asyncio_serves_and_it_is_said(start: Start) -> None:
    hidden = "import sys; sys.modules['uvloop'] = None; sys.path.insert(0, '.'); sys.argv = ['server.py', 'run']; "
    # What a machine without the package answers to the question whether it is there.
    missing = (
        "import importlib.util as u; f = u.find_spec; u.find_spec = lambda n, *a: None if n == 'uvloop' else f(n, *a); "
    )
    running = start("-c", hidden + missing + "from server.commands.cli import main; main()")
    with running.client() as client:
        assert client.get("/healthz").status_code == 200
    assert running.end(signal.SIGTERM) == 0
    assert "uvloop is not installed here" in running.printed
    assert "Traceback" not in running.printed


@pytest.mark.slow
def test_the_end_comes_within_five_seconds_though_the_loop_hangs(start: Start, tmp_path: Path) -> None:
    (tmp_path / "hanging.py").write_text(
        "import time\nfrom starlette.applications import Starlette\nfrom starlette.routing import Route\n"
        "async def hang(request):\n    time.sleep(60)\n"
        "app = Starlette(routes=[Route('/hang', hang)])\n",
        encoding="utf-8",
    )
    script = (
        "import sys; sys.path[:0] = ['.', sys.argv[1]]; from server import run; from server.settings import Settings; "
        "run.APP = 'hanging:app'; sys.exit(run.serve(Settings(port=0, open=False)))"
    )
    running = start("-c", script, tmp_path)
    with running.client() as client, pytest.raises(httpx.ReadTimeout):
        client.get("/hang", timeout=0.5)
    assert running.end(signal.SIGTERM, 5) == 1
    assert "in hang" in running.printed


OLD_SQLITE = "an SQLite older than 3.51.3 is needed to see it refused"


@pytest.fixture
def old_sqlite(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine without pysqlite3, where Python's own SQLite is an old one."""
    if sqlite3.sqlite_version_info >= SAFE_FOR_SEVERAL:
        pytest.skip(OLD_SQLITE)
    (tmp_path / "without" / "pysqlite3").mkdir(parents=True)
    (tmp_path / "without" / "pysqlite3" / "__init__.py").write_text(
        "raise ImportError('there is none')", encoding="utf-8"
    )
    return {"PYTHONPATH": str(tmp_path / "without")}


def test_several_workers_need_an_sqlite_that_bears_them(tmp_path: Path, old_sqlite: dict[str, str]) -> None:
    command = [sys.executable, "server.py", "--no-open", "--port", "0", "--workers", "2", "--data", tmp_path / "data"]
    environment = {**os.environ, **old_sqlite}
    ended = subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, encoding="utf-8", timeout=PATIENCE
    )
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    for words in (sqlite3.sqlite_version, "3.51.3", "one worker", "pysqlite3"):
        assert words in line


def test_so_does_a_second_server_of_the_same_data(start: Start, tmp_path: Path, old_sqlite: dict[str, str]) -> None:
    first = start("server.py", **old_sqlite)
    with first.client() as client:
        assert client.get("/healthz").status_code == 200
    second = subprocess.run(
        [sys.executable, "server.py", "--no-open", "--no-reload", "--port", "0", "--data", first.data],
        cwd=PROJECT,
        env={**os.environ, **old_sqlite},
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
    )
    assert second.returncode == 2
    assert "end what else serves" in second.stderr
    assert first.end(signal.SIGTERM) == 0
    again = start("server.py", **old_sqlite)
    with again.client() as client:
        assert client.get("/healthz").status_code == 200


MIGRATION = """

@migrations()
def halve_everything(db: Database) -> None:
    db.execute("CREATE TABLE half (id INTEGER)")
    {statement}
"""
FAILURES = {
    "OperationalError: no such table: things": 'db.execute("INSERT INTO things VALUES (1)")',
    "KeyError: 'no such thing'": "raise KeyError('no such thing')",
}


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A copy of the project whose last migration fails, and data from before it."""
    checkout = Checkout(tmp_path_factory.mktemp("half"))
    checkout.start("--no-reload").end()
    return checkout


@pytest.mark.parametrize(
    ("error", "options"),
    [
        pytest.param(error, options, marks=() if first == second else pytest.mark.slow)
        for first, error in enumerate(FAILURES)
        for second, options in enumerate((("--no-reload",), ("--workers", "2")))
    ],
)
def test_a_migration_that_fails_is_named_with_its_reason_and_no_address_is_printed(
    half: Checkout, error: str, options: tuple[str, ...]
) -> None:
    before = half.path("app/migrations.py").read_text(encoding="utf-8")
    with half.path("app/migrations.py").open("a", encoding="utf-8") as file:
        file.write(MIGRATION.format(statement=FAILURES[error]))
    try:
        done = subprocess.run(
            [sys.executable, half.path("server.py"), "run", "--no-open", "--port", "0", "--data", half.data, *options],
            capture_output=True, encoding="utf-8", timeout=60, env={**os.environ, "PROBE": os.devnull},
        )  # fmt: skip
    finally:
        half.path("app/migrations.py").write_text(before, encoding="utf-8")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("server.py: The migration “halve_everything” failed (")
    assert f"app/migrations.py:{len(before.splitlines()) + 6}): {error}. " in line
    assert "app.db is as it was before. Mend the migration, or go back" in line
    with contextlib.closing(sqlite3.connect(half.data / "app.db")) as file:
        assert not file.execute("SELECT 1 FROM sqlite_master WHERE name = 'half'").fetchall()
