"""The file: connections, pragmas, the write queue, what a start makes ready.

Features use three things of it: `db.read`, `db.write` and `db.token`. Everything that only SQLite has stays here, in
`app/reads.py` and in the migrations.

Reads happen on connections that never write. Writes wait in one queue for one thread, which joins those that
wait into one transaction (`BEGIN IMMEDIATE`) and answers them only when the commit is on disk (`synchronous=FULL`).
"""

import asyncio
import ctypes
import logging
import mmap
import os
import threading
import time
import traceback
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager, suppress
from itertools import zip_longest
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

try:
    import fcntl
except ImportError:  # Windows has none.
    fcntl = None  # type: ignore[assignment]

from sqlite_utils import Database as SqliteUtils
from sqlite_utils import Migrations
from sqlite_utils.utils import sqlite3

from app import newer
from app.copies import BACKUPS, check_room, copy_opened, keep, newest_saved, sweep
from app.identity import Identity, Kind, Loss, number_of
from app.kept_copies import newest, thin
from app.open_files import held
from app.overwritten import is_marked, marked_by, unmark
from app.reads import Reads
from server import background
from server.watch import taking_long

logger = logging.getLogger(__name__)

Connection = sqlite3.Connection
Row = sqlite3.Row
Result = TypeVar("Result")

FILE_NAME = "app.db"
# What says in SQL how large a text is. The first does not read it, and is there from SQLite 3.43 on.
SIZE = "octet_length" if sqlite3.sqlite_version_info >= (3, 43) else "length"
# What gives in SQL a column whose bytes count as text: no column of ours keeps any, but other programs may write them.
TEXT = "iif(typeof({0}) = 'blob', CAST({0} AS TEXT), {0})"
# The present moment in SQL, as every table keeps it: UTC, ISO 8601.
NOW = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
# How long a statement waits for a program outside to end its transaction.
BUSY_SECONDS = 5
# Writes that wait are joined into one commit, up to this many: more would delay the first of them.
JOINED_WRITES = 64
# A start checks the file for at most this many steps of SQLite's machine (about 0.1 s), so that a file of any size
# opens at once; a small file is checked whole.
CHECK_STEPS = 2_000_000
CHECK_STRIDE = 10_000


# The first copy of the header of the log's index: counter of commits, size, checksum and salts of the log, in bytes.
LOG_INDEX_HEADER = 48
_never_closed: list[Any] = []
# Before that, two processes that reset the write-ahead log at once can damage the file
# (https://www.sqlite.org/wal.html, “The WAL-Reset Bug”).
SAFE_FOR_SEVERAL = (3, 51, 3)


class UnusableDatabase(Exception):
    """The file cannot be used and was not touched; the message says why and what to do."""


class FailedMigration(UnusableDatabase):
    """A migration has failed, and nothing of it is in the file; the message says which, why and what to do."""

    def __init__(self, path: Path, name: str, error: Exception) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        own = next((frame for frame in reversed(frames) if frame.name == name), frames[-1])
        super().__init__(
            f"The migration “{name}” failed ({own.filename}:{own.lineno}): {type(error).__name__}: {error}. {path} is "
            "as it was before. Mend the migration, or go back to the version of the app before it; then start again."
        )


class NewerFile(UnusableDatabase):
    """The file has migrations, `names`, that this code does not know; the message says what to do."""

    def __init__(self, path: Path, names: Sequence[str], copy: Path | None) -> None:
        self.path = path
        self.names = names
        listed = ", ".join(f"“{name}”" for name in names)
        before = f" Or take the copy from before: python server.py restore {copy}." if copy is not None else ""
        super().__init__(
            f"{path} was written by a newer version of this app (it has {listed}, which this version does not know). "
            f"It was not touched. Update the app, or choose another directory with --data.{before}"
        )


class UnusableDirectory(UnusableDatabase):
    """The directory cannot hold the file; the message says why and what to do."""


class LostData(sqlite3.OperationalError):
    """The file is not where it was, so nothing is written; the message says what has become of it."""


class SeveralProcesses(UnusableDatabase):
    """This SQLite must not serve the file from several processes; the message says why and what to do."""


