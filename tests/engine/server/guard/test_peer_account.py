"""The account at the other end of a connection, as this machine says; what it cannot say is not known."""

import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import pytest

from server.guard import peer_account
from server.guard.peer_account import (
    CONNECTION,
    TRANSPORT,
    account_of,
    account_of_address,
    accounts_of_owner,
    is_knowable,
)
from tests.engine.accounts import NAMELESS, NOBODY, only_root, started_as

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux says who has opened a connection")

CONNECT = """
import socket, sys
connection = socket.socket(int(sys.argv[1]), socket.SOCK_STREAM)
connection.connect(sys.argv[2] if len(sys.argv) == 3 else (sys.argv[2], int(sys.argv[3])))
print("connected", flush=True)
sys.stdin.read()
"""
FAMILIES = [
    pytest.param((socket.AF_INET, "127.0.0.1", "127.0.0.1"), id="IPv4"),
    pytest.param((socket.AF_INET6, "::1", "::1"), id="IPv6"),
    pytest.param((socket.AF_INET6, "::", "127.0.0.1"), id="IPv4 over IPv6"),
]


@pytest.fixture(params=FAMILIES)
def listening(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, tuple[Any, ...]]]:
    """A socket that listens, and the address to connect to."""
    family, bound, to = request.param
    with socket.create_server((bound, 0), family=family, dualstack_ipv6=bound == "::") as listening:
        yield listening, (to, listening.getsockname()[1])


def scope_of(accepted: socket.socket) -> dict[str, Any]:
    """A request on this connection, as Uvicorn describes it."""
    return {"client": accepted.getpeername()[:2], "server": accepted.getsockname()[:2], "headers": []}


def test_a_connection_of_our_own_is_ours(listening: Any) -> None:
    server, address = listening
    with socket.create_connection(address), server.accept()[0] as accepted:
        assert account_of(scope_of(accepted)) == os.geteuid()
        assert os.geteuid() in accounts_of_owner()


@only_root
def test_a_connection_of_another_account_is_not(listening: Any) -> None:
    server, address = listening
    with started_as(
        NAMELESS, CONNECT, int(socket.AF_INET if "." in address[0] else socket.AF_INET6), *address
    ) as other:
        with server.accept()[0] as accepted:
            assert account_of(scope_of(accepted)) == NAMELESS
            assert NAMELESS not in accounts_of_owner()
        other.communicate()


@only_root
def test_the_number_that_stands_for_all_without_one_is_nobody(listening: Any) -> None:
    """In a user namespace all accounts of outside have it: a server that runs as it would take them for itself."""
    server, address = listening
    with started_as(NOBODY, CONNECT, int(socket.AF_INET if "." in address[0] else socket.AF_INET6), *address) as other:
        with server.accept()[0] as accepted:
            assert account_of(scope_of(accepted)) is None
        other.communicate()


def test_a_peer_that_is_gone_is_nobody_and_not_root(listening: Any) -> None:
    """The kernel gives a socket without a process to account 0."""
    server, address = listening
    with socket.create_connection(address) as client, server.accept()[0] as accepted:
        client.shutdown(socket.SHUT_WR)
        assert account_of(scope_of(accepted)) == os.geteuid(), "it reads on"
        client.close()
        assert account_of(scope_of(accepted)) is None


def test_it_is_asked_once_a_connection(listening: Any) -> None:
    server, address = listening
    known: dict[str, Any] = {}
    with socket.create_connection(address), server.accept()[0] as accepted:
        first = {**scope_of(accepted), CONNECTION: known}
        assert account_of(first) == os.geteuid()
    assert account_of({**first, CONNECTION: known}) == os.geteuid()
    assert account_of({**first, CONNECTION: {}}) is None


class Transport:
    """A connection as a protocol has it."""

    def __init__(self, connection: socket.socket) -> None:
        self.extra = {
            "socket": connection,
            "peername": connection.getpeername(),
            "sockname": connection.getsockname(),
        }

    def get_extra_info(self, name: str) -> Any:
        return self.extra[name]


