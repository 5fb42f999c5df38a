"""What a start does before the file is opened: directory and file are made, checked, locked and migrated."""

import logging
import os
import shlex
from contextlib import closing
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has none.
    fcntl = None  # type: ignore[assignment]

from sqlite_utils import Migrations
from sqlite_utils.utils import sqlite3

from app.database import newer_schema
from app.database.copies import (
    BACKUPS,
    newest_saved,
    restore_command,
    sweep,
)
from app.database.integrity.file_identity import number_of
from app.database.integrity.open_files import held
from app.database.integrity.overwritten_mark import is_marked, marked_by, unmark
from app.database.kept_copies import newest, thin
from app.database.run_migrations import NewerFile, migrate, unknown_migrations
from app.database.sqlite_connections import (
    SAFE_FOR_SEVERAL,
    Connection,
    UnusableDatabase,
    open_existing,
)

logger = logging.getLogger(__name__)

FILE_NAME = "app.db"
# A start checks the file for at most this many steps of SQLite's machine (about 0.1 s), so that a file of any size
# opens at once; a small file is checked whole.
CHECK_STEPS = 2_000_000
CHECK_STRIDE = 10_000


class UnusableDirectory(UnusableDatabase):
    """The directory cannot hold the file; the message says why and what to do."""


class SeveralProcesses(UnusableDatabase):
    """This SQLite must not serve the file from several processes; the message says why and what to do."""


def prepare(
    directory: Path, migrations: Migrations, *, is_in_use: bool = False, served: str = "", accepts_newer: bool = False
) -> Path:
    """Make the directory and the file ready: private, checked, migrated, with a copy kept from before a migration.

    `served` is the number of the file that this server has served so far; it has to be that file still. With
    `is_in_use`, another process uses the file and has checked it, so it is not checked for damage again. With
    `accepts_newer`, it may have migrations that this code does not know. Returns the path of the file.
    Raises UnusableDatabase, with the file as it was.
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
    _make_private_file(path)
    sweep(directory)
    thin(directory)
    try:
        _check(path, migrations, is_in_use, accepts_newer)
        migrate(path, migrations)
    except sqlite3.Error as error:
        raise UnusableDatabase(f"{path} cannot be opened: {error}.") from error
    except OSError as error:
        raise UnusableDatabase(
            f"{path} cannot be brought up to date, as no copy of it can be kept first: {error.strerror} "
            f"({error.filename}). It was not touched. Mend that, then start again."
        ) from error
    return path


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


def _make_private_file(path: Path) -> None:
    """Make an empty file where there is none, and close it to others. Raises UnusableDatabase."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        os.chmod(path, 0o600)
    except OSError as error:
        raise UnusableDatabase(
            f"{path} cannot be used: {error.strerror}. Give it to the account that runs this, or choose another "
            "directory with --data."
        ) from error


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
    bring_back = f" The newest copy of what was there: {restore_command(path.parent, copy)}" if copy else ""
    logger.warning("%s was written over while it was served, and is used as it is now.%s", path, bring_back)


def _say_what_was_saved(directory: Path) -> None:
    """Say that the data begin empty where a copy was saved of those that were lost."""
    saved = newest_saved(directory)
    if saved is not None:
        logger.warning(
            "There is no data in %s, so it begins empty. A copy of what was there: %s",
            directory,
            restore_command(directory, saved),
        )


def _check(path: Path, migrations: Migrations, is_in_use: bool, accepts_newer: bool) -> None:
    """Raises UnusableDatabase for a file that is corrupt, or newer than this code; reads only."""
    if path.stat().st_size == 0:
        return
    with closing(open_existing(path)) as connection:
        try:
            problem = None if is_in_use else _first_problem(connection)
            unknown = [] if accepts_newer else unknown_migrations(connection, migrations)
        except sqlite3.OperationalError:
            # Locked, say: that is no damage.
            raise
        except sqlite3.DatabaseError as error:
            problem = str(error)
        if problem:
            raise UnusableDatabase(
                f"{path} is damaged ({problem}). It was not touched. Put a backup in its place with "
                f"{restore_command(path.parent, 'FILE')} (see {path.parent / BACKUPS}), or save what can be read "
                f"with: sqlite3 {shlex.quote(str(path))} .recover"
            )
        if unknown:
            raise NewerFile(path, unknown, newer_schema.copy_before(path, migrations))


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
