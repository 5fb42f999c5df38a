"""Rows of a file from outside, copied into a schema of our own; the file is attached as `source`.

What is not only rows is left out, and said: triggers, views, virtual tables, rules, columns that are worked out.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import closing

from sqlite_utils.utils import sqlite3

from app.backup.foreign_file import (
    Table,
    Thing,
    UnusableFile,
    columns,
    largest_id,
    quoted,
    shown,
    things,
)
from app.backup.recount import (
    complete,
    counters,
    rebuild_searches,
    triggers_only,
)
from app.backup.replace_data import PRESENT
from app.database.sqlite_connections import Connection, tables_of
from app.imports.reading.values.values import LARGEST_ID
from app.migrations import migrations
from app.records.indexing import indexed_tables

# What a search keeps its words in: parts of a virtual table, which are made with it.
_PARTS = ("data", "idx", "content", "docsize", "config", "segments", "segdir", "stat", "node", "parent", "rowid")
# What a table may have beside its columns.
_RULES = re.compile(r"\b(?:CHECK|REFERENCES|COLLATE|ON CONFLICT)\b", re.IGNORECASE)
# Names that every table has for the numbers of its rows: a column of that name would stand before them.
_ROW_IDS = ("rowid", "oid", "_rowid_")
# What may follow the columns, up to comments.
_OPTIONS = re.compile(r"\)[^()]*\b(?:STRICT|WITHOUT\s+ROWID)\b[^()]*$", re.IGNORECASE)
_COUNTS = re.compile(r"\bAUTOINCREMENT\b", re.IGNORECASE)


def fill(connection: Connection, theirs: Mapping[str, Table], odd: Iterable[Thing]) -> list[str]:
    """Copy all rows of these tables into the schema of ours; what was left out, in words.

    `odd` is what of the file was no plain table. Raises UnusableFile or sqlite3.Error.
    """
    made = things(connection)
    ours = _plain_tables(connection)
    counted = counters(connection, ours)
    left_out = _not_ours(odd, made)
    left = {*PRESENT, *made_anew(connection)}
    known = [theirs[name] for name in ours if name in theirs and name not in left]
    _check_tables(ours, theirs, {*left, *counted.columns})
    for table in known:
        left_out += _add_columns(connection, table) + _other_rules(table, made)
    with triggers_only(connection, counted.triggers):
        for table in known:
            if table.name.lower() not in counted.columns:
                connection.execute(f"DELETE FROM main.{quoted(table.name)}")
                _copy_rows(connection, table)
    with triggers_only(connection, set()):
        for table in known:
            if table.name.lower() in counted.columns:
                complete(connection, table.name, counted.columns[table.name.lower()], table.data)
    others = [table for name, table in theirs.items() if name not in ours and not name.startswith("sqlite_")]
    left_out += _bring(connection, others, made, odd)
    left_out += [f"what {each.words} holds" for each in rebuild_searches(connection)]
    if "sqlite_sequence" in theirs:
        _go_on_counting(connection)
    _check_pages(connection, theirs)
    return left_out


def made_anew(connection: Connection) -> list[str]:
    """The tables that hold what is made of the rows of others, or what is of one statement, in small letters."""
    sql = "SELECT tbl_name FROM sqlite_schema WHERE type = 'trigger' AND name = 'replaced_' || tbl_name || '_insert'"
    replaced = [f"replaced_{table}" for (table,) in connection.execute(sql)]
    return [*replaced, *(f"{table}_sort".lower() for table in indexed_tables(connection)), "unindexed", "row_blocks"]


def _plain_tables(connection: Connection) -> list[str]:
    """The tables of the schema, without those that are parts of others, in small letters."""
    asked = "SELECT lower(name) FROM pragma_table_list WHERE schema = 'main' AND type = 'table'"
    return [name for (name,) in connection.execute(asked) if not name.startswith("sqlite_")]


def _latest() -> dict[str, str]:
    """The tables of the schema as it is today, by their names in small letters, with the SQL that makes them."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrations.apply(tables_of(connection))
        return {each.name.lower(): each.sql for each in things(connection) if each.type == "table"}


def _check_tables(ours: Iterable[str], theirs: Mapping[str, Table], optional: Collection[str]) -> None:
    """Raises UnusableFile where a table is missing; one of what is counted, or that is given up by now, may be."""
    missing = [name for name in ours if name not in theirs and name not in optional]
    missing = [name for name in missing if name in _latest()] if missing else []
    if missing:
        raise UnusableFile(
            f"has no table “{missing[0]}”, which a file of this app has. Nothing was changed. Name one that it has "
            "written."
        )


def _not_ours(odd: Iterable[Thing], made: Iterable[Thing]) -> list[str]:
    """What of a file is no plain table and none of ours."""
    known = {(each.type, each.name.lower()): each for each in made}
    left_out = []
    for each in odd:
        own = known.get((each.type, each.name.lower()))
        if own is None:
            left_out.append(each.words)
        elif own.sql != each.sql:
            left_out.append(f"{each.words} as it stands there (the app's own takes its place)")
    return left_out


