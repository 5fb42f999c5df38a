"""What is kept of imports: only so many, only so long, and no file that nothing waits for.

A file that was read waits for a person to start its import, for WAITING_DAYS. An import that is over can be looked at,
and taken back, for KEPT_DAYS, as long as it is among the last KEPT_IMPORTS.
"""

import os
import re
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from app.database.db import db
from app.database.live_processes import lives
from app.database.sqlite_connections import Connection
from app.imports.job import (
    UPLOADS,
    Stopped,
    move,
    upload_path,
)
from templates.imports.page import KEPT_DAYS, KEPT_IMPORTS, WAITING_DAYS

OPEN = ("checking", "ready", "writing", "undoing")
# How many files may wait at once, to be read or for a person, and how much they may have together: so many times what
# one may have.
OPEN_IMPORTS = 100
OPEN_UPLOADS = 4
FORGOTTEN_ROWS = 5000
# What a file is called while it comes in, with the number of the process that takes it in.
COMING = re.compile(r"\.(\d+)-\w+")
# A file has its name a moment before its import is in the data.
FRESH_SECONDS = 600
AGO = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now', ?)"
# Since when an import is in its state; a row that another program has added does not say it.
SINCE = "coalesce(nullif(moved_at, ''), created_at)"
OVER = (
    f"""
    SELECT id FROM imports WHERE state NOT IN {OPEN} AND ({SINCE} < {AGO} OR id NOT IN (
        SELECT id FROM imports WHERE state NOT IN {OPEN} ORDER BY moved_at DESC, id DESC LIMIT ?
    ))
    """,
    (f"-{KEPT_DAYS} days", KEPT_IMPORTS),
)
# The imports whose rows are known, found by steps from one to the next, as an import may have made a million.
FORGOTTEN = """
    WITH RECURSIVE known (id) AS (
        SELECT min(import_id) FROM imported_rows
        UNION ALL
        SELECT (SELECT min(import_id) FROM imported_rows WHERE import_id > known.id) FROM known WHERE id IS NOT NULL
    )
    SELECT id FROM known WHERE id IS NOT NULL AND id NOT IN (SELECT id FROM imports)
"""


class TooMany(Exception):
    """Why no other file is taken in, in a sentence for the person."""


def refuse_too_many(connection: Connection, size: int, max_upload: int) -> None:
    """Raises TooMany where too many files wait already."""
    count, total = connection.execute(
        f"SELECT count(*), total(bytes_total) FROM imports WHERE state IN {OPEN}"
    ).fetchone()
    if count >= OPEN_IMPORTS or (count and total + size > OPEN_UPLOADS * max_upload):
        raise TooMany(
            f"{count} files wait here already, to be read or for you to start or discard their import: look at "
            "“Imports so far”, finish some of them, then bring this file again."
        )


async def sweep() -> None:
    """Let go of what was kept long enough."""
    for row in await db.read(
        f"SELECT id FROM imports WHERE state = 'ready' AND {SINCE} < {AGO}", [f"-{WAITING_DAYS} days"]
    ):
        with suppress(Stopped):
            await db.write(move(row["id"], "ready", "expired"))
            upload_path(row["id"]).unlink(missing_ok=True)
    if await db.read(*OVER):
        await db.write(_forget)
    for row in await db.read(FORGOTTEN):
        while await db.write(partial(_forget_rows, id=row["id"])):
            pass
    await _delete_files()


def _forget(connection: Connection) -> None:
    """Forget the imports themselves first, so that none is taken back of which a part is forgotten."""
    ids, parameters = OVER
    connection.execute(f"DELETE FROM imports WHERE id IN ({ids})", parameters)


def _forget_rows(connection: Connection, id: int) -> int:
    """Forget which rows an import has made, some at a time; the rows stay. How many there were."""
    rows = "SELECT row_id FROM imported_rows WHERE import_id = ? LIMIT ?"
    return connection.execute(
        f"DELETE FROM imported_rows WHERE import_id = ? AND row_id IN ({rows})", [id, id, FORGOTTEN_ROWS]
    ).rowcount


async def _delete_files() -> None:
    """Delete the uploads that nothing waits for: of imports that are over, and of processes that are gone."""
    directory = db.path.parent / UPLOADS
    if not directory.is_dir():
        return
    wanted = {str(row["id"]) for row in await db.read(f"SELECT id FROM imports WHERE state IN {OPEN}")}
    for file in directory.iterdir():
        coming = COMING.fullmatch(file.name)
        if coming:
            if int(coming[1]) != os.getpid() and not lives(int(coming[1])):
                file.unlink(missing_ok=True)
        elif file.name.isdigit() and file.name not in wanted:
            with suppress(FileNotFoundError):
                if file.stat().st_mtime < time.time() - FRESH_SECONDS:
                    file.unlink()


def coming_path(name: str) -> Path:
    """Where a file lies while it comes in."""
    return upload_path(0).with_name(f".{os.getpid()}-{name}")
