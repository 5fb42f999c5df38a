"""What the engine's tests share: a server of the subject, with tasks in it; see tests/engine/subject.py."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from tests import conftest
from tests.conftest import PATIENCE, PLAIN, ROOT, SERVED, STRICT
from tests.engine.subject import HAS_EXAMPLE

__all__ = ["PATIENCE", "PLAIN", "PROJECT", "ROOT", "SERVED", "STRICT"]

# These tests run in their subject.
PROJECT = ROOT

# Where deleted tasks are kept.
DELETIONS = "deletions" if HAS_EXAMPLE else "deleted_tasks"
# What takes longest begins first, so that no core is left without work at the end. How many tests there are in a file
# says little about that.
LONG = tuple(f"tests/engine/{room}/" for room in ("browser", "faults", "nix", "server"))


class Server(conftest.Server):
    """A server whose feature is the tasks."""

    def add(self, count: int, **columns: Any) -> None:
        """Add tasks called “Task 1” and so on, as another program would."""
        values = {"notes": "", "due": None, "done": 0} | columns
        self.insert("tasks", ({"title": f"Task {number}", **values} for number in range(1, count + 1)))

    def empty(self, *tables: str) -> None:
        """Take every task and import out again, as another program would."""
        super().empty("tasks", DELETIONS, *tables)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long ones first."""
    items.sort(key=lambda item: next((n for n, long in enumerate(LONG) if item.nodeid.startswith(long)), len(LONG)))


@pytest.fixture
def caplog(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """pytest's own, which hears Uvicorn's loggers also where a `uvicorn.Config` was made in this process before."""
    caplog.set_level(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error"):
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
        caplog.set_level(logging.NOTSET, name)
    return caplog


@pytest.fixture(scope="session")
def server_class() -> type[Server]:
    """A server that can add tasks, and whose file is empty at the begin of each test."""
    return Server


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
