"""Free disk space: uploads and imports are refused before they use up the last of it."""

import errno
import os
import re
import shutil
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.database.db import db

# A small disk keeps an eighth of it free: more than the log of what is taken back takes.
RESERVE_BYTES = 64 * 1024**2
RESERVE_SHARE = 8
# No table with AUTOINCREMENT gives another id after it.
LAST_ID = 2**63 - 1
# How much of an upload comes in until the room is looked at again.
PIECE_BYTES = 4 * 1024**2


def refuse_without_room(size: int = 0) -> None:
    """Raises the OSError of a full disk where so many bytes more would leave too little room on it."""
    usage = shutil.disk_usage(db.path.parent)
    if usage.free - size < min(RESERVE_BYTES, usage.total // RESERVE_SHARE):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def used_up() -> str:
    """Which table has no number left for another row, in words; empty where each has.

    SQLite says the same of that as of a full disk.
    """
    rows = await db.read("SELECT name FROM sqlite_sequence WHERE seq = ?", [LAST_ID])
    if not rows:
        return ""
    table = rows[0]["name"]
    return (
        f"The disk has room, but the table “{table}” has no number left for another row, as one had the last that "
        f"there is, {LAST_ID}. Nothing was changed. Restore a backup from before that, or set the numbers back with "
        f"sqlite3: DELETE FROM {table} WHERE id = {LAST_ID}; UPDATE sqlite_sequence SET seq = (SELECT "
        f"coalesce(max(id), 0) FROM {table}) WHERE name = '{table}';"
    )


class UploadRoom:
    """ASGI middleware: what is sent to one of `paths` ends with that error before it has taken the last room.

    It is to stand within what answers errors.
    """

    def __init__(self, app: ASGIApp, paths: Collection[str]) -> None:
        self.app = app
        self.paths = frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] in self.paths and scope["method"] == "POST":
            receive = _while_there_is_room(receive, Headers(scope=scope).get("content-length", ""))
        await self.app(scope, receive, send)


def _while_there_is_room(receive: Receive, length: str) -> Receive:
    # A file comes in without a name first, and is copied from there.
    needed = 2 * int(length) if re.fullmatch(r"\d{1,18}", length, re.ASCII) else 0
    seen = -1

    async def receive_with_room() -> Message:
        nonlocal seen
        if seen < 0:
            seen = 0
            refuse_without_room(needed)
        message = await receive()
        before = seen
        seen += len(message.get("body", b""))
        if seen // PIECE_BYTES > before // PIECE_BYTES:
            refuse_without_room(PIECE_BYTES)
        return message

    return receive_with_room