def test_what_a_header_says_of_the_peer_is_not_believed(listening: Any) -> None:
    """Uvicorn puts it in the place of the client, port and all: the addresses of a connection of the owner."""
    server, address = listening
    with (
        socket.create_connection(address) as client,
        server.accept()[0] as accepted,
        socket.create_connection(address) as other,
        server.accept()[0] as accepted_other,
    ):
        forged = {"client": client.getsockname()[:2], "headers": [(b"x-forwarded-for", b"127.0.0.1:40000")]}
        assert account_of(scope_of(accepted) | forged) is None
        other.close()
        # Where the connection itself is known, that is asked about.
        scope = scope_of(accepted) | forged | {CONNECTION: {TRANSPORT: Transport(accepted_other)}}
        assert account_of(scope) is None
        scope[CONNECTION] = {TRANSPORT: Transport(accepted)}
        assert account_of(scope) == os.geteuid()


@only_root
def test_a_unix_socket_says_it_too() -> None:
    path = Path(gettempdir()) / f"peer-{os.getpid()}.sock"
    try:
        with closing(socket.socket(socket.AF_UNIX)) as server:
            server.bind(str(path))
            os.chmod(path, 0o666)
            server.listen()
            with started_as(NAMELESS, CONNECT, int(socket.AF_UNIX), path) as other:
                with server.accept()[0] as accepted:
                    scope = {"client": None, "server": (str(path), None)}
                    assert account_of({**scope, CONNECTION: {TRANSPORT: Transport(accepted)}}) == NAMELESS
                    assert account_of(scope) is None, "without the connection itself it is not known"
                other.communicate()
            with closing(socket.socket(socket.AF_UNIX)) as client:
                client.connect(str(path))
                with server.accept()[0] as accepted:
                    assert account_of({**scope, CONNECTION: {TRANSPORT: Transport(accepted)}}) == os.geteuid()
    finally:
        path.unlink()


@pytest.mark.parametrize(
    ("client", "server"),
    [
        (None, ("127.0.0.1", 5001)),
        (("127.0.0.1", 5001), None),
        (("127.0.0.1", 1), ("127.0.0.1", 2)),
        (("localhost", 1), ("127.0.0.1", 2)),
        (("127.0.0.1", 1), ("::1", 2)),
        (("127.0.0.1", 70000), ("127.0.0.1", 2)),
        (("", 0), ("127.0.0.1", 2)),
        (None, ("/run/app.sock", None)),
    ],
)
def test_what_is_no_connection_of_this_machine_is_nobodys(client: Any, server: Any) -> None:
    assert account_of({"client": client, "server": server, "headers": []}) is None


def test_where_the_kernel_is_not_to_be_asked_nobody_is_known(monkeypatch: pytest.MonkeyPatch, listening: Any) -> None:
    """As in a service that may not open such sockets (RestrictAddressFamilies), or in a container."""
    real = socket.socket

    def refuse(family: int = -1, *more: Any, **named: Any) -> socket.socket:
        if family == socket.AF_NETLINK:
            raise PermissionError
        return real(family, *more, **named)

    server, address = listening
    assert is_knowable()
    with socket.create_connection(address), server.accept()[0] as accepted:
        scope = scope_of(accepted)
        monkeypatch.setattr(peer_account.socket, "socket", refuse)
        assert account_of(scope) is None
        assert not is_knowable()


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_other_systems_do_not_say(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert not is_knowable()


@pytest.mark.parametrize("answer", [b"", struct.pack("=IHHIIi", 20, 2, 0, 0, 0, -2), b"\0" * 20, b"\0" * 124])
def test_an_answer_that_says_nothing_is_nobody(answer: bytes) -> None:
    assert peer_account._account_in(answer) is None


def test_addresses_are_asked_as_they_are_written() -> None:
    assert account_of_address(("::ffff:127.0.0.1", 1), ("127.0.0.1", 2)) is None
