"""Checks of `python3 server.py doctor` that need the app: its SQLite and its data file. They change nothing."""

from contextlib import closing
from pathlib import Path

from sqlite_utils.utils import sqlite3

from app.database.copies import BACKUPS, restore_command
from app.database.integrity.open_files import held
from app.database.integrity.overwritten_mark import marked_by
from app.database.preparation import FILE_NAME
from app.database.run_migrations import unknown_migrations
from app.database.sqlite_connections import SAFE_FOR_SEVERAL, open_unchanged, tables_of
from app.migrations import migrations
from server.commands.doctor import Finding


def findings(data: Path, workers: int) -> list[Finding]:
    """All of them, for a server with so many workers."""
    return [sqlite(workers), file(data / FILE_NAME)]


def sqlite(workers: int) -> Finding:
    """Whether this SQLite may serve the file from so many processes."""
    name = f"SQLite {sqlite3.sqlite_version}"
    if sqlite3.sqlite_version_info >= SAFE_FOR_SEVERAL:
        return Finding(f"{name}, for any number of workers")
    if workers == 1:
        return Finding(f"{name}, for one worker")
    return Finding(
        f"{name} can damage a file that several processes write",
        "leave out --workers, or get 3.51.3 or later (pip install pysqlite3)",
    )


def file(path: Path) -> Finding:
    """Whether the file is whole, and written by a version that this code knows."""
    if process := marked_by(path):
        return Finding(
            f"{path} was written over while the server {process} has it open",
            "end that server; then start it with what is in the file now, or `restore` a copy first",
        )
    if (lost := held(path)) is not None:
        return Finding(
            f"{path} was deleted, moved or replaced while the server {lost.process} has it open",
            "save a copy with `python3 server.py backup FILE`, start that server again, and `restore` the copy",
        )
    if not path.exists():
        return Finding(f"{path}: made at the first start")
    try:
        with closing(open_unchanged(path)) as connection:
            found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(str(found).strip().splitlines()[-1])
            unknown = unknown_migrations(connection, migrations)
            pending = migrations.pending(tables_of(connection))
    except sqlite3.OperationalError as error:
        return Finding(f"{path} cannot be read ({error})", "end the program that has it locked, then look again")
    except sqlite3.DatabaseError as error:
        return Finding(
            f"{path} is damaged ({error})",
            f"run `{restore_command(path.parent, 'FILE')}`, see {path.parent / BACKUPS}",
        )
    if unknown:
        return Finding(f"{path} was written by a newer version of this app (it has “{min(unknown)}”)", "update the app")
    return Finding(f"{path}: whole" + (", brought up to date at the next start" if pending else ""))
