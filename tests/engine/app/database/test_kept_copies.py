"""Which copies stay: few enough, never the last good ones, never one with a name of a person's own."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.database import kept_copies
from app.database.copies import keep, new_backup
from app.database.kept_copies import (
    DAYS,
    SORTS,
    YEAR,
    Copy,
    copies,
    superfluous,
    thin,
)
from server.app_name import PREFIX
from tests.engine.conftest import PATIENCE, PROJECT

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
REASONS = ("", "-saved", "-before-restore", "-before-drop-notes", "-before-add_colour", "-before-add_size")


def copy_of(age: timedelta, reason: str = "", number: int = 1) -> Copy:
    made = NOW - age
    return Copy(Path(f"{made:%Y%m%dT%H%M%SZ}{reason}-{number}.db"), made, reason)


def staying(those: list[Copy], keep: int = 3) -> list[Copy]:
    those = sorted(those, key=lambda copy: copy.made, reverse=True)
    going = superfluous(those, keep, NOW)
    return [copy for copy in those if copy not in going]


def test_of_many_in_half_an_hour_the_newest_few_stay() -> None:
    those = [copy_of(timedelta(minutes=minute), "-before-add_colour") for minute in range(1, 30)]
    assert staying(those) == those[:3]


def test_older_ones_are_thinned_to_one_a_day_and_one_a_month() -> None:
    those = [copy_of(timedelta(hours=6 * number)) for number in range(4 * 400)]
    stay = staying(those)
    assert stay[:3] == those[:3]
    days = [copy.made.date() for copy in stay if NOW - copy.made < DAYS]
    assert len(set(days)) == 15
    assert len(days) <= 15 + 3
    older = [copy.made for copy in stay if NOW - copy.made >= DAYS]
    assert len({(made.year, made.month) for made in older}) == len(older)
    assert min(older) > NOW - YEAR
    assert len(stay) < 32


def test_each_sort_is_counted_alone() -> None:
    those = [copy_of(timedelta(minutes=minute), reason) for minute in range(9) for reason in REASONS]
    stay = staying(those, keep=2)
    for reason in REASONS:
        assert next(copy.made for copy in stay if copy.reason == reason) == NOW, "the newest of each"
    assert len([copy for copy in stay if copy.sort == ""]) == 2


@given(
    ages=st.lists(st.tuples(st.integers(0, 500 * 24 * 60), st.sampled_from(REASONS)), max_size=60),
    keep=st.integers(1, 6),
)
def test_the_last_good_copies_never_go_and_there_are_never_too_many(ages: list[tuple[int, str]], keep: int) -> None:
    those = [copy_of(timedelta(minutes=minutes), reason, number) for number, (minutes, reason) in enumerate(ages)]
    stay = staying(those, keep)
    for sort in SORTS:
        of_it = [copy.made for copy in those if copy.sort == sort]
        left = [copy.made for copy in stay if copy.sort == sort]
        assert max(of_it, default=None) == max(left, default=None)
        assert len(left) <= keep + 15 + 13 + 2
    for reason in REASONS:
        young = [copy.made for copy in those if copy.reason == reason and NOW - copy.made < YEAR]
        if young:
            assert max(young) in [copy.made for copy in stay if copy.reason == reason]


def test_what_a_person_has_named_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backups = tmp_path / "backups"
    backups.mkdir()
    own = ["before-holiday.db", "20260101T000000Z-holiday.db", "20260101T000000Z.db.gz", "20261399T000000Z.db"]
    ours = [f"2024010{day}T000000Z{end}.db" for day in range(1, 9) for end in ("", "-before-add_colour", "-2")]
    for name in (*own, *ours):
        (backups / name).touch()
        os.utime(backups / name, (0, 0))
    (backups / "20240101T000000Z-before-restore.db-wal").touch()
    thin(tmp_path)
    left = {path.name for path in backups.iterdir()}
    assert set(own) <= left
    assert left & set(ours) == {"20240108T000000Z-2.db", "20240108T000000Z-before-add_colour.db"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "app.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE notes (text)")
    return path


def test_the_same_data_are_kept_once(file: Path) -> None:
    first = keep(file, "-before-add_colour")
    os.utime(first.path, (0, 0))
    again = keep(file, "-before-add_colour")
    assert (first.is_new, again) == (True, (first.path, False))
    assert first.path.stat().st_mtime > 0, "it counts as made now"
    again.drop()
    assert first.path.exists(), "it is not this one's to delete"
    assert keep(file, "-before-restore").is_new, "each sort by itself"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("INSERT INTO notes VALUES ('another')")
        connection.commit()
    assert keep(file, "-before-add_colour").path != first.path
    assert len(copies(file.parent)) == 3


def command(data: Path, *options: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, PROJECT / "server.py", "backup", "--data", data, *options],
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        env={**os.environ, **environment},
    )


def test_the_command_lists_and_sweeps(tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    backups.mkdir()
    for second in range(8):
        (backups / f"20260101T00000{second}Z.db").write_bytes(b"12345")
        os.utime(backups / f"20260101T00000{second}Z.db", (0, 0))
    (backups / "mine.db").touch()
    shown = command(tmp_path, "--list")
    assert shown.returncode == 0, shown.stderr
    assert len(shown.stdout.splitlines()) == 9
    assert "2026-01-01 00:00:07 UTC               5 bytes  20260101T000007Z.db" in shown.stdout
    assert "mine.db: a name of your own, so it stays" in shown.stdout
    swept = command(tmp_path, "--sweep", **{f"{PREFIX}KEEP_COPIES": "2"})
    assert swept.returncode == 0, swept.stderr
    assert swept.stdout.splitlines() == [
        *(f"Deleted: 20260101T00000{second}Z.db" for second in (5, 4, 3, 2, 1, 0)),
        f"2 copies stay in {backups}.",
    ]
    assert sorted(path.name for path in backups.iterdir()) == ["20260101T000006Z.db", "20260101T000007Z.db", "mine.db"]
    wrong = command(tmp_path, "--sweep", "--list")
    assert wrong.returncode == 2
    assert "leave out FILE" in wrong.stderr


def test_copies_of_the_command_are_bounded_by_the_setting(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Two:
        keep_copies = 2

    monkeypatch.setattr(kept_copies, "settings", Two)
    for _ in range(5):
        new_backup(file.parent).touch()
        thin(file.parent)
    assert len(copies(file.parent)) == 2
