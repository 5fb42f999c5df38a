"""The way in: files for `restore`, changed by SQL and byte by byte, brought into the data of a server that runs."""

import contextlib
import random
import shutil
import sqlite3
from pathlib import Path

from tests.engine.faults import grammar
from tests.engine.faults.forking import Forking
from tests.engine.faults.fuzzing import Input
from tests.engine.faults.watched import FIRST_ID, MOST_MEGABYTES, Watched

LONGEST_SECONDS = 5
SCHEMA = "SELECT type, name, sql FROM sqlite_master WHERE type IN ('trigger', 'view') ORDER BY type, name"
TABLES = (
    "tasks",
    "imports",
    "imported_rows",
    "deletions",
    "tasks_fts",
    "tasks_fts_data",
    "task_counts",
    "completions",
    "x",
)
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
# Each by itself, or a few of them one after another. What the file does not take is no part of it.
WRITTEN = """
ALTER TABLE tasks ADD COLUMN extra TEXT DEFAULT 'x'
ALTER TABLE tasks ADD COLUMN made TEXT AS (title || 'x')
ALTER TABLE tasks ADD COLUMN n INTEGER NOT NULL DEFAULT 5 CHECK (n = 5)
ALTER TABLE tasks RENAME COLUMN notes TO remarks
ALTER TABLE tasks DROP COLUMN notes
ALTER TABLE tasks DROP COLUMN due
DROP VIEW task_counts
DROP INDEX tasks_due
DROP TABLE _sqlite_migrations
DELETE FROM _sqlite_migrations
INSERT INTO _sqlite_migrations VALUES (99, 'app', 'later', '2026-01-01')
UPDATE _sqlite_migrations SET name = 'other'
UPDATE _sqlite_migrations SET name = x'ff'
CREATE TABLE mine (a, b)
INSERT INTO mine VALUES (1, x'00ff')
CREATE TABLE "a""b;--" (x)
CREATE TABLE "" (x)
CREATE TABLE w (a PRIMARY KEY) WITHOUT ROWID
CREATE TABLE s (a INTEGER) STRICT
CREATE TABLE sessions (x)
CREATE TABLE presence (x)
CREATE TABLE big (x AS (zeroblob(500000000)))
CREATE VIRTUAL TABLE f USING fts5(a)
CREATE VIRTUAL TABLE r USING rtree(a, b, c)
CREATE VIRTUAL TABLE d USING dbstat
CREATE INDEX i ON tasks (abs(id))
CREATE INDEX j ON tasks (title) WHERE length(title) > 1
INSERT INTO tasks (title) VALUES (CAST(x'ff41' AS TEXT))
INSERT INTO tasks (title, notes) VALUES ('x', x'00ff')
INSERT INTO tasks (title) VALUES ('a' || char(0) || 'b')
INSERT INTO tasks (id, title) VALUES (9223372036854775807, 'last')
INSERT INTO tasks (id, title) VALUES (0, 'first')
UPDATE tasks SET id = -id
UPDATE tasks SET title = x'41'
UPDATE tasks SET title = 5
UPDATE tasks SET title = hex(zeroblob(100000))
UPDATE tasks SET notes = NULL
UPDATE tasks SET notes = hex(zeroblob(3000000))
UPDATE tasks SET notes = replace(hex(zeroblob(20000)), '00', '[')
UPDATE tasks SET due = 'someday'
UPDATE tasks SET due = 20260501
UPDATE tasks SET done = 'x'
UPDATE tasks SET done = 2
UPDATE tasks SET created_at = 'x', updated_at = NULL
INSERT INTO imports (kind, filename, state, process, bytes_total) VALUES ('tasks', '../../x', 'writing', 1, 5)
INSERT INTO imports (kind, filename, state, process, bytes_total) VALUES ('tasks', x'ff', 'checking', -1, 'x')
INSERT INTO imports (kind, filename, state, process, bytes_total) VALUES ('nothing', 'a', 'ready', 'x', 5)
INSERT INTO imports (kind, filename, state, process, bytes_total) VALUES ('tasks', 'a', 'odd', NULL, 5)
UPDATE imports SET understood = '[', problems = 'x', columns = '5'
UPDATE imports SET understood = x'ff', state = 'done'
INSERT INTO imported_rows (import_id, row_id, version) VALUES (1, 5000000, 7)
UPDATE task_counts SET tasks = -5
UPDATE task_counts SET tasks = 'x'
DELETE FROM task_counts
DELETE FROM tasks_fts_data
UPDATE tasks_fts_data SET block = x'ff00ff'
DELETE FROM completions
UPDATE completions SET completed_at = 'x'
UPDATE sqlite_sequence SET seq = 9223372036854775807
UPDATE sqlite_sequence SET seq = 'x'
DELETE FROM sqlite_sequence
ANALYZE
UPDATE sqlite_stat1 SET stat = 'x'
PRAGMA journal_mode = WAL
PRAGMA user_version = -5
PRAGMA application_id = 7
PRAGMA auto_vacuum = FULL
PRAGMA page_size = 512
PRAGMA page_size = 65536
PRAGMA encoding = 'UTF-16le'
VACUUM
UPDATE sqlite_master SET sql = 'CREATE TABLE tasks (id, title)' WHERE name = 'tasks'
UPDATE sqlite_master SET rootpage = 2
UPDATE sqlite_master SET rootpage = 99999 WHERE name = 'tasks'
UPDATE sqlite_master SET type = 'view' WHERE name = 'imports'
UPDATE sqlite_master SET name = 'tasks' WHERE name = 'imports'
UPDATE sqlite_master SET sql = x'ff' WHERE type = 'trigger'
DELETE FROM sqlite_master WHERE type = 'trigger'
DELETE FROM sqlite_master WHERE name = 'tasks_fts'
DELETE FROM sqlite_master
INSERT INTO sqlite_master VALUES ('view', 't', 't', 0, 'CREATE VIEW t AS SELECT load_extension(1)')
"""
ACTS = ("DELETE FROM tasks", ENDLESS, "INSERT INTO tasks (title) VALUES ('x')", "SELECT RAISE(ABORT, 'no')")
EDITS = (("TEXT", "TEXT CHECK (0)"), ("INTEGER", "BLOB"), ("(", "(("), ("title", "t''tle"), ("CREATE", "CRE"))
STATEMENTS = (
    *WRITTEN.strip().splitlines(),
    *(f"DROP TABLE {table}" for table in TABLES),
    *(f"ALTER TABLE {table} RENAME TO moved" for table in TABLES[:4]),
    *(
        f"CREATE TRIGGER added AFTER {event} ON {table} BEGIN {act}; END"
        for event in ("INSERT", "UPDATE", "DELETE")
        for table in ("tasks", "imports", "presence", "sessions")
        for act in ACTS
    ),
    *(
        f"CREATE VIEW {name} AS {select}"
        for name in ("v", "tasks", '"a""b"')
        for select in (ENDLESS, "SELECT * FROM tasks")
    ),
    *(
        f"UPDATE sqlite_master SET sql = replace(sql, '{old}', '{new}') WHERE name = '{name}'"
        for name in ("tasks", "imports", "tasks_fts", "task_counts")
        for old, new in EDITS
    ),
    f"CREATE TABLE many ({', '.join(f'c{number}' for number in range(1999))})",
)


