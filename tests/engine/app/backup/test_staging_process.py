"""A file from outside that is restored: its rows come, whatever else stands in it; nothing of it is run."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlite_utils import Database
from sqlite_utils.utils import sqlite3

import app.backup.backups
from app.backup.backups import BackupError, backup, restore
from app.backup.staging_process import stage
from app.database.sqlite_connections import connect
from app.migrations import migrations
from tests.engine.app.backup.test_backups import is_refused, untouched
from tests.engine.conftest import DELETIONS, PROJECT, Server
from tests.engine.server.commands.test_cli import command, server_py
from tests.importing import bring

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
NOTES = '"My ""notes"""'
# Never ends, within one step of SQLite's machine.
BACKTRACKING = f"{'a' * 60!r} LIKE '{'%a' * 40}%b'"


@pytest.fixture
def data(tmp_path: Path, made: Path) -> Path:
    """A data directory with one task in it, “Before”."""
    shutil.copytree(made, tmp_path / "data")
    with closing(connect(tmp_path / "data" / "app.db")) as connection:
        connection.execute("INSERT INTO tasks (title) VALUES ('Before')")
    return tmp_path / "data"


@pytest.fixture
def file(tmp_path: Path, made: Path) -> Path:
    """A file of this app with three tasks, one of them done."""
    path = shutil.copytree(made, tmp_path / "theirs") / "app.db"
    with closing(connect(path)) as connection:
        connection.execute("INSERT INTO tasks (title, done) VALUES ('Dune', 0), ('Emma', 1), ('Ulysses', 0)")
    return path


