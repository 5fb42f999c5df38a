"""The benchmark of lists and searches over many rows: how long a page of one takes, and how long the event loop waits.

Each page is read and drawn as an open page sees it: after a commit, with all its reads in one snapshot, in the process
that serves. Beside it a task on the same loop wakes every millisecond and notes the longest time that it had to wait.
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from typing import NamedTuple
from unittest.mock import patch

from sqlite_utils.utils import sqlite3
from starlette.types import Message, Receive, Scope, Send

from app.database.db import db
from app.database.preparation import prepare
from app.database.reads import Moments
from app.database.sqlite_connections import Connection
from app.migrations import migrations
from app.records import indexing
from app.records.kinds import kinds
from app.records.lists import PAGE_ROWS
from app.tasks import KIND, summary_of, tasks_of
from templates import tasks as show
from templates.tasks import TaskQuery
from tests.engine.bench import report

WORDS = (
    *("renew", "passport", "call", "landlord", "bread", "butter", "read", "book", "compare", "offers", "write"),
    *("letter", "pay", "dentist", "bill", "backup", "water", "garden", "clean", "kitchen", "repair", "zebra"),
)
# What holds the loop longer is noticed by others.
MOST_HELD_MS = 20
HEAD = ("", "median ms", "least–most", "aim", "of the aim", "loop held, ms")


class Asked(NamedTuple):
    """A page that is measured: what it is called, its query, and how many ms it may take."""

    name: str
    query: TaskQuery | None
    aim: float


def asked(rows: int) -> list[Asked]:
    """What is measured, in a file of so many rows."""
    last = max(rows // PAGE_ROWS - 1, 1)
    return [
        Asked("found in all rows, newest", TaskQuery(q="task"), 2),
        Asked("found in half of them, newest", TaskQuery(q="half"), 2),
        Asked("two words, newest", TaskQuery(q="garden task"), 2),
        Asked("found in all rows, oldest", TaskQuery(q="task", sort="oldest"), 30),
        Asked("found in all rows, by due date", TaskQuery(q="task", sort="due"), 30),
        Asked("found in all rows, by title", TaskQuery(q="task", sort="title"), 30),
        Asked("found in all rows, by title, done", TaskQuery(q="task", sort="title", status="done"), 30),
        Asked("two words, by title", TaskQuery(q="garden task", sort="title"), 30),
        Asked("found in some hundred rows, by title", TaskQuery(q="task 1234", sort="title"), 30),
        Asked("found at the end of the titles, by title", TaskQuery(q="zebra task", sort="title"), 30),
        Asked(f"all rows, page {last:,}", TaskQuery(page=last), 10),
        Asked(f"all rows, page {last // 2 + 1:,}", TaskQuery(page=last // 2 + 1), 10),
        Asked(f"all rows by due date, page {last:,}", TaskQuery(sort="due", page=last), 10),
        Asked(f"all rows by title, page {last:,}", TaskQuery(sort="title", page=last), 10),
        Asked(f"found in all rows, page {last:,}", TaskQuery(q="task", page=last), 10),
        Asked("the figures beside the list", None, 10),
    ]


class Measured(NamedTuple):
    """How long each round took, and the longest wait of the loop, in ms."""

    times: list[float]
    held: float


def main(arguments: Sequence[str]) -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.engine.bench search", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="how many tasks there are")
    parser.add_argument("--rounds", type=int, default=9, help="how often each page is asked for")
    parser.add_argument("--keep", type=Path, help="a directory for the file: kept, and used again where it is there")
    options = parser.parse_args(arguments)
    print(report.head("search", arguments, ("uvicorn", "starlette", "python-fasthtml")))
    with tempfile.TemporaryDirectory() as directory:
        print(measure(options.keep or Path(directory) / "data", options.rows, options.rounds))


def measure(directory: Path, rows: int, rounds: int) -> str:
    """Ask for each page so often, over so many rows; the table."""
    path = made(directory, rows)
    report.say("measuring")
    db.open(path)
    try:
        # What is done once in a process, as compiling what a search is read with, is not counted.
        asyncio.run(_drawn(TaskQuery(q="nothing")))
        measured = {each: asyncio.run(_measured(each, rounds)) for each in asked(rows)}
    finally:
        db.close()
    table = [
        (
            each.name,
            f"{median(times):.2f}",
            report.spread(times, ".2f"),
            f"{each.aim:g}",
            f"{median(times) / each.aim:.2f}",
            f"{held:.1f}",
        )
        for each, (times, held) in measured.items()
    ]
    said = (
        f"{rows:,} rows, a file of {path.stat().st_size / 1e6:,.0f} MB; {rounds} pages of each kind, each after a "
        f"commit; the loop is to be held {MOST_HELD_MS} ms at most"
    )
    return f"{said}\n\n{report.table(HEAD, table)}"


def made(directory: Path, rows: int) -> Path:
    """The file, with the app's own schema, triggers and index; its path. It is made where there is none."""
    is_there = (directory / "app.db").exists()
    path = prepare(directory, migrations)
    if is_there:
        return path
    report.say(f"making {rows:,} rows")
    with closing(sqlite3.connect(path)) as connection, patch.dict(kinds, {KIND.table: KIND}, clear=True):
        connection.execute("PRAGMA synchronous = OFF")
        connection.executemany("INSERT INTO tasks (title, notes, due, done) VALUES (?, ?, ?, ?)", _rows(rows))
        while connection.execute("SELECT 1 FROM unindexed LIMIT 1").fetchone():
            indexing.complete(connection)
        connection.commit()
        connection.execute("ANALYZE")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


def _rows(count: int) -> list[tuple[str, str, str | None, int]]:
    """Tasks of two words each: all have “task” in them, every second has “half”."""
    choice = random.Random(1).choice
    today = date.today()
    return [
        (
            f"{choice(WORDS).capitalize()} {choice(WORDS)} task {number}{' half' * (number % 2)}",
            "Ask for the *small* one." if number % 3 == 0 else "",
            None if number % 4 == 0 else (today + timedelta(days=number % 900 - 400)).isoformat(),
            int(number % 5 == 0),
        )
        for number in range(count)
    ]


async def _measured(each: Asked, rounds: int) -> Measured:
    times: list[float] = []
    async with _watched_loop() as held:
        for number in range(1, rounds + 1):
            await db.write(lambda connection, number=number: _change(connection, number))  # type: ignore[misc]
            began = time.perf_counter()
            await _drawn(each.query)
            times.append((time.perf_counter() - began) * 1000)
    return Measured(times, held[0])


def _change(connection: Connection, id: int) -> None:
    connection.execute("UPDATE tasks SET done = NOT done WHERE id = ?", [id])


async def _drawn(query: TaskQuery | None) -> None:
    """The list, or the figures beside it, read in one snapshot and drawn."""

    async def draw(scope: Scope, receive: Receive, send: Send) -> None:
        if query is None:
            show.summary_card(await summary_of(date.today(), None))
        else:
            show.task_list(await tasks_of(query))

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        raise AssertionError

    await Moments(draw)({"type": "http", "method": "GET"}, receive, send)


@asynccontextmanager
async def _watched_loop() -> AsyncIterator[list[float]]:
    """In the list stands how many ms at most the loop came later than it was asked to, so far."""
    held = [0.0]

    async def beat() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            held[0] = max(held[0], (time.perf_counter() - began) * 1000 - 1)

    beating = asyncio.create_task(beat())
    try:
        yield held
    finally:
        beating.cancel()
