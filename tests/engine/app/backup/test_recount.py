"""What triggers count is counted again, whatever a file says; everything else of a row is the file's."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database
from sqlite_utils.utils import sqlite3

from app.backup.foreign_file import columns
from app.backup.recount import (
    complete,
    counters,
    rebuild_searches,
    triggers_only,
)

# As features of a fork may have it: a counter in a table of its own, one in a row that people write, and no counter.
SCHEMA = """
CREATE TABLE posts (id INTEGER PRIMARY KEY, title TEXT, comments INTEGER NOT NULL DEFAULT 0);
CREATE TABLE comments (id INTEGER PRIMARY KEY, post INTEGER, text TEXT, changed TEXT);
CREATE TABLE totals (kind TEXT PRIMARY KEY, count INTEGER, words TEXT);
INSERT INTO totals VALUES ('comments', 0, 'as made');
CREATE TABLE log (id INTEGER PRIMARY KEY, said TEXT);
CREATE TRIGGER count_up AFTER INSERT ON comments BEGIN
    INSERT INTO totals VALUES ('comments', 1, '') ON CONFLICT DO UPDATE SET count = count + 1;
    UPDATE posts SET comments = comments + 1 WHERE id = new.post;
END;
CREATE TRIGGER touch AFTER INSERT ON comments BEGIN UPDATE comments SET changed = 'now' WHERE id = new.id; END;
CREATE TRIGGER note AFTER INSERT ON comments BEGIN INSERT INTO log (said) VALUES (new.text); END;
CREATE TRIGGER keep BEFORE DELETE ON log BEGIN SELECT RAISE(ABORT, 'the log is kept'); END;
"""
TABLES = ("posts", "comments", "totals", "log")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Such a schema, without a row, beside `source`, which has rows and lies."""
    with closing(sqlite3.connect(tmp_path / "source.db")) as source:
        source.executescript(SCHEMA)
        source.executescript("""
            INSERT INTO posts VALUES (1, 'One', 0), (2, 'Two', 0);
            INSERT INTO comments (post, text) VALUES (1, 'a'), (1, 'b'), (2, 'c');
            UPDATE totals SET count = 999, words = 'of a person';
            INSERT INTO totals VALUES ('others', 5, 'by hand');
        """)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(SCHEMA)
        connection.execute("ATTACH ? AS source", [str(tmp_path / "source.db")])
        yield connection


def test_sqlite_says_what_is_counted_and_by_what(connection: sqlite3.Connection) -> None:
    found = counters(connection, TABLES)
    assert found.columns == {"totals": {"count"}, "posts": {"comments"}}
    assert found.triggers == {"count_up"}, "a row that its own trigger changes is no counter"


def test_only_those_triggers_work_for_a_while(connection: sqlite3.Connection) -> None:
    with triggers_only(connection, {"count_up"}):
        connection.execute("INSERT INTO comments (post, text) VALUES (1, 'a')")
        assert connection.execute("SELECT changed FROM comments").fetchall() == [(None,)]
        assert connection.execute("SELECT count FROM totals").fetchall() == [(1,)]
    connection.execute("INSERT INTO comments (post, text) VALUES (1, 'b')")
    assert connection.execute("SELECT said FROM log").fetchall() == [("b",)]


def test_what_is_not_counted_is_of_the_file(connection: sqlite3.Connection) -> None:
    with triggers_only(connection, {"count_up"}):
        connection.execute("INSERT INTO comments SELECT * FROM source.comments")
    for table, counted in counters(connection, TABLES).columns.items():
        theirs = {column.name: column for column in columns(connection, table)}
        complete(connection, table, counted, theirs)
    totals = connection.execute("SELECT * FROM totals ORDER BY kind").fetchall()
    assert totals == [("comments", 3, "of a person"), ("others", 5, "by hand")]
    posts = connection.execute("SELECT * FROM posts ORDER BY id").fetchall()
    assert posts == [(1, "One", 2), (2, "Two", 1)], "rows that people write come, with what they say themselves"


def test_a_search_is_made_anew_and_what_cannot_be_is_named(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE VIRTUAL TABLE places USING rtree(id, a, b)")
    Database(connection).table("comments").enable_fts(["text"])
    connection.execute("INSERT INTO comments (post, text) VALUES (1, 'Hamlet')")
    assert [each.words for each in rebuild_searches(connection)] == ["virtual table “places”"]
    found = connection.execute("SELECT rowid FROM comments_fts WHERE comments_fts MATCH 'hamlet'").fetchall()
    assert found == [(1,)]
