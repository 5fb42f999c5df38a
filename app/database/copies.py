"""Copies of the file: made in a room of their own, put on the disk, and only then given their name.

So under the name of a copy there is a whole one or none, whatever ends the process. A room is a directory beside the
place of the copy that is locked while its process lives; one that a killed process has left is swept by whoever needs a
room in the same directory next, and at each start.
"""

import errno
import filecmp
import os
import re
import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp
from typing import NamedTuple

try:
    import fcntl
except ImportError:  # Windows has none.
    fcntl = None  # type: ignore[assignment]

from sqlite_utils.utils import sqlite3

from server import private_files

BACKUPS = "backups"
# Where --tls keeps what it makes.
TLS = "tls"
# At the end of the name of a copy that was saved of data that were deleted while they were served.
SAVED = "-saved"
# No person gives a directory such a name.
ROOM = ".making-"
_ROOM = re.compile(re.escape(ROOM) + "[a-z0-9_]{8}")
# Where no lock says whether its process lives, a room this old is taken for left.
OLD_SECONDS = 24 * 60 * 60
# What a copy leaves free of the disk: a twentieth of it, but not more than this.
RESERVE_BYTES = 64 * 2**20
# What SQLite says of a copy that cannot go on: BUSY and LOCKED, CORRUPT and NOTADB.
LOCKED_CODES = (5, 6)
DAMAGED_CODES = (11, 26)