def _other_rules(table: Table, made: Iterable[Thing]) -> list[str]:
    """Rules and indexes that one of our tables has in the file and not in our schema."""
    own = next(each for each in made if (each.type, each.name.lower()) == ("table", table.name.lower()))
    names = {each.name.lower() for each in made}
    words = [f"index “{shown(each.name)}”" for each in table.indexes if each.name and each.name.lower() not in names]
    if len(_RULES.findall(table.sql)) > len(_RULES.findall(own.sql)) or any(not each.name for each in table.indexes):
        words.append(f"other rules of table “{table.name}” than the app's own")
    return words


def _add_columns(connection: Connection, table: Table) -> list[str]:
    """Add the columns that people have added to one of our tables; those that are left out, in words.

    Raises UnusableFile where one of our own is missing that no row can be without.
    """
    own = {column.name.lower(): column for column in columns(connection, table.name)}
    for name, column in own.items():
        if name not in table.data and (column.key or (column.required and column.default is None)):
            raise UnusableFile(
                f"has a table “{table.name}” without its column “{column.name}”. Nothing was changed. Name a file that "
                "this app has written."
            )
    left_out = _generated(table)
    for name, column in table.data.items():
        if name in _ROW_IDS:
            left_out.append(f"column “{shown(column.name)}” of “{table.name}”")
        elif name not in own:
            connection.execute(f"ALTER TABLE main.{quoted(table.name)} ADD COLUMN {column.sql}")
            if column.loses_rules:
                left_out.append(f"rules of column “{shown(column.name)}” of “{table.name}”")
    return left_out


def _generated(table: Table) -> list[str]:
    """The columns that are worked out from others, in words."""
    return [f"column “{shown(each.name)}” of “{shown(table.name)}”" for each in table.columns if each.generated]


def _copy_rows(connection: Connection, table: Table) -> None:
    """Copy the rows of a table. Raises UnusableFile, which names the first that breaks a rule of ours."""
    own = [column for column in columns(connection, table.name) if column.name.lower() in table.data]
    names = ", ".join(quoted(column.name) for column in own)
    into, of = f"main.{quoted(table.name)} ({names})", f"source.{quoted(table.name)} NOT INDEXED"
    try:
        connection.execute(f"INSERT INTO {into} SELECT {names} FROM {of}")
    except sqlite3.IntegrityError:
        values = ", ".join("?" * len(own))
        for number, row in enumerate(connection.execute(f"SELECT {names} FROM {of}"), 1):
            try:
                connection.execute(f"INSERT INTO {into} VALUES ({values})", row)
            except sqlite3.IntegrityError as error:
                raise _unusable_row(table, number, row[0], str(error)) from None
        raise
    largest = largest_id(connection, table.name)
    if largest > LARGEST_ID:
        raise _unusable_row(table, 0, largest, "so large a number leaves none for the rows that come")


def check_deleted(connection: Connection) -> None:
    """Raises UnusableFile where a row that was deleted breaks a rule of the table that it would be brought back into.

    For each table of a feature, which has versions of its rows, that is one with all of its columns, and `deleted_at`.
    """
    asked = "SELECT tbl_name FROM sqlite_schema WHERE type = 'trigger' AND name = tbl_name || '_version_update'"
    features = [name for (name,) in connection.execute(asked)]
    for name in features:
        names = {column.name for column in columns(connection, name)}
        for deletions in _plain_tables(connection):
            if names | {"deleted_at"} <= {column.name for column in columns(connection, deletions)}:
                _check_deleted(connection, name, deletions, sorted(names - {"id"}))


def _check_deleted(connection: Connection, name: str, deletions: str, names: list[str]) -> None:
    """Bring all rows of `deletions` back, with new ids, to leave none of them there."""
    listed, of = ", ".join(map(quoted, names)), f"main.{quoted(deletions)}"
    into = f"INSERT INTO main.{quoted(name)} ({listed})"
    connection.execute("SAVEPOINT deleted")
    try:
        connection.execute(f"{into} SELECT {listed} FROM {of}")
    except sqlite3.IntegrityError:
        for id, *row in connection.execute(f"SELECT id, {listed} FROM {of} ORDER BY id").fetchall():
            try:
                connection.execute(f"{into} VALUES ({', '.join('?' * len(row))})", row)
            except sqlite3.IntegrityError as error:
                table = Table(deletions, "", columns(connection, deletions), ())
                raise _unusable_row(table, 0, id, str(error)) from None
        raise
    finally:
        if connection.in_transaction:  # A full disk has ended it already.
            connection.execute("ROLLBACK TO deleted")
            connection.execute("RELEASE deleted")


