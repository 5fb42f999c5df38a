"""Words and keys beside the rows: ours are made with the row, those of other programs soon after, and no more often."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import patch

import html5lib
import httpx
import pytest
from sqlite_utils import Database as SqliteUtils
from sqlite_utils.utils import sqlite3

from app.database.db import Database
from app.database.preparation import prepare
from app.database.sqlite_connections import Connection
from app.migrations import migrations
from app.records import indexing
from app.records.indexing import (
    BATCH_ROWS,
    INDEXED_BYTES,
    MOST_ROWS,
    Indexing,
)
from app.records.kinds import Field, kinds
from app.records.search_words import folded
from app.records.sort_keys import LAST, sort_key
from app.tasks import KIND
from tests.engine.conftest import PATIENCE, Server
from tests.engine.watching import Follower, version_of


@pytest.fixture(autouse=True)
def kind() -> Iterator[None]:
    """The tasks are what the app is about."""
    with patch.dict(kinds, {"tasks": KIND}, clear=True):
        yield


@pytest.fixture
def connection() -> Iterator[Connection]:
    """A file of this schema, as any program opens it."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrations.apply(SqliteUtils(connection, recursive_triggers=False))
        yield connection


def noted(connection: Connection) -> list[int]:
    return [id for (id,) in connection.execute("SELECT id FROM unindexed ORDER BY id")]


def kept(connection: Connection, id: int) -> Any:
    """Words and key of a row."""
    sql = "SELECT words, sort_key FROM tasks_fts JOIN tasks_sort ON tasks_sort.id = tasks_fts.rowid WHERE id = ?"
    return connection.execute(sql, [id]).fetchone()


def add(connection: Connection, *names: str, notes: str = "") -> None:
    connection.executemany("INSERT INTO tasks (title, notes) VALUES (?, ?)", [(name, notes) for name in names])


def test_words_and_key_of_a_row_are_made_where_they_are_noted(connection: Connection) -> None:
    add(connection, "Äpfel", notes="Straße")
    assert noted(connection) == [1]
    indexing.complete(connection)
    assert noted(connection) == []
    assert kept(connection, 1) == (folded("Äpfel") + folded("Straße"), sort_key("Äpfel"))


def test_what_is_counted_of_rows_is_counted_anew_once_their_words_are_made(connection: Connection) -> None:
    add(connection, "Birne")
    sql = "SELECT version FROM row_blocks WHERE table_name = 'tasks'"
    before = connection.execute(sql).fetchall()
    indexing.complete(connection)
    assert connection.execute(sql).fetchall() != before


def test_a_new_row_stands_at_the_end_until_then_and_a_changed_one_where_it_was(connection: Connection) -> None:
    add(connection, "Birne")
    indexing.complete(connection)
    add(connection, "zoo", "Äpfel", "Aal")
    connection.execute("UPDATE tasks SET title = 'Zimt' WHERE id = 1")
    order = "SELECT title FROM tasks_sort JOIN tasks USING (id) ORDER BY sort_key, id"
    assert connection.execute(order).fetchall() == [("Zimt",), ("Aal",), ("zoo",), ("Äpfel",)]
    indexing.complete(connection)
    assert connection.execute(order).fetchall() == [("Aal",), ("Äpfel",), ("Zimt",), ("zoo",)]


def test_what_is_kept_of_a_row_goes_with_it(connection: Connection) -> None:
    add(connection, "Milk", "Bread")
    indexing.complete(connection)
    connection.execute("DELETE FROM tasks WHERE id = 1")
    indexing.complete(connection)
    for table in ("tasks_fts_content", "tasks_sort"):
        assert connection.execute(f"SELECT id FROM {table}").fetchall() == [(2,)]


@pytest.mark.parametrize(
    "title", [b"Milk", b"\xff\xfe", "a\0b", 7, "x" * 10**6, "\u0301", "日" * 5000], ids=lambda title: repr(title)[:20]
)
def test_whatever_another_program_writes_can_be_indexed(connection: Connection, title: Any) -> None:
    connection.text_factory = lambda text: text.decode(errors="replace")
    connection.execute("INSERT INTO tasks (title) VALUES (?)", [title])
    indexing.complete(connection)
    assert noted(connection) == []


