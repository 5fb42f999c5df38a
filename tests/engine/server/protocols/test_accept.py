"""Connections are accepted, or not, before anything is said on them."""

import contextlib
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from server.protocols import accept, connection_table
from server.protocols.accept import AcceptingServer, Acceptor
from server.protocols.connection_table import Bounds, Doing, connections_of
from server.sharing.certificate import Certificate, certificate
from tests.engine.faults.wire import read

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
LOOPS = ["asyncio", "uvloop"]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate(tmp_path_factory.mktemp("accepting") / "tls", ("localhost",))


@contextlib.contextmanager
def serving(loop: str = "asyncio", files: Certificate | None = None) -> Iterator[tuple[AcceptingServer, int]]:
    """A server in a thread, and its port."""
    config = uvicorn.Config(
        app,
        http="server.protocols.http1:HttpProtocol",
        ws="none",
        loop=loop,  # type: ignore[arg-type]
        lifespan="off",
        log_config=None,
        ssl_certfile=files and files.cert,
        ssl_keyfile=files and files.key,
    )
    server = AcceptingServer(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield server, listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def wait_for(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def ask(connection: socket.socket) -> int:
    connection.settimeout(20)
    connection.sendall(GET)
    return read(connection).status


@pytest.mark.parametrize("loop", LOOPS)
def test_who_comes_is_served(loop: str) -> None:
    with serving(loop) as (_, port):
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", port)) as connection:
                assert ask(connection) == 200


@pytest.mark.parametrize("loop", LOOPS)
def test_a_handshake_that_does_not_come_is_not_waited_for(
    loop: str, files: Certificate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(accept, "HANDSHAKE_SECONDS", 0.3)
    with serving(loop, files) as (server, port):
        for begun in (b"", b"\x16\x03\x01"):
            with socket.create_connection(("127.0.0.1", port), 20) as connection:
                connection.sendall(begun)
                assert read(connection).text == ""
        with socket.create_connection(("127.0.0.1", port), 20) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert read(connection).status == 0
        context = ssl.create_default_context(cafile=files.ca)
        with context.wrap_socket(
            socket.create_connection(("127.0.0.1", port), 20), server_hostname="localhost"
        ) as connection:
            assert ask(connection) == 200
        wait_for(lambda: len(connections_of(server.server_state)) == 0)
    said = [message.partition(": ")[2] for message in caplog.messages if "was ended" in message]
    assert said == ["the handshake of TLS did not come within 10 seconds", "the handshake of TLS failed"]


@pytest.mark.parametrize("loop", LOOPS)
def test_a_client_that_does_not_close_its_side_is_not_waited_for(
    loop: str, files: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does the handshake, asks, and never answers the closing of the server."""
    monkeypatch.setattr(accept, "SHUTDOWN_SECONDS", 0.3)
    context = ssl.create_default_context(cafile=files.ca)
    arrived, leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(arrived, leaving, server_hostname="localhost")
    with serving(loop, files) as (_, port), socket.create_connection(("127.0.0.1", port), 20) as connection:
        for step in (client.do_handshake, lambda: client.write(GET)):
            while True:
                try:
                    step()
                except ssl.SSLWantReadError:
                    connection.sendall(leaving.read())
                    arrived.write(connection.recv(65536))
                else:
                    connection.sendall(leaving.read())
                    break
        began = time.monotonic()
        read(connection)
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("loop", LOOPS)
def test_a_handshake_makes_room_for_others(
    loop: str, files: Certificate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Nobody goes in this test because of its own time.
    monkeypatch.setattr(accept, "HANDSHAKE_SECONDS", 300)
    monkeypatch.setattr(connection_table, "TICK_SECONDS", 0.1)
    with serving(loop, files) as (server, port), contextlib.ExitStack() as stack:
        table = connections_of(server.server_state)
        table.most = Bounds(10, 10, 4, 4)
        silent = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 20)) for _ in range(8)]
        wait_for(lambda: len(table) == 8 and all(each.doing == Doing.SLOW for each in table._standings()))
        context = ssl.create_default_context(cafile=files.ca)
        last = socket.create_connection(("127.0.0.1", port), 20)
        with context.wrap_socket(last, server_hostname="localhost") as connection:
            assert ask(connection) == 200
        assert read(silent[0]).text == ""
        wait_for(lambda: len(table) == 3)
    assert "it made room for others" in caplog.text


def test_who_cannot_be_taken_is_told_when_to_come_again(caplog: pytest.LogCaptureFixture) -> None:
    with serving() as (server, port):
        table = connections_of(server.server_state)
        table.most = Bounds(0, 0, 0, 0)
        table._look_above = 0
        with socket.create_connection(("127.0.0.1", port), 20) as connection:
            answer = read(connection)
    assert answer.status == 503
    assert "retry-after: 5\r\n" in answer.text
    head, _, body = answer.text.partition("\r\n\r\n")
    assert f"content-length: {len(body)}" in head
    assert "there was no room for it" in caplog.text


@pytest.mark.parametrize("loop", LOOPS)
def test_a_full_table_of_files_is_logged_once_and_the_server_goes_on(
    loop: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    resource = pytest.importorskip("resource", reason="no limits of this kind on this system")
    monkeypatch.setattr(accept, "PAUSE_SECONDS", 0.05)
    pauses: list[OSError] = []
    pause = Acceptor._pause
    monkeypatch.setattr(Acceptor, "_pause", lambda self, error: (pauses.append(error), pause(self, error)))
    caplog.set_level(logging.WARNING)
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with serving(loop) as (_, port), contextlib.ExitStack() as stack:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            assert ask(connection) == 200
        clients = [stack.enter_context(socket.socket()) for _ in range(20)]
        highest = max(client.fileno() for client in clients)
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, most))
        try:
            for client in clients:
                client.connect(("127.0.0.1", port))
            wait_for(lambda: len(pauses) > 3)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, most))
        for client in clients:
            client.settimeout(20)
        assert [ask(client) for client in clients[-3:]] == [200, 200, 200]
    full = [message for message in caplog.messages if "can be accepted" in message]
    assert len(full) == 1, caplog.messages
    assert "Too many open files" in full[0]
    assert "ulimit -n" in full[0]
    assert caplog.messages.count("Connections are accepted again.") == 1


def test_a_server_that_ends_accepts_nobody_and_leaves_no_file(tmp_path: Path) -> None:
    before = psutil.Process().num_fds()
    with serving() as (_, port):
        pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)
    assert psutil.Process().num_fds() == before
