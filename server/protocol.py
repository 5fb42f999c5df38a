"""Uvicorn's HTTP protocol, with limits on the head of a request: its size, the time until it is whole, and one host.

Uvicorn itself waits for ever for a head that does not end, and keeps whatever comes.
"""

import asyncio
import re
import socket
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.http11 import Request

from server.guard import SECURITY_HEADERS
from server.peer import CONNECTION, TRANSPORT
from server.wire import DEFLATE

HEAD_SECONDS = 10
HEAD_LIMIT = 64 * 1024
WHOLE_ADDRESS = re.compile(rb"[^/]+://([^/?#]*)")
TWO_HOSTS = "The address and the Host header of a request name the same host."
TOO_LARGE = "The head of this request is larger than 64 KiB."
TOO_SLOW = "The head of this request did not come within 10 seconds."


class HttpProtocol(HttpToolsProtocol):
    """httptools; a head is whole within HEAD_SECONDS of its first byte and is not larger than HEAD_LIMIT bytes.

    A connection that sends nothing at all is closed after the same time. Status 408 and 431 as in RFC 9110, section
    15.5.9, and RFC 6585, section 5.
    """

    _connection: dict[str, Any]
    _give: Callable[[socket.socket], None] | None = None
    _head_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _reads_message = False
    _refusal: tuple[int, str] | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first head."""
        super().connection_made(transport)
        # What is found out about the connection, such as whose it is, holds for all of its requests.
        self._connection = {TRANSPORT: transport}
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._refuse_slow_head)

    def data_received(self, data: bytes) -> None:
        """Read on; what one call brings may hold the rest of one head and all of the next."""
        super().data_received(data)
        if self._is_in_head():
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_LIMIT:
                self._refuse(431, TOO_LARGE)
                return
        elif not self._is_idle() or self.timeout_keep_alive_task is not None or self._is_upgraded():
            return
        # What came was a part of a head, or nothing but empty lines, or the rest of a body that was answered before.
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._refuse_slow_head)

    def on_message_begin(self) -> None:
        """Take note that a request has begun."""
        super().on_message_begin()
        self.scope[CONNECTION] = self._connection  # type: ignore[literal-required]
        self._reads_message = True

    def on_message_complete(self) -> None:
        """Take note that all of a request has come; it may have been answered before."""
        super().on_message_complete()
        self._reads_message = False
        if self._give is not None:
            self.loop.call_soon(self._give_when_idle)

    def on_headers_complete(self) -> None:
        """Let the app answer, unless the head came in one piece that is too large."""
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        self._head_bytes = 0
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > HEAD_LIMIT:
            self._refusal = (431, TOO_LARGE)
            # The parser passes it on to data_received, which then answers.
            raise httptools.HttpParserError
        if self._names_two_hosts():
            self._refusal = (400, TWO_HOSTS)
            raise httptools.HttpParserError
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer a head that cannot be understood, or not be taken, and close."""
        status, words = self._refusal or (400, msg)
        self._refuse(status, words)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        super().connection_lost(exc)

    def _names_two_hosts(self) -> bool:
        """Whether the target is a whole address, and of another host than the Host header says.

        The address is what counts (RFC 9112, section 3.2.2), and nobody after this sees more of it than its path.
        """
        found = WHOLE_ADDRESS.match(self.url)
        hosts = [value.lower() for name, value in self.headers if name == b"host"]
        return found is not None and hosts != [found[1].lower()]

    def retire(self, give: Callable[[socket.socket], None]) -> None:
        """Pass the connection on through `give`, as soon as nothing is being asked or answered on it."""
        self._give = give
        self._give_when_idle()

    def shutdown(self) -> None:
        """Close when the answer is done; a connection that is passed on stays open."""
        if self._give is None:
            super().shutdown()

    def on_response_complete(self) -> None:
        """Go on to the next request, here or in the next process."""
        super().on_response_complete()
        if self._give is not None:
            self._give_when_idle()

    def _give_when_idle(self) -> None:
        if self.transport.is_closing() or self._give is None:
            return
        if self.scheme == "https":
            super().shutdown()
        elif self._is_idle():
            # What comes from here on waits in the socket for the next process.
            self.transport.pause_reading()
            if self.transport.get_write_buffer_size():
                self.loop.call_later(0.01, self._give_when_idle)
                return
            self._give(self.transport.get_extra_info("socket").dup())
            self.transport.abort()

    def _is_idle(self) -> bool:
        """Whether all that has come is answered; of a request that is answered already, the rest may still come."""
        return not self._reads_message and (self.cycle is None or self.cycle.response_complete)

    def _is_in_head(self) -> bool:
        """Whether what has come so far ends within a head; a message that has begun gets its method when that ends."""
        return self.scope is None or "method" not in self.scope

    def _is_upgraded(self) -> bool:
        """Whether the connection belongs to a WebSocket by now."""
        return self.transport.get_protocol() is not self

    def _refuse_slow_head(self) -> None:
        if self.scope is None or not self._is_in_head():
            self.transport.close()  # Nothing was asked, so there is nothing to answer.
        else:
            self._refuse(408, TOO_SLOW)

    def _refuse(self, status: int, words: str) -> None:
        if self.transport.is_closing():
            return
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(words)),
            (b"connection", b"close"),
            *SECURITY_HEADERS,
        ]
        lines = [STATUS_LINE[status], *(b"%s: %s\r\n" % header for header in headers), b"\r\n", words.encode()]
        self.transport.write(b"".join(lines))
        self.transport.close()


