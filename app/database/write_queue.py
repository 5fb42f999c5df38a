"""Writes: changes wait in one queue for one thread, which commits those that wait together.

Each change is answered when the commit is on disk (`synchronous=FULL`). One that fails is undone alone, and its error
is raised where it was asked for; the changes committed with it are not affected.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from sqlite_utils.utils import sqlite3

from app.database.sqlite_connections import BUSY_SECONDS, Connection, begin
from server import background_work

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

# Writes that wait are joined into one commit, up to this many: more would delay the first of them.
JOINED_WRITES = 64


class Writes:
    """The queue of one open file, and its thread.

    `connection` is the first one that it writes on, `connect` opens another one after a failure. `check` raises
    LostData where the file is not where it was; it is called before and after each commit. `complete` is called in the
    transaction of each commit, after its changes, and `on_commit` after it; both on the thread.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        connect: Callable[[], Connection],
        check: Callable[[], None],
        complete: Callable[[Connection], None],
        on_commit: Callable[[], None],
    ) -> None:
        self._connection: Connection | None = connection
        self._connect = connect
        self._check = check
        self._complete = complete
        self._on_commit = on_commit
        # None is the request to end.
        self._waiting: SimpleQueue[_Write | None] = SimpleQueue()
        self._is_ending = False
        self._thread = background_work.thread("Writing to the file", self._write_all)

    async def write(self, change: Callable[[Connection], Result]) -> Result:
        """Run `change` in a transaction; its result, once the commit is on disk."""
        write = _Write(change)
        self._waiting.put(write)
        result: Result = await asyncio.wrap_future(write.done)
        return result

    def close(self) -> None:
        """End when the writes that wait are on disk."""
        self._waiting.put(None)
        self._thread.join()

    def _write_all(self) -> None:
        """Commit what waits, again and again, until the request to end."""
        if self._is_ending:
            return
        # Begun again after a failure, the thread has a connection of its own.
        connection, self._connection = self._connection, None
        with closing(connection or self._connected()) as connection:
            while not self._is_ending:
                batch = self._next_batch()
                if batch:
                    self._commit(connection, batch)
                    self._on_commit()

    def _connected(self) -> Connection:
        """Another connection; if there can be none, all writes that wait are answered with that error."""
        try:
            return self._connect()
        except sqlite3.Error as error:
            while write := self._next(waits=False):
                write.error = error
                write.answer()
            raise

    def _next_batch(self) -> "list[_Write]":
        """Wait for a write; it, and those behind it. Empty where the request to end comes first."""
        write = self._next(waits=True)
        batch = []
        while write is not None:
            batch.append(write)
            write = self._next(waits=False) if len(batch) < JOINED_WRITES else None
        return batch

    def _next(self, *, waits: bool) -> "_Write | None":
        """The next write; None at the request to end, which is noted, or where none is there."""
        try:
            write = self._waiting.get(block=waits)
        except Empty:
            return None
        self._is_ending = write is None
        return write

    def _commit(self, connection: Connection, batch: "list[_Write]") -> None:
        """Run all changes of the batch and `complete` in one transaction, then answer them."""
        completing = _Write(self._complete)
        try:
            self._check()
            begin(connection, BUSY_SECONDS)
            for write in batch:
                write.run(connection)
            completing.run(connection)
            connection.execute("COMMIT")
            # A file that has lost its name is not found at the next start: what was written to it is lost.
            self._check()
        except BaseException as error:
            # A full disk ends the whole transaction: nothing of the batch is in the file, and all get the error.
            # Whatever the error is, this thread must go on, or every later write would wait for ever.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            for write in batch:
                write.error = write.error or error
        if completing.error is not None:
            # The changes themselves are committed.
            logger.error("What is kept beside the rows could not be made with them.", exc_info=completing.error)
        for write in batch:
            write.answer()


class _Write:
    """A change that waits for its commit."""

    def __init__(self, change: Callable[[Connection], Any]) -> None:
        self.change = change
        self.done: Future[Any] = Future()
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self, connection: Connection) -> None:
        """Run the change inside the transaction; if it fails, undo it alone."""
        connection.execute("SAVEPOINT change")
        try:
            self.result = self.change(connection)
        except BaseException as error:
            if not connection.in_transaction:
                raise
            self.error = error
            connection.execute("ROLLBACK TO change")
        connection.execute("RELEASE change")

    def answer(self) -> None:
        """Give result or error to the caller, unless it was cancelled."""
        if not self.done.set_running_or_notify_cancel():
            return
        if self.error is not None:
            self.done.set_exception(self.error)
        else:
            self.done.set_result(self.result)
