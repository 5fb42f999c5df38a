"""What the tests share: the real server, as a process with a data directory of its own.

`pytest` alone runs the tests of your features. Those of the engine, in tests/engine, run where they are named, and on
a project without features of yours (tests/engine/subject.py): `python3 server.py test --engine`.
"""

import os
import re
import shutil
import signal
import sqlite3
import ssl
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
ENGINE = ROOT / "tests" / "engine"
# How long anything may take before it counts as never, in seconds: the machine may have much else to do.
PATIENCE = 60
# How long an example takes is a matter of the machine, and of what else it does. With `--hypothesis-profile thorough`
# there are more of them.
settings.register_profile("quick", deadline=None, max_examples=30)
settings.register_profile("thorough", deadline=None, max_examples=500)
settings.load_profile("quick")


def pytest_xdist_auto_num_workers() -> int:
    """Two processes more than there are cores, up to six: for half of their time tests wait for other processes."""
    return min(6, (os.cpu_count() or 1) + 2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with mypy, which takes as long as all the tests of features: they run beside it."""
    items.sort(key=lambda item: item.path.name != "test_sources.py")


def pytest_configure(config: pytest.Config) -> None:
    """Say how the engine's tests are run in a project with other features than they speak of."""
    if _names_engine(config) and not hasattr(config, "workerinput"):
        from tests.engine.subject import is_pristine  # Imported late: only these tests need it.

        if not is_pristine(ROOT):
            raise pytest.UsageError(
                "The engine's tests need a project without features of yours. This runs them on such a copy: "
                "python3 server.py test --engine [options of pytest]"
            )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the engine's tests out where they are not named."""
    return True if collection_path == ENGINE and not _names_engine(config) else None


def _names_engine(config: pytest.Config) -> bool:
    """Whether an argument is the directory of the engine's tests, or is in it."""
    named = (config.invocation_params.dir / argument.partition("::")[0] for argument in config.args)
    return any(ENGINE in (path.resolve(), *path.resolve().parents) for path in named)


# For clients of http: to load the authorities of https takes each of them 25 ms.
PLAIN: dict[str, Any] = {"verify": False, "timeout": PATIENCE}
# Of Python, in which warnings are errors but for what FastHTML's own base does on 3.14 (pyproject.toml).
STRICT = ("-W", "error", "-W", "ignore::DeprecationWarning:fastcore.xtras")
# As people serve it; what follows the code has tests of its own.
SERVED = ("run", "--no-open", "--no-reload", "--port", "0")


class Server:
    """`python3 server.py run` on a free port of loopback."""

    def __init__(
        self,
        data: Path,
        *options: str,
        environment: dict[str, str] | None = None,
        project: Path = ROOT,
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
                encoding="utf-8",
                env={**os.environ, **(environment or {})},
                cwd=project,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"https?://\S+", line)
        assert found, f"no address in {line!r}; {self.log.read_text(encoding='utf-8')}"
        self.url = found[0]
        with httpx.Client(transport=httpx.HTTPTransport(retries=3, verify=self.trust())) as client:
            assert client.get(f"{self.url}/healthz", timeout=PATIENCE).status_code == 200, self.log.read_text(
                encoding="utf-8"
            )

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

    def insert(self, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows as another program would, in one commit; all have the same columns."""
        rows = list(rows)
        names = ", ".join(rows[0])
        marks = ", ".join(f":{name}" for name in rows[0])
        with closing(sqlite3.connect(self.data / "app.db", timeout=PATIENCE)) as connection, connection:
            connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows)

    def until_indexed(self) -> None:
        """Wait until the server has made the keys and words of all that other programs have written."""
        end = time.monotonic() + PATIENCE
        while self.sql("SELECT 1 FROM unindexed LIMIT 1"):
            assert time.monotonic() < end, "rows are still not indexed"
            time.sleep(0.02)

    def empty(self, *tables: str) -> None:
        """Take every row of these tables out again, and every import, as another program would."""
        with closing(sqlite3.connect(self.data / "app.db", timeout=PATIENCE)) as connection, connection:
            for table in (*tables, "imports", "imported_rows"):
                connection.execute(f"DELETE FROM {table}")
        shutil.rmtree(self.data / "uploads", ignore_errors=True)


@pytest.fixture(scope="session")
def server_class() -> type[Server]:
    """What kind of server the tests have."""
    return Server


@pytest.fixture(scope="session")
def _server(tmp_path_factory: pytest.TempPathFactory, server_class: type[Server]) -> Iterator[Server]:
    server = server_class(tmp_path_factory.mktemp("server") / "data")
    yield server
    assert server.stop() == 0
    log = server.log.read_text(encoding="utf-8")
    assert "Traceback" not in log, log


@pytest.fixture
def server(_server: Server) -> Server:
    """The running server; each test empties the tables that it writes to."""
    _server.empty()
    return _server


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
