"""Several workers, as real processes: what happens when one of them dies, hangs, or cannot start."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from server.app_name import PREFIX
from tests.engine.conftest import PROJECT

APP = """
import asyncio, os, pdb, sys, time
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute

async def pid(request):
    return PlainTextResponse(str(os.getpid()))

async def sleep(request):
    time.sleep(60)

async def compute(request):
    sum(range(10**12))

async def debug(request):
    # As a debugger that is spoken with from elsewhere.
    pdb.Pdb(stdin=open("commands"), stdout=open(os.devnull, "w"), nosigint=True).set_trace()
    return PlainTextResponse("debugged")

async def slow(request):
    await asyncio.sleep(1)
    return PlainTextResponse("done")

async def listen(websocket):
    await websocket.accept()
    await websocket.receive()

if os.path.exists("broken"):
    sys.exit("the app cannot start")
app = Starlette(routes=[
    Route("/pid", pid), Route("/sleep", sleep), Route("/compute", compute), Route("/slow", slow),
    Route("/debug", debug),
    WebSocketRoute("/listen", listen),
])
"""
# Each request on a connection of its own, which may come to any worker.
ONCE = {"Connection": "close"}
START = """
import sys
from server import run
from server.settings import Settings
run.APP = "served:app"
if __name__ == "__main__":
    sys.exit(run.serve(Settings(port=0, open=False, workers=int(sys.argv[1]))))
"""


class Supervised:
    """`server.run.serve` with several workers, around a small app that can hang."""

    def __init__(self, directory: Path, workers: int, start: str = START) -> None:
        (directory / "served.py").write_text(APP, encoding="utf-8")
        (directory / "start.py").write_text(start, encoding="utf-8")
        self.directory = directory
        self.log = directory / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "start.py", str(workers)],
                cwd=directory,
                env={**os.environ, "PYTHONPATH": str(PROJECT)},
                stdout=subprocess.PIPE,
                stderr=log,
                encoding="utf-8",
            )
        assert self.process.stdout is not None
        found = re.search(r"http://\S+", self.process.stdout.readline())
        assert found, self.log.read_text(encoding="utf-8")
        self.url = found[0]
        until(lambda: len(self.answering()) == workers, f"{workers} workers answer")

    def begin(self, path: str) -> socket.socket:
        """Ask for something on a connection of its own, and do not wait for the answer."""
        connection = self.connect()
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return connection

    def pids(self) -> set[int]:
        """The processes of the workers; Python's own resource tracker is none."""
        found = set()
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if "spawn_main" in " ".join(child.cmdline()):
                    found.add(child.pid)
        return found

    def answering(self) -> set[int]:
        """The workers that 32 new connections come to."""
        found = set()
        with httpx.Client(transport=httpx.HTTPTransport(retries=2), headers=ONCE) as client:
            for _ in range(32):
                found.add(int(client.get(f"{self.url}/pid", timeout=30).text))
        return found

    def connect(self) -> socket.socket:
        """A connection that stays open."""
        host, _, port = self.url.removeprefix("http://").partition(":")
        return socket.create_connection((host, int(port)), timeout=60)

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal to the supervisor and wait; the exit code."""
        self.process.send_signal(how)
        code = self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Callable[[int], Supervised]]:
    """Starts a supervisor with so many workers."""
    started: list[Supervised] = []

    def start(workers: int) -> Supervised:
        started.append(Supervised(tmp_path, workers))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.end()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervised]:
    """A supervisor with two workers, for all the tests after which there are two again."""
    running = Supervised(tmp_path_factory.mktemp("two"), 2)
    yield running
    assert running.end() == 0


def until(happened: Callable[[], bool], what: str, seconds: float = 60) -> float:
    """Wait for something to happen; how long that took, in seconds."""
    began = time.monotonic()
    while not happened():
        assert time.monotonic() - began < seconds, what
        time.sleep(0.05)
    return time.monotonic() - began


def test_a_worker_that_is_killed_comes_back_with_no_failed_request(two: Supervised) -> None:
    running = two
    killed = min(running.pids())
    failures: list[str] = []
    cut_off: list[int] = []
    ending = threading.Event()

    def ask() -> None:
        with httpx.Client(headers=ONCE) as client:
            while not ending.is_set():
                try:
                    answer = client.get(f"{running.url}/pid", timeout=60)
                    if answer.status_code != 200:
                        failures.append(answer.text)
                except (httpx.ReadError, httpx.RemoteProtocolError):
                    # The kill cut off a request that was already the killed worker's own.
                    cut_off.append(1)
                except httpx.HTTPError as error:
                    failures.append(repr(error))

    asking = [threading.Thread(target=ask) for _ in range(4)]
    for thread in asking:
        thread.start()
    try:
        os.kill(killed, signal.SIGKILL)
        until(lambda: killed not in running.pids() and len(running.pids()) == 2, "another process takes its place")
        until(lambda: len(running.answering()) == 2, "it answers")
    finally:
        ending.set()
        for thread in asking:
            thread.join()
    assert failures == []
    assert len(cut_off) <= len(asking), "only what the killed worker had begun"
    assert f"Worker {killed} ended (SIGKILL" in running.log.read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["sleep", "compute"])
def test_a_worker_whose_loop_hangs_is_replaced_and_says_where(
    supervised: Callable[[int], Supervised], how: str
) -> None:
    """In Python code that waits, and in C code that holds the interpreter's lock."""
    running = supervised(2)
    before = running.pids()
    with running.begin(f"/{how}"):
        took = until(lambda: len(before & running.pids()) == 1 and len(running.pids()) == 2, "it is replaced")
    print(f"replaced after {took:.1f} s")
    assert took < 15
    until(lambda: len(running.answering()) == 2, "the new one answers")
    assert f"in {how}" in running.log.read_text(encoding="utf-8")


