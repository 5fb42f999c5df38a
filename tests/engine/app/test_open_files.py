"""What a running process has open although its name leads elsewhere is found, and can be copied."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.open_files import copy_held, held

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
