"""The head of a request over a real socket: it has a size and a time, and the answer says so."""

import asyncio
import contextlib
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from starlette.types import Receive, Scope, Send
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.sync.client import connect

from server.live.messages import Frame
from server.protocols import connection_table
from server.protocols.deadlines import (
    BY_ITSELF,
    CREDIT_SECONDS,
    HEAD_LIMIT,
    HEAD_SECONDS,
    LIMITS,
    REST_LIMIT,
    SLOWEST,
    UNREAD_SECONDS,
    Phase,
)
from tests.engine.conftest import Server
from tests.engine.ticking import connected as in_one_loop
from tests.engine.ticking import in_loop, until
from tests.engine.watching import serving

GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


@contextlib.contextmanager
def connected(server: Server) -> Iterator[socket.socket]:
    """A connection to the server."""
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port or 80), timeout=HEAD_SECONDS + 10) as connection:
        yield connection


def answer(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    pieces = []
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            pieces.append(piece)
    return b"".join(pieces)


def one_answer(connection: socket.socket) -> bytes:
    """One answer of /healthz, which is JSON."""
    got = b""
    while not got.endswith(b"}"):
        got += connection.recv(65536)
    return got


def answer_of(connection: socket.socket) -> bytes:
    """One answer that says how long it is."""
    got = b""
    while not (found := re.search(rb"content-length: (\d+)\r\n(?:.+\r\n)*\r\n", got)) or len(got) < found.end() + int(
        found[1]
    ):
        got += connection.recv(65536)
    return got


@pytest.mark.parametrize("size", [100, HEAD_LIMIT - 200])
def test_a_head_within_the_limit_is_answered(server: Server, size: int) -> None:
    with connected(server) as connection:
        connection.sendall(GET + b"Connection: close\r\nX-Long: " + b"a" * size + b"\r\n\r\n")
        assert answer(connection).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "head",
    [
        GET + b"X-Long: " + b"a" * HEAD_LIMIT + b"\r\n\r\n",
        GET + b"".join(b"X-%d: %s\r\n" % (number, b"a" * 1000) for number in range(70)) + b"\r\n",
        b"GET /" + b"a" * HEAD_LIMIT + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        GET + b"X-Endless: " + b"a" * 10 * HEAD_LIMIT,
    ],
    ids=["one header", "many headers", "address", "without an end"],
)
def test_a_head_beyond_the_limit_is_refused(server: Server, head: bytes) -> None:
    with connected(server) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(head)
        got = answer(connection)
    # A system may drop an answer when more comes for a socket that is closed.
    assert got == b"" or got.startswith(b"HTTP/1.1 431 "), got[:200]
    assert b"larger than 64 KiB" in got or not got


