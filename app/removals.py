"""What `python server.py drop` does to the data: a feature's tables and migration go in one commit, after a backup."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlite_utils.utils import sqlite3

from app.backups import BackupError, backup, is_in_use, new_backup
from app.db import FILE_NAME, SAFE_FOR_SEVERAL, Connection, UnusableDatabase, connect
from app.import_job import UPLOADS
from app.migrations import migrations


@contextmanager
def taken_out(directory: Path, table: str) -> Iterator[str]:
    """Take a feature out of the data, to be committed when the context ends well; what was done, in words.

    Raises UnusableDatabase, with the data as it was.
    """
    path = directory / FILE_NAME
    if not path.exists():
        yield f"There is no data in {directory}."
        return
    if sqlite3.sqlite_version_info < SAFE_FOR_SEVERAL and is_in_use(path):
        raise BackupError(
            f"SQLite {sqlite3.sqlite_version} can damage a file that several processes write: end what serves "
            f"{directory}, then try again."
        )
    try:
        with closing(connect(path)) as connection:
            if not _has(connection, table):
                yield f"The data in {directory} had no table {table}."
                return
            copy = new_backup(directory, f"-before-drop-{table}")
            backup(directory, copy)
            connection.execute("BEGIN IMMEDIATE")
            try:
                uploads = _take_out(connection, table)
                yield f"Its table is out of {path}; a copy from before is {copy}."
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                raise
        for id in uploads:
            (directory / UPLOADS / str(id)).unlink(missing_ok=True)
    except sqlite3.Error as error:
        raise UnusableDatabase(f"{path} cannot be changed: {error}. Nothing was changed; try again.") from error


def _has(connection: Connection, table: str) -> bool:
    found = connection.execute("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", [table]).fetchone()
    return found is not None


def _take_out(connection: Connection, table: str) -> list[int]:
    """Drop the tables, and whatever else speaks of them; the imports that had brought rows."""
    for name in (f"{table}_fts", table, f"deleted_{table}"):
        connection.execute(f"DROP TABLE IF EXISTS {name}")
    imports = [row[0] for row in connection.execute("SELECT id FROM imports WHERE kind = ?", [table])]
    for id in imports:
        connection.execute("DELETE FROM imported_rows WHERE import_id = ?", [id])
    connection.execute("DELETE FROM imports WHERE kind = ?", [table])
    connection.execute(
        "DELETE FROM _sqlite_migrations WHERE migration_set = ? AND name = ?", [migrations.name, f"create_{table}"]
    )
    return imports
