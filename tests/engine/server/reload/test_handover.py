"""A reload as those see it who are connected: nobody is refused, cut off or answered twice."""

import asyncio
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError
from websockets.frames import CloseCode, Opcode
from websockets.frames import Frame as WebSocketFrame

from tests.engine.reloading import PATIENCE, Checkout, until
from tests.engine.watching import Follower, handshake, watching

NEWS = '{"reload": "code"}'
PROBE = b"GET /probe HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A server that follows its code."""
    checkout = Checkout(tmp_path_factory.mktemp("handover")).start()
    yield checkout
    if checkout.process.poll() is None:
        assert checkout.end() == 0
    checkout.end_anyhow()
    assert "Traceback" not in checkout.printed()


def connected(running: Checkout) -> socket.socket:
    """A connection to the server."""
    address = urlsplit(running.url)
    return socket.create_connection((address.hostname, address.port or 80), timeout=PATIENCE)


def answer(connection: socket.socket, got: bytes = b"", status: int = 200) -> tuple[str, bytes]:
    """The body of one answer, and what came behind it."""
    while b"\r\n\r\n" not in got:
        got += _more(connection)
    head, _, rest = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), head
    names = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    if b"content-length" in names:
        length = int(names[b"content-length"])
        while len(rest) < length:
            rest += _more(connection)
        return rest[:length].decode(), rest[length:]
    pieces = []
    while True:
        while b"\r\n" not in rest:
            rest += _more(connection)
        size, _, rest = rest.partition(b"\r\n")
        while len(rest) < int(size, 16) + 2:
            rest += _more(connection)
        pieces.append(rest[: int(size, 16)])
        rest = rest[int(size, 16) + 2 :]
        if int(size, 16) == 0:
            return b"".join(pieces).decode(), rest


def _more(connection: socket.socket) -> bytes:
    more = connection.recv(1024 * 1024)
    assert more, "the connection was closed"
    return more


def ask(connection: socket.socket) -> str:
    """Which edition answers on a connection."""
    connection.sendall(PROBE)
    body, rest = answer(connection)
    assert rest == b""
    return body.rpartition(" ")[0]


def test_once_a_page_is_told_nobody_is_answered_by_the_old_code(running: Checkout) -> None:
    """Not on a connection that was used, nor on one that was not, nor on one that was just accepted."""

    async def told() -> None:
        async with connect(running.url.replace("http", "ws") + "/live") as socket:
            publishing = asyncio.create_task(asyncio.to_thread(running.publish))
            async with asyncio.timeout(PATIENCE):
                await socket.wait_closed()
            late.append(connected(running))
            answered.extend([await asyncio.to_thread(ask, each) for each in (*late, used, unused)])
            new.append(await publishing)

    with connected(running) as used, connected(running) as unused:
        ask(used)
        for _ in range(3):
            late: list[socket.socket] = []
            answered: list[str] = []
            new: list[str] = []
            asyncio.run(told())
            assert answered == new * 3
            late[0].close()


