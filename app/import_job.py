"""The work of an import, in the background: reading in a process of its own, writing in batches, taking back.

An import is all or nothing at its end: each 1,000 rows are one transaction, so that the list stays usable and the
progress is true, and an import that is cancelled or fails takes its rows out again. The state in the file decides:
every batch is written only while the state is still `writing`, so whoever moves it on has stopped the writing, from
whichever worker.

    checking → ready → writing → done → undoing → undone
        ↓        ↓         ↓______________↑
     failed   discarded
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

from app.db import NOW, Connection, db
from app.kinds import Kind, kinds, to_json
from app.processes import lives

ROOT = Path(__file__).resolve().parent.parent
# How much of what the reader says is taken at once. It waits when this is not fetched, so that nothing piles up here.
PIECE_BYTES = 256 * 1024
# Progress is a committed row, written at most four times a second.
PROGRESS_SECONDS = 0.25
UNDO_ROWS = 1000
# Where uploaded files wait, beside the file of the data.
UPLOADS = "uploads"
RUNNING = "SELECT id, kind, state, process FROM imports WHERE state IN ('checking', 'writing', 'undoing')"

_jobs: set[asyncio.Task[None]] = set()
_left_by_namesake: set[int] = set()


class Stopped(Exception):
    """The state has moved on: there is nothing more to do here."""


def begin(job: Coroutine[Any, Any, None]) -> None:
    """Let a job run in the background; `end_all` waits for it."""
    task = asyncio.create_task(job)
    _jobs.add(task)
    task.add_done_callback(_jobs.discard)


async def end_all() -> None:
    """Stop every job where it is; the next start takes it up."""
    for task in _jobs:
        task.cancel()
    await asyncio.gather(*_jobs, return_exceptions=True)


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
        async for message in _read(id, "--check"):
            if "understood" in message:
                understood = message["understood"]
            elif "rows" in message:
                problems += message["problems"]
                if clock() - written >= PROGRESS_SECONDS:
                    written = clock()
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
                    )
                )
            else:
                await db.write(move(id, "checking", "failed", error=message["error"]))
                upload_path(id).unlink(missing_ok=True)
    except Stopped:
        upload_path(id).unlink(missing_ok=True)


async def write(id: int) -> None:
    """Write the rows, batch by batch; take them back where that fails."""
    error = ""
    kind = await kind_of(id)
    try:
        async for message in _read(id):
            if "rows" in message:
                await db.write(_insert(id, kind, message["rows"]))
            elif "end" in message:
                await db.write(move(id, "writing", "done"))
                upload_path(id).unlink(missing_ok=True)
            elif "error" in message:
                error = message["error"]
    except Stopped:
        return
    except Exception as failure:
        await db.write(move(id, "writing", "undoing", error=f"The rows could not be written: {failure}."))
        await undo(id)
        raise
    if error:
        await db.write(move(id, "writing", "undoing", error=error))
        await undo(id)


async def undo(id: int) -> None:
    """Take out every row that the import has made, batch by batch."""
    kind = await kind_of(id)
    while await db.write(lambda connection: _take_out(connection, id, kind)):
        pass
    await db.write(move(id, "undoing", "undone"))
    upload_path(id).unlink(missing_ok=True)


async def look_back() -> None:
    """Take note of what an earlier process of this one's number has left; only before this one begins anything."""
    _left_by_namesake.update(row["id"] for row in await db.read(RUNNING) if row["process"] == os.getpid())


async def recover() -> None:
    """Take up what a stop has left: read again what was being read, take back what was half written."""
    for row in await db.read(RUNNING):
        is_own = row["process"] == os.getpid() and row["id"] not in _left_by_namesake
        if (
            row["kind"] not in kinds
            or is_own
            or lives(row["process"])
            or not await db.write(_claim(row["id"], row["process"]))
        ):
            continue
        _left_by_namesake.discard(row["id"])
        if row["state"] == "checking":
            begin(check(row["id"]))
            continue
        if row["state"] == "writing":
            message = "The server stopped in the middle of this import."
            await db.write(move(row["id"], "writing", "undoing", error=message))
        begin(undo(row["id"]))


async def kind_of(id: int) -> Kind:
    """What an import brings."""
    return kinds[(await db.read("SELECT kind FROM imports WHERE id = ?", [id]))[0]["kind"]]


