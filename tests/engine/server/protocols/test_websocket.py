"""A WebSocket ends that begins what it does not finish, floods, or does not read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send
from websockets.frames import Frame as WebSocketFrame
from websockets.frames import Opcode

from server.guard.middleware import ADMITTED
from server.protocols import deadlines
from server.protocols.connection_table import Doing
from tests.engine.ticking import Client, connected, in_loop, until
from tests.engine.watching import handshake


class Echo:
    """An app that hears messages; with `count` it answers each so many times."""

    def __init__(self, answer: str = "", is_admitted: bool = False) -> None:
        self.heard: list[str] = []
        self.answer = answer
        self.is_admitted = is_admitted
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[ADMITTED] = self.is_admitted
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            self.heard.append(message["text"])
            if self.answer:
                await send({"type": "websocket.send", "text": self.answer})
            await self.go_on.wait()
        self.heard.append("gone")


def frame(opcode: Opcode, data: bytes, fin: bool = True) -> bytes:
    return WebSocketFrame(opcode, data, fin).serialize(mask=True)


async def open_socket(client: Client) -> Any:
    """Shake hands; the server's protocol of this socket."""
    await client.send(handshake("localhost"))
    await until(lambda: client.protocol.transport.get_protocol() is not client.protocol)
    http = client.protocol
    client.protocol = http.transport.get_protocol()
    await client.read()
    assert client.got.startswith(b"HTTP/1.1 101 ")
    client.got, client.came = b"", client.sent
    return client.protocol


WHOLE = frame(Opcode.TEXT, b"x" * 3000)
BEGUN = frame(Opcode.TEXT, b"a", fin=False)
MORE = frame(Opcode.CONT, b"", fin=False)
PING = frame(Opcode.PING, b"still here")


@pytest.mark.parametrize(
    ("begin", "drip"),
    [(WHOLE[:1], b""), (WHOLE[:2], b""), (WHOLE[:2900], b"y"), (BEGUN, MORE), (BEGUN, PING), (PING[:5], b"")],
    ids=["a byte", "a head", "a drip", "fragments", "pings between fragments", "half a ping"],
)
def test_what_is_begun_has_ten_seconds(begin: bytes, drip: bytes) -> None:
    async def run() -> None:
        app = Echo()
        async with connected(app) as client:
            socket = await open_socket(client)
            await client.send(begin)
            for _ in range(11):
                assert not socket.transport.is_closing()
                await client.send(drip)
                await client.pass_seconds(1)
            assert socket.transport.is_closing()
            await until(lambda: app.heard == ["gone"])

    in_loop(run())


def test_a_page_that_says_nothing_or_much_stays() -> None:
    async def run() -> None:
        app = Echo()
        async with connected(app) as client:
            socket = await open_socket(client)
            await client.pass_seconds(200)
            # At each look another frame is under way.
            rest = b""
            for number in range(30):
                await client.send(rest + frame(Opcode.TEXT, b"%d" % number) + PING[:3])
                rest = PING[3:]
                await client.pass_seconds(1)
            await client.send(rest)
            assert not socket.transport.is_closing()
            assert app.heard == [str(number) for number in range(30)]

    in_loop(run())


def test_a_message_that_the_app_does_not_take_costs_the_page_nothing() -> None:
    async def run() -> None:
        app = Echo()
        app.go_on.clear()
        async with connected(app) as client:
            socket = await open_socket(client)
            flood = asyncio.create_task(client.send(frame(Opcode.TEXT, b"x" * 2000) * 100 + BEGUN))
            await until(lambda: socket.flow.read_paused)
            await client.pass_seconds(100)
            assert not socket.transport.is_closing()
            assert socket.queue.qsize() < 5
            app.go_on.set()
            await flood
            await until(lambda: len(app.heard) == 100)
            await client.pass_seconds(11)
            assert socket.transport.is_closing()

    in_loop(run())


@pytest.mark.parametrize(
    "each", [frame(Opcode.PING, b""), frame(Opcode.PONG, b""), BEGUN + MORE * 20], ids=["pings", "pongs", "pieces"]
)
def test_a_flood_of_frames_ends_its_connection(each: bytes) -> None:
    async def run() -> None:
        async with connected(Echo()) as client:
            socket = await open_socket(client)
            asked = 0
            while asked < 3 * deadlines.FRAMES_PER_SECOND and not socket.transport.is_closing():
                asked += 100
                await client.send(each * 100)
            assert socket.transport.is_closing()
            assert socket._frames < deadlines.FRAMES_PER_SECOND + 500

    in_loop(run())


def test_as_many_frames_a_second_as_may_be_are_answered() -> None:
    async def run() -> None:
        async with connected(Echo()) as client:
            socket = await open_socket(client)
            for _ in range(5):
                await client.send(PING * (deadlines.FRAMES_PER_SECOND - 1))
                await client.read(12 * (deadlines.FRAMES_PER_SECOND - 1))
                client.got = b""
                await client.pass_seconds(1)
            assert not socket.transport.is_closing()

    in_loop(run())