@contextmanager
def room(directory: Path) -> Iterator[Path]:
    """A new directory for what is being made, beside where it will be; it goes with all that is left in it."""
    sweep(directory)
    made, lock = _new_room(directory)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def sweep(directory: Path) -> None:
    """Delete what processes have left that have ended before they could: rooms here and among the backups, secrets."""
    for place in (directory, directory / TLS):
        private_files.sweep(place)
    places = [place for place in (directory, directory / BACKUPS) if place.is_dir()]
    for left in [each for place in places for each in place.iterdir() if _ROOM.fullmatch(each.name)]:
        with suppress(OSError):
            if fcntl is None:
                if time.time() - left.stat().st_mtime > OLD_SECONDS:
                    shutil.rmtree(left)
                continue
            lock = _locked(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
            os.close(lock)


@contextmanager
def placed(target: Path) -> Iterator[Path]:
    """Where to write a new file; it is put on the disk and named `target` when the context ends well.

    Raises FileExistsError where there is anything of that name, and OSError where no file can be made there.
    """
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    with room(target.parent) as making:
        copy = making / "copy.db"
        yield copy
        _sync(copy)
        try:
            os.link(copy, target)  # Never over a file that has come meanwhile.
        except FileExistsError:
            raise
        except OSError:  # Not every file system has links.
            copy.rename(target)
    _sync(target.parent)


class Kept(NamedTuple):
    """A copy among the backups, and whether it was made now: nothing is kept twice."""

    path: Path
    is_new: bool

    def drop(self) -> None:
        """Delete it again, as it is not needed; one from before stays."""
        if self.is_new:
            self.path.unlink(missing_ok=True)


def keep(path: Path, suffix: str) -> Kept:
    """Copy the file at `path` among its backups, unless the newest copy of this suffix is the same.

    Raises OSError and sqlite3.Error, with nothing left of the copy.
    """
    target = new_backup(path.parent, suffix)
    alike = re.compile(rf"\d{{8}}T\d{{6}}Z{re.escape(suffix)}(-\d+)?\.db")
    those = [each for each in target.parent.iterdir() if alike.fullmatch(each.name)]
    before = max(those, key=lambda each: each.stat().st_mtime, default=None)
    try:
        with placed(target) as copy:
            copy_file(path, copy)
            if before is not None and filecmp.cmp(before, copy, shallow=False):
                raise _SameAsBefore
    except _SameAsBefore:
        assert before is not None
        os.utime(before)  # It is as good as new.
        return Kept(before, is_new=False)
    return Kept(target, is_new=True)


class _SameAsBefore(Exception):
    """There is such a copy already."""


def new_backup(directory: Path, suffix: str = "") -> Path:
    """The path of a backup that is made now."""
    backups = directory / BACKUPS
    backups.mkdir(mode=0o700, exist_ok=True)
    return _new_name(backups, "", suffix)


def _new_name(directory: Path, prefix: str, suffix: str) -> Path:
    name = f"{prefix}{datetime.now(UTC):%Y%m%dT%H%M%SZ}{suffix}"
    numbers = (f"-{number}" if number > 1 else "" for number in range(1, 1000))
    return next(path for path in (directory / f"{name}{each}.db" for each in numbers) if not os.path.lexists(path))


def new_saved(directory: Path) -> Path:
    """The path of a copy of data that are lost: among the backups, or beside the directory where that is gone too."""
    if directory.is_dir():
        return new_backup(directory, SAVED)
    return _new_name(directory.parent, f"{directory.name}{SAVED}-", "")


def newest_saved(directory: Path, since: float = 0) -> Path | None:
    """The newest of these copies, at the earliest of this time."""
    places = ((directory / BACKUPS, f"*{SAVED}*.db"), (directory.parent, f"{directory.name}{SAVED}-*.db"))
    found = [(path.stat().st_mtime, path) for place, pattern in places for path in place.glob(pattern)]
    return max(((when, path) for when, path in found if when >= since), default=(0, None))[1]


def restore_command(directory: Path, copy: Path | str) -> str:
    """The command that restores a copy into the data of this directory, with both paths quoted for a shell."""
    return f"python3 server.py restore --data {shlex.quote(str(directory))} {shlex.quote(str(copy))}"


def copy_file(path: Path, copy: Path) -> None:
    """Copy the SQLite file at `path`, which may be in use, to `copy`, a new file for its owner alone."""
    check_room(copy.parent, size_of(path))
    with closing(sqlite3.connect(path)) as source:
        copy_opened(source, copy)


def copy_opened(source: sqlite3.Connection, copy: Path) -> None:
    """Copy the file that a connection has open to `copy`, wherever its name leads by now.

    The copy is one file by itself: with no log beside it, it can be read from a disk that cannot be written.
    """
    os.close(os.open(copy, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with closing(sqlite3.connect(copy)) as target:
        # Half a copy has no name that anybody looks at: it needs no journal, and is synced once, when it is whole.
        target.execute("PRAGMA journal_mode = OFF")
        target.execute("PRAGMA synchronous = OFF")
        copy_pages(source, target)
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")


def copy_pages(
    source: sqlite3.Connection, target: sqlite3.Connection, locked: Callable[[], None] | None = None
) -> None:
    """Make `target` what `source` is, in one commit that every other connection to it then sees.

    Both keep their kind of log, so with a log in `target` their pages must be of one size. `locked` is called once,
    when `target` is locked against all other writers until the commit: what other connections read of it then is
    exactly what it was before. Where `locked` raises, nothing is changed. It may change `source`, on this connection.
    """
    has_begun = locked is None

    def look(status: int, remaining: int, total: int) -> None:
        nonlocal has_begun
        # SQLite has waited as long as the connections allow; Python would begin again, for ever.
        if status in LOCKED_CODES:
            raise sqlite3.OperationalError("database is locked")
        # Python calls this an operational error, as if it could pass.
        if status in DAMAGED_CODES:
            raise sqlite3.DatabaseError("database disk image is malformed")
        if not has_begun and locked is not None:
            has_begun = True
            locked()

    # From its first page on to the end the target is locked (https://www.sqlite.org/c3ref/backup_finish.html).
    source.backup(target, pages=-1 if locked is None else 1, progress=look)


def size_of(path: Path) -> int:
    """How many bytes a file takes at most once it is copied: its log may hold pages that are not in it yet."""
    return sum(each.stat().st_size for each in (path, Path(f"{path}-wal")) if each.exists())


def check_room(directory: Path, size: int) -> None:
    """Raises OSError (ENOSPC) where the disk has no room for so many bytes and what is to stay free of it."""
    disk = shutil.disk_usage(directory)
    if disk.free - min(disk.total // 20, RESERVE_BYTES) < size:
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} for a copy of {size:,} bytes", str(directory))


def _new_room(directory: Path) -> tuple[Path, int | None]:
    """A room, and the lock on it."""
    while True:
        made = Path(mkdtemp(prefix=ROOM, dir=directory))
        if fcntl is None:
            return made, None
        # Whoever sweeps may come between the two, and take it for left.
        with suppress(FileNotFoundError):
            lock = _locked(made, fcntl.LOCK_EX)
            if made.exists():
                return made, lock
            os.close(lock)


def _locked(directory: Path, how: int) -> int:
    """A descriptor that has a directory locked. Raises OSError where another process has it."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, how)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _sync(path: Path) -> None:
    """Have a file, or the names in a directory, on the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no directory.
    descriptor = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
