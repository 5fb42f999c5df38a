"""Finds database files that a running server still has open after they were deleted or replaced (Linux, /proc).

What such a process has open can be read by the same account for as long as it lives, whatever became of the names.
"""

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from app.database.integrity.file_identity import number_of

PROCESSES = Path("/proc")
DELETED = " (deleted)"
# After this time what was made or closed at the first look has been.
SETTLED_SECONDS = 0.1


class Held(NamedTuple):
    """What a process has open: the file, and its log."""

    process: int
    file: Path
    log: Path


def held(path: Path) -> Held | None:
    """What a process has open as the file at `path` and its log, where one of these names leads elsewhere by now.

    It is looked twice: a process that makes the files at this moment, or closes them, is no such process.
    """
    found = _held(path)
    if found is not None:
        time.sleep(SETTLED_SECONDS)
        found = found if found == _held(path) else None
    return found


def _held(path: Path) -> Held | None:
    names = [path.resolve(), Path(f"{path.resolve()}-wal")]
    for process in _processes():
        file, log = (_opened(process, str(each)) for each in names)
        if file is None or log is None:
            continue
        opened = [number_of(file), number_of(log)]
        # The names are looked at last: what was made meanwhile is there by now.
        if all(opened) and opened != [number_of(each) for each in names]:
            return Held(process, file=file, log=log)
    return None


def copy_held(held: Held, copy: Path) -> None:
    """Copy it to `copy`, a new file, with a log beside it that the next reader takes in.

    Nothing is written to it meanwhile: the server refuses that from the moment on in which it has lost the names.
    """
    for source, target in ((held.file, copy), (held.log, Path(f"{copy}-wal"))):
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with source.open("rb") as reading, target.open("wb") as writing:
            shutil.copyfileobj(reading, writing, 2**20)


def _processes() -> Iterator[int]:
    """Every process of this account but this one."""
    with suppress(OSError):
        for each in PROCESSES.iterdir():
            if each.name.isdigit() and int(each.name) != os.getpid():
                yield int(each.name)


def _opened(process: int, name: str) -> Path | None:
    """The descriptor of a process that was opened under a name."""
    with suppress(OSError):  # Of another account, or gone.
        for each in (PROCESSES / str(process) / "fd").iterdir():
            with suppress(OSError):
                if re.sub(f"{re.escape(DELETED)}$", "", os.readlink(each)) == name:
                    return each
    return None
