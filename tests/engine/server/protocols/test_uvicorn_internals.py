"""Kept answers on the wire: on a real Uvicorn they are, byte for byte, what its own way would make of them."""

import http.client
import io
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.fragments import FragmentCache, fragment
from server.protocols import uvicorn_internals

BODY = "kept " * 2000
KEPT = b"GET /kept HTTP/1.1\r\nHost: a\r\n\r\n"


@fragment
async def kept(request: Request) -> PlainTextResponse:
    return PlainTextResponse(BODY, headers={"x-one": "1"})


async def told(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"{request.method} {len(await request.body())}")


class Labels:
    """A middleware as people put it around an app: each answer gets a header."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_labelled(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-label", b"yes")]
            await send(message)

        await self.app(scope, receive, send_labelled if scope["path"] == "/labelled" else send)


class Served:
    """A real Uvicorn in a thread, on a port of loopback."""

    def __init__(self, http: str) -> None:
        routes = [Route(path, kept, methods=["GET"]) for path in ("/kept", "/labelled")]
        app = Starlette(routes=[*routes, Route("/told", told, methods=["POST"])])
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        cached = Labels(FragmentCache(app, lambda: 0, session_cookie="session"))
        config = uvicorn.Config(cached, http=http, lifespan="off", log_config=None, log_level="warning")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listening]})
        self.thread.start()

    def end(self) -> None:
        self.server.should_exit = True
        self.thread.join()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def ask(self, *requests: bytes) -> bytes:
        """All that comes for requests that go out at once, until the server closes: the last one asks for that."""
        with self.connect() as connection:
            connection.sendall(b"".join(requests))
            return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.fixture(scope="module", params=["server.protocols.http1:HttpProtocol", "httptools"])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    served = Served(request.param)
    yield served
    served.end()


@pytest.fixture
def finished(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each kept answer went out in one piece."""
    finished: list[bool] = []
    write = uvicorn_internals.write

    def noted(*arguments: Any) -> bool:
        finished.append(write(*arguments))
        return finished[-1]

    monkeypatch.setattr(uvicorn_internals, "write", noted)
    return finished


def one(connection: socket.socket) -> bytes:
    """One whole answer with BODY."""
    got = b""
    while not got.endswith(BODY[-200:].encode()) or len(got) < len(BODY):
        piece = connection.recv(65536)
        assert piece, got[:500]
        got += piece
    return got


def undated(answer: bytes) -> bytes:
    return re.sub(rb"date: [^\r]+", b"date: now", answer)


def test_a_kept_answer_is_the_same_bytes_as_the_first(served: Served, finished: list[bool]) -> None:
    with served.connect() as connection:
        made = []
        for _ in range(3):
            connection.sendall(KEPT.replace(b"/kept", b"/kept?same"))
            made.append(undated(one(connection)))
    assert made[0].startswith(b"HTTP/1.1 200 OK\r\ndate: ")
    assert made[0] == made[1] == made[2]
    assert finished == [True, True], "the first is made by the app"


@pytest.mark.parametrize(
    ("request_", "status", "has_body"),
    [
        (b"HEAD /kept HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200, False),
        (b"GET /kept HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200, True),
        (b"GET /kept HTTP/1.0\r\nHost: a\r\n\r\n", 200, True),
        (b"GET /kept HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\nConnection: close\r\n\r\n", 304, False),
        (b'GET /kept HTTP/1.1\r\nHost: a\r\nIf-None-Match: "x"\r\nConnection: close\r\n\r\n', 200, True),
    ],
)
def test_what_ends_the_connection_or_has_no_body_goes_the_usual_way(
    served: Served, finished: list[bool], request_: bytes, status: int, has_body: bool
) -> None:
    served.ask(KEPT, request_)
    finished.clear()
    head, _, body = served.ask(request_).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert body == (BODY.encode() if has_body else b"")
    assert not any(finished)


def test_a_middleware_around_the_app_sees_every_answer(served: Served, finished: list[bool]) -> None:
    with served.connect() as connection:
        for _ in range(2):
            connection.sendall(KEPT.replace(b"/kept", b"/labelled"))
            assert b"x-label: yes" in one(connection)
    assert finished == [False]


# Each with its method, what is to come back, and whether its body is.
REQUESTS = {
    KEPT: ("GET", 200, BODY),
    b"HEAD /kept HTTP/1.1\r\nHost: a\r\n\r\n": ("HEAD", 200, ""),
    b"GET /kept HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\n\r\n": ("GET", 304, ""),
    b"POST /told HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello": ("POST", 200, "POST 5"),
    b"GET /kept HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc": ("GET", 200, BODY),
    b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n": ("GET", 404, "Not Found"),
}


class _Stream(io.BytesIO):
    """What came, as http.client reads it: one answer after the other."""

    def makefile(self, mode: str) -> "_Stream":
        return self

    def close(self) -> None:
        """Stay open for the next answer."""


@settings(max_examples=30)
@given(requests=st.lists(st.sampled_from(sorted(REQUESTS)), max_size=12))
def test_answers_come_whole_and_in_the_order_of_the_requests(served: Served, requests: list[bytes]) -> None:
    last = b"GET /none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    stream = _Stream(served.ask(*requests, last))
    for request in requests:
        method, status, body = REQUESTS[request]
        answer = http.client.HTTPResponse(stream, method=method)  # type: ignore[arg-type]
        answer.begin()
        assert (answer.status, answer.read().decode()) == (status, body)
    answer = http.client.HTTPResponse(stream)  # type: ignore[arg-type]
    answer.begin()
    assert (answer.status, answer.read()) == (404, b"Not Found")
    assert stream.read() == b""


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"content-length", b"3")],
        [(b"content-length", b"4"), (b"content-length", b"4")],
        [(b"content-length", b"4"), (b"connection", b"close")],
        [(b"transfer-encoding", b"chunked")],
        [(b"content-length", b"4"), (b"x-two", b"1\r\nset-cookie: a=b")],
        [(b"content-length", b"4"), (b"x two", b"1")],
    ],
    ids=lambda headers: " ".join(str(value) for _, value in headers) or "no length",
)
def test_a_head_that_only_the_server_can_write_is_left_to_it(headers: list[tuple[bytes, bytes]]) -> None:
    assert uvicorn_internals.head_of([(b"content-type", b"text/html"), *headers], b"body") is None


def test_a_head_is_the_lines_of_its_headers() -> None:
    assert uvicorn_internals.head_of([(b"Content-Length", b"4"), (b"x-one", b"1")], b"body") == (
        b"Content-Length: 4\r\nx-one: 1\r\n\r\n"
    )
