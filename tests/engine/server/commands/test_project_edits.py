"""Edits of the project: all files of one change or none."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from server.commands.project_edits import (
    EditError,
    Kept,
    check_whole,
    put,
    take_away,
    text_of,
)


def tree(root: Path) -> dict[str, str]:
    """What is in a directory."""
    return {path.name: path.read_text(encoding="utf-8") for path in root.iterdir() if path.is_file()}


def test_files_are_written_and_taken_away(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old", encoding="utf-8")
    (tmp_path / "kept").write_text("kept", encoding="utf-8")
    (tmp_path / "kept").chmod(0o755)
    put({tmp_path / "new": "new", tmp_path / "kept": "edited", tmp_path / "old": None})
    assert tree(tmp_path) == {"new": "new", "kept": "edited"}
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o755


def test_an_edit_within_the_same_second_is_not_taken_for_what_was_compiled(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("print(1)\n", encoding="utf-8")
    compiling = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for number in (2, 3, 4):
        os.utime(module, (time.time(), int(time.time())))
        said = [
            subprocess.run(
                [sys.executable, "-c", "import module"], cwd=tmp_path, check=True, capture_output=True, env=compiling
            ).stdout
            for edit in ({}, {module: f"print({number})\n"})
            if put(edit) is None
        ]
        assert said == [f"{number - 1}\n".encode(), f"{number}\n".encode()]


@pytest.mark.parametrize("missing", ["no/such2/directory", "."])
def test_where_one_cannot_be_written_all_is_as_before(tmp_path: Path, missing: str) -> None:
    (tmp_path / "kept").write_text("kept", encoding="utf-8")
    (tmp_path / "old").write_text("old", encoding="utf-8")
    files = {tmp_path / "kept": "edited", tmp_path / "new": "new", tmp_path / "old": None, tmp_path / missing: "x"}
    with pytest.raises(EditError, match=r"cannot be written: .* directory\. Nothing was changed"):
        put(files)
    assert tree(tmp_path) == {"kept": "kept", "old": "old"}


KEPT = Kept("recipes", ["recipes"], ["create_recipes"])


@contextmanager
def unchangeable(kept: Kept) -> Iterator[str]:
    """Data whose commit fails at its end, as on a full disk."""
    yield "It is out."
    raise EditError("The data cannot be changed.")


@contextmanager
def changed(kept: Kept) -> Iterator[str]:
    yield "It is out."


def test_code_stays_with_data_that_could_not_be_committed(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("kept", encoding="utf-8")
    (tmp_path / "old").write_text("old", encoding="utf-8")
    files = {tmp_path / "kept": "edited", tmp_path / "new": "new", tmp_path / "old": None}
    with pytest.raises(EditError, match=r"The data cannot be changed\."):
        take_away(files, KEPT, unchangeable)
    assert tree(tmp_path) == {"kept": "kept", "old": "old"}


def test_files_that_cannot_be_deleted_after_the_data_has_gone_are_named(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("kept", encoding="utf-8")
    (tmp_path / "room").mkdir()
    with pytest.raises(EditError, match=r"It is out\. .* still there, as \S+room cannot be deleted: Is a"):
        take_away({tmp_path / "kept": "edited", tmp_path / "room": None}, KEPT, changed)
    assert tree(tmp_path) == {"kept": "edited"}


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.py").write_bytes("# Möhre".encode("latin-1"))
    with pytest.raises(EditError, match=r"latin\.py is not UTF-8 .* Nothing was changed"):
        text_of(tmp_path / "latin.py")
    with pytest.raises(EditError, match=r"none\.py cannot be read: No such file"):
        text_of(tmp_path / "none.py")


def test_a_copy_that_only_runs_is_not_edited(tmp_path: Path) -> None:
    with pytest.raises(EditError, match=r"is a copy of it without tests\. Nothing was changed.*nix develop"):
        check_whole(tmp_path)
