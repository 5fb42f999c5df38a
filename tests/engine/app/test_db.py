"""The file: what was acknowledged is in it, whatever happens; what cannot be used is refused and left as it was."""

import asyncio
import os
import signal
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlite_utils.utils import sqlite3

import app.db
from app.db import JOINED_WRITES, Connection, Database, UnusableDatabase, UnusableDirectory, prepare
from app.migrations import migrations
from server.name import PREFIX
from tests.engine.conftest import PROJECT, Server
from tests.engine.server.test_run import Running, Start, start

__all__ = ["start"]  # a fixture


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A data directory that has been made ready."""
    prepare(tmp_path / "data", migrations)
    return tmp_path / "data"


@pytest.fixture
def db(directory: Path) -> Iterator[Database]:
    """The opened file of that directory."""
    db = Database()
    db.open(directory / "app.db")
    yield db
    db.close()


def foreign(directory: Path) -> closing[Connection]:
    """The file as another program has it open, which knows nothing of this app.

    In the process that has it open already it must be the same SQLite: two of them would lose each other's locks
    (https://www.sqlite.org/howtocorrupt.html, section 2.2.1).
    """
    return closing(sqlite3.connect(directory / "app.db", isolation_level=None, timeout=10))


def add(title: str) -> Callable[[Connection], int]:
    """A change that adds a task, and gives its id."""

    def change(connection: Connection) -> int:
        id: int = connection.execute("INSERT INTO tasks (title) VALUES (?) RETURNING id", [title]).fetchone()[0]
        return id

    return change


def titles(db: Database) -> list[str]:
    return [row["title"] for row in asyncio.run(db.read("SELECT title FROM tasks ORDER BY id"))]


def test_what_is_made_with_a_commit_is_in_it_and_where_that_fails_the_changes_are(
    db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    def is_made_with_them(connection: Connection) -> None:
        connection.execute("UPDATE tasks SET notes = title WHERE notes = ''")
        if connection.execute("SELECT 1 FROM tasks WHERE title = 'odd'").fetchall():
            raise ValueError("nothing to be made of it")

    db.before_commit = is_made_with_them
    asyncio.run(db.write(add("plain")))
    assert not caplog.records
    asyncio.run(db.write(add("odd")))
    rows = asyncio.run(db.read("SELECT title, notes FROM tasks ORDER BY id"))
    assert [tuple(row) for row in rows] == [("plain", "plain"), ("odd", "")]
    assert "nothing to be made of it" in caplog.text


def commits(directory: Path) -> int:
    """How many commits the write-ahead log holds: https://www.sqlite.org/fileformat2.html#the_write_ahead_log."""
    log = (directory / "app.db-wal").read_bytes()
    if not log:
        return 0
    page_size, _, salt = struct.unpack(">II8s", log[8:24])
    frames = [log[at : at + 24] for at in range(32, len(log), 24 + page_size)]
    return sum(frame[8:16] == salt and frame[4:8] != bytes(4) for frame in frames)


async def joined(db: Database, *changes: Callable[[Connection], Any]) -> list[Any]:
    """Ask for these changes while the writer is busy, so that it joins them; their results or exceptions."""
    busy, free = threading.Event(), threading.Event()

    def keep_busy(connection: Connection) -> None:
        busy.set()
        assert free.wait(20)

    async def result(change: Callable[[Connection], Any]) -> Any:
        try:
            return await db.write(change)
        except BaseException as error:
            return error

    async with asyncio.timeout(20):
        first = asyncio.ensure_future(db.write(keep_busy))
        await asyncio.to_thread(busy.wait, 20)
        waiting = [asyncio.ensure_future(result(change)) for change in changes]
        await asyncio.sleep(0)
        free.set()
        await first
        return await asyncio.gather(*waiting)


# Reading and writing


def test_a_write_gives_its_result_once_everybody_can_read_it(db: Database, directory: Path) -> None:
    id = asyncio.run(db.write(add("Milk")))
    assert [tuple(row) for row in asyncio.run(db.read("SELECT id, title FROM tasks"))] == [(id, "Milk")]
    with ThreadPoolExecutor(1) as elsewhere:
        assert elsewhere.submit(titles, db).result() == ["Milk"]
    with foreign(directory) as connection:
        assert connection.execute("SELECT title FROM tasks").fetchall() == [("Milk",)]


def test_a_read_cannot_write(db: Database) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        asyncio.run(db.read("INSERT INTO tasks (title) VALUES ('x') RETURNING id"))
    assert titles(db) == []


def test_the_token_moves_with_every_commit_of_any_program_and_with_nothing_else(db: Database, directory: Path) -> None:
    tokens = [db.token()]

    def moved() -> bool:
        tokens.append(db.token())
        return tokens[-1] not in tokens[:-1]

    assert not moved()
    asyncio.run(db.write(add("own")))
    assert moved()
    titles(db)
    with closing(db.long_reading()) as reading:
        reading.execute("SELECT * FROM tasks").fetchall()
    assert not moved()
    with foreign(directory) as connection:
        connection.execute("INSERT INTO tasks (title) VALUES ('foreign')")
        assert moved()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DELETE FROM tasks")
        assert not moved()
        connection.execute("ROLLBACK")
        assert not moved()
    with pytest.raises(ZeroDivisionError):
        asyncio.run(db.write(lambda connection: 1 / 0))
    assert not moved()


ACTS = st.sampled_from(
    [
        "INSERT INTO tasks (title) VALUES ('x')",
        "DELETE FROM tasks",
        "UPDATE tasks SET title = 'y' WHERE id = -1",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "PRAGMA wal_checkpoint(RESTART)",
        "VACUUM",
        "CREATE TABLE IF NOT EXISTS more (a)",
        "DROP TABLE IF EXISTS more",
        "BEGIN IMMEDIATE",
        "SELECT * FROM tasks",
    ]
)


@given(acts=st.lists(ACTS, max_size=20))
def test_the_token_moves_exactly_when_data_version_does(
    tmp_path_factory: pytest.TempPathFactory, acts: list[str]
) -> None:
    path = prepare(tmp_path_factory.mktemp("token"), migrations)
    db = Database()
    db.open(path)
    try:
        with closing(sqlite3.connect(path)) as witness:
            token, version = db.token(), witness.execute("PRAGMA data_version").fetchone()
            for act in acts:
                # A connection of its own for each act, as a program that comes and goes.
                with closing(sqlite3.connect(path, isolation_level=None)) as other:
                    other.execute(act).fetchall()
                before = token, version
                token, version = db.token(), witness.execute("PRAGMA data_version").fetchone()
                assert (token != before[0]) == (version != before[1]), act
    finally:
        db.close()


def test_foreign_keys_and_the_full_synchronous_mode_are_on(db: Database) -> None:
    def pragmas(connection: Connection) -> list[Any]:
        names = ("foreign_keys", "synchronous", "journal_mode")
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    assert asyncio.run(db.write(pragmas)) == [1, 2, "wal"]


def test_a_long_read_shows_the_state_of_its_begin(db: Database) -> None:
    for title in ("one", "two", "three"):
        asyncio.run(db.write(add(title)))
    with closing(db.long_reading()) as reading:
        rows = reading.execute("SELECT title FROM tasks ORDER BY id")
        assert next(rows)["title"] == "one"
        asyncio.run(db.write(lambda connection: connection.execute("UPDATE tasks SET title = 'changed'").rowcount))
        assert reading.execute("SELECT title FROM tasks WHERE id = 3").fetchone()["title"] == "three"
        assert [row["title"] for row in rows] == ["two", "three"]
    assert titles(db) == ["changed"] * 3


def test_text_in_another_encoding_is_shown_as_well_as_it_can_be(client: httpx.Client, server: Server) -> None:
    server.sql("INSERT INTO tasks (title, notes) VALUES (CAST(x'4361666520e9' AS TEXT), CAST(x'ff' AS TEXT))")
    for address in ("/tasks", "/export.csv", "/export.json"):
        answer = client.get(address)
        assert answer.status_code == 200
        assert "Cafe \N{REPLACEMENT CHARACTER}" in answer.text


def test_the_file_is_copied_whole_while_it_is_written(db: Database, directory: Path, tmp_path: Path) -> None:
    for number in range(3):
        asyncio.run(db.write(add(f"Task {number}")))

    async def write_and_copy() -> None:
        writes = asyncio.gather(*(db.write(add(f"Later {number}")) for number in range(200)))
        await asyncio.to_thread(db.backup, tmp_path / "copy.db")
        await writes

    asyncio.run(write_and_copy())
    assert mode(tmp_path / "copy.db") == 0o600
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        copied = [title for (title,) in copy.execute("SELECT title FROM tasks ORDER BY id")]
    assert copied[:3] == ["Task 0", "Task 1", "Task 2"]
    assert copied == titles(db)[: len(copied)]


# Writes together


def test_writes_that_wait_are_joined_into_one_commit(db: Database, directory: Path) -> None:
    before = commits(directory)
    ids = asyncio.run(joined(db, *(add(f"Task {number}") for number in range(JOINED_WRITES))))
    assert commits(directory) - before == 1, "the write that kept the writer busy changed nothing"
    assert ids == list(range(1, JOINED_WRITES + 1)), "in the order in which they came"
    asyncio.run(joined(db, *(add("more") for _ in range(JOINED_WRITES + 1))))
    assert commits(directory) - before == 3, "one more than fit into one commit"


def fail_after_writing(connection: Connection) -> None:
    add("of the failing write")(connection)
    raise ZeroDivisionError("not this one")


def break_a_rule(connection: Connection) -> None:
    add("of the failing write")(connection)
    connection.execute("INSERT INTO tasks (title) VALUES ('')")


def leave(connection: Connection) -> None:
    add("of the failing write")(connection)
    sys.exit("a change has no business to do that")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (fail_after_writing, ZeroDivisionError),
        (break_a_rule, sqlite3.IntegrityError),
        (leave, SystemExit),
    ],
)
def test_a_write_that_fails_is_undone_alone(db: Database, change: Any, error: type[BaseException]) -> None:
    before, failed, after = asyncio.run(joined(db, add("before"), change, add("after")))
    assert isinstance(failed, error)
    assert (before, titles(db)) == (1, ["before", "after"])
    assert isinstance(after, int)
    asyncio.run(db.write(add("later")))
    assert titles(db) == ["before", "after", "later"]


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=12))
def test_each_of_many_writes_has_its_own_result(
    tmp_path_factory: pytest.TempPathFactory, writes: list[tuple[int, bool]]
) -> None:
    directory = tmp_path_factory.getbasetemp() / "many writes"
    prepare(directory, migrations)
    db = Database()
    db.open(directory / "app.db")

    def change(number: int, fails: bool) -> Callable[[Connection], int]:
        def run(connection: Connection) -> int:
            add(f"{number}")(connection)
            if fails:
                raise ValueError(number)
            return number

        return run

    try:
        asyncio.run(db.write(lambda connection: connection.execute("DELETE FROM tasks").rowcount))
        results = asyncio.run(joined(db, *(change(*write) for write in writes)))
        for (number, fails), result in zip(writes, results, strict=True):
            assert (isinstance(result, ValueError) and result.args == (number,)) if fails else result == number
        assert titles(db) == [f"{number}" for number, fails in writes if not fails]
    finally:
        db.close()


