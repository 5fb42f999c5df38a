"""What an attacker has: a plain socket, on which any bytes may go out, and what comes back."""

import contextlib
import socket
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from tests.engine.conftest import PATIENCE, Server


class Answer(NamedTuple):
    """A whole answer; status 0 where the server just closed."""

    status: int
    text: str


@contextlib.contextmanager
def connected(server: Server) -> Iterator[socket.socket]:
    """A connection to the server."""
    with contextlib.closing(connect(server)) as connection:
        yield connection


def connect(server: Server) -> socket.socket:
    """A connection to the server, to be closed by whoever asked."""
    address = urlsplit(server.url)
    return socket.create_connection((address.hostname, address.port or 80), timeout=PATIENCE)


def ask(server: Server, *pieces: bytes) -> Answer:
    """Send these bytes on a connection of their own, and read until the server closes."""
    with connected(server) as connection:
        # Who is refused may find the door closed while still speaking.
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                connection.sendall(piece)
        return read(connection)


def read(connection: socket.socket) -> Answer:
    """What comes until the server closes."""
    pieces = []
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(65536):
            pieces.append(piece)
    text = b"".join(pieces).decode("latin-1")
    return Answer(int(text.split(" ", 2)[1]) if text.startswith("HTTP/") else 0, text)
