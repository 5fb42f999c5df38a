"""HTTP/2 and HTTP/1.1 on one port, over TLS, on a real Uvicorn; curl and h2load are the clients."""

import asyncio
import contextlib
import os
import re
import shutil
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest
import uvicorn
import zttp
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from websockets.sync.client import connect

from server.guard.middleware import ADMITTED
from server.protocols import connection_table
from server.protocols.connection_table import Doing
from server.protocols.deadlines import (
    BY_ITSELF,
    CREDIT_SECONDS,
    SLOWEST,
    UNREAD_SECONDS,
)
from server.protocols.http2 import ROOM, Http2Protocol
from server.protocols.http2_frames import (
    CONTINUATION,
    DATA,
    HEADERS,
    WINDOW_UPDATE,
)
from server.sharing.certificate import Certificate, certificate
from tests.engine.conftest import Server
from tests.engine.h2 import END_STREAM, GET, HOST, PING, RST_STREAM, SETTINGS, Events, frame, get, hello, post
from tests.engine.ticking import Client, connected, in_loop, until


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
            http="server.protocols.http2:EitherProtocol",
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
    if "HTTP2" not in subprocess.run(["curl", "--version"], capture_output=True, encoding="utf-8").stdout:
        pytest.skip("this curl speaks no HTTP/2")
    command = ["curl", "-sS", "--noproxy", "*", "--max-time", "20", "--cacert", str(files.ca), *options]
    ran = subprocess.run([*command, f"https://localhost:{port}/"], capture_output=True, encoding="utf-8")
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


def test_a_client_that_says_nothing_is_let_go(port: int, files: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_table, "TICK_SECONDS", 0.05)
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
        encoding="utf-8",
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
                encoding="utf-8",
                timeout=20,
            )
            assert (shown.stdout, shown.stderr) == (version, "")
    finally:
        assert server.stop() == 0


class Reading:
    """An app that reads the whole body and answers; it sees what happens to its requests."""

    def __init__(self, answer: bytes = b"ok", pieces: int = 1) -> None:
        self.answer = answer
        self.pieces = pieces
        self.ends: list[str] = []
        self.sent = 0
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[ADMITTED] = True
        while (message := await receive()).get("more_body"):
            await self.go_on.wait()
        self.ends.append(message["type"])
        await self.go_on.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(self.pieces):
            more = number + 1 < self.pieces
            await send({"type": "http.response.body", "body": self.answer, "more_body": more})
            self.sent += len(self.answer)


@contextlib.asynccontextmanager
async def talking(app: Reading, begin: bytes = b"", window: int | None = None) -> AsyncIterator[Client]:
    """A connection on which the client has said this."""
    async with connected(app, Http2Protocol) as client:
        await client.send(hello(window) + begin)
        yield client


@pytest.mark.parametrize(
    ("begun", "drip"),
    [
        (b"PRI * HT", b""),
        (hello() + get(1)[:5], b""),
        (hello() + frame(HEADERS, 0, 1, GET), b""),
        (hello() + frame(HEADERS, 0, 1, GET), frame(CONTINUATION, 0, 1, b"")),
        (hello() + frame(PING, 0, 0, b"12345678")[:-3], b""),
    ],
    ids=["preface", "half a frame", "half a head", "a head that goes on", "half a ping"],
)
def test_what_is_begun_has_ten_seconds(begun: bytes, drip: bytes) -> None:
    async def run() -> None:
        async with connected(Reading(), Http2Protocol) as client:
            await client.send(begun)
            for _ in range(11):
                assert client.is_open
                await client.send(drip)
                await client.pass_seconds(1)
            assert not client.is_open

    in_loop(run())


def test_a_head_is_no_larger_than_64_kib() -> None:
    async def run() -> None:
        for more in (b"", b"\x40\x01a\x7f\x81\x1e" + b"v" * 4000):
            async with talking(Reading(), frame(HEADERS, 0, 1, GET)) as client:
                for number in range(10_000):
                    if not client.is_open:
                        break
                    await client.send(frame(CONTINUATION, 0, 1, more))
                    assert number < 3000
                assert not client.is_open

    in_loop(run())