def test_when_the_whole_transaction_is_lost_each_of_its_writes_is_told(db: Database, directory: Path) -> None:
    """A full disk ends the transaction in the middle: what comes after it in the batch must not slip in alone."""
    with foreign(directory) as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON tasks WHEN new.title = 'too much' "
            "BEGIN SELECT RAISE(ROLLBACK, 'no room'); END"
        )
    results = asyncio.run(joined(db, add("before"), add("too much"), add("after")))
    assert [str(result) for result in results] == ["no room"] * 3
    assert titles(db) == []
    asyncio.run(db.write(add("later")))
    assert titles(db) == ["later"]


def test_a_change_that_ends_the_transaction_itself_is_told_so(db: Database) -> None:
    def commit(connection: Connection) -> None:
        connection.execute("COMMIT")

    def give_up(connection: Connection) -> None:
        connection.execute("ROLLBACK")
        raise ZeroDivisionError

    for change, error in ((commit, sqlite3.OperationalError), (give_up, ZeroDivisionError)):
        (result,) = asyncio.run(joined(db, change))
        assert isinstance(result, error)
    asyncio.run(asyncio.wait_for(db.write(add("later")), 20))
    assert titles(db) == ["later"]


def test_a_caller_who_has_gone_harms_nobody(db: Database) -> None:
    async def cancel_one() -> list[Any]:
        busy, free = threading.Event(), threading.Event()

        def keep_busy(connection: Connection) -> None:
            busy.set()
            assert free.wait(20)

        first = asyncio.ensure_future(db.write(keep_busy))
        await asyncio.to_thread(busy.wait, 20)
        others = [asyncio.ensure_future(db.write(add(title))) for title in ("one", "gone", "three")]
        await asyncio.sleep(0)
        others[1].cancel()
        first.cancel()
        free.set()
        return await asyncio.gather(first, *others, return_exceptions=True)

    results = asyncio.run(cancel_one())
    assert [type(result) for result in results] == [asyncio.CancelledError, int, asyncio.CancelledError, int]
    asyncio.run(db.write(add("later")))
    assert [title for title in titles(db) if title != "gone"] == ["one", "three", "later"]


