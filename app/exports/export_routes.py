"""Exports: every row of a kind as CSV or JSON, and the whole file. Imported again, it gives the same rows.

Few are made at once: each holds a copy of the file, or a moment of it, while its client reads. A moment keeps the log
of the file from being reset, so what a client has not taken after MOMENT_SECONDS is put on the disk first.
"""

import asyncio
import codecs
import csv
import io
import json
import logging
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing
from functools import partial
from itertools import chain
from tempfile import TemporaryFile
from typing import IO, Any, NamedTuple, TypeVar

from fasthtml.core import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.access.access_file import Unreadable
from app.access.confirm import check_export
from app.access.sessions import sessions
from app.database.copies import room
from app.database.db import db
from app.database.disk_space import refuse_without_room
from app.database.sqlite_connections import (
    SIZE,
    TEXT,
    Connection,
    open_value,
)
from app.records.kinds import Kind, kinds

CHUNK_ROWS = 1000
CHUNK_LETTERS = 128 * 1024
CHUNK_BYTES = 256 * 1024
# How much of a text is read, put down and encoded at once: the interpreter does nothing else for a few milliseconds.
PIECE_BYTES = 512 * 1024
# How many exports a process sends at once, how many may wait for their turn, and for how long.
SENT_AT_ONCE = 3
WAITING = 4
WAIT_SECONDS = 10
MOMENT_SECONDS = 10
BUSY = "Other exports are being sent. Nothing is wrong with this one: try again in a few seconds."
# Windows deletes a file that is opened so when it is closed; elsewhere it has lost its name by then.
OPEN_ONCE = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_TEMPORARY", 0)
BYTE_ORDER_MARK = "\ufeff"
ADDRESS = re.compile(r"(/[^/]+)?/export\.[a-z]+")

Result = TypeVar("Result")

logger = logging.getLogger(__name__)

rt = APIRouter()
_sending = asyncio.Semaphore(SENT_AT_ONCE)
_making = asyncio.Semaphore(1)
_waiting = 0


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
    """All rows of a kind as CSV (RFC 4180), with cells that a spreadsheet would run as formulas made harmless.

    It begins with a byte order mark: without one Excel takes UTF-8 for the encoding of the machine.
    """
    check_export(request)
    return Export(partial(_rows, _csv(_kind(table))), f"{table}.csv", "text/csv; charset=utf-8")


@rt("/{table}/export.json", methods=["get"])
async def export_json(request: Request, table: str) -> Response:
    """All rows of a kind as a JSON list of objects."""
    check_export(request)
    return Export(partial(_rows, _json(_kind(table))), f"{table}.json", "application/json")


@rt("/export.db", methods=["get"])
async def export_database(request: Request) -> Response:
    """The whole file, copied by SQLite's online backup while it is used."""
    check_export(request)
    return Export(_copy, "data.db", "application/vnd.sqlite3")


def is_download(path: str) -> bool:
    """Whether an address gives a file: then no other site may lead a person to it."""
    return ADDRESS.fullmatch(path) is not None


class Source(NamedTuple):
    """What is sent: how many bytes, where that is known; what gives the next piece, nothing at the end; its end.

    `is_moment` says that it keeps the log of the file from being reset.
    """

    size: int | None
    read: Callable[[], bytes | None]
    close: Callable[[], None]
    is_moment: bool


