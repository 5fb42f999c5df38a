"""What is served side by side: how each system is started, asked and ended."""

import json
import os
import re
import select
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

import psutil

ROOT = Path(__file__).resolve().parents[3]
START_SECONDS = 30
STOP_SECONDS = 10
HTMX = {"HX-Request": "true"}
PEERS = "tests.engine.bench.peers"
LIMIT = "limit: bare ASGI app"
# `--threads` makes it the worker that keeps connections alive; four are what its users choose most. One process each.
GUNICORN = [sys.executable, "-m", "gunicorn", "--workers", "1", "--threads", "4", "--keep-alive", "30"]


@dataclass(frozen=True)
class System:
    """One line of the table: `command` starts it, `address` is asked."""

    name: str
    command: list[str]
    address: str = "/tasks"
    headers: dict[str, str] = field(default_factory=lambda: HTMX)
    status: int = 200
    # Gunicorn takes a socket that is bound already; the others say on which port they listen.
    takes_socket: bool = False


class Answer(NamedTuple):
    """An answer in full."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


def asgi(app: str, *options: str) -> list[str]:
    """The command that serves a peer on Uvicorn."""
    return [sys.executable, "-m", "tests.engine.bench.serve", f"{PEERS}.{app}:app", *options]


def gunicorn(app: str) -> list[str]:
    """The command that serves a peer on Gunicorn."""
    return [*GUNICORN, "--log-level", "warning", f"{PEERS}.{app}:app"]


def ours(data: Path) -> list[str]:
    """The command that serves this app."""
    options = ["--no-open", "--no-reload", "--port", "0", "--data", str(data)]
    return [sys.executable, str(ROOT / "server.py"), "run", *options]


def cached(data: Path) -> System:
    """This app as it is; its answer is what all others are compared with."""
    return System("this app, kept fragment", ours(data))


def all_systems(data: Path, headers_file: Path, etag: str) -> list[System]:
    """Every line of the table but the first of ours, in its order."""
    return [
        System(LIMIT, asgi("bare")),
        System("limit with our headers", ["env", f"BENCH_HEADERS={headers_file}", *asgi("bare")]),
        cached(data),
        System("  without its checks", asgi("own_unchecked")),
        System("  without its guard", asgi("own_unguarded")),
        System("  without guard, deadlines", asgi("own_unguarded", "--without-deadlines")),
        System("  revalidated: 304", ours(data), headers=HTMX | {"If-None-Match": etag}, status=304),
        System("this app, new URL each time", ours(data), "/tasks?number={number}"),
        System("this app, nothing kept", asgi("own_uncached")),
        System("FastAPI, Jinja2", asgi("fastapi_app")),
        System("Litestar, Jinja2", asgi("litestar_app")),
        System("Flask, Jinja2, Gunicorn", gunicorn("flask_app"), takes_socket=True),
        System("Django, Gunicorn", gunicorn("django_app"), takes_socket=True),
        System("FastHTML, its own tags", asgi("fasthtml_app")),
    ]


class Running:
    """A system that runs as a process of its own; `port` is 0 until it has said where it listens."""

    def __init__(self, system: System, process: subprocess.Popen[bytes], port: int, log: IO[bytes]) -> None:
        self.system = system
        self.process = process
        self.port = port
        self.log = log

    def wait(self) -> Answer:
        """Its first answer. Raises RuntimeError where there is none, or another than expected."""
        self.port = self.port or self._find_port()
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                answer = self.ask()
            except OSError as error:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise RuntimeError(f"{self.system.name} does not answer: {error}\n{self._logged()}") from error
                time.sleep(0.05)
                continue
            if answer.status != self.system.status:
                raise RuntimeError(f"{self.system.name} answers {answer.status}: {answer.body!r}\n{self._logged()}")
            return answer

    def ask(self) -> Answer:
        """Ask it once, as the load client will."""
        address = self.system.address.format(number=0)
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{address}", headers=self.system.headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return Answer(answer.status, answer.getheaders(), answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, list(error.headers.items()), error.read())

    def request(self) -> str:
        """The request that the load client sends."""
        lines = [f"GET {self.system.address} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", "Accept: */*"]
        return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in self.system.headers.items()), "", ""])

    def processor_seconds(self) -> float:
        """Processor time that it has used so far."""
        return sum(_processor_seconds(process) for process in self._family())

    def megabytes(self) -> float:
        """Resident memory of all its processes."""
        return sum(process.memory_info().rss for process in self._family()) / 1e6

    def _find_port(self) -> int:
        """The port that a server names in its first line."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], START_SECONDS)
        line = self.process.stdout.readline().decode() if ready else ""
        found = re.search(r"http://[^:]+:(\d+)", line)
        if found is None:
            raise RuntimeError(f"{self.system.name} did not say where it listens: {line!r}\n{self._logged()}")
        return int(found[1])

    def _logged(self) -> str:
        self.log.seek(0)
        return self.log.read().decode(errors="replace")[-4000:]

    def _family(self) -> list[psutil.Process]:
        process = psutil.Process(self.process.pid)
        return [process, *process.children(recursive=True)]


@contextmanager
def running(system: System, environment: dict[str, str], core: int | None = None) -> Iterator[Running]:
    """Start a system on processor core `core`, end it afterwards; whoever asks it waits for it first."""
    with tempfile.TemporaryFile() as log, socket.socket() as listening:
        command, port, descriptors = system.command, 0, []
        if system.takes_socket:
            listening.bind(("127.0.0.1", 0))
            port = listening.getsockname()[1]
            descriptors = [listening.fileno()]
            command = [*command, "--bind", f"fd://{listening.fileno()}"]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            pass_fds=descriptors,
        )
        try:
            pin(process.pid, core)
            yield Running(system, process, port, log)
        finally:
            end(process)


def _processor_seconds(process: psutil.Process) -> float:
    if sys.platform == "linux":
        # What clock_getcpuclockid(3) gives: to the nanosecond, where psutil knows hundredths of a second.
        return time.clock_gettime(~process.pid << 3 | 2)
    return sum(process.cpu_times()[:2])


@contextmanager
def asking(module: str, core: int | None) -> Iterator["subprocess.Popen[str]"]:
    """Start the process that asks the systems, which takes its jobs on standard input; end it afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-m", module], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    )
    pin(process.pid, core)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def pin(process: int, core: int | None) -> None:
    """Keep a process on one core, where the system can."""
    if core is not None:
        os.sched_setaffinity(process, {core})


def cores() -> tuple[int | None, int | None]:
    """The core of the server and the core of the client; None where they cannot be kept apart."""
    if not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2:
        return None, None
    available = sorted(os.sched_getaffinity(0))
    return available[-1], available[0]


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that was started here, and what it started."""
    try:
        family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.terminate()
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in family:
        if child.is_running():
            child.kill()
    if process.stdout is not None:
        process.stdout.close()


def write_headers(answer: Answer, path: Path) -> None:
    """Keep the headers of our answer for the bare app; Uvicorn adds a date, and an end as urllib asks."""
    own = [(name, value) for name, value in answer.headers if name not in ("date", "connection")]
    path.write_text(json.dumps(own), encoding="utf-8")
