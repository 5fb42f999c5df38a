"""What a file from outside holds: plain tables, and what goes before SQLite is asked for a row."""

from contextlib import closing, suppress
from pathlib import Path

import pytest
from sqlite_utils.utils import sqlite3

from app.backup.foreign_file import (
    Column,
    UnusableFile,
    copied,
    quoted,
    read_only,
    shown,
    tables,
    type_of,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with plain tables and other things."""
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as connection:
        connection.execute(
            "CREATE TABLE Songs (id INTEGER PRIMARY KEY, title TEXT NOT NULL DEFAULT 'x', twice AS (title))"
        )
        connection.execute("CREATE UNIQUE INDEX songs_by_title ON Songs (title COLLATE NOCASE DESC)")
        connection.execute("CREATE INDEX songs_by_length ON Songs (length(title))")
        connection.execute("CREATE INDEX some_songs ON Songs (title) WHERE id > 1")
        connection.execute("CREATE VIEW v AS SELECT 1")
        connection.execute("CREATE VIRTUAL TABLE words USING fts5(text)")
        connection.execute("CREATE TRIGGER t AFTER INSERT ON Songs BEGIN SELECT 1; END")
        connection.execute("INSERT INTO Songs (title) VALUES ('Yesterday')")
    return tmp_path / "a.db"


def test_what_could_be_run_goes_and_tables_stay(file: Path, tmp_path: Path) -> None:
    before = file.read_bytes()
    odd = copied(file, tmp_path / "copy.db")
    assert [thing.words for thing in odd] == ["view “v”", "virtual table “words”", "trigger “t”"]
    assert file.read_bytes() == before
    found = tables(tmp_path / "copy.db")
    assert set(found) == {"songs", "words_data", "words_idx", "words_content", "words_docsize", "words_config"}
    songs = found["songs"]
    assert (songs.name, list(songs.data)) == ("Songs", ["id", "title"])
    assert [column.name for column in songs.columns if column.generated] == ["twice"]
    assert {index.name: index.columns for index in songs.indexes} == {
        "songs_by_title": ('"title" COLLATE NOCASE DESC',),
        "songs_by_length": (),
        "some_songs": (),
    }
    with closing(read_only(tmp_path / "copy.db")) as connection:
        assert connection.execute("SELECT title FROM Songs").fetchall() == [("Yesterday",)]
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("DELETE FROM Songs")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE sqlite_schema SET type = 'table' WHERE name = 'v'",
        "UPDATE sqlite_schema SET type = 'table', rootpage = 2 WHERE name = 'v'",
        "UPDATE sqlite_schema SET sql = 'create/**/virtual table x using fts5(a)' WHERE name = 'v'",
        "UPDATE sqlite_schema SET rootpage = 0 WHERE name = 'words_idx'",
        "UPDATE sqlite_schema SET rootpage = 1 WHERE name = 'words_idx'",
        "UPDATE sqlite_schema SET rootpage = 'x' WHERE name = 'words_idx'",
        "UPDATE sqlite_schema SET tbl_name = 'other' WHERE name = 'words_idx'",
        "UPDATE sqlite_schema SET name = x'ff' WHERE name = 'v'",
        "UPDATE sqlite_schema SET sql = NULL WHERE name = 'words_idx'",
        "INSERT INTO sqlite_schema VALUES ('thing', 'x', 'x', 2, 'CREATE TABLE x (a)')",
    ],
)
def test_what_only_looks_like_a_table_goes_too(file: Path, tmp_path: Path, change: str) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(change)
    odd = copied(file, tmp_path / "copy.db")
    with closing(read_only(tmp_path / "copy.db")) as connection:
        left = connection.execute("SELECT type, sql FROM sqlite_schema").fetchall()
        assert {type for type, _ in left} == {"table", "index"}
        assert all(sql is None or sql.startswith("CREATE ") for _, sql in left)
        assert connection.execute("SELECT title FROM Songs").fetchall() == [("Yesterday",)]
    assert len(odd) >= 3


def test_two_tables_in_one_place_are_damage(file: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET rootpage = 2 WHERE name = 'words_idx'")
    with pytest.raises(sqlite3.DatabaseError, match="same place"):
        copied(file, tmp_path / "copy.db")


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0", b"SQLite format 3\0" + bytes(84), bytes(5000)])
def test_what_is_no_file_of_sqlite_has_no_table(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.db").write_bytes(content)
    found = {}
    with suppress(sqlite3.DatabaseError):
        copied(tmp_path / "a.db", tmp_path / "copy.db")
        found = tables(tmp_path / "copy.db")
    assert found == {}


def test_a_schema_without_end_is_noticed_before_sqlite_reads_it(file: Path, tmp_path: Path) -> None:
    """Pages of the schema that name each other, as a tree that never ends."""
    whole = bytearray(file.read_bytes())
    whole[100:112] = b"\x05\0\0\0\x02\0\0\0\0\0\0\x01"
    whole[112:116] = (200).to_bytes(2, "big") * 2
    whole[200:204] = (1).to_bytes(4, "big")
    file.write_bytes(whole)
    with pytest.raises(UnusableFile, match="more than"):
        copied(file, tmp_path / "copy.db")


@pytest.mark.parametrize(
    ("declared", "is_made"),
    [
        ("", ""),
        ("INTEGER", "INTEGER"),
        ("varchar(20)", "varchar(20)"),
        ("DECIMAL(10, 2)", "DECIMAL(10, 2)"),
        ("DOUBLE PRECISION", "DOUBLE PRECISION"),
        ("UNSIGNED BIG INT", "INT"),
        ("TEXT CHECK (0)", "TEXT"),
        ("INT) ; DROP TABLE tasks", "INT"),
        ("FLOATING", "REAL"),
        ("x\0y", "NUMERIC"),
        ("DATE DEFAULT", "NUMERIC"),
    ],
)
def test_a_type_is_only_a_type(declared: str, is_made: str) -> None:
    assert type_of(declared) == is_made


@pytest.mark.parametrize(
    ("required", "default", "sql"),
    [
        (False, None, '"a""b" TEXT'),
        (True, None, '"a""b" TEXT'),
        (True, "'it''s'", "\"a\"\"b\" TEXT NOT NULL DEFAULT 'it''s'"),
        (False, "-1.5", '"a""b" TEXT DEFAULT -1.5'),
        (True, "NULL", '"a""b" TEXT DEFAULT NULL'),
        (True, "current_timestamp", '"a""b" TEXT NOT NULL DEFAULT current_timestamp'),
        (True, "randomblob(5)", '"a""b" TEXT'),
        (True, "'x') CHECK (0", '"a""b" TEXT'),
        (True, "'a'||'b'", '"a""b" TEXT'),
    ],
)
def test_a_column_is_made_in_words_of_our_own(required: bool, default: str | None, sql: str) -> None:
    assert Column('a"b', "TEXT", required, default, 0, False).sql == sql


def test_names_are_shown_and_quoted_so_that_they_are_only_names() -> None:
    assert (
        shown("a\x1b[2J\u202eb\nc")
        == "a\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c"
    )
    assert shown("x" * 100) == "x" * 60 + "…"
    assert quoted('a"; DROP TABLE b') == '"a""; DROP TABLE b"'
