"""What follows the code side by side: each a copy of a project that may be edited, and the process that serves it.

`uvicorn --reload` serves this app, all of it, and beside that, as uvicorn-hmr does, a small FastHTML app with the same
list from the same file and the same stylesheet: what is small starts faster.
"""

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from server.app_name import PREFIX
from tests.engine.bench import data
from tests.engine.bench.systems import PEERS, ROOT, Running, System, end

OURS = "this app"
UVICORN = "this app, uvicorn --reload"
SMALL = "small app, uvicorn --reload"
HMR = "small app, uvicorn-hmr"
HAS_HMR = importlib.util.find_spec("uvicorn_hmr") is not None
TEMPLATE, ROUTE, STYLE = "template", "route", "style"
BROKEN = "\ndef (\n"
# What the peers are made of.
PEER = [f"tests/engine/bench/peers/{name}.py" for name in ("__init__", "tasks", "fasthtml_tags", "fasthtml_reload")]
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "data", "docs")


@dataclass
class Project:
    """A project in the making: `places` says in which file each kind of edit is made, and which words change."""

    system: System
    directory: Path
    places: dict[str, tuple[str, str, str]]
    # What is asked for while it is edited: the lightest answer of the peers, whose lists take a core at 200 a second.
    steady: str
    has_socket: bool
    port: int = 0
    sources: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the tables call it."""
        return self.system.name

    def save(self, kind: str, number: int, ending: str = "") -> None:
        """Save an edit, as an editor does: into the file itself."""
        name, old, new = self.places[kind]
        path = self.directory / name
        source = self.sources.setdefault(name, path.read_text(encoding="utf-8"))
        if source.count(old) != 1:
            raise RuntimeError(
                f"{name} has {old!r} {source.count(old)} times; the benchmark changes it where it is once."
            )
        path.write_text(source.replace(old, new.format(number=number)) + ending, encoding="utf-8")


def edits(template: str, route: str, total: str) -> dict[str, tuple[str, str, str]]:
    """A word in each overdue row, the first figure above the list, and a style of the page."""
    style = "/* One file:"
    return {
        TEMPLATE: (template, '"Overdue: "', '"Overdue edit-{number}: "'),
        ROUTE: (route, total, total + " + {number}"),
        STYLE: ("static/app.css", style, "body {{ scroll-margin-top: {number}px }}\n" + style),
    }


@contextmanager
def started(directory: Path, names: Sequence[str]) -> Iterator[list[Project]]:
    """The systems of these names, each with a project of its own, serving."""
    environment = {
        "BENCH_DATABASE": str(data.make(directory / "peers")),
        # Users keep compiled code; so do all of these, whatever this machine is set to.
        "PYTHONDONTWRITEBYTECODE": "",
    }
    with ExitStack() as open_systems:
        made = {OURS: _ours, UVICORN: _uvicorn, SMALL: _small, HMR: _hmr}
        projects = [made[name](directory / f"project {number}") for number, name in enumerate(names)]
        for project in projects:
            # Those that are this app write to their data.
            own = directory / f"data of {project.directory.name}"
            data.make(own)
            open_systems.enter_context(_serving(project, environment | {f"{PREFIX}DATA": str(own)}))
        yield projects


def _ours(directory: Path) -> Project:
    command = [sys.executable, "server.py", "run", "--no-open", "--reload", "--log-level", "warning"]
    return _whole(System(OURS, command, headers={}), directory)


def _uvicorn(directory: Path) -> Project:
    return _whole(System(UVICORN, _reloading("own_live_reload"), headers={}), directory)


def _small(directory: Path) -> Project:
    command = ["env", "BENCH_LIVE=yes", *_reloading("fasthtml_reload")]
    return _peer(System(SMALL, command, headers={}), directory, True)


def _reloading(app: str) -> list[str]:
    # No delay but that of the watcher itself, and styles count.
    options = ["--reload", "--reload-delay", "0", "--reload-include", "*.css", "--log-level", "warning"]
    return [sys.executable, "-m", "uvicorn", f"{PEERS}.{app}:app", *options]


def _whole(system: System, directory: Path) -> Project:
    # New files: of one that was not changed for days, Chromium keeps the old version for hours.
    shutil.copytree(ROOT, directory, ignore=LEFT_OUT, copy_function=shutil.copyfile)
    places = edits("templates/tasks.py", "app/tasks.py", "sum(kept.values())")
    return Project(system, directory, places, "/tasks", True)


def _hmr(directory: Path) -> Project:
    options = ["--refresh", "--host", "127.0.0.1", "--log-level", "warning"]
    command = [sys.executable, "-m", "uvicorn_hmr", f"{PEERS}.fasthtml_reload:app", *options]
    return _peer(System(HMR, command, headers={}), directory, False)


def _peer(system: System, directory: Path, has_socket: bool) -> Project:
    shutil.copytree(ROOT / "static", directory / "static", copy_function=shutil.copyfile)
    for name in ("tests/__init__.py", "tests/engine/__init__.py", "tests/engine/bench/__init__.py", *PEER):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, directory / name)
    peers = "tests/engine/bench/peers"
    total = 'sum((counts["open"], counts["done"]))'
    places = edits(f"{peers}/fasthtml_tags.py", f"{peers}/fasthtml_reload.py", total)
    return Project(system, directory, places, "/healthz", has_socket)


@contextmanager
def _serving(project: Project, environment: dict[str, str]) -> Iterator[None]:
    project.port = _free_port()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [*project.system.command, "--port", str(project.port)],
            cwd=project.directory,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            Running(project.system, process, project.port, log).wait()
            yield
        finally:
            end(process)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
