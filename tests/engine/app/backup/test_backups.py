"""Backups from the command line, of real files: what was taken comes back, under a running server, and nothing goes."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
from sqlite_utils import Database as SqliteUtils
from sqlite_utils.utils import sqlite3
from websockets.sync.client import connect

import app.backup.backups
import app.backup.replace_data
from app.backup.backups import BackupError, backup, restore
from app.migrations import migrations
from tests.engine.conftest import PROJECT, Server
from tests.engine.server.commands.test_cli import command, server_py

# Of the tables that this app always has, and of its tasks.
LISTED = r"Rows: .*0 in imported_rows, 0 in imports, 0 in presence, .*{} in tasks\."


@pytest.fixture
def data(tmp_path: Path, made: Path) -> Path:
    """A data directory with one task in it, “Before”."""
    shutil.copytree(made, tmp_path / "data")
    change(tmp_path / "data" / "app.db", "INSERT INTO tasks (title) VALUES ('Before')")
    return tmp_path / "data"


@pytest.fixture
def copy(data: Path, tmp_path: Path) -> Path:
    """A backup of that; since then the task is called “After”."""
    backup(data, tmp_path / "copy.db")
    change(data / "app.db", "UPDATE tasks SET title = 'After'")
    return tmp_path / "copy.db"


def change(file: Path, *statements: str) -> None:
    """Change a file as another program would."""
    with closing(sqlite3.connect(file, timeout=10)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def rows(file: Path, query: str = "SELECT title FROM tasks ORDER BY id") -> list[str]:
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        return [row[0] for row in connection.execute(query)]


def kept(data: Path) -> Path:
    """The one file that a restore has kept."""
    (aside,) = (data / "backups").glob("*-before-restore.db")
    assert re.fullmatch(r"\d{8}T\d{6}Z-before-restore\.db", aside.name)
    assert stat.S_IMODE(aside.stat().st_mode) == 0o600
    return aside


def is_refused(ended: subprocess.CompletedProcess[str], *words: object) -> None:
    """One line says why, and what to do."""
    assert (ended.returncode, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    for word in ("server.py: ", *map(str, words)):
        assert word in line


@contextmanager
def untouched(data: Path) -> Iterator[None]:
    """The file stays as it is, and nothing is left beside it."""
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    yield
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == before


# Backup


def test_a_backup_is_made_while_the_server_runs(server: Server) -> None:
    server.add(3)
    made = server_py("backup", "--data", server.data)
    assert (made.returncode, made.stderr) == (0, "")
    found = re.match(r"The backup is (\S+/backups/\d{8}T\d{6}Z\.db) \(([\d,]+) bytes\)\.\n", made.stdout)
    assert found
    copy = Path(found[1])
    assert copy.parent == server.data / "backups"
    assert int(found[2].replace(",", "")) == copy.stat().st_size
    assert re.fullmatch(LISTED.format(3), made.stdout[found.end() :].strip())
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert rows(copy) == ["Task 1", "Task 2", "Task 3"]
    assert list(copy.parent.glob(f"{copy.name}*")) == [copy]
    assert copy.read_bytes()[18:20] == b"\1\1", "one file by itself: https://www.sqlite.org/fileformat.html, 1.3.3"


def test_a_backup_goes_where_the_person_says(data: Path, tmp_path: Path) -> None:
    made = command("backup", "mine.db", "--data", "data", cwd=tmp_path)
    assert made.stdout.startswith(f"The backup is {tmp_path / 'mine.db'} (")
    assert rows(tmp_path / "mine.db") == ["Before"]


def test_a_file_that_is_there_is_not_overwritten(data: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.db").write_text("precious", encoding="utf-8")
    is_refused(command("backup", tmp_path / "mine.db", "--data", data), tmp_path / "mine.db", "already", "another")
    assert (tmp_path / "mine.db").read_text(encoding="utf-8") == "precious"
    with untouched(data):
        is_refused(command("backup", data / "app.db", "--data", data), "already")


def test_what_cannot_be_backed_up_is_one_line_and_leaves_no_half_copy(data: Path, tmp_path: Path) -> None:
    is_refused(command("backup", "--data", tmp_path / "none"), tmp_path / "none", "--data")
    assert not (tmp_path / "none").exists()
    is_refused(command("backup", tmp_path / "no" / "copy.db", "--data", data), "No such file", "another")
    whole = (data / "app.db").read_bytes()
    (data / "app.db").write_bytes(whole[: len(whole) // 2])
    is_refused(command("backup", tmp_path / "copy.db", "--data", data), data / "app.db", "damaged", "restore")
    assert not (tmp_path / "copy.db").exists()


def test_damage_that_copies_well_is_found_in_the_copy(data: Path, tmp_path: Path) -> None:
    damage_a_page(data / "app.db")
    with pytest.raises(BackupError, match="damaged"):
        backup(data, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


def damage_a_page(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'tasks'").fetchone()[0]
    whole = bytearray(file.read_bytes())
    whole[(page - 1) * 4096 : page * 4096] = b"\xde\xad" * 2048
    file.write_bytes(whole)


# Restore


def test_a_restore_shows_on_an_open_page_and_the_server_goes_on(
    server: Server, client: httpx.Client, htmx: httpx.Client, tmp_path: Path
) -> None:
    server.add(2)
    assert server_py("backup", tmp_path / "copy.db", "--data", server.data).returncode == 0
    server.empty()
    empty = htmx.get("/tasks")
    assert "Task 1" not in empty.text
    before = client.get("/healthz").json()["commit token"]
    with connect(server.url.replace("http:", "ws:") + "/live", origin=server.url, proxy=None) as socket:
        version = empty.headers["etag"].strip('"')
        socket.send(json.dumps({"watch": [{"id": "tasks", "url": "/tasks", "version": version}]}))
        restored = server_py("restore", tmp_path / "copy.db", "--data", server.data)
        assert (restored.returncode, restored.stderr) == (0, "")
        while "Task 1" not in (frame := str(socket.recv(timeout=20))):
            pass
        assert 'hx-target="#tasks"' in frame
    assert client.get("/healthz").json()["commit token"] != before
    assert "Task 2" in htmx.get("/tasks").text
    client.post("/tasks", data={"title": "Written afterwards"}, headers={"Sec-Fetch-Site": "same-origin"})
    assert rows(server.data / "app.db") == ["Task 1", "Task 2", "Written afterwards"]
    aside = re.search(r"What was there before is kept in (\S+)\.\n", restored.stdout)
    assert aside
    assert rows(Path(aside[1])) == []


def test_what_was_there_before_is_kept(data: Path, copy: Path) -> None:
    restored = command("restore", copy, "--data", data)
    now, listed, before = restored.stdout.splitlines()
    assert now == f"The data in {data} is now that of {copy}."
    assert re.fullmatch(LISTED.format(1), listed)
    assert before == f"What was there before is kept in {kept(data)}."
    assert rows(data / "app.db") == ["Before"]
    assert rows(kept(data)) == ["After"]
    assert {path.name for path in data.iterdir()} <= {"app.db", "backups"}


def test_a_restore_makes_a_new_directory(copy: Path, tmp_path: Path) -> None:
    restored = command("restore", copy, "--data", tmp_path / "new")
    assert (restored.returncode, "kept" in restored.stdout) == (0, False)
    assert rows(tmp_path / "new" / "app.db") == ["Before"]
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "new" / "app.db").stat().st_mode) == 0o600


def test_an_older_file_is_brought_up_to_date(data: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "old.db", isolation_level=None)) as connection:
        migrations.apply(SqliteUtils(connection), stop_before="create_presence")
        connection.execute("INSERT INTO imports (filename, state, process) VALUES ('old.csv', 'done', 1)")
    before = (tmp_path / "old.db").read_bytes()
    assert command("restore", tmp_path / "old.db", "--data", data).returncode == 0
    assert rows(data / "app.db", "SELECT filename FROM imports") == ["old.csv"]
    assert rows(data / "app.db", "SELECT count(*) FROM presence") == [0]
    assert (tmp_path / "old.db").read_bytes() == before


def test_a_file_of_a_newer_version_is_refused(data: Path, copy: Path) -> None:
    change(copy, f"INSERT INTO _sqlite_migrations (migration_set, name) VALUES ('{migrations.name}', 'in_2031')")
    with untouched(data):
        is_refused(command("restore", copy, "--data", data), copy, "newer", "“in_2031”", "Update the app")


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", ["no file of this app"]), (b"<html>", ["damaged, or no SQLite file"]), (None, ["damaged"])],
    ids=["empty", "a page", "cut off"],
)
def test_a_file_that_is_no_backup_is_refused(data: Path, copy: Path, content: bytes | None, words: list[str]) -> None:
    copy.write_bytes(copy.read_bytes()[:20000] if content is None else content)
    with untouched(data):
        is_refused(command("restore", copy, "--data", data), copy, "Nothing was changed", *words)


def test_a_damaged_page_of_a_backup_is_found(data: Path, copy: Path) -> None:
    damage_a_page(copy)
    with untouched(data), pytest.raises(BackupError, match=r"damaged.*Nothing was changed"):
        restore(data, copy)


def test_the_file_of_another_app_is_refused(data: Path, tmp_path: Path) -> None:
    change(tmp_path / "other.db", "CREATE TABLE songs (title)")
    with untouched(data), pytest.raises(BackupError, match="no file of this app"):
        restore(data, tmp_path / "other.db")


def test_pages_of_another_size_come_in_too(data: Path, copy: Path) -> None:
    change(copy, "PRAGMA page_size = 8192", "VACUUM")
    restore(data, copy)
    assert rows(data / "app.db") == ["Before"]
    assert rows(data / "app.db", "PRAGMA page_size") == [4096]


@pytest.mark.parametrize("damage", ["words", "cut off", "page"])
def test_a_damaged_file_is_replaced_and_kept(data: Path, copy: Path, damage: str) -> None:
    file = data / "app.db"
    if damage == "page":
        damage_a_page(file)
    else:
        file.write_bytes({"words": b"not a database", "cut off": file.read_bytes()[:20000]}[damage])
    assert command("restore", copy, "--data", data).returncode == 0
    assert rows(file) == ["Before"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert kept(data).stat().st_size > 0


def test_a_damaged_file_is_not_replaced_while_a_program_has_it_open(data: Path, copy: Path) -> None:
    with Opened(data / "app.db"):
        (data / "app.db").write_bytes(b"not a database")
        is_refused(server_py("restore", copy, "--data", data), data / "app.db", "damaged", "end that program")
        assert (data / "app.db").read_bytes() == b"not a database"
        assert not list((data / "backups").iterdir())


class Opened(closing[sqlite3.Connection]):
    """The file, as another program has it open."""

    def __init__(self, file: Path) -> None:
        connection = sqlite3.connect(file, isolation_level=None)
        connection.execute("SELECT count(*) FROM tasks").fetchone()
        super().__init__(connection)


def test_a_restore_waits_so_long_for_a_program_that_writes(
    data: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.backup.replace_data, "BUSY_SECONDS", 0.1)
    with Opened(data / "app.db") as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(BackupError, match=r"locked.*try again"):
            restore(data, copy)
        connection.execute("ROLLBACK")
    assert rows(data / "app.db") == ["After"]


def test_an_old_sqlite_does_not_restore_into_a_file_that_is_served(
    data: Path, copy: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.backup.backups, "SAFE_FOR_SEVERAL", (99,))
    with pytest.raises(BackupError, match="several processes"):
        restore(server.data, copy)
    restore(data, copy)
    assert rows(data / "app.db") == ["Before"]


def test_who_looks_on_is_a_matter_of_the_present(data: Path, copy: Path) -> None:
    change(copy, "INSERT INTO presence VALUES (1, 7)")
    change(data / "app.db", "INSERT INTO presence VALUES (2, 3)")
    restore(data, copy)
    assert rows(data / "app.db", "SELECT tabs FROM presence") == [3]


def test_who_is_signed_in_stands_in_no_backup_and_stays_over_a_restore(data: Path, copy: Path) -> None:
    (data / "access.db").write_bytes(b"left alone")
    restore(data, copy)
    backup(data)
    assert (data / "access.db").read_bytes() == b"left alone"
    assert rows(data / "app.db", "SELECT name FROM sqlite_schema WHERE name = 'sessions'") == []


def test_a_half_import_that_comes_back_is_taken_back(data: Path, copy: Path) -> None:
    row = f"INSERT INTO imports (filename, state, process) VALUES ('tasks.csv', 'writing', {os.getpid()})"
    change(copy, row)
    restore(data, copy)
    assert rows(data / "app.db", "SELECT state FROM imports") == ["undoing"]


def test_rows_that_are_taken_back_are_said(data: Path, copy: Path) -> None:
    change(
        copy,
        "INSERT INTO imports (id, filename, state, process) VALUES (5, 'tasks.csv', 'writing', 7)",
        "INSERT INTO imported_rows (import_id, row_id) VALUES (5, 1)",
    )
    assert "\n1 of these rows are taken out again" in restore(data, copy)
    assert "in the middle of this import" in rows(data / "app.db", "SELECT error FROM imports")[0]


def test_an_import_that_waits_is_not_started_with_the_upload_of_another(data: Path, copy: Path) -> None:
    change(copy, "INSERT INTO imports (id, filename, state, process) VALUES (1, 'theirs.csv', 'ready', 0)")
    change(data / "app.db", "INSERT INTO imports (id, filename, state, process) VALUES (1, 'mine.csv', 'ready', 0)")
    restore(data, copy)
    assert rows(data / "app.db", "SELECT filename || state FROM imports") == ["theirs.csvfailed"]
    assert "is in no backup" in rows(data / "app.db", "SELECT error FROM imports")[0]


def test_an_import_that_waits_here_as_well_goes_on(data: Path, tmp_path: Path) -> None:
    change(data / "app.db", "INSERT INTO imports (id, filename, state, process) VALUES (1, 'mine.csv', 'ready', 0)")
    backup(data, tmp_path / "copy.db")
    restore(data, tmp_path / "copy.db")
    assert rows(data / "app.db", "SELECT state FROM imports") == ["ready"]


def test_an_import_that_makes_no_sense_is_left_out_and_said(data: Path, copy: Path) -> None:
    change(copy, "INSERT INTO imports (id, filename, state, process) VALUES (4, 'a.csv', 'weird', 0)")
    assert "import 4 (what its column “state” holds makes no sense)" in restore(data, copy)
    assert rows(data / "app.db", "SELECT id FROM imports") == []


# What a person may name


def test_a_file_of_the_same_data_is_nothing_to_restore(data: Path, tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(data / "app.db")
    os.link(data / "app.db", tmp_path / "other name.db")
    for name in (data / "app.db", tmp_path / "link.db", tmp_path / "other name.db"):
        with untouched(data):
            is_refused(command("restore", name, "--data", data), "is the data itself", "Name a backup")


def test_what_is_no_file_is_refused(data: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with untouched(data):
        is_refused(command("restore", tmp_path / "fifo", "--data", data), tmp_path / "fifo", "is no file")
        refused = command("restore", tmp_path, "--data", data)
        assert (refused.returncode, "is a directory" in refused.stderr) == (2, True)
        refused = command("restore", tmp_path / "none.db", "--data", data)
        assert (refused.returncode, "does not exist" in refused.stderr) == (2, True)


def test_a_backup_goes_over_nothing_that_is_there(data: Path, tmp_path: Path) -> None:
    (tmp_path / "nowhere.db").symlink_to(tmp_path / "none" / "copy.db")
    (tmp_path / "precious.txt").write_text("precious", encoding="utf-8")
    (tmp_path / "link.db").symlink_to(tmp_path / "precious.txt")
    is_refused(command("backup", tmp_path / "link.db", "--data", data), "is there already", "another")
    is_refused(command("backup", tmp_path / "nowhere.db", "--data", data), "No such file", "another")
    refused = command("backup", tmp_path, "--data", data)
    assert (refused.returncode, "is a directory" in refused.stderr) == (2, True)
    assert (tmp_path / "precious.txt").read_text(encoding="utf-8") == "precious"
    assert not (tmp_path / "none").exists()


def test_a_file_that_a_program_holds_is_said_to_be_locked(
    data: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("DELETE FROM tasks")
        with untouched(data):
            is_refused(server_py("restore", copy, "--data", data), copy, "locked", "try again")


def on_a_disk_that_cannot_be_written(directory: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """`python3 server.py …` with a directory that is mounted so; skips where this system does not let us mount."""
    unshare = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    mounted = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    before = [*unshare, "sh", "-c", mounted, str(directory)]
    if shutil.which("unshare") is None or subprocess.run([*before, "true"], capture_output=True).returncode:
        pytest.skip("this system does not let us mount a directory so")
    command = [*before, sys.executable, PROJECT / "server.py", *arguments]
    return subprocess.run(list(map(str, command)), capture_output=True, encoding="utf-8", timeout=60)


def test_a_backup_on_a_disk_that_cannot_be_written_is_restored(data: Path, copy: Path, tmp_path: Path) -> None:
    media = tmp_path / "media"
    media.mkdir()
    copy.rename(media / "copy.db")
    restored = on_a_disk_that_cannot_be_written(media, "restore", media / "copy.db", "--data", data)
    assert (restored.returncode, restored.stderr) == (0, "")
    assert rows(data / "app.db") == ["Before"]


def test_a_disk_that_cannot_be_written_is_named(data: Path, copy: Path, tmp_path: Path) -> None:
    media = tmp_path / "media"
    media.mkdir()
    refused = on_a_disk_that_cannot_be_written(media, "backup", media / "copy.db", "--data", data)
    is_refused(refused, media, "Read-only file system", "another")
    with untouched(data):
        is_refused(on_a_disk_that_cannot_be_written(data, "backup", "--data", data), data, "Read-only file system")
        refused = on_a_disk_that_cannot_be_written(data, "restore", copy, "--data", data)
        is_refused(refused, data, "cannot be written", "--data")


def test_a_log_on_a_disk_that_cannot_be_written_is_read_too(data: Path, tmp_path: Path) -> None:
    """As on a disk that was taken out of another machine, with the log of a server that had no time to end."""
    media = tmp_path / "media"
    media.mkdir()
    with closing(sqlite3.connect(data / "app.db", isolation_level=None)) as connection:
        connection.execute("UPDATE tasks SET title = 'In the log'")
        for name in ("app.db", "app.db-wal"):
            shutil.copy(data / name, media / name)
        connection.execute("UPDATE tasks SET title = 'Since then'")
    restored = on_a_disk_that_cannot_be_written(media, "restore", media / "app.db", "--data", data)
    assert (restored.returncode, restored.stderr) == (0, "")
    assert rows(data / "app.db") == ["In the log"]