def test_a_head_has_no_more_than_a_thousand_fields() -> None:
    async def run() -> None:
        for count, status in ((900, 200), (1100, 431)):
            fields = b"\x40\x01a\x00" + b"\xbe" * count
            async with talking(Reading(), frame(HEADERS, 5, 1, GET + HOST + fields)) as client:
                events = Events(client, 1)
                await events.until(lambda events: events.of(zttp.Response))
                assert [event.status_code for event in events.of(zttp.Response)] == [status]

    in_loop(run())


def test_a_body_that_stalls_ends_its_stream_alone() -> None:
    async def run() -> None:
        app = Reading()
        async with talking(app, post(1, b"half") + post(3, b"half")) as client:
            for _ in range(11):
                await client.send(frame(DATA, 0, 3, b"x" * 1000) + frame(DATA, 8, 1, b"\xff" + bytes(1000)[:255]))
                await client.pass_seconds(1)
            events = Events(client, 3)
            await events.until(lambda events: events.of(zttp.RstStream))
            assert [(event.stream_id, event.status_code) for event in events.of(zttp.Response)] == [(1, 408)]
            assert app.ends == ["http.disconnect"]
            await client.send(frame(DATA, END_STREAM, 3, b"end"))
            await events.until(lambda events: len(events.of(zttp.Response)) > 1)
            assert [event.status_code for event in events.of(zttp.Response)] == [408, 200]
            assert client.is_open

    in_loop(run())


def test_one_large_frame_may_come_slowly() -> None:
    async def run() -> None:
        app = Reading()
        large = frame(DATA, END_STREAM, 1, b"x" * 16_000)
        async with talking(app, post(1)) as client:
            for at in range(0, len(large), 1001):
                await client.send(large[at : at + 1001])
                await client.pass_seconds(1)
            await until(lambda: app.ends)
            assert app.ends == ["http.request"]

    in_loop(run())


def test_a_client_does_not_pay_for_an_app_that_takes_its_time() -> None:
    async def run() -> None:
        app = Reading()
        app.go_on.clear()
        data = frame(DATA, 0, 1, b"x" * 16_000)
        async with talking(app, post(1) + data) as client:
            await until(lambda: client.came)
            for _ in range(5):
                await client.send(data)
            assert client.is_paused()
            await client.pass_seconds(100)
            assert client.is_open
            app.go_on.set()
            await client.pass_seconds(11)
            assert app.ends == ["http.disconnect"]

    in_loop(run())


def test_what_is_not_wanted_any_more_of_a_body_is_said() -> None:
    async def run() -> None:
        async def deaf(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"no"})

        async with connected(deaf, Http2Protocol) as client:
            await client.send(hello() + post(1, b"half"))
            events = Events(client, 1)
            await events.until(lambda events: events.of(zttp.RstStream))
            assert events.body(1) == b"no"
            assert [event.error_code for event in events.of(zttp.RstStream)] == [0]

    in_loop(run())


@pytest.mark.parametrize(("pieces", "size"), [(1, 2_000_000), (200, 100_000)], ids=["one piece", "many"])
def test_an_app_waits_for_the_window_of_its_client(pieces: int, size: int) -> None:
    """Twenty large answers without a window: nothing of them is held that the app has not yet made."""

    async def run() -> None:
        app = Reading(b"x" * size, pieces)
        async with talking(app, b"".join(get(stream) for stream in range(1, 41, 2)), window=0) as client:
            await until(lambda: len(app.ends) == 20)
            await client.pass_seconds(5)
            held = sum(client.protocol._waiting(stream) for stream in range(1, 41, 2))
            assert held <= 20 * (ROOM + max(ROOM, size if pieces > 1 else 0))
            assert app.sent <= 20 * 2 * size * (pieces > 1)
            await client.pass_seconds(26)
            events = Events(client, 20)
            await events.until(lambda events: len(events.of(zttp.RstStream)) == 20)
            assert {event.error_code for event in events.of(zttp.RstStream)} == {8}
            assert not client.protocol.cycles
            assert not client.protocol._blocked
            assert client.is_open
            await client.pass_seconds(31)
            assert not client.is_open

    in_loop(run())


def has_body(size: int, events: Events) -> bool:
    return len(events.body(1)) >= size