@pytest.mark.slow
def test_what_was_begun_is_finished_by_the_old_code_however_slowly_and_the_connection_goes_on(
    running: Checkout,
) -> None:
    old = running.publish()
    with connected(running) as head, connected(running) as body, connected(running) as stream:
        head.sendall(PROBE[:20])
        body.sendall(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n12345")
        stream.sendall(b"GET /stream?pieces=45 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        stream.recv(100, socket.MSG_PEEK)
        new = running.publish()
        # Longer than a server takes to end.
        streamed, rest = answer(stream)
        assert streamed.endswith(f"44\n{old}")
        assert rest == b""
        body.sendall(b"67890")
        assert answer(body) == (f"{old} 10", b"")
        head.sendall(PROBE[20:])
        assert answer(head)[0].startswith(old)
        for connection in (head, body, stream):
            assert ask(connection) == new


def test_the_rest_of_a_request_that_was_answered_early_is_not_taken_for_another(running: Checkout) -> None:
    with connected(running) as connection:
        connection.sendall(b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n12345")
        answer(connection, status=404)
        edition = running.publish()
        connection.sendall(b"67890")
        ask(connection)
        assert ask(connection) == edition


def test_pipelined_requests_are_all_answered_in_their_order(running: Checkout) -> None:
    with connected(running) as connection:
        connection.sendall(b"GET /stream?pieces=10 HTTP/1.1\r\nHost: localhost\r\n\r\n" + PROBE * 3 + PROBE[:30])
        connection.recv(100, socket.MSG_PEEK)
        edition = running.publish()
        streamed, rest = answer(connection)
        assert streamed.count("\n") == 10
        for _ in range(3):
            body, rest = answer(connection, rest)
            assert body.startswith("edition")
        connection.sendall(PROBE[30:])
        assert answer(connection, rest)[1] == b""
        assert ask(connection) == edition


def test_who_reads_slowly_gets_all_of_it(running: Checkout) -> None:
    large = "a" * 20_000_000
    running.path("static/large.txt").write_text(large, encoding="utf-8")
    with connected(running) as connection:
        connection.sendall(b"GET /static/large.txt HTTP/1.1\r\nHost: localhost\r\n\r\n")
        connection.recv(100, socket.MSG_PEEK)
        edition = running.publish()
        body, rest = answer(connection)
        assert (body == large, rest) == (True, b"")
        assert ask(connection) == edition


def test_a_connection_that_came_just_before_goes_on_too(running: Checkout) -> None:
    """Editions that follow each other as fast as they start: connections are passed on to one that passes them on."""
    with connected(running) as old:
        connections = [old]
        for _ in range(4):
            running.publish()
            connections.append(connected(running))
        edition = running.publish()
        assert [ask(connection) for connection in connections] == [edition] * 5
        for connection in connections:
            connection.close()


def test_no_request_fails_while_editions_change(running: Checkout) -> None:
    failures: list[str] = []
    seen: set[str] = set()
    answered = [0] * 4
    ending = threading.Event()
    address = urlsplit(running.url).netloc

    def read_and_write(number: int, stays: bool) -> None:
        connection = http.client.HTTPConnection(address, timeout=PATIENCE)
        while not ending.wait(0.002):
            try:
                connection.request("POST", "/echo", body=b"x" * 10_000)
                words = connection.getresponse().read().decode()
                connection.request("GET", "/probe")
                seen.add(connection.getresponse().read().decode().rpartition(" ")[0])
                answered[number] += 1
                if not words.endswith(" 10000"):
                    failures.append(words)
                if not stays:
                    connection.close()
            except (OSError, http.client.HTTPException) as error:
                failures.append(repr(error))
                connection.close()
        connection.close()

    asking = [threading.Thread(target=read_and_write, args=(number, number % 2 == 0)) for number in range(4)]
    for thread in asking:
        thread.start()
    try:
        editions = {running.publish() for _ in range(4)}
        before = list(answered)
        until(lambda: all(now > then for now, then in zip(answered, before, strict=True)), "all go on")
    finally:
        ending.set()
        for thread in asking:
            thread.join()
    assert failures == []
    assert editions <= seen


def test_a_websocket_is_told_that_the_service_restarts(running: Checkout) -> None:
    async def listen() -> int | None:
        async with connect(running.url.replace("http", "ws") + "/live") as socket:
            await asyncio.to_thread(running.publish)
            async with asyncio.timeout(PATIENCE):
                await socket.wait_closed()
            return socket.close_code

    assert asyncio.run(listen()) == 1012


def test_the_socket_of_a_page_goes_on_and_brings_what_other_code_draws(running: Checkout) -> None:
    tasks = running.path("templates/tasks.py")
    source = tasks.read_text(encoding="utf-8")
    with Follower(running.url) as page:
        page.watch(("tasks", "/tasks", None))
        page.until_text("No tasks yet.")
        for words in ("Nothing to do.", "No tasks yet."):
            tasks.write_text(source.replace("No tasks yet.", words), encoding="utf-8")
            assert page.socket.recv(timeout=PATIENCE) == NEWS
            page.until_text(words)


def test_a_page_in_the_middle_of_a_word_has_to_come_again(running: Checkout) -> None:
    with connected(running) as connection:
        connection.sendall(handshake(urlsplit(running.url).netloc))
        got = _more(connection)
        shown = watching(("tasks", "/tasks", None)).encode()
        connection.sendall(WebSocketFrame(Opcode.TEXT, shown).serialize(mask=True))
        while b"</hx-partial>" not in got:
            got += _more(connection)
        connection.sendall(WebSocketFrame(Opcode.TEXT, b"{}").serialize(mask=True)[:3])
        running.publish()
        while not got.endswith(b"\x88\x02" + CloseCode.SERVICE_RESTART.to_bytes(2, "big")):
            got += _more(connection)


OTHERS = [
    ("app/main.py", 'WebSocketRoute("/live"', 'WebSocketRoute("/alive"'),
    ("server/protocols/websocket.py", "client_no_context_takeover=True", "client_no_context_takeover=False"),
]


@pytest.mark.parametrize(("name", "old", "new"), OTHERS, ids=["not accepted", "compressed in another way"])
def test_who_would_be_answered_otherwise_by_the_new_code_is_cut_off(
    running: Checkout, name: str, old: str, new: str
) -> None:
    path = running.path(name)
    source = path.read_text(encoding="utf-8")
    with Follower(running.url) as page:
        page.watch(("tasks", "/tasks", None))
        page.next()
        path.write_text(source.replace(old, new), encoding="utf-8")
        with pytest.raises(ConnectionClosedError):
            list(page.socket)
    path.write_text(source, encoding="utf-8")
    running.publish()


@pytest.mark.slow
def test_over_https_too(tmp_path: Path, running: Checkout) -> None:
    """Connections end after their answer there: the keys to them are in the process that goes."""
    checkout = Checkout(tmp_path, beside=running).start("--reload", "--tls")
    authority = checkout.data / "tls" / "ca.pem"
    trust = ssl.create_default_context(cafile=authority)

    async def listen() -> int | None:
        async with connect(checkout.url.replace("http", "ws") + "/live", ssl=trust) as socket:
            await asyncio.to_thread(checkout.publish)
            async with asyncio.timeout(PATIENCE):
                await socket.wait_closed()
            return socket.close_code

    for _ in range(3):
        # Each time another: who asks while an idle connection ends would have to ask again, as browsers do.
        with checkout.client(verify=trust) as client:
            assert client.get("/tasks").status_code == 200
            assert asyncio.run(listen()) == 1012
    assert checkout.end() == 0
    assert "Traceback" not in checkout.printed()


def test_the_old_one_goes_when_it_is_done(running: Checkout) -> None:
    running.publish()
    # The supervisor, where workers come from, the worker, and the one that waits.
    until(lambda: len(running.processes()) == 4, "one worker is left")
