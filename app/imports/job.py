"""The work of an import: reading in a process of its own, writing in batches, taking back.

An import is all or nothing at its end: each 1,000 rows are one transaction, so that the list stays usable and the
progress is true, and an import that is cancelled or fails takes its rows out again. The state in the file decides:
every batch is written only while the state is still `writing`, so whoever moves it on has stopped the writing, from
whichever worker. Who does the work, and when, is for `app/imports/import_queue.py`.

    checking → ready → writing → done → undoing → undone
        ↓        ↓         ↓______________↑
     failed   discarded, expired
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

from sqlite_utils.utils import sqlite3

from app.database.db import db
from app.database.disk_space import refuse_without_room
from app.database.sqlite_connections import (
    NOW,
    TEXT,
    Connection,
    Row,
)
from app.imports import reader_process
from app.imports.import_record import UNREADABLE, odd_columns
from app.imports.reader_process import Message, ReaderFailed
from app.imports.row_writes import Batch, taking_back
from app.records.kinds import Kind, kinds, to_json
from templates.imports.known_rows import ADD, SKIP

# Progress is a committed row, written at most four times a second.
PROGRESS_SECONDS = 0.25
LONGEST_ERROR = 1000
# Where uploaded files wait, beside the file of the data.
UPLOADS = "uploads"


class Stopped(Exception):
    """The state has moved on: there is nothing more to do here."""


def upload_path(id: int) -> Path:
    """Where the uploaded file of an import lies until it is done with."""
    return db.path.parent / UPLOADS / str(id)


async def check(id: int) -> None:
    """Read the whole file without writing a row: what it holds, how many rows, which cannot be used."""
    understood: dict[str, Any] = {}
    problems: list[Any] = []
    written = 0.0
    clock = asyncio.get_running_loop().time
    try:
        async with aclosing(_read(id, "checking", "--check", _known())) as messages:
            async for message in messages:
                if "understood" in message:
                    # It comes again, with all rows, where later ones say something else than the first.
                    understood, problems = message["understood"], []
                elif "rows" in message:
                    problems += message["problems"]
                    if clock() - written >= PROGRESS_SECONDS:
                        written = clock()
                        # How far it has come can wait while another program holds the file.
                        with suppress(sqlite3.OperationalError):
                            await db.write(move(id, "checking", bytes_read=message["bytes"]))
                elif "end" in message:
                    await db.write(
                        move(
                            id,
                            "checking",
                            "ready",
                            understood=json.dumps(understood),
                            problems=json.dumps(problems),
                            problem_count=message["end"]["problems"],
                            rows_total=message["end"]["rows"],
                            known=json.dumps(message["end"]["known"]),
                            error="",
                        )
                    )
    except ReaderFailed as failure:
        await fail(id, "checking", str(failure))
    except Stopped:
        upload_path(id).unlink(missing_ok=True)


async def write(id: int) -> None:
    """Write the rows, batch by batch; where that fails they are to be taken back."""
    kind, choice = await kind_of(id), await _choice_of(id)
    # What is added all the same need not be compared.
    options = () if choice == ADD else (_known(),)
    try:
        async with aclosing(_read(id, "writing", *options)) as messages:
            async for message in messages:
                if "rows" in message:
                    refuse_without_room()
                    await db.write(_batch(id, Batch(id, kind, choice, message)))
                elif "end" in message:
                    await db.write(move(id, "writing", "done"))
                    upload_path(id).unlink(missing_ok=True)
    except ReaderFailed as failure:
        await fail(id, "writing", str(failure))
    except Stopped:
        return


async def undo(id: int) -> None:
    """Take out every row that is still as the import has made it, batch by batch; what was changed since stays."""
    kind = await kind_of(id)
    while await db.write(taking_back(id, kind)):
        pass
    await db.write(move(id, "undoing", "undone"))
    upload_path(id).unlink(missing_ok=True)


async def fail(id: int, state: str, error: str) -> None:
    """End work that cannot be done, with a sentence: what was written is to be taken back; what cannot be, stays."""
    error = error[:LONGEST_ERROR]
    try:
        if state == "checking":
            await _fail_reading(id, error)
        elif state == "writing":
            await db.write(move(id, "writing", "undoing", error=error, process=0))
        else:
            await db.write(move(id, "undoing", "done", error=error))
    except Stopped:
        return


async def _fail_reading(id: int, error: str) -> None:
    """End the reading of a file; one that was read before, with other choices, is shown as it was read then."""
    understood = (await _row_of(id))["understood"]
    before = {} if odd_columns({"understood": understood}) else json.loads(understood)
    if "choices" not in before:
        await db.write(move(id, "checking", "failed", error=error))
        upload_path(id).unlink(missing_ok=True)
        return
    choices = before["choices"]
    columns = json.dumps(choices.pop("columns"))
    await db.write(move(id, "checking", "ready", error=error, columns=columns, choices=json.dumps(choices)))


async def kind_of(id: int) -> Kind:
    """What an import brings. Raises Stopped where it is gone."""
    return kinds[(await _row_of(id))["kind"]]


async def _choice_of(id: int) -> str:
    """What is to be done with the rows that are in the data already."""
    known = (await _row_of(id))["known"]
    return SKIP if odd_columns({"known": known}) else str(json.loads(known).get("choice", SKIP))


def _known() -> str:
    return f"--known={db.path.resolve()}"


async def _row_of(id: int) -> Row:
    columns = "columns, choices, understood, known"
    rows = await db.read(
        f"SELECT kind, {TEXT.format('filename')} AS filename, {columns} FROM imports WHERE id = ?", [id]
    )
    if not rows:
        raise Stopped
    return rows[0]


async def _read(id: int, state: str, *options: str) -> AsyncGenerator[Message]:
    """What the reader says of the file, while the import is in this state. Raises Stopped, ReaderFailed."""
    row = await _row_of(id)
    if odd_columns({name: row[name] for name in ("columns", "choices", "understood", "known")}):
        raise ReaderFailed(UNREADABLE)
    kind = to_json(kinds[row["kind"]])
    choices = json.loads(row["choices"]) | {"columns": json.loads(row["columns"])}
    if state == "writing":
        # What was shown is what is written.
        choices["facts"] = json.loads(row["understood"]).get("facts")
    reader = reader_process.messages(upload_path(id), row["filename"], kind, json.dumps(choices), options)
    async with aclosing(reader) as messages:
        async for message in messages:
            if message:
                yield message
                continue
            with suppress(sqlite3.OperationalError):
                if not await db.read("SELECT 1 FROM imports WHERE id = ? AND state = ?", [id, state]):
                    raise Stopped


def move(id: int, state: str, next: str | None = None, **columns: Any) -> Callable[[Connection], None]:
    """A change that moves an import on from `state` to `next`; nothing, and Stopped, where it is elsewhere."""
    columns["state"] = next or state
    settings = ", ".join(f"{name} = ?" for name in columns)
    if next:
        settings += f", moved_at = {NOW}, attempts = 0"

    def change(connection: Connection) -> None:
        values = [*columns.values(), id, state]
        if not connection.execute(f"UPDATE imports SET {settings} WHERE id = ? AND state = ?", values).rowcount:
            raise Stopped

    return change


def _batch(id: int, batch: Batch) -> Callable[[Connection], None]:
    """A change that writes one batch, as long as the import is being written."""

    def change(connection: Connection) -> None:
        move(id, "writing")(connection)
        batch.write(connection)

    return change