def test_a_window_that_opens_brings_all_of_the_answer() -> None:
    async def run() -> None:
        app = Reading(b"y" * 300_000, 3)
        async with talking(app, get(1), window=1000) as client:
            events = Events(client, 1)
            update = struct.pack(">I", 30_000)
            for number in range(31):
                await client.pass_seconds(1)
                await client.send(frame(WINDOW_UPDATE, 0, 1, update) + frame(WINDOW_UPDATE, 0, 0, update))
                await events.until(partial(has_body, 30_000 * number))
            await events.until(lambda events: len(events.body(1)) == 900_000)
            assert app.sent == 900_000
            assert client.is_open

    in_loop(run())


def test_a_finished_answer_has_thirty_seconds_to_be_taken() -> None:
    async def run() -> None:
        async with talking(Reading(b"z" * 50_000), get(1), window=0) as client:
            await client.pass_seconds(30)
            assert client.protocol._sending
            await client.pass_seconds(1)
            assert not client.protocol._sending

    in_loop(run())


@pytest.mark.parametrize("window", [300_000, 5_000_000])
def test_a_client_that_had_room_for_much_may_rest_for_a_while(window: int) -> None:
    """It gives more room when it has read half of what it had: at 8 kB a second that takes its time."""

    async def run() -> None:
        async with talking(Reading(b"z" * 10_000_000), get(1), window=window) as client:
            await client.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", window)))
            events = Events(client, 1)
            await events.until(partial(has_body, window))
            seconds = min((window - BY_ITSELF) // SLOWEST, CREDIT_SECONDS - UNREAD_SECONDS)
            await client.pass_seconds(UNREAD_SECONDS + seconds)
            assert client.protocol._sending
            await client.pass_seconds(2)
            assert not client.protocol._sending

    in_loop(run())


def test_a_server_that_ends_waits_for_finished_answers() -> None:
    async def run() -> None:
        async with talking(Reading(b"z" * 50_000), get(1), window=0) as client:
            await until(lambda: client.protocol._sending and not client.protocol.cycles)
            client.protocol.shutdown()
            assert client.is_open
            await client.send(frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 50_000)))
            events = Events(client, 1)
            await events.until(lambda events: False)
            assert len(events.body(1)) == 50_000
            assert not client.is_open

    in_loop(run())


@pytest.mark.parametrize(
    "each",
    [
        frame(PING, 0, 0, b"12345678"),
        frame(SETTINGS, 0, 0, b""),
        frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1"),
        frame(2, 0, 1, b"\0\0\0\0\0"),
        frame(0x99, 0, 0, b""),
    ],
    ids=["ping", "settings", "window update", "priority", "unknown"],
)
def test_a_flood_of_frames_ends_its_connection(each: bytes) -> None:
    async def run() -> None:
        async with talking(Reading()) as client:
            for _ in range(5):
                await client.send(each * 190)
                await client.pass_seconds(1)
            assert client.is_open
            for _ in range(12):
                await client.send(each * 100)
            assert not client.is_open

    in_loop(run())


def test_requests_that_are_cancelled_at_once_end_their_connection(caplog: pytest.LogCaptureFixture) -> None:
    """What zttp bounds: 128 streams at once, and as many again twice that nobody waits for."""

    async def run() -> None:
        app = Reading()
        app.go_on.clear()
        async with talking(app) as client:
            for stream in range(1, 2000, 2):
                await client.send(get(stream) + frame(RST_STREAM, 0, stream, b"\0\0\0\x08"))
            assert not client.is_open
            assert len(client.protocol.tasks) < 400
            app.go_on.set()

    in_loop(run())
    assert "Traceback" not in caplog.text


def test_an_idle_connection_ends_and_pings_do_not_keep_it() -> None:
    async def run() -> None:
        async with talking(Reading(), get(1)) as client:
            for _ in range(31):
                assert client.is_open
                await client.send(frame(PING, 0, 0, b"12345678"))
                await client.pass_seconds(1)
            assert not client.is_open

    in_loop(run())


def test_the_table_knows_who_it_is() -> None:
    async def run() -> None:
        app = Reading()
        async with talking(app) as client:
            assert (client.protocol.is_admitted(), client.protocol.doing()) == (False, Doing.IDLE)
            app.go_on.clear()
            await client.send(get(1))
            await until(lambda: client.protocol.is_admitted())
            assert client.protocol.doing() is Doing.BUSY
            app.go_on.set()
            await until(lambda: client.protocol.doing() is Doing.IDLE)
            assert client.protocol.is_admitted()

    in_loop(run())
