"""Uvicorn's HTTP/1.1 protocol, with an end to everything that a client may keep it waiting for, and one host a request.

Uvicorn itself has no timeouts and no size limits, and keeps sending to a client that does not read. How long and
how much is in server/protocols/deadlines.py; every second server/protocols/connection_table.py has each connection look
where it stands.
"""

import re
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from server.guard.middleware import ADMITTED, REPEATED
from server.guard.peer_account import CONNECTION
from server.guard.security_headers import NO_STORE, SECURITY_HEADERS
from server.protocols.connection_bounds import BoundedConnection
from server.protocols.connection_table import Doing
from server.protocols.deadlines import (
    HEAD_FIELDS,
    HEAD_LIMIT,
    REST_LIMIT,
    Limit,
    Phase,
    Wrapping,
)
from server.protocols.http1_legacy import (
    asks_to_upgrade,
    end_with_connection,
    new_parser,
    without_upgrade,
)
from server.protocols.keep_alive_handover import RetiringConnection
from server.protocols.paced_reading import PIECE, SMALL

WHOLE_ADDRESS = re.compile(rb"[^/]+://([^/?#]*)")
TWO_HOSTS = "The address and the Host header of a request name the same host."
TOO_LARGE = "The head of this request is larger than 64 KiB, or has more than 1,000 fields."
TOO_WRAPPED = "The chunks of this body carry more than 64 KiB that is not body: extensions, or fields at its end."
NOT_HTTP = "Invalid HTTP request received."
WITH_BODY = "The request for a WebSocket has no body."
# The log line for a connection that is closed without an answer.
RESTING = "the rest of an answered request was more than 64 MiB"


class _Forgetful(list[Any]):
    """Where the fields go that come at the end of a body: nobody may take them for a head (RFC 9110, section 6.5.1)."""

    def append(self, _: Any) -> None:
        pass


NOWHERE = _Forgetful()


