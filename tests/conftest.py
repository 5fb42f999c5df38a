"""What the tests share: the real server, as a process with a data directory of its own."""

import logging
import os
import re
import shutil
import signal
import sqlite3
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import settings

from tests.engine.subject import DELETIONS, PROJECT, ROOT

__all__ = ["DELETIONS", "PROJECT", "ROOT"]

# How long anything may take before it counts as never, in seconds: the machine may have much else to do.
PATIENCE = 60
# How long an example takes is a matter of the machine, and of what else it does. With `--hypothesis-profile thorough`
# there are more of them.
settings.register_profile("quick", deadline=None, max_examples=30)
settings.register_profile("thorough", deadline=None, max_examples=500)
settings.load_profile("quick")


def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores, up to four: for a third of their time tests wait for other processes."""
    return min(4, (os.cpu_count() or 1) + 1)


# What takes longest begins first, so that no core is left without work at the end. How many tests there are in a file
# says little about that.
LONG = ("tests/engine/test_project.py", *(f"tests/engine/{room}/" for room in ("browser", "faults", "nix", "server")))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long ones first."""
    items.sort(key=lambda item: next((n for n, long in enumerate(LONG) if item.nodeid.startswith(long)), len(LONG)))


# For clients of http: to load the authorities of https takes each of them 25 ms.
PLAIN: dict[str, Any] = {"verify": False, "timeout": PATIENCE}
# Of Python, in which warnings are errors but for what FastHTML's own base does on 3.14 (pyproject.toml).
STRICT = ("-W", "error", "-W", "ignore::DeprecationWarning:fastcore.xtras")
# As people serve it; what follows the code has tests of its own.
SERVED = ("run", "--no-open", "--no-reload", "--port", "0")


class Server:
    """`python server.py run` on a free port of loopback."""

    def __init__(
        self,
        data: Path,
        *options: str,
        environment: dict[str, str] | None = None,
        project: Path = PROJECT,
        files: int | None = None,
    ) -> None:
        # The limit of open files is one that the server cannot raise.
        limited = ["/bin/sh", "-c", f'ulimit -n {files} && exec "$@"', "sh"] if files else []
        self.data = data
        self.log = data.parent / f"{data.name}.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*limited, sys.executable, project / "server.py", *SERVED, "--data", data, *options],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **(environment or {})},
                cwd=project,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"https?://\S+", line)
        assert found, f"no address in {line!r}; {self.log.read_text()}"
        self.url = found[0]
        with httpx.Client(transport=httpx.HTTPTransport(retries=3, verify=self.trust())) as client:
            assert client.get(f"{self.url}/healthz", timeout=PATIENCE).status_code == 200, self.log.read_text()

    def trust(self) -> ssl.SSLContext:
        """What a person's browser trusts who has imported the authority of this server, and nothing else."""
        authority = self.data / "tls" / "ca.pem"
        return ssl.create_default_context(cafile=authority if authority.exists() else None)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End the process; its exit code."""
        self.process.send_signal(how)
        code = self.process.wait(PATIENCE)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def sql(self, statement: str, parameters: Any = ()) -> list[sqlite3.Row]:
        """Run SQL on the file as another program would."""
        with closing(sqlite3.connect(self.data / "app.db", timeout=PATIENCE)) as connection:
            connection.row_factory = sqlite3.Row
            rows = connection.execute(statement, parameters).fetchall()
            connection.commit()
            return rows

    def add(self, count: int, **columns: Any) -> None:
        """Add tasks called “Task 1” and so on, as another program would."""
        values = {"notes": "", "due": None, "done": 0} | columns
        with closing(sqlite3.connect(self.data / "app.db", timeout=PATIENCE)) as connection:
            connection.executemany(
                "INSERT INTO tasks (title, notes, due, done) VALUES (:title, :notes, :due, :done)",
                [{"title": f"Task {number}", **values} for number in range(1, count + 1)],
            )
            connection.commit()

    def empty(self) -> None:
        """Take every row out again, as another program would."""
        for table in ("tasks", DELETIONS, "imports", "imported_rows"):
            self.sql(f"DELETE FROM {table}")
        shutil.rmtree(self.data / "uploads", ignore_errors=True)


@pytest.fixture
def caplog(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """pytest's own, which hears Uvicorn's loggers also where a `uvicorn.Config` was made in this process before."""
    caplog.set_level(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error"):
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
        caplog.set_level(logging.NOTSET, name)
    return caplog


@pytest.fixture(scope="session")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server") / "data")
    yield server
    assert server.stop() == 0
    log = server.log.read_text()
    assert "Traceback" not in log, log


@pytest.fixture
def server(_server: Server) -> Server:
    """The running server, with an empty file."""
    _server.empty()
    return _server


@pytest.fixture(scope="session")
def _workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("workers") / "data", "--workers", "2")
    yield server
    assert server.stop() == 0
    assert server.sql("SELECT * FROM presence") == []


@pytest.fixture
def workers(_workers: Server) -> Server:
    """Two workers, with an empty file."""
    _workers.empty()
    return _workers


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    """A client that asks for whole pages and does not follow redirects."""
    with httpx.Client(base_url=server.url, **PLAIN) as client:
        yield client


@pytest.fixture
def htmx(server: Server) -> Iterator[httpx.Client]:
    """A client that asks for fragments, as htmx does."""
    with httpx.Client(base_url=server.url, headers={"HX-Request": "true"}, **PLAIN) as client:
        yield client