@asynccontextmanager
async def stalled() -> AsyncIterator[tuple[Echo, Client, Any]]:
    """A client that has asked 20 times for a long answer and reads none of it, when it is not listened to any more."""
    app = Echo(answer="y" * 50_000)
    async with connected(app, buffer=4096) as client:
        socket = await open_socket(client)
        for _ in range(20):
            await client.send(frame(Opcode.TEXT, b"more"))
        await until(lambda: socket.flow.read_paused)
        yield app, client, socket


def test_who_asks_and_does_not_read_is_not_listened_to_and_ends_after_thirty_seconds() -> None:
    async def run() -> None:
        async with stalled() as (app, client, socket):
            assert socket.transport.get_write_buffer_size() < 200_000
            await client.pass_seconds(30)
            assert not socket.transport.is_closing()
            await client.pass_seconds(1)
            assert socket.transport.is_closing()
            await until(lambda: app.heard[-1] == "gone")

    in_loop(run())


def test_who_reads_again_is_listened_to_again() -> None:
    async def run() -> None:
        async with stalled() as (app, client, socket):
            await client.read(50_000 * 20)
            await until(lambda: len(app.heard) == 20)
            await client.pass_seconds(40)
            assert not socket.transport.is_closing()

    in_loop(run())


@pytest.mark.parametrize("is_admitted", [True, False])
def test_the_table_knows_whose_page_it_is(is_admitted: bool) -> None:
    async def run() -> None:
        async with connected(Echo(is_admitted=is_admitted)) as client:
            socket = await open_socket(client)
            assert (socket.is_admitted(), socket.doing()) == (is_admitted, Doing.BUSY)
            socket.make_way()
            assert socket.transport.is_closing()

    in_loop(run())


CLOSE = frame(Opcode.CLOSE, b"\x03\xe8")
BAD = frame(Opcode.TEXT, b"\xff")
IN_PIECES = frame(Opcode.TEXT, b"\xc3", fin=False)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (BAD, b"\x03\xef"),
        (IN_PIECES + frame(Opcode.CONT, b"\x28"), b"\x03\xef"),
        (BAD + BAD, b"\x03\xef"),
        (BAD + CLOSE, b"\x03\xe8"),
        (frame(Opcode.TEXT, b"\xed\xa0\x80") + CLOSE, b"\x03\xe8"),
    ],
    ids=["a byte", "in pieces", "twice", "and a close behind it", "half a pair and a close behind it"],
)
def test_text_that_is_no_utf8_ends_the_connection_without_a_trace(
    sent: bytes, code: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        app = Echo()
        async with connected(app) as client:
            await open_socket(client)
            await client.send(sent)
            assert (await client.read(4))[:4] == b"\x88" + client.got[1:2] + code
            await until(lambda: app.heard == ["gone"])

    in_loop(run())
    assert not [record for record in caplog.records if record.exc_info]


def test_text_in_pieces_that_is_utf8_as_a_whole_is_heard() -> None:
    async def run() -> None:
        app = Echo()
        async with connected(app) as client:
            await open_socket(client)
            await client.send(IN_PIECES + frame(Opcode.CONT, b"\xa9"))
            await until(lambda: app.heard == ["é"])

    in_loop(run())


class Refusing(Echo):
    """An app that closes at the first message, as late as it may."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        await self.go_on.wait()
        await send({"type": "websocket.close", "code": 1008})
        self.heard.append("closed")


def test_an_app_may_close_what_has_been_closed_for_its_text_already(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        app = Refusing()
        app.go_on.clear()
        async with connected(app) as client:
            await open_socket(client)
            await client.send(frame(Opcode.TEXT, b"x"))
            await client.send(BAD)
            await client.read(4)
            app.go_on.set()
            await until(lambda: app.heard == ["closed"])

    in_loop(run())
    assert not [record for record in caplog.records if record.exc_info]


def test_who_is_refused_is_no_error_of_the_app(caplog: pytest.LogCaptureFixture) -> None:
    async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b"no"})

    async def run() -> None:
        async with connected(refusing) as client:
            await client.send(handshake("localhost"))
            assert (await client.read_all()).startswith(b"HTTP/1.1 401 ")

    in_loop(run())
    assert caplog.messages == []


def test_an_app_that_is_slow_to_accept_meets_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """The flood came with the handshake."""
    go_on = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await go_on.wait()
        await send({"type": "websocket.accept"})

    async def run() -> None:
        async with connected(slow) as client:
            await client.send(handshake("localhost"))
            await client.send(frame(Opcode.PING, b"") * 2 * deadlines.FRAMES_PER_SECOND)
            go_on.set()
            await until(lambda: client.protocol.transport.is_closing())

    in_loop(run())
    assert [message for message in caplog.messages if "was ended" not in message] == []
