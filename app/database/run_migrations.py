"""Migrations: those that a file has, and those that it lacks, which are applied with a copy kept from before."""

import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import zip_longest
from pathlib import Path

from sqlite_utils import Database as SqliteUtils
from sqlite_utils import Migrations

from app.database import newer_schema
from app.database.copies import keep, restore_command
from app.database.sqlite_connections import (
    Connection,
    UnusableDatabase,
    connect,
    open_reading,
    tables_of,
    transaction,
)
from server.workers.stalled_loop import taking_long

logger = logging.getLogger(__name__)


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
        before = f" Or take the copy from before: {restore_command(path.parent, copy)}" if copy is not None else ""
        super().__init__(
            f"{path} was written by a newer version of this app (it has {listed}, which this version does not know). "
            f"It was not touched. Update the app, or choose another directory with --data.{before}"
        )


def unknown_migrations(connection: Connection, migrations: Migrations) -> list[str]:
    """The migrations that a file has and this code does not, in their order: a newer version has written it."""
    known = newer_schema.known(migrations)
    return [name for name in newer_schema.applied(connection, migrations) if name not in known]


def migrate(path: Path, migrations: Migrations) -> None:
    """Apply the pending migrations in one transaction. If the file holds tables, a copy of it is kept before."""
    with closing(connect(path)) as connection:
        tables = tables_of(connection)

        def pending() -> str:
            # Asked again under the lock: another process may have applied them meanwhile.
            names = [migration.name for migration in migrations.pending(tables)]
            return f"-before-{names[0]}" if names and tables.table_names() else ""

        if migrations.pending(tables):
            with copied(connection, path, pending), taking_long("a migration"):
                _apply(path, tables, migrations)


@contextmanager
def copied(connection: Connection, path: Path, suffix: Callable[[], str]) -> Iterator[Path | None]:
    """A transaction around the context, with a copy of the file at `path` from before it; gives the path of the copy.

    The copy is made while the transaction has the file locked. `suffix`, called then, gives the end of its name, or an
    empty text for no copy. If the context fails, the copy is deleted again, so that repeated attempts leave none.
    """
    kept = None
    with closing(open_reading(path, waits=True)) as watching:
        before = _version_of(watching)
        try:
            with transaction(connection):
                kept = keep(path, ending) if (ending := suffix()) else None
                yield kept.path if kept is not None else None
        except BaseException as error:
            # A migration may have committed a part by itself, or the disk may have failed during the rollback.
            if kept is not None and "I/O" not in str(error) and _version_of(watching) == before:
                kept.drop()
            elif kept is not None:
                logger.error(
                    "A part of the change that failed may be in the file. The data from before it are in %s.", kept.path
                )
            raise


def _apply(path: Path, tables: SqliteUtils, migrations: Migrations) -> None:
    """Apply the pending migrations one by one, so that the error names the one that failed."""
    names = [migration.name for migration in migrations.pending(tables)]
    for name, following in zip_longest(names, names[1:]):
        try:
            migrations.apply(tables, stop_before=following)
        except Exception as error:
            raise FailedMigration(path, name, error) from error


def _version_of(watching: Connection) -> int:
    """Another number than before when another connection has committed."""
    version: int = watching.execute("PRAGMA data_version").fetchone()[0]
    return version
