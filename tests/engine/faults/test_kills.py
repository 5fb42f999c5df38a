"""The server is killed while it takes changes over HTTP: what it has answered for is in the file, and nothing else."""

import random
import re
import signal
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.engine.conftest import Server

CLIENTS = 4
ADDED = "added {}"
CHANGED = "changed {}"


class Ledger:
    """What clients were told: the title that each task has, None for one that was deleted, as far as it is certain."""

    def __init__(self) -> None:
        self.titles: dict[str, str | None] = {}
        # What was asked for and not answered: it may be in the file or not.
        self.uncertain: set[str] = set()
        self.acknowledged = 0
        self.lock = threading.Lock()

    def holds(self, rows: list[tuple[str, str]]) -> list[str]:
        """What differs from the rows in the file: the id that the client gave in the notes, and the title."""
        found = dict(rows)
        certain = {key: title for key, title in self.titles.items() if key not in self.uncertain}
        lost = [f"{key}: {title!r} is {found.get(key)!r}" for key, title in certain.items() if found.get(key) != title]
        return lost + [f"{key} came from nowhere" for key in found if key not in self.titles]


def write(server: Server, ledger: Ledger, name: str, enough: threading.Semaphore) -> None:
    """Add, change and delete tasks until the server is gone."""
    with httpx.Client(base_url=server.url, timeout=60) as client:
        number = 0
        while True:
            number += 1
            key = f"{name}-{number}"
            address = ""
            for title in (ADDED.format(key), *((CHANGED.format(key), None)[: number % 3])):
                with ledger.lock:
                    ledger.uncertain.add(key)
                    ledger.titles.setdefault(key, None)
                try:
                    if not address:
                        answer = client.post("/tasks", data={"title": title, "notes": key, "done": "0"})
                    elif title:
                        answer = client.patch(address, data={"title": title})
                    else:
                        answer = client.delete(address)
                    assert answer.status_code == 303, answer.text
                    with ledger.lock:
                        ledger.titles[key] = title
                        ledger.uncertain.discard(key)
                        ledger.acknowledged += 1
                    enough.release()
                    if not address:
                        found = client.get("/tasks", params={"q": f'"{title}"'})
                        address = "/tasks/" + re.findall(r'id="task-(\d+)', found.text)[0]
                except httpx.TransportError:
                    return


def kill_while_writing(data: Path, rounds: int, seed: int) -> tuple[int, int]:
    """Kill a server again and again; how many changes were acknowledged, and how many of them are lost."""
    chance = random.Random(seed)
    ledger = Ledger()
    for number in range(rounds):
        server = Server(data)
        enough = threading.Semaphore(0)
        writers = [
            threading.Thread(target=write, args=(server, ledger, f"{number}-{client}", enough))
            for client in range(CLIENTS)
        ]
        for writer in writers:
            writer.start()
        for _ in range(chance.randint(1, 20)):
            assert enough.acquire(timeout=60)
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
        for writer in writers:
            writer.join()
        with closing(sqlite3.connect(data / "app.db")) as file:
            assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            rows = file.execute("SELECT notes, title FROM tasks").fetchall()
            # Raises where index and tasks differ: https://www.sqlite.org/fts5.html, section 6.5.
            file.execute("INSERT INTO tasks_fts(tasks_fts, rank) VALUES ('integrity-check', 1)")
        lost = ledger.holds(rows)
        assert lost == [], f"round {number}, seed {seed}"
        # What was uncertain is known now.
        for key in ledger.uncertain:
            ledger.titles[key] = dict(rows).get(key)
        ledger.uncertain.clear()
    return ledger.acknowledged, len(lost)


def test_what_was_answered_for_survives_kill_9(tmp_path: Path) -> None:
    acknowledged, _ = kill_while_writing(tmp_path / "data", 1, seed=1)
    assert acknowledged >= 1


@pytest.mark.slow
def test_what_was_answered_for_survives_kill_9_two_hundred_times(tmp_path: Path) -> None:
    acknowledged, lost = kill_while_writing(tmp_path / "data", 200, seed=2)
    print(f"\n200 kills during {acknowledged:,} acknowledged changes: {lost} lost, integrity_check ok each time")
