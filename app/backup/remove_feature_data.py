"""What taking a feature out of the code does to the data: all that it kept goes in one commit, after a backup."""

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from sqlite_utils.utils import sqlite3

from app.backup.replace_data import is_in_use
from app.database.preparation import FILE_NAME
from app.database.run_migrations import copied
from app.database.sqlite_connections import (
    SAFE_FOR_SEVERAL,
    Connection,
    connect,
    tables_of,
)
from app.imports.job import UPLOADS
from app.migrations import migrations
from server.commands.project_edits import EditError, Kept


@contextmanager
def taken_out(directory: Path, kept: Kept) -> Iterator[str]:
    """Take out what a feature has kept, to be committed when the context ends well; what was done, in words.

    Raises EditError, with the data as it was.
    """
    path = directory / FILE_NAME
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        yield f"There is no data in {directory}."
        return
    except OSError as error:
        raise EditError(
            f"{path} cannot be looked at: {error.strerror}. Nothing was changed. Run this as the account that the data "
            "belongs to, or name other data with --data."
        ) from error
    if sqlite3.sqlite_version_info < SAFE_FOR_SEVERAL and is_in_use(path):
        raise EditError(
            f"SQLite {sqlite3.sqlite_version} can damage a file that several processes write: end what serves "
            f"{directory}, then try again."
        )
    uploads: list[int] = []
    try:
        with closing(connect(path)) as connection:
            if not _has(connection, kept.table):
                yield f"The data in {directory} had no table {kept.table}."
                return
            with copied(connection, path, lambda: f"-before-drop-{kept.table}") as copy:
                # What is known of it is how it is kept now.
                migrations.apply(tables_of(connection))
                uploads = _take_out(connection, kept)
                yield f"What it kept is out of {path}; a copy from before is {copy}."
    except sqlite3.Error as error:
        raise EditError(f"{path} cannot be changed: {error}. Nothing was changed; try again.") from error
    except OSError as error:
        raise EditError(
            f"No copy of {path} can be kept in {error.filename}: {error.strerror}. Nothing was changed; mend that, "
            "then try again."
        ) from error
    for id in uploads:
        # What is left is swept by the next start.
        with suppress(OSError):
            (directory / UPLOADS / str(id)).unlink(missing_ok=True)


def _has(connection: Connection, table: str) -> bool:
    found = connection.execute("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", [table]).fetchone()
    return found is not None


def _take_out(connection: Connection, kept: Kept) -> list[int]:
    """Drop the tables, and whatever else speaks of them; the imports that had brought rows."""
    for name in kept.tables:
        connection.execute(f"DROP TABLE IF EXISTS {name}")
    for table in ("row_blocks", "row_versions", "unindexed"):
        connection.execute(f"DELETE FROM {table} WHERE table_name = ?", [kept.table])
    imports = [row[0] for row in connection.execute("SELECT id FROM imports WHERE kind = ?", [kept.table])]
    for id in imports:
        connection.execute("DELETE FROM imported_rows WHERE import_id = ?", [id])
    connection.execute("DELETE FROM imports WHERE kind = ?", [kept.table])
    for name in kept.migrations:
        connection.execute(
            "DELETE FROM _sqlite_migrations WHERE migration_set = ? AND name = ?", [migrations.name, name]
        )
    for statement in kept.changes:
        connection.execute(statement)
    return imports
