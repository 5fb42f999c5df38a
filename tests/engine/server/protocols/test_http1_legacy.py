"""Requests that ask for another protocol keep their body; answers of HTTP/1.0 come without chunks."""

import re
import socket
from collections.abc import Iterator

import pytest

from tests.engine.conftest import PATIENCE, Server

FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
NEXT = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
UPGRADES = {
    "h2c": b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
    "anything": b"Connection: keep-alive, upgrade\r\nUpgrade: TLS/1.3, example/2\r\n",
}


def asked(server: Server, *pieces: bytes, answers: int = 1) -> list[bytes]:
    """The answers to a request that is sent in pieces, in one connection."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
        for piece in pieces:
            connection.sendall(piece)
        read = b""
        while read.count(b"HTTP/1.1 ") < answers or not complete(read):
            more = connection.recv(65536)
            if not more:
                break
            read += more
    return [b"HTTP/1.1 " + answer for answer in read.split(b"HTTP/1.1 ")[1:]]


def complete(read: bytes) -> bool:
    """Whether the last answer, whose length is given, is there."""
    head, end, body = read[read.rfind(b"HTTP/1.1 ") :].partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    return bool(end) and length is not None and len(body) == int(length[1])


@pytest.mark.parametrize("upgrade", UPGRADES)
@pytest.mark.parametrize("how", ["with its length", "in chunks"])
@pytest.mark.parametrize("cut", [0, 1, 20])
def test_a_request_that_asks_for_another_protocol_keeps_its_body(
    server: Server, upgrade: str, how: str, cut: int
) -> None:
    title = f"asked for {upgrade} {how}, cut {cut}"
    body = b"title=" + title.encode().replace(b" ", b"+")
    length = b"Content-Length: %d\r\n" % len(body) if how == "with its length" else b"Transfer-Encoding: chunked\r\n"
    head = b"POST /tasks HTTP/1.1\r\nHost: localhost\r\n" + UPGRADES[upgrade] + FORM + length + b"\r\n"
    sent = body if how == "with its length" else b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    pieces = [head, sent[:cut], sent[cut:] + NEXT] if cut else [head + sent + NEXT]
    first, second = asked(server, *pieces, answers=2)
    assert first.startswith(b"HTTP/1.1 303 ")
    assert second.startswith(b"HTTP/1.1 200 ")
    assert [row["title"] for row in server.sql("SELECT title FROM tasks")] == [title]


def test_what_stands_in_such_a_body_is_no_request(server: Server) -> None:
    """Whoever passes on a request like this counts it as one."""
    body = b"title=x&notes=" + b"DELETE /tasks/1 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    head = b"POST /tasks HTTP/1.1\r\nHost: localhost\r\n" + UPGRADES["h2c"] + FORM
    first, second = asked(server, head + b"Content-Length: %d\r\n\r\n" % len(body), body, NEXT, answers=2)
    assert (first[:13], second[:13]) == (b"HTTP/1.1 303 ", b"HTTP/1.1 200 ")


def test_the_request_behind_one_that_asks_for_another_protocol_is_answered(server: Server) -> None:
    head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + UPGRADES["h2c"] + b"\r\n"
    assert [answer[:13] for answer in asked(server, head + head + NEXT, answers=3)] == [b"HTTP/1.1 200 "] * 3


def test_a_socket_is_opened_as_before_and_only_without_a_body(server: Server) -> None:
    head = b"POST /tasks HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    (answer,) = asked(server, head + b"Content-Length: 1\r\n\r\nx")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"\r\ncache-control: no-store\r\n" in answer


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, bytes]]:
    """A server that a proxy may speak to, as nginx does it after a bare `proxy_pass`; and the cookie of a session."""
    server = Server(tmp_path_factory.mktemp("proxied") / "data", "--proxy-headers")
    token = b"token=" + (server.data / "token").read_bytes().strip()
    head = b"POST /sign-in HTTP/1.1\r\nHost: localhost\r\n" + FORM + b"Content-Length: %d\r\n\r\n" % len(token)
    (answer,) = asked(server, head + token)
    found = re.search(rb"set-cookie: ([^;]+)", answer)
    assert found
    yield server, found[1]
    server.stop()


@pytest.mark.parametrize("connection", [b"", b"Connection: keep-alive\r\n"])
@pytest.mark.parametrize("path", [b"/export.csv", b"/export.json", b"/export.db", b"/tasks", b"/healthz", b"/none"])
def test_an_answer_of_http_1_0_has_its_length_or_ends_with_the_connection(
    proxied: tuple[Server, bytes], path: bytes, connection: bytes
) -> None:
    server, cookie = proxied
    rest = b"Host: localhost\r\nCookie: %s\r\n%s\r\n" % (cookie, connection)
    (old,) = asked(server, b"GET " + path + b" HTTP/1.0\r\n" + rest, answers=2)
    head, _, body = old.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert b"connection: close" in head
    length = re.search(rb"content-length: (\d+)", head)
    assert length is None or len(body) == int(length[1])
    assert (length is None) == path.startswith((b"/export.csv", b"/export.json"))
    assert body.startswith({b"/export.csv": b"\xef\xbb\xbfid,", b"/export.json": b"[\n]"}.get(path, b""))


@pytest.mark.parametrize(
    "request_line",
    [b"GET /healthz", b"GET /none", b"DELETE /none", b"PUT /tasks", b"GET /tasks/1", b"GET /%ff", b"POST /tasks", b"x"],
)
def test_health_and_errors_are_kept_by_nobody(server: Server, request_line: bytes) -> None:
    (answer,) = asked(server, request_line + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
    assert answer.lower().count(b"cache-control: no-store\r\n") == 1, answer
    (answer,) = asked(server, request_line + b" HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\n\r\n")
    assert answer.lower().count(b"cache-control: no-store\r\n") == 1, answer
