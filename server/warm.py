"""The warm process: what new workers are forked from has been imported there already, and only the app is read anew.

Packages are in it, and those of our own rooms that do nothing but define things: the engine and the templates. What was
edited since, and whatever imports it, a new worker forgets before it begins. The app is not in it: a module of the app
may do anything when it is imported, open a file for example, and a fork would share that.
"""

import ast
import contextlib
import importlib
import importlib.util
import multiprocessing
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOMS = ("app", "server", "templates")
DEFINING = ("server", "templates")
# What Uvicorn and the engine import by name, or late.
PACKAGES = (
    *("fasthtml.core", "starlette.staticfiles", "websockets.frames", "httptools", "uvloop"),
    *("uvicorn.loops.uvloop", "uvicorn.lifespan.on", "uvicorn.protocols.http.httptools_impl"),
    *("uvicorn.protocols.websockets.websockets_sansio_impl", "multiprocessing.reduction", "click", "watchfiles"),
    # With its command line comes the search for its plugins, which the first database would begin otherwise.
    *("sqlite_utils", "sqlite_utils.cli"),
)


class Warm:
    """Where the workers of the project at `root` come from; where there is no fork, each is a new process."""

    def __init__(self, root: Path) -> None:
        self._root = root
        # Whatever is edited is read anew, so what the other modules import stays what it was at the start.
        self._needs: dict[str, set[str]] = {}
        self._edited: set[str] = set()
        packages = set(PACKAGES)
        for room in ROOMS:
            for path in (root / room).rglob("*.py"):
                with contextlib.suppress(SyntaxError, ValueError):
                    source = ast.parse(path.read_bytes())
                    packages.update(each for each in _imports(source.body, "") if each.partition(".")[0] not in ROOMS)
                    if room in DEFINING:
                        name, package = _names(path, root)
                        self._needs[name] = {package, *_imports(ast.walk(source), package)}
        self.context = _context([*sorted(packages), *filter(_can_be_imported, self._needs)])

    def edited(self, path: str) -> None:
        """Take note of a file of code that is another than when the process was started."""
        self._edited.add(_names(Path(path), self._root)[0])

    def stale(self) -> set[str]:
        """The modules that have to be read anew."""
        stale = set(self._edited)
        while found := {name for name, needs in self._needs.items() if needs & stale} - stale:
            stale |= found
        return stale


def forget(modules: Iterable[str]) -> None:
    """Have the next import read these anew."""
    for name in modules:
        sys.modules.pop(name, None)
        package, _, own = name.rpartition(".")
        if package in sys.modules:
            vars(sys.modules[package]).pop(own, None)


def _context(modules: list[str]) -> Any:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(modules)
    return context


def _can_be_imported(module: str) -> bool:
    """What fails there would end the warm process; a worker can say why it fails."""
    try:
        importlib.import_module(module)
    except Exception:
        return False
    return True


def _names(path: Path, root: Path) -> tuple[str, str]:
    """The name of a file's module, and of the package that relative imports in it start from."""
    parts = path.relative_to(root).with_suffix("").parts
    if parts[-1] == "__init__":
        return ".".join(parts[:-1]), ".".join(parts[:-1])
    return ".".join(parts), ".".join(parts[:-1])


def _imports(nodes: Iterable[ast.AST], package: str) -> Iterator[str]:
    """What is imported by name; what is imported from a module may be a module too."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and (package or not node.level):
            module = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            yield module
            if package:
                yield from (f"{module}.{each.name}" for each in node.names)
