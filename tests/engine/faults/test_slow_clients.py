"""Clients that say nothing, speak one byte a second or never listen: the others do not notice, and it costs little.

How one slow head ends is held in tests/engine/server/protocols/test_http1.py.
"""

import contextlib
import selectors
import socket
import time
from collections.abc import Iterator

import httpx
import psutil
import pytest

from server.protocols.deadlines import HEAD_SECONDS, UNREAD_SECONDS
from tests.engine.conftest import Server
from tests.engine.faults.wire import connect
from tests.engine.reloading import until

BEGINNINGS = (b"", b"G", b"GET /tasks HTTP/1.1\r\n", b"GET /tasks HTTP/1.1\r\nHost: localhost\r\nX-Half: ")
FORM = b"POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: 1000\r\n\r\ntitle="
FORMS = (FORM % b"application/x-www-form-urlencoded", FORM % b"application/json", FORM % b"text/plain")
EXPORTS = (b"/export.csv", b"/export.json")
HALF_OPEN = 300
STALLED = 50
MEGABYTE = 2**20


@pytest.fixture
def crowd(server: Server) -> Iterator[list[socket.socket]]:
    """Connections that end with the test."""
    with contextlib.ExitStack() as open_connections:
        yield _Crowd(server, open_connections)


class _Crowd(list[socket.socket]):
    def __init__(self, server: Server, open_connections: contextlib.ExitStack) -> None:
        self.server = server
        self.open_connections = open_connections

    def join(self, beginning: bytes) -> None:
        """One more that says no more than this."""
        self.append(self.open_connections.enter_context(contextlib.closing(connect(self.server))))
        self[-1].sendall(beginning)


def memory(server: Server) -> float:
    """What the server holds, in megabytes."""
    return psutil.Process(server.process.pid).memory_info().rss / MEGABYTE


def slowest_of_others(server: Server, rounds: int = 10) -> float:
    """Answers to several requests that come in meanwhile, each on a connection of its own; how long the slowest takes.

    How long it may take is a matter of the slow tests: here other tests may have the machine.
    """
    slowest = 0.0
    for number in range(rounds):
        with httpx.Client(base_url=server.url, timeout=60) as client:
            began = time.perf_counter()
            assert client.get("/tasks").status_code == 200
            assert client.post("/tasks", data={"title": f"Meanwhile {number}"}).status_code == 303
            slowest = max(slowest, time.perf_counter() - began)
    return slowest


def test_others_are_served_beside_three_hundred_half_open_connections(server: Server, crowd: _Crowd) -> None:
    before = memory(server)
    for number in range(HALF_OPEN):
        crowd.join(BEGINNINGS[number % len(BEGINNINGS)])
    slowest_of_others(server)
    assert memory(server) - before < 32


@pytest.mark.slow
def test_three_hundred_half_open_connections_are_closed_in_time(server: Server, crowd: _Crowd) -> None:
    before = memory(server)
    began = time.monotonic()
    for number in range(HALF_OPEN):
        crowd.join(BEGINNINGS[number % len(BEGINNINGS)])
    ends: list[float] = []
    slowest = 0.0
    with selectors.DefaultSelector() as watching:
        for connection in crowd:
            watching.register(connection, selectors.EVENT_READ)
        while watching.get_map() and time.monotonic() - began < HEAD_SECONDS + 10:
            slowest = max(slowest, slowest_of_others(server, 1))
            for key, _ in watching.select(0.1):
                with contextlib.suppress(ConnectionError):
                    if key.fileobj.recv(65536):  # type: ignore[union-attr]
                        continue
                watching.unregister(key.fileobj)
                ends.append(time.monotonic() - began)
        grown = memory(server) - before
    print(
        f"\n{HALF_OPEN} half-open connections: all closed after {min(ends):.1f} to {max(ends):.1f} s; "
        f"slowest of the others {1000 * slowest:.0f} ms; {grown:.1f} MB more"
    )
    assert len(ends) == HALF_OPEN
    assert min(ends) > HEAD_SECONDS - 1
    assert max(ends) < HEAD_SECONDS + 3
    assert slowest < 1
    assert grown < 32


# A reader's system takes 128 KB here before anything is read, of which half counts; then some wait for their turn.
ALL_CLOSED = 2 * (UNREAD_SECONDS + 64)
# More than all that lies between a server and who does not read.
EXPORT_MEGABYTES = 16


