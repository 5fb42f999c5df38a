"""The file of the data replaced by another, while it is served: one commit, which open pages show like any other.

What was there before is copied while the file is locked for that commit, so each write of others that was answered is
in the copy, or came after the commit and is in the file.
"""

import os
from contextlib import closing, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has none.
    fcntl = None  # type: ignore[assignment]

from sqlite_utils.utils import sqlite3

from app.backup.foreign_file import quoted
from app.database.copies import (
    Kept,
    copy_pages,
    keep,
    new_backup,
)
from app.database.sqlite_connections import (
    BUSY_SECONDS,
    Connection,
    UnusableDatabase,
    connect,
    transaction,
    until_unlocked,
)
from app.imports.reading.values.values import LARGEST_ID

SUFFIX = "-before-restore"
# Who looks on is a matter of the present, and no part of what is restored.
PRESENT = ("presence",)
# What is said of imports that were not over.
HALF_WRITTEN = (
    "The backup was made in the middle of this import, so its rows were taken out again. Import the file again."
)
NO_UPLOAD = "The data was restored from a file, and what was uploaded is in no backup. Import the file again."
# The byte of the log's index on which every open connection has a lock (UNIX_SHM_DMS in SQLite's os_unix.c).
IN_USE_BYTE = 128


def replace(path: Path, new: Connection) -> Path | None:
    """Make the file at `path` what `new` is; where that is kept which was there before, if there was anything.

    A file that SQLite cannot read is moved away as it is. Raises UnusableDatabase, sqlite3.Error or OSError, with the
    file as it was.
    """
    try:
        return _replace(path, new)
    except sqlite3.DatabaseError as error:
        if type(error) is not sqlite3.DatabaseError:
            raise  # Locked, say, or the disk is full: that is no damage.
    aside = new_backup(path.parent, SUFFIX)
    _move(path, aside)
    _replace(path, new)
    return aside


def page_size(path: Path) -> int:
    """The size of the pages that a file needs that is to take the place of the one at `path`: it is the same, as those
    who have the file open cannot change theirs.
    """
    with suppress(sqlite3.DatabaseError):
        if path.exists() and path.stat().st_size:
            with closing(connect(path)) as connection:
                size: int = connection.execute("PRAGMA page_size").fetchone()[0]
                return size
    return 4096


def is_in_use(path: Path) -> bool:
    """Whether another process has the file open: each has a lock on the index of the log."""
    index = Path(f"{path}-shm")
    if fcntl is None or not index.exists():
        return index.exists()
    with index.open("r+b") as opened:
        try:
            fcntl.lockf(opened, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, IN_USE_BYTE)
        except OSError:
            return True
    return False


def _replace(path: Path, new: Connection) -> Path | None:
    holds_anything = path.exists() and path.stat().st_size > 0
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    os.chmod(path, 0o600)
    before: Kept | None = None

    def look_back() -> None:
        nonlocal before
        before = keep(path, SUFFIX) if holds_anything else None
        _settle(new, path)

    def put() -> None:
        nonlocal before
        try:
            copy_pages(new, live, look_back)
        except BaseException:
            if before is not None:
                before.drop()
                before = None
            raise

    with closing(connect(path)) as live:
        until_unlocked(live, put, BUSY_SECONDS)
        live.execute("PRAGMA wal_checkpoint(PASSIVE)")  # The next write would have to do it, and somebody waits for it.
    return before.path if before is not None else None


def _settle(new: Connection, path: Path) -> None:
    """Have what is of the present stay as it is: who looks on, and which ids were given already."""
    with transaction(new), closing(sqlite3.connect(path)) as live:
        _settle_imports(new, live)
        for table in PRESENT:
            new.execute(f"DELETE FROM {table}")
        with suppress(sqlite3.DatabaseError):
            for table in PRESENT:
                columns = _columns(live, table)
                if columns and columns == _columns(new, table):
                    row = ", ".join("?" * len(columns))
                    new.executemany(f"INSERT INTO {table} VALUES ({row})", live.execute(f"SELECT * FROM {table}"))
            # What an open page speaks of by its id must not be another row from now on.
            given = [(_given(live, *row), row[0]) for row in live.execute("SELECT name, seq FROM sqlite_sequence")]
            new.executemany("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", given)


def _settle_imports(new: Connection, live: Connection) -> None:
    """Have each import that is not over end, as its upload is not in the file: the one of its number here is another's.

    One that is here as well, the same in every column, goes on. What was half written is taken back.
    """
    new.execute("UPDATE imports SET state = 'undoing', process = 0, error = ? WHERE state = 'writing'", [HALF_WRITTEN])
    names = ", ".join(quoted(name) for name in _columns(new, "imports"))
    asked = f"SELECT {names} FROM imports WHERE state IN ('checking', 'ready')"
    here: set[tuple[object, ...]] = set()
    with suppress(sqlite3.DatabaseError):
        here = set(live.execute(asked))
    ids = [
        row[0]
        for row in new.execute(f"SELECT id, {names} FROM imports WHERE state IN ('checking', 'ready')")
        if row[1:] not in here
    ]
    new.executemany(
        "UPDATE imports SET state = 'failed', process = 0, error = ? WHERE id = ?", [(NO_UPLOAD, id) for id in ids]
    )


def _given(live: Connection, table: str, number: object) -> int:
    """Up to which id a table has given its ids: what SQLite counts, or where that was used up, what its rows say."""
    if isinstance(number, int) and number <= LARGEST_ID:
        return number
    if not _columns(live, table):
        return 0
    sql = f"SELECT coalesce(max(rowid), 0) FROM {quoted(table)} WHERE rowid <= ?"
    return int(live.execute(sql, [LARGEST_ID]).fetchone()[0])


def _columns(connection: Connection, table: str) -> list[str]:
    return [row[0] for row in connection.execute("SELECT name FROM pragma_table_info(?)", [table])]


def _move(path: Path, aside: Path) -> None:
    if is_in_use(path):
        raise UnusableDatabase(f"{path} is damaged, and a program has it open: end that program, then restore again.")
    for ending in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.replace(f"{path}{ending}", f"{aside}{ending}")
            os.chmod(f"{aside}{ending}", 0o600)
