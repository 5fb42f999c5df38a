"""When a connection is passed on, and when it is closed instead; what clients see of it is in test_handover.py."""

import asyncio
import socket
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from server.protocols.keep_alive_handover import RetiringConnection


class Transport:
    def __init__(self, connected: socket.socket) -> None:
        self.connected = connected
        self.waiting = 0
        self.said: list[str] = []

    def is_closing(self) -> bool:
        return "abort" in self.said

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def get_extra_info(self, name: str) -> Any:
        return {"socket": self.connected}[name]

    def pause_reading(self) -> None:
        self.said.append("pause")

    def abort(self) -> None:
        self.said.append("abort")


class Uvicorn(asyncio.Protocol):
    """The attributes that the mixin uses."""

    def __init__(self, connected: socket.socket, scheme: Literal["http", "https"]) -> None:
        self.transport = Transport(connected)
        self.scheme: Literal["http", "https"] | None = scheme
        self.later: list[Any] = []
        self.loop: Any = self
        self.ends = 0

    def call_later(self, seconds: float, look: Any) -> None:
        self.later.append(look)

    def shutdown(self) -> None:
        self.ends += 1


class Connection(RetiringConnection, Uvicorn):
    is_idle = True

    def _is_idle(self) -> bool:
        return self.is_idle


@pytest.fixture
def connected() -> Iterator[socket.socket]:
    here, there = socket.socketpair()
    with here, there:
        yield here


def given(connection: Connection) -> list[socket.socket]:
    found: list[socket.socket] = []
    connection.retire(found.append)
    return found


def test_an_idle_one_is_passed_on_at_once(connected: socket.socket) -> None:
    connection = Connection(connected, "http")
    (passed,) = given(connection)
    with passed:
        assert passed.fileno() != connected.fileno()
        assert passed.getsockname() == connected.getsockname()
    assert connection.transport.said == ["pause", "abort"]
    connection.shutdown()
    assert connection.ends == 0, "the next process has it"


def test_one_that_is_used_is_passed_on_when_all_has_gone(connected: socket.socket) -> None:
    connection = Connection(connected, "http")
    connection.is_idle = False
    found = given(connection)
    assert not found
    connection.is_idle, connection.transport.waiting = True, 100
    connection._give_when_idle()
    assert not found
    connection.transport.waiting = 0
    connection.later.pop()()
    (passed,) = found
    passed.close()


def test_what_cannot_be_passed_on_is_closed(connected: socket.socket) -> None:
    encrypted = Connection(connected, "https")
    assert not given(encrypted)
    assert encrypted.ends == 1
    closing = Connection(connected, "http")
    closing.transport.abort()
    assert not given(closing)


def test_without_another_process_it_ends_with_the_server(connected: socket.socket) -> None:
    connection = Connection(connected, "http")
    connection.shutdown()
    assert connection.ends == 1