def write(file: Path, *statements: str) -> None:
    """Have whoever made the file do this to it."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            connection.execute(statement)


def read(file: Path, query: str = "SELECT title FROM tasks ORDER BY id") -> list[Any]:
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        rows = connection.execute(query).fetchall()
    return [row[0] if len(row) == 1 else row for row in rows]


def schema(file: Path) -> list[Any]:
    """All that the schema has, whatever its order."""
    return read(file, "SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%' ORDER BY 1, 2")


def left_out(said: str) -> str:
    found = re.search(r"^Left out, as it is not only rows: (.*)\.$", said, re.MULTILINE)
    return found[1] if found else ""


# What comes


def test_what_an_import_made_is_still_known_as_its_own(data: Path, file: Path) -> None:
    write(
        file,
        "DELETE FROM tasks",
        "INSERT INTO tasks (id, title) VALUES (70, 'untouched'), (71, 'changed'), (72, 'another')",
        "UPDATE tasks SET notes = 'x' WHERE id = 71",
        "INSERT INTO imports (id, filename, state, process, kind) VALUES (3, 'a.csv', 'done', 7, 'tasks')",
        "INSERT INTO imported_rows (import_id, row_id, version) VALUES (3, 70, 0), (3, 71, 0), (3, 99, 0)",
    )
    restore(data, file)
    unchanged = """
        SELECT row_id FROM imported_rows AS made JOIN row_versions AS now
        ON now.id = row_id AND now.version = made.version AND made.version <> 0
    """
    assert read(data / "app.db", unchanged) == [70]
    assert sorted(read(data / "app.db", "SELECT id FROM row_versions WHERE table_name = 'tasks'")) == [70, 71, 72]


def test_rows_of_every_table_come_as_they_were(data: Path, file: Path, tmp_path: Path, made: Path) -> None:
    write(
        file,
        "INSERT INTO tasks (title, notes) VALUES (CAST(x'4361666520e9' AS TEXT), CAST(x'ff00fe' AS TEXT))",
        "INSERT INTO tasks (title, notes) VALUES ('a' || char(0) || 'b', x'00ff')",
        "INSERT INTO imports (filename, state, process, kind) VALUES ('a.csv', 'done', 7, 'tasks')",
        "INSERT INTO imported_rows (import_id, row_id, version) VALUES (1, 2, 5)",
    )
    tables = ("tasks", DELETIONS, "imports", "imported_rows", "_sqlite_migrations")
    columns = {table: ", ".join(read(file, f"SELECT name FROM pragma_table_info('{table}')")) for table in tables}
    exact = {table: f"SELECT hex({columns[table].replace(', ', ') , hex(')}) FROM {table}" for table in tables}
    before = {table: read(file, exact[table]) for table in tables}
    assert left_out(restore(data, file)) == ""
    assert {table: read(data / "app.db", exact[table]) for table in tables} == before
    assert schema(data / "app.db") == schema(made / "app.db")
    assert read(data / "app.db", "SELECT id FROM unindexed ORDER BY id") == [1, 2, 3, 4, 5]
    assert read(data / "app.db", "SELECT id FROM tasks_sort ORDER BY id") == [1, 2, 3, 4, 5]


def test_tables_and_columns_that_people_have_added_come_along(data: Path, file: Path) -> None:
    write(
        file,
        "ALTER TABLE tasks ADD COLUMN colour VARCHAR(20) NOT NULL DEFAULT 'it''s white'",
        "UPDATE tasks SET colour = 'red' WHERE id = 2",
        f'CREATE TABLE {NOTES} (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT, "from" DATE, size DOUBLE, any)',
        f"INSERT INTO {NOTES} VALUES (41, 'One', '2020-01-01', 1.5, x'00')",
        f"DELETE FROM {NOTES} WHERE id = 41",
        f"INSERT INTO {NOTES} VALUES (7, 'Two', '2020-01-01', 2.5, x'00')",
        "CREATE TABLE pairs (a TEXT, b INT, PRIMARY KEY (b, a), UNIQUE (a)) WITHOUT ROWID",
        "INSERT INTO pairs VALUES ('x', 1)",
        "CREATE INDEX pairs_by_a ON pairs (a COLLATE NOCASE DESC)",
    )
    said = restore(data, file)
    assert left_out(said) == "rules of table “pairs”"
    assert '1 in My "notes"' in said
    path = data / "app.db"
    assert read(path, "SELECT colour FROM tasks ORDER BY id") == ["it's white", "red", "it's white"]
    assert read(path, f"SELECT * FROM {NOTES}") == [(7, "Two", "2020-01-01", 2.5, b"\0")]
    asked = 'SELECT name, type, "notnull", dflt_value FROM pragma_table_info(?)'
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute(asked, ["tasks"]).fetchall()[-1] == ("colour", "VARCHAR(20)", 1, "'it''s white'")
        types = [type for _, type, *_ in connection.execute(asked, ['My "notes"'])]
        assert types == ["INTEGER", "TEXT", "DATE", "DOUBLE", ""]
        (id,) = connection.execute(f"INSERT INTO {NOTES} (text) VALUES ('Three') RETURNING id").fetchone()
        assert id == 42
        with pytest.raises(sqlite3.IntegrityError, match=r"UNIQUE.*pairs\.a"):
            connection.execute("INSERT INTO pairs VALUES ('x', 2)")
        found = connection.execute("SELECT name FROM pragma_index_list('pairs') WHERE origin = 'c'").fetchall()
        assert found == [("pairs_by_a",)]


def test_the_migrations_of_another_tool_stay(data: Path, file: Path) -> None:
    write(file, "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('other', 'theirs', '2031')")
    restore(data, file)
    assert read(data / "app.db", "SELECT name FROM _sqlite_migrations WHERE migration_set = 'other'") == ["theirs"]


def test_no_id_is_given_twice(data: Path, file: Path) -> None:
    write(file, "INSERT INTO tasks (id, title) VALUES (50, 'Deleted')", "DELETE FROM tasks WHERE id = 50")
    restore(data, file)
    write(data / "app.db", "INSERT INTO tasks (title) VALUES ('Later')")
    assert read(data / "app.db", "SELECT max(id) FROM tasks") == [51]


@pytest.fixture
def numbered(server: Server) -> Iterator[Server]:
    """The server, whose tasks are numbered from 1 on, before and after."""
    server.sql("DELETE FROM sqlite_sequence WHERE name = 'tasks'")
    yield server
    server.empty()
    server.sql("DELETE FROM sqlite_sequence WHERE name = 'tasks'")


def test_a_row_with_a_long_id_is_backed_up_restored_and_shown(
    client: httpx.Client, numbered: Server, tmp_path: Path
) -> None:
    numbered.add(1)
    numbered.sql("INSERT INTO tasks (id, title) VALUES (175928847299117063, 'A'), (4611686018427387904, 'B')")
    backup(numbered.data, tmp_path / "copy.db")
    restore(numbered.data, tmp_path / "copy.db")
    client.post("/tasks", data={"title": "Later"})
    backup(numbered.data, tmp_path / "later.db")
    restore(numbered.data, tmp_path / "later.db")
    last = 4611686018427387905
    assert numbered.sql("SELECT max(id) FROM tasks")[0][0] == last
    assert client.get(f"/tasks/{last}").status_code == 200


def test_numbers_that_are_used_up_are_said_and_an_earlier_backup_mends_it(
    client: httpx.Client, numbered: Server, tmp_path: Path
) -> None:
    numbered.add(2)
    backup(numbered.data, tmp_path / "earlier.db")
    numbered.add(3)
    numbered.sql("INSERT INTO tasks (id, title) VALUES (9223372036854775807, 'Last')")
    assert "cannot be restored as it is: a row of “tasks”" in backup(numbered.data, tmp_path / "copy.db")
    numbered.sql("DELETE FROM tasks WHERE id = 9223372036854775807")
    refused = client.post("/tasks", data={"title": "Another"})
    assert refused.status_code == 507
    assert "the table “tasks” has no number left" in refused.text
    assert "Make room on the disk" not in refused.text
    assert "no number left" in bring(client, "x.csv", b"title\nOne\n")["error"]
    restore(numbered.data, tmp_path / "earlier.db")
    assert client.post("/tasks", data={"title": "Another"}).status_code == 303
    assert numbered.sql("SELECT max(id) FROM tasks")[0][0] == 6


def test_a_form_of_before_is_not_written_over_what_was_restored(
    file: Path, server: Server, client: httpx.Client
) -> None:
    server.sql("INSERT INTO tasks (id, title) VALUES (1, 'Mine')")
    page = client.get("/tasks/1/edit").text
    form = dict(re.findall(r'<input[^>]* name="(\w+)"[^>]* value="([^"]*)"', page))
    assert form["title"] == "Mine"
    assert server_py("restore", file, "--data", server.data).returncode == 0
    assert client.post("/tasks/1", data={**form, "title": "Mine, edited"}).status_code == 409
    assert read(server.data / "app.db") == ["Dune", "Emma", "Ulysses"]


# What does not come


ADDED = {
    "trigger “sly”": "CREATE TRIGGER sly AFTER INSERT ON imports BEGIN DELETE FROM tasks; END",
    "trigger “hang”": f"CREATE TRIGGER hang AFTER INSERT ON tasks BEGIN SELECT ({ENDLESS}); END",
    "trigger “on sessions”": """CREATE TRIGGER "on sessions" AFTER DELETE ON presence BEGIN
        INSERT INTO tasks (title) VALUES ('From a trigger'); END""",
    "view “v”": f"CREATE VIEW v AS {ENDLESS}",
    "virtual table “words”": "CREATE VIRTUAL TABLE words USING fts5(text)",
    "virtual table “places”": "CREATE VIRTUAL TABLE places USING rtree(id, a, b)",
    "index “odd”": "CREATE INDEX odd ON tasks (hex(zeroblob(id * 900000000)))",
    "index “some”": f"CREATE INDEX some ON tasks (title) WHERE {BACKTRACKING}",
    "index “one”": "CREATE UNIQUE INDEX one ON tasks (notes COLLATE NOCASE, title)",
    "column “made” of “tasks”": f"ALTER TABLE tasks ADD COLUMN made TEXT AS (CASE WHEN {BACKTRACKING} THEN 1 END)",
    "column “big” of “mine”": "CREATE TABLE mine (a, big AS (zeroblob(900000000)) STORED)",
    "rules of table “ruled”": f"CREATE TABLE ruled (a CHECK ({BACKTRACKING}), b REFERENCES nowhere ON DELETE CASCADE)",
    "index “worked out”": 'CREATE TABLE more (a)\nCREATE INDEX "worked out" ON more (abs(a))',
    "other rules of table “tasks” than the app's own": "ALTER TABLE tasks ADD COLUMN n INTEGER DEFAULT 5 CHECK (n = 5)",
}


def add_without_filling(file: Path, name: str, index: str) -> None:
    """Add an index on tasks to the schema alone: what it works out would never end."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("CREATE INDEX room ON tasks (due)")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET name = ?, sql = ? WHERE name = 'room'", [name, index])


