"""What counts as an edit: the files of the project that matter, watched, and looked at whether they differ.

Caches, editors' own files, the data and the tests do not count, nor does a save that changes nothing. On Linux the
system tells of each file as it is closed (server/inotify.py); elsewhere watchfiles looks every few milliseconds.
"""

import contextlib
import logging
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import watchfiles

from server import background
from server.inotify import Inotify
from server.warm import ROOMS

logger = logging.getLogger(__name__)

STATIC = "static"
PINNED = ("pyproject.toml", "uv.lock")
# Where files change without a word to this kernel, as watchfiles also knows it.
IS_TOLD = sys.platform == "linux" and not (
    "microsoft" in platform.release() or os.environ.get("WATCHFILES_FORCE_POLLING")
)
# What is told so soon after another belongs to it, and what replaces a file that is gone; all of it within the last.
JOINED_SECONDS, REPLACED_SECONDS, LONGEST_SECONDS = 0.001, 0.02, 0.3
# Of watchfiles, in milliseconds: how often it looks, how long it joins, and when it looks at everything again.
STEP, STEP_OF_PINNED, DEBOUNCE, AGAIN = 5, 100, 300, 5000
GIT_SECONDS = 10


class Filter(watchfiles.DefaultFilter):
    """What matters: code, static files, and what is pinned; no caches, no editors' own files."""

    allowed = (".py", ".css", ".js", ".svg", ".png", ".ico", ".woff2", ".html")

    def __call__(self, change: watchfiles.Change, path: str) -> bool:
        """Whether a changed path can change what is served."""
        name = os.path.basename(path)
        wanted = (path.endswith(self.allowed) and not name.startswith((".", "#"))) or name in PINNED
        return wanted and super().__call__(change, path)


COUNTS = Filter()


def counts(path: Path) -> bool:
    """Whether a changed path can change what is served."""
    return COUNTS(watchfiles.Change.modified, str(path))


class Edits:
    """The edits of the project at `root`, from the moment that this is made."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._rooms = [root / name for name in (*ROOMS, STATIC)]
        # Before they are read, so that nothing is written unseen. What is pinned is watched through its directory, as a
        # file that is replaced is another file.
        self._inotify = self._told() if IS_TOLD else None
        self._contents = {path: _content(path) for path in self._files()}
        self._git = _git_directory(root)
        self._stop = threading.Event()
        self._watchers: list[threading.Thread] = []

    def watch(self, tell: Callable[[set[Path]], None]) -> None:
        """Have `tell` called with the paths that were written, on a thread of its own."""
        if self._inotify is not None:
            background.thread("Hearing of edits", partial(self._hear, tell, self._inotify))
            return
        rooms = [room for room in self._rooms if room.exists()]
        for each in ((rooms, True, STEP), ([self.root], False, STEP_OF_PINNED)):
            self._watchers.append(background.thread("Watching for edits", partial(self._watch, tell, *each)))

    def end(self) -> None:
        """Watch no longer; who only hears does nothing."""
        self._stop.set()
        for watcher in self._watchers:
            watcher.join(1)

    def among(self, paths: Iterable[Path]) -> list[Path]:
        """The files whose content is another than when it was last looked at: to save is not to edit."""
        files = {file for path in paths for file in self._in(path) if counts(file)}
        return [file for file in sorted(files) if self._is_different(file)]

    def _told(self) -> Inotify | None:
        """What the system tells; None where it tells no more than it does already."""
        try:
            return Inotify(self._rooms, [self.root])
        except OSError as error:
            logger.warning("%s. So they are looked at three times a second, which takes longer.", error)
            return None

    def _in(self, path: Path) -> Iterator[Path]:
        """A file; of a directory that came or went, all that is or was in it."""
        yield path
        if not path.is_file():
            yield from (known for known in self._contents if path in known.parents)
            yield from path.rglob("*")

    def _files(self) -> Iterator[Path]:
        for name in (*ROOMS, STATIC):
            yield from (path for path in (self.root / name).rglob("*") if path.suffix in Filter.allowed)
        yield from (self.root / name for name in PINNED)
        yield from self.root.glob("*.py")

    def _hear(self, tell: Callable[[set[Path]], None], inotify: Inotify) -> None:
        while True:
            paths = set(inotify.read())
            end = time.monotonic() + LONGEST_SECONDS
            while time.monotonic() < end:
                git_is_at_work = self._git_is_at_work()
                if git_is_at_work:
                    end = time.monotonic() + LONGEST_SECONDS
                # An editor may have moved the old file away, and write the new one now.
                is_gone = any(counts(path) and not path.exists() for path in paths)
                if inotify.has_more(REPLACED_SECONDS if is_gone else JOINED_SECONDS):
                    paths |= set(inotify.read())
                elif not git_is_at_work:
                    break
            tell(paths)

    def _watch(self, tell: Callable[[set[Path]], None], directories: list[Path], recursive: bool, step: int) -> None:
        for changes in watchfiles.watch(
            *directories,
            watch_filter=COUNTS,
            step=step,
            debounce=DEBOUNCE,
            stop_event=self._stop,
            recursive=recursive,
            raise_interrupt=False,
            # What was written before it watched is found so.
            rust_timeout=AGAIN,
            # What the system does not tell here, it does not tell watchfiles.
            force_polling=IS_TOLD or None,
            yield_on_timeout=True,
        ):
            while self._git_is_at_work() and not self._stop.wait(STEP / 1000):
                pass
            tell({Path(path) for _, path in changes} or set(self._files()))

    def _git_is_at_work(self) -> bool:
        """A checkout is one edit, however long it writes; a lock that a git of old has left counts for nothing."""
        try:
            return time.time() - (self._git / "index.lock").stat().st_mtime < GIT_SECONDS
        except OSError:
            return False

    def _is_different(self, path: Path) -> bool:
        before, after = self._contents.get(path), _content(path)
        self._contents[path] = after
        return before != after


def _git_directory(root: Path) -> Path:
    """Where git keeps its own files; in a worktree a file says where."""
    git = root / ".git"
    with contextlib.suppress(OSError, ValueError):
        return root / git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
    return git


def _content(path: Path) -> int | None:
    """A number for what is in a file; None where there is no file."""
    try:
        return hash(path.read_bytes())
    except OSError:
        return None