def test_the_end_waits_for_the_writes_that_wait(directory: Path) -> None:
    db = Database()
    db.open(directory / "app.db")

    async def close_while_writing() -> list[Any]:
        busy, free = threading.Event(), threading.Event()

        def keep_busy(connection: Connection) -> None:
            busy.set()
            assert free.wait(20)

        first = asyncio.ensure_future(db.write(keep_busy))
        await asyncio.to_thread(busy.wait, 20)
        writes = [asyncio.ensure_future(db.write(add(f"{number}"))) for number in range(3 * JOINED_WRITES)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(asyncio.to_thread(db.close))
        free.set()
        await asyncio.gather(first, closing)
        with foreign(directory) as connection:
            assert connection.execute("SELECT count(*) FROM tasks").fetchone() == (len(writes),)
        return await asyncio.gather(*writes)

    assert len(asyncio.run(close_while_writing())) == 3 * JOINED_WRITES
    assert not (directory / "app.db-wal").exists()


def test_a_write_waits_for_another_program_that_writes(db: Database, directory: Path) -> None:
    order: list[str] = []

    async def write() -> None:
        with foreign(directory) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO tasks (title) VALUES ('theirs')")

            async def let_go() -> None:
                await asyncio.sleep(1)
                order.append("theirs")
                connection.execute("COMMIT")

            async def go_on() -> None:
                await db.write(add("ours"))
                order.append("ours")

            await asyncio.gather(go_on(), let_go())

    asyncio.run(write())
    assert order == ["theirs", "ours"]
    assert titles(db) == ["theirs", "ours"]


# Inserts without a pause, as `sqlite3` in a script does; it says so once it has begun.
INSERT_ON_AND_ON = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
connection.execute("PRAGMA synchronous = FULL")
connection.execute("INSERT INTO tasks (title) VALUES ('theirs')")
print(flush=True)
for _ in range(500_000):
    connection.execute("INSERT INTO tasks (title) VALUES ('theirs')")
"""


def test_a_program_that_writes_without_a_pause_does_not_starve_the_writer(db: Database, directory: Path) -> None:
    """SQLite's own waiting, which tries ten times a second at the end, gets one or two writes through a second."""
    command = [sys.executable, "-c", INSERT_ON_AND_ON, str(directory / "app.db")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        took = []
        try:
            for number in range(30):
                began = time.monotonic()
                asyncio.run(db.write(add(f"ours {number}")))
                took.append(time.monotonic() - began)
                time.sleep(0.05)  # In which the other program is at it again.
            assert other.poll() is None
        finally:
            other.kill()
    # One that the machine keeps waiting says nothing.
    assert median(took) < 0.2, took


# Over HTTP, with less patience and less room than usual


LIMITED = """
import app.db
app.db.BUSY_SECONDS = 0.3
connect = app.db.connect

def connect_with_little_room(path):
    connection = connect(path)
    connection.execute("PRAGMA max_page_count = 100")
    return connection

app.db.connect = connect_with_little_room
from app.main import app
"""


@pytest.fixture
def limited(start: Start, tmp_path: Path) -> Running:
    """A server whose disk is soon full, and that soon loses patience."""
    (tmp_path / "limited.py").write_text(LIMITED, encoding="utf-8")
    return start("-m", "uvicorn", "limited:app", "--port", "0", PYTHONPATH=f"{tmp_path}{os.pathsep}{PROJECT}")


def test_a_locked_file_and_a_full_disk_are_answered_clearly_and_lose_nothing(limited: Running) -> None:
    with limited.client() as client, foreign(limited.data) as other:
        assert client.post("/tasks", data={"title": "Before"}).status_code == 303

        other.execute("BEGIN IMMEDIATE")
        refused = client.post("/tasks", data={"title": "Meanwhile"})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
        assert "Another program is writing" in refused.text
        assert "Before" in client.get("/tasks").text, "who reads does not wait"
        other.execute("ROLLBACK")
        assert client.post("/tasks", data={"title": "Between"}).status_code == 303

        statuses = []
        while not statuses or (statuses[-1] == 303 and len(statuses) < 100):
            full = client.post("/tasks", data={"title": "Large", "notes": "x" * 20_000})
            statuses.append(full.status_code)
        assert set(statuses) == {303, 507}
        assert "Make room" in full.text
        count = other.execute("SELECT count(*) FROM tasks").fetchone()[0]
        assert count == 2 + len(statuses) - 1, "what was refused is not in the file, what was not is"
        assert client.get("/healthz").status_code == 200

        other.execute("DELETE FROM tasks WHERE title = 'Large'")
        assert client.post("/tasks", data={"title": "After"}).status_code == 303
        shown = client.get("/tasks").text
        assert all(title in shown for title in ("Before", "Between", "After"))
        assert "Meanwhile" not in shown
        assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)


# After a sudden end


KILLED = """
import asyncio, os, random, signal, sqlite3, sys
from pathlib import Path
from statistics import median
from app.db import Database, prepare
from app.migrations import migrations

def add(number):
    return lambda connection: connection.execute("INSERT INTO tasks (id, title) VALUES (?, 'x')", [number]).rowcount

async def write(db, say, first):
    async def one(number):
        await db.write(add(number))
        os.write(say, b"%d\\n" % number)
    for begin in range(first, first + 10_000, 8):
        await asyncio.gather(*(one(number) for number in range(begin, begin + 8)))

directory, rounds, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
chance = random.Random(seed)
acknowledged = set()
for number in range(rounds):
    hear, say = os.pipe()
    writer = os.fork()
    if not writer:
        os.close(hear)
        db = Database()
        db.open(prepare(directory, migrations))
        asyncio.run(write(db, say, number * 10_000))
    os.close(say)
    with os.fdopen(hear) as heard:
        for _ in range(chance.randint(1, 40)):
            acknowledged.add(int(heard.readline()))
        os.kill(writer, signal.SIGKILL)
        acknowledged.update(int(line) for line in heard if line.endswith("\\n"))
    os.waitpid(writer, 0)
    connection = sqlite3.connect(directory / "app.db")
    present = {id for id, in connection.execute("SELECT id FROM tasks")}
    assert acknowledged <= present, f"round {number}, seed {seed}: lost {acknowledged - present}"
    # Raises where index and tasks differ: https://www.sqlite.org/fts5.html, section 6.5.
    connection.execute("INSERT INTO tasks_fts(tasks_fts, rank) VALUES ('integrity-check', 1)")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
print(len(acknowledged))
"""


def kill_writers(directory: Path, rounds: int, seed: int) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, directory, str(rounds), str(seed)],
        cwd=PROJECT,
        capture_output=True,
        encoding="utf-8",
    )
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) > rounds


