"""The queue of imports: one is worked on at a time, whichever of the processes that serve the data does it.

Whoever holds the lock of a file beside the data takes one import after another. The system takes the lock from a
process that has ended, however it came to its end; so what is marked as being worked on while the lock was free was
left behind, and is taken up again: what was being read is read anew, what was half written is taken back.
"""

import asyncio
import contextlib
import errno
import logging
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

try:
    import fcntl
except ImportError:  # Windows has none, and one process serves there.
    fcntl = None  # type: ignore[assignment]

from sqlite_utils.utils import sqlite3

from app.database.db import db
from app.database.disk_space import used_up
from app.database.sqlite_connections import Connection, Row
from app.imports import job
from app.records.kinds import kinds
from server import background_work

LOCK = "imports.lock"
RUNNING = ("checking", "writing", "undoing")
# One that has ended the server so often is not tried again.
MOST_ATTEMPTS = 3
# How soon another process notices that it may go on.
ASK_SECONDS = 0.5
# A disk that is full, or a file that another program holds, is not asked as often.
RETRY_SECONDS = 5
# How long the end of the server waits for a word in the file.
LAST_SECONDS = 2
GIVEN_UP = {
    "checking": f"The server stopped {MOST_ATTEMPTS} times while it read this file, which may be the reason. Split the "
    "file, or export the list in another format (CSV or JSON), and import that.",
    "undoing": f"The server stopped {MOST_ATTEMPTS} times while it took this import back. Try again.",
}
NO_ROOM = "There was no room left on the disk. Make room, then import the file again."
JOBS = {"checking": job.check, "writing": job.write, "undoing": job.undo}

logger = logging.getLogger(__name__)


class Queue:
    """This process's part in the work."""

    def __init__(self) -> None:
        self._work: asyncio.Task[None] | None = None
        self._is_called = False

    def wake(self) -> None:
        """Work as long as there is something to do; called after each change, and now and then."""
        self._is_called = True
        if self._work is None or self._work.done():
            self._work = background_work.begin("Working on imports", self._run)

    async def end(self) -> None:
        """Stop where it is; the next start, or another process, takes it up."""
        if self._work is None or self._work.done():
            return
        self._work.cancel()
        await asyncio.gather(self._work, return_exceptions=True)

    async def _run(self) -> None:
        """Take one import after another, while there are any."""
        try:
            while await self._has_work():
                with _lock() as is_ours:
                    if is_ours:
                        await _take_up_what_was_left()
                        while waiting := await _waiting():
                            await _work_on(waiting[0])
                            # Whoever has come meanwhile is answered first.
                            await asyncio.sleep(0)
                    else:
                        await asyncio.sleep(ASK_SECONDS)
        except sqlite3.OperationalError as error:
            logger.warning("Imports stand still, and will be taken up again: %s.", error)
        except BaseException:
            self._is_called = True
            raise

    async def _has_work(self) -> bool:
        """Whether there is something to do; who calls during the look at it has it done once more."""
        while self._is_called:
            self._is_called = False
            if await _waiting():
                self._is_called = True
                return True
        return False


async def before(id: int) -> int:
    """How many others are taken before an import that waits; 0 where it is being worked on."""
    order = [row["id"] for row in await _waiting()]
    working = await db.read("SELECT process FROM imports WHERE id = ?", [id])
    return order.index(id) if id in order and working and working[0]["process"] == 0 else 0


async def _waiting() -> list[Row]:
    """What there is to do, in its order: what is being worked on, what is taken back, then the rest as it came."""
    rows = await db.read(f"""
        SELECT id, kind, state, CAST(process AS INTEGER) AS process, CAST(attempts AS INTEGER) AS attempts
        FROM imports WHERE state IN {RUNNING}
        ORDER BY process = 0, state <> 'undoing', moved_at, id
    """)
    return [row for row in rows if row["kind"] in kinds]


@contextmanager
def _lock() -> Iterator[bool]:
    """Whether this process is the one that works now; it is as long as the context lasts."""
    descriptor = os.open(db.path.parent / LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        yield _is_locked(descriptor)
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int) -> bool:
    if fcntl is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


async def _take_up_what_was_left() -> None:
    """Put back into the queue what a process was doing that is gone; only by whoever holds the lock."""
    for row in await _waiting():
        id, state = row["id"], row["state"]
        if row["process"] == 0:
            continue
        if state == "writing":
            await job.fail(id, state, "The server stopped in the middle of this import.")
        elif row["attempts"] >= MOST_ATTEMPTS:
            await job.fail(id, state, GIVEN_UP[state])
        else:
            await db.write(_mark(id, state, process=0))


async def _work_on(row: Row) -> None:
    """Do what is to be done, and see to it that it has an end, whatever happens."""
    id, state = row["id"], row["state"]
    if not await db.write(_mark(id, state, process=os.getpid(), attempts=1)):
        return
    try:
        await JOBS[state](id)
    except asyncio.CancelledError:
        if state != "writing":
            # That the server is stopped is no fault of the file's.
            with contextlib.suppress(sqlite3.Error, TimeoutError):
                await asyncio.wait_for(db.write(_mark(id, state, process=0, attempts=-1)), LAST_SECONDS)
        raise
    except job.Stopped:
        return
    except sqlite3.Error as failure:
        if state == "undoing" and isinstance(failure, sqlite3.OperationalError):
            # A full disk, or a file that another program holds: that passes, and the rows are to be taken back.
            await _until_written(lambda: db.write(_mark(id, state, process=0, attempts=-1)))
            raise
        logger.error("Import %s: SQLite says: %s.", id, failure)
        error = await used_up() or _in_words(state, failure) if "full" in str(failure) else _in_words(state, failure)
    except Exception as failure:
        logger.exception("Import %s failed.", id)
        error = _in_words(state, failure)
    else:
        # It would be taken again and again.
        still = "SELECT 1 FROM imports WHERE id = ? AND state = ? AND process = ?"
        error = "It came to no end. Try again." if await db.read(still, [id, state, os.getpid()]) else ""
    if error:
        await _until_written(lambda: job.fail(id, state, error))


async def _until_written(write: Callable[[], Awaitable[object]]) -> None:
    """Try again until the file takes what is to be written, as nobody else would."""
    while True:
        try:
            await write()
            return
        except sqlite3.OperationalError as error:
            logger.warning("How far an import is could not be written, and will be tried again: %s.", error)
            await asyncio.sleep(RETRY_SECONDS)


def _mark(id: int, state: str, *, process: int, attempts: int = 0) -> Callable[[Connection], bool]:
    """A change that says which process works on an import, 0 for none; whether it is still in that state."""
    sql = "UPDATE imports SET process = ?, attempts = attempts + ? WHERE id = ? AND state = ?"

    def change(connection: Connection) -> bool:
        return bool(connection.execute(sql, [process, attempts, id, state]).rowcount)

    return change


def _in_words(state: str, failure: Exception) -> str:
    """What went wrong, for a person."""
    if isinstance(failure, OSError) and failure.errno in (errno.ENOSPC, errno.EDQUOT):
        return NO_ROOM
    if isinstance(failure, sqlite3.Error) and "full" in str(failure):
        return NO_ROOM
    if isinstance(failure, sqlite3.Error):
        return f"The rows could not be {'taken out' if state == 'undoing' else 'written'}: {failure}."
    return f"It failed ({type(failure).__name__}); the log says where. Try again."


queue = Queue()
