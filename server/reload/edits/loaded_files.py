"""The project's files that a process depends on: imported modules and opened files.

Python tells of each file as it is opened (sys.addaudithook), for as long as the process lives; in development alone.
What is installed does not count, nor data, caches, hidden directories, and what the process has written itself: that
it changes is no edit.
"""

import hashlib
import os
import site
import sys
import sysconfig
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[3]
# Files that have an effect of their own: a style is swapped, what is pinned needs a new start.
STATIC, PINNED = "static", ("pyproject.toml", "uv.lock")
ROOMS = ("app", "server", "templates")
CACHE = "__pycache__"
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
# Of more files than this only the first are followed.
MOST_FILES = 20_000
# These names mean server.py, which is not a module of the app.
DOORS = ("__main__", "__mp_main__")
INSTALLED = ("site-packages", "dist-packages", "node_modules")
_PLACES = tuple(
    os.path.realpath(place) + os.sep
    for place in {
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        *site.getsitepackages(),
        site.getusersitepackages(),
        *(prefix for prefix in (sys.prefix,) if prefix != sys.base_prefix),
    }
)


class News(NamedTuple):
    """What a process uses since the last time, and what it has written.

    Of each file that it uses the digest, and the modules that come from it, or have read it as they were imported.
    """

    files: dict[str, tuple[bytes | None, list[str]]]
    written: list[str]


class Used:
    """What this process uses from now on, `root` being that of the project, and `data` the directory of its data."""

    def __init__(self, root: Path, data: Path) -> None:
        self._root = str(root)
        self._top = str(top_of(root))
        self._rooms = tuple(os.path.join(self._root, room) + os.sep for room in ROOMS)
        self._left_out = (str(data), os.path.join(self._root, STATIC))
        # What was opened, each with the modules of ours that were being imported at that moment.
        self._opened: dict[str, set[str]] = {}
        self._written: set[str] = set()
        self._told: dict[str, set[str]] = {}
        self._written_told: set[str] = set()
        self._modules = 0
        sys.addaudithook(self._on_event)

    def news(self) -> News | None:
        """What came since the last time; None where nothing did."""
        files = {path: set(modules) for path, modules in list(self._opened.items())}
        if len(sys.modules) != self._modules:
            self._modules = len(sys.modules)
            for name, module in list(sys.modules.items()):
                place = getattr(module, "__file__", None)
                # Those of the rooms are followed in any case, and go by their names.
                if place and name not in DOORS and is_own(place) and not place.startswith(self._rooms):
                    files.setdefault(place, set()).add(name)
        new = {path: names for path, names in files.items() if path not in self._told or names - self._told[path]}
        written = self._written - self._written_told
        if not new and not written:
            return None
        for path, names in new.items():
            self._told[path] = self._told.get(path, set()) | names
        self._written_told |= written
        return News({path: (digest(Path(path)), sorted(names)) for path, names in new.items()}, sorted(written))

    def _on_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Note what is opened; called for whatever Python tells of, so it looks at no more than it has to."""
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str) and len(self._opened) < MOST_FILES:
                self._note(path, is_written=bool((flags or 0) & WRITING))
        elif event == "os.rename" and isinstance(arguments[1], str):
            self._note(arguments[1], is_written=True)

    def _note(self, path: str, *, is_written: bool) -> None:
        path = os.path.abspath(path)
        if CACHE in path:
            return  # A module says itself where it comes from.
        if not path.startswith(self._top + os.sep) or path.startswith(self._left_out):
            return
        if is_written:
            self._written.add(path)
        elif path not in self._opened and self._counts(path):
            self._opened[path] = _importing()

    def _counts(self, path: str) -> bool:
        *directories, name = path.removeprefix(self._top).split(os.sep)
        return (
            not any(each.startswith(".") or each in INSTALLED for each in directories)
            and name not in PINNED
            and not path.startswith(_PLACES)
        )


def is_own(place: str) -> bool:
    """Whether the file of a module is somebody's work here, not installed."""
    return not (place.startswith(_PLACES) or any(each in place for each in INSTALLED) or place.startswith("<"))


def digest(path: Path) -> bytes | None:
    """What tells the content of a file from another; None where there is no file."""
    try:
        return hashlib.blake2b(path.read_bytes(), digest_size=16).digest() if path.is_file() else None
    except OSError:
        return None


def top_of(root: Path) -> Path:
    """The root of the repository that a project is a folder of; its own root where there is none."""
    return next((each for each in (root, *root.parents) if (each / ".git").exists()), root)


def _importing() -> set[str]:
    """The module of ours that is being imported at this moment, innermost; none where it runs already."""
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_name == "<module>":
            name = frame.f_globals.get("__name__", "")
            return {name} if name not in DOORS else set()
        frame = frame.f_back  # type: ignore[assignment]
    return set()
