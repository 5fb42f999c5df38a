"""A kept answer goes out as the finished bytes of HTTP/1.1, past the two ASGI messages that it would be made of anew.

Uvicorn looks at every header of every answer: its name, its value, what it means for the connection. Of a kept answer
that is known, so its head is put together once; of what Uvicorn does for an answer (httptools_impl.py, send) the rest
is done here. That is possible where the `send` that reached us is Uvicorn's own: where anything stands between, a
middleware or another server, or where the connection is not at rest, nothing is done, and the messages are the way.
"""

import logging
from typing import Any

from uvicorn.protocols.http.httptools_impl import HEADER_RE, HEADER_VALUE_RE, STATUS_LINE, RequestResponseCycle

# What a head says of its connection, or of a body that comes in pieces, is for the server to write.
OF_THE_CONNECTION = {b"connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
OK = STATUS_LINE[200]


def head_of(headers: list[tuple[bytes, bytes]], body: bytes) -> bytes | None:
    """The lines of these headers and the empty one behind; None where only a server can write them."""
    lengths = [value for name, value in headers if name.lower() == b"content-length"]
    if lengths != [b"%d" % len(body)] or any(
        name.lower() in OF_THE_CONNECTION or HEADER_RE.search(name) or HEADER_VALUE_RE.search(value)
        for name, value in headers
    ):
        return None
    return b"".join(b"%s: %s\r\n" % header for header in headers) + b"\r\n"


def write(send: Any, head: bytes, body: bytes) -> bool:
    """Answer a GET with 200, this head and this body, and say so; False where `send` has to be called instead."""
    cycle = getattr(send, "__self__", None)
    if (
        type(cycle) is not RequestResponseCycle
        or cycle.response_started
        or cycle.disconnected
        or not cycle.keep_alive
        or (cycle.access_log and cycle.access_logger.isEnabledFor(logging.INFO))
        or cycle.flow.write_paused
    ):
        return False
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    cycle.transport.write(b"".join((OK, *(b"%s: %s\r\n" % header for header in cycle.default_headers), head, body)))
    cycle.message_event.set()
    cycle.on_response()
    return True
