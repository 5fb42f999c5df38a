"""HTTP/1.0 answers, which have no chunked encoding, and `Upgrade` requests that are declined.

A request may ask to go on in another protocol (`Upgrade: h2c`, say). Nobody has to agree (RFC 9110, section 7.8), and
it is then a request like any other, with its body. The parser does not know that: it takes what follows the head for
the other protocol. So the head is given once more to a new one, without that field.
"""

from collections.abc import Iterable
from typing import Any

import httptools
from starlette.types import Message

UPGRADE = b"upgrade"


def asks_to_upgrade(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a head has the field."""
    return any(name == UPGRADE for name, _ in headers)


def without_upgrade(method: bytes, url: bytes, version: str, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The head of a request without the field."""
    lines = [b"%s %s HTTP/%s" % (method, url, version.encode())]
    lines += [b"%s: %s" % (name, value) for name, value in headers if name != UPGRADE]
    return b"\r\n".join([*lines, b"", b""])


def new_parser(protocol: object) -> httptools.HttpRequestParser:
    """A parser as Uvicorn makes it."""
    parser = httptools.HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def end_with_connection(cycle: Any) -> None:
    """Have the answer of Uvicorn's cycle end with its connection where its length is not known (RFC 9112, 6.3)."""
    send = cycle.send
    is_open_ended = False

    async def send_plain(message: Message) -> None:
        nonlocal is_open_ended
        if message["type"] == "http.response.start":
            is_open_ended = all(name.lower() != b"content-length" for name, _ in message.get("headers", ()))
            if is_open_ended:
                # Uvicorn then neither adds the header nor writes chunks.
                cycle.chunked_encoding = False
        elif is_open_ended:
            cycle.expected_content_length = len(message.get("body", b""))
        await send(message)

    cycle.send = send_plain