class Frame(Protocol):
    """A message as the bytes of its WebSocket frame, and of the same frame compressed without any other."""

    plain: bytes
    deflated: bytes


class Said(NamedTuple):
    """What was said on a connection: the head of its request, what both sides agreed on, the message that holds."""

    head: bytes
    agreed: list[str]
    message: str


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """websockets' own protocol, which also takes finished frames, and can be passed on to another process.

    The app finds it as the extension `server.frames` in the scope: sending a message through ASGI costs a coroutine
    and the framing for each connection (7 µs beside 12 of the system call), writing a finished frame none of it.

    Where an app has put what a peer said into `standing`, that one message holds until the peer says another. Such a
    connection is passed on as it is: the next process tells its app the same head and the same message again, and the
    peer does not notice, but for the `news`.
    """

    on_drain: Callable[[], None] | None = None
    standing: str | None = None
    _is_full = False
    _takes_deflated = False
    # What another process was told on this connection, until the app has accepted it here too.
    _taken: Said | None = None
    _news: Frame | None = None

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        # No memory of one message is kept for the next: that would be 300 kB for each open page.
        self.conn.available_extensions = [
            ServerPerMessageDeflateFactory(
                server_no_context_takeover=True,
                client_no_context_takeover=True,
                compress_settings=DEFLATE.compress_settings,
            )
        ]

    def handle_connect(self, event: Request) -> None:
        """Offer the app this protocol itself."""
        super().handle_connect(event)
        # A peer may ask for a smaller window than the one that finished frames are made with.
        self._takes_deflated = any(
            isinstance(each, PerMessageDeflate) and each.local_max_window_bits == DEFLATE.local_max_window_bits
            for each in self.conn.extensions
        )
        if not self.handshake_complete:
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions["server.frames"] = self
            self.scope[CONNECTION] = {TRANSPORT: self.transport}  # type: ignore[literal-required]

    def shutdown(self) -> None:
        """Close with 1012, once: an encrypted connection is still there for a moment when it has been closed."""
        if not self.transport.is_closing():
            super().shutdown()

    def retire(self, give: Callable[[socket.socket, Said], None]) -> None:
        """Pass the connection on through `give`; close it where that cannot be done, so that the peer comes again."""
        said = self._taken or self._said()
        if said is None:
            self.shutdown()
        elif not self.transport.is_closing():
            self.transport.pause_reading()
            give(self.transport.get_extra_info("socket").dup(), said)
            self.transport.abort()

    def take_over(self, said: Said, news: Frame) -> None:
        """Have it go on where another process was; the peer gets the `news` as soon as the app has accepted it here."""
        self._taken, self._news = said, news

    def connection_made(self, transport: Any) -> None:
        """Begin; on a connection that is taken over, with what was said on it before anything else comes."""
        super().connection_made(transport)
        if self._taken is not None:
            self.data_received(self._taken.head)
            self.queue.put_nowait({"type": "websocket.receive", "text": self._taken.message})

    async def send(self, message: Any) -> None:
        """Send what the app says; to accept a connection that was taken over changes nothing for the peer."""
        if self._taken is None or self.disconnected:
            await super().send(message)
        elif message["type"] == "websocket.accept" and self._agreed() == self._taken.agreed:
            self._taken = None
            self.handshake_complete = True
            self.conn.send_response(self.response)
            self.conn.data_to_send()
            self.start_keepalive()
            assert self._news is not None
            self.write_frame(self._news)
        else:
            self.transport.abort()  # Who comes again is told why.

    def send_500_response(self) -> None:
        """Say that the app failed to accept, to a peer that waits for an answer to its head."""
        if self._taken is None:
            super().send_500_response()
        else:
            self.transport.abort()

    def _said(self) -> Said | None:
        """What the next process has to be told; None where that is not all, or something is under way."""
        if self.standing is None or self.close_sent or self.scheme == "wss":
            return None
        is_quiet = self.queue.empty() and not self.frames and not self.transport.get_write_buffer_size()
        if not (is_quiet and self._is_between_frames()):
            return None
        return Said(self.request.serialize(), self._agreed(), self.standing)

    def _agreed(self) -> list[str]:
        return self.response.headers.get_all("Sec-WebSocket-Extensions")

    def _is_between_frames(self) -> bool:
        """Whether none has begun; the parser is generators within each other, the innermost of which waits for it."""
        waiting: Any = self.conn.parser
        while waiting.gi_yieldfrom is not None:
            waiting = waiting.gi_yieldfrom
        return bool(waiting.__name__ == "at_eof")

    def write_frame(self, frame: Frame) -> bool:
        """Write a frame and say so; False while the peer has not taken what was written before."""
        if self._is_full:
            return False
        transport = self.transport
        if not (self.close_sent or transport.is_closing()):
            transport.write(frame.deflated if self._takes_deflated else frame.plain)
        return True

    def pause_writing(self) -> None:
        """Take no more frames."""
        super().pause_writing()
        self._is_full = True

    def resume_writing(self) -> None:
        """Let the app go on."""
        super().resume_writing()
        self._is_full = False
        if self.on_drain is not None:
            self.on_drain()

    def end(self, code: int, reason: str) -> None:
        """Close the connection, in the end without a word if it takes nothing."""
        if self.close_sent or self.transport.is_closing():
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.close_timer = self.loop.call_later(self.close_timeout, self.transport.abort)
