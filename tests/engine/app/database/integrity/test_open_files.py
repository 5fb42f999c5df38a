"""What a running process has open although its name leads elsewhere is found, and can be copied."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.database.integrity import open_files as module
from app.database.integrity.open_files import copy_held, held

HOLDING = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode = WAL")
connection.execute("CREATE TABLE a (b)")
connection.execute("INSERT INTO a VALUES ('kept')")
print("ready", flush=True)
sys.stdin.read()
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux shows the open files of a process in /proc")


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """A file that a process has open, with a row in its log."""
    path = tmp_path / "data" / "app.db"
    path.parent.mkdir()
    command = [sys.executable, "-c", HOLDING, path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield path
        process.kill()


def test_a_file_in_its_place_is_not_held(file: Path) -> None:
    assert held(file) is None
    assert held(file.with_name("other.db")) is None


@pytest.mark.parametrize("ending", ["", "-wal"])
def test_one_that_was_deleted_is_found_and_copied_with_what_its_log_has(
    file: Path, tmp_path: Path, ending: str
) -> None:
    Path(f"{file}{ending}").unlink()
    found = held(file)
    assert found
    copy = tmp_path / "copy.db"
    copy_held(found, copy)
    assert copy.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT b FROM a").fetchall() == [("kept",)]


# Another process that begins at the same moment is seen to make the files, as here in between two looks.


def test_files_that_are_made_between_two_looks_are_not_held(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = module.number_of
    named = []

    def number_of(path: Path) -> str:
        named.append(path)
        return numbers(path)

    monkeypatch.setattr(module, "number_of", number_of)
    assert held(file) is None
    assert [path.parent.name == "fd" for path in named[:4]] == [True, True, False, False], (
        "the names are looked at last"
    )


def test_what_is_over_at_the_second_look_is_not_held(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aside = file.with_name("aside.db")
    file.rename(aside)
    file.touch()
    monkeypatch.setattr(module, "_opened", lambda process, name: aside if name == str(file) else Path(f"{file}-wal"))
    assert held(file), "another file stands there"
    monkeypatch.setattr(module.time, "sleep", lambda seconds: aside.replace(file))
    assert held(file) is None
