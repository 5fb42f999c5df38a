"""Rows: one is found, added, changed, deleted and brought back in the same way in every table."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sqlite_utils.utils import sqlite3
from starlette.exceptions import HTTPException

from app.database.db import db
from app.database.sqlite_connections import (
    NOW,
    SIZE,
    TEXT,
    Connection,
)
from app.records.kinds import Kind
from app.records.record_columns import Record, columns_of
from server.guard.request_bodies import FORM_LIMIT
from templates.parts.forms import LINE_LENGTH
from templates.parts.values import SHOWN_TEXT, Cut

KEPT_DELETIONS = "-30 days"
# Values of more bytes are shown by their begins, of so many characters: only other programs write them.
LARGEST_LINE = 10_000
LARGEST_TEXT = FORM_LIMIT
SHOWN = {LARGEST_LINE: LINE_LENGTH, LARGEST_TEXT: SHOWN_TEXT}


# What a form may say of the row that it was filled in from, and the condition that it is still so: the version that
# each form of ours has, and the moment of the last change, as an export has it.
SEEN = {
    "_version": """
        ? = '' || coalesce((
            SELECT version FROM row_versions WHERE table_name = '{table}' AND row_versions.id = {table}.id
        ), 0)
    """,
    "updated_at": "updated_at = ?",
}


class Conflict(Exception):
    """A row is not any more what a form was filled in from."""


async def find(kind: Kind, record: type[Record], id: str | int, *, is_deleted: bool = False) -> Record | None:
    """A row as such a record, if there is one; of values that are too large to be shown the begin, as `Cut`."""
    whole, begins = _queries(kind, record, kind.deletions if is_deleted else kind.table)
    for row in await db.read(whole, [id]):
        return record._make(row)
    for row in await db.read(begins, [id], is_long=True):
        # Each column stands beside whether it is cut.
        return record._make(Cut(value) if is_cut else value for is_cut, value in zip(row[::2], row[1::2], strict=True))
    return None


@lru_cache
def _queries(kind: Kind, record: type[Record], table: str) -> tuple[str, str]:
    """What finds a row where none of its values is too large, and what finds the begins of those that are."""
    long = {field.name for field in kind.fields if field.reads == "text"}
    most = {name: LARGEST_TEXT if name in long else LARGEST_LINE for name in record._fields}
    # What is not there is not too large either.
    whole = " AND ".join(f"({SIZE}({name}) <= {bytes}) IS NOT FALSE" for name, bytes in most.items())
    texts = {name: TEXT.format(name) for name in most}
    shown = {name: f"substr({texts[name]}, 1, {SHOWN[bytes]})" for name, bytes in most.items()}
    begins = ", ".join(
        f"{SIZE}({name}) > {bytes}, iif({SIZE}({name}) > {bytes}, {shown[name]}, {texts[name]})"
        for name, bytes in most.items()
    )
    return (
        f"SELECT {columns_of(record, texts)} FROM {table} WHERE id = ? AND {whole}",
        f"SELECT {begins} FROM {table} WHERE id = ?",
    )


async def version(table: str, id: str | int) -> str:
    """Which version of a row there is: another one after every change of it, by whichever program.

    To be read before the row: then that may be newer than its version says, never older.
    """
    found = await db.read("SELECT version FROM row_versions WHERE table_name = ? AND id = ?", [table, id])
    return str(found[0][0]) if found else "0"


def gone(noun: str) -> HTTPException:
    """The answer where there is no such row any more."""
    return HTTPException(404, f"This {noun} is gone: it was deleted, here or by another program.")


def cannot_restore(noun: str) -> HTTPException:
    """The answer where there is nothing to bring back."""
    return HTTPException(404, f"This {noun} was not deleted, or too long ago to bring it back.")


def insert(connection: Connection, table: str, columns: Mapping[str, Any]) -> int:
    """Add a row; its id."""
    names = ", ".join(columns)
    marks = ", ".join("?" * len(columns))
    cursor = connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(columns.values()))
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def update(
    connection: Connection, table: str, noun: str, id: int, columns: Mapping[str, Any], form: Mapping[str, str]
) -> None:
    """Change columns of a row that is still as the form has it which says so; 404 where it has gone meanwhile.

    Raises Conflict where it was changed meanwhile.
    """
    settings = ", ".join([*(f"{name} = ?" for name in columns), f"updated_at = {NOW}"])
    seen = [name for name in SEEN if name in form]
    where = " AND ".join(["id = ?", *(SEEN[name].format(table=table) for name in seen)])
    values = [*columns.values(), id, *(form[name] for name in seen)]
    if connection.execute(f"UPDATE {table} SET {settings} WHERE {where}", values).rowcount:
        return
    if connection.execute(f"SELECT 1 FROM {table} WHERE id = ?", [id]).fetchone():
        raise Conflict
    raise gone(noun)


def set_aside(connection: Connection, kind: Kind, id: int) -> None:
    """Delete a row and keep it among the deletions, whole; what was set aside long ago goes for good."""
    table, deletions, names = kind.table, kind.deletions, ", ".join(kind.columns)
    connection.execute(f"INSERT OR REPLACE INTO {deletions} ({names}) SELECT {names} FROM {table} WHERE id = ?", [id])
    connection.execute(f"DELETE FROM {table} WHERE id = ?", [id])
    connection.execute(
        f"DELETE FROM {deletions} WHERE deleted_at < strftime('%Y-%m-%dT%H:%M:%fZ', 'now', ?)", [KEPT_DELETIONS]
    )


def bring_back(connection: Connection, kind: Kind, id: int) -> bool:
    """Bring a deleted row back as it was; whether there was one. 409 where it cannot.

    Another program has taken its number, or has made of it what breaks a rule.
    """
    table, deletions, names = kind.table, kind.deletions, ", ".join(kind.columns)
    if connection.execute(f"SELECT 1 FROM {table} JOIN {deletions} USING (id) WHERE id = ?", [id]).fetchone():
        raise HTTPException(409, f"Number {id} is in use again, so what was deleted stays where it is kept.")
    try:
        restored = connection.execute(
            f"INSERT INTO {table} ({names}) SELECT {names} FROM {deletions} WHERE id = ? RETURNING id", [id]
        ).fetchall()
    except sqlite3.IntegrityError as error:
        raise HTTPException(
            409,
            f"What was deleted breaks a rule of the data ({error}), as another program has changed it, so it stays "
            "where it is kept.",
        ) from None
    connection.execute(f"DELETE FROM {deletions} WHERE id = ?", [id])
    return bool(restored)
