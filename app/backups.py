"""Backups of the file, made and restored while the app is served from it.

A backup is one file by itself, checked, for its owner alone. A restore comes into the live file as one commit, so open
pages show it like any other; what was there before is kept beside it.
"""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlite_utils.utils import sqlite3

from app.db import (
    BACKUPS,
    FILE_NAME,
    SAFE_FOR_SEVERAL,
    Connection,
    UnusableDatabase,
    bring_up_to_date,
    connect,
    copy_pages,
    fcntl,
    make_private,
    open_unchanged,
    tables_of,
    unknown_migrations,
)
from app.db import backup as copy_file
from app.migrations import migrations

# Who is signed in, and who looks on, is a matter of the present: a restore does not bring back who has signed out.
PRESENT = ("sessions", "presence")
# The byte of the log's index on which every open connection has a lock (UNIX_SHM_DMS in SQLite's os_unix.c).
IN_USE_BYTE = 128


class BackupError(UnusableDatabase):
    """There is no backup, or nothing was restored; the message says why and what to do."""


def backup(directory: Path, copy: Path | None = None) -> str:
    """Copy the data to `copy`, a new file, or to one named after the time; what is in the copy, in words."""
    path = directory / FILE_NAME
    if not path.exists():
        raise BackupError(f"There is no data in {directory}: name its directory with --data.")
    copy = copy or new_backup(directory)
    with _said_of(path), _made(copy):
        _copy(path, copy)
        with closing(open_unchanged(copy)) as connection:
            _check(path, connection)
            return f"The backup is {copy} ({copy.stat().st_size:,} bytes).\n{_rows(connection)}"


def restore(directory: Path, file: Path) -> str:
    """Make the data what it is in `file`, and keep what it was before; what it is now, in words."""
    make_private(directory)
    path = directory / FILE_NAME
    if sqlite3.sqlite_version_info < SAFE_FOR_SEVERAL and is_in_use(path):
        raise BackupError(
            f"SQLite {sqlite3.sqlite_version} can damage a file that several processes write: end what serves "
            f"{directory}, then restore again."
        )
    with TemporaryDirectory(prefix="restore-", dir=directory) as room:
        with _said_of(file), closing(open_unchanged(file)) as source, closing(sqlite3.connect(f"{room}/new")) as new:
            copy_pages(source, new)
            _check(file, new)
        with closing(connect(Path(room, "new"))) as new:
            with _said_of(file):
                bring_up_to_date(new, migrations)
            with _said_of(path):
                before = _keep_aside(path)
                _settle(new, before)
                _put(new, path)
                kept = f"\nWhat was there before is kept in {before}." if before else ""
                return f"The data in {directory} is now that of {file}.\n{_rows(new)}{kept}"


def new_backup(directory: Path, suffix: str = "") -> Path:
    """The path of a backup that is made now."""
    make_private(directory / BACKUPS)
    return directory / BACKUPS / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}{suffix}.db"


@contextmanager
def _made(copy: Path) -> Iterator[None]:
    """Have `copy` as a new file, for its owner alone; it is taken away again where it does not become whole."""
    try:
        os.close(os.open(copy, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        raise BackupError(f"{copy} is there already, and was left as it is: name another file.") from None
    except OSError as error:
        raise BackupError(f"{copy} cannot be made: {error.strerror}. Name another file.") from None
    try:
        yield
    except BaseException:
        copy.unlink()
        raise


@contextmanager
def _said_of(file: Path) -> Iterator[None]:
    """Say of which file an error of SQLite is, and what to do."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise BackupError(f"{file} cannot be copied: {error}. Nothing was changed; mend that and try again.") from error
    except sqlite3.DatabaseError as error:
        raise _damaged(file, str(error)) from error


def _damaged(file: Path, problem: str) -> BackupError:
    return BackupError(
        f"{file} is damaged, or no SQLite file ({problem}). Nothing was changed. Restore another backup with "
        f"python server.py restore FILE, or save what can be read with: sqlite3 {file} .recover"
    )


def _check(file: Path, copy: Connection) -> None:
    """Raises BackupError where the copy of `file` is damaged, newer than this code, or of another app."""
    found = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise _damaged(file, str(found).strip().splitlines()[-1])
    unknown = unknown_migrations(copy, migrations)
    if unknown:
        raise BackupError(
            f"{file} was written by a newer version of this app (it has “{min(unknown)}”, which this version does not "
            "know). Nothing was changed. Update the app, then try again."
        )
    if not migrations.applied(tables_of(copy)):
        raise BackupError(f"{file} is no file of this app. Nothing was changed. Name one that it has written.")


def _copy(path: Path, copy: Path) -> None:
    """Copy a file in use, as one file: with no log beside it, it can be read from a disk that cannot be written."""
    copy_file(path, copy)
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")


def _keep_aside(path: Path) -> Path | None:
    """Keep a copy of what is there, if anything is; what SQLite cannot read is moved away itself."""
    if not path.exists():
        return None
    aside = new_backup(path.parent, "-before-restore")
    with _made(aside):
        try:
            _copy(path, aside)
            connect(path).close()
        except sqlite3.OperationalError:
            # Locked, say, or the disk is full: that is no damage.
            raise
        except sqlite3.DatabaseError:
            _move(path, aside)
    return aside


def _move(path: Path, aside: Path) -> None:
    if is_in_use(path):
        raise BackupError(f"{path} is damaged, and a program has it open: end that program, then restore again.")
    for ending in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.replace(f"{path}{ending}", f"{aside}{ending}")
            os.chmod(f"{aside}{ending}", 0o600)


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


def _settle(new: Connection, before: Path | None) -> None:
    """Make what is restored fit the present: who is signed in and looks on stays, a half import is taken back."""
    new.execute("UPDATE imports SET state = 'undoing' WHERE state = 'writing'")
    for table in PRESENT:
        new.execute(f"DELETE FROM {table}")
    # Who is in a damaged file has to sign in again.
    with suppress(sqlite3.DatabaseError):
        new.execute("ATTACH ? AS before", [str(before or ":memory:")])
        for table in PRESENT:
            if _columns(new, "before", table) == _columns(new, "main", table):
                new.execute(f"INSERT INTO main.{table} SELECT * FROM before.{table}")
        new.execute("DETACH before")


def _columns(connection: Connection, schema: str, table: str) -> list[str]:
    return [row[0] for row in connection.execute("SELECT name FROM pragma_table_info(?, ?)", [table, schema])]


def _put(new: Connection, path: Path) -> None:
    """Make the live file what `new` is, in one commit; its log, which readers use, wants pages of its size."""
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    os.chmod(path, 0o600)
    with closing(connect(path)) as live:
        new.execute("PRAGMA journal_mode = DELETE")
        page_size = live.execute("PRAGMA page_size").fetchone()[0]
        if new.execute("PRAGMA page_size").fetchone()[0] != page_size:
            new.execute(f"PRAGMA page_size = {page_size}")
            new.execute("VACUUM")
        copy_pages(new, live)


def _rows(connection: Connection) -> str:
    """How many rows the tables hold, without those that SQLite and the search keep for themselves."""
    tables = connection.execute(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' "
        "AND substr(name, 1, 1) <> '_' AND name NOT LIKE 'sqlite%' ORDER BY name"
    ).fetchall()
    counts = [(name, connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]) for (name,) in tables]
    return "Rows: " + ", ".join(f"{count:,} in {name}" for name, count in counts) + "."
