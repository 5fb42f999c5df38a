"""Presence: how many tabs are open, over all workers.

It is data like any other: each worker keeps a row with its count, so whoever shows the sum is live by itself.
"""

import asyncio
import logging
import os
from typing import Any

from fasthtml.core import APIRouter
from sqlite_utils.utils import sqlite3
from starlette.requests import Request

from app.database.db import LostData, db
from app.database.live_processes import lives
from app.database.sqlite_connections import Connection
from app.pages.responses import answer
from server import background_work
from server.fragments import fragment
from templates.parts.live import connection

# At most four commits a second, however many tabs come and go.
WRITE_SECONDS = 0.25
# A disk that is full, or a file that another program holds, is not asked as often.
RETRY_SECONDS = 5

logger = logging.getLogger(__name__)

rt = APIRouter()


@rt("/connection", methods=["get"])
@fragment
async def show_connection(request: Request) -> Any:
    """What each page says of its connection."""
    return answer(request, "Connection", connection(await tabs_elsewhere() + await tabs_here()))


class Presence:
    """The tabs of this worker, and the row that says so."""

    def __init__(self) -> None:
        self.tabs = 0
        self._written = 0
        self._writing: asyncio.Task[None] | None = None

    def count(self, tabs: int) -> None:
        """Take note of how many tabs there are."""
        self.tabs = tabs
        if self._writing is None or self._writing.done():
            self._writing = background_work.begin("Counting open tabs", self._write)

    async def _write(self) -> None:
        while self._written != self.tabs:
            tabs = self.tabs
            try:
                await db.write(_store(tabs))
            except sqlite3.Error as error:
                if isinstance(error, LostData):  # That has been said.
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                logger.warning("How many tabs are open could not be written, and will be tried again: %s.", error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            self._written = tabs
            await asyncio.sleep(WRITE_SECONDS)

    async def begin(self) -> None:
        """Forget what an earlier process of this number has left; no tab is here yet."""
        if await tabs_here():
            await db.write(_store(0))

    async def clear(self) -> None:
        """Forget the workers that are gone."""
        rows = await db.read("SELECT process FROM presence WHERE process <> ?", [os.getpid()])
        others = [row["process"] for row in rows]
        gone = [process for process in others if not lives(process)]
        if gone:
            await db.write(lambda connection: connection.executemany(DELETE, [(process,) for process in gone]))

    async def leave(self) -> None:
        """Take this worker's own row out."""
        is_writing = self._writing is not None and self._writing.cancel()
        if self._written or is_writing:
            await db.write(_store(0))


# Another program may have put anything there.
TABS = "CAST(tabs AS INTEGER)"
DELETE = "DELETE FROM presence WHERE process = ?"
presence = Presence()


async def tabs_here() -> int:
    """How many tabs this worker had at the last commit."""
    rows = await db.read(f"SELECT {TABS} AS tabs FROM presence WHERE process = ?", [os.getpid()])
    return rows[0]["tabs"] if rows else 0


async def tabs_elsewhere() -> int:
    """How many tabs the other workers have."""
    rows = await db.read(f"SELECT coalesce(sum({TABS}), 0) FROM presence WHERE process <> ?", [os.getpid()])
    count: int = rows[0][0]
    return count


def _store(tabs: int) -> Any:
    def change(connection: Connection) -> None:
        if not tabs:
            connection.execute(DELETE, [os.getpid()])
            return
        connection.execute("INSERT OR REPLACE INTO presence (process, tabs) VALUES (?, ?)", [os.getpid(), tabs])

    return change