class Restore:
    """A backup of this app, changed, is restored while the server runs."""

    name = "restore"

    def __init__(self, watched: Watched, commands: Forking, room: Path) -> None:
        self.watched = watched
        self.commands = commands
        self.good, self.file = room / "good.db", room / "file.db"
        with contextlib.closing(sqlite3.connect(watched.server.data / "app.db")) as live:
            live.execute("VACUUM INTO ?", [str(self.good)])
            self.schema = live.execute(SCHEMA).fetchall()
        self.size = self.good.stat().st_size

    def make(self, chance: random.Random) -> Input:
        """Statements, and changes of bytes: a place in the file, or how long it stays, and what is put there."""
        parts: list[object] = []
        for _ in range(chance.choice((0, 1, 1, 1, 2, 3))):
            parts.append(chance.choice(STATEMENTS))
        if not parts or chance.random() < 0.3:
            for _ in range(chance.choice((1, 1, 2, 5, 50))):
                place = chance.choice((chance.randrange(100), chance.randrange(100, 4096), chance.randrange(self.size)))
                parts.append(
                    (place, chance.choice((chance.choice(grammar.BYTES), bytes([chance.randrange(256)]))).hex())
                )
        if chance.random() < 0.05:
            parts.append((chance.choice((0, 10, 100, 4095, self.size // 2)), None))
        return tuple(parts)

    def judge(self, given: Input) -> str:
        """Restore it; the server has to work as before or with the rows of the file, and with no code out of it."""
        self._write(given)
        ended = self.commands.run(
            "server.commands.cli", "restore", str(self.file), "--data", str(self.watched.server.data)
        )
        wrong = self._wrong(ended) or self._serves()
        if ended.code == 0 or wrong:
            self._bring_back(wrong)
        shutil.rmtree(self.watched.server.data / "backups", ignore_errors=True)
        return wrong

    judge_alone = judge

    def _write(self, given: Input) -> None:
        for ending in ("-wal", "-shm", "-journal", ""):
            Path(f"{self.file}{ending}").unlink(missing_ok=True)
        shutil.copy(self.good, self.file)
        with contextlib.closing(sqlite3.connect(self.file, isolation_level=None)) as file:
            file.execute("PRAGMA writable_schema = ON")
            file.execute("PRAGMA ignore_check_constraints = ON")
            for statement in given:
                if isinstance(statement, str):
                    file.set_progress_handler(lambda: 1, 5_000_000)
                    with contextlib.suppress(sqlite3.Error):
                        file.execute(statement)
        with self.file.open("r+b") as bytes_of_file:
            for change in given:
                if isinstance(change, tuple):
                    at, said = change
                    bytes_of_file.seek(at)
                    bytes_of_file.truncate(at) if said is None else bytes_of_file.write(bytes.fromhex(said))

    def _wrong(self, ended: object) -> str:
        code, said, seconds, megabytes = ended  # type: ignore[misc, has-type]
        lines = said.strip().splitlines() or ["nothing said"]
        if "Traceback" in said or code not in (0, 1, 2):
            return f"restore ends with code {code}: {lines[-1].partition(':')[0]}"
        if seconds > LONGEST_SECONDS:
            return "slow: restore takes longer than it may"
        if megabytes > MOST_MEGABYTES:
            return f"memory: restore takes more than {MOST_MEGABYTES} MB"
        left = [path.name for path in self.watched.server.data.iterdir() if path.name.startswith("restore-")]
        return f"restore leaves {left}" if left else ""

    def _serves(self) -> str:
        with contextlib.closing(sqlite3.connect(self.watched.server.data / "app.db", timeout=10)) as live:
            try:
                if live.execute(SCHEMA).fetchall() != self.schema:
                    return "other triggers or views are in the data than the migrations make"
                if live.execute("PRAGMA integrity_check(1)").fetchone()[0] != "ok":
                    return "the data is damaged after a restore"
                first = live.execute("SELECT min(id) FROM tasks WHERE id BETWEEN 1 AND 9999999").fetchone()[0]
            except sqlite3.Error as error:
                return f"the data cannot be read after a restore: {error}"
        for path in (
            "/tasks",
            f"/tasks/{first or 1}",
            "/imports",
            "/summary",
            "/tasks?q=Task",
            "/export.csv",
            "/export.json",
        ):
            status = self.watched.ask("GET", path).status
            if status >= 500:
                return self.watched.look() or f"{path.partition('?')[0]} answers {status} after a restore"
        if self.watched.ask("POST", "/tasks", "title=Afterwards&done=0").status != 303:
            return self.watched.look() or "nothing can be added after a restore"
        self.watched.added += 1
        return self.watched.look()

    def _bring_back(self, wrong: str) -> None:
        """The good data again; on a new server where something went wrong with the old one."""
        self.watched.added = 0
        ended = self.commands.run(
            "server.commands.cli", "restore", str(self.good), "--data", str(self.watched.server.data)
        )
        if wrong or ended.code:
            self.watched.renew()
            return
        assert self.watched.server.sql("SELECT count(*) FROM tasks WHERE id = ?", [FIRST_ID])[0][0] == 1
