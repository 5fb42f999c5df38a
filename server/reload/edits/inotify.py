"""Linux' own word of a file that was written, the moment it is closed: nobody has to look again and again.

Directories are watched, each with all that are in it; what is reported is the path of a file, or of a directory that
came or went with whatever is in it. Elsewhere than on Linux, server/reload/edits/file_watch.py watches by other means.
"""

import contextlib
import ctypes
import logging
import os
import select
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

logger = logging.getLogger(__name__)

# From the system's sys/inotify.h: a file was written and closed, moved here or away, deleted; something was made here.
CLOSE_WRITE, MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x8, 0x40, 0x80, 0x100, 0x200
OVERFLOW, IGNORED, ONLY_DIRECTORIES, IS_DIRECTORY = 0x4000, 0x8000, 0x1000000, 0x40000000
WANTED = CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE | ONLY_DIRECTORIES
HEAD = struct.Struct("iIII")
BUFFER = 64 * 1024
LEFT_OUT = ("__pycache__", "node_modules")
LIMITS = "the system allows no more files to be watched (fs.inotify.max_user_watches, max_user_instances)"


class Inotify:
    """Whatever is written in `trees` and all below them, and in `directories` alone, from the moment this is made.

    A tree need not be there yet, where its directory is watched. Raises OSError where the system allows no more.
    """

    def __init__(self, trees: Iterable[Path], directories: Iterable[Path]) -> None:
        self._system = ctypes.CDLL(None, use_errno=True)
        self._file = self._checked(self._system.inotify_init1(os.O_CLOEXEC), "inotify")
        # All the names under which a directory is watched: links lead to it under others.
        self._watched: dict[int, set[Path]] = {}
        self._links: set[Path] = set()
        # Of these the directories that come are watched too; of the others, only what is in them itself.
        self._in_trees: set[int] = set()
        self._trees: set[Path] = set()
        self._roots: list[Path] = []
        for directory in directories:
            self.add(directory)
        for tree in trees:
            self.add_tree(tree)

    def add(self, directory: Path) -> None:
        """Watch one more directory alone."""
        self._watch(directory)
        self._roots.append(directory)

    def add_tree(self, tree: Path) -> None:
        """Watch one more directory and all below it, now or when it comes."""
        self._trees.add(tree)
        self._roots.append(tree)
        self._watch_tree(tree)

    def has_more(self, seconds: float) -> bool:
        """Whether there is something to read, within these seconds."""
        return bool(select.select([self._file], [], [], seconds)[0])

    def read(self) -> Iterator[Path]:
        """What was written since the last time; waits for it."""
        told, at = os.read(self._file, BUFFER), 0
        while at < len(told):
            watch, what, _, length = HEAD.unpack_from(told, at)
            name = told[at + HEAD.size : at + HEAD.size + length].rstrip(b"\0")
            at += HEAD.size + length
            yield from self._understood(watch, what, os.fsdecode(name))

    def _understood(self, watch: int, what: int, name: str) -> Iterator[Path]:
        if what & OVERFLOW:
            yield from self._roots
        elif what & IGNORED:
            self._watched.pop(watch, None)
            self._in_trees.discard(watch)
        elif watch in self._watched:
            for directory in list(self._watched[watch]):
                yield from self._understood_as(directory / name, what, watch in self._in_trees)

    def _understood_as(self, path: Path, what: int, is_in_tree: bool) -> Iterator[Path]:
        if what & (MOVED_FROM | DELETE) and (what & IS_DIRECTORY or path in self._links):
            self._forget(path)
        if what & IS_DIRECTORY or (path.is_symlink() and path.is_dir()):
            if is_in_tree or path in self._trees:
                try:
                    self._watch_tree(path)
                except OSError as error:
                    logger.warning("%s. Edits in it are not followed until the next start.", error)
                yield path
        elif not what & CREATE or path.is_symlink():  # Of what is made, the end of its writing is told too.
            yield path

    def _forget(self, directory: Path) -> None:
        """Let go of the names of a directory that is not there any more, and of all below it."""
        self._links.discard(directory)
        for names in self._watched.values():
            names -= {name for name in names if name == directory or directory in name.parents}

    def _watch_tree(self, directory: Path, above: frozenset[Path] = frozenset()) -> None:
        """Watch a directory and all below it, under the names that they have now; one that went meanwhile is let go.

        Links are followed, but not in a circle.
        """
        if directory.name.startswith(".") or directory.name in LEFT_OUT:
            return
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            real = directory.resolve() if directory.is_symlink() else directory
            if real in above:
                return
            if directory.is_symlink():
                self._links.add(directory)
            self._in_trees.add(self._watch(directory))
            for each in directory.iterdir():
                self._watch_tree(each, above | {real})

    def _watch(self, directory: Path) -> int:
        watch = self._checked(self._system.inotify_add_watch(self._file, os.fsencode(directory), WANTED), directory)
        self._watched.setdefault(watch, set()).add(directory)
        return watch

    def _checked(self, result: int, what: object) -> int:
        """The result of a call. Raises OSError where it failed."""
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"{os.strerror(number)}: {LIMITS}", str(what))
        return result
