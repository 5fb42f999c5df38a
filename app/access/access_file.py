"""The file of who may come in: DATA/access.db, with the sessions and what has happened to them.

They are not in app.db, where each commit moves the token that all pages follow: no request of a stranger may do that.
The file is opened when it is first needed, which on a laptop may be never. The guard reads it at once, and waits for
nobody; changes are made on a thread of their own, and are on disk before they are answered.
"""

import asyncio
import contextlib
import errno
import logging
import os
import re
import shutil
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from sqlite_utils.utils import sqlite3

from app.database.db import db
from app.database.integrity.file_identity import ENDINGS, number_of
from app.database.integrity.wal_index import LOG_INDEX_HEADER, map_log_index
from app.database.sqlite_connections import Connection, Row, begin
from server import background_work

Result = TypeVar("Result")
Change = Callable[[Connection], Any]

FILE_NAME = "access.db"
# Which shape the file has, in SQLite's user_version.
SHAPE = 1
SCHEMA = """
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    cookie_hash TEXT NOT NULL UNIQUE,
    token_hash TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    used_at INTEGER NOT NULL,
    confirmed_at INTEGER NOT NULL,
    address TEXT NOT NULL,
    browser TEXT NOT NULL
);
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    address TEXT NOT NULL,
    browser TEXT NOT NULL,
    tries INTEGER NOT NULL
);
CREATE INDEX events_by_kind ON events (kind, id);
CREATE TABLE tokens (token_hash TEXT NOT NULL);
"""
# How long a change waits for another program. A read does not wait: it would keep everybody waiting.
BUSY_SECONDS = 2
# Changes that nobody waits for are written together, so often at most, and only so many are kept until then.
SOON_SECONDS = 0.5
SOON_CHANGES = 200
# The room that the log and its index need at least.
NEEDED_BYTES = 256 * 1024

logger = logging.getLogger(__name__)


class UnusableFile(Exception):
    """The file is damaged, newer than this code, or may not be opened; the message says which."""


# The errors of a file that cannot be read or written. OperationalError and OSError may pass: a lock, a full disk.
Unreadable = (UnusableFile, sqlite3.OperationalError, OSError)


class AccessFile:
    """DATA/access.db of one data directory. What it does raises one of Unreadable where that cannot be done."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / FILE_NAME
        self._reading: Connection | None = None
        self._index: Any = None
        self._opened: list[str] = []
        self._writer: ThreadPoolExecutor | None = None
        self._soon: deque[Change] = deque()
        self._task: asyncio.Task[None] | None = None

    def state(self) -> Hashable:
        """Another value than before when something was committed (see Database.token)."""
        if self._index is None:
            with _named(self.path):
                self._index = map_log_index(self.path, self._reader())
        return self._index[:LOG_INDEX_HEADER]

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """All rows of a query over these small tables."""
        with _named(self.path):
            return self._reader().execute(sql, parameters).fetchall()

    async def write(self, change: Callable[[Connection], Result]) -> Result:
        """Run `change` in a transaction; its result, once that is on disk."""
        if db.loss is not None:
            raise UnusableFile(db.loss.words)
        self.look_after()
        # While the reader is open, the log and its index stay: then a full disk keeps nobody out who is in. Unlike it,
        # the writer waits for a program that holds the file.
        with contextlib.suppress(sqlite3.OperationalError), _named(self.path):
            self._reader()
        before = self._opened
        end = time.monotonic() + BUSY_SECONDS
        result = await asyncio.get_running_loop().run_in_executor(self._thread(), self._write, change, end)
        if self._reading is not None and _numbers(self.path) != before:
            raise UnusableFile(f"{self.path} was deleted or moved at this moment, so nothing was kept. Try again.")
        return result

    def write_soon(self, change: Change) -> None:
        """Run `change` with others in a moment; what then fails is in the log. To be called where a loop runs."""
        if len(self._soon) >= SOON_CHANGES:
            logger.error("What happened at the sign-in could not be kept: too much happens at once.")
            return
        self._soon.append(change)
        if self._task is None or self._task.done():
            self._task = background_work.begin("Keeping what happens at the sign-in", self._write_waiting)

    async def close(self) -> None:
        """Write what waits, and end."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._write_all()
        if self._writer is not None:
            self._writer.shutdown()
            self._writer = None
        self._forget()

    async def _write_waiting(self) -> None:
        while self._soon:
            await asyncio.sleep(SOON_SECONDS)
            await self._write_all()

    async def _write_all(self) -> None:
        """Write what waits in one transaction."""
        changes = list(self._soon)
        self._soon.clear()
        if not changes:
            return
        try:
            await self.write(lambda connection: [change(connection) for change in changes])
        except Unreadable as error:
            logger.error("What happened at the sign-in could not be kept in %s: %s.", self.path, error)

    def _write(self, change: Callable[[Connection], Result], until: float) -> Result:
        """Run `change`, which waits for another program until then: those behind it have waited as long already."""
        with _named(self.path), closing(_connected(self.path, BUSY_SECONDS)) as connection:
            begin(connection, max(0, until - time.monotonic()))
            try:
                result = change(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            return result

    async def look(self) -> None:
        """The same as `look_after`, to be awaited now and then."""
        self.look_after()

    def look_after(self) -> None:
        """Let go of a file that is not in its place any more; the one that is there is opened when it is needed."""
        if self._reading is not None and _numbers(self.path) != self._opened:
            logger.warning("%s is another file than before: only the sessions in it count.", self.path)
            self._forget()

    def _forget(self) -> None:
        if self._reading is not None:
            self._reading.close()
        self._reading = self._index = None

    def _reader(self) -> Connection:
        if self._reading is None:
            self._reading = _connected(self.path, 0)
            self._opened = _numbers(self.path)
        return self._reading

    def _thread(self) -> ThreadPoolExecutor:
        if self._writer is None:
            self._writer = ThreadPoolExecutor(1, "access")
        return self._writer


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Raises UnusableFile for what does not pass by itself."""
    try:
        yield
    except (sqlite3.DatabaseError, OSError, ValueError) as error:  # ValueError is that of an index that is cut short.
        passes = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if passes or (isinstance(error, sqlite3.OperationalError) and re.search("locked|full", str(error))):
            raise
        # Where there is no room for the log of the file, SQLite says only that something went wrong.
        if isinstance(error, sqlite3.OperationalError) and shutil.disk_usage(path.parent).free < NEEDED_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise UnusableFile(f"{path}: {error}") from error


def _connected(path: Path, seconds: float) -> Connection:
    """A connection to the file, which is made where it is missing, for its owner alone."""
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    connection = sqlite3.connect(path, timeout=seconds, isolation_level=None, check_same_thread=False)
    try:
        connection.row_factory = sqlite3.Row
        connection.text_factory = lambda text: text.decode(errors="replace")
        shape = connection.execute("PRAGMA user_version").fetchone()[0]
        if shape == 0:
            _make(connection)
        elif shape != SHAPE:
            raise sqlite3.DatabaseError("it was written by a newer version of this app")
        connection.execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}")
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def _numbers(path: Path) -> list[str]:
    """Which files these are: that at `path`, its log and the index of that."""
    return [number_of(Path(f"{path}{ending}")) for ending in ENDINGS]


def _make(connection: Connection) -> None:
    """Make the tables, unless another process has just done so."""
    connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
    connection.execute("PRAGMA journal_mode = WAL")
    begin(connection, BUSY_SECONDS)
    if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
        for statement in SCHEMA.split(";\n"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SHAPE}")
    connection.execute("COMMIT")