def test_of_a_text_that_is_too_large_the_begin_is_kept(connection: Connection) -> None:
    add(connection, "Large", notes=f"begin {'x' * INDEXED_BYTES} end")
    indexing.complete(connection)
    words, _ = kept(connection, 1)
    assert words.startswith(f"{folded('Large')}  begin   xxx")
    assert "end" not in words


def test_many_rows_of_a_commit_are_made_with_it_and_of_more_the_newest(connection: Connection) -> None:
    add(connection, *(f"Task {number}" for number in range(MOST_ROWS)))
    indexing.complete(connection)
    assert noted(connection) == []
    add(connection, *(f"Task {number}" for number in range(MOST_ROWS + 1)))
    indexing.complete(connection)
    assert noted(connection) == list(range(MOST_ROWS + 1, 2 * MOST_ROWS + 2 - BATCH_ROWS))


def test_a_file_whose_rows_came_in_another_way_is_indexed_anew(connection: Connection) -> None:
    add(connection, "Milk", "Bread")
    indexing.complete(connection)
    connection.execute("INSERT INTO unindexed VALUES ('songs', 3)")
    indexing.note_all(connection)
    assert indexing.indexed_tables(connection) == ["tasks"]
    assert noted(connection) == [1, 2]
    assert connection.execute("SELECT * FROM tasks_sort").fetchall() == [(1, LAST), (2, LAST)]
    assert connection.execute("SELECT * FROM tasks_fts").fetchall() == []


def test_a_text_that_is_added_later_is_searched_too(connection: Connection) -> None:
    add(connection, "Milk", "Äpfel")
    indexing.complete(connection)
    before = kept(connection, 2)[1]
    connection.execute("ALTER TABLE tasks ADD COLUMN shop TEXT NOT NULL DEFAULT ''")
    indexing.keep_index(SqliteUtils(connection, recursive_triggers=False), "tasks", "title", [*KIND.searched, "shop"])
    assert noted(connection) == [1, 2]
    assert kept(connection, 2)[1] == before, "it stays in its place"
    with_shop = KIND._replace(fields=(*KIND.fields, Field("shop", "Shop", "line")))
    with patch.dict(kinds, {"tasks": with_shop}):
        indexing.complete(connection)
        connection.execute("UPDATE tasks SET shop = 'Süd' WHERE id = 1")
        assert noted(connection) == [1]
        indexing.complete(connection)
    assert kept(connection, 1)[0].endswith(folded("Süd"))


def test_rows_of_other_programs_are_caught_up_with_once(tmp_path: Path) -> None:
    path = prepare(tmp_path / "data", migrations)
    db, commits = Database(), []
    db.open(path)
    db.on_commit = lambda: commits.append(db)
    caught_up = Indexing()

    async def catch_up() -> int:
        """How many commits it took."""
        commits.clear()
        await caught_up.catch_up()
        return len(commits)

    async def look() -> None:
        await catch_up()
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN")
            add(other, *(f"Äpfel {number}" for number in range(BATCH_ROWS + 1)))
            other.execute("COMMIT")
            token = db.token()
            assert await catch_up() == 2
            assert noted(other) == []
            assert db.token() != token, "pages show what was made"
            token = db.token()
            assert [await catch_up() for _ in range(3)] == [0, 0, 0]
            other.execute("UPDATE tasks SET done = 1")
            assert await catch_up() == 0
            assert kept(other, 7)[1] == sort_key("Äpfel 6")

    try:
        with patch.object(indexing, "db", db):
            asyncio.run(look())
    finally:
        db.close()


