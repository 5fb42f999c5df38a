"""What bounds a connection of either protocol; what its clients see of it is in test_protocol.py and test_http2.py."""

import asyncio
from typing import Any

import pytest

from server.protocols.connection_bounds import BoundedConnection
from server.protocols.connection_table import connections_of
from server.protocols.deadlines import UNREAD_SECONDS
from server.protocols.http1 import HttpProtocol
from server.protocols.http2 import Http2Protocol


class Transport:
    """One whose client takes nothing of what waits."""

    def __init__(self, waiting: int = 0) -> None:
        self.waiting = waiting
        self.is_aborted = False

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def get_extra_info(self, name: str) -> "Transport":
        return self

    def getsockopt(self, *asked: int) -> bytes:
        """As a socket that does not say how much was taken."""
        raise OSError

    def abort(self) -> None:
        self.is_aborted = True


class Uvicorn(asyncio.Protocol):
    """The attributes that the mixin uses."""

    timeout_keep_alive = 5

    def __init__(self, client: tuple[str, int] | None) -> None:
        self.server_state = State()
        self.client = client
        self.loop: Any = None
        self.resumed = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def resume_writing(self) -> None:
        self.resumed += 1


class State:
    """A state that a table can be kept for."""


class Connection(BoundedConnection, Uvicorn):
    def look(self) -> None: ...

    def is_admitted(self) -> bool:
        return False

    def doing(self) -> Any: ...


def made(waiting: int = 0, client: tuple[str, int] | None = ("192.0.2.7", 4000)) -> Connection:
    connection = Connection(client)
    connection.connection_made(Transport(waiting))
    return connection


@pytest.fixture(autouse=True)
def loop() -> Any:
    """The table waits for its next look."""

    async def nothing() -> None: ...

    with asyncio.Runner() as runner:
        runner.run(nothing())
        asyncio._set_running_loop(runner.get_loop())
        yield
        asyncio._set_running_loop(None)


def test_both_protocols_stand_on_it() -> None:
    assert issubclass(HttpProtocol, BoundedConnection)
    assert issubclass(Http2Protocol, BoundedConnection)


def test_it_is_in_the_table_from_its_begin_to_its_end() -> None:
    connection = made()
    table = connections_of(connection.server_state)
    assert len(table) == 1
    connection.connection_lost(None)
    assert len(table) == 0


def test_a_client_that_takes_nothing_is_ended_and_one_for_whom_nothing_waits_is_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    slow, idle = made(waiting=10_000), made()
    for _ in range(UNREAD_SECONDS + 2):
        assert (slow._look_whether_read(), idle._look_whether_read()) == (10_000, 0)
    assert (slow.transport.is_aborted, idle.transport.is_aborted) == (True, False)
    assert "A connection from 192.0.2.7 was ended: an answer was read at less than 1 kB a second" in caplog.text


def test_it_makes_way_and_lets_the_app_go_on() -> None:
    connection = made(client=None)
    assert connection._address() == ""
    connection.resume_writing()
    assert connection.resumed == 1
    connection.make_way()
    assert connection.transport.is_aborted
