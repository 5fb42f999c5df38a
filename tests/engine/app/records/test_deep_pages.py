"""Deep pages: only blocks that have changed are counted anew. test_list_queries.py holds that the pages are right."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils.utils import sqlite3

from app.database.db import db
from app.database.preparation import prepare
from app.database.sqlite_connections import Connection
from app.migrations import migrations
from app.records import deep_pages, search_query
from app.records.list_queries import NEWEST, Listed, Statement
from app.records.row_blocks import BLOCK_ROWS, MOST_BLOCKS
from app.tasks import KIND

IDS = [1, 2, BLOCK_ROWS, BLOCK_ROWS + 3, BLOCK_ROWS * 4, BLOCK_ROWS * 4 + 9]
LIST = Listed("tasks", KIND.searched, search_query.parse("!"))


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Connection]:
    """The app's file, opened, with tasks in three blocks, and a connection of another program."""
    path = prepare(tmp_path / "data", migrations)
    db.open(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executemany("INSERT INTO tasks (id, title) VALUES (?, 'x!')", [(id,) for id in IDS])
        yield connection
    db.close()


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Which spans of a list are counted from now on."""
    spans: list[tuple[int, int]] = []
    count = deep_pages._counted

    async def noted(listed: Listed) -> list[Any]:
        spans.append(listed.span)
        return await count(listed)

    monkeypatch.setattr(deep_pages, "_counted", noted)
    monkeypatch.setattr(deep_pages, "_kept", type(deep_pages._kept)())
    return spans


def page(offset: int, listed: Listed = LIST) -> list[int] | None:
    """The numbers of two rows from the newest on."""
    return asyncio.run(deep_pages.ids_of(listed, NEWEST, 2, offset))


def test_what_has_not_changed_is_not_counted_again(file: Connection, counted: list[tuple[int, int]]) -> None:
    assert page(3) == IDS[1:3][::-1]
    assert len(counted) == 3
    counted.clear()
    assert page(1) == IDS[3:5][::-1]
    file.execute("UPDATE tasks SET title = 'none' WHERE id = ?", [BLOCK_ROWS])
    assert page(2) == [IDS[3], IDS[1]]
    assert counted == [(BLOCK_ROWS, BLOCK_ROWS * 2 - 1)]
    assert page(9) == []


def test_the_counts_of_few_lists_are_kept(file: Connection, counted: list[tuple[int, int]]) -> None:
    for number in range(deep_pages.KEPT_LISTS + 3):
        assert page(0, LIST._replace(condition=Statement("id <> ?", (-number,)))) == IDS[:-3:-1]
    assert len(deep_pages._kept) == deep_pages.KEPT_LISTS


@pytest.mark.parametrize("id", [-1, BLOCK_ROWS * MOST_BLOCKS])
def test_numbers_that_are_not_in_the_blocks_are_found_in_another_way(file: Connection, id: int) -> None:
    file.execute("INSERT INTO tasks (id, title) VALUES (?, 'x!')", [id])
    assert page(0) is None


def test_where_no_versions_are_kept_or_no_row_is_there_pages_are_found_in_another_way(file: Connection) -> None:
    file.execute("DELETE FROM row_blocks")
    assert page(0) is None
    file.execute("DELETE FROM tasks")
    assert page(0) is None
