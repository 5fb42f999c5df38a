"""The pages of a list: the same as if all rows were read, picked out and sorted, whichever way they are found."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils.utils import sqlite3

from app.database.db import db
from app.database.preparation import prepare
from app.database.sqlite_connections import Connection
from app.migrations import migrations
from app.records import deep_pages, indexing, lists
from app.records.kinds import kinds
from app.records.list_queries import backwards
from app.records.row_blocks import BLOCK_ROWS
from app.records.search_words import folded, sought
from app.records.sort_keys import sort_key
from app.tasks import KIND, tasks_of
from templates.tasks import SORTS, STATUSES, TaskQuery

WORDS = ("milk", "Milch", "Zoë", "äpfel", "apple", "東京都", "b", "🌱", "buttermilk", "Zug", "!!")
TYPED = (*WORDS, "mil", "z", "京", "ap", "milkbutter", "nothing", "tt", "zoe")
TITLES = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join)
DAYS = st.sampled_from([None, "2026-05-01", "2026-05-02"])
ROWS = st.lists(st.tuples(TITLES, st.sampled_from(["", "milk", "🌱 zug"]), DAYS, st.integers(0, 1)), max_size=30)
CHANGES = st.tuples(st.integers(0, 29), TITLES | st.none(), st.booleans())
# The rows are in several blocks.
APART = BLOCK_ROWS * 2 // 5
ORDERS = {
    "newest": lambda row: -row["id"],
    "oldest": lambda row: row["id"],
    "due": lambda row: (row["due"] is None, row["due"] or "", row["id"]),
    "title": lambda row: (sort_key(row["title"]), row["id"]),
}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """The app's file, opened, and a connection of another program."""
    path = prepare(tmp_path_factory.mktemp("lists"), migrations)
    db.open(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection, patch.dict(kinds, {"tasks": KIND}):
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA synchronous = OFF")
        yield connection
    db.close()


def fill(file: Connection, rows: list[tuple[Any, ...]], indexed: int) -> None:
    """Have these rows alone in the file; of those after the first `indexed` the words of an older text are kept."""
    file.execute("BEGIN IMMEDIATE")
    file.execute("DELETE FROM tasks")
    for at, (title, notes, due, done) in enumerate(rows):
        older = (title, notes) if at < indexed else ("apple milk", "zug")
        sql = "INSERT INTO tasks (id, title, notes, due, done) VALUES (?, ?, ?, ?, ?)"
        file.execute(sql, [at * APART, *older, due, done])
    indexing.complete(file)
    for at, (title, notes, *_) in enumerate(rows[indexed:], indexed):
        change(file, at, title, notes)
    file.execute("COMMIT")


def change(file: Connection, at: int, title: str | None, notes: str = "") -> None:
    """Give a row other texts, or delete it; its words are not kept yet."""
    if title is None:
        file.execute("DELETE FROM tasks WHERE id = ?", [at * APART])
        return
    file.execute("UPDATE tasks SET title = ?, notes = ? WHERE id = ?", [title, notes, at * APART])
    # The order by name is made, so that it can be told.
    file.execute("UPDATE tasks_sort SET sort_key = ? WHERE id = ?", [sort_key(title), at * APART])


def expected(file: Connection, query: TaskQuery) -> list[int]:
    """The numbers of all rows that a list is over, in order."""
    noted = {id for (id,) in file.execute("SELECT id FROM unindexed")}

    def is_found(row: Any) -> bool:
        text = f"{row['title']}\n{row['notes']}"
        words = folded(row["title"]) + folded(row["notes"])
        for word in query.q.split():
            key = sought(word)
            if not key:
                found = word in text
            elif row["id"] in noted:
                # As far as SQLite itself can tell: it knows the small letters of ASCII alone.
                lower = {capital: capital + 32 for capital in range(65, 91)}
                found = word.translate(lower) in text.translate(lower)
            else:
                found = key in words
            if not found:
                return False
        return query.status in ("all", "done" if row["done"] else "open")

    rows = [row for row in file.execute("SELECT * FROM tasks") if is_found(row)]
    return [row["id"] for row in sorted(rows, key=ORDERS[query.sort])]


QUERIES = st.builds(
    TaskQuery,
    q=st.lists(st.sampled_from(TYPED), max_size=2).map(" ".join) | st.just(""),
    sort=st.sampled_from(list(SORTS)),
    status=st.sampled_from(list(STATUSES)),
    page=st.integers(1, 9),
    pages=st.integers(1, 3),
)


@settings(max_examples=100)
@given(
    rows=ROWS,
    indexed=st.integers(0, 40),
    asked=st.lists(st.tuples(QUERIES, CHANGES), min_size=5, max_size=5),
    few_blocks=st.sampled_from([0, 2, 32]),
    bounds=st.fixed_dictionaries(
        {
            "PAGE_ROWS": st.integers(1, 4),
            "COUNT_LIMIT": st.integers(0, 9),
            "ASKED_ROWS": st.sampled_from([0, 9, 99]),
            "FOLLOWED_ROWS": st.sampled_from([0, 9, 99]),
            "FOLLOWED_PART": st.sampled_from([0.3, 9.0]),
            "DEEP_PAGE": st.integers(0, 4),
        }
    ),
)
def test_pages_and_counts_are_those_of_all_rows_picked_out_and_sorted(
    file: Connection,
    rows: list[tuple[Any, ...]],
    indexed: int,
    asked: list[tuple[TaskQuery, tuple[int, str | None, bool]]],
    few_blocks: int,
    bounds: dict[str, float],
) -> None:
    fill(file, rows, indexed)
    with patch.multiple(lists, **bounds), patch.object(deep_pages, "FEW_BLOCKS", few_blocks):
        for query, (at, title, is_indexed) in asked:
            change(file, at, title)
            if is_indexed:
                indexing.complete(file)
            shown = asyncio.run(tasks_of(query))
            ids = expected(file, query)
            begin, end = (query.page - 1) * lists.PAGE_ROWS, (query.page - 1 + query.pages) * lists.PAGE_ROWS
            assert [row.id for row in shown.rows] == ids[begin:end], query
            assert shown.more == (len(ids) > end), query
            assert shown.found == (lists.count_in_words(len(ids), "found") if query.q else ""), query


@pytest.mark.parametrize(
    ("order", "reverse"),
    [("id", "id DESC"), ("id DESC", "id"), ("due IS NULL, due DESC, id", "due IS NULL DESC, due, id DESC")],
)
def test_an_order_is_turned_round(order: str, reverse: str) -> None:
    assert backwards(order) == reverse