def test_connections_are_spread_over_the_workers(two: Supervised) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux spreads connections over the sockets of one address")
    connections = [two.connect() for _ in range(200)]
    try:
        shares = dict.fromkeys(two.pids(), 0)
        until(lambda: _count(shares) >= 200, "all are accepted")
    finally:
        for connection in connections:
            connection.close()
    assert max(shares.values()) <= 1.5 * 200 / 2, shares


def _count(shares: dict[int, int]) -> int:
    for pid in shares:
        open_ones = psutil.Process(pid).net_connections("tcp")
        shares[pid] = sum(each.status == psutil.CONN_ESTABLISHED for each in open_ones)
    return sum(shares.values())


@pytest.mark.parametrize("how", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_signal_ends_all_and_lets_requests_end(supervised: Callable[[int], Supervised], how: signal.Signals) -> None:
    running = supervised(2)
    pids = running.pids()
    answers: list[str] = []
    asking = threading.Thread(target=lambda: answers.append(httpx.get(f"{running.url}/slow", timeout=60).text))
    asking.start()
    until(lambda: any(_count({pid: 0}) for pid in pids), "the request has come")
    began = time.monotonic()
    assert running.end(how) == 0
    assert time.monotonic() - began < 5
    asking.join()
    assert answers == ["done"]
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert "Traceback" not in running.log.read_text(encoding="utf-8")


def test_a_websocket_is_told_that_the_server_starts_again(supervised: Callable[[int], Supervised]) -> None:
    from websockets.sync.client import connect

    running = supervised(2)
    with connect(running.url.replace("http", "ws") + "/listen") as websocket:
        assert running.end() == 0
        with pytest.raises(Exception, match="1012"):
            websocket.recv(timeout=60)


def test_workers_end_when_their_supervisor_is_killed(supervised: Callable[[int], Supervised]) -> None:
    running = supervised(2)
    pids = running.pids()
    running.end(signal.SIGKILL)
    until(lambda: not any(psutil.pid_exists(pid) for pid in pids), "no worker is left")


def test_new_workers_take_over_at_sighup(two: Supervised) -> None:
    before = two.pids()
    two.process.send_signal(signal.SIGHUP)
    until(lambda: not before & two.pids() and len(two.pids()) == 2, "both are new")
    until(lambda: len(two.answering()) == 2, "both answer")


def test_an_app_that_cannot_start_any_more_stops_all_with_the_reason(supervised: Callable[[int], Supervised]) -> None:
    running = supervised(2)
    (running.directory / "broken").touch()
    os.kill(min(running.pids()), signal.SIGKILL)
    assert running.process.wait(60) == 1
    log = running.log.read_text(encoding="utf-8")
    assert "the app cannot start" in log
    assert log.count("could not start the app") == 1
    running.end()


def test_an_app_that_cannot_start_at_all_says_so_once(tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    (tmp_path / "served.py").write_text(APP, encoding="utf-8")
    (tmp_path / "start.py").write_text(START, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "start.py", "4"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert ended.returncode == 1
    assert ended.stderr.count("the app cannot start") == 1
    assert "Traceback" not in ended.stderr


def test_the_place_of_a_second_server_is_not_shared_by_mistake(two: Supervised) -> None:
    """Sockets that share an address would let it in, and half of the requests would go there."""
    port = two.url.rpartition(":")[2]
    for workers in ("1", "2"):
        ended = subprocess.run(
            [sys.executable, PROJECT / "server.py", "--no-open", "--port", port, "--workers", workers],
            env={**os.environ, f"{PREFIX}DATA": str(two.directory / "data")},
            capture_output=True,
            encoding="utf-8",
            timeout=60,
        )
        assert (ended.returncode, ended.stdout) == (2, "")
        assert f"Port {port} is in use" in ended.stderr
