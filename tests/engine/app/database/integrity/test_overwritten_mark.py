"""The mark beside a file that was written over: it counts while the process lives that has made it."""

import subprocess
import sys
from pathlib import Path

from app.database.integrity.overwritten_mark import is_marked, marked_by, unmark
from tests.engine.conftest import PROJECT

MARK = """
import pathlib, sys
from app.database.integrity import overwritten_mark
overwritten_mark.mark(pathlib.Path(sys.argv[1]))
print(1)
input()
"""


def test_the_mark_counts_while_its_process_lives(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    assert not is_marked(path)
    assert marked_by(path) == 0
    with subprocess.Popen(
        [sys.executable, "-c", MARK, path],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        assert process.stdout
        process.stdout.readline()
        assert marked_by(path) == process.pid
    assert is_marked(path)
    assert marked_by(path) == 0
    unmark(path)
    assert not is_marked(path)