async def _read(id: int, *options: str) -> AsyncIterator[dict[str, Any]]:
    """The messages of a process that reads the file; it ends with this iterator."""
    (row,) = await db.read("SELECT filename, columns FROM imports WHERE id = ?", [id])
    reader = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app.reading.rows", str(upload_path(id).resolve()),
        # In one word each: what a person calls a file may begin like an option.
        f"--name={row['filename']}", f"--kind={to_json(await kind_of(id))}", f"--columns={row['columns']}", *options,
        cwd=ROOT, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, limit=PIECE_BYTES,
        # Ctrl-C in the terminal is for the server; it ends its readers itself.
        start_new_session=True,
    )  # fmt: skip
    assert reader.stdout is not None
    last: dict[str, Any] = {}
    try:
        async for line in _lines(reader.stdout):
            last = json.loads(line)
            if "reading" not in last:
                yield last
        if "end" not in last and "error" not in last:
            yield {"error": f"The reader of the file stopped (exit code {await reader.wait()}). See the log."}
    finally:
        if reader.returncode is None:
            reader.kill()
            await reader.wait()


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The lines of a stream; StreamReader's own are bounded by how much it holds ready, and these are long."""
    pieces: list[bytes] = []
    while piece := await stream.read(PIECE_BYTES):
        *ends, rest = piece.split(b"\n")
        for end in ends:
            yield b"".join([*pieces, end])
            pieces = []
        pieces.append(rest)


def move(id: int, state: str, next: str | None = None, **columns: Any) -> Callable[[Connection], None]:
    """A change that moves an import on from `state` to `next`; nothing, and Stopped, where it is elsewhere."""
    columns["state"] = next or state
    settings = ", ".join(f"{name} = ?" for name in columns)

    def change(connection: Connection) -> None:
        values = [*columns.values(), id, state]
        if not connection.execute(f"UPDATE imports SET {settings} WHERE id = ? AND state = ?", values).rowcount:
            raise Stopped

    return change


def _insert(id: int, kind: Kind, rows: list[list[Any]]) -> Callable[[Connection], None]:
    """A change that writes one batch and the progress it makes."""
    sql = insert_sql(kind)

    def change(connection: Connection) -> None:
        move(id, "writing")(connection)
        made = [connection.execute(sql, dict(zip(kind.columns, row, strict=True))).fetchone()[0] for row in rows]
        connection.executemany("INSERT INTO imported_rows VALUES (?, ?)", [(id, row) for row in made])
        connection.execute("UPDATE imports SET rows_done = rows_done + ? WHERE id = ?", [len(made), id])

    return change


def insert_sql(kind: Kind) -> str:
    """What writes one row of a kind, with its own id where neither a row nor a deleted one has that already."""
    fields = [field.name for field in kind.fields]
    return f"""
        INSERT INTO {kind.table} ({", ".join(kind.columns)})
        VALUES (
            CASE
            WHEN EXISTS (SELECT 1 FROM {kind.table} WHERE id = :id) THEN NULL
            WHEN EXISTS (SELECT 1 FROM {kind.deletions} WHERE id = :id) THEN NULL
            ELSE :id END,
            {", ".join(f":{name}" for name in fields)},
            coalesce(:created_at, {NOW}),
            coalesce(:updated_at, :created_at, {NOW})
        ) RETURNING id
    """


def _take_out(connection: Connection, id: int, kind: Kind) -> int:
    """Take one batch out; how many rows it held."""
    rows = connection.execute("SELECT row_id FROM imported_rows WHERE import_id = ? LIMIT ?", [id, UNDO_ROWS])
    ids = [(row["row_id"],) for row in rows.fetchall()]
    connection.executemany(f"DELETE FROM {kind.table} WHERE id = ?", ids)
    connection.executemany(
        "DELETE FROM imported_rows WHERE import_id = ? AND row_id = ?", [(id, *each) for each in ids]
    )
    connection.execute("UPDATE imports SET rows_done = rows_done - ? WHERE id = ?", [len(ids), id])
    return len(ids)


def _claim(id: int, process: int) -> Callable[[Connection], bool]:
    """A change that makes this process the one that works on an import; whether no other was faster."""

    def change(connection: Connection) -> bool:
        values = [os.getpid(), id, process]
        return bool(connection.execute("UPDATE imports SET process = ? WHERE id = ? AND process = ?", values).rowcount)

    return change
