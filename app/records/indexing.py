"""The search index and the sort keys of each feature's table.

Only Python makes them (`app/records/search_words.py`, `app/records/sort_keys.py`), and any program may write rows, so
this has two halves. Triggers, which every SQLite can run, note which rows have other words than are kept for them:
`unindexed`. What is noted is made good before the same commit of ours (`complete`), and soon after a commit of others
(`catch_up`).

For a table `books`: `books_fts` has the words of each row, `books_sort` the key of its name. Until they are made, a new
row stands at the end of the order, and the search reads the rows that are noted themselves (`app/records/lists.py`).
What they keep of a row that is gone says nothing: all is asked of `books` too.
"""

import asyncio
import logging
import time
from collections.abc import Hashable, Sequence
from functools import partial

from sqlite_utils.db import Database
from sqlite_utils.utils import sqlite3

from app.database.db import LostData, db
from app.database.sqlite_connections import (
    SIZE,
    TEXT,
    Connection,
    open_value,
)
from app.records import row_blocks
from app.records.kinds import Kind, kinds
from app.records.search_words import folded
from app.records.sort_keys import LAST, sort_key

# How many rows are made good with the commit that has changed them, as a batch of an import has; more wait.
MOST_ROWS = 1000
# How many of those that wait at once, and how often is looked whether any do.
BATCH_ROWS = 500
LOOK_SECONDS = 0.3
# A disk that is full, or a file that another program holds, is not asked as often.
RETRY_SECONDS = 5
# Of larger texts, which only other programs write, the words of the begin are kept: so many bytes.
INDEXED_BYTES = 1024 * 1024
# Built into SQLite: it finds three characters and more, wherever they stand.
_SEARCH = "fts5(words, tokenize='trigram case_sensitive 1', detail=none)"

logger = logging.getLogger(__name__)


def create_unindexed(schema: Database) -> None:
    """Make the table of the rows of all features whose words are to be made."""
    schema.execute("""
        CREATE TABLE unindexed (
            table_name TEXT NOT NULL,
            id INTEGER NOT NULL,
            PRIMARY KEY (table_name, id)
        ) WITHOUT ROWID
    """)


def keep_index(schema: Database, table: str, name: str, searched: Sequence[str]) -> None:
    """Have words and keys kept for a table: `name` is the column that it is ordered by, the search is over `searched`.

    Again where these have changed. Migrations that were released call it, so what it does stays.
    """
    for event in ("insert", "update", "move", "delete"):
        schema.execute(f"DROP TRIGGER IF EXISTS {table}_index_{event}")
    schema.execute(f"CREATE TABLE IF NOT EXISTS {table}_sort (id INTEGER PRIMARY KEY, sort_key BLOB NOT NULL)")
    schema.execute(f"CREATE VIRTUAL TABLE IF NOT EXISTS {table}_fts USING {_SEARCH}")
    noted = f"SELECT id FROM unindexed WHERE table_name = '{table}'"
    schema.execute(f"INSERT INTO unindexed SELECT '{table}', id FROM {table} WHERE id NOT IN ({noted})")
    placed = f"SELECT id FROM {table}_sort"
    schema.execute(f"INSERT INTO {table}_sort SELECT id, {_place(name)} FROM {table} WHERE id NOT IN ({placed})")
    schema.execute(f"CREATE INDEX IF NOT EXISTS {table}_by_sort_key ON {table}_sort (sort_key)")
    _note_changes(schema, table, name, searched)


def note_all(connection: Connection) -> None:
    """Note every row of every table, in a file whose rows came in by another way; nothing is kept of them yet."""
    connection.execute("DELETE FROM unindexed")
    for table in indexed_tables(connection):
        connection.execute(f"DELETE FROM {table}_fts")
        connection.execute(f"DELETE FROM {table}_sort")
        connection.execute(f"INSERT INTO {table}_sort SELECT id, x'{LAST.hex()}' FROM {table}")
        connection.execute(f"INSERT INTO unindexed SELECT '{table}', id FROM {table}")
    for table in row_blocks.kept_tables(connection):
        row_blocks.renew_all(connection, table)


def indexed_tables(connection: Connection) -> list[str]:
    """The tables of which words and keys are kept."""
    sql = "SELECT tbl_name FROM sqlite_schema WHERE type = 'trigger' AND name = tbl_name || '_index_insert'"
    return [table for (table,) in connection.execute(sql)]


def complete(connection: Connection) -> None:
    """Make good what is noted in this transaction; where that is much, only for the newest rows."""
    for kind in kinds.values():
        ids = _noted(connection, kind, MOST_ROWS + 1)
        if ids:
            _index(connection, kind, ids if len(ids) <= MOST_ROWS else ids[:BATCH_ROWS])