def test_what_cannot_be_written_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = prepare(tmp_path / "data", migrations)
    db, caught_up = Database(), Indexing()
    db.open(path)
    monkeypatch.setattr(indexing, "db", db)
    monkeypatch.setattr(indexing, "RETRY_SECONDS", 0)
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            add(other, "Milk")
            with patch.object(db, "write", side_effect=sqlite3.OperationalError("database or disk is full")):
                asyncio.run(caught_up.catch_up())
            assert "disk is full" in caplog.text
            assert noted(other) == [1]
            asyncio.run(caught_up.catch_up())
            assert noted(other) == []
    finally:
        db.close()


def titles(answer: httpx.Response) -> list[str]:
    """The titles of the rows in an answer, in order."""
    assert answer.status_code == 200, answer.text
    document = html5lib.parse(answer.text, namespaceHTMLElements=False)
    return ["".join(link.itertext()) for link in document.iterfind(".//li//a[@class='title']")]


def until(found: Callable[[], object], wanted: object) -> None:
    """Wait until this is found."""
    end = time.monotonic() + PATIENCE
    while found() != wanted:
        assert time.monotonic() < end, found()
        time.sleep(0.02)


NAMES = ["zebra", "éclair", "Apfel", "Äpfel", "Apfelmus", "Donaudampfschifffahrt", "東京へ行く"]
SORTED = ["Apfel", "Äpfel", "Apfelmus", "Donaudampfschifffahrt", "éclair", "zebra", "東京へ行く"]
SEARCHES = {"dampfschiff": ["Donaudampfschifffahrt"], "apf": ["Apfelmus", "Äpfel", "Apfel"], "京": ["東京へ行く"]}


def test_rows_of_our_own_are_in_order_and_found_at_once(client: httpx.Client) -> None:
    for name in NAMES:
        assert client.post("/tasks", data={"title": name}).status_code == 303
    assert titles(client.get("/tasks?sort=title")) == SORTED
    for q, found in SEARCHES.items():
        assert titles(client.get("/tasks", params={"q": q})) == found
    assert client.post("/tasks", data={"title": "Yacht"}).status_code == 303
    id = {row["title"]: row["id"] for row in client.get("/tasks/export.json").json()}["Yacht"]
    assert client.post(f"/tasks/{id}", data={"title": "Ähre"}).status_code == 303
    assert titles(client.get("/tasks?sort=title"))[0] == "Ähre"
    assert titles(client.get("/tasks?q=yacht")) == []
    client.post(f"/tasks/{id}", data={"_method": "delete"})
    client.post(f"/tasks/{id}/restore")
    assert titles(client.get("/tasks?q=ahre")) == ["Ähre"]


def test_rows_of_other_programs_are_shown_at_once_and_soon_in_their_place(client: httpx.Client, server: Server) -> None:
    for name in NAMES:
        server.sql("INSERT INTO tasks (title) VALUES (?)", [name])
    assert sorted(titles(client.get("/tasks?sort=title"))) == sorted(NAMES)
    assert titles(client.get("/tasks?q=dampfschiff")) == ["Donaudampfschifffahrt"]
    until(lambda: titles(client.get("/tasks?sort=title")), SORTED)
    for q, found in SEARCHES.items():
        assert titles(client.get("/tasks", params={"q": q})) == found
    server.sql("REPLACE INTO tasks (id, title) SELECT id, 'Ähre' FROM tasks WHERE title = 'zebra'")
    assert titles(client.get("/tasks?q=zebra")) == []
    until(lambda: titles(client.get("/tasks?sort=title")), ["Ähre", *SORTED[:-2], SORTED[-1]])


def test_open_pages_show_a_row_of_another_program_come_to_its_place(client: httpx.Client, server: Server) -> None:
    assert client.post("/tasks", data={"title": "zebra"}).status_code == 303
    address = "/tasks?sort=title"
    with Follower(server.url) as follower:
        follower.watch(("tasks", address, version_of(server.url, address)))
        server.sql("INSERT INTO tasks (title) VALUES ('Äpfel')")
        follower.until_text("Äpfel")
        while follower.frames[-1].index("Äpfel") > follower.frames[-1].index("zebra"):
            follower.next()
