"""Backups of the file, made and restored while the app is served from it.

A backup is one file by itself, checked, for its owner alone. A restore comes into the live file as one commit, so open
pages show it like any other; what was there before is kept beside it.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlite_utils.utils import sqlite3

from app.copies import copy_file, copy_pages, new_backup, placed, room
from app.db import (
    FILE_NAME,
    SAFE_FOR_SEVERAL,
    Connection,
    UnusableDatabase,
    make_private,
    open_unchanged,
    tables_of,
    transaction,
    unknown_migrations,
)
from app.migrations import migrations
from app.replacing import is_in_use, page_size, replace


class BackupError(UnusableDatabase):
    """There is no backup, or nothing was restored; the message says why and what to do."""


def backup(directory: Path, copy: Path | None = None) -> str:
    """Copy the data to `copy`, a new file, or to one named after the time; what is in the copy, in words."""
    path = directory / FILE_NAME
    if not path.exists():
        raise BackupError(f"There is no data in {directory}: name its directory with --data.")
    with _said_of(path):
        target = copy or new_backup(directory)
        with placed(target) as made:
            copy_file(path, made)
            with closing(open_unchanged(made)) as connection:
                _check(path, connection)
                rows = _rows(connection)
        return f"The backup is {target} ({target.stat().st_size:,} bytes).\n{rows}"


def restore(directory: Path, file: Path) -> str:
    """Make the data what it is in `file`, and keep what it was before; what it is now, in words."""
    make_private(directory)
    path = directory / FILE_NAME
    if sqlite3.sqlite_version_info < SAFE_FOR_SEVERAL and is_in_use(path):
        raise BackupError(
            f"SQLite {sqlite3.sqlite_version} can damage a file that several processes write: end what serves "
            f"{directory}, then restore again."
        )
    with (
        _said_of(file),
        room(directory) as making,
        closing(sqlite3.connect(making / "new", isolation_level=None)) as new,
    ):
        with closing(open_unchanged(file)) as source:
            copy_pages(source, new)
        _check(file, new)
        with transaction(new):
            migrations.apply(tables_of(new))
        size = page_size(path)
        if new.execute("PRAGMA page_size").fetchone()[0] != size:
            new.execute("PRAGMA journal_mode = DELETE")
            new.execute(f"PRAGMA page_size = {size}")
            new.execute("VACUUM")
        with _said_of(path):
            before = replace(path, new)
        kept = f"\nWhat was there before is kept in {before}." if before else ""
        return f"The data in {directory} is now that of {file}.\n{_rows(new)}{kept}"


@contextmanager
def _said_of(file: Path) -> Iterator[None]:
    """Say of which file an error is, and what to do."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise BackupError(f"{file} cannot be copied: {error}. Nothing was changed; mend that and try again.") from error
    except sqlite3.DatabaseError as error:
        raise _damaged(file, str(error)) from error
    except FileExistsError as error:
        raise BackupError(f"{error.filename} is there already, and was left as it is: name another file.") from error
    except OSError as error:
        raise BackupError(
            f"No copy of {file} can be made in {error.filename}: {error.strerror}. Nothing was changed. Mend that, or "
            "name another place."
        ) from error


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


def _rows(connection: Connection) -> str:
    """How many rows the tables hold, without those that SQLite and the search keep for themselves."""
    tables = connection.execute(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' "
        "AND substr(name, 1, 1) <> '_' AND name NOT LIKE 'sqlite%' ORDER BY name"
    ).fetchall()
    counts = [(name, connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]) for (name,) in tables]
    return "Rows: " + ", ".join(f"{count:,} in {name}" for name, count in counts) + "."
