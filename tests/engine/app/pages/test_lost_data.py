"""What one process knows and does about lost data; that nothing is lost, on real servers, is in tests/engine/faults."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.database.copies import newest_saved
from app.database.db import LostData, db
from app.database.preparation import prepare
from app.migrations import migrations
from app.pages import lost_data as module
from app.pages.lost_data import Lost


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    path = prepare(tmp_path / "data", migrations)
    db.open(path)
    yield path
    db.close()


def write() -> None:
    asyncio.run(db.write(lambda connection: connection.execute("DELETE FROM presence")))


def look(lost: Lost, times: int = 1) -> None:
    for _ in range(times):
        asyncio.run(lost.look())


def test_writes_are_refused_and_reads_go_on(file: Path) -> None:
    write()
    file.unlink()
    with pytest.raises(LostData, match="was deleted while the app runs"):
        write()
    assert asyncio.run(db.read("SELECT count(*) FROM presence"))[0][0] == 0
    with pytest.raises(LostData):
        db.long_reading()
    assert not file.exists(), "nothing is made anew in its place"


def test_the_token_moves_with_the_loss_with_the_copy_and_back(file: Path) -> None:
    lost, tokens = Lost(), [db.token()]
    file.rename(file.with_name("b.db"))
    look(lost)
    tokens.append(db.token())
    file.with_name("b.db").rename(file)
    look(lost)
    tokens.append(db.token())
    file.unlink()
    look(lost)
    tokens.append(db.token())
    look(lost)
    tokens.append(db.token())
    assert len(set(tokens)) == 4
    assert tokens[0] == tokens[2]


def test_a_copy_that_cannot_be_saved_is_tried_again_ever_more_seldom(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full() -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_saved", full)
    lost = Lost()
    file.unlink()
    look(lost, 6)
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert said[1:] == [
        "No copy of the data could be saved, which is tried again in 1.0 s: [Errno 28] No space left on device."
    ]
    lost._next_try = 0
    look(lost)
    assert lost._pause == 3
    monkeypatch.undo()
    lost._next_try = 0
    look(lost)
    assert db.saved == newest_saved(file.parent)
    assert db.saved


def test_one_process_alone_takes_care_of_it(file: Path, tmp_path: Path) -> None:
    from app.database.db import Database

    other = Database()
    other.open(file)
    with closing(other):
        assert other.takes_care_of_loss()
        assert not db.takes_care_of_loss()
        other.leave_loss()
        assert db.takes_care_of_loss()