class Indexing:
    """Makes good what other programs have written."""

    def __init__(self) -> None:
        self._seen: Hashable = None

    async def catch_up(self) -> None:
        """Make good all that is noted, if anything was committed since the last time."""
        token = db.token()
        if token == self._seen:
            return
        try:
            await self._index_all()
        except sqlite3.OperationalError as error:
            if not isinstance(error, LostData):  # That has been said.
                logger.warning("Rows of other programs could not be indexed, and will be tried again: %s.", error)
            await asyncio.sleep(RETRY_SECONDS)
            return
        self._seen = token

    async def _index_all(self) -> None:
        for kind in kinds.values():
            while await db.read("SELECT 1 FROM unindexed WHERE table_name = ? LIMIT 1", [kind.table]):
                begin = time.monotonic()
                await db.write(partial(_index_some, kind=kind))
                # Others are to have their turn.
                await asyncio.sleep((time.monotonic() - begin) / 2)


indexing = Indexing()


def _place(name: str) -> str:
    """Where a row is in the order until its key is made, in SQL: at the end, among others by the letters of ASCII."""
    return f"CAST(x'{LAST.hex()}' || coalesce(lower(substr({name}, 1, 100)), '') AS BLOB)"


def _note_changes(schema: Database, table: str, name: str, searched: Sequence[str]) -> None:
    """Make the triggers.

    Nothing in them may be in conflict with what is there: an INSERT does what the statement outside says of conflicts,
    so with OR ABORT that would fail.
    """
    changed = " OR ".join(f"old.{each} IS NOT new.{each}" for each in dict.fromkeys([name, *searched]))
    begin = f"""
        DELETE FROM unindexed WHERE table_name = '{table}' AND id = new.id;
        INSERT INTO unindexed VALUES ('{table}', new.id);
        INSERT INTO {table}_sort SELECT new.id, {_place(f"new.{name}")}
            WHERE NOT EXISTS (SELECT 1 FROM {table}_sort WHERE id = new.id);
    """
    end = f"""
        DELETE FROM unindexed WHERE table_name = '{table}' AND id = old.id;
        INSERT INTO unindexed VALUES ('{table}', old.id);
        DELETE FROM {table}_sort WHERE id = old.id;
    """
    for event, when, work in (
        ("insert", f"INSERT ON {table}", begin),
        ("update", f"UPDATE ON {table} WHEN {changed}", begin),
        ("move", f"UPDATE ON {table} WHEN old.id <> new.id", end + begin),
        ("delete", f"DELETE ON {table}", end),
    ):
        schema.execute(f"CREATE TRIGGER {table}_index_{event} AFTER {when} BEGIN {work} END")


def _index_some(connection: Connection, kind: Kind) -> None:
    ids = _noted(connection, kind, BATCH_ROWS)
    if ids:
        _index(connection, kind, ids)


def _noted(connection: Connection, kind: Kind, most: int) -> list[int]:
    """The rows of a kind that are noted, the newest first."""
    sql = "SELECT id FROM unindexed WHERE table_name = ? ORDER BY id DESC LIMIT ?"
    return [id for (id,) in connection.execute(sql, [kind.table, most])]


def _index(connection: Connection, kind: Kind, ids: Sequence[int]) -> None:
    """Make words and keys of these rows anew."""
    table, texts = kind.table, _texts(connection, kind, ids)
    keys = [(id, sort_key(each[0])) for id, each in texts.items()]
    connection.executemany(f"INSERT OR REPLACE INTO {table}_sort VALUES (?, ?)", keys)
    connection.executemany("DELETE FROM unindexed WHERE table_name = ? AND id = ?", [(table, id) for id in ids])
    gone = [(id,) for id in ids if id not in texts]
    if gone:
        connection.executemany(f"DELETE FROM {table}_sort WHERE id = ?", gone)
        connection.executemany(f"DELETE FROM {table}_fts WHERE rowid = ?", gone)
    row_blocks.renew(connection, table, ids)
    # Last: what FTS5 has in memory would be written for each statement after it.
    words = [(id, "".join(map(folded, each))) for id, each in texts.items()]
    connection.executemany(f"INSERT OR REPLACE INTO {table}_fts (rowid, words) VALUES (?, ?)", words)


def _texts(connection: Connection, kind: Kind, ids: Sequence[int]) -> dict[int, list[str]]:
    """What is searched of each of these rows that there is, the name first."""
    columns = kind.searched
    is_large = {each: f"coalesce({SIZE}({each}) > {INDEXED_BYTES}, 0)" for each in columns}
    cells = ", ".join(f"{is_large[each]}, iif({is_large[each]}, '', {TEXT.format(each)})" for each in columns)
    marks = ", ".join("?" * len(ids))
    rows = connection.execute(f"SELECT id, {cells} FROM {kind.table} WHERE id IN ({marks}) ORDER BY id", ids).fetchall()
    return {
        id: [
            _begin(connection, kind.table, column, id) if is_cut else "" if text is None else str(text)
            for column, is_cut, text in zip(columns, found[::2], found[1::2], strict=True)
        ]
        for id, *found in rows
    }


def _begin(connection: Connection, table: str, column: str, id: int) -> str:
    """The begin of a text that is too large."""
    piece = open_value(connection, table, column, id)
    try:
        return bytes(piece.read(INDEXED_BYTES)).decode(errors="replace")
    finally:
        piece.close()