class Export(Response):
    """A streamed download, made for one client; it ends when the client disconnects.

    No part of it can be asked for (`Range`): what is made for the next request may be of another moment.
    """

    def __init__(self, make: Callable[[], Source], name: str, media_type: str) -> None:
        super().__init__(media_type=media_type)
        self.make = make
        del self.headers["content-length"]
        self.headers["content-disposition"] = f'attachment; filename="{name}"'
        self.headers["cache-control"] = "no-store"
        self.headers["accept-ranges"] = "none"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; raises HTTPException (503) where too many others are being sent."""
        if scope["method"] == "HEAD":
            await self._begin(send)
            await send({"type": "http.response.body"})
            return
        async with _turn():
            self.source = await _made(self.make)
            try:
                await self._send(Request(scope, receive), send)
            finally:
                self.source.close()

    async def _begin(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})

    async def _send(self, request: Request, send: Send) -> None:
        """Send piece by piece until the client is gone, or its session. What fails at the first piece is not begun."""
        end = time.monotonic() + MOMENT_SECONDS
        piece = await _made(self.source.read)
        if self.source.size is not None:
            self.headers["content-length"] = str(self.source.size)
        await self._begin(send)
        while piece and not await request.is_disconnected():
            if not _may_stay(request):
                logger.warning("An export was ended, as the session that asked for it has ended.")
                return
            sending = asyncio.ensure_future(send({"type": "http.response.body", "body": piece, "more_body": True}))
            try:
                if self.source.is_moment:
                    await asyncio.wait([sending], timeout=max(0, end - time.monotonic()))
                    if time.monotonic() >= end and not await self._put_aside():
                        return
                await sending
            finally:
                sending.cancel()
            piece = await _made(self.source.read)
        if not piece:
            await send({"type": "http.response.body"})

    async def _put_aside(self) -> bool:
        """Have what is still to be sent on the disk, and let go of the moment it is of; False without room for it."""
        with ExitStack() as failing:
            try:
                rest: IO[bytes] = await _made(_new_file)
                failing.enter_context(rest)
                while await _made(partial(_put, self.source, rest)):
                    pass
            except OSError as error:
                logger.error("An export was ended, as its client is slow and the rest cannot be put aside: %s.", error)
                return False
            failing.pop_all()
        self.source.close()
        self.source = Source(None, partial(rest.read, CHUNK_BYTES), rest.close, is_moment=False)
        return True


def _new_file() -> IO[bytes]:
    """A file without a name, beside the data."""
    return TemporaryFile(dir=db.path.parent)


def _put(source: Source, file: IO[bytes]) -> bool:
    """Put the next piece into a file; False at the end, when the file is to be read from its begin."""
    piece = source.read()
    if not piece:
        file.seek(0)
        return False
    refuse_without_room(len(piece))
    file.write(piece)
    return True


def _may_stay(request: Request) -> bool:
    try:
        return sessions.may_stay(request.scope)
    except Unreadable as error:
        logger.error("Whether an export may go on cannot be found out: %s.", error)
        return False


@asynccontextmanager
async def _turn() -> AsyncIterator[None]:
    """Wait for one's turn to be sent."""
    global _waiting
    busy = HTTPException(503, BUSY, {"retry-after": f"{WAIT_SECONDS}"})
    if _sending.locked() and _waiting >= WAITING:
        raise busy
    _waiting += 1
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await _sending.acquire()
    except TimeoutError:
        raise busy from None
    finally:
        _waiting -= 1
    try:
        yield
    finally:
        _sending.release()


async def _made(function: Callable[[], Result]) -> Result:
    """What a function makes in a thread: in one for all exports, as many would keep others waiting.

    It is waited for even where the answer is given up, as what it works with is closed then.
    """
    async with _making:
        job = asyncio.ensure_future(asyncio.to_thread(function))
        try:
            return await asyncio.shield(job)
        except asyncio.CancelledError:
            await asyncio.wait([job])
            raise


def _copy() -> Source:
    """A copy of the file that has no name any more once it is open: nothing has to take it away."""
    # The directory of the data may be what was lost.
    with room(next(each for each in db.path.absolute().parents if each.is_dir())) as making:
        copy = making / "copy.db"
        db.backup(copy)
        file = os.fdopen(os.open(copy, OPEN_ONCE), "rb")
    return Source(os.fstat(file.fileno()).st_size, partial(file.read, CHUNK_BYTES), file.close, is_moment=False)


def _rows(pieces: Any) -> Source:
    """What a generator of text gives."""

    def read() -> bytes | None:
        # An empty piece is the end to whoever reads.
        piece = next(filter(None, pieces), None)
        return None if piece is None else piece.encode()

    return Source(None, read, pieces.close, is_moment=True)


def _kind(table: str) -> Kind:
    if table not in kinds:
        raise HTTPException(404)
    return kinds[table]


