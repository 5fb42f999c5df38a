"""Which of the copies among the backups stay: bounded by count and age, those of one sort with each other.

The newest few of each sort stay, then one a day for a fortnight and one a month for a year. What always stays: the
newest of each sort, and for a year the newest from before each migration. A copy with a name of a person's own is none
of these, and is never touched.
"""

import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from app.database.copies import BACKUPS
from app.settings import settings

logger = logging.getLogger(__name__)

# How long one a day stays, and one a month.
DAYS, YEAR = timedelta(days=14), timedelta(days=365)
# How `new_backup` names them: the time, why they were made, and a number where there are several of a second. The sorts
# of reasons: by the command itself, of data that were lost, before a restore, a removal, a migration.
SORTS = ("", "-saved", "-before-restore", "-before-drop-", "-before-")
NAME = re.compile(r"(\d{8}T\d{6}Z)(|-saved|-before(?:-[A-Za-z_]\w*)+)(?:-\d+)?\.db")


class Copy(NamedTuple):
    """A copy named by the app: its path, its time (of making, or of the last identical copy), and its reason."""

    path: Path
    made: datetime
    reason: str

    @property
    def sort(self) -> str:
        """One of SORTS: copies of one sort are counted together."""
        return max((each for each in SORTS if self.reason.startswith(each)), key=len)

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(each.stat().st_size for each in self.files() if each.exists())

    def files(self) -> Iterator[Path]:
        """The file, and what stands beside one that was damaged and so moved away as it was."""
        return (Path(f"{self.path}{ending}") for ending in ("", "-wal", "-shm"))


def copies(directory: Path) -> list[Copy]:
    """Those of a data directory, the newest first."""
    backups = directory / BACKUPS
    found = []
    for path in backups.iterdir() if backups.is_dir() else ():
        named = NAME.fullmatch(path.name)
        if named and path.is_file() and not path.is_symlink():
            try:
                made = datetime.strptime(named[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            except ValueError:
                continue  # A name that only looks like one.
            touched = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            found.append(Copy(path, max(made, touched), named[2]))
    return sorted(found, key=lambda copy: (copy.made, len(copy.path.name), copy.path.name), reverse=True)


def newest(directory: Path) -> Path | None:
    """The newest copy among the backups of a data directory, whoever has named it."""
    found = [(path.stat().st_mtime, path) for path in (directory / BACKUPS).glob("*.db") if path.is_file()]
    return max(found, default=(0, None))[1]


def superfluous(those: list[Copy], keep: int, now: datetime) -> list[Copy]:
    """Those that need not stay, where the newest `keep` of each sort do; to be given the newest first."""
    going = []
    counts: dict[str, int] = {}
    seen: set[tuple[str, str]] = set()
    for copy in those:
        sort, age = copy.sort, now - copy.made
        counts[sort] = rank = counts.get(sort, 0) + 1
        # A place that one copy takes is taken for all older ones.
        places = {("newest", copy.reason): age < YEAR}
        places[f"{copy.made:%Y%m%d}", sort] = age < DAYS
        places[f"{copy.made:%Y%m}", sort] = age < YEAR
        has_place = any(counts_now and place not in seen for place, counts_now in places.items())
        seen.update(places)
        if not (rank == 1 or (rank <= keep and age < YEAR) or has_place):
            going.append(copy)
    return going


def thin(directory: Path) -> list[Copy]:
    """Delete those that need not stay; which these were. What cannot be deleted stays, and the log says so."""
    gone = []
    try:
        for copy in superfluous(copies(directory), settings.keep_copies, datetime.now(UTC)):
            for file in copy.files():
                file.unlink(missing_ok=True)
            gone.append(copy)
    except OSError as error:
        logger.warning("Old copies cannot be deleted: %s.", error)
    return gone


def listed(directory: Path) -> str:
    """What there is, in words."""
    those = copies(directory)
    lines = [f"{copy.made:%Y-%m-%d %H:%M:%S} UTC  {copy.size:>14,} bytes  {copy.path.name}" for copy in those]
    own = [path.name for path in sorted((directory / BACKUPS).glob("*")) if path not in {each.path for each in those}]
    lines += [f"{name}: a name of your own, so it stays" for name in own if not name.startswith(".")]
    return "\n".join(lines) or f"There are no copies in {directory / BACKUPS}."


def swept(directory: Path) -> str:
    """Delete those that need not stay; which these were, in words."""
    gone = thin(directory)
    left = f"{len(copies(directory))} copies stay in {directory / BACKUPS}."
    return "\n".join([*(f"Deleted: {copy.path.name}" for copy in gone), left])
