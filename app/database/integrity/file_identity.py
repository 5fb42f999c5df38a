"""Checks whether the paths of the database still refer to the files that the app has open.

SQLite goes on with the files that it has opened, whatever becomes of their names: deleted, moved, or another file
or disk in their place. All that is written from then on is gone with the process. So the names are looked at before and
after each commit (three questions to the system), and twice a second; so is what is in them
(`app/database/integrity/file_content.py`).
"""

import errno
import os
import sys
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from app.database.integrity.file_content import Content
from app.database.integrity.overwritten_mark import marked_by

# The file, its log of what was written last, and the index of that.
ENDINGS = ("", "-wal", "-shm")


class Kind(Enum):
    """What has become of the names."""

    DELETED = "deleted"
    MOVED = "moved"
    LOG = "log"
    OUT_OF_REACH = "out of reach"
    OVERWRITTEN = "overwritten"


class Loss(NamedTuple):
    """What has become of them, and the same in a sentence."""

    kind: Kind
    words: str


class Identity:
    """The files at `path` and beside it, which a connection has open at this moment."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # None of them is ever closed: closing any descriptor of a file ends the locks that SQLite holds on it in this
        # process (https://www.sqlite.org/howtocorrupt.html, section 2.2).
        self._files = [os.open(f"{path}{ending}", os.O_RDONLY) for ending in ENDINGS]
        self._known = [
            (f"{path}{ending}", found.st_dev, found.st_ino)
            for ending, found in zip(ENDINGS, map(os.fstat, self._files), strict=True)
        ]
        self._content = Content(*self._files)

    @property
    def log(self) -> int:
        """The descriptor of the log."""
        return self._files[1]

    @property
    def number(self) -> str:
        """Which file it is, as `number_of` has it."""
        _, device, number = self._known[0]
        return f"{device}:{number}"

    def has_log(self) -> bool:
        """Whether the log is where it was."""
        name, device, number = self._known[1]
        return number_of(Path(name)) == f"{device}:{number}"

    def is_whole(self) -> bool:
        """Whether each name still leads to its file, with what SQLite has written to it."""
        try:
            if self._content.fault():
                return False
            for name, device, number in self._known:
                found = os.stat(name)
                if found.st_ino != number or found.st_dev != device:
                    return False
        except OSError:
            return False
        return True

    def loss(self) -> Loss | None:
        """What has become of the names; None while all is well."""
        if self.is_whole():
            return None
        if (overwritten := self._overwritten()) is not None:
            return overwritten
        for name, device, number in self._known:
            try:
                found = os.stat(name)
            except (FileNotFoundError, NotADirectoryError):
                return self._missing(name)
            except OSError as error:
                return Loss(Kind.OUT_OF_REACH, f"{name} cannot be reached: {error.strerror}.")
            if (found.st_dev, found.st_ino) != (device, number):
                return self._missing(name, "Another file has taken its place.")
        return None  # It is back in its place by now.

    def _overwritten(self) -> Loss | None:
        try:
            fault = self._content.fault()
            # Another process may have seen it, and moved the log away, before this one has looked.
            is_marked = bool(fault) or marked_by(self.path) != 0
        except OSError:  # Of a disk that was pulled out, or a directory out of reach: their names tell.
            return None
        if not is_marked:
            return None
        name = f"{self.path}-wal" if fault == "log" else self.path
        return Loss(
            Kind.OVERWRITTEN,
            f"{name} was written over or cut short while the app runs, by something else than SQLite.",
        )

    def _missing(self, name: str, more: str = "") -> Loss:
        """How the file that this name led to was lost."""
        if name != str(self.path):
            if more:
                return Loss(Kind.LOG, f"{name} is another file than the one that the app has open.")
            return Loss(Kind.LOG, f"{name} was deleted or moved while the app runs.")
        try:
            is_deleted = os.fstat(self._files[0]).st_nlink == 0
        except OSError as error:  # Of a disk that was pulled out.
            return Loss(Kind.OUT_OF_REACH, f"{name} cannot be reached: {error.strerror or os.strerror(errno.EIO)}.")
        if is_deleted:
            words, kind = f"{name} was deleted while the app runs.", Kind.DELETED
        else:
            words, kind = f"{name} was moved while the app runs{self._place()}.", Kind.MOVED
        return Loss(kind, f"{words} {more}".strip())

    def _place(self) -> str:
        """Where the file is now, as far as the system says it."""
        if sys.platform != "linux":
            return ""
        try:
            place = os.readlink(f"/proc/self/fd/{self._files[0]}")
        except OSError:  # Where /proc is not mounted.
            return ""
        return f" and is {place} now" if place != str(self.path.resolve()) else ""


def number_of(path: Path) -> str:
    """Which file a name leads to; empty where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return ""
    return f"{found.st_dev}:{found.st_ino}"
