"""Code of the app's modules, read before it is needed: a worker that waits for an edit has it at hand when one comes.

Nothing of it runs before that. To find, read and build the code is a third of what an import takes. It counts only as
long as the file is the one it was read from, to the nanosecond; what was edited is read anew in any case.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Collection, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import NamedTuple

from server.reload.edits.loaded_files import ROOT

# Of a larger app only so many are held ready.
MOST_MODULES = 1000


class _Loader(SourceFileLoader):
    """Python's own, which has read the code already."""

    code: CodeType | None = None

    def get_code(self, fullname: str) -> CodeType | None:
        """The code, held for its first run alone."""
        code, self.code = self.code, None
        return super().get_code(fullname) if code is None else code


class _Read(NamedTuple):
    """Where a module is, with its code, and which state of the file that is."""

    spec: ModuleSpec
    state: tuple[int, ...]


class Ahead:
    """What was read of the package `room` under `root`; a finder of modules, to be the first of sys.meta_path."""

    def __init__(self, root: Path, room: str) -> None:
        self._directory = root / room
        self._root = root
        self._read: dict[str, _Read] = {}

    def read(self, is_wanted: Callable[[], bool]) -> None:
        """Read all there is until it is wanted; what cannot be read is left to its import, which says why."""
        for path in sorted(self._directory.rglob("*.py"))[:MOST_MODULES]:
            if is_wanted():
                return
            module = path.parent if path.name == "__init__.py" else path
            name = ".".join(module.relative_to(self._root).with_suffix("").parts)
            with contextlib.suppress(Exception):
                read = _read(name, path, str(module.parent))
                if read is not None:
                    self._read[name] = read
            # What Python has noted of the directory would be of now.
            sys.path_importer_cache.pop(str(module.parent), None)

    def serve(self, edited: Collection[str]) -> None:
        """From now on, give it to whoever imports it, but for the modules that were edited."""
        for name in edited:
            self._read.pop(name, None)
        if self._read:
            sys.meta_path.insert(0, self)

    def end(self) -> None:
        """Give no more, and hold none."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        self._read.clear()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As importlib.abc.MetaPathFinder has it; None for what was not read, or is another file by now."""
        read = self._read.pop(name, None)
        # The file may be gone, which the next finder is to say.
        with contextlib.suppress(OSError):
            if read is not None and read.spec.origin and _state(read.spec.origin) == read.state:
                return read.spec
        return None


app = Ahead(ROOT, "app")


def _read(name: str, path: Path, directory: str) -> _Read | None:
    """Find and read a module as Python would; None where that is not a source in this file."""
    state = _state(str(path))
    spec = PathFinder.find_spec(name, [directory])
    if spec is None or type(spec.loader) is not SourceFileLoader or spec.origin != str(path):
        return None
    loader = _Loader(name, str(path))
    loader.code = spec.loader.get_code(name)
    spec.loader = loader
    _ = spec.cached  # Where its compiled code is, which takes as long as to find it.
    return _Read(spec, state)


def _state(path: str) -> tuple[int, ...]:
    found = os.stat(path)
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev
