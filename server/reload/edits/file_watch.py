"""What counts as an edit: the files of the project that matter, watched, and looked at whether they differ.

Caches, editors' own files, the data and the tests do not count, nor does a save that changes nothing. On Linux the
system tells of each file as it is closed (server/reload/edits/inotify.py); elsewhere watchfiles looks every few
milliseconds.
"""

import contextlib
import logging
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

import watchfiles

from server import background_work
from server.reload.edits.inotify import LEFT_OUT, Inotify
from server.reload.edits.loaded_files import (
    PINNED,
    ROOMS,
    STATIC,
    digest,
    top_of,
)

logger = logging.getLogger(__name__)

# Where files change without a word to this kernel, as watchfiles also knows it.
IS_TOLD = sys.platform == "linux" and not (
    "microsoft" in platform.release() or os.environ.get("WATCHFILES_FORCE_POLLING")
)
# What is told so soon after another belongs to it, and what replaces a file that is gone; all of it within the last.
JOINED_SECONDS, REPLACED_SECONDS, LONGEST_SECONDS = 0.001, 0.02, 0.3
# Of watchfiles, in milliseconds: how often it looks, how long it joins, and when it looks at everything again.
STEP, STEP_OF_PINNED, DEBOUNCE, AGAIN = 5, 100, 300, 5000
GIT_SECONDS = 10
# A file that is no code and changes more often than that, in so many seconds, changes by itself.
OFTEN, OFTEN_SECONDS = 10, 10
# One link that leads to another, and so on.
MOST_LINKS = 16


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
        self._contents = {path: digest(path) for path in self._files()}
        # What the app uses beside that, and where it comes from; what it writes itself is left out.
        self._used: set[Path] = {root / ".env"}
        self._written: set[Path] = set()
        self._often: dict[Path, list[float]] = {}
        # Where links lead to, step by step, and the files that are meant.
        self._targets: dict[Path, set[Path]] = {}
        self._directories: set[Path] = {root}
        self._trees: set[Path] = set()
        self._tell: Callable[[set[Path]], None] | None = None
        for path in self._contents:
            self._follow_links(path)
        self._git = _git_directory(root)
        self._stop = threading.Event()
        self._watchers: list[threading.Thread] = []

    def watch(self, tell: Callable[[set[Path]], None]) -> None:
        """Have `tell` called with the paths that were written, on a thread of its own."""
        self._tell = tell
        if self._inotify is not None:
            background_work.thread("Hearing of edits", partial(self._hear, tell, self._inotify))
            return
        rooms = [room for room in self._rooms if room.exists()]
        for each in ((rooms, True, STEP), ([self.root], False, STEP_OF_PINNED)):
            self._watchers.append(background_work.thread("Watching for edits", partial(self._watch, tell, *each)))

    def end(self) -> None:
        """Watch no longer; who only hears does nothing."""
        self._stop.set()
        for watcher in self._watchers:
            watcher.join(1)

    def among(self, paths: Iterable[Path]) -> list[Path]:
        """The files whose content is another than when it was last looked at: to save is not to edit."""
        files = {file for path in paths for file in self._in(path) if self._counts(file)}
        return [file for file in sorted(files) if self._is_different(file) and not self._is_too_often(file)]

    def use(self, files: Mapping[Path, bytes | None], written: Iterable[Path]) -> set[Path]:
        """Follow these files too, which the app uses and has read with these digests; those that are others by now."""
        self._written.update(path for path in written if path.suffix != ".py")
        new = [path for path in files if path not in self._used and not self._is_followed(path)]
        for path in new:
            self._used.add(path)
            self._contents.setdefault(path, files[path])
            self._follow_directory(path)
            self._follow_links(path)
        return {path for path in new if path not in self._written and digest(path) != self._contents[path]}

    def expect(self, module: str) -> None:
        """Follow what would be a module that was not found."""
        first = self.root / module.partition(".")[0]
        self._used.add(first.with_suffix(".py"))
        self._watch_more(first)

    def is_code(self, path: Path) -> bool:
        """Whether the app is made of a file; static files and what is pinned have an effect of their own."""
        return self._is_in(path, ROOMS) or (path in self._used or self._is_new_source(path))

    def is_static(self, path: Path) -> bool:
        """Whether it is a static file."""
        return self._is_in(path, [STATIC])

    def _is_in(self, path: Path, rooms: Iterable[str]) -> bool:
        return any((self.root / room) in path.parents for room in rooms)

    def _is_followed(self, path: Path) -> bool:
        """Whether a file is followed without being used."""
        return counts(path) and self._is_in(path, (*ROOMS, STATIC))

    def _counts(self, path: Path) -> bool:
        if path in self._written:
            return False
        is_here = path.parent == self.root or self._is_in(path, (*ROOMS, STATIC))
        return path in self._used or self._is_new_source(path) or (is_here and counts(path))

    def _is_new_source(self, path: Path) -> bool:
        """Whether it is a module beside those that are used outside the rooms, or below them."""
        return counts(path) and path.suffix == ".py" and any(tree in path.parents for tree in self._trees)

    def _is_too_often(self, path: Path) -> bool:
        """Whether a file that is no code changes by itself: the app would be started again for ever."""
        if path not in self._used or path.suffix == ".py":
            return False
        now = time.monotonic()
        times = self._often[path] = [each for each in self._often.get(path, []) if now - each < OFTEN_SECONDS] + [now]
        if len(times) > OFTEN:
            self._written.add(path)
            logger.warning("%s changes all the time: it is not followed any more.", path)
        return len(times) > OFTEN

    def _follow_directory(self, path: Path) -> None:
        """Watch where a file is, or will be; where it is a module, all that is beside and below it."""
        directory = path.parent
        if directory == self.root or self._is_in(path, (*ROOMS, STATIC)):
            return
        missing = [each for each in (directory, *directory.parents) if not each.exists()]
        if missing:
            self._watch_more(missing[-1], missing[-1].parent)
        elif path.suffix == ".py":
            self._watch_more(directory)
        else:
            self._watch_more(None, directory)

    def _follow_links(self, path: Path) -> None:
        """Watch where a link leads to, and whatever it leads over."""
        at = path
        for _ in range(MOST_LINKS):
            if not at.is_symlink():
                break
            at = Path(os.path.normpath(at.parent / os.readlink(at)))
            self._targets.setdefault(at, set()).add(path)
            self._watch_more(None, at.parent)

    def _watch_more(self, tree: Path | None, directory: Path | None = None) -> None:
        """Watch one more tree, or directory alone, unless that is done already."""
        try:
            if directory is not None and directory not in self._directories and directory.exists():
                self._directories.add(directory)
                self._begin([directory], recursive=False)
            if tree is not None and not self._trees & {tree, *tree.parents}:
                self._trees.add(tree)
                self._begin([tree], recursive=True)
        except OSError as error:
            logger.warning("%s. Edits in it are not followed until the next start.", error)

    def _begin(self, directories: list[Path], *, recursive: bool) -> None:
        if self._inotify is not None:
            for each in directories:
                (self._inotify.add_tree if recursive else self._inotify.add)(each)
        elif self._tell is not None and directories[0].exists():
            watching = partial(self._watch, self._tell, directories, recursive, STEP_OF_PINNED, None)
            self._watchers.append(background_work.thread("Watching for edits", watching))

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
        yield from self._targets.get(path, ())
        if path.is_symlink():
            self._follow_links(path)
        if not path.is_file():
            yield from (known for known in list(self._contents) if path in known.parents)
            yield from _all_in(path)

    def _files(self) -> Iterator[Path]:
        for name in (*ROOMS, STATIC):
            yield from (path for path in _all_in(self.root / name) if path.suffix in Filter.allowed)
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
                is_gone = any(not path.exists() and self._counts(path) for path in paths)
                if inotify.has_more(REPLACED_SECONDS if is_gone else JOINED_SECONDS):
                    paths |= set(inotify.read())
                elif not git_is_at_work:
                    break
            tell(paths)

    def _watch(
        self,
        tell: Callable[[set[Path]], None],
        directories: list[Path],
        recursive: bool,
        step: int,
        filter: Filter | None = COUNTS,
    ) -> None:
        for changes in watchfiles.watch(
            *directories,
            watch_filter=filter,
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
            tell({Path(path) for _, path in changes} or {*self._files(), *self._used})

    def _git_is_at_work(self) -> bool:
        """A checkout is one edit, however long it writes; a lock that a git of old has left counts for nothing."""
        try:
            return time.time() - (self._git / "index.lock").stat().st_mtime < GIT_SECONDS
        except OSError:
            return False

    def _is_different(self, path: Path) -> bool:
        before, after = self._contents.get(path), digest(path)
        self._contents[path] = after
        return before != after


def _git_directory(root: Path) -> Path:
    """Where git keeps its own files, perhaps for a larger project; in a worktree a file says where."""
    git = top_of(root) / ".git"
    with contextlib.suppress(OSError, ValueError):
        return git.parent / git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
    return git


def _all_in(directory: Path) -> Iterator[Path]:
    """All files below a directory; links are followed, but not in a circle, and hidden directories left out."""
    above: dict[str, set[str]] = {str(directory): {os.path.realpath(directory)}}
    for place, names, files in os.walk(directory, followlinks=True):
        over = above.pop(place, set())
        names[:] = [
            name
            for name in names
            if not name.startswith(".")
            and name not in LEFT_OUT
            and os.path.realpath(os.path.join(place, name)) not in over
        ]
        for name in names:
            path = os.path.join(place, name)
            above[path] = over | {os.path.realpath(path)}
        yield from (Path(place, name) for name in files)
