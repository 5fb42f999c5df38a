"""Strangers who take all places there are: others still come in, those who are in stay, and the log says so."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from server.protocols.deadlines import (
    BODY_SECONDS,
    LIMITS,
    UNREAD_SECONDS,
    Phase,
)
from server.sharing import sign_in_token
from tests.engine.conftest import PATIENCE, PLAIN, Server
from tests.engine.faults.wire import connect
from tests.engine.watching import Follower

FILES = 200
HALF_BODIES = 190
MEGABYTE = 2**20
HALF_BODY = (
    b"POST /sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    b"Content-Length: 100000\r\n\r\ntoken="
)
WAYS = [
    (),
    pytest.param(("--workers", "2"), marks=pytest.mark.slow),
    pytest.param(("--reload",), marks=pytest.mark.slow),
]


@pytest.fixture(params=WAYS, ids=lambda options: " ".join(options) or "default")
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server with few files, to which everybody has to sign in."""
    server = Server(tmp_path / "data", "--proxy-headers", *request.param, files=FILES)
    yield server
    server.stop()
    log = server.log.read_text(encoding="utf-8")
    assert "Traceback" not in log, log


@contextlib.contextmanager
def crowd(server: Server, count: int, say: bytes) -> Iterator[list[socket.socket]]:
    """So many connections that say this."""
    with contextlib.ExitStack() as stack:
        everyone = []
        for _ in range(count):
            everyone.append(stack.enter_context(contextlib.closing(connect(server))))
            with contextlib.suppress(ConnectionError):
                everyone[-1].sendall(say)
        yield everyone


def until(happened: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def is_ended(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        while connection.recv(65536):
            pass
        return True
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


@contextlib.contextmanager
def signed_in(server: Server) -> Iterator[httpx.Client]:
    """A client of somebody who has the token."""
    with httpx.Client(base_url=server.url, **PLAIN) as client:
        answer = client.post("/sign-in", data={"token": sign_in_token.read(server.data)})
        assert answer.status_code == 303, answer.text
        yield client


def test_half_bodies_leave_room_for_who_signs_in_and_writes(small: Server) -> None:
    with crowd(small, HALF_BODIES, HALF_BODY):
        assert httpx.get(f"{small.url}/healthz", **PLAIN).status_code == 200
        with signed_in(small) as client:
            assert client.post("/tasks", data={"title": "Written meanwhile"}).status_code == 303
            assert "Written meanwhile" in client.get("/tasks").text
    log = small.log.read_text(encoding="utf-8")
    assert "was ended: it made room for others" in log
    assert "No connection can be accepted" not in log, "the reserve was used up"


def test_who_is_in_stays_while_strangers_come_and_come(small: Server) -> None:
    ended = threading.Event()

    def storm() -> None:
        held: list[socket.socket] = []
        while not ended.is_set():
            with contextlib.suppress(OSError):
                held.append(connect(small))
                held[-1].sendall(HALF_BODY)
            if len(held) > HALF_BODIES:
                held.pop(0).close()
        for each in held:
            each.close()

    with signed_in(small) as client, contextlib.ExitStack() as stack:
        (cookie,) = [f"{name}={value}" for name, value in client.cookies.items() if "access" in name]
        pages = [stack.enter_context(Follower(small.url, cookie)) for _ in range(20)]
        for page in pages:
            page.watch(("tasks", "/tasks", None))
        for page in pages:
            page.next()
        thread = threading.Thread(target=storm)
        thread.start()
        try:
            for number in range(10):
                assert client.post("/tasks", data={"title": f"In the storm {number}"}).status_code == 303
                for page in pages:
                    page.until_text(f"In the storm {number}")
        finally:
            ended.set()
            thread.join()


def test_hundreds_of_tabs_of_the_owner_stay(tmp_path: Path) -> None:
    """On loopback, all from one address, and more than strangers may be."""
    server = Server(tmp_path / "data", files=400)
    try:
        with contextlib.ExitStack() as stack:
            pages = [stack.enter_context(Follower(server.url)) for _ in range(250)]
            for page in pages:
                page.watch(("tasks", "/tasks", None))
            for page in pages:
                page.next()
            with crowd(server, 100, b"GET / HT"):
                assert httpx.post(f"{server.url}/tasks", data={"title": "To all"}, **PLAIN).status_code == 303
                for page in pages:
                    page.until_text("To all")
    finally:
        server.stop()


@pytest.mark.slow
def test_half_bodies_are_closed_in_time(server: Server) -> None:
    began = time.monotonic()
    with crowd(server, HALF_BODIES, HALF_BODY) as everyone:
        until(lambda: is_ended(everyone[0]), "the first has not ended")
        first = time.monotonic() - began
        until(lambda: all(map(is_ended, everyone)), "not all have ended")
        last = time.monotonic() - began
    print(f"\n{HALF_BODIES} half bodies: ended after {first:.1f} to {last:.1f} s")
    assert first > BODY_SECONDS - 1
    assert last < BODY_SECONDS + 5
    assert LIMITS[Phase.BODY].words in server.log.read_text(encoding="utf-8")


def endless(server: Server, say: bytes, more: bytes, seconds: float) -> float:
    """Send for so long, or until the server has closed; how many megabytes it took."""
    sent = 0
    end = time.monotonic() + seconds
    with contextlib.closing(connect(server)) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(say)
        while time.monotonic() < end and sent < 150 * MEGABYTE:
            connection.sendall(more)
            sent += len(more)
    return sent / MEGABYTE


def test_what_stands_around_a_body_costs_nothing(server: Server) -> None:
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    begin = b"POST /%s HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    for path in (b"sign-in", b"tasks", b"nowhere", b"imports"):
        for say, more in (
            (b"0\r\n", (b"X-Trailer: " + b"a" * 1000 + b"\r\n") * 100),
            (b"0\r\nX-Endless: ", b"a" * 100_000),
            (b"1;" + b"a" * 1000, b"a" * 100_000),
            (b"", (b"1;" + b"a" * 10_000 + b"\r\nx\r\n") * 10),
        ):
            assert endless(server, begin % path + say, more, 30) < 20
    assert process.memory_info().rss - before < 32 * MEGABYTE
    assert httpx.get(f"{server.url}/healthz", **PLAIN).status_code == 200


@pytest.mark.slow
def test_requests_whose_answers_nobody_reads_are_let_go(server: Server) -> None:
    server.add(200, notes="x" * 1000)
    process = psutil.Process(server.process.pid)
    httpx.get(f"{server.url}/tasks", **PLAIN)
    before = most = process.memory_info().rss
    began = time.monotonic()
    request = b"GET /tasks HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with crowd(server, 50, b"") as everyone:
        for connection in everyone:
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                for _ in range(100):
                    connection.send(request * 100)
        slowest = 0.0

        def count() -> int:
            nonlocal most, slowest
            asked = time.monotonic()
            assert httpx.get(f"{server.url}/tasks", **PLAIN).status_code == 200
            slowest = max(slowest, time.monotonic() - asked)
            most = max(most, process.memory_info().rss)
            return sum(each.status == "ESTABLISHED" for each in process.net_connections())

        # Their systems take 128 KB each, of which half counts as read.
        until(lambda: count() < 10, "they are still there", UNREAD_SECONDS + 64 + PATIENCE)
    grown = (most - before) / MEGABYTE
    print(
        f"\n50 clients that ask 10,000 times and read nothing: gone after {time.monotonic() - began:.1f} s, "
        f"{grown:.0f} MB more, slowest of the others {1000 * slowest:.0f} ms"
    )
    assert time.monotonic() - began > UNREAD_SECONDS - 1
    assert grown < 64
