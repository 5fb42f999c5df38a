"""A file from outside: what it holds, and that is data. Nothing that stands in it is ever run.

Its pages are copied to a file of our own. There everything goes that SQLite could run (triggers, views, virtual tables,
and what only looks like a table), before SQLite is asked for a row: what is left are plain tables, of which names and
types of columns are read, never their rules, defaults that have to be worked out, or columns that are.
"""

import os
import re
import shlex
import shutil
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from sqlite_utils.utils import sqlite3

from app.database.copies import check_room, copy_pages, size_of
from app.database.sqlite_connections import Connection, open_unchanged
from app.records.record_columns import columns_of, records_of

# No app has so many tables, indexes and triggers, and each takes memory.
MOST_OBJECTS = 5000
# Everything that SQLite itself writes for a table or an index begins so.
_PLAIN = {"table": ("CREATE TABLE ",), "index": ("CREATE INDEX ", "CREATE UNIQUE INDEX ")}
_LITERAL = re.compile(r"[+-]?\d+(\.\d+)?|'(?:[^']|'')*'|NULL|TRUE|FALSE|CURRENT_(?:TIMESTAMP|DATE|TIME)", re.IGNORECASE)
# The words of which the types consist that people give their columns.
_WORD = (
    "INTEGER|INT|BIGINT|SMALLINT|TINYINT|UNSIGNED|TEXT|VARCHAR|CHAR|CLOB|BLOB|REAL|DOUBLE|PRECISION|FLOAT|NUMERIC|DECIMAL|"
    "BOOLEAN|BOOL|DATE|DATETIME|TIMESTAMP|TIME|JSON|UUID"
)
_TYPE = re.compile(rf"(?:(?:{_WORD})(?: (?:{_WORD}))*(?: ?\(\d{{1,9}}(?:, ?\d{{1,9}})?\))?)?", re.IGNORECASE)
# What a type means where it consists of other words: https://www.sqlite.org/datatype3.html, section 3.1.
_AFFINITIES = (
    ("INT", "INT"),
    ("CHAR", "TEXT"),
    ("CLOB", "TEXT"),
    ("TEXT", "TEXT"),
    ("BLOB", "BLOB"),
    ("REAL", "REAL"),
    ("FLOA", "REAL"),
    ("DOUB", "REAL"),
)


def damage(file: Path, problem: str) -> str:
    """What to say of a file that SQLite cannot read."""
    return (
        f"{file} is damaged, or no SQLite file ({problem}). Nothing was changed. Restore another backup with "
        f"python3 server.py restore FILE, or save what can be read with: sqlite3 {shlex.quote(str(file))} .recover"
    )


class UnusableFile(Exception):
    """A file cannot be restored; the message says why, after the name of the file, and what to do."""


class Column(NamedTuple):
    """A column: `key` is its place in the primary key, from 1 on, and 0 where it is not in it.

    One that is generated holds no data, and its type and default are not to be used.
    """

    name: str
    type: str
    required: bool
    default: str | None
    key: int
    generated: bool

    @property
    def loses_rules(self) -> bool:
        """Whether `sql` makes a column without its default, or one that may be empty where this may not."""
        return (self.required and " NOT NULL" not in self.sql) or (bool(self.default) and " DEFAULT" not in self.sql)

    @property
    def sql(self) -> str:
        """What makes such a column, in words of our own."""
        default = self.default if self.default and _LITERAL.fullmatch(self.default) else None
        rules = f" DEFAULT {default}" if default else ""
        if self.required and default and default.upper() != "NULL":
            rules = f" NOT NULL{rules}"
        return f"{quoted(self.name)} {type_of(self.type)}{rules}"


class Index(NamedTuple):
    """An index: its name, empty where it is a rule of its table; its columns as SQL, none where it has others too."""

    name: str
    unique: bool
    columns: tuple[str, ...]


class Table(NamedTuple):
    """A plain table."""

    name: str
    sql: str
    columns: tuple[Column, ...]
    indexes: tuple[Index, ...]

    @property
    def data(self) -> dict[str, Column]:
        """The columns that hold data, by their names in small letters."""
        return {column.name.lower(): column for column in self.columns if not column.generated}


class _Entry(NamedTuple):
    """A row of `sqlite_schema`; a file from outside may have anything in it."""

    rowid: int
    type: Any
    name: Any
    tbl_name: Any
    rootpage: Any
    sql: Any


