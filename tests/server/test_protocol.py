"""The head of a request over a real socket: it has a size and a time, and the answer says so."""

import contextlib
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from starlette.types import Receive, Scope, Send
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.sync.client import connect

from server import protocol
from server.protocol import HEAD_LIMIT, HEAD_SECONDS
from server.wire import Frame
from tests.conftest import Server
from tests.watching import serving

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
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.1)

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
