"""Backups of the file, made and restored while the app is served from it.

A backup is one file by itself, checked, for its owner alone. A restore comes into the live file as one commit, so open
pages show it like any other; what was there before is kept beside it.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlite_utils.utils import sqlite3

from app.backup.copy_rows import made_anew
from app.backup.foreign_file import (
    damage,
    largest_id,
    quoted,
    shown,
)
from app.backup.replace_data import is_in_use, page_size, replace
from app.backup.staging_process import NEW
from app.database.copies import (
    check_room,
    copy_file,
    new_backup,
    new_saved,
    placed,
    restore_command,
    room,
    size_of,
    sweep,
)
from app.database.integrity.open_files import Held, copy_held, held
from app.database.integrity.overwritten_mark import marked_by
from app.database.kept_copies import listed, swept, thin
from app.database.preparation import FILE_NAME, make_private
from app.database.run_migrations import unknown_migrations
from app.database.sqlite_connections import (
    SAFE_FOR_SEVERAL,
    Connection,
    UnusableDatabase,
    open_unchanged,
    tables_of,
)
from app.imports.reading.values.values import LARGEST_ID
from app.migrations import migrations

ROOT = Path(__file__).resolve().parents[2]
# How long a file may take to be read: so long, and a second more for so many bytes of it.
STAGING_SECONDS = 60
STAGED_BYTES = 500_000
# How many tables, and of what is left out, are named.
LISTED = 30


# What `server.py backup` offers beside making one.
__all__ = ["backup", "listed", "restore", "swept"]


class BackupError(UnusableDatabase):
    """There is no backup, or nothing was restored; the message says why and what to do."""


def backup(directory: Path, copy: Path | None = None) -> str:
    """Copy the data to `copy`, a new file, or to one named after the time; what is in the copy, in words."""
    path = directory / FILE_NAME
    lost = held(path)
    if not lost and not path.exists():
        raise BackupError(f"There is no data in {directory}: name its directory with --data.")
    with _said_of(path):
        sweep(directory)
        target = copy or (new_saved(directory) if lost else new_backup(directory))
        with placed(target) as made:
            if lost:
                _copy_held(lost, made)
            else:
                copy_file(path, made)
            with closing(open_unchanged(made)) as connection:
                _check(path, connection)
                lines = [_rows(connection), *_too_large(connection)]
        thin(directory)
        lines.insert(0, f"The backup is {target} ({target.stat().st_size:,} bytes).")
    if lost:
        lines.append(
            f"It holds what the server {lost.process} has open, as {path} was deleted, moved or replaced since. Start "
            f"that server again, and bring the copy back: {restore_command(directory, target)}"
        )
    return "\n".join(lines)


def _copy_held(lost: Held, made: Path) -> None:
    """Copy what a server has open to one file, as any other copy is."""
    check_room(made.parent, lost.file.stat().st_size + lost.log.stat().st_size)
    copy_held(lost, made)
    with closing(sqlite3.connect(made)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")


def restore(directory: Path, file: Path) -> str:
    """Make the data what it is in `file`, and keep what it was before; what it is now, in words."""
    make_private(directory)
    path = directory / FILE_NAME
    if process := marked_by(path):
        raise BackupError(
            f"{path} was written over while the server {process} has it open: end that server, then restore again. "
            "Nothing was changed."
        )
    if sqlite3.sqlite_version_info < SAFE_FOR_SEVERAL and is_in_use(path):
        raise BackupError(
            f"SQLite {sqlite3.sqlite_version} can damage a file that several processes write: end what serves "
            f"{directory}, then restore again."
        )
    if not file.is_file():
        raise BackupError(f"{file} is no file. Nothing was changed. Name one that this app has written.")
    if path.exists() and path.samefile(file):
        raise BackupError(f"{file} is the data itself. Nothing was changed. Name a backup of it.")
    with _said_of(path), room(directory) as making:
        left_out = _staged(file, making, page_size(path))
        with closing(sqlite3.connect(making / NEW, isolation_level=None)) as new:
            lines = [f"The data in {directory} is now that of {file}.", _rows(new), *_half_imported(new)]
            before = replace(path, new)
        thin(directory)
    if left_out:
        lines.append(f"Left out, as it is not only rows: {_listed(left_out)}.")
    if before:
        lines.append(f"What was there before is kept in {before}.")
    if (lost := held(path)) is not None:
        lines.append(f"The server {lost.process} still shows what it had open before: start it again.")
    return "\n".join(lines)


def _staged(file: Path, making: Path, size: int) -> list[str]:
    """Have a process make our own file of one from outside; what was left out, in words. Raises BackupError."""
    seconds = STAGING_SECONDS + size_of(file) // STAGED_BYTES
    command = [sys.executable, "-m", "app.backup.staging_process", str(file.absolute()), str(making), str(size)]
    try:
        ended = subprocess.run(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, encoding="utf-8", timeout=seconds
        )
    except subprocess.TimeoutExpired:
        raise BackupError(f"{file} takes longer than {seconds} s to read, so nothing was changed.") from None
    if ended.returncode:
        raise BackupError(
            f"{file} cannot be read: the process that reads it ended (exit code {ended.returncode}). Nothing was "
            "changed."
        )
    said = json.loads(ended.stdout)
    if "error" in said:
        raise BackupError(said["error"])
    left_out: list[str] = said["left_out"]
    return left_out


@contextmanager
def _said_of(file: Path) -> Iterator[None]:
    """Say of which file an error is, and what to do."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise BackupError(f"{file} cannot be copied: {error}. Nothing was changed; mend that and try again.") from error
    except sqlite3.DatabaseError as error:
        raise BackupError(damage(file, str(error))) from error
    except FileExistsError as error:
        raise BackupError(f"{error.filename} is there already, and was left as it is: name another file.") from error
    except OSError as error:
        raise BackupError(
            f"No copy of {file} can be made in {error.filename}: {error.strerror}. Nothing was changed. Mend that, or "
            "name another place."
        ) from error