# Each has a brother of its kind in the quick run.
BROTHERS = ("trigger “hang”", "virtual table “places”", "index “odd”", "index “one”", "column “big” of “mine”")


@pytest.mark.parametrize(
    "words", [pytest.param(words, marks=[pytest.mark.slow] if words in BROTHERS else []) for words in ADDED]
)
def test_what_could_be_run_is_named_and_left_out(
    words: str, data: Path, file: Path, tmp_path: Path, made: Path
) -> None:
    added = ADDED[words]
    if added.startswith("CREATE INDEX"):
        add_without_filling(file, words.split("“")[1].rstrip("”"), added)
    else:
        write(file, *re.split(r"\n(?=CREATE)", added))
    begun = time.monotonic()
    restored = command("restore", file, "--data", data)
    assert (restored.returncode, restored.stderr) == (0, "")
    assert time.monotonic() - begun < 20
    assert words in left_out(restored.stdout)
    assert read(data / "app.db") == ["Dune", "Emma", "Ulysses"]
    code = [row for row in schema(data / "app.db") if row[0] in ("trigger", "view", "index")]
    assert code == [row for row in schema(made / "app.db") if row[0] in ("trigger", "view", "index")]
    assert "CHECK (n" not in str(schema(data / "app.db"))


def test_triggers_of_ours_that_were_changed_are_ours_again(data: Path, file: Path, tmp_path: Path, made: Path) -> None:
    write(
        file,
        "DROP TRIGGER tasks_index_delete",
        "CREATE TRIGGER tasks_index_delete AFTER DELETE ON tasks BEGIN DELETE FROM tasks; END",
        "DROP TRIGGER tasks_index_insert",
    )
    assert "trigger “tasks_index_delete” as it stands there (the app's own" in left_out(restore(data, file))
    assert schema(data / "app.db") == schema(made / "app.db")