def _csv(kind: Kind) -> Iterator[str]:
    # The reading of all kinds of files comes with it, which no start of the app has to wait for.
    from app.imports.reading.values.columns import harmless

    yield BYTE_ORDER_MARK + _csv_lines([kind.columns])
    for chunk in _chunks(kind):
        if not isinstance(chunk, _LargeRow):
            yield _csv_lines([[harmless(str(cell)) if cell is not None else "" for cell in row] for row in chunk])
            continue
        for number, pieces in enumerate(chunk.cells()):
            yield ',"' if number else '"'
            for at, piece in enumerate(pieces):
                text = "" if piece is None else str(piece)
                yield (text if at else harmless(text)).replace('"', '""')
            yield '"'
        yield "\r\n"


def _csv_lines(rows: Iterable[Iterable[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue()


def _json(kind: Kind) -> Iterator[str]:
    # With the first rows: from the first word on, what it says is of one moment.
    begin = "[\n"
    for chunk in _chunks(kind):
        yield begin
        begin = ",\n"
        if not isinstance(chunk, _LargeRow):
            yield ",\n".join(_dumped(dict(zip(kind.columns, row, strict=True))) for row in chunk)
            continue
        for number, (name, pieces) in enumerate(zip(kind.columns, chunk.cells(), strict=True)):
            yield f"{', ' if number else '{'}{json.dumps(name)}: "
            first = next(pieces)
            if not isinstance(first, str):
                yield _dumped(first)
                continue
            yield '"'
            for piece in chain([first], pieces):
                yield json.dumps(piece, ensure_ascii=False)[1:-1]
            yield '"'
        yield "}"
    yield "[\n]\n" if begin == "[\n" else "\n]\n"


def _dumped(value: Any) -> str:
    """A row, or a value that is no text, as JSON, which has no number without end: such a one is null."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError:
        if isinstance(value, dict):
            return f"{{{', '.join(f'{json.dumps(name)}: {_dumped(each)}' for name, each in value.items())}}}"
        return "null"


class _LargeRow(NamedTuple):
    """A row with a value that is too large to be held; its cells are read in pieces, of the same moment."""

    connection: Connection
    kind: Kind
    id: int

    def cells(self) -> Iterator[Iterator[Any]]:
        """The pieces of each cell, at least one; those of texts are texts."""
        for name in self.kind.columns:
            yield self._pieces(name)

    def _pieces(self, name: str) -> Iterator[Any]:
        sql = f"SELECT typeof({name}) IN ('text', 'blob'), iif({SIZE}({name}) > {PIECE_BYTES}, NULL, {name})"
        ((is_text, value),) = self.connection.execute(f"{sql} FROM {self.kind.table} WHERE id = ?", [self.id])
        if not is_text:
            yield value
            return
        # Byte by byte from the begin to the end, once: in SQL a text ends at a NUL, and each piece is looked for anew.
        bytes_of = open_value(self.connection, self.kind.table, name, self.id)
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        piece = bytes_of.read(PIECE_BYTES)
        yield decoder.decode(piece, final=not piece)
        while piece:
            piece = bytes_of.read(PIECE_BYTES)
            yield decoder.decode(piece, final=not piece)
        # Of a client that leaves before, it is closed when nothing holds it any more.
        bytes_of.close()


def _chunks(kind: Kind) -> Iterator[list[list[Any]] | _LargeRow]:
    """The rows, as many at a time as are held for each client, however slowly it reads; those that are large alone."""
    chunk: list[list[Any]] = []
    letters = 0
    # What is too large is not even read with the others.
    large = " OR ".join(f"coalesce({SIZE}({name}), 0) > {PIECE_BYTES}" for name in kind.columns)
    columns = [f"iif({SIZE}({name}) > {PIECE_BYTES}, '', {TEXT.format(name)})" for name in kind.columns]
    with closing(db.long_reading()) as connection:
        for is_large, *row in connection.execute(f"SELECT {large}, {', '.join(columns)} FROM {kind.table} ORDER BY id"):
            if is_large:
                if chunk:
                    yield chunk
                yield _LargeRow(connection, kind, row[0])
                chunk, letters = [], 0
                continue
            chunk.append(row)
            letters += sum(len(value) for value in row if isinstance(value, str))
            if len(chunk) == CHUNK_ROWS or letters > CHUNK_LETTERS:
                yield chunk
                chunk, letters = [], 0
    if chunk:
        yield chunk