def test_what_was_acknowledged_survives_kill_9(directory: Path) -> None:
    kill_writers(directory, 4, seed=1)


@pytest.mark.slow
def test_what_was_acknowledged_survives_kill_9_two_hundred_times(directory: Path) -> None:
    kill_writers(directory, 200, seed=2)


def test_a_server_that_was_killed_starts_again_with_everything(start: Start) -> None:
    running = start("server.py")
    with running.client() as client:
        client.post("/tasks", data={"title": "Acknowledged"})
    assert running.end(signal.SIGKILL) == -signal.SIGKILL
    with start("server.py").client() as client:
        assert "Acknowledged" in client.get("/tasks").text


# Who may read


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("is_there", [False, True])
def test_only_the_owner_may_read_whatever_the_umask(tmp_path: Path, is_there: bool) -> None:
    before = os.umask(0)
    try:
        directory = tmp_path / "new" / "data"
        if is_there:
            directory.mkdir(mode=0o755, parents=True)
        db = Database()
        db.open(prepare(directory, migrations))
        asyncio.run(db.write(add("secret")))
        titles(db)
        assert mode(directory) == (0o755 if is_there else 0o700)
        modes = {path.name: mode(path) for path in directory.iterdir()}
        assert modes == {"app.db": 0o600, "app.db-wal": 0o600, "app.db-shm": 0o600}
        db.close()
    finally:
        os.umask(before)