class Thing(NamedTuple):
    """Something in a schema: its kind, its name, the SQL that made it."""

    type: str
    name: str
    sql: str

    @property
    def is_virtual(self) -> bool:
        """Whether it is a virtual table, which code makes."""
        return self.sql.upper().startswith("CREATE VIRTUAL ")

    @property
    def words(self) -> str:
        """What it is called to a person, whatever its maker has put into the name."""
        return f"{'virtual ' if self.is_virtual else ''}{shown(self.type)} “{shown(self.name)}”"


def copied(file: Path, copy: Path) -> list[Thing]:
    """Copy a file from outside, and take out of the copy what is no plain table or index; what that was.

    Raises UnusableFile, sqlite3.Error, or OSError where there is no room for it.
    """
    # What is made of it takes as much again.
    check_room(copy.parent, 2 * size_of(file))
    with closing(_opened(file, copy.parent)) as source, closing(sqlite3.connect(copy)) as target:
        target.execute("PRAGMA synchronous = OFF")
        copy_pages(source, target)
    if _objects(copy) > MOST_OBJECTS:
        raise UnusableFile(
            f"has more than {MOST_OBJECTS:,} tables and indexes, so it is no file of this app. Nothing was changed. "
            "Name one that it has written."
        )
    with closing(_hardened(sqlite3.connect(copy, isolation_level=None))) as connection:
        # Whatever does not make sense is only not there, instead of keeping the rest from being read.
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA synchronous = OFF")
        rows = connection.execute(f"SELECT {columns_of(_Entry)} FROM sqlite_schema").fetchall()
        entries = records_of(_Entry, rows)
        odd = [entry for entry in entries if not _is_plain(entry)]
        connection.executemany("DELETE FROM sqlite_schema WHERE rowid = ?", [(entry.rowid,) for entry in odd])
        plain = [entry for entry in entries if entry not in odd]
    roots, names = Counter(entry.rootpage for entry in plain), Counter(str(entry.name).lower() for entry in plain)
    if any(count > 1 for count in [*roots.values(), *names.values()]):
        raise sqlite3.DatabaseError("two of its tables are in the same place")
    return [Thing(type=str(entry.type), name=str(entry.name), sql=str(entry.sql)) for entry in odd]


def tables(copy: Path) -> dict[str, Table]:
    """The plain tables of such a copy, by their names in small letters. Raises UnusableFile or sqlite3.Error."""
    with closing(read_only(copy)) as connection:
        if connection.execute("PRAGMA encoding").fetchone()[0] != "UTF-8":
            raise UnusableFile(
                "keeps its texts as UTF-16, which no file of this app does. Nothing was changed. Make one with UTF-8 "
                "of it first: sqlite3 FILE .dump | sqlite3 NEW"
            )
        found = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table'").fetchall()
        return {
            name.lower(): Table(
                name=name, sql=sql, columns=columns(connection, name), indexes=_indexes(connection, name)
            )
            for name, sql in found
        }


def columns(connection: Connection, table: str) -> tuple[Column, ...]:
    """The columns of a plain table."""
    asked = """SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?, 'main')"""
    return tuple(
        Column(name=name, type=type, required=bool(required), default=default, key=key, generated=bool(hidden))
        for name, type, required, default, key, hidden in connection.execute(asked, [table])
    )


def largest_id(connection: Connection, table: str) -> int:
    """The largest id in a table; 0 where it has none, or no ids."""
    keys = [column for column in columns(connection, table) if column.key]
    if len(keys) != 1 or keys[0].type.upper() != "INTEGER":
        return 0
    largest = connection.execute(f"SELECT max({quoted(keys[0].name)}) FROM main.{quoted(table)}").fetchone()[0]
    return largest if isinstance(largest, int) else 0


def _indexes(connection: Connection, table: str) -> tuple[Index, ...]:
    asked = """SELECT name, "unique", origin, partial FROM pragma_index_list(?, 'main') WHERE origin <> 'pk'"""
    return tuple(
        Index("" if origin == "u" else name, bool(unique), () if partial else _indexed(connection, name))
        for name, unique, origin, partial in connection.execute(asked, [table]).fetchall()
    )


