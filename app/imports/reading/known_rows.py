"""Which rows of a file are in the data already: the same in all that the file says, or the same record, changed.

The same is a row that is equal in every field that the file has a column for, and in the moment of its creation where
the file says it. The same record, changed, is in an export of our own the row of its id and moment of creation; in any
other file the row of its name and that moment. Each row of the data is met once at most: of two rows of a file that are
alike the second meets another row of the data, or none.

What is compared are hashes, in a file of SQLite's beside the upload that is gone with this process: a million rows take
as little memory as ten. The data is read as it is at one moment, before the first row is told.
"""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

try:
    import pysqlite3 as sqlite3  # type: ignore[import-untyped]
except ImportError:
    import sqlite3

from app.records.kinds import Kind
from server.process_limits import LONGEST_TEXT

HASH_BYTES = 12
# In place of the hash of an empty text.
NOTHING = b""
CACHE_KIB = 96 * 1024
BUSY_SECONDS = 5
BATCH_ROWS = 1000
# No value of a file is as long as what only other programs write.
SIZE = "octet_length" if sqlite3.sqlite_version_info >= (3, 43) else "length"
VERSION = "coalesce((SELECT version FROM row_versions WHERE table_name = ? AND row_versions.id = {table}.id), 0)"
TABLES = (
    "CREATE TABLE known (id INTEGER PRIMARY KEY, version, fields, rest, created, name)",
    "CREATE TABLE seen (row PRIMARY KEY) WITHOUT ROWID",
)
INDEXES = ("CREATE INDEX by_fields ON known (fields, rest)",)
INDEXES_WITH_MOMENTS = (
    "CREATE INDEX by_fields ON known (fields, created, rest)",
    "CREATE INDEX by_name ON known (name, created)",
)
# Of a row that does not say when it was created, in a file in which others do, so many rows like it are looked at.
MOST_LOOKED_AT = 100

Row = Mapping[str, Any]


class Match(NamedTuple):
    """The row of the data that a row of a file is; `version` is the one that it had."""

    id: int
    version: int
    is_same: bool


class Look(NamedTuple):
    """What is compared of a row: hashes of its fields and of what it keeps of the rest, and when it was created."""

    fields: bytes
    rest: bytes
    created: str | None


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
        self.counts = {"same": 0, "changed": 0, "twice": 0}
        self._has_moments = "created_at" in given
        self._left = 0
        schema = TABLES + (INDEXES_WITH_MOMENTS if self._has_moments else INDEXES)
        with _said():
            self._file = _file(beside.with_name(f"{beside.name}.known"), schema)
            self._fill(data, kind, on_read)

    def met(self, rows: Sequence[Row], *, is_counted: bool = False) -> list[Any]:
        """Of each row what to say of it: None, "same", or which row it changes, and in what.

        With `is_counted` also those are counted that have come before in the file.
        """
        with _said():
            return self._met_all(rows, is_counted)

    def _met_all(self, rows: Sequence[Row], is_counted: bool) -> list[Any]:
        looks = [self._look_of(row) for row in rows]
        if is_counted:
            new = self._file.executemany("INSERT OR IGNORE INTO seen VALUES (?)", [(_whole(look),) for look in looks])
            self.counts["twice"] += len(rows) - max(0, new.rowcount)
        return [self._met(row, look) if self._left else None for row, look in zip(rows, looks, strict=True)]

    def _met(self, row: Row, look: Look) -> Any:
        match = (self._own(row, look) if self._is_own else None) or self._same(row, look) or self._changed(row, look)
        if match is None:
            return None
        self._file.execute("DELETE FROM known WHERE id = ?", [match.id])
        self._left -= 1
        self.counts["same" if match.is_same else "changed"] += 1
        if match.is_same:
            return "same"
        columns = self._fields + ([self._rest] if self._says_rest(row) else [])
        return {"id": match.id, "version": match.version, "columns": columns}

    def _says_rest(self, row: Row) -> bool:
        return self._is_rest_given or bool(self._rest and row[self._rest])

    def _own(self, row: Row, look: Look) -> Match | None:
        sql = "SELECT version, fields, rest FROM known WHERE id = ? AND created = ?"
        for version, fields, rest in self._file.execute(sql, [row["id"], look.created]):
            return Match(id=row["id"], version=version, is_same=(fields, rest) == (look.fields, look.rest))
        return None

    def _same(self, row: Row, look: Look) -> Match | None:
        conditions: dict[str, Any] = {"fields = ?": look.fields}
        if look.created is not None:
            conditions["created = ?"] = look.created
        if self._says_rest(row):
            conditions["rest = ?"] = look.rest
        if self._has_moments and look.created is None:
            alike = f"(SELECT * FROM known WHERE fields = ? LIMIT {MOST_LOOKED_AT})"
            return self._first(conditions, is_same=True, source=alike, begin=[look.fields])
        return self._first(conditions, is_same=True)

    def _changed(self, row: Row, look: Look) -> Match | None:
        if look.created is None:
            return None
        return self._first({"name = ?": _hash([row[self._name]]), "created = ?": look.created}, is_same=False)

    def _first(
        self, conditions: Mapping[str, Any], *, is_same: bool, source: str = "known", begin: Sequence[Any] = ()
    ) -> Match | None:
        sql = f"SELECT id, version FROM {source} WHERE {' AND '.join(conditions)} LIMIT 1"
        for id, version in self._file.execute(sql, [*begin, *conditions.values()]):
            return Match(id=id, version=version, is_same=is_same)
        return None

    def _look_of(self, row: Row) -> Look:
        rest = NOTHING if not self._rest or not row[self._rest] else _hash([row[self._rest]])
        return Look(fields=_hash([row[name] for name in self._fields]), rest=rest, created=row["created_at"])

    def _fill(self, data: Path, kind: Kind, on_read: Callable[[], None]) -> None:
        """Note what each row looks like. What is too large for any file is left out."""
        uri = f"{data.resolve().as_uri()}?mode=ro"
        names = [*(field.name for field in kind.fields), "created_at"]
        fits = " AND ".join(f"coalesce({SIZE}({name}), 0) <= {LONGEST_TEXT}" for name in names)
        version = VERSION.format(table=kind.table)
        sql = f"SELECT id, {version} AS version, {', '.join(names)} FROM {kind.table} WHERE {fits}"
        with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)) as connection:
            connection.row_factory = sqlite3.Row
            connection.text_factory = lambda text: text.decode(errors="replace")
            found = connection.execute(sql, [kind.table])
            while rows := found.fetchmany(BATCH_ROWS):
                self._file.executemany("INSERT INTO known VALUES (?, ?, ?, ?, ?, ?)", map(self._noted, rows))
                self._left += len(rows)
                on_read()

    def _noted(self, row: Row) -> tuple[Any, ...]:
        # By its name a row is only looked for together with the moment of its creation.
        name = _hash([row[self._name]]) if self._has_moments else None
        return row["id"], row["version"], *self._look_of(row), name


@contextmanager
def _said() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise UnreadableData(str(error)) from error


def _whole(look: Look) -> bytes:
    return _hash([*look])


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