def test_the_limit_holds_for_a_head_that_comes_in_pieces(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(GET)
        with contextlib.suppress(ConnectionError):
            for _ in range(70):
                connection.sendall(b"X-Piece: " + b"a" * 1000 + b"\r\n")
        assert b" 431 " in answer(connection)[:30]


def test_a_large_body_has_no_head_limit(server: Server) -> None:
    body = b"title=" + b"a" * (HEAD_LIMIT * 2)
    with connected(server) as connection:
        connection.sendall(
            b"POST /tasks HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        connection.sendall(body)
        assert b" 422 " in answer(connection)[:30]


def test_what_cannot_be_understood_is_a_400_that_carries_the_security_headers(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(b"what is this\r\n\r\n")
        got = answer(connection)
    assert got.startswith(b"HTTP/1.1 400 ")
    assert b"content-security-policy: default-src 'none'" in got


def test_requests_follow_each_other_on_one_connection(server: Server) -> None:
    with connected(server) as connection:
        for _ in range(3):
            connection.sendall(GET + b"\r\n")
            assert one_answer(connection).startswith(b"HTTP/1.1 200 ")
        connection.sendall((GET + b"\r\n") * 2 + GET + b"Connection: close\r\n\r\n")
        assert answer(connection).count(b"HTTP/1.1 200 ") == 3


def test_a_socket_that_says_nothing_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is older than a connection that is closed because no head came on it."""
    monkeypatch.setattr(connection_table, "TICK_SECONDS", 0.02)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        await send({"type": "websocket.send", "text": (await receive())["text"]})

    with serving(app) as port, connect(f"ws://127.0.0.1:{port}") as following:
        following.send("first")
        with socket.create_connection(("127.0.0.1", port), timeout=5) as silent:
            assert answer(silent) == b""
        following.send("second")
        assert following.recv(timeout=5) == "second"


@pytest.mark.parametrize(
    ("offer", "form"),
    [
        (None, "plain"),
        (ClientPerMessageDeflateFactory(), "deflated"),
        (ClientPerMessageDeflateFactory(server_max_window_bits=15, client_max_window_bits=10), "deflated"),
        (ClientPerMessageDeflateFactory(server_max_window_bits=10), "plain"),
    ],
    ids=["nothing", "as browsers do", "small messages of its own", "a smaller window"],
)
def test_a_finished_frame_is_compressed_for_whom_it_may_be(
    offer: ClientPerMessageDeflateFactory | None, form: str
) -> None:
    """Also beside messages that the protocol itself compresses, and for the second reader the same bytes."""
    frame = Frame("".join(map(str, range(20_000))))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
            scope["extensions"]["server.frames"].write_frame(frame)

    with serving(app) as port:
        for _ in range(2):
            with connect(f"ws://127.0.0.1:{port}", compression=None, extensions=[offer] if offer else None) as reader:
                for text in ("ä" * 1000, "b" * 1000):
                    reader.send(text)
                    assert [reader.recv(timeout=5), reader.recv(timeout=5)] == [text, frame.text]
    assert {"plain", "deflated"} & vars(frame).keys() == {form}


@pytest.mark.slow
def test_a_head_that_does_not_come_is_not_waited_for(server: Server) -> None:
    """Nothing at all, half a head, one byte a second, and empty lines after an answer, each closed in time."""

    def begun(first: bytes, drip: bytes, answered: int) -> tuple[bytes, float]:
        with connected(server) as connection:
            connection.sendall(first)
            for _ in range(answered):
                one_answer(connection)
            began = time.monotonic()
            got = b""
            connection.settimeout(1)
            while time.monotonic() - began < HEAD_SECONDS + 10:
                try:
                    piece = connection.recv(65536)
                    if not piece:
                        break
                    got += piece
                except TimeoutError:
                    with contextlib.suppress(ConnectionError):
                        connection.sendall(drip)
                except ConnectionResetError:
                    break
            return got, time.monotonic() - began

    cases = [
        (b"", b"", 0),
        (GET, b"", 0),
        (GET, b"X", 0),
        (GET + b"\r\n" + GET, b"X", 1),
        (GET + b"\r\n", b"\r\n", 1),
    ]
    with ThreadPoolExecutor(len(cases)) as threads:
        ends = list(threads.map(lambda case: begun(*case), cases))
    for got, seconds in ends:
        assert HEAD_SECONDS - 1 < seconds < HEAD_SECONDS + 3, ends
        assert got == b"" or b" 408 " in got[:30]


POST = b"POST / HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


class Reading:
    """An app that reads the whole body and answers with its length; it sees what happens to its requests."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.ends: list[str] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.bodies: list[int] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        size = 0
        while True:
            await self.go_on.wait()
            message = await receive()
            size += len(message.get("body", b""))
            if not message.get("more_body"):
                break
        self.ends.append(message["type"])
        self.headers = list(scope["headers"])
        self.bodies.append(size)
        await reply(send, b"%d bytes" % size)


async def reply(send: Send, body: bytes, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": 200, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": body})


async def deaf(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that answers without reading."""
    await reply(send, b"no")


@pytest.mark.parametrize("silent", [b"", b"GET / HT", GET], ids=["nothing", "half a line", "half a head"])
def test_a_head_has_ten_seconds(silent: bytes) -> None:
    async def run() -> None:
        async with in_one_loop(deaf) as client:
            await client.send(silent)
            await client.pass_seconds(10)
            assert client.is_open
            await client.pass_seconds(1)
            got = await client.read_all()
            assert got.startswith(b"HTTP/1.1 408 ") if silent else got == b""

    in_loop(run())


def test_empty_lines_are_no_way_to_stay() -> None:
    async def run() -> None:
        async with in_one_loop(deaf) as client:
            await client.send(GET + b"\r\n")
            assert b" 200 " in await client.read()
            for _ in range(12):
                await client.send(b"\r\n")
                await client.pass_seconds(1)
            assert not client.is_open

    in_loop(run())


def test_a_body_that_stalls_is_408_and_the_app_hears_that_the_client_is_gone() -> None:
    async def run() -> None:
        app = Reading()
        async with in_one_loop(app) as client:
            await client.send(POST + b"Content-Length: 1000\r\n\r\nhalf")
            await client.pass_seconds(10)
            assert client.is_open
            await client.pass_seconds(1)
            assert (await client.read_all()).startswith(b"HTTP/1.1 408 ")
            await until(lambda: app.ends)
            assert app.ends == ["http.disconnect"]

    in_loop(run())


@pytest.mark.parametrize(("pace", "status"), [(900, b"408"), (1100, b"200")], ids=["too slow", "slow, but honest"])
def test_a_body_has_a_pace_of_one_kilobyte_a_second(pace: int, status: bytes) -> None:
    async def run() -> None:
        async with in_one_loop(Reading()) as client:
            await client.send(POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % (40 * pace))
            for _ in range(40):
                await client.send(b"x" * pace)
                await client.pass_seconds(1)
            assert (await client.read_all())[9:12] == status

    in_loop(run())


def test_a_client_does_not_pay_for_an_app_that_takes_its_time() -> None:
    async def run() -> None:
        app = Reading()
        app.go_on.clear()
        async with in_one_loop(app) as client:
            await client.send(POST + b"Content-Length: 1000000\r\n\r\n" + b"x" * 900_000)
            assert client.is_paused()
            await client.pass_seconds(100)
            assert client.is_open
            app.go_on.set()
            await until(lambda: client.came > 900_000)
            await client.pass_seconds(10)
            assert client.is_open
            await client.pass_seconds(1)
            assert not client.is_open

    in_loop(run())


def test_a_client_that_waits_to_be_asked_for_its_body_is_not_blamed() -> None:
    async def run() -> None:
        app = Reading()
        app.go_on.clear()
        async with in_one_loop(app) as client:
            await client.send(POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            await client.pass_seconds(100)
            app.go_on.set()
            assert await client.read() == b"HTTP/1.1 100 Continue\r\n\r\n"
            await client.send(b"12345")
            assert b" 200 " in await client.read(60)

    in_loop(run())


def test_a_head_is_not_taken_for_the_body_that_was_not_asked_for() -> None:
    async def run() -> None:
        async with in_one_loop(deaf) as client:
            await client.send(POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(GET))
            assert (await client.read_all()).count(b"HTTP/1.1 200 ") == 1

    in_loop(run())


def test_fields_at_the_end_of_a_body_are_forgotten() -> None:
    async def run() -> None:
        app = Reading()
        async with in_one_loop(app) as client:
            await client.send(CHUNKED + b"3\r\nabc\r\n0\r\nX-Late: 1\r\nHost: x\r\n\r\n")
            await until(lambda: app.ends)
            assert app.bodies == [3]
            assert [value for name, value in app.headers if name in (b"x-late", b"host")] == [b"localhost"]

    in_loop(run())


@pytest.mark.parametrize("before", [b"", GET + b"\r\n"], ids=["alone", "behind another"])
@pytest.mark.parametrize(
    "head", [b"CONNECT \n\r\n", b"CONNECT\r\n\r\n", b"GET http://[ HTTP/1.1\r\n\r\n", b"CONNECT x:x HTTP/1.1\r\n\r\n"]
)
def test_a_head_that_is_no_http_is_refused_and_what_was_asked_before_is_answered(head: bytes, before: bytes) -> None:
    async def run() -> None:
        async with in_one_loop(Reading()) as client:
            await client.send(before + head)
            got = await client.read_all()
            assert (b"HTTP/1.1 200 " in got) == bool(before)
            assert b"HTTP/1.1 400 " in got

    in_loop(run())


@pytest.mark.parametrize("before", [b"", GET + b"\r\n"], ids=["alone", "behind another"])
@pytest.mark.parametrize("body", [b"zz\r\n", b"3;[\r\nabc\r\n", b"3\r\nabcd\r\n", b"0\r\n:\r\n\r\n"])
def test_a_body_that_is_no_http_ends_its_request(body: bytes, before: bytes) -> None:
    async def run() -> None:
        app = Reading()
        app.go_on.clear()
        async with in_one_loop(app) as client:
            await client.send(before + CHUNKED + body)
            app.go_on.set()
            got = await client.read_all()
            assert got.startswith(b"HTTP/1.1 400 ") or (before and got == b"")
            await until(lambda: app.ends in (["http.disconnect"], ["http.request"]))

    in_loop(run())


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"0\r\n", b"X-Trailer: " + b"a" * 1000 + b"\r\n"),
        (b"0\r\nX-Endless: ", b"a" * 1000),
        (b"3\r\nabc\r\n0\r\n", b"a:\r\n" * 250),
        (b"3;" + b"a" * 1000, b"a" * 1000),
        (b"", b"1;" + b"a" * 1000 + b"\r\nx\r\n"),
    ],
    ids=["fields", "one field", "empty fields", "one extension", "an extension to each chunk"],
)
@pytest.mark.parametrize("reads", [True, False], ids=["read", "answered before"])
def test_what_stands_around_a_body_is_bounded(reads: bool, begin: bytes, more: bytes) -> None:
    async def run() -> None:
        app = Reading()
        async with in_one_loop(app if reads else deaf) as client:
            await client.send(CHUNKED)
            await client.send(begin)
            for _ in range(80):
                await client.send(more)
            assert not client.is_open
            await until(lambda: app.ends or not reads)
            assert app.headers in ([], [(b"host", b"localhost"), (b"transfer-encoding", b"chunked")])

    in_loop(run())


def test_fields_at_the_end_of_a_body_have_ten_seconds() -> None:
    async def run() -> None:
        async with in_one_loop(Reading()) as client:
            await client.send(CHUNKED + b"3\r\nabc\r\n0\r\n")
            for _ in range(11):
                assert client.is_open
                await client.send(b"X-More: " + b"a" * 1000 + b"\r\n")
                await client.pass_seconds(1)
            assert not client.is_open

    in_loop(run())


def test_small_chunks_are_taken() -> None:
    async def run() -> None:
        app = Reading()
        async with in_one_loop(app) as client:
            await client.send(CHUNKED)
            for _ in range(200):
                await client.send(b"1\r\nx\r\n" * 1000)
            await client.send(b"0\r\n\r\n")
            await until(lambda: app.bodies)
            assert app.bodies == [200_000]

    in_loop(run())


def test_the_rest_of_a_body_that_was_answered_before_has_an_end() -> None:
    async def run() -> None:
        async with in_one_loop(deaf) as client:
            await client.send(POST + b"Content-Length: 10000000000\r\n\r\n")
            assert b" 200 " in await client.read()
            for _ in range(11):
                assert client.is_open
                await client.send(b"x" * 100_000)
                await client.pass_seconds(1)
            assert not client.is_open
        async with in_one_loop(deaf) as client:
            await client.send(POST + b"Content-Length: 10000000000\r\n\r\n")
            for _ in range(REST_LIMIT // 10**6 + 1):
                await client.send(b"x" * 10**6)
            assert not client.is_open
        async with in_one_loop(deaf) as client:
            await client.send(POST + b"Content-Length: 1000000\r\n\r\n" + b"x" * 1_000_000 + GET + b"\r\n")
            assert (await client.read_answers(2)).count(b"HTTP/1.1 200 ") == 2

    in_loop(run())


def test_an_answer_that_nobody_reads_ends_after_thirty_seconds() -> None:
    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        while (await asyncio.wait_for(receive_now(receive), 60))["type"] != "http.disconnect":
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
        ends.append("disconnect")

    async def receive_now(receive: Receive) -> dict[str, str]:
        task = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        if task.done():
            return dict(task.result())
        task.cancel()
        return {"type": "nothing"}

    ends: list[str] = []

    async def run() -> None:
        async with in_one_loop(endless, buffer=4096) as client:
            await client.send(GET + b"\r\n")
            await until(lambda: client.protocol.flow.write_paused)
            assert client.protocol.transport.get_write_buffer_size() < 300_000
            await client.pass_seconds(30)
            assert client.is_open
            await client.pass_seconds(1)
            assert not client.is_open
            await until(lambda: ends)

    in_loop(run())


def test_an_answer_that_is_read_slowly_goes_on() -> None:
    async def run() -> None:
        async def large(scope: Scope, receive: Receive, send: Send) -> None:
            await reply(send, b"x" * 1_000_000)

        async with in_one_loop(large, buffer=4096) as client:
            await client.send(GET + b"\r\n")
            for number in range(100):
                await client.read(2500 * (number + 1))
                await client.pass_seconds(1)
            assert client.is_open
            await client.pass_seconds(31 + 150)
            assert not client.is_open

    in_loop(run())


@pytest.mark.parametrize("taken", [300_000, 3_000_000], ids=["some", "much"])
def test_who_takes_much_at_once_may_rest_for_a_while(taken: int) -> None:
    """As `curl --limit-rate` does; what was taken counts from the first byte, also before anything had to wait."""

    async def run() -> None:
        async def large(scope: Scope, receive: Receive, send: Send) -> None:
            await reply(send, b"x" * 20_000_000)

        seconds = min((taken - BY_ITSELF) // SLOWEST, CREDIT_SECONDS - UNREAD_SECONDS)
        async with in_one_loop(large, buffer=4096) as client:
            await client.send(GET + b"\r\n")
            await client.read(taken)
            await client.pass_seconds(UNREAD_SECONDS + seconds)
            assert client.is_open
            # What lies in the client's system was taken too.
            await client.pass_seconds(80)
            assert not client.is_open

    in_loop(run())


def test_a_finished_answer_that_stays_unread_does_not_keep_its_connection() -> None:
    """The app is done, and has closed; what it wrote waits."""

    async def run() -> None:
        async def large(scope: Scope, receive: Receive, send: Send) -> None:
            await reply(send, b"x" * 5_000_000, ((b"connection", b"close"),))

        async with in_one_loop(large, buffer=4096) as client:
            await client.send(GET + b"\r\n")
            await until(lambda: client.protocol.transport.is_closing())
            table = client.protocol._table
            await client.pass_seconds(30)
            assert len(table) == 1
            await client.pass_seconds(1)
            await until(lambda: len(table) == 0)

    in_loop(run())


def test_ten_thousand_requests_at_once_wait_in_the_socket() -> None:
    """A few are read ahead; those who read their answers get them all."""
    handled = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal handled
        handled += 1
        await reply(send, b"x" * 15_000)

    async def run() -> None:
        async with in_one_loop(app, buffer=4096) as client:
            flood = asyncio.create_task(client.send((GET + b"\r\n") * 10_000))
            await until(lambda: client.protocol.flow.write_paused)
            most = 0
            for _ in range(1000):
                await asyncio.sleep(0)
                most = max(most, len(client.protocol.pipeline))
            assert most < 20
            assert handled < 100
            assert client.protocol.transport.get_write_buffer_size() < 100_000
            await client.pass_seconds(31)
            assert not client.is_open
            await flood
        async with in_one_loop(app) as client:
            await client.send((GET + b"\r\n") * 1000)
            assert (await client.read_answers(1000)).count(b"HTTP/1.1 200 ") == 1000

    in_loop(run())


def test_what_is_wrong_behind_a_request_is_answered_behind_its_answer() -> None:
    async def run() -> None:
        app = Reading()
        app.go_on.clear()
        for wrong, status in ((b"what is this\r\n\r\n", b" 400 "), (GET + b"X: " + b"a" * 70_000, b" 431 ")):
            app.go_on.clear()
            async with in_one_loop(app) as client:
                await client.send(GET + b"\r\n" + wrong)
                await client.pass_seconds(20)
                app.go_on.set()
                first, second = (await client.read_all()).split(b"0 bytes")
                assert first.startswith(b"HTTP/1.1 200 ")
                assert status in second[:30]

    in_loop(run())


def test_half_a_head_behind_a_request_waits_for_its_answer() -> None:
    async def run() -> None:
        app = Reading()
        app.go_on.clear()
        async with in_one_loop(app) as client:
            await client.send(GET + b"\r\n" + GET)
            await client.pass_seconds(100)
            app.go_on.set()
            assert (await client.read()).endswith(b"0 bytes")
            await client.pass_seconds(11)
            assert b" 408 " in (await client.read_all()).partition(b"0 bytes")[2][:30]

    in_loop(run())


def test_all_requests_of_a_connection_hear_that_it_is_gone() -> None:
    async def run() -> None:
        app = Reading()
        app.go_on.clear()
        async with in_one_loop(app) as client:
            await client.send((POST + b"Content-Length: 1\r\n\r\nx") * 3)
            client.protocol.transport.abort()
            await until(lambda: not client.is_open)
            app.go_on.set()
            await until(lambda: app.ends)
            assert app.ends == ["http.disconnect"]

    in_loop(run())


def test_the_request_for_a_websocket_has_no_body(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        upgrade = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        for body in (b"Content-Length: 1000000000\r\n\r\nxxx", b"Transfer-Encoding: chunked\r\n\r\n"):
            async with in_one_loop(deaf) as client:
                await client.send(upgrade + body)
                assert (await client.read_all()).startswith(b"HTTP/1.1 400 ")

    in_loop(run())


def test_what_is_cut_is_in_the_log_with_its_address(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with in_one_loop(Reading()) as client:
            await client.send(POST + b"Content-Length: 1000\r\n\r\nhalf")
            await client.pass_seconds(11)
            await client.read_all()

    in_loop(run())
    assert caplog.messages == [f"A connection from 127.0.0.1 was ended: {LIMITS[Phase.BODY].words}"]


BROWSER = b"Host: localhost\r\nConnection: keep-alive\r\nSec-Fetch-Site: same-origin\r\n"
RIGHT = b"GET /healthz HTTP/1.1\r\n" + BROWSER + b"\r\n"


@pytest.mark.parametrize(
    "request_head",
    [
        RIGHT,
        b"HEAD /healthz HTTP/1.1\r\n" + BROWSER + b"\r\n",
        b"DELETE /tasks/1 HTTP/1.1\r\n" + BROWSER + b"\r\n",
        b"GET /healthz HTTP/1.0\r\n" + BROWSER + b"\r\n",
        b"GET http://elsewhere/healthz HTTP/1.1\r\n" + BROWSER + b"\r\n",
        RIGHT.replace(b"localhost", b"localhosT"),
        RIGHT.replace(b"localhost", b"elsewhere"),
        RIGHT.replace(b"same-origin", b"cross-site"),
        RIGHT.replace(BROWSER, BROWSER + b"X-Forwarded-For: 10.9.8.7\r\n"),
        RIGHT.replace(BROWSER, b"X-Forwarded-For: 10.9.8.7\r\n" + BROWSER),
        # A line more before the first that ends as it should.
        b"GET /healthz HTTP/1.1\nX-Forwarded-For: 10.9.8.7\r\n" + BROWSER + b"\r\n",
        b"GET /healthz HTTP/1.1\rX-Forwarded-For: 10.9.8.7\r\n" + BROWSER + b"\r\n",
        b"GET /healthz HTTP/1.1\r\nX-Forwarded-For: 10.9.8.7\n" + BROWSER + b"\r\n",
        b"GET /healthz HTTP/1.1\r\nX-Forwarded-For: HTTP/1.1\r\n" + BROWSER + b"\r\n",
        b"GET /healthz HTTP/1.1\r\nX-Forwarded-For: 10.9.8.7\r\nX-Any: is HTTP/1.1\r\n" + BROWSER + b"\r\n",
        b"\r\nGET /healthz HTTP/1.1\r\nVia: 1.1 elsewhere\r\n" + BROWSER + b"\r\n",
    ],
)
@pytest.mark.parametrize("pieces", [1, 2, 3])
def test_what_was_found_right_once_on_a_connection_lets_nothing_else_in(
    server: Server, request_head: bytes, pieces: int
) -> None:
    def status(before: int) -> bytes:
        with connected(server) as connection:
            for _ in range(before):
                connection.sendall(RIGHT)
                assert one_answer(connection).startswith(b"HTTP/1.1 200 ")
            size = -(-len(request_head) // pieces)
            # What cannot be right is refused before all of it has come.
            with contextlib.suppress(OSError):
                for begin in range(0, len(request_head), size):
                    connection.sendall(request_head[begin : begin + size])
                    # So it comes in as many pieces.
                    time.sleep(0.01 if pieces > 1 else 0)
            return connection.recv(65536).partition(b"\r\n")[0]

    assert status(before=3) == status(before=0)


def test_a_head_that_was_refused_is_refused_again(server: Server) -> None:
    refused = RIGHT.replace(b"same-origin", b"cross-site")
    with connected(server) as connection:
        for head, status in ((refused, b"403"), (RIGHT, b"200"), (refused, b"403"), (RIGHT, b"200"), (RIGHT, b"200")):
            connection.sendall(head)
            assert answer_of(connection).startswith(b"HTTP/1.1 " + status)
