"""Connections to a SQLite file, with the pragmas of this app, and transactions on them."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlite_utils import Database as SqliteUtils
from sqlite_utils.utils import sqlite3

Connection = sqlite3.Connection
Row = sqlite3.Row

# The SQL function that tells the size of a text. `octet_length` does not read the text; SQLite has it from 3.43 on.
SIZE = "octet_length" if sqlite3.sqlite_version_info >= (3, 43) else "length"
# A column in SQL, with bytes as text: no column of ours keeps bytes, but other programs may write them.
TEXT = "iif(typeof({0}) = 'blob', CAST({0} AS TEXT), {0})"
# The present moment in SQL, as every table keeps it: UTC, ISO 8601.
NOW = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
# How long a statement waits for another program to end its transaction.
BUSY_SECONDS = 5
# Before this version, two processes that reset the write-ahead log at once can damage the file
# (https://www.sqlite.org/wal.html, “The WAL-Reset Bug”).
SAFE_FOR_SEVERAL = (3, 51, 3)


class UnusableDatabase(Exception):
    """The file cannot be used and was not touched; the message says why and what to do."""


def connect(path: Path) -> Connection:
    """A connection with the pragmas of this app; transactions are begun and ended by hand."""
    connection = _open(path, BUSY_SECONDS)
    _keep_log(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def open_reading(path: Path, *, waits: bool) -> Connection:
    """A connection that cannot write; with `waits` it waits for a lock of another program."""
    connection = _open(path, BUSY_SECONDS if waits else 0)
    connection.execute("PRAGMA query_only = ON")
    return connection


def open_existing(path: Path) -> Connection:
    """A plain connection that cannot write, to a file that is there: it makes none."""
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)


def open_unchanged(path: Path) -> Connection:
    """The same, and it leaves nothing beside the file that was not there before."""
    if any(Path(f"{path}{ending}").exists() for ending in ("-wal", "-journal")):
        return open_existing(path)
    return sqlite3.connect(f"{path.resolve().as_uri()}?immutable=1", uri=True)


def read_once(connection: Connection) -> None:
    """Read something: a connection opens the log and its index with its first read."""
    connection.execute("SELECT 1 FROM sqlite_schema").fetchall()


def open_value(connection: Connection, table: str, column: str, id: int) -> Any:
    """A text or a blob as a file of bytes, to be read piece by piece and closed.

    While a query is under way on the connection, the bytes are of the same moment as that query.
    """
    # Python's sqlite3 and pysqlite3 call it differently.
    if hasattr(connection, "blobopen"):
        return connection.blobopen(table, column, id, readonly=True)
    return connection.open_blob(table, column, id, True)  # type: ignore[attr-defined]


def tables_of(connection: Connection) -> SqliteUtils:
    """The connection as a database of sqlite-utils, without its plugins: looking for them takes 20 ms of each start."""
    return SqliteUtils(connection, execute_plugins=False)


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """A transaction around the context, in which no other program writes: committed at its end, undone on an error."""
    begin(connection, BUSY_SECONDS)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # On a full disk SQLite has rolled back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def begin(connection: Connection, seconds: float) -> None:
    """Begin a transaction that writes, waiting at most `seconds` for one of another program to end."""
    until_unlocked(connection, lambda: connection.execute("BEGIN IMMEDIATE"), seconds)


def until_unlocked(connection: Connection, attempt: Callable[[], Any], seconds: float) -> None:
    """Call `attempt`, which needs the lock on the file, until no other program holds that; for at most `seconds`.

    SQLite's own waiting pauses up to 0.1 s between two tries, so it hardly ever gets the lock while another program
    writes without a pause.
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


def _open(path: Path, busy_seconds: float) -> Connection:
    connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    # A text that another program wrote in another encoding must not keep the rest of a list from being shown.
    connection.text_factory = lambda text: text.decode(errors="replace")
    return connection


def _keep_log(connection: Connection) -> None:
    """Switch the file to a write-ahead log; it stays so.

    SQLite itself does not wait for another process that switches it at the same time.
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