def test_the_file_is_closed_to_others_and_a_directory_left_as_its_owner_has_it(directory: Path) -> None:
    directory.chmod(0o1775)
    (directory / "app.db").chmod(0o644)
    prepare(directory, migrations)
    assert (mode(directory), mode(directory / "app.db")) == (0o1775, 0o600)


def test_the_running_server_keeps_its_files_private(server: Server, client: httpx.Client) -> None:
    client.post("/tasks", data={"title": "x"})
    assert mode(server.data) == 0o700
    files = [path for path in server.data.rglob("*") if path.is_file()]
    assert {"app.db", "app.db-wal", "app.db-shm", "session.key"} <= {path.name for path in files}
    assert {mode(path) for path in files} == {0o600}


# What cannot be used


def fill(directory: Path) -> bytes:
    """Put tasks into the file, all in the one file; its bytes."""
    with foreign(directory) as connection:
        rows = [(f"Task {number}", "notes " * 20) for number in range(1000)]
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO tasks (title, notes) VALUES (?, ?)", rows)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return (directory / "app.db").read_bytes()


def root_page(directory: Path, table: str) -> int:
    with foreign(directory) as connection:
        page: int = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", [table]).fetchone()[0]
        return page


def is_refused(directory: Path, *words: str) -> None:
    """The file is refused for a reason that holds these words, and it is as it was."""
    before = (directory / "app.db").read_bytes()
    with pytest.raises(UnusableDatabase) as refusal:
        prepare(directory, migrations)
    assert "\n" not in str(refusal.value)
    for word in (*words, str(directory / "app.db"), "not touched"):
        assert word in str(refusal.value)
    assert (directory / "app.db").read_bytes() == before
    # To look into it, SQLite opens the log beside it; nothing has been written there, and no copy been made.
    left = {path.name: path.stat().st_size for path in directory.iterdir()}
    assert left.keys() <= {"app.db", "app.db-wal", "app.db-shm"}
    assert not left.get("app.db-wal")


