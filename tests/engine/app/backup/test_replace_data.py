"""A file that is replaced while others write: what was acknowledged is in it, or in exactly one of the copies."""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from sqlite_utils.utils import sqlite3

import app.backup.replace_data
from app.backup.backups import backup
from app.backup.replace_data import page_size, replace
from app.database.copies import copy_file
from app.database.preparation import prepare
from app.database.sqlite_connections import connect, transaction
from app.migrations import migrations
from server.app_name import PREFIX
from tests.engine.conftest import PATIENCE, PLAIN, Server
from tests.engine.server.commands.test_cli import server_py

# Adds a task of this title; returns once that is acknowledged.
Add = Callable[[str], None]


def over_http(client: httpx.Client) -> Add:
    """As a browser does."""

    def add(title: str) -> None:
        while (answer := client.post("/tasks", data={"title": title})).status_code == 503:
            pass  # The file was locked for too long, and so it was said.
        assert answer.status_code == 303, answer.text

    return add


def by_another_program(file: Path) -> Add:
    """As the command line of SQLite does."""

    def add(title: str) -> None:
        with closing(sqlite3.connect(file, timeout=PATIENCE)) as connection, connection:
            connection.execute("INSERT INTO tasks (title) VALUES (?)", [title])

    return add


@contextmanager
def writing(*writers: Add) -> Iterator[list[str]]:
    """Write at full speed while the context lasts; the titles that were acknowledged."""
    acknowledged: list[str] = []
    failures: list[BaseException] = []
    ended = threading.Event()

    def write(number: int, add: Add) -> None:
        for each in itertools.count():
            if ended.is_set():
                return
            title = f"{number} wrote {each}"
            try:
                add(title)
            except BaseException as failure:
                failures.append(failure)
                return
            acknowledged.append(title)

    threads = [threading.Thread(target=write, args=each) for each in enumerate(writers)]
    for thread in threads:
        thread.start()
    try:
        yield acknowledged
    finally:
        ended.set()
        for thread in threads:
            thread.join(PATIENCE)
    assert failures == []


def wait_for_more(acknowledged: list[str], more: int = 20) -> None:
    """Until so many more were acknowledged."""
    enough, deadline = len(acknowledged) + more, time.monotonic() + PATIENCE
    while len(acknowledged) < enough:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def titles(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        return [title for (title,) in connection.execute("SELECT title FROM tasks")]


def restored_while_written(server: Server, tmp_path: Path, rounds: int) -> int:
    """How many writes were acknowledged, each of which is in the file or in exactly one copy."""
    server.add(10)
    backup(server.data, tmp_path / "copy.db")
    for left in (server.data / "backups").glob("*"):
        left.unlink()
    with ExitStack() as stack:
        clients = [stack.enter_context(httpx.Client(base_url=server.url, **PLAIN)) for _ in range(3)]
        writers = [*map(over_http, clients), by_another_program(server.data / "app.db")]
        acknowledged = stack.enter_context(writing(*writers))
        for _ in range(rounds):
            wait_for_more(acknowledged)
            restored = server_py("restore", tmp_path / "copy.db", "--data", server.data)
            assert restored.returncode == 0, restored.stderr
        wait_for_more(acknowledged)
    copies = list((server.data / "backups").glob("*-before-restore*.db"))
    assert len(copies) == rounds
    found = Counter(title for file in (server.data / "app.db", *copies) for title in titles(file))
    assert [title for title in acknowledged if found[title] != 1] == []
    assert found["Task 7"] == rounds + 1
    return len(acknowledged)


def test_what_is_written_meanwhile_is_in_the_file_or_in_the_copy(server: Server, tmp_path: Path) -> None:
    restored_while_written(server, tmp_path, 2)


@pytest.mark.slow
def test_two_workers_lose_nothing_either(workers: Server, tmp_path: Path) -> None:
    restored_while_written(workers, tmp_path, 2)


@pytest.mark.slow
def test_fifty_restores_lose_nothing(workers: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = 50
    monkeypatch.setenv(f"{PREFIX}KEEP_COPIES", str(rounds))
    count = restored_while_written(workers, tmp_path, rounds)
    print(f"\n{rounds} restores during {count:,} acknowledged writes: none lost")


# Without a server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with one task in it."""
    path = prepare(tmp_path / "data", migrations)
    by_another_program(path)("Mine")
    return path


@pytest.fixture
def new(path: Path, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A copy of it in which that task is called otherwise, as what is to take its place."""
    copy_file(path, tmp_path / "new.db")
    with closing(sqlite3.connect(tmp_path / "new.db", isolation_level=None)) as new:
        new.execute("UPDATE tasks SET title = 'Theirs'")
        yield new


def test_ids_that_were_given_are_not_given_again(path: Path, new: sqlite3.Connection) -> None:
    with closing(connect(path)) as connection:
        connection.execute("INSERT INTO tasks (id, title) VALUES (70, 'Deleted since')")
        connection.execute("DELETE FROM tasks WHERE id = 70")
    replace(path, new)
    with closing(connect(path)) as connection:
        assert connection.execute("INSERT INTO tasks (title) VALUES ('Later') RETURNING id").fetchone()[0] == 71


def test_where_no_copy_can_be_kept_nothing_is_replaced(
    path: Path, new: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keep(path: Path, suffix: str) -> Path:
        raise OSError("no room")

    monkeypatch.setattr(app.backup.replace_data, "keep", keep)
    with pytest.raises(OSError, match="no room"):
        replace(path, new)
    assert titles(path) == ["Mine"]


def test_where_it_cannot_be_replaced_no_copy_is_kept(
    path: Path, new: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def settle(new: sqlite3.Connection, path: Path) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(app.backup.replace_data, "_settle", settle)
    with pytest.raises(sqlite3.OperationalError, match="full"):
        replace(path, new)
    assert titles(path) == ["Mine"]
    assert list((path.parent / "backups").iterdir()) == []


def test_a_file_that_is_new_has_no_copy(tmp_path: Path, new: sqlite3.Connection) -> None:
    assert replace(tmp_path / "app.db", new) is None
    assert titles(tmp_path / "app.db") == ["Theirs"]
    assert page_size(tmp_path / "none.db") == 4096
    with suppress(FileNotFoundError):
        (tmp_path / "none.db").unlink()
        pytest.fail("asking makes no file")


def test_pages_are_of_the_size_that_those_who_have_the_file_open_know(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "app.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA page_size = 8192")
        connection.execute("CREATE TABLE songs (title)")
        assert page_size(tmp_path / "app.db") == 8192
    (tmp_path / "app.db").write_text("no database", encoding="utf-8")
    assert page_size(tmp_path / "app.db") == 4096


def test_a_reader_sees_the_one_or_the_other(path: Path, new: sqlite3.Connection) -> None:
    with closing(connect(path)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT title FROM tasks").fetchone()[0] == "Mine"
        aside = replace(path, new)
        assert reader.execute("SELECT title FROM tasks").fetchone()[0] == "Mine"
        reader.execute("COMMIT")
        assert reader.execute("SELECT title FROM tasks").fetchone()[0] == "Theirs"
        with transaction(reader):
            reader.execute("UPDATE tasks SET title = 'Later'")
    assert aside is not None
    assert titles(aside) == ["Mine"]
    assert titles(path) == ["Later"]
