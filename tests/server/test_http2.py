"""HTTP/2 and HTTP/1.1 on one port, over TLS, on a real Uvicorn; curl and h2load are the clients."""

import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
import zttp
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.sync.client import connect

from server.tls import Certificate, certificate
from tests.conftest import Server


async def told(request: Request) -> PlainTextResponse:
    """Which version of HTTP it was, for which hosts, and how much came: the body is read to its end."""
    size = len(await request.body())
    return PlainTextResponse(f"{request.scope['http_version']} {request.headers.getlist('host')} {size}")


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate(tmp_path_factory.mktemp("http2") / "tls", ("localhost",))


@pytest.fixture(scope="module")
def port(files: Certificate) -> Iterator[int]:
    """The port of a real server."""
    app = Starlette(routes=[Route("/", told, methods=["GET", "POST"]), WebSocketRoute("/echo", echo)])
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(
            app,
            http="server.http2:EitherProtocol",
            ws="websockets-sansio",
            lifespan="off",
            timeout_keep_alive=1,
            log_config=None,
            ssl_certfile=files.cert,
            ssl_keyfile=files.key,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def curl(port: int, files: Certificate, *options: str) -> str:
    """What curl prints, to which every certificate but ours is wrong."""
    if not shutil.which("curl"):
        pytest.skip("no curl on this machine")
    if "HTTP2" not in subprocess.run(["curl", "--version"], capture_output=True, text=True).stdout:
        pytest.skip("this curl speaks no HTTP/2")
    command = ["curl", "-sS", "--noproxy", "*", "--max-time", "20", "--cacert", str(files.ca), *options]
    ran = subprocess.run([*command, f"https://localhost:{port}/"], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.parametrize(("option", "version"), [("--http2", "2"), ("--http1.1", "1.1")])
def test_a_request_is_answered_in_the_version_that_was_agreed_on(
    port: int, files: Certificate, tmp_path: Path, option: str, version: str
) -> None:
    """The app reads the body to its end, which a request without one has reached with its head."""
    host = f"['localhost:{port}']"
    assert curl(port, files, option) == f"{version} {host} 0"
    assert curl(port, files, option, "-d", "title=milk") == f"{version} {host} 10"
    (tmp_path / "large").write_bytes(bytes(20_000_000))
    large = ("--data-binary", f"@{tmp_path / 'large'}")
    assert curl(port, files, option, *large) == f"{version} {host} 20000000"


def test_a_websocket_comes_over_http_1_on_the_same_port(port: int, files: Certificate) -> None:
    context = ssl.create_default_context(cafile=files.ca)
    context.set_alpn_protocols(["http/1.1"])
    with connect(f"wss://localhost:{port}/echo", ssl=context, proxy=None) as websocket:
        websocket.send("hello")
        assert websocket.recv(timeout=10) == "hello"


def h2(port: int, files: Certificate) -> ssl.SSLSocket:
    """A connection on which HTTP/2 was agreed, and nothing said yet."""
    context = ssl.create_default_context(cafile=files.ca)
    context.set_alpn_protocols(["h2"])
    connection = context.wrap_socket(socket.create_connection(("127.0.0.1", port), 10), server_hostname="localhost")
    assert connection.selected_alpn_protocol() == "h2"
    return connection


def test_a_client_that_says_nothing_is_let_go(port: int, files: Certificate) -> None:
    with h2(port, files) as connection, connection.makefile("rb") as file:
        assert file.read()  # Ends when the server closes.


def test_a_path_of_other_bytes_ends_its_stream_only(
    port: int, files: Certificate, caplog: pytest.LogCaptureFixture
) -> None:
    client = zttp.Connection(zttp.CLIENT, protocol=zttp.HTTP2)
    host = [(b"host", f"localhost:{port}".encode())]
    with h2(port, files) as connection:
        for path in (b"/\xff", b"/"):
            client.send_request(b"GET", path, b"2", host).end_message()
        connection.sendall(client.data_to_send())
        events: list[object] = []
        while not any(isinstance(event, zttp.Response) for event in events):
            client.receive_data(connection.recv(65536))
            events += iter(client.next_event, zttp.NEED_DATA)
    assert [type(event) for event in events if isinstance(event, zttp.RstStream | zttp.Response)] == [
        zttp.RstStream,
        zttp.Response,
    ]
    assert caplog.records == []


@pytest.mark.slow
def test_many_streams_at_once_are_all_answered(port: int) -> None:
    if shutil.which("h2load") is None:
        pytest.skip("no h2load on this machine: install the system's package `nghttp2-client`")
    ran = subprocess.run(
        ["h2load", "-n", "5000", "-c", "10", "-m", "20", f"https://localhost:{port}/"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert re.search(r"5000 succeeded, 0 failed, 0 errored, 0 timeout", ran.stdout), ran.stdout


def test_the_command_line_turns_it_on(tmp_path: Path) -> None:
    if not shutil.which("curl"):
        pytest.skip("no curl on this machine")
    server = Server(tmp_path / "data", "--tls", "--http2")
    try:
        authority = server.data / "tls" / "ca.pem"
        for option, version in (("--http2", "2"), ("--http1.1", "1.1")):
            shown = subprocess.run(
                ["curl", "-sS", option, "--cacert", authority, "-w", "%{http_version}", "-o", os.devnull, server.url],
                capture_output=True,
                text=True,
                timeout=20,
            )
            assert (shown.stdout, shown.stderr) == (version, "")
    finally:
        assert server.stop() == 0
