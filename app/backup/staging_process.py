"""The process that makes our own file of one from outside: `python -m app.backup.staging_process FILE ROOM PAGE_SIZE`.

The schema is made by our own migrations, those that the file says it has; its rows are copied into that, and then it is
brought up to date. Plain tables and columns that people have added come along, made anew from their names and types.
What else there is (triggers, views, virtual tables, rules) is left out, and named.

It is a process of its own so that a file can neither hold up the command nor take the machine's memory. In ROOM, an
empty directory, it makes NEW, and writes one line of JSON to its standard output: {"left_out": […]}, or {"error": "…"}.
"""

import json
import os
import sys
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path

from sqlite_utils import Migrations
from sqlite_utils.utils import sqlite3

from app.backup import foreign_file
from app.backup.copy_rows import check_deleted, fill
from app.backup.foreign_file import (
    Table,
    UnusableFile,
    quoted,
    shown,
)
from app.database.sqlite_connections import Connection, tables_of, transaction
from app.imports.import_record import odd_columns
from app.migrations import migrations
from app.records.indexing import note_all
from server.process_limits import limit_this_process

NEW = "new.db"
COPY = "foreign.db"
# For a system that has no limit of memory for a process.
SQLITE_BYTES = 256 * 1024**2


def main() -> int:
    """Make the new file."""
    limit_this_process()
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(f"PRAGMA hard_heap_limit = {SQLITE_BYTES}")
    file, room, page_size = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    try:
        said: dict[str, object] = {"left_out": stage(file, room, page_size)}
    except UnusableFile as error:
        said = {"error": f"{file} {error}"}
    except sqlite3.OperationalError as error:
        said = {"error": f"{file} cannot be copied: {shown(error, 200)}. Nothing was changed; mend that and try again."}
    except sqlite3.DatabaseError as error:
        said = {"error": foreign_file.damage(file, shown(error, 200))}
    except OSError as error:
        said = {"error": f"{file} cannot be copied: {error.strerror}. Nothing was changed; mend that and try again."}
    except MemoryError:
        said = {"error": f"{file} takes more memory to read than any file of this app. Nothing was changed."}
    with suppress(BrokenPipeError):  # The command has ended, and nobody listens.
        os.write(sys.stdout.fileno(), f"{json.dumps(said)}\n".encode())
    return 0


def stage(file: Path, room: Path, page_size: int) -> list[str]:
    """Make NEW in an empty directory of what is in `file`; what was left out, in words.

    Raises UnusableFile or sqlite3.Error.
    """
    odd = foreign_file.copied(file, room / COPY)
    theirs = foreign_file.tables(room / COPY)
    applied = _applied(room / COPY, theirs)
    with closing(sqlite3.connect(room / NEW, uri=True, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size = {page_size}")
        # Nobody looks at half a file, and it is synced where it is copied to.
        connection.execute("PRAGMA journal_mode = MEMORY")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA trusted_schema = OFF")
        _only(applied).apply(tables_of(connection))
        connection.execute("ATTACH ? AS source", [foreign_file.address(room / COPY)])
        with transaction(connection):
            left_out = fill(connection, theirs, odd)
        connection.execute("DETACH source")
        with transaction(connection):
            migrations.apply(tables_of(connection))
            note_all(connection)
            check_deleted(connection)
            _give_versions(connection)
            left_out += _leave_out_imports(connection)
        found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(found)
    return left_out


def _applied(copy: Path, theirs: Mapping[str, Table]) -> set[str]:
    """The migrations that the file has. Raises UnusableFile where it is none of ours, or newer than this code."""
    found: set[str] = set()
    table = theirs.get(Migrations.migrations_table)
    if table and table.data.keys() >= {"migration_set", "name"}:
        with closing(foreign_file.read_only(copy)) as connection:
            sql = f"SELECT name FROM {Migrations.migrations_table} NOT INDEXED WHERE migration_set = ?"
            found = {str(name) for (name,) in connection.execute(sql, [migrations.name])}
    if not found:
        raise UnusableFile("is no file of this app. Nothing was changed. Name one that it has written.")
    unknown = found - {migration.name for migration in _all()}
    if unknown:
        raise UnusableFile(
            f"was written by a newer version of this app (it has “{shown(min(unknown))}”, which this version does not "
            "know). Nothing was changed. Update the app, then try again."
        )
    return found


def _all() -> list[Migrations._Migration]:
    """Every migration of ours."""
    with closing(sqlite3.connect(":memory:")) as connection:
        return migrations.pending(tables_of(connection))


def _only(names: set[str]) -> Migrations:
    """Of our migrations only these."""
    some = Migrations(migrations.name)
    for migration in _all():
        if migration.name in names:
            some(name=migration.name, transactional=migration.transactional)(migration.fn)
    return some


def _leave_out_imports(connection: Connection) -> list[str]:
    """Leave out the imports that make no sense, with what they know of rows; which those were, in words."""
    rows = connection.execute("SELECT * FROM imports")
    names = [each[0] for each in rows.description]
    odd = {row[0]: odd_columns(dict(zip(names, row, strict=True))) for row in rows}
    odd = {id: found for id, found in odd.items() if found}
    for table, key in (("imports", "id"), ("imported_rows", "import_id")):
        connection.executemany(f"DELETE FROM {table} WHERE {key} = ?", [(id,) for id in odd])
    return [f"import {id} (what its column “{found[0]}” holds makes no sense)" for id, found in odd.items()]


def _give_versions(connection: Connection) -> None:
    """Give a version to each row that was never changed.

    A form that was filled in before from another row of the same id must not be written over it. What is still as an
    import has made it is so with its new version.
    """
    known = "SELECT 1 FROM row_versions WHERE table_name = ? AND id = row_id"
    asked = "SELECT tbl_name FROM sqlite_schema WHERE type = 'trigger' AND name = tbl_name || '_version_update'"
    for (table,) in connection.execute(asked).fetchall():
        # Of a number that several imports have used, only the last has its row.
        made = f"""
            import_id IN (SELECT id FROM imports WHERE kind = ?) AND row_id IN (SELECT id FROM {quoted(table)})
            AND NOT EXISTS ({known})
        """
        connection.execute(f"UPDATE imported_rows SET version = random() WHERE version = 0 AND {made}", [table, table])
        connection.execute(
            f"INSERT OR IGNORE INTO row_versions SELECT ?, row_id, version FROM imported_rows WHERE {made}",
            [table, table, table],
        )
        others = "SELECT id FROM row_versions WHERE table_name = ?"
        sql = f"INSERT INTO row_versions SELECT ?, id, random() FROM {quoted(table)} WHERE id NOT IN ({others})"
        connection.execute(sql, [table, table])


if __name__ == "__main__":
    sys.exit(main())