def _check(file: Path, copy: Connection) -> None:
    """Raises BackupError where the copy of `file` is damaged, newer than this code, or of another app."""
    found = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise BackupError(damage(file, str(found).strip().splitlines()[-1]))
    unknown = unknown_migrations(copy, migrations)
    if unknown:
        raise BackupError(
            f"{file} was written by a newer version of this app (it has “{min(unknown)}”, which this version does not "
            "know). Nothing was changed. Update the app, then try again."
        )
    if not migrations.applied(tables_of(copy)):
        raise BackupError(f"{file} is no file of this app. Nothing was changed. Name one that it has written.")


def _tables(connection: Connection) -> list[str]:
    """The tables without those that SQLite and the search keep for themselves."""
    tables = connection.execute(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' "
        "AND substr(name, 1, 1) <> '_' AND name NOT LIKE 'sqlite%' ORDER BY name"
    )
    return [name for (name,) in tables]


def _too_large(connection: Connection) -> list[str]:
    """What restore would refuse, in words: ids that leave none for the rows that come."""
    found = [(name, largest_id(connection, name)) for name in _tables(connection)]
    return [
        f"It cannot be restored as it is: a row of “{shown(name)}” has the id {largest}, and none may be larger than "
        f"{LARGEST_ID}. Change that id, with sqlite3 for instance, and make another backup."
        for name, largest in found
        if largest > LARGEST_ID
    ]


def _half_imported(connection: Connection) -> list[str]:
    """How many of the rows do not stay, in words, as their import had not ended."""
    count = connection.execute(
        "SELECT count(*) FROM imported_rows JOIN imports ON import_id = imports.id "
        "WHERE state IN ('writing', 'undoing')"
    ).fetchone()[0]
    if not count:
        return []
    return [
        f"{count:,} of these rows are taken out again as soon as the app serves the data: the backup was made in the "
        "middle of their import. Import that file again."
    ]


def _rows(connection: Connection) -> str:
    """How many rows the tables hold, but those that hold what is made of the rows of others."""
    derived = made_anew(connection)
    counts = [
        f"{connection.execute(f'SELECT count(*) FROM {quoted(name)}').fetchone()[0]:,} in {shown(name)}"
        for name in _tables(connection)
        if name.lower() not in derived
    ]
    return f"Rows: {_listed(counts)}."


def _listed(words: list[str]) -> str:
    more = f" and {len(words) - LISTED} more" if len(words) > LISTED else ""
    return ", ".join(words[:LISTED]) + more