@pytest.fixture
def large(server: Server) -> Server:
    """A server whose exports are large."""
    server.add(10 * EXPORT_MEGABYTES, notes="x" * 100_000)
    return server


@pytest.fixture
def larger(large: Server) -> Server:
    """A server with 64 MB of tasks."""
    large.add(10 * (64 - EXPORT_MEGABYTES), notes="x" * 100_000)
    return large


def stall(server: Server, crowd: _Crowd) -> None:
    """Readers that never read on, and writers that have begun a body."""
    for number in range(STALLED):
        crowd.join(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % EXPORTS[number % len(EXPORTS)])
    for number in range(STALLED):
        crowd.join(FORMS[number % len(FORMS)])


def answered(readers: list[socket.socket]) -> list[socket.socket]:
    """Those that have something to read."""
    with selectors.DefaultSelector() as watching:
        for reader in readers:
            watching.register(reader, selectors.EVENT_READ, reader)
        return [key.data for key, _ in watching.select(0)]


def test_others_are_served_beside_readers_and_writers_that_stall(large: Server, crowd: _Crowd) -> None:
    slowest_of_others(large, 1)
    before = memory(large)
    stall(large, crowd)
    # The few that wait for their turn have it when those before them are closed.
    until(lambda: len(answered(crowd[:STALLED])) > 0.8 * STALLED, "readers are answered")
    for reader in answered(crowd[:STALLED]):
        assert reader.recv(5) == b"HTTP/"
    for _ in range(2):
        for writer in crowd[STALLED:]:
            writer.sendall(b"x")
        slowest_of_others(large, 1)
    assert memory(large) - before < 256


@pytest.mark.slow
def test_readers_and_writers_may_stall_until_they_are_closed(larger: Server, crowd: _Crowd) -> None:
    process = psutil.Process(larger.process.pid)
    slowest_of_others(larger, 1)
    before = most = memory(larger)
    stall(larger, crowd)
    began = time.monotonic()
    slowest = 0.0
    sent = 0
    ports = {each.getsockname()[1] for each in crowd}
    while ports & {each.raddr.port for each in process.net_connections("inet") if each.raddr}:
        assert time.monotonic() - began < ALL_CLOSED, "some are still there"
        if time.monotonic() - began > sent:
            sent += 1
            for writer in crowd[STALLED:]:
                with contextlib.suppress(ConnectionError):  # Not every writer is waited for.
                    writer.sendall(b"x")
        slowest = max(slowest, slowest_of_others(larger, 1))
        most = max(most, memory(larger))
    print(
        f"\n{STALLED} readers of 64 MB that do not read and {STALLED} writers of one byte a second: "
        f"all closed after {time.monotonic() - began:.0f} s; "
        f"slowest of the others {1000 * slowest:.0f} ms; at most {most - before:.0f} MB more"
    )
    assert slowest < 1
    assert most - before < 256


@pytest.mark.slow
@pytest.mark.parametrize(("burst", "rate"), [(0, 2000), (4 * MEGABYTE, 0)], ids=["steady", "paused"])
def test_a_reader_that_is_slow_or_rests_is_not_cut(larger: Server, burst: int, rate: int) -> None:
    """Two kilobytes a second, which loopback passes on in pieces of 64; or much at once, then nothing for a while."""
    with contextlib.closing(connect(larger)) as reader:
        reader.sendall(b"GET /export.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while burst > 0:
            burst -= len(reader.recv(65536))
        end = time.monotonic() + 70
        while time.monotonic() < end:
            assert not rate or reader.recv(rate)
            time.sleep(1)
        came = 0
        while came < 32 * MEGABYTE:
            piece = reader.recv(MEGABYTE)
            assert piece, "it was cut"
            came += len(piece)


@pytest.mark.slow
def test_what_a_client_left_half_done_is_let_go(large: Server, crowd: _Crowd) -> None:
    """No connection stays, and no export holds the file."""
    process = psutil.Process(large.process.pid)

    def held() -> int:
        # Of the file itself SQLite keeps closed descriptors for the next who opens it; the log tells who reads.
        logs = [file for file in process.open_files() if file.path.endswith("app.db-wal")]
        return len(process.net_connections("inet")) + len(logs)

    stall(large, crowd)
    slowest_of_others(large, 1)
    assert held() > 2 * STALLED
    for connection in crowd:
        connection.close()
    deadline = time.monotonic() + 60
    while held() > 15:
        assert time.monotonic() < deadline, f"{held()} connections and files are still open"
        time.sleep(0.1)
        slowest_of_others(large, 1)
