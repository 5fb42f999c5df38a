"""Edits of the project: all files of one change or none."""

import shutil
import subprocess
from pathlib import Path

import pytest

from server.changes import EditError, check_committed, put


def tree(root: Path) -> dict[str, str]:
    """What is in a directory."""
    return {path.name: path.read_text() for path in root.iterdir() if path.is_file()}


def test_files_are_written_and_taken_away(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    (tmp_path / "kept").write_text("kept")
    (tmp_path / "kept").chmod(0o755)
    put({tmp_path / "new": "new", tmp_path / "kept": "edited", tmp_path / "old": None})
    assert tree(tmp_path) == {"new": "new", "kept": "edited"}
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("missing", ["no/such/directory", "."])
def test_where_one_cannot_be_written_all_is_as_before(tmp_path: Path, missing: str) -> None:
    (tmp_path / "kept").write_text("kept")
    (tmp_path / "old").write_text("old")
    files = {tmp_path / "kept": "edited", tmp_path / "new": "new", tmp_path / "old": None, tmp_path / missing: "x"}
    with pytest.raises(EditError, match=r"cannot be written: .* directory\. Nothing was changed"):
        put(files)
    assert tree(tmp_path) == {"kept": "kept", "old": "old"}


@pytest.mark.skipif(shutil.which("git") is None, reason="no git on this machine")
def test_edits_that_are_not_committed_are_named(tmp_path: Path) -> None:
    assert "no git" in check_committed(tmp_path)
    for name in ("a", "b", "c", "d"):
        (tmp_path / name).write_text("1")
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True)
    (tmp_path / "untracked").write_text("1")
    assert check_committed(tmp_path) == ""
    for name in ("a", "b", "c", "d"):
        (tmp_path / name).write_text("2")
    with pytest.raises(EditError, match=r"not committed \(a, b, c and 1 more\)"):
        check_committed(tmp_path)
