"""Writes the rows of an import in batches, one transaction each, and undoes them.

A row that is in the data already is left out, or gets what the file says, or is added all the same, as the person has
chosen. What a row was before is kept with the import, so that taking it back also puts that back. A row that was
changed meanwhile, by whichever program, is left as it is.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlite_utils.utils import sqlite3

from app.database.sqlite_connections import NOW, Connection
from app.records.kinds import Kind

UNDO_ROWS = 1000
# The version of a row of a table; 0 while it has none.
VERSION = "coalesce((SELECT version FROM row_versions WHERE table_name = ? AND id = ?), 0)"


class Batch:
    """The rows of one batch, and what to do with those that are in the data already."""

    def __init__(self, id: int, kind: Kind, choice: str, message: Mapping[str, Any]) -> None:
        self._id = id
        self._kind = kind
        self._updates = choice == "update"
        self._rows = [dict(zip(message["columns"], row, strict=True)) for row in message["rows"]]
        self._known: Sequence[Any] = message.get("known") or [None] * len(self._rows)

    def write(self, connection: Connection) -> None:
        """Write the rows, what is to be known of them to take them back, and how far the import has come."""
        pairs = list(zip(self._rows, self._known, strict=True))
        added = self._add(connection, [row for row, known in pairs if known is None])
        updated = 0
        if self._updates:
            updated = sum(self._update(connection, row, known) for row, known in pairs if isinstance(known, dict))
        (text,) = connection.execute("SELECT known FROM imports WHERE id = ?", [self._id]).fetchone()
        known = json.loads(text)
        known["updated"] = known.get("updated", 0) + updated
        known["skipped"] = known.get("skipped", 0) + len(pairs) - added - updated
        sql = "UPDATE imports SET rows_done = rows_done + ?, known = ? WHERE id = ?"
        connection.execute(sql, [added + updated, json.dumps(known), self._id])

    def _add(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> int:
        sql = insert_sql(self._kind)
        made = [connection.execute(sql, row).fetchone()[0] for row in rows]
        connection.executemany(
            f"INSERT INTO imported_rows (import_id, row_id, version) VALUES (?, ?, {VERSION})",
            [(self._id, row, self._kind.table, row) for row in made],
        )
        return len(made)

    def _update(self, connection: Connection, row: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
        """Give a row what the file says of it; whether it was still as the file was compared with it."""
        table, id = self._kind.table, known["id"]
        before = _row_of(connection, self._kind, id, known["version"])
        if before is None:
            return False
        settings = ", ".join(f"{name} = :{name}" for name in known["columns"])
        connection.execute(
            f"UPDATE {table} SET {settings}, updated_at = coalesce(:updated_at, {NOW}) WHERE id = :id",
            {**row, "id": id},
        )
        connection.execute(
            f"INSERT INTO imported_rows (import_id, row_id, before, version) VALUES (?, ?, ?, {VERSION})",
            [self._id, id, json.dumps(before), table, id],
        )
        return True


def insert_sql(kind: Kind) -> str:
    """What writes one row of a kind, with its own id where neither a row nor a deleted one has that already."""
    fields = [field.name for field in kind.fields]
    return f"""
        INSERT INTO {kind.table} ({", ".join(kind.columns)})
        VALUES (
            CASE
            WHEN EXISTS (SELECT 1 FROM {kind.table} WHERE id = :id) THEN NULL
            WHEN EXISTS (SELECT 1 FROM {kind.deletions} WHERE id = :id) THEN NULL
            ELSE :id END,
            {", ".join(f":{name}" for name in fields)},
            coalesce(:created_at, {NOW}),
            coalesce(:updated_at, :created_at, {NOW})
        ) RETURNING id
    """


def taking_back(id: int, kind: Kind) -> Callable[[Connection], int]:
    """A change that takes one batch back; how many rows it held, 0 at the end.

    A row that has another version by now was changed, brought back, or is another one of the same number: it stays.
    """

    def change(connection: Connection) -> int:
        sql = "SELECT row_id, version, before FROM imported_rows WHERE import_id = ? ORDER BY row_id LIMIT ?"
        written = connection.execute(sql, [id, UNDO_ROWS]).fetchall()
        kept = sum(not _take_back(connection, kind, row) for row in written)
        connection.executemany(
            "DELETE FROM imported_rows WHERE import_id = ? AND row_id = ?", [(id, row["row_id"]) for row in written]
        )
        connection.execute(
            "UPDATE imports SET rows_done = rows_done - ?, rows_kept = rows_kept + ? WHERE id = ?",
            [len(written), kept, id],
        )
        return len(written)

    return change


def _take_back(connection: Connection, kind: Kind, written: Mapping[str, Any]) -> bool:
    """Take a row out, or put back what it was before; whether it is so now."""
    id = written["row_id"]
    if written["before"] is None:
        taken = connection.execute(
            f"DELETE FROM {kind.table} WHERE id = ? AND {VERSION} = ?", [id, kind.table, id, written["version"]]
        ).rowcount
    else:
        taken = _put_back(connection, kind, id, written["version"], written["before"])
    return bool(taken) or not connection.execute(f"SELECT 1 FROM {kind.table} WHERE id = ?", [id]).fetchone()


def _put_back(connection: Connection, kind: Kind, id: int, version: int, before: str) -> int:
    """Give a row the values that it had. What another program has put there may not be a row at all."""
    try:
        values = json.loads(before)
        names = [name for name in kind.columns if name != "id"]
        settings = ", ".join(f"{name} = ?" for name in names)
        return connection.execute(
            f"UPDATE {kind.table} SET {settings} WHERE id = ? AND {VERSION} = ?",
            [*(values[name] for name in names), id, kind.table, id, version],
        ).rowcount
    except (ValueError, TypeError, LookupError, RecursionError, sqlite3.IntegrityError, sqlite3.ProgrammingError):
        return 0


def _row_of(connection: Connection, kind: Kind, id: int, version: int) -> dict[str, Any] | None:
    """A row by the names of its columns, if it still has this version."""
    sql = f"SELECT {', '.join(kind.columns)} FROM {kind.table} WHERE id = ? AND {VERSION} = ?"
    row = connection.execute(sql, [id, kind.table, id, version]).fetchone()
    return dict(row) if row else None