@pytest.mark.parametrize(
    "header",
    [b"garbage, no database", b"SQLite format 4\0", b"\0" * 100, b"<html>"],
    ids=["words", "another version", "zeros", "a page"],
)
def test_a_file_that_is_no_database_is_refused(directory: Path, header: bytes) -> None:
    whole = fill(directory)
    (directory / "app.db").write_bytes(header + whole[len(header) :])
    is_refused(directory, "damaged", "backups", ".recover")


@pytest.mark.parametrize("table", ["tasks", "tasks_fts_data", "tasks_fts_idx", "imports", "sqlite_schema", "middle"])
def test_a_damaged_page_is_found_before_anything_is_written(directory: Path, table: str) -> None:
    whole = bytearray(fill(directory))
    pages = len(whole) // 4096
    page = {"sqlite_schema": 2, "middle": pages // 2}.get(table) or root_page(directory, table)
    at = (page - 1) * 4096
    whole[at : at + 4096] = b"\xde\xad" * 2048
    (directory / "app.db").write_bytes(whole)
    is_refused(directory, "damaged")


def test_a_file_that_was_cut_off_is_refused(directory: Path) -> None:
    whole = fill(directory)
    (directory / "app.db").write_bytes(whole[: len(whole) // 2])
    is_refused(directory, "damaged")


def test_a_file_of_a_newer_version_is_refused(directory: Path) -> None:
    with foreign(directory) as connection:
        connection.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES (?, 'from_2031', '2031')",
            [migrations.name],
        )
    is_refused(directory, "newer", "“from_2031”", "--data")


def test_the_migrations_of_another_tool_in_the_file_are_its_own_business(directory: Path) -> None:
    with foreign(directory) as connection:
        connection.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('other', 'from_2031', '2031')"
        )
    prepare(directory, migrations)


def test_a_file_that_another_program_has_for_itself_is_not_called_damaged(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.db, "BUSY_SECONDS", 0.1)
    with foreign(directory) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("INSERT INTO tasks (title) VALUES ('x')")
        with pytest.raises(UnusableDatabase) as refusal:
            prepare(directory, migrations)
    assert "damaged" not in str(refusal.value)
    assert "locked" in str(refusal.value)


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    for directory in (tmp_path / "file", tmp_path / "file" / "data"):
        with pytest.raises(UnusableDirectory, match="--data"):
            prepare(directory, migrations)


def test_an_unusable_file_ends_the_start_with_one_line_and_exit_code_1(directory: Path) -> None:
    (directory / "app.db").write_bytes(b"garbage" * 1000)
    ended = subprocess.run(
        [sys.executable, PROJECT / "server.py", "--no-open", "--port", "0", "--data", directory],
        capture_output=True,
        encoding="utf-8",
    )
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert "app.db is damaged" in line


# Several at once


TOGETHER = """
import os, sys
from pathlib import Path
from app.db import prepare
from server.token import secret
from app.migrations import migrations

def start(directory):
    prepare(directory, migrations)
    assert len(secret(directory / "session.key")) == 32

for round in range(int(sys.argv[2])):
    hear_ready, ready = os.pipe()
    hear_go, go = os.pipe()
    children = []
    for _ in range(6):
        if child := os.fork():
            children.append(child)
            continue
        os.close(go)
        os.write(ready, b".")
        os.read(hear_go, 1)
        start(Path(sys.argv[1]) / f"{round}")
        os._exit(0)
    for _ in children:
        os.read(hear_ready, 1)
    os.close(go)
    ended = [os.waitpid(child, 0)[1] for child in children]
    assert ended == [0] * len(children), f"round {round}: {ended}"
"""


@pytest.mark.parametrize("rounds", [3, pytest.param(200, marks=pytest.mark.slow)])
def test_processes_that_start_at_once_make_one_database(tmp_path: Path, rounds: int) -> None:
    subprocess.run(
        [sys.executable, "-c", TOGETHER, tmp_path, str(rounds)],
        env={f"{PREFIX}DATA": str(tmp_path / "data")},
        cwd=PROJECT,
        check=True,
    )
    for round in range(rounds):
        with foreign(tmp_path / f"{round}") as connection:
            applied = connection.execute("SELECT count(*), count(DISTINCT name) FROM _sqlite_migrations").fetchone()
            assert applied[0] == applied[1] > 0
        assert sorted(path.name for path in (tmp_path / f"{round}").iterdir()) == ["app.db", "session.key"]


def test_two_servers_that_start_at_once_on_a_new_directory_share_it(tmp_path: Path, start: Start) -> None:
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: start("server.py"), range(2))
    with one.client() as writing, other.client() as reading:
        assert reading.get("/tasks").status_code == 200
        assert writing.post("/tasks", data={"title": "Of the one"}).status_code == 303
        assert "Of the one" in reading.get("/tasks").text
