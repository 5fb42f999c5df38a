"""Linux' own word of a file that was written, the moment it is closed: nobody has to look again and again.

Directories are watched, each with all that are in it; what is reported is the path of a file, or of a directory that
came or went with whatever is in it. Elsewhere than on Linux, server/edits.py watches by other means.
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
LEFT_OUT = "__pycache__"
LIMITS = "the system allows no more files to be watched (fs.inotify.max_user_watches, max_user_instances)"


class Inotify:
    """Whatever is written in `trees` and all below them, and in `directories` alone, from the moment this is made.

    A tree need not be there yet, where its directory is watched. Raises OSError where the system allows no more.
    """

    def __init__(self, trees: Iterable[Path], directories: Iterable[Path]) -> None:
        self._system = ctypes.CDLL(None, use_errno=True)
        self._file = self._checked(self._system.inotify_init1(os.O_CLOEXEC), "inotify")
        self._watched: dict[int, Path] = {}
        # Of these the directories that come are watched too; of the others, only what is in them itself.
        self._in_trees: set[int] = set()
        self._trees = set(trees)
        self._roots = [*self._trees, *directories]
        for directory in directories:
            self._watch(directory)
        for tree in self._trees:
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
            path = self._watched[watch] / name
            if what & IS_DIRECTORY:
                if watch in self._in_trees or path in self._trees:
                    try:
                        self._watch_tree(path)
                    except OSError as error:
                        logger.warning("%s. Edits in it are not followed until the next start.", error)
                    yield path
            elif not what & CREATE or path.is_symlink():  # Of what is made, the end of its writing is told too.
                yield path

    def _watch_tree(self, directory: Path) -> None:
        """Watch a directory and all below it, under the names that they have now; one that went meanwhile is let go."""
        if directory.name.startswith(".") or directory.name == LEFT_OUT or directory.is_symlink():
            return
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            self._in_trees.add(self._watch(directory))
            for each in directory.iterdir():
                self._watch_tree(each)

    def _watch(self, directory: Path) -> int:
        watch = self._checked(self._system.inotify_add_watch(self._file, os.fsencode(directory), WANTED), directory)
        self._watched[watch] = directory
        return watch

    def _checked(self, result: int, what: object) -> int:
        """The result of a call. Raises OSError where it failed."""
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"{os.strerror(number)}: {LIMITS}", str(what))
        return result
