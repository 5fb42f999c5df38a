"""Whether the names of the data still lead to the open files, and what has become of them in words."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.database.integrity.file_identity import Identity, Kind, number_of


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """A file with a log, which a connection has open."""
    path = tmp_path / "data" / "app.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE a (b)")
        yield path


@pytest.fixture
def identity(file: Path) -> Identity:
    return Identity(file)


def test_all_is_well_while_nothing_happens(file: Path, identity: Identity) -> None:
    assert identity.is_whole()
    assert identity.has_log()
    assert identity.loss() is None


def test_a_deleted_file_is_told_from_one_that_was_moved(file: Path, identity: Identity) -> None:
    file.rename(file.with_name("b.db"))
    loss = identity.loss()
    assert loss
    assert loss.kind is Kind.MOVED
    assert loss.words == f"{file} was moved while the app runs and is {file.with_name('b.db')} now."
    file.with_name("b.db").unlink()
    assert identity.loss() == (Kind.DELETED, f"{file} was deleted while the app runs.")


def test_another_file_in_its_place_is_seen_and_so_is_the_own_one_that_is_back(file: Path, identity: Identity) -> None:
    file.rename(file.with_name("b.db"))
    file.touch()
    loss = identity.loss()
    assert loss
    assert loss.words.endswith("now. Another file has taken its place.")
    file.with_name("b.db").rename(file)
    assert identity.loss() is None


@pytest.mark.parametrize("ending", ["-wal", "-shm"])
def test_the_log_and_its_index_belong_to_it(file: Path, identity: Identity, ending: str) -> None:
    beside = Path(f"{file}{ending}")
    beside.rename(f"{file}.aside")
    assert identity.loss() == (Kind.LOG, f"{beside} was deleted or moved while the app runs.")
    beside.touch()
    assert identity.loss() == (Kind.LOG, f"{beside} is another file than the one that the app has open.")
    assert identity.has_log() == (ending == "-shm")


def test_a_disk_that_does_not_answer_is_out_of_reach(
    file: Path, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stat(path: object) -> os.stat_result:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "stat", stat)
    assert identity.loss() == (Kind.OUT_OF_REACH, f"{file} cannot be reached: Input/output error.")
    assert number_of(file) == ""


def test_a_directory_that_is_no_directory_any_more_is_a_loss(file: Path, identity: Identity) -> None:
    file.parent.rename(file.parent.with_name("elsewhere"))
    file.parent.write_text("a file", encoding="utf-8")
    loss = identity.loss()
    assert loss
    assert loss.kind is Kind.MOVED
