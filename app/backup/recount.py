"""What triggers count, in a file that is filled with rows: counters are counted again, searches are made anew.

A counter is a column that a trigger of another table updates. Which those are is asked of SQLite, which names every
column that a statement would change, and the trigger that would do it. So a feature has nothing to declare.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from sqlite_utils.utils import sqlite3

from app.backup.foreign_file import (
    Column,
    Thing,
    columns,
    quoted,
    things,
)
from app.database.sqlite_connections import Connection

# The code of the authorizer for the change of a column: https://www.sqlite.org/c3ref/c_alter_table.html
UPDATE = 23


class Counters(NamedTuple):
    """The columns that are counted, by table in small letters, and the triggers that count."""

    columns: dict[str, set[str]]
    triggers: set[str]


def counters(connection: Connection, tables: Iterable[str]) -> Counters:
    """What the triggers of these tables count in others."""
    found = Counters({}, set())
    rows = connection.execute("SELECT name, tbl_name FROM sqlite_schema WHERE type = 'trigger'")
    table_of = dict(rows.fetchall())

    def note(action: int, table: str | None, column: str | None, schema: str | None, trigger: str | None) -> int:
        if action == UPDATE and trigger and table and column and trigger in table_of and table_of[trigger] != table:
            found.columns.setdefault(table.lower(), set()).add(column)
            found.triggers.add(trigger)
        return 0

    statements = [statement for table in tables for statement in _statements(connection, table)]
    # An explanation may hold bytes that are no text.
    text_factory, connection.text_factory = connection.text_factory, bytes
    connection.set_authorizer(note)
    try:
        for statement in statements:
            connection.execute(f"EXPLAIN {statement}").fetchall()
    finally:
        connection.text_factory = text_factory
        connection.set_authorizer(None)
    return found


@contextmanager
def triggers_only(connection: Connection, names: set[str]) -> Iterator[None]:
    """Have only these triggers while the context lasts, and then all again."""
    others = [each for each in things(connection) if each.type == "trigger" and each.name not in names]
    for each in others:
        connection.execute(f"DROP TRIGGER main.{quoted(each.name)}")
    yield
    for each in others:
        connection.execute(each.sql)


def complete(connection: Connection, table: str, counted: set[str], theirs: dict[str, Column]) -> None:
    """Give a table with counters what it does not count of the same table of `source`: of each row, and other rows.

    Rows are the same where their primary keys are.
    """
    own = [column for column in columns(connection, table) if column.name.lower() in theirs]
    if not any(column.key for column in own):
        return
    into, of = f"main.{quoted(table)}", f"source.{quoted(table)} AS theirs NOT INDEXED"
    names = ", ".join(quoted(column.name) for column in own)
    same = " AND ".join(f"theirs.{name} = ours.{name}" for name in (quoted(each.name) for each in own if each.key))
    kept = [quoted(column.name) for column in own if not column.key and column.name not in counted]
    if kept:
        changes = ", ".join(f"{name} = theirs.{name}" for name in kept)
        connection.execute(f"UPDATE {into} AS ours SET {changes} FROM {of} WHERE {same}")
    others = f"SELECT {names} FROM {of} WHERE NOT EXISTS (SELECT 1 FROM {into} AS ours WHERE {same})"
    connection.execute(f"INSERT INTO {into} ({names}) {others}")


def rebuild_searches(connection: Connection) -> list[Thing]:
    """Make the words of each search anew from the rows that it is of; the virtual tables where that cannot be done."""
    failed = []
    for each in things(connection):
        if each.is_virtual:
            try:
                connection.execute(f"INSERT INTO main.{quoted(each.name)} ({quoted(each.name)}) VALUES ('rebuild')")
            except sqlite3.OperationalError:
                failed.append(each)
    return failed


def _statements(connection: Connection, table: str) -> list[str]:
    """What fires every trigger of a table."""
    every = ", ".join(f"{quoted(each.name)} = NULL" for each in columns(connection, table) if not each.generated)
    name = f"main.{quoted(table)}"
    return [f"INSERT INTO {name} DEFAULT VALUES", f"UPDATE {name} SET {every}", f"DELETE FROM {name}"]
