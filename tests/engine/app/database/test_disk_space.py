"""What is brought leaves some room on the disk."""

import asyncio
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from app.database import disk_space
from app.database.db import db

Usage = namedtuple("Usage", ["total", "used", "free"])
LARGE = 100 * 1024**3


@pytest.fixture
def usage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, int]:
    """A disk of which so much is free."""
    disk = {"total": LARGE, "free": LARGE}
    monkeypatch.setattr(db, "path", tmp_path / "app.db")
    monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda path: Usage(disk["total"], 0, disk["free"]))
    return disk


def test_some_room_stays_free(usage: dict[str, int]) -> None:
    disk_space.refuse_without_room(LARGE - disk_space.RESERVE_BYTES)
    with pytest.raises(OSError, match="No space left"):
        disk_space.refuse_without_room(LARGE - disk_space.RESERVE_BYTES + 1)


def test_of_a_small_disk_a_part(usage: dict[str, int]) -> None:
    usage |= {"total": 4_000_000, "free": 500_000}
    disk_space.refuse_without_room()
    usage["free"] -= 1
    with pytest.raises(OSError, match="No space left"):
        disk_space.refuse_without_room()


def sent(usage: dict[str, int], path: str, length: bytes | None, pieces: int, size: int = 4 * 1024**2) -> int:
    """How many pieces were taken in; each takes its room."""
    taken = 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 1
        usage["free"] -= size
        return {"type": "http.request", "body": bytes(size), "more_body": taken < pieces}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["more_body"]:
            pass

    headers = [] if length is None else [(b"content-length", length)]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
    asyncio.run(disk_space.UploadRoom(app, {"/imports"})(scope, receive, None))  # type: ignore[arg-type]
    return taken


def test_an_upload_that_says_that_it_is_too_large_does_not_begin(usage: dict[str, int]) -> None:
    usage["free"] = disk_space.RESERVE_BYTES + 100
    assert sent(usage, "/imports", b"50", 1, size=50) == 1
    usage["free"] = disk_space.RESERVE_BYTES + 99
    with pytest.raises(OSError, match="No space left"):
        sent(usage, "/imports", b"50", 1, size=50)


@pytest.mark.parametrize("length", [None, b"1", b"9" * 5000, b"x"])
def test_an_upload_ends_before_the_last_room_is_taken(usage: dict[str, int], length: bytes | None) -> None:
    usage["free"] = disk_space.RESERVE_BYTES + 20 * 1024**2
    with pytest.raises(OSError, match="No space left"):
        sent(usage, "/imports", length, 10)
    assert usage["free"] >= disk_space.RESERVE_BYTES
    usage["free"] = disk_space.RESERVE_BYTES
    assert sent(usage, "/tasks", length, 10) == 10