def _indexed(connection: Connection, index: str) -> tuple[str, ...]:
    """The columns of an index; none where one of them is worked out, or compared in a way that SQLite does not have."""
    asked = "SELECT name, coll, desc FROM pragma_index_xinfo(?, 'main') WHERE key"
    found = connection.execute(asked, [index]).fetchall()
    if any(name is None or order not in ("BINARY", "NOCASE", "RTRIM") for name, order, _ in found):
        return ()
    return tuple(f"{quoted(name)} COLLATE {order}{' DESC' if desc else ''}" for name, order, desc in found)


def things(connection: Connection) -> list[Thing]:
    """All that a schema has, without what SQLite makes for itself."""
    return records_of(Thing, connection.execute(f"SELECT {columns_of(Thing)} FROM sqlite_schema WHERE sql IS NOT NULL"))


def read_only(copy: Path) -> Connection:
    """A connection to such a copy."""
    return _hardened(sqlite3.connect(address(copy), uri=True, isolation_level=None))


def address(copy: Path) -> str:
    """What SQLite opens to read such a copy, which nobody changes."""
    return f"{copy.resolve().as_uri()}?immutable=1"


def quoted(name: str) -> str:
    """A name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


def shown(text: Any, longest: int = 60) -> str:
    """A text from a file for a terminal, which it must not command."""
    printable = "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in str(text)
    )
    return printable if len(printable) <= longest else printable[:longest] + "…"


def type_of(declared: str) -> str:
    """A type of a column that is only a type: as it was declared, or what it means to SQLite."""
    if _TYPE.fullmatch(declared):
        return declared
    return next((meant for part, meant in _AFFINITIES if part in declared.upper()), "NUMERIC")


def _opened(file: Path, room: Path) -> Connection:
    """A connection to a file from outside that changes nothing there."""
    logs = [ending for ending in ("-wal", "-journal") if Path(f"{file}{ending}").exists()]
    if logs and hasattr(os, "statvfs") and os.statvfs(file.parent).f_flag & os.ST_RDONLY:
        # To read a log SQLite writes beside it; on a disk where nobody can, nobody changes the file either.
        for ending in ("", *logs):
            shutil.copyfile(f"{file}{ending}", room / f"read.db{ending}")
        return sqlite3.connect(room / "read.db")
    return open_unchanged(file)


def _objects(copy: Path) -> int:
    """How many tables, indexes and more a file has, up to one more than MOST_OBJECTS.

    SQLite reads all of them before it says anything, which takes a minute for 100,000. So the pages that hold them are
    looked at here, from the first on: https://www.sqlite.org/fileformat2.html, section 1.6.
    """
    with copy.open("rb") as file:
        size = int.from_bytes(file.read(18)[16:18], "big")
        size = 65536 if size == 1 else size
        count, waiting, seen = 0, [1], 0
        while waiting and max(count, seen) <= MOST_OBJECTS:
            number, seen = waiting.pop(), seen + 1
            file.seek(max(number - 1, 0) * size)
            page = file.read(size)
            head = page[100:] if number == 1 else page
            kind, cells = head[0:1], int.from_bytes(head[3:5], "big")
            if kind == b"\x0d":
                count += cells
            elif kind == b"\x05":
                places = [int.from_bytes(head[12 + 2 * each : 14 + 2 * each], "big") for each in range(cells)]
                waiting += [int.from_bytes(page[place : place + 4], "big") for place in places]
                waiting.append(int.from_bytes(head[8:12], "big"))
    return max(count, seen)


def _is_plain(entry: _Entry) -> bool:
    """Whether something in the schema is a table or an index that holds rows, as SQLite writes it."""
    type, name, root, sql = entry.type, entry.name, entry.rootpage, entry.sql
    if not (isinstance(name, str) and isinstance(root, int) and root > 1 and type in _PLAIN):
        return False
    if type == "index" and sql is None:
        return name.startswith("sqlite_autoindex_")
    return isinstance(sql, str) and sql.startswith(_PLAIN[type]) and (type == "index" or entry.tbl_name == name)


def _hardened(connection: Connection) -> Connection:
    """A connection that trusts a file as little as SQLite can (https://www.sqlite.org/security.html)."""
    connection.text_factory = lambda text: text.decode(errors="replace")
    for setting in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {setting}")
    return connection
