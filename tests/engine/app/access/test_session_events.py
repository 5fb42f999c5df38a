"""What has happened: in the log, and in a table that no stranger can fill with more than its own kind."""

import asyncio
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.access import session_events
from app.access.access_file import AccessFile
from app.access.session_events import (
    EVENTS,
    KEPT_SECONDS,
    SHOWN,
    Kind,
    recent,
    record,
)

SCOPE: dict[str, Any] = {
    "client": ("192.0.2.7", 40000),
    "server": ("192.0.2.1", 5001),
    "headers": [(b"user-agent", b"curl/8.5.0\r\nforged")],
}


@pytest.fixture
def file(tmp_path: Path) -> Iterator[AccessFile]:
    file = AccessFile(tmp_path)
    yield file
    asyncio.run(file.close())


def happen(file: AccessFile, *kinds: Kind, scope: dict[str, Any] | None = SCOPE, tries: int = 1) -> None:
    async def record_all() -> None:
        for kind in kinds:
            record(file, scope, kind, tries)
        await file.close()

    asyncio.run(record_all())


def test_what_happens_is_in_the_log_and_in_the_table(file: AccessFile, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        happen(file, Kind.SIGNED_IN, Kind.SIGNED_OUT)
        happen(file, Kind.WRONG_TOKEN, tries=8)
        happen(file, Kind.NEW_TOKEN, scope=None)
    assert [each.kind for each in recent(file)] == [
        *("A new token ended all sessions", "Tried a wrong token", "Signed out", "Signed in with the token")
    ]
    assert recent(file)[1][2:] == ("192.0.2.7", "curl/8.5.0 forged", 8)
    assert abs(recent(file)[0].at - time.time()) < 60
    lines = [(each.levelname, each.getMessage()) for each in caplog.records]
    assert ("WARNING", "Tried a wrong token: 192.0.2.7, curl/8.5.0 forged (8 tries).") in lines
    assert ("INFO", "A new token ended all sessions.") in lines


def test_so_many_of_each_kind_are_kept(file: AccessFile) -> None:
    happen(file, Kind.SIGNED_IN)
    for _ in range(3):
        happen(file, *[Kind.WRONG_TOKEN] * 150)
    counts = {row[0]: row[1] for row in file.rows("SELECT kind, count(*) FROM events GROUP BY kind")}
    assert counts == {Kind.SIGNED_IN: 1, Kind.WRONG_TOKEN: EVENTS}
    assert len(recent(file)) == SHOWN


def test_what_is_old_goes(file: AccessFile, monkeypatch: pytest.MonkeyPatch) -> None:
    happen(file, Kind.SIGNED_IN)
    now = time.time()
    monkeypatch.setattr(session_events.time, "time", lambda: now + KEPT_SECONDS + 60)
    happen(file, Kind.SIGNED_OUT)
    assert [each.kind for each in recent(file)] == [Kind.SIGNED_OUT]


def test_what_cannot_be_kept_is_said_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "access.db").mkdir()
    file = AccessFile(tmp_path)
    with caplog.at_level(logging.INFO):
        happen(file, Kind.WRONG_TOKEN)
    assert "Tried a wrong token" in caplog.text
    assert "could not be kept in" in caplog.text