class Database:
    """One SQLite file, read beside the event loop where that takes long, and written by one thread of its own."""

    def __init__(self) -> None:
        self.path = Path()
        self._reads: Reads | None = None
        self._watching: Connection | None = None
        self._writes: SimpleQueue[_Write | None] = SimpleQueue()
        self._writer: threading.Thread | None = None
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
        self._writing: Connection | None = connect(path)
        self._spare = connect(path)
        for connection in (self._writing, self._spare):
            read_once(connection)
        # From here on no connection is the last one, with which SQLite would take the log away.
        self._identity = Identity(path)
        self._reads = Reads(self._open_reading, BUSY_SECONDS)
        self.token()
        self._writer = background.thread("Writing to the file", self._write_all)

    def close(self) -> None:
        """End when the writes that wait are on disk."""
        if self._writer is not None:
            self._writes.put(None)
            self._writer.join()
            self._writer = None
            self._log_index = None
        if self._reads is not None:
            self._reads.close()
            self._reads = None
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
        return await self._reads.read(sql, parameters, is_long)

    async def write(self, change: Callable[[Connection], Result]) -> Result:
        """Run `change` in a transaction on the writer's thread; its result, once the commit is on disk.

        An exception in `change` undoes what it did, and is raised here; writes joined with it are not affected.
        """
        write = _Write(change)
        self._writes.put(write)
        return await asyncio.wrap_future(write.done)

    def look(self) -> Loss | None:
        """How the file was lost, looked at now; None while it is where it was."""
        if self.is_overwritten():
            return self.loss  # Whatever is in the file by now, what is open here does not go with it.
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
            self._version = reader.execute("PRAGMA data_version").fetchone()[0]
            self._header = header
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
        connection = open_reading(self.path)
        try:
            read_once(connection)
            self._refuse_loss()
        except BaseException:
            connection.close()
            raise
        return connection

    def _refuse_loss(self) -> None:
        if self.look() is not None:
            assert self.loss is not None
            raise LostData(self.loss.words)

    def _watcher(self) -> Connection:
        """The connection that asks for the token."""
        if self._watching is None:
            self._watching = open_reading(self.path, BUSY_SECONDS)
        return self._watching

    def _write_all(self) -> None:
        """The writer's thread: take what waits, commit it together, answer."""
        # Begun again after a failure, it has a connection of its own.
        writing, self._writing = self._writing, None
        with closing(writing or self._open_writing()) as connection:
            while (write := self._writes.get()) is not None:
                batch = [write]
                ending = False
                while len(batch) < JOINED_WRITES and not ending:
                    try:
                        following = self._writes.get_nowait()
                    except Empty:
                        break
                    if following is None:
                        ending = True
                    else:
                        batch.append(following)
                self._commit(connection, batch)
                self.on_commit()
                if ending:
                    return

    def _open_writing(self) -> Connection:
        """Another connection for the writer's thread; what waits is answered where there can be none."""
        try:
            self._refuse_loss()
            return connect(self.path)
        except sqlite3.Error as error:
            for write in _waiting(self._writes):
                write.error = error
                write.answer()
            raise

    def _commit(self, connection: Connection, batch: "list[_Write]") -> None:
        """Make all changes of the batch in one transaction, and what is kept beside them, then answer them."""
        completing = _Write(self.before_commit)
        try:
            self._refuse_loss()
            begin(connection, BUSY_SECONDS)
            for write in batch:
                write.run(connection)
            completing.run(connection)
            connection.execute("COMMIT")
            # A file that has lost its name is not found at the next start, nor what is written to it.
            self._refuse_loss()
        except BaseException as error:
            # A full disk ends the whole transaction: nothing of the batch is in the file, and each is told so. Whatever
            # it is, this thread must go on, or every later write would wait for ever.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            for write in batch:
                write.error = write.error or error
        if completing.error is not None:
            # The changes themselves are as good as ever, and in the file.
            logger.error("What is kept beside the rows could not be made with them.", exc_info=completing.error)
        for write in batch:
            write.answer()


