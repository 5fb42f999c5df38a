"""A process that takes the place of another serves the same data, or does not begin."""

import os
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from server.workers import served_data
from server.workers.supervisor import END_SECONDS
from tests.engine.reloading import Checkout, until

EDITED = ('EDITION = "edition 1"', 'EDITION = "edition 2"')
REFUSED = "is not the file that this server has served until now"


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    checkout = Checkout(tmp_path)
    yield checkout
    checkout.end_anyhow()


def add(checkout: Checkout, title: str) -> int:
    return httpx.post(f"{checkout.url}/tasks", data={"title": title}).status_code


def saved(checkout: Checkout) -> set[str]:
    (copy,) = checkout.data.parent.glob("data-saved-*.db")
    with closing(sqlite3.connect(copy)) as connection:
        return {title for (title,) in connection.execute("SELECT title FROM tasks")}


def test_what_was_served_is_known_to_the_processes_that_are_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(served_data.VARIABLE, raising=False)
    assert served_data.before() == ""
    served_data.remember("")
    assert served_data.before() == ""
    served_data.remember("7:42")
    assert served_data.before() == os.environ.pop(served_data.VARIABLE) == "7:42"


def test_an_edit_while_the_data_are_lost_does_not_begin_with_empty_ones(checkout: Checkout) -> None:
    checkout.start()
    assert add(checkout, "Kept") == 303
    shutil.rmtree(checkout.data)
    checkout.edit("app/main.py", *EDITED)
    until(lambda: REFUSED in checkout.printed(), "the edited code does not begin")
    assert add(checkout, "Not kept") == 503
    assert "Kept" in checkout.get("/tasks").text, "the last version goes on"
    until(lambda: list(checkout.data.parent.glob("data-saved-*.db")), "a copy is saved")
    assert saved(checkout) == {"Kept"}
    assert not checkout.data.exists()


def test_an_edit_while_all_is_well_is_followed(checkout: Checkout) -> None:
    checkout.start()
    assert add(checkout, "Kept") == 303
    checkout.edit("app/main.py", *EDITED)
    until(lambda: checkout.get("/probe").text.startswith("edition 2"), "the edited code serves")
    assert "Kept" in checkout.get("/tasks").text


@pytest.mark.slow
def test_a_worker_that_takes_the_place_of_a_killed_one_does_not_begin_with_empty_data(checkout: Checkout) -> None:
    checkout.start("--workers", "2")
    assert add(checkout, "Kept") == 303
    worker = int(checkout.get("/probe").text.split()[-1])
    shutil.rmtree(checkout.data)
    os.kill(worker, signal.SIGKILL)
    until(lambda: REFUSED in checkout.printed(), "no other begins with it")
    checkout.process.wait(4 * END_SECONDS)
    checkout.process.stdout.close()
    assert saved(checkout) == {"Kept"}
