"""The mark beside a file that was written over while a server had it open.

That server's process keeps it locked for as long as it lives: until then nobody else may write to the file, and no
process of the same server goes on with what is in it now. A start after that takes the mark away.
"""

import os
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has none, and does not let an open file be written over.
    fcntl = None  # type: ignore[assignment]

ENDING = "-overwritten"
# The locks of this process.
_held: list[int] = []


def mark(path: Path) -> None:
    """Say beside the file at `path` that this process has it open, and that it was written over. Raises OSError."""
    if fcntl is None or _held:
        return
    descriptor = os.open(_mark(path), os.O_CREAT | os.O_RDWR, 0o600)
    _held.append(descriptor)
    with suppress(BlockingIOError):  # Another process has it then, which is as good.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.truncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())


def marked_by(path: Path) -> int:
    """The process that has the file at `path` open as it was before it was written over; 0 where there is none."""
    if fcntl is None:
        return 0
    try:
        with _mark(path).open("r+", encoding="utf-8") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (FileNotFoundError, NotADirectoryError):  # The directory itself may be a file by now.
        return 0
    except BlockingIOError:
        said = _mark(path).read_text(encoding="utf-8")
        return int(said) if said.isdecimal() else 1
    return 0


def is_marked(path: Path) -> bool:
    """Whether the mark is there, also of a server that has ended."""
    return _mark(path).exists()


def unmark(path: Path) -> None:
    """Take away the mark that a server has left that has ended."""
    _mark(path).unlink(missing_ok=True)


def _mark(path: Path) -> Path:
    return Path(f"{path}{ENDING}")