def map_log_index(path: Path, reader: Connection) -> mmap.mmap:
    """The memory of the write-ahead log's index (https://www.sqlite.org/walformat.html, section 2).

    What is opened here is never closed: closing any descriptor of a file ends the locks that SQLite holds on it in this
    process (https://www.sqlite.org/howtocorrupt.html, section 2.2). `reader` stays open as long, so the index stays.
    """
    read_once(reader)
    index = mmap.mmap(os.open(f"{path}-shm", os.O_RDONLY), LOG_INDEX_HEADER, access=mmap.ACCESS_READ)
    _never_closed.append(index)
    return index


class _Write:
    """A change that waits for its commit."""

    def __init__(self, change: Callable[[Connection], Any]) -> None:
        self.change = change
        self.done: Future[Any] = Future()
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self, connection: Connection) -> None:
        """Make the change inside the transaction under way; undo it alone where it fails."""
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
        """Tell who waits, unless they have gone."""
        if not self.done.set_running_or_notify_cancel():
            return
        if self.error is not None:
            self.done.set_exception(self.error)
        else:
            self.done.set_result(self.result)


def _waiting(writes: "SimpleQueue[_Write | None]") -> Iterator[_Write]:
    """Take what waits at this moment, but for the word to end."""
    with suppress(Empty):
        while (write := writes.get_nowait()) is not None:
            yield write
        writes.put(None)


