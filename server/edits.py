"""What counts as an edit: the files of the project that matter, watched, and looked at whether they differ.

Caches, editors' own files, the data and the tests do not count, nor does a save that changes nothing.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import watchfiles

from server.warm import ROOMS

STATIC = "static"
PINNED = ("pyproject.toml", "uv.lock")
# A save is often several writes: what comes within the first is joined, up to the second, in milliseconds.
STEP, DEBOUNCE = 5, 300
STEP_OF_PINNED = 100
GIT_SECONDS = 10


class Filter(watchfiles.DefaultFilter):
    """What matters: code, static files, and what is pinned; no caches, no editors' own files."""

    allowed = (".py", ".css", ".js", ".svg", ".png", ".ico", ".woff2", ".html")

    def __call__(self, change: watchfiles.Change, path: str) -> bool:
        """Whether a changed path can change what is served."""
        name = os.path.basename(path)
        wanted = (path.endswith(self.allowed) and not name.startswith((".", "#"))) or name in PINNED
        return wanted and super().__call__(change, path)


class Edits:
    """The edits of the project at `root`, from the moment that this is made."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._contents = {path: _content(path) for path in self._files()}
        self._stop = threading.Event()
        self._watchers: list[threading.Thread] = []

    def watch(self, tell: Callable[[set[str]], None]) -> None:
        """Have `tell` called with the paths that were written, on a thread of its own."""
        rooms = [self.root / name for name in (*ROOMS, STATIC) if (self.root / name).exists()]
        # What is pinned is watched through its directory, as a file that is replaced is another file.
        for each in ((rooms, True, STEP), ([self.root], False, STEP_OF_PINNED)):
            watcher = threading.Thread(target=self._watch, args=(tell, *each), name="watch", daemon=True)
            watcher.start()
            self._watchers.append(watcher)

    def end(self) -> None:
        """Watch no longer."""
        self._stop.set()
        for watcher in self._watchers:
            watcher.join(1)

    def among(self, paths: Iterable[str]) -> list[Path]:
        """Those whose content is another than when it was last looked at: to save is not to edit."""
        return [path for path in map(Path, sorted(paths)) if self._is_different(path)]

    def _files(self) -> Iterator[Path]:
        for name in (*ROOMS, STATIC):
            yield from (path for path in (self.root / name).rglob("*") if path.suffix in Filter.allowed)
        yield from (self.root / name for name in PINNED)

    def _watch(self, tell: Callable[[set[str]], None], directories: list[Path], recursive: bool, step: int) -> None:
        for changes in watchfiles.watch(
            *directories,
            watch_filter=Filter(),
            step=step,
            debounce=DEBOUNCE,
            stop_event=self._stop,
            recursive=recursive,
            raise_interrupt=False,
        ):
            self._let_git_finish()
            tell({path for _, path in changes})

    def _let_git_finish(self) -> None:
        """A checkout is one edit, however long it writes; a lock that a git of old has left counts for nothing."""
        lock = self.root / ".git" / "index.lock"
        with contextlib.suppress(OSError):
            while time.time() - lock.stat().st_mtime < GIT_SECONDS and not self._stop.wait(STEP / 1000):
                pass

    def _is_different(self, path: Path) -> bool:
        before, after = self._contents.get(path), _content(path)
        self._contents[path] = after
        return before != after


def _content(path: Path) -> int | None:
    """A number for what is in a file; None where there is no file."""
    try:
        return hash(path.read_bytes())
    except OSError:
        return None