class HttpProtocol(RetiringConnection, BoundedConnection, HttpToolsProtocol):
    """httptools, with limits. Status 408 and 431 as in RFC 9110, section 15.5.9, and RFC 6585, section 5."""

    # How many heads have come whole; how many bytes in all, of the head that comes, of the last body, of its rest.
    _heads = 0
    # The last head that came in one piece, without its first line; and what all requests that repeat it have in common.
    _head = b""
    _repeated: dict[bytes, bytes]
    _came = 0
    _head_bytes = 0
    _body_bytes = 0
    _chunks = 0
    _rest_bytes = 0
    _wrapping_of = 0
    _reads_message = False
    # A head that asked for another protocol, without that.
    _declined = b""
    _refusal: tuple[int, str] | None = None
    # What is refused behind a request that is being answered is answered after it.
    _refusal_to_come: tuple[int, str, str] | None = None
    # The heads and bytes that had come when the connection was first seen idle after them.
    _idle_with = (0, 0)
    # While others wait behind it: the request that is being answered, where `cycle` is the last that has come.
    _answering: Any = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        if self._answering is not None:
            # Uvicorn tells the last request alone.
            self._answering.disconnected = True
            self._answering.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; what one call brings may hold the rest of one head and all of the next."""
        if len(data) > SMALL or self.flow.has_rest:
            self.flow.take(data)
            return
        heads, is_begin = self._heads, not self._reads_message
        self._feed(data)
        if is_begin and self._heads == heads + 1 and not self._reads_message:
            self._compare_head(data)

    def _compare_head(self, data: bytes) -> None:
        """Say of a request that came whole in one piece whether it repeats the head of the one before.

        Pages of a browser and programs ask with the same fields again and again: what was found out about them holds.
        No parser sees a second line before the first LF.
        """
        head = data[data.find(b"\n") :]
        if head != self._head:
            self._head, self._repeated = head, {}
        self.scope[REPEATED] = self._repeated  # type: ignore[literal-required]

    def _feed(self, data: bytes | memoryview) -> None:
        size = len(data)
        self._came += size
        heads = self._heads
        # The head may be whole with this piece; what is larger is looked at there.
        self._head_bytes += size
        body = self._body_bytes
        try:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                if not self._declined:
                    raise
                self._parse_declined(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._end_request(*(self._refusal or (400, NOT_HTTP)), "it sent what is not HTTP, or not taken")
            return
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
                return
        if self._reads_message:
            self._count(size, self._body_bytes - body if heads == self._heads else None)
        else:
            self._head_bytes = 0

    def _parse_declined(self, data: bytes | memoryview) -> None:
        """Have another parser read a head without the upgrade that is not agreed to, and what follows it."""
        while self._declined:
            head, self._declined = self._declined, b""
            self.parser = new_parser(self)
            self.parser.feed_data(head)
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                if not self._declined:
                    raise
                data = data[upgrade.args[0] :]

    def _count(self, size: int, body: int | None) -> None:
        """Look at a piece of a message that is not whole; `body` is how much of it is body, if no head is in it."""
        if self._is_in_head():
            if self._head_bytes > HEAD_LIMIT:
                self._refuse(431, TOO_LARGE, "a head was too large")
            return
        self.flow.fit(self._chunks)
        self._chunks = 0
        if self.cycle.response_complete:
            self._rest_bytes += size
            if self._rest_bytes > REST_LIMIT:
                self._end(RESTING)
                return
        if body is not None and self._is_wrapped_too_much(size, body):
            self._end_request(431, TOO_WRAPPED, "what stood around the chunks of a body was too much")

    def _is_wrapped_too_much(self, came: int, body: int) -> bool:
        if self._wrapping_of != self._heads:
            self._wrapping_of = self._heads
            self._wrapping = Wrapping()
        return self._wrapping.is_too_much(came, body)

    def handle_websocket_upgrade(self) -> None:
        """Give the connection to the WebSocket protocol."""
        self._table.leave(self)
        self.flow.forget()
        super().handle_websocket_upgrade()
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def on_message_begin(self) -> None:
        """Take note that a request has begun."""
        super().on_message_begin()
        self.scope[CONNECTION] = self._connection  # type: ignore[literal-required]
        self._reads_message = True

    def on_headers_complete(self) -> None:
        """Let the app answer, unless the head came in one piece that is too large."""
        # Many small fields take four bytes each.
        if self._head_bytes > HEAD_FIELDS and self._is_too_large():
            self._reject(431, TOO_LARGE)
        if self.url[:1] != b"/" and self._names_two_hosts():
            self._reject(400, TWO_HOSTS)
        upgrades = self.parser.should_upgrade()
        if upgrades and not self._should_upgrade() and asks_to_upgrade(self.headers):
            version = self.parser.get_http_version()
            self._declined = without_upgrade(self.parser.get_method(), self.url, version, self.headers)
            return
        if upgrades and self._should_upgrade() and self._has_body():
            self._reject(400, WITH_BODY)
        self._heads += 1
        self._head_bytes = self._body_bytes = self._rest_bytes = 0
        before = self.cycle
        super().on_headers_complete()
        if self.scope["http_version"] == "1.0":
            end_with_connection(self.cycle)
        if not upgrades:
            self.headers = NOWHERE
        if self.pipeline:
            self.flow.is_held = True
            self._answering = self._answering or before

    def _is_too_large(self) -> bool:
        headers = self.headers
        return (
            len(headers) > HEAD_FIELDS
            or len(self.url) + sum(len(name) + len(value) for name, value in headers) > HEAD_LIMIT
        )

    def _has_body(self) -> bool:
        return any(
            name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0 "))
            for name, value in self.headers
        )

    def _reject(self, status: int, words: str) -> None:
        """Have the parser stop within a head; `_feed` then answers."""
        self._refusal = status, words
        raise httptools.HttpParserError

    def on_body(self, body: bytes) -> None:
        """Count, and give it to the app."""
        self._body_bytes += len(body)
        self._chunks += 1
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Take note that all of a request has come; it may have been answered before."""
        if self._declined:
            return
        super().on_message_complete()
        self._reads_message = False
        self._head_bytes = 0
        self.flow.piece = PIECE
        if self._give is not None:
            self.loop.call_soon(self._give_when_idle)

    def _names_two_hosts(self) -> bool:
        """Whether the target is a whole address, and of another host than the Host header says.

        The address is what counts (RFC 9112, section 3.2.2), and nobody after this sees more of it than its path.
        """
        found = WHOLE_ADDRESS.match(self.url)
        hosts = [value.lower() for name, value in self.headers if name == b"host"]
        return found is not None and hosts != [found[1].lower()]

    def on_response_complete(self) -> None:
        """Go on to the next request, here or in the next process."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._answering = cycle if self.pipeline else None
            self._start_asgi_task(cycle, app)
        elif self.expect_100_continue and self._reads_message and not self._body_bytes:
            # Whoever waited to be asked for a body may leave it out: the next head would be taken for it.
            self.transport.close()
        elif self._refusal_to_come is not None:
            self._refuse(*self._refusal_to_come)
        if not self.pipeline:
            self.flow.is_held = False
            self.flow.resume_reading()
        if self._give is not None:
            self._give_when_idle()

    def is_admitted(self) -> bool:
        """Whether the last request was one of somebody who may come in."""
        return self.cycle is not None and bool(self.cycle.scope.get(ADMITTED))

    def doing(self) -> Doing:
        """What goes on; the admitted are not slow while a body of theirs comes."""
        phase = self._phase()
        if phase is Phase.IDLE:
            return Doing.IDLE
        if self.is_admitted():
            return Doing.BUSY if phase in (Phase.APP, Phase.BODY) else Doing.SLOW
        is_new = phase is Phase.NEW and not self._patience.has_begun
        return Doing.BUSY if is_new or (phase is Phase.APP and not self.flow.write_paused) else Doing.SLOW

    def look(self) -> None:
        """End what has taken too long."""
        waiting = self._look_whether_read()
        if self.transport.is_closing():
            return
        phase = self._phase()
        if phase is Phase.IDLE and waiting:
            phase = Phase.APP  # Nobody asks for the next thing before this one has come.
        elif phase is Phase.IDLE:
            if self._idle_with[0] != self._heads:
                self._idle_with = self._heads, self._came
            elif self._idle_with[1] != self._came:
                phase = Phase.HEAD  # Empty lines came, which belong to no head.
        broken = self._patience.tick(phase, self._heads, self._body_bytes)
        if broken is not None:
            self._cut(phase, broken)

    def _phase(self) -> Phase:
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            waits = not self._reads_message or cycle.waiting_for_100_continue or self.flow.read_paused
            return Phase.APP if waits or self.pipeline or self._is_in_head() else Phase.BODY
        if not self._reads_message:
            return Phase.IDLE if self._came else Phase.NEW
        return Phase.HEAD if self._is_in_head() else Phase.REST

    def _cut(self, phase: Phase, broken: Limit) -> None:
        if phase is Phase.IDLE or not self._reads_message:
            self.transport.close()  # Nothing was asked, so there is nothing to answer.
        elif broken.status:
            self._end_request(broken.status, broken.words, broken.words)
        else:
            self._end(broken.words)

    def _end_request(self, status: int, words: str, kind: str) -> None:
        """End a request that does not come to its end; the app that reads it hears that the client is gone."""
        cycle = self.cycle
        # A head that is not taken has no cycle of its own: what there is belongs to the request before.
        if not self._reads_message or cycle is None or cycle.scope is not self.scope:
            self._refuse(status, words, kind)
            return
        if cycle.response_complete or self.pipeline:
            self._end(kind)
            return
        cycle.disconnected = True
        cycle.message_event.set()
        if cycle.response_started:
            self._end(kind)
        else:
            cycle.response_complete = True
            self._refuse(status, words, kind)

    def _end(self, kind: str) -> None:
        self._note_cut(kind)
        self.transport.abort()

    def _refuse(self, status: int, words: str, kind: str) -> None:
        if self.transport.is_closing():
            return
        if self.pipeline or not (self.cycle is None or self.cycle.response_complete):
            self._refusal_to_come = status, words, kind
            self.flow.pause_reading()
            self.flow.is_held = True
            return
        self._note_cut(kind)
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(words)),
            (b"connection", b"close"),
            NO_STORE,
            *SECURITY_HEADERS,
        ]
        lines = [STATUS_LINE[status], *(b"%s: %s\r\n" % header for header in headers), b"\r\n", words.encode()]
        self.transport.write(b"".join(lines))
        self.transport.close()

    def _is_idle(self) -> bool:
        """Whether all that has come is answered; of a request that is answered already, the rest may still come."""
        if self._reads_message or self.flow.has_rest:
            return False
        return self.cycle is None or self.cycle.response_complete

    def _is_in_head(self) -> bool:
        """Whether what has come so far ends within a head; a message that has begun gets its method when that ends."""
        return self.scope is None or "method" not in self.scope