def connect(path: Path) -> Connection:
    """A connection with the pragmas of this app; transactions are begun and ended by hand."""
    connection = _open(path, BUSY_SECONDS)
    _keep_log(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def open_reading(path: Path, busy_seconds: float = 0) -> Connection:
    """A connection that cannot write."""
    connection = _open(path, busy_seconds)
    connection.execute("PRAGMA query_only = ON")
    return connection


def read_once(connection: Connection) -> None:
    """Read something: with its first read a connection opens the log and its index."""
    connection.execute("SELECT 1 FROM sqlite_schema").fetchall()


def open_value(connection: Connection, table: str, column: str, id: int) -> Any:
    """The bytes of a text or a blob, to be read piece by piece and closed; of the moment of a query under way."""
    # Python's own module and pysqlite3 have one name each for it.
    if hasattr(connection, "blobopen"):
        return connection.blobopen(table, column, id, readonly=True)
    return connection.open_blob(table, column, id, True)  # type: ignore[attr-defined]


def _open(path: Path, busy_seconds: float) -> Connection:
    connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    # What another program wrote in another encoding must not keep the rest of a list from being shown.
    connection.text_factory = lambda text: text.decode(errors="replace")
    return connection


def _keep_log(connection: Connection) -> None:
    """Have the file keep a write-ahead log, as it does from its first start on.

    SQLite itself does not wait for another process that makes the same change at the same time.
    """
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise
        time.sleep(0.01)


def prepare(
    directory: Path, migrations: Migrations, *, is_in_use: bool = False, served: str = "", accepts_newer: bool = False
) -> Path:
    """Make the directory and the file ready: private, checked, migrated, with a copy kept from before a migration.

    `served` is the number of the file that another process of the same server has served: it is to be that one.

    A file that another process uses at this moment, and has checked, is not checked for damage again.
    Returns the path of the file. Raises UnusableDatabase, with the file as it was.
    """
    path = directory / FILE_NAME
    if served and number_of(path) != served:
        raise UnusableDatabase(
            f"{path} is not the file that this server has served until now, so no other process begins with it. Put "
            "that one back; or end the server, and start it again."
        )
    make_private(directory)
    _refuse_what_was_written_over(path, served)
    if not path.exists():
        _refuse_what_is_held(path)
        _say_what_was_saved(directory)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    os.chmod(path, 0o600)
    sweep(directory)
    thin(directory)
    try:
        _check(path, migrations, is_in_use, accepts_newer)
        _migrate(path, migrations)
    except sqlite3.Error as error:
        raise UnusableDatabase(f"{path} cannot be opened: {error}.") from error
    except OSError as error:
        raise UnusableDatabase(
            f"{path} cannot be brought up to date, as no copy of it can be kept first: {error.strerror} "
            f"({error.filename}). It was not touched. Mend that, then start again."
        ) from error
    return path


def _refuse_what_is_held(path: Path) -> None:
    """Raises UnusableDatabase where a server has the file open that was here: two would serve different data."""
    if (lost := held(path)) is not None:
        raise UnusableDatabase(
            f"{path} was deleted while the server {lost.process} has it open, with all that is in it. End that server "
            "first, which saves a copy; or save one yourself: python3 server.py backup FILE. Then start again."
        )


def _refuse_what_was_written_over(path: Path, served: str) -> None:
    """Raises UnusableDatabase where a server had other data in this file; after its end, say which copy there is."""
    if not is_marked(path):
        return
    if (process := marked_by(path)) or served:
        raise UnusableDatabase(
            f"{path} was written over while the server {process or os.getppid()} has it open, so no other process "
            "begins with it. End that server, and start it again."
        )
    unmark(path)
    copy = newest(path.parent)
    bring_back = f" The newest copy of what was there: python3 server.py restore {copy}" if copy else ""
    logger.warning("%s was written over while it was served, and is used as it is now.%s", path, bring_back)


def _say_what_was_saved(directory: Path) -> None:
    """Say that the data begin empty where a copy was saved of those that were lost."""
    saved = newest_saved(directory)
    if saved is not None:
        logger.warning(
            "There is no data in %s, so it begins empty. A copy of what was there: python3 server.py restore %s",
            directory,
            saved,
        )


def claim(directory: Path, workers: int) -> None:
    """Make sure that one process alone uses the data where this SQLite needs that; the claim ends with the process.

    Raises SeveralProcesses where there are more.
    """
    if sqlite3.sqlite_version_info >= SAFE_FOR_SEVERAL:
        return
    if workers > 1 or not _is_alone(directory):
        raise SeveralProcesses(
            f"SQLite {sqlite3.sqlite_version} can damage a file that several processes write; 3.51.3 and later cannot. "
            f"Use one worker, end what else serves {directory}, or get a newer SQLite: pip install pysqlite3."
        )


def _is_alone(directory: Path) -> bool:
    """Whether no other process has claimed the data; where the system has no locks, that is not asked.

    Raises UnusableDirectory where the directory can have none.
    """
    if fcntl is None:
        return True
    try:
        # Held until the process ends.
        lock = os.open(directory / "process.lock", os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise UnusableDirectory(
            f"The data directory {directory} can have no lock, without which it cannot be told whether another process "
            f"uses it: {error.strerror}. Choose another with --data, or get a newer SQLite: pip install pysqlite3."
        ) from error
    return True


def open_unchanged(path: Path) -> Connection:
    """A connection that only reads, and leaves nothing beside the file that was not there before."""
    is_whole = not any(Path(f"{path}{ending}").exists() for ending in ("-wal", "-journal"))
    uri = f"{path.resolve().as_uri()}?{'immutable=1' if is_whole else 'mode=ro'}"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)


def unknown_migrations(connection: Connection, migrations: Migrations) -> set[str]:
    """The migrations that a file has and this code does not: it was written by a newer version."""
    return set(_unknown(connection, migrations))


def _unknown(connection: Connection, migrations: Migrations) -> list[str]:
    """The same in their order."""
    known = newer.known(migrations)
    return [name for name in newer.applied(connection, migrations) if name not in known]


def tables_of(connection: Connection) -> SqliteUtils:
    """What sqlite-utils makes of a connection, without its plugins: to look for them takes 20 ms of each start."""
    return SqliteUtils(connection, execute_plugins=False)


def make_private(directory: Path) -> None:
    """Make the directory, closed to others, where it is missing. Raises UnusableDirectory."""
    try:
        # One that was there already is as open as its owner has made it; what is put into it is private all the same.
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(directory, os.W_OK):
            raise PermissionError
    except OSError as error:
        raise UnusableDirectory(
            f"The data directory {directory} cannot be written: {error.strerror or 'permission denied'}. "
            "Give it to yourself, or choose another with --data."
        ) from error


def _check(path: Path, migrations: Migrations, is_in_use: bool, accepts_newer: bool) -> None:
    """Raises UnusableDatabase for a file that is corrupt, or newer than this code; reads only."""
    if path.stat().st_size == 0:
        return
    uri = f"{path.resolve().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)) as connection:
        try:
            problem = None if is_in_use else _first_problem(connection)
            unknown = [] if accepts_newer else _unknown(connection, migrations)
        except sqlite3.OperationalError:
            # Locked, say: that is no damage.
            raise
        except sqlite3.DatabaseError as error:
            problem = str(error)
        if problem:
            raise UnusableDatabase(
                f"{path} is damaged ({problem}). It was not touched. Put a backup in its place with "
                f"python server.py restore FILE (see {path.parent / BACKUPS}), or save what can be read with: "
                f"sqlite3 {path} .recover"
            )
        if unknown:
            raise NewerFile(path, unknown, newer.copy_before(path, migrations))


def _first_problem(connection: Connection) -> str | None:
    """What SQLite's quick_check finds first, within CHECK_STEPS; None where it finds nothing."""
    strides = iter(range(CHECK_STEPS // CHECK_STRIDE))
    connection.set_progress_handler(lambda: 0 if next(strides, None) is not None else 1, CHECK_STRIDE)
    try:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if "interrupted" not in str(error):
            raise
        return None
    finally:
        connection.set_progress_handler(None, 0)
    return None if found == "ok" else str(found).strip().splitlines()[-1]


def _migrate(path: Path, migrations: Migrations) -> None:
    """Apply what is pending in one transaction, after a copy of a file that holds anything."""
    with closing(connect(path)) as connection:
        tables = tables_of(connection)

        def pending() -> str:
            # Asked under the lock: another process may have come first.
            names = [migration.name for migration in migrations.pending(tables)]
            return f"-before-{names[0]}" if names and tables.table_names() else ""

        if migrations.pending(tables):
            with copied(connection, path, pending), taking_long("a migration"):
                _apply(path, tables, migrations)


def _apply(path: Path, tables: SqliteUtils, migrations: Migrations) -> None:
    """Apply what is pending, one after the other, so that it is known which fails."""
    names = [migration.name for migration in migrations.pending(tables)]
    for name, following in zip_longest(names, names[1:]):
        try:
            migrations.apply(tables, stop_before=following)
        except Exception as error:
            raise FailedMigration(path, name, error) from error


@contextmanager
def copied(connection: Connection, path: Path, suffix: Callable[[], str]) -> Iterator[Path | None]:
    """Make all that is done in the context one commit, or nothing, with a copy of the file at `path` from before it.

    The copy is made under the lock of that commit; with `suffix` at the end of its name, and none where that is empty.
    Where nothing was changed it goes again: what is tried over and over keeps none.
    """
    kept = None
    with closing(open_reading(path, BUSY_SECONDS)) as watching:
        before = _version_of(watching)
        try:
            with transaction(connection):
                kept = keep(path, ending) if (ending := suffix()) else None
                yield kept.path if kept is not None else None
        except BaseException as error:
            # A migration may have committed a part by itself, or the disk may have failed as it was taken back.
            if kept is not None and "I/O" not in str(error) and _version_of(watching) == before:
                kept.drop()
            elif kept is not None:
                logger.error("A part of what has failed may be in the file. What was there before is in %s.", kept.path)
            raise


def _version_of(watching: Connection) -> int:
    """Another number than before when another connection has committed."""
    version: int = watching.execute("PRAGMA data_version").fetchone()[0]
    return version


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """Make all that is done in the context one commit, or nothing; no other program writes meanwhile."""
    begin(connection, BUSY_SECONDS)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A full disk has ended it already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def begin(connection: Connection, seconds: float) -> None:
    """Begin a transaction that writes, as soon as no other program has one; waits at most so many seconds."""
    until_unlocked(connection, lambda: connection.execute("BEGIN IMMEDIATE"), seconds)


def until_unlocked(connection: Connection, attempt: Callable[[], Any], seconds: float) -> None:
    """Try what needs the lock on the file until no other program has it, at most so many seconds.

    SQLite itself tries ever more seldom, up to ten times a second: it would not get the lock from a program that writes
    without a pause.
    """
    end = time.monotonic() + seconds
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                attempt()
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > end:
                    raise
            time.sleep(0.0005)
    finally:
        connection.execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}")


db = Database()
