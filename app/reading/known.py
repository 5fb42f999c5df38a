"""Which rows of a file are in the data already: the same in all that the file says, or the same record, changed.

The same is a row that is equal in every field that the file has a column for, and in the moment of its creation where
the file says it. The same record, changed, is in an export of our own the row of its id and moment of creation; in any
other file the row of its name and that moment. Each row of the data is met once at most: of two rows of a file that are
alike the second meets another row of the data, or none.

What is compared are hashes, in a file of SQLite's beside the upload that is gone with this process: a million rows take
as little memory as ten. The data is read as it is at one moment, before the first row is told.
"""

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

try:
    import pysqlite3 as sqlite3  # type: ignore[import-untyped]
except ImportError:
    import sqlite3

from app.kinds import Kind
from app.reading.limits import LONGEST_TEXT

HASH_BYTES = 12
CACHE_KIB = 32 * 1024
BUSY_SECONDS = 5
PULSE_ROWS = 1000
# No value of a file is as long as what only other programs write.
SIZE = "octet_length" if sqlite3.sqlite_version_info >= (3, 43) else "length"
VERSION = "coalesce((SELECT version FROM row_versions WHERE table_name = ? AND row_versions.id = {table}.id), 0)"
TABLES = (
    "CREATE TABLE known (id INTEGER PRIMARY KEY, version, fields, rest, name, created)",
    "CREATE INDEX by_fields ON known (fields, rest)",
    "CREATE TABLE seen (row PRIMARY KEY) WITHOUT ROWID",
)
# For files with moments of creation.
INDEXES = (
    "CREATE INDEX by_fields_and_moment ON known (fields, created, rest)",
    "CREATE INDEX by_name ON known (name, created)",
)

Row = Mapping[str, Any]


class Match(NamedTuple):
    """The row of the data that a row of a file is; `version` is the one that it had."""

    id: int
    version: int
    is_same: bool


class UnreadableData(Exception):
    """Why the data cannot be read."""