def test_searches_are_made_anew_whatever_the_file_says(data: Path, file: Path) -> None:
    write(
        file,
        "DELETE FROM tasks_fts_data WHERE id > 10",
        "UPDATE tasks_fts_docsize SET sz = x'ffff'",
        "UPDATE tasks_fts_content SET c0 = '  other  words '",
        "UPDATE sqlite_sequence SET seq = 9223372036854775807 WHERE name = 'tasks'",
    )
    restore(data, file)
    path = data / "app.db"
    assert read(path, "SELECT words FROM tasks_fts") == []
    assert read(path, "SELECT id FROM unindexed ORDER BY id") == [1, 2, 3]
    write(path, "INSERT INTO tasks_fts (tasks_fts, rank) VALUES ('integrity-check', 1)")
    write(path, "INSERT INTO tasks (title) VALUES ('Later')")
    assert read(path, "SELECT max(id) FROM tasks") == [4]


def test_who_looks_on_does_not_come(data: Path, file: Path) -> None:
    write(file, "INSERT INTO presence VALUES (1, 70)")
    restore(data, file)
    assert read(data / "app.db", "SELECT tabs FROM presence") == []


def test_what_is_left_out_commands_no_terminal(data: Path, file: Path) -> None:
    views = [f'CREATE VIEW "v{number}\x1b[2J\n{"x" * 200}" AS SELECT 1' for number in range(100)]
    write(file, *views)
    said = restore(data, file)
    assert all(character.isprintable() for line in said.split("\n") for character in line)
    assert "and 70 more" in said
    assert len(said) < 5000


# What is refused


