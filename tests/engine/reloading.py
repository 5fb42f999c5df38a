"""A copy of the project that follows its code: what the tests of hot reload edit, so that the project itself stays."""

import contextlib
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.engine.conftest import PLAIN, PROJECT

PARTS = ("app", "server", "templates", "static", "server.py", "pyproject.toml", "uv.lock", "README.md", "LICENSE")
PATIENCE = 20
MAIN = "app/main.py"
# A compiled file has such a name until it is whole.
BEING_WRITTEN = shutil.ignore_patterns("*.pyc.*")
# Every start of the app is a line of a file, and a few routes take their time.
PROBE = """
import os
import sys
import time
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

with open(os.environ["PROBE"], "a") as starts:
    starts.write(f"{os.getpid()}\\n")
EDITION = "edition 1"


async def probe(request):
    return PlainTextResponse(f"{EDITION} {os.getpid()}")


async def echo(request):
    return PlainTextResponse(f"{EDITION} {len(await request.body())}")


async def stream(request):
    async def pieces():
        for number in range(int(request.query_params["pieces"])):
            yield f"{number}\\n"
            await asyncio.sleep(0.1)
        yield EDITION

    return StreamingResponse(pieces(), media_type="text/plain")


async def fail(request):
    raise ValueError("asked for it")


app.router.routes[:0] = [
    Route("/probe", probe),
    Route("/echo", echo, methods=["POST"]),
    Route("/stream", stream),
    Route("/fail", fail, methods=["GET", "POST"]),
]
"""


def until(happened: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Ask again and again until it is so; the answer."""
    began = time.monotonic()
    while not (answer := happened()):
        assert time.monotonic() - began < seconds, what
        time.sleep(0.01)
    return answer


def _copy(root: Path) -> Path:
    """The project with the probe, and with what Python has compiled of it: to do that anew takes a start a second."""
    root.mkdir(parents=True)
    for name in PARTS:
        if (PROJECT / name).is_dir():
            shutil.copytree(PROJECT / name, root / name, ignore=BEING_WRITTEN)
        else:
            shutil.copy2(PROJECT / name, root / name)
    with (root / "app" / "main.py").open("a", encoding="utf-8") as main:
        main.write(PROBE)
    return root


def lives(process: psutil.Process) -> bool:
    """Whether a process runs; one that has ended may wait to be counted by whoever inherited it."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Checkout:
    """A copy of the project in `directory`, or that of another server, and the server that runs there."""

    _editions = itertools.count(2)

    def __init__(self, directory: Path, beside: "Checkout | None" = None) -> None:
        self.root = beside.root if beside else _copy(directory / "checkout")
        self.data = directory / "data"
        self.probe = directory / "starts"
        self.log = directory / "log"
        self.process: Any = None
        self.url = ""

    def start(self, *options: str, wait: bool = True, **environment: str) -> "Checkout":
        """Run the server; its address is what it prints first."""
        # Compiled files are part of what is tested.
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        command = [sys.executable, self.root / "server.py", "run", *(options or ("--reload",))]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--no-open", "--port", "0", "--data", self.data],
                stdout=subprocess.PIPE,
                stderr=log,
                encoding="utf-8",
                env={**clean, "PROBE": str(self.probe), **environment},
                cwd=self.root,
                # A process group of its own, as a terminal gives one.
                start_new_session=True,
            )
        line = self.process.stdout.readline()
        found = re.search(r"https?://\S+", line)
        assert found, f"no address in {line!r}; {self.printed()}"
        self.url = found[0]
        if wait:
            self.get("/healthz")
        return self

    def printed(self) -> str:
        """What the server has said in the terminal."""
        return self.log.read_text(encoding="utf-8")

    def starts(self) -> list[int]:
        """The process of every start of the app so far."""
        return [int(line) for line in self.probe.read_text(encoding="utf-8").split()] if self.probe.exists() else []

    def client(self, **options: Any) -> httpx.Client:
        """A client of this server."""
        return httpx.Client(base_url=self.url, **PLAIN | options)

    def get(self, path: str, **headers: str) -> httpx.Response:
        """One answer on a connection of its own."""
        with self.client() as client:
            return client.get(path, headers=headers)

    def edition(self) -> str:
        """Which edition answers."""
        return self.get("/probe").text.rpartition(" ")[0]

    def path(self, name: str) -> Path:
        """A file of the copy."""
        return self.root / name

    def edit(self, name: str, old: str, new: str) -> None:
        """Save a file with other words in it."""
        path = self.root / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    def publish(self) -> str:
        """Save an edition that was never there, wait until it is served, and say which it is."""
        edition = f"edition {next(self._editions)}"
        path = self.root / "app" / "main.py"
        path.write_text(
            re.sub(r'EDITION = ".*"', f'EDITION = "{edition}"', path.read_text(encoding="utf-8")), encoding="utf-8"
        )
        until(lambda: self.edition() == edition, f"{edition} is served")
        return edition

    def processes(self) -> list[psutil.Process]:
        """Every process that belongs to the server."""
        supervisor = psutil.Process(self.process.pid)
        return [supervisor, *supervisor.children(recursive=True)]

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End the server; its exit code. No process of it is left."""
        processes = self.processes()
        self.process.send_signal(how)
        code = self.process.wait(10)
        self.process.stdout.close()
        until(lambda: not any(map(lives, processes)), "every process is gone", 5)
        return int(code)

    def end_anyhow(self) -> None:
        """Leave nothing behind where a test has failed."""
        if self.process is not None and self.process.poll() is None:
            for process in self.processes():
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            self.process.wait()
            self.process.stdout.close()