def _unusable_row(table: Table, number: int, first: object, problem: str) -> UnusableFile:
    which = f"row {number:,} of “{shown(table.name)}”" if number else f"a row of “{shown(table.name)}”"
    name = next(iter(table.data.values())).name
    return UnusableFile(
        f"cannot be restored: {which} ({shown(name)} {shown(first)}) breaks a rule of the app: {shown(problem, 200)}. "
        "Nothing was changed. Change that row in a copy of the file, with sqlite3 for instance, then restore the copy."
    )


def _bring(connection: Connection, others: Iterable[Table], made: Iterable[Thing], odd: Iterable[Thing]) -> list[str]:
    """Bring plain tables that are none of ours; what was left out, in words."""
    taken = {each.name.lower() for each in made}
    parts = {each.name.lower() for each in made if each.type == "table"}
    parts |= {f"{each.name}_{part}".lower() for each in odd if each.is_virtual for part in _PARTS}
    latest = _latest()
    left_out = []
    for table in others:
        if table.name.lower() in parts:
            continue  # What a search of ours, or one that is left out, keeps its words in.
        if not table.data or table.name.lower() in taken or _means_something(table.name):
            left_out.append(f"table “{shown(table.name)}”")
            continue
        left_out += _generated(table)
        if _RULES.search(table.sql) or (table.name.lower() not in latest and _loses_rules(table)):
            left_out.append(f"rules of table “{shown(table.name)}”")
        connection.execute(latest.get(table.name.lower()) or _definition(table))
        for index in table.indexes:
            if index.name and index.columns and index.name.lower() not in taken:
                kind = "UNIQUE INDEX" if index.unique else "INDEX"
                of = f"{quoted(table.name)} ({', '.join(index.columns)})"
                connection.execute(f"CREATE {kind} main.{quoted(index.name)} ON {of}")
            elif index.name:
                left_out.append(f"index “{shown(index.name)}”")
        _copy_rows(connection, table)
    return left_out


def _loses_rules(table: Table) -> bool:
    """Whether the table made anew lacks a rule of a column, or a word after the columns (STRICT, WITHOUT ROWID)."""
    lost = any(
        column.loses_rules for column in table.data.values() if not (column.key and column.type.upper() == "INTEGER")
    )
    return lost or bool(_OPTIONS.search(table.sql))


def _means_something(name: str) -> bool:
    """Whether SQLite itself has something of this name that gives rows (json_each): a table would stand before it."""
    with closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.execute(f"EXPLAIN SELECT 1 FROM {quoted(name)}")
        except sqlite3.OperationalError as error:
            return "no such table" not in str(error)
    return True


def _definition(table: Table) -> str:
    """What makes such a table, in words of our own."""
    keys = sorted((column for column in table.data.values() if column.key), key=lambda column: column.key)
    is_id = len(keys) == 1 and keys[0].type.upper() == "INTEGER"
    lines = [column.sql for column in table.data.values() if not (is_id and column.key)]
    if is_id:
        counts = " AUTOINCREMENT" if _COUNTS.search(table.sql) else ""
        lines.insert(0, f"{quoted(keys[0].name)} INTEGER PRIMARY KEY{counts}")
    elif keys:
        lines.append(f"PRIMARY KEY ({', '.join(quoted(column.name) for column in keys)})")
    lines += [f"UNIQUE ({', '.join(index.columns)})" for index in table.indexes if not index.name and index.columns]
    return f"CREATE TABLE main.{quoted(table.name)} ({', '.join(lines)})"


def _go_on_counting(connection: Connection) -> None:
    """Have no id given again that the file has given."""
    given = connection.execute(
        "SELECT name, max(seq) FROM source.sqlite_sequence NOT INDEXED "
        "WHERE typeof(seq) = 'integer' AND seq BETWEEN 1 AND ? GROUP BY name",
        [LARGEST_ID],
    ).fetchall()
    counting = {each.name for each in things(connection) if _COUNTS.search(each.sql)}
    for name, number in given:
        if name in counting:
            sql = "UPDATE main.sqlite_sequence SET seq = max(seq, ?) WHERE name = ?"
            if not connection.execute(sql, [number, name]).rowcount:
                connection.execute("INSERT INTO main.sqlite_sequence (name, seq) VALUES (?, ?)", [name, number])


def _check_pages(connection: Connection, theirs: Mapping[str, Table]) -> None:
    """Raises sqlite3.DatabaseError where the pages of a table that was read are damaged, however well it read.

    What would be worked out for that, of rules and columns of the file, is not.
    """
    connection.execute("PRAGMA ignore_check_constraints = ON")
    for table in theirs.values():
        if all(not column.generated for column in table.columns):
            literal = "'" + table.name.replace("'", "''") + "'"
            found = connection.execute(f"PRAGMA source.quick_check({literal})").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(str(found).strip().splitlines()[-1])
    connection.execute("PRAGMA ignore_check_constraints = OFF")
