"""What comes in one is read in pieces, one a turn of the loop, and not while reading is paused."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from server.protocols import paced_reading
from server.protocols.paced_reading import (
    DRAINED,
    HEADS,
    PIECE,
    PiecewiseFlow,
    taken_from,
)
from tests.engine.ticking import turns, until

HEAD = b"GET / HTTP/1.1\r\n\r\n"


class Transport:
    """Says whether reading goes on."""

    is_reading = True
    closing = False

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def is_closing(self) -> bool:
        return self.closing


def flowing(run: Callable[[PiecewiseFlow, Transport, list[bytes]], Any]) -> None:
    async def inner() -> None:
        fed: list[bytes] = []
        transport = Transport()
        flow = PiecewiseFlow(transport, asyncio.get_running_loop(), lambda piece: fed.append(bytes(piece)))
        await run(flow, transport, fed)

    asyncio.run(inner())


def test_others_have_their_turn_between_two_pieces() -> None:
    async def run(flow: PiecewiseFlow, transport: Transport, fed: list[bytes]) -> None:
        data = bytes(range(250)) * 80
        flow.take(data)
        assert (len(fed), transport.is_reading) == (1, False)
        await asyncio.sleep(0)
        assert len(fed) == 2
        await turns()
        assert b"".join(fed) == data
        assert max(map(len, fed)) == PIECE
        assert transport.is_reading

    flowing(run)


def test_a_piece_holds_few_heads() -> None:
    async def run(flow: PiecewiseFlow, transport: Transport, fed: list[bytes]) -> None:
        flow.take(HEAD * 20)
        await turns()
        assert [piece.count(HEAD) for piece in fed] == [HEADS, HEADS, 20 - 2 * HEADS]

    flowing(run)


def test_nothing_is_read_while_reading_is_paused_or_held() -> None:
    async def run(flow: PiecewiseFlow, transport: Transport, fed: list[bytes]) -> None:
        flow.take(b"x" * 3 * PIECE)
        flow.pause_reading()
        await turns()
        assert (len(fed), flow.has_rest, transport.is_reading) == (1, True, False)
        flow.is_held = True
        flow.resume_reading()
        await turns()
        assert len(fed) == 1
        flow.is_held = False
        flow.resume_reading()
        flow.take(b"y")
        await turns()
        assert b"".join(fed) == b"x" * 3 * PIECE + b"y"
        assert transport.is_reading

    flowing(run)


def test_the_rest_of_a_connection_that_closes_is_dropped() -> None:
    async def run(flow: PiecewiseFlow, transport: Transport, fed: list[bytes]) -> None:
        flow.take(b"x" * 3 * PIECE)
        transport.closing = True
        await turns()
        assert (len(fed), flow.has_rest) == (1, False)

    flowing(run)


def test_what_was_taken_is_what_the_other_side_has() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(listening.getsockname())
            client.setblocking(False)
            near, _ = listening.accept()
            transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, near)
            transport.write(b"x" * 20_000_000)
            await asyncio.sleep(0.05)
            waiting = transport.get_write_buffer_size()
            before = taken_from(transport, waiting, 0)
            for _ in range(100):
                await loop.sock_recv(client, 10_000)
            await until(lambda: taken_from(transport, transport.get_write_buffer_size(), 0) > before + 100_000)
            transport.abort()
            # It is gone: what can be said then needs no socket.
            await turns()
            assert taken_from(transport, 5, 0) == -5

    asyncio.run(run())


def test_elsewhere_a_buffer_that_drains_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(paced_reading.socket, "TCP_INFO", raising=False)
    assert taken_from(None, 100, 2) - taken_from(None, 400, 1) == DRAINED + 300
