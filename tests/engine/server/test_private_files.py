"""Small files: whole under their name or not there, for their owner alone; what was left of others goes."""

import os
import stat
import time
from pathlib import Path

import pytest

from app.database.copies import sweep as sweep_copies
from server import private_files
from server.private_files import (
    OLD_SECONDS,
    put,
    sweep,
    written,
)
from server.sharing.sign_in_token import read, renew


def leave(directory: Path, name: str, age: float) -> Path:
    """What a process of that time ago has left."""
    left = directory / name
    left.write_bytes(b"half of a secret")
    os.utime(left, (time.time() - age, time.time() - age))
    return left


def test_a_file_is_put_in_its_place_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "key"
    for content in (b"one", b"another"):
        put(path, content)
        assert path.read_bytes() == content
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["key"]


def test_what_cannot_be_put_in_its_place_leaves_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    put(tmp_path / "key", b"one")
    monkeypatch.setattr(private_files.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        put(tmp_path / "key", b"another")
    assert (tmp_path / "key").read_bytes() == b"one"


def test_what_was_left_goes_and_nothing_else(tmp_path: Path) -> None:
    old, young = leave(tmp_path, ".new-abcdefgh", OLD_SECONDS + 5), leave(tmp_path, ".new-abcdefg1", 0)
    others = [leave(tmp_path, name, OLD_SECONDS + 5) for name in (".new-of a person", "new-abcdefgh", ".new-abcdefghi")]
    made = written(tmp_path, b"x")
    assert [each.exists() for each in (old, young, made, *others)] == [False, True, True, True, True, True]
    sweep(tmp_path / "not there")


@pytest.mark.parametrize("room", ["", "tls"])
def test_each_start_and_each_new_token_sweeps(tmp_path: Path, room: str) -> None:
    read(tmp_path)
    (tmp_path / room).mkdir(exist_ok=True)
    left = leave(tmp_path / room, ".new-abcdefgh", OLD_SECONDS + 5)
    sweep_copies(tmp_path)
    assert not left.exists()
    left = leave(tmp_path, ".new-abcdefgh", OLD_SECONDS + 5)
    renew(tmp_path)
    assert not left.exists()
