"""Exports: every row of a kind as CSV or JSON, and the whole file. Imported again, it gives the same rows."""

import asyncio
import csv
import io
import json
import os
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import mkstemp

from fasthtml.core import APIRouter
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse

from app.db import Row, db
from app.kinds import Kind, kinds
from app.processes import lives

CHUNK_ROWS = 1000
CHUNK_LETTERS = 128 * 1024
# What a copy of the file is called while it is sent, with the number of the process that sends it. No person gives a
# file of their own such a name.
COPY = re.compile(r"\.export-(\d+)-\w{8}\.db")

rt = APIRouter()
_making = asyncio.Semaphore(1)


@rt("/export.csv", methods=["get"])
async def export_main_csv(request: Request) -> Response:
    """All rows of the main feature as CSV."""
    return await export_csv(request, next(iter(kinds), ""))


@rt("/export.json", methods=["get"])
async def export_main_json(request: Request) -> Response:
    """All rows of the main feature as JSON."""
    return await export_json(request, next(iter(kinds), ""))


@rt("/{table}/export.csv", methods=["get"])
async def export_csv(request: Request, table: str) -> Response:
    """All rows of a kind as CSV (RFC 4180), with cells that a spreadsheet would run as formulas made harmless."""
    pieces = _one_by_one(request, _csv(_kind(table)))
    return StreamingResponse(pieces, media_type="text/csv; charset=utf-8", headers=_download(table, "csv"))


@rt("/{table}/export.json", methods=["get"])
async def export_json(request: Request, table: str) -> Response:
    """All rows of a kind as a JSON list of objects."""
    pieces = _one_by_one(request, _json(_kind(table)))
    return StreamingResponse(pieces, media_type="application/json", headers=_download(table, "json"))


@rt("/export.db", methods=["get"])
async def export_database(request: Request) -> Response:
    """The whole file, copied by SQLite's online backup while it is used."""
    copy = await run_in_threadpool(_copied)
    return FileResponse(
        copy,
        media_type="application/vnd.sqlite3",
        headers=_download("data", "db"),
        background=BackgroundTask(copy.unlink),
    )


async def _one_by_one(request: Request, pieces: Iterator[str]) -> AsyncIterator[str]:
    """What is made in a thread, until the client is gone: in one for all exports, as many would keep others waiting."""
    while not await request.is_disconnected():
        async with _making:
            piece = await asyncio.to_thread(next, pieces, None)
        if piece is None:
            return
        yield piece


def sweep() -> None:
    """Delete the copies of processes that ended before they had sent them."""
    for copy in db.path.parent.iterdir():
        found = COPY.fullmatch(copy.name)
        if found and int(found[1]) != os.getpid() and not lives(int(found[1])):
            copy.unlink(missing_ok=True)


def _copied() -> Path:
    """A copy of the file, beside it; half a copy would take what room there is on a full disk."""
    descriptor, name = mkstemp(prefix=f".export-{os.getpid()}-", suffix=".db", dir=db.path.parent)
    os.close(descriptor)
    copy = Path(name)
    try:
        db.backup(copy)
    except BaseException:
        copy.unlink()
        raise
    return copy


def _kind(table: str) -> Kind:
    if table not in kinds:
        raise HTTPException(404)
    return kinds[table]


def _csv(kind: Kind) -> Iterator[str]:
    # The reading of all kinds of files comes with it, which no start of the app has to wait for.
    from app.reading.columns import harmless

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(kind.columns)
    for rows in _chunks(kind):
        writer.writerows([[harmless(str(cell)) if cell is not None else "" for cell in row] for row in rows])
        yield text.getvalue()
        text.seek(0)
        text.truncate()
    yield text.getvalue()


def _json(kind: Kind) -> Iterator[str]:
    # With the first rows: from the first word on, what it says is of one moment.
    begin = "[\n"
    for rows in _chunks(kind):
        yield begin + ",\n".join(
            json.dumps(dict(zip(kind.columns, row, strict=True)), ensure_ascii=False) for row in rows
        )
        begin = ",\n"
    yield "[\n]\n" if begin == "[\n" else "\n]\n"


def _chunks(kind: Kind) -> Iterator[list[Row]]:
    """The rows, as many at a time as are held for each client, however slowly it reads."""
    chunk: list[Row] = []
    letters = 0
    for row in db.rows(f"SELECT {', '.join(kind.columns)} FROM {kind.table} ORDER BY id"):
        chunk.append(row)
        letters += sum(len(value) for value in row if isinstance(value, str))
        if len(chunk) == CHUNK_ROWS or letters > CHUNK_LETTERS:
            yield chunk
            chunk, letters = [], 0
    if chunk:
        yield chunk


def _download(name: str, ending: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{name}.{ending}"', "cache-control": "no-store"}
