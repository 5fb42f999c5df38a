"""The file that is served: read, written, and watched for commits of any program.

Features use three things of it: `db.read`, `db.write` and `db.token`. Everything that only SQLite has stays in
`app/database/sqlite_connections.py`, `app/database/reads.py`, `app/database/write_queue.py` and in the migrations.
"""

import ctypes
import mmap
import threading
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, TypeVar

try:
    import fcntl
except ImportError:  # Windows has none.
    fcntl = None  # type: ignore[assignment]

from sqlite_utils.utils import sqlite3

from app.database.copies import check_room, copy_opened
from app.database.integrity.file_identity import Identity, Kind, Loss
from app.database.integrity.wal_index import LOG_INDEX_HEADER, map_log_index
from app.database.reads import Reads
from app.database.sqlite_connections import (
    BUSY_SECONDS,
    Connection,
    Row,
    connect,
    open_reading,
    read_once,
)
from app.database.write_queue import Writes

Result = TypeVar("Result")


class LostData(sqlite3.OperationalError):
    """The file is not where it was, so nothing is written; the message says what has become of it."""


class Database:
    """One SQLite file, read beside the event loop where that takes long, and written by one thread of its own."""

    def __init__(self) -> None:
        self.path = Path()
        self._reads: Reads | None = None
        self._watching: Connection | None = None
        self._writes: Writes | None = None
        self._log_index: mmap.mmap | None = None
        self._header = b""
        # Called after every commit of this process, on the writer's thread.
        self.on_commit: Callable[[], None] = lambda: None
        # Called in the transaction of each commit of this process, after its changes, on the writer's thread.
        self.before_commit: Callable[[Connection], None] = lambda connection: None
        self._version = 0
        self._identity: Identity | None = None
        # How the file was lost; None while it is where it was.
        self.loss: Loss | None = None
        # The copy of it that was saved then.
        self.saved: Path | None = None
        # A connection for what is to be done with the open file when no other can be opened any more.
        self._spare: Connection | None = None
        self._sparing = threading.Lock()

    def open(self, path: Path) -> None:
        """Begin to serve the file at `path`, which `prepare` has made ready."""
        self.path = path
        self.loss = self.saved = None
        writing, self._spare = connect(path), connect(path)
        for connection in (writing, self._spare):
            read_once(connection)
        # From here on no connection is the last one, with which SQLite would take the log away.
        self._identity = Identity(path)
        self._reads = Reads(self._open_reading, BUSY_SECONDS)
        self.token()
        self._writes = Writes(
            writing,
            connect=self._open_writing,
            check=self._refuse_loss,
            complete=lambda connection: self.before_commit(connection),
            on_commit=lambda: self.on_commit(),
        )

    def close(self) -> None:
        """End when the writes that wait are on disk."""
        if self._writes is not None:
            self._writes.close()
            self._writes = None
            self._log_index = None
        if self._reads is not None:
            self._reads.close()
            self._reads = None
        with self._sparing:
            if self.is_overwritten():
                # With the last connection SQLite would write its log into what is there now: this one is never closed,
                # not even when Python ends.
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._spare))
                self._spare = None
            for connection in (self._watching, self._spare):
                if connection is not None:
                    connection.close()
            self._watching = self._spare = self._identity = None

    async def read(self, sql: str, parameters: Sequence[Any] = (), *, is_long: bool = False) -> list[Row]:
        """All rows of a query; `is_long` says that it should not be tried on the event loop.

        Raises UnansweredRead, which is answered with 503, where it takes too long or too many others are under way.
        """
        assert self._reads is not None, "the database is not open"
        if self.loss is not None and self.is_overwritten():
            raise LostData(self.loss.words)
        try:
            return await self._reads.read(sql, parameters, is_long)
        except sqlite3.Error as error:
            self._refuse_loss(error)
            raise

    async def write(self, change: Callable[[Connection], Result]) -> Result:
        """Run `change` in a transaction on the writer's thread; its result, once the commit is on disk.

        An exception in `change` undoes what it did, and is raised here; writes joined with it are not affected.
        """
        assert self._writes is not None, "the database is not open"
        try:
            return await self._writes.write(change)
        except sqlite3.Error as error:
            self._refuse_loss(error)
            raise

    def look(self) -> Loss | None:
        """How the file was lost, looked at now; None while it is where it was."""
        if self.is_overwritten():
            return self.loss  # The open connections do not fit the file as it is now.
        if self._identity is not None and (self.loss is not None or not self._identity.is_whole()):
            self.loss = self._identity.loss()
        return self.loss

    def is_overwritten(self) -> bool:
        """Whether the open file was written over: then it is not whole any more, and never shown or copied."""
        return self.loss is not None and self.loss.kind is Kind.OVERWRITTEN

    def token(self) -> Hashable:
        """The commit token: another value than before when any program has committed to the file, or it was lost.

        `PRAGMA data_version` moves at every commit of another connection; the one that asks for it never commits, and
        is never inside a transaction, where it stands still. Every commit also writes the header of the log's index
        anew, which all programs share in memory; while that is the same, so is data_version, and a look at it costs a
        tenth of the question (0.4 µs of 4). To be asked on one thread.
        """
        reader = self._watcher()
        if self._log_index is None:
            self._log_index = map_log_index(self.path, reader)
        header = self._log_index[:LOG_INDEX_HEADER]
        if header != self._header:
            # The header is looked at first: a commit that comes in between is noticed at the next call.
            try:
                self._version = reader.execute("PRAGMA data_version").fetchone()[0]
                self._header = header
            except sqlite3.Error:
                if self.look() is None:
                    raise
        return self._version if self.loss is None else (self._version, self.loss.words, str(self.saved or ""))

    def long_reading(self) -> Connection:
        """A connection of its own for a reading that takes its time, beside the event loop; `close` it.

        While one query is under way on it, all others on it are of the same moment.
        """
        connection = self._open_reading()
        connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
        return connection

    def backup(self, copy: Path) -> None:
        """Copy all that is in the open file to `copy` while it is used, wherever its name leads by now."""
        if self.is_overwritten():
            self._refuse_loss()
        with self._sparing:
            assert self._spare is not None, "the database is not open"
            pages, size = (self._spare.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
            check_room(copy.parent, pages * size)
            copy_opened(self._spare, copy)

    def put_log_into_file(self) -> bool:
        """Have all that is in the log in the file itself; whether all of it is."""
        with self._sparing:
            assert self._spare is not None, "the database is not open"
            _, in_log, in_file = self._spare.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        return bool(in_log == in_file)

    def number(self) -> str:
        """Which file is open."""
        assert self._identity is not None, "the database is not open"
        return self._identity.number

    def takes_care_of_loss(self) -> bool:
        """Whether this is the process that does what one alone is to do about a loss: the first one, while it lives."""
        assert self._identity is not None, "the database is not open"
        if fcntl is None:
            return True
        try:
            # SQLite has no lock on the log itself, and each process has opened it by itself.
            fcntl.flock(self._identity.log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def leave_loss(self) -> None:
        """Let another process take care of the next loss."""
        if fcntl is not None and self._identity is not None:
            fcntl.flock(self._identity.log, fcntl.LOCK_UN)

    def is_own_log(self) -> bool:
        """Whether the log beside the file is the one that is open here."""
        return self._identity is not None and self._identity.has_log()

    def _open_reading(self) -> Connection:
        """A connection that reads the file that is open here. Raises LostData where its name leads elsewhere."""
        self._refuse_loss()
        connection = open_reading(self.path, waits=False)
        try:
            read_once(connection)
            self._refuse_loss()
        except BaseException:
            connection.close()
            raise
        return connection

    def _refuse_loss(self, error: sqlite3.Error | None = None) -> None:
        """Raises LostData where the file is lost, which is what an error of SQLite may come from."""
        if self.look() is not None:
            assert self.loss is not None
            raise LostData(self.loss.words) from error

    def _watcher(self) -> Connection:
        """The connection that asks for the token."""
        if self._watching is None:
            self._watching = open_reading(self.path, waits=True)
        return self._watching

    def _open_writing(self) -> Connection:
        self._refuse_loss()
        return connect(self.path)


db = Database()
