"""Handles the loss of the database file while the app has it open: deleted, moved or replaced.

All that was acknowledged is in the open files, for as long as a process has them. So nothing more is written, every
page says so and offers a copy, and one process makes sure that the next start finds everything: a file that still has a
name is given what only its log has, of one that was deleted a copy is saved. One that was written over is not whole any
more: what was put there is left as it is, without the log, and the newest kept copy is named.
"""

import asyncio
import contextlib
import logging
import os
import time
from pathlib import Path
from typing import Any

from fasthtml.core import APIRouter
from sqlite_utils.utils import sqlite3
from starlette.requests import Request

from app.database.copies import (
    new_saved,
    newest_saved,
    placed,
    restore_command,
)
from app.database.db import db
from app.database.integrity import overwritten_mark
from app.database.integrity.file_identity import Kind, Loss
from app.database.kept_copies import newest
from app.pages.responses import answer, notice
from server.fragments import fragment

# How soon it is noticed while nobody writes.
LOOK_SECONDS = 0.5
# How often it is tried to give the file what its log has, while others read, before a copy is saved instead.
TRIES = 10
# A copy that cannot be saved is tried again, ever more seldom.
LONGEST_PAUSE = 60

logger = logging.getLogger("uvicorn.error")

rt = APIRouter()


@rt("/notice", methods=["get"])
@fragment
async def show_notice(request: Request) -> Any:
    """What every page says at its top where the data are lost."""
    return answer(request, "The data", notice())


class Lost:
    """What this process knows of a loss, and does about it."""

    def __init__(self) -> None:
        self._said: Loss | None = None
        self._since = 0.0
        self._tries = 0
        self._next_try = 0.0
        self._pause = 0.0

    async def look(self) -> None:
        """Look at the file, and do what is to be done; called every LOOK_SECONDS."""
        loss = db.look()
        if loss is None:
            if self._said is not None:
                self._end()
        elif self._said is None or self._said.kind is not loss.kind:
            self._begin(loss)  # What is being deleted may still be: it is seen to at the next look.
        else:
            await self.secure()

    async def secure(self) -> None:
        """Have all that was acknowledged where the next start finds it; for one process to do."""
        loss = db.look()
        if loss is not None and loss.kind is Kind.OVERWRITTEN:
            self._leave_as_it_is()
            return
        if loss is None or not db.takes_care_of_loss():
            self._show_saved()
            return
        if loss.kind in (Kind.MOVED, Kind.LOG) and self._tries < TRIES:
            self._tries += 1
            if await asyncio.to_thread(_settled, loss):
                self._tries = 0
            return
        self._show_saved()
        if not db.saved and time.monotonic() >= self._next_try:
            await self._save()

    def _leave_as_it_is(self) -> None:
        """Have the next start find what was put into the file, and nothing of what is open here."""
        try:
            overwritten_mark.mark(db.path)
        except OSError as error:
            logger.error("%s cannot be marked as written over: %s.", db.path, error)
        if db.takes_care_of_loss():
            _move_own_log_away()
        if db.saved is None and (found := newest(db.path.parent)) is not None:
            db.saved = found
            db.on_commit()

    async def _save(self) -> None:
        try:
            saved = await asyncio.to_thread(_saved)
        except (OSError, sqlite3.Error) as error:
            self._pause = min(2 * self._pause + 1, LONGEST_PAUSE)
            self._next_try = time.monotonic() + self._pause
            logger.error("No copy of the data could be saved, which is tried again in %s s: %s.", self._pause, error)
            return
        way_back = restore_command(db.path.parent, saved)
        logger.warning("A copy of all data was saved, which this brings back: %s", way_back)
        self._show_saved()

    def _show_saved(self) -> None:
        found = newest_saved(db.path.parent, self._since)
        if found != db.saved:
            db.saved = found
            db.on_commit()

    def _begin(self, loss: Loss) -> None:
        if self._said is None:
            self._since = time.time()
            if db.takes_care_of_loss():
                logger.error("%s Nothing is written until that is mended.", loss.words)
        self._said, self._tries, self._pause, self._next_try = loss, 0, 0.0, 0.0
        db.on_commit()

    def _end(self) -> None:
        self._said, db.saved = None, None
        if db.takes_care_of_loss():
            logger.warning("The data are where they were again, and what comes is written.")
        db.leave_loss()
        db.on_commit()


lost = Lost()


def _settled(loss: Loss) -> bool:
    """Checkpoint the log; whether the file is now complete without it."""
    try:
        is_whole = db.put_log_into_file()
    except sqlite3.Error as error:
        logger.error("What is in the log of %s could not be put into it: %s.", db.path, error)
        return False
    if is_whole and loss.kind is Kind.LOG:
        _move_stray_log_away()
    return is_whole


def _move_stray_log_away() -> None:
    """Move away a log that belongs to another file: it would be read into this one at the next start."""
    stray = Path(f"{db.path}-wal")
    if db.is_own_log() or not stray.exists():
        return
    aside = stray.with_name(f"{stray.name}-stray-{time.time_ns()}")
    with contextlib.suppress(OSError):
        os.replace(stray, aside)
        logger.warning("%s belongs to another file, and was moved to %s.", stray, aside)


def _move_own_log_away() -> None:
    """Move away the log of a file that was written over, and its index: they would be read into what is there now."""
    if not db.is_own_log():
        return
    aside = f"{db.path}-wal-stray-{time.time_ns()}"
    try:
        os.replace(f"{db.path}-wal", aside)
        Path(f"{db.path}-shm").unlink(missing_ok=True)
    except OSError as error:
        logger.error("The log of %s, which does not belong to it any more, cannot be moved away: %s.", db.path, error)
        return
    logger.warning("The log of what %s was before was moved to %s.", db.path, aside)


def _saved() -> Path:
    """A new copy of the open file, in the directory of the data, or beside it where that is gone."""
    target = new_saved(db.path.parent)
    with placed(target) as copy:
        db.backup(copy)
    return target
