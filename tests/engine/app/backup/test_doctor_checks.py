"""What doctor is told of SQLite and the file; that the file is as it was afterwards."""

from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database as SqliteUtils
from sqlite_utils.utils import sqlite3

import app.backup.doctor_checks
from app.backup.doctor_checks import file, sqlite
from app.database.preparation import prepare
from app.migrations import migrations
from tests.engine.app.backup.test_backups import Opened, change, damage_a_page


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return prepare(tmp_path / "data", migrations)


def test_a_whole_file_is_well_and_untouched(path: Path) -> None:
    before = {each: each.stat().st_mtime_ns for each in path.parent.iterdir()}
    assert str(file(path)) == f"ok {path}: whole"
    assert {each: each.stat().st_mtime_ns for each in path.parent.iterdir()} == before


def test_what_is_still_in_the_log_is_seen(path: Path) -> None:
    with Opened(path) as connection:
        newer = "INSERT INTO _sqlite_migrations (migration_set, name) VALUES (?, 'from_2031')"
        connection.execute(newer, [migrations.name])
        assert "newer version" in str(file(path))
        assert "“from_2031”" in str(file(path))
        assert file(path).remedy


def test_no_file_yet_is_well(tmp_path: Path) -> None:
    assert not file(tmp_path / "app.db").remedy
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["words", "page"])
def test_a_damaged_file_is_named_with_the_way_back(path: Path, damage: str) -> None:
    change(path, "INSERT INTO tasks (title) VALUES ('x')")
    if damage == "page":
        damage_a_page(path)
    else:
        path.write_bytes(b"not a database" * 1000)
    found = file(path)
    assert f"{path} is damaged (" in found.what
    assert f"restore --data {path.parent} FILE" in found.remedy
    assert str(path.parent / "backups") in found.remedy


def test_a_locked_file_is_not_called_damaged(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Opened(path) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("INSERT INTO tasks (title) VALUES ('x')")
        monkeypatch.setattr("app.database.sqlite_connections.BUSY_SECONDS", 0.1)
        assert "cannot be read (database is locked)" in file(path).what


def test_an_older_file_is_well(path: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "old.db", isolation_level=None)) as connection:
        migrations.apply(SqliteUtils(connection), stop_before="create_presence")
    assert str(file(tmp_path / "old.db")).endswith("whole, brought up to date at the next start")


def test_an_old_sqlite_is_for_one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.backup.doctor_checks, "SAFE_FOR_SEVERAL", (99,))
    assert (sqlite(1).remedy, "one worker" in sqlite(1).what) == ("", True)
    assert "--workers" in sqlite(2).remedy
    monkeypatch.setattr(app.backup.doctor_checks, "SAFE_FOR_SEVERAL", (3, 0))
    assert not sqlite(2).remedy
