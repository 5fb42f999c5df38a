"""Versions of blocks of rows: each change of a row, by whichever program, gives its block another one, and no other."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlite_utils import Database
from sqlite_utils.utils import sqlite3

from app.database.sqlite_connections import Connection
from app.migrations import migrations
from app.records import row_blocks
from app.records.row_blocks import BLOCK_ROWS, MOST_BLOCKS

FIRST, SECOND, THIRD = 5, BLOCK_ROWS, BLOCK_ROWS * 2 + 7


@pytest.fixture
def connection() -> Iterator[Connection]:
    """A file with a task in each of three blocks."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrations.apply(Database(connection, recursive_triggers=False))
        connection.executemany("INSERT INTO tasks (id, title) VALUES (?, 'x')", [(FIRST,), (SECOND,), (THIRD,)])
        yield connection


def versions(connection: Connection) -> dict[int, int]:
    """The version of each block."""
    return dict(connection.execute("SELECT block, version FROM row_blocks WHERE table_name = 'tasks'"))


@pytest.mark.parametrize(
    ("change", "blocks"),
    [
        ("UPDATE tasks SET done = 1 WHERE id = 5", {0}),
        (f"UPDATE tasks SET id = {BLOCK_ROWS + 1} WHERE id = 5", {0, 1}),
        (f"UPDATE OR REPLACE tasks SET id = {SECOND} WHERE id = 5", {0, 1}),
        ("INSERT OR IGNORE INTO tasks (id, title) VALUES (5, 'y')", set()),
        ("INSERT OR IGNORE INTO tasks (id, title) VALUES (6, 'y')", {0}),
        (f"REPLACE INTO tasks (id, title) VALUES ({SECOND}, 'y')", {1}),
        (f"INSERT INTO tasks (id, title) VALUES ({SECOND}, 'y') ON CONFLICT DO UPDATE SET title = 'z'", {1}),
        (f"DELETE FROM tasks WHERE id = {THIRD}", {2}),
        (f"INSERT INTO tasks (id, title) VALUES ({BLOCK_ROWS * MOST_BLOCKS}, 'y')", {0}),
        ("INSERT INTO tasks (id, title) VALUES (-1, 'y')", {MOST_BLOCKS - 1}),
        ("DELETE FROM tasks", {0, 1, 2}),
    ],
)
def test_a_change_gives_its_blocks_another_version(connection: Connection, change: str, blocks: set[int]) -> None:
    before = versions(connection)
    connection.execute(change)
    after = versions(connection)
    assert {block for block in before | after if before.get(block) != after.get(block)} == blocks


def test_blocks_are_renewed_where_rows_are_found_otherwise_or_come_in_by_another_way(connection: Connection) -> None:
    before = versions(connection)
    row_blocks.renew(connection, "tasks", [SECOND])
    after = versions(connection)
    assert [block for block in before if before[block] != after[block]] == [1]
    row_blocks.renew_all(connection, "tasks")
    assert [block for block, version in versions(connection).items() if version != after[block]] == [0, 1, 2]
    assert row_blocks.kept_tables(connection) == ["tasks"]


def test_rows_that_were_there_before_have_a_version(connection: Connection) -> None:
    schema = Database(connection, recursive_triggers=False)
    schema.execute("CREATE TABLE books (id INTEGER PRIMARY KEY)")
    schema.execute("INSERT INTO books VALUES (1), (2), (?)", [THIRD])
    row_blocks.keep(schema, "books")
    found = connection.execute("SELECT block FROM row_blocks WHERE table_name = 'books'").fetchall()
    assert found == [(0,), (2,)]
