"""What carries changes to open pages side by side: this app and what people use otherwise, each with its own file."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from server.app_name import PREFIX
from tests.engine.bench import data, systems
from tests.engine.bench.systems import Running, System

OURS = "this app"
TWO = "this app, two workers"
DOCUMENTED = "Starlette, loop and await"
DEFAULTS = "Starlette on defaults"
SOCKET_IO = "python-socketio"
LIMIT = "limit: bytes alone"
APPS = {DOCUMENTED: "broadcast_app", DEFAULTS: "broadcast_app", SOCKET_IO: "socketio_app", LIMIT: "bare_frames"}
OPTIONS = {
    DOCUMENTED: ["--uncompressed"],
    DEFAULTS: ["--defaults"],
    SOCKET_IO: ["--uncompressed"],
    LIMIT: [],
}
NAMES = (OURS, TWO, *APPS)
PAGE = ("/tasks", "/summary", "/connection")


class Broadcast(NamedTuple):
    """One system that runs: how pages join it."""

    server: Running
    database: Path
    path: str
    # What comes ahead of the first change.
    awaited: int
    hello: str

    @property
    def name(self) -> str:
        """What the tables call it."""
        return self.server.system.name

    @property
    def is_ours(self) -> bool:
        """Whether it is this app, which takes any program's commit and any number of views."""
        return self.name in (OURS, TWO)

    def hellos(self, views: int) -> list[str]:
        """What pages say first, so that they are spread over so many distinct views."""
        if not self.is_ours:
            return [self.hello]
        return [watch("/tasks" if page == 1 else f"/tasks?page={page}") for page in range(1, views + 1)]


class Viewers:
    """The process of the viewers."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def do(self, command: str, **options: Any) -> dict[str, Any]:
        """Give a command; the answer. Raises RuntimeError where it went wrong."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"do": command, **options}) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline() or '{"error": "the viewers have ended"}')
        if "error" in answer:
            raise RuntimeError(f"{command}: {answer['error']}")
        return answer

    def open(self, broadcast: Broadcast, count: int, views: int = 1) -> None:
        """Open pages until there are `count`."""
        self.do(
            "open",
            port=broadcast.server.port,
            path=broadcast.path,
            hellos=broadcast.hellos(views),
            awaited=broadcast.awaited,
            count=count,
        )


def watch(*urls: str) -> str:
    """What a page says that shows these addresses."""
    entries = [{"id": url.strip("/").partition("?")[0], "url": url, "version": None} for url in urls]
    return json.dumps({"watch": entries})


@contextmanager
def viewers(core: int | None) -> Iterator[Viewers]:
    """Start the viewers, end them afterwards."""
    with systems.asking("tests.engine.bench.viewers", core) as process:
        yield Viewers(process)


@contextmanager
def started(directory: Path) -> Iterator[list[Broadcast]]:
    """Start all systems. One of several workers may use all cores, the others have one."""
    core, _ = systems.cores()
    with ExitStack() as stack:
        found = []
        for number, name in enumerate(NAMES):
            database = data.make(directory / str(number))
            system = System(name, _command(name, database.parent))
            server = stack.enter_context(systems.running(system, {}, None if name == TWO else core))
            path = "/socket.io/?EIO=4&transport=websocket" if name == SOCKET_IO else "/live"
            awaited = 2 if name == SOCKET_IO else 0 if name in APPS else 1
            found.append(Broadcast(server, database, path, awaited, "40" if name == SOCKET_IO else ""))
        for broadcast in found:
            broadcast.server.wait()
        yield found


def _command(name: str, directory: Path) -> list[str]:
    if name in (OURS, TWO):
        return [*systems.ours(directory), "--workers", "2" if name == TWO else "1"]
    return ["env", f"{PREFIX}DATA={directory}", *systems.asgi(APPS[name]), *OPTIONS[name]]