class Known:
    """The rows of a kind that are there, each until a row of the file has met it. Raises UnreadableData.

    `counts` are those of the file that are the same, have changed, and have come before in the file.
    """

    def __init__(
        self, data: Path, beside: Path, kind: Kind, given: Collection[str], is_own: bool, on_read: Callable[[], None]
    ) -> None:
        self._fields = [field.name for field in kind.fields if field.name in given and field.name != kind.rest]
        self._name = kind.fields[0].name
        self._rest = kind.rest
        self._is_rest_given = kind.rest in given
        self._is_own = is_own
        self._columns = [field.name for field in kind.fields]
        self.counts = {"same": 0, "changed": 0, "twice": 0}
        self._file = _file(
            beside.with_name(f"{beside.name}.known"), TABLES + (INDEXES if "created_at" in given else ())
        )
        try:
            self._fill(data, kind, on_read)
        except sqlite3.Error as error:
            raise UnreadableData(str(error)) from error

    def met(self, rows: Iterable[Row], *, is_counted: bool = False) -> list[Any]:
        """Of each row what to say of it: None, "same", or which row it changes, and in what.

        With `is_counted` also those are counted that have come before in the file.
        """
        return [self._met(row, is_counted) for row in rows]

    def _met(self, row: Row, is_counted: bool) -> Any:
        if is_counted:
            self.counts["twice"] += self._is_again(row)
        match = self._meet(row)
        if match is None:
            return None
        self.counts["same" if match.is_same else "changed"] += 1
        return "same" if match.is_same else {"id": match.id, "version": match.version, "columns": self._said_by(row)}

    def _meet(self, row: Row) -> Match | None:
        """The row of the data that this is, which meets no other one; None where there is none."""
        found = self._same(row) if not self._is_own else self._own(row) or self._same(row)
        if found is None:
            found = self._changed(row)
        if found is not None:
            self._file.execute("DELETE FROM known WHERE id = ?", [found.id])
        return found

    def _is_again(self, row: Row) -> bool:
        """Whether the file has had a row that says the same."""
        whole = _hash([row[name] for name in self._columns] + [row["created_at"]])
        return not self._file.execute("INSERT OR IGNORE INTO seen VALUES (?)", [whole]).rowcount

    def _said_by(self, row: Row) -> list[str]:
        """The fields that this row of the file says something of."""
        return self._fields + ([self._rest] if self._says_rest(row) else [])

    def _says_rest(self, row: Row) -> bool:
        return self._is_rest_given or bool(self._rest and row[self._rest])

    def _own(self, row: Row) -> Match | None:
        found = self._file.execute(
            "SELECT version, fields, rest FROM known WHERE id = ? AND created = ?", [row["id"], row["created_at"]]
        ).fetchone()
        if not found:
            return None
        version, fields, rest = found
        return Match(id=row["id"], version=version, is_same=(fields, rest) == (self._hash_of(row), self._rest_of(row)))

    def _same(self, row: Row) -> Match | None:
        conditions = ["fields = ?"]
        values: list[Any] = [self._hash_of(row)]
        if row["created_at"] is not None:
            conditions.append("created = ?")
            values.append(row["created_at"])
        if self._says_rest(row):
            conditions.append("rest = ?")
            values.append(self._rest_of(row))
        return self._first(conditions, values, is_same=True)

    def _changed(self, row: Row) -> Match | None:
        if row["created_at"] is None:
            return None
        values = [_hash([row[self._name]]), row["created_at"]]
        return self._first(["name = ?", "created = ?"], values, is_same=False)

    def _first(self, conditions: Iterable[str], values: list[Any], *, is_same: bool) -> Match | None:
        sql = f"SELECT id, version FROM known WHERE {' AND '.join(conditions)} LIMIT 1"
        for id, version in self._file.execute(sql, values):
            return Match(id=id, version=version, is_same=is_same)
        return None

    def _hash_of(self, row: Row) -> bytes:
        return _hash([row[name] for name in self._fields])

    def _rest_of(self, row: Row) -> bytes | None:
        return _hash([row[self._rest]]) if self._rest else None

    def _fill(self, data: Path, kind: Kind, on_read: Callable[[], None]) -> None:
        """Note what each row looks like. What is too large for any file is left out."""
        uri = f"{data.resolve().as_uri()}?mode=ro"
        names = dict.fromkeys([*self._columns, "created_at"])
        fits = " AND ".join(f"coalesce({SIZE}({name}), 0) <= {LONGEST_TEXT}" for name in names)
        version = VERSION.format(table=kind.table)
        sql = f"SELECT id, {version} AS version, {', '.join(names)} FROM {kind.table} WHERE {fits}"
        with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)) as connection:
            connection.row_factory = sqlite3.Row
            connection.text_factory = lambda text: text.decode(errors="replace")
            for number, row in enumerate(connection.execute(sql, [kind.table])):
                noted = {
                    "id": row["id"],
                    "version": row["version"],
                    "fields": self._hash_of(row),
                    "rest": self._rest_of(row),
                    "name": _hash([row[self._name]]),
                    "created": row["created_at"],
                }
                self._file.execute("INSERT INTO known VALUES (:id, :version, :fields, :rest, :name, :created)", noted)
                if number % PULSE_ROWS == 0:
                    on_read()


def _hash(values: list[Any]) -> bytes:
    return blake2b(repr(values).encode(errors="surrogatepass"), digest_size=HASH_BYTES).digest()


def _file(path: Path, schema: Iterable[str]) -> Any:
    """A file for what is noted, which has no name any more where the system allows that."""
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    for setting in (
        "journal_mode = OFF",
        "synchronous = OFF",
        "locking_mode = EXCLUSIVE",
        f"cache_size = -{CACHE_KIB}",
    ):
        connection.execute(f"PRAGMA {setting}")
    for statement in (*schema, "BEGIN"):
        connection.execute(statement)
    if os.name == "posix":
        path.unlink()
    return connection