REFUSED = {
    "no file of this app": ("DELETE FROM _sqlite_migrations",),
    "has no table “tasks”": ("DROP TABLE tasks",),
    "has no table “imported_rows”": ("ALTER TABLE imported_rows RENAME TO others",),
    "without its column “title”": ("ALTER TABLE tasks RENAME COLUMN title TO name",),
    "row 2 of “tasks” (id 2) breaks a rule of the app: CHECK constraint failed": (
        "UPDATE tasks SET title = ' ' WHERE id = 2",
    ),
    "row 3 of “tasks” (id 3) breaks a rule of the app: NOT NULL constraint failed: tasks.notes": (
        "UPDATE sqlite_schema SET sql = replace(sql, 'notes TEXT NOT NULL', 'notes TEXT') WHERE name = 'tasks'",
        "VACUUM",
        "UPDATE tasks SET notes = NULL WHERE id = 3",
    ),
    "(id 9223372036854775807) breaks a rule of the app: so large a number": (
        "INSERT INTO tasks (id, title) VALUES (9223372036854775807, 'last')",
    ),
    "is damaged": ("UPDATE sqlite_schema SET rootpage = 2",),
    "damaged, or no SQLite file": ("UPDATE sqlite_schema SET rootpage = 99999 WHERE name = 'tasks'",),
    "table “imports”": ("UPDATE sqlite_schema SET type = 'view' WHERE name = 'imports'",),
    "no file of this app.": (
        "ALTER TABLE _sqlite_migrations RENAME TO others",
        f"CREATE VIEW _sqlite_migrations AS SELECT 'x' AS migration_set, ({ENDLESS}) AS name",
    ),
    "has more than 5,000 tables": tuple(f"CREATE TABLE t{number} (a)" for number in range(5000)),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_used_is_refused_with_a_sentence(words: str, data: Path, file: Path) -> None:
    statements = REFUSED[words]
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            connection.execute(statement)
    with untouched(data):
        is_refused(command("restore", file, "--data", data), file, words, "Nothing was changed")


def test_a_file_with_texts_in_utf_16_is_refused(data: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "16.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA encoding = 'UTF-16le'")
        migrations.apply(Database(connection, recursive_triggers=False))
    with untouched(data):
        is_refused(command("restore", tmp_path / "16.db", "--data", data), "UTF-16", ".dump")


def test_what_takes_too_long_or_too_much_is_ended(
    data: Path, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.backup.backups, "STAGING_SECONDS", 0.001)
    with untouched(data), pytest.raises(BackupError, match="longer than"):
        restore(data, file)
    monkeypatch.undo()
    write(file, "UPDATE tasks SET notes = zeroblob(300000000) WHERE id = 2")
    with untouched(data):
        is_refused(command("restore", file, "--data", data), "memory")


def test_where_the_reader_ends_by_itself_that_is_said(data: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "false")
    with untouched(data), pytest.raises(BackupError, match=r"exit code 1.*Nothing was changed"):
        restore(data, file)


def test_a_large_file_of_nothing_takes_neither_long_nor_much(data: Path, file: Path) -> None:
    with file.open("r+b") as opened:
        opened.truncate(2 * 2**30)
    begun = time.monotonic()
    restored = server_py("restore", file, "--data", data)
    assert (restored.returncode, restored.stderr) == (0, "")
    assert time.monotonic() - begun < 20
    assert (data / "app.db").stat().st_size < 10**6
    assert read(data / "app.db") == ["Dune", "Emma", "Ulysses"]


# The process itself


def test_it_says_in_json_what_it_made(file: Path, tmp_path: Path) -> None:
    (tmp_path / "room").mkdir()
    command = [sys.executable, "-m", "app.backup.staging_process", file, tmp_path / "room", "8192"]
    made = subprocess.run(command, cwd=PROJECT, capture_output=True, encoding="utf-8", check=True)
    assert (json.loads(made.stdout), made.stderr) == ({"left_out": []}, "")
    assert read(tmp_path / "room" / "new.db", "PRAGMA page_size") == [8192]


def test_it_reads_the_log_beside_the_file(file: Path, tmp_path: Path) -> None:
    (tmp_path / "room").mkdir()
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("INSERT INTO tasks (title) VALUES ('In the log')")
        assert (file.parent / "app.db-wal").stat().st_size > 0
        stage(file, tmp_path / "room", 4096)
    assert "In the log" in read(tmp_path / "room" / "new.db")
