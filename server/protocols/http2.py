"""HTTP/2 beside HTTP/1.1 on one port, as client and server agree in TLS: zttp reads the one, httptools the other.

Imported only where --http2 is asked for: zttp is not there for everyone. Its limits are those of HTTP/1.1
(server/protocols/deadlines.py), for each stream by itself where it has a body or an answer.
"""

import asyncio
from functools import partial
from typing import Any

import zttp
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.auto_zttp_impl import AutoZttpProtocol
from uvicorn.protocols.http.zttp_h2_impl import ZttpH2Protocol

from server.guard.middleware import ADMITTED
from server.guard.peer_account import CONNECTION
from server.guard.security_headers import NO_STORE, SECURITY_HEADERS
from server.protocols.connection_bounds import BoundedConnection
from server.protocols.connection_table import Doing
from server.protocols.deadlines import (
    BY_ITSELF,
    FRAMES_PER_SECOND,
    HEAD_FIELDS,
    HEAD_LIMIT,
    UNREAD,
    Patience,
    Phase,
    Unread,
)
from server.protocols.http1 import TOO_LARGE, HttpProtocol
from server.protocols.http2_frames import Frames
from server.protocols.paced_reading import PIECE

# A setting is two bytes of name and four of value (RFC 9113, section 6.5.1). This one offers WebSockets over HTTP/2
# (RFC 8441), which Uvicorn does not know: a browser that believed it would have none.
OFFER = b"\x00\x08\x00\x00\x00\x01"
NO_OFFER = b"\x00\x08\x00\x00\x00\x00"
# How much of an answer waits for the client's window; the app waits with the rest.
ROOM = 64 * 1024
# A client that takes an answer gives more room now and then: once for so many bytes, at the most.
BYTES_AN_UPDATE = 1024
NO_ERROR, CANCEL = 0, 8
FLOOD = "it sent more than 1,000 frames without content in a second"
NOT_HTTP2 = "it sent what is not HTTP/2, or not taken"


class Http2Protocol(BoundedConnection, ZttpH2Protocol):
    """Uvicorn's HTTP/2, with limits, and mended where Uvicorn 0.54 and zttp 0.0.35 do not fit together."""

    _came = 0
    _requests = 0
    # Of the frames without content, of the updates of windows, and of the bytes sent: how many until the last look.
    _before = (0, 0, 0)
    _sent = 0
    _last: Scope | None = None
    _closes = False

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.app: Any = self._within_windows(self.app)
        self._frames = Frames(self.cycles)
        self._patience_of: dict[int, Patience] = {}
        self._sending: dict[int, _Sending] = {}
        self._blocked: dict[int, asyncio.Future[None]] = {}
        # Streams whose answer is finished, and whose body is still coming.
        self._unfinished: set[int] = set()

    def connection_made(self, transport: Any) -> None:
        """Greet with settings that can be kept."""
        self.conn.initiate_connection()
        transport.write(self.conn.data_to_send().replace(OFFER, NO_OFFER))
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        super().connection_lost(exc)
        self._let_go_on()

    def data_received(self, data: bytes) -> None:
        """Read on."""
        if len(data) > PIECE or self.flow.has_rest:
            self.flow.take(data)
        else:
            self._feed(data)

    def _feed(self, data: bytes | memoryview) -> None:
        self._came += len(data)
        begun = self._frames.begun
        self._frames.feed(data)
        self.flow.fit(self._frames.begun - begun)
        try:
            self.conn.receive_data(data)
            self.handle_events()
        except zttp.RemoteProtocolError:
            self._end(NOT_HTTP2)
            return
        if self._frames.head_bytes > HEAD_LIMIT:
            self._end("a head was too large")
        elif self._is_flood():
            self._end(FLOOD)
        else:
            self.flush()
            self._let_go_on()

    def _is_flood(self) -> bool:
        empty, updates, sent = self._before
        fair = (self._sent - sent) // BYTES_AN_UPDATE
        frames = self._frames
        return frames.empty - empty + max(0, frames.updates - updates - fair) > FRAMES_PER_SECOND

    def handle_request(self, event: zttp.Request) -> None:
        """Begin to answer; a request without a body ends with its head, which Uvicorn does not see."""
        stream = self.conn.stream(event.stream_id)
        if not event.path.isascii():
            stream.reset()
            return
        if len(event.headers) > HEAD_FIELDS:
            self._answer(event.stream_id, 431, TOO_LARGE)
            return
        self._requests += 1
        super().handle_request(event)
        cycle = self.cycles[event.stream_id]
        cycle.scope[CONNECTION] = self._connection  # type: ignore[literal-required]
        self._last = cycle.scope  # type: ignore[assignment]
        if event.end_stream:
            cycle.more_body = False
            cycle.message_event.set()

    def handle_rst_stream(self, event: zttp.RstStream) -> None:
        """The client wants no answer any more."""
        super().handle_rst_stream(event)
        self._unfinished.discard(event.stream_id)

    def on_response_complete(self, stream_id: int) -> None:
        """Go on; what is still to come of an answered body is not wanted (RFC 9113, section 8.1)."""
        cycle = self.cycles.get(stream_id)
        if cycle is not None and cycle.more_body and not cycle.disconnected:
            self._unfinished.add(stream_id)
        super().on_response_complete(stream_id)
        self._let_go_on()

    def on_stream_closed(self) -> None:
        """Read on, or close where that was asked for; how long a connection is idle is looked at."""
        if self.transport.is_closing():
            return
        self.resume_reading_if_idle()
        if self.shutdown_requested and not self.cycles:
            self._close_connection()

    def _close_connection(self) -> None:
        """Close, when finished answers have gone."""
        self._closes = True
        if not self._pending():
            super()._close_connection()

    def _within_windows(self, app: ASGIApp) -> ASGIApp:
        """The app, which waits with its answer for the client to take what it has."""

        async def run(scope: Scope, receive: Receive, send: Send) -> None:
            await app(scope, receive, partial(self._send, send.__self__))  # type: ignore[attr-defined]

        return run

    async def _send(self, cycle: Any, message: Message) -> None:
        if cycle.stream.stream_id in self._sending:
            await self._room(cycle)
        body = message.get("body", b"")
        while len(body) > ROOM:
            await cycle.send({**message, "body": body[:ROOM], "more_body": True})
            self._note_sent(cycle, ROOM)
            body = body[ROOM:]
            message = {**message, "body": body}
            await self._room(cycle)
        await cycle.send(message)
        if body:
            self._note_sent(cycle, len(body))

    def _note_sent(self, cycle: Any, size: int) -> None:
        self._sent += size
        id = cycle.stream.stream_id
        # What the client had room for before it had to be waited for has been taken too.
        cycle.given = getattr(cycle, "given", 0) + size
        if id in self._sending:
            self._sending[id].given = cycle.given
        elif cycle.stream.pending_bytes:
            self._sending[id] = _Sending(cycle.given)

    async def _room(self, cycle: Any) -> None:
        id = cycle.stream.stream_id
        while not cycle.disconnected and self._waiting(id) > ROOM:
            self._blocked[id] = self.loop.create_future()
            await self._blocked[id]

    def _let_go_on(self) -> None:
        """Have those send on for whom there is room, and close what has come to its end."""
        for id, blocked in list(self._blocked.items()):
            if id not in self.cycles or self.cycles[id].disconnected or self._waiting(id) <= ROOM:
                del self._blocked[id]
                if not blocked.done():
                    blocked.set_result(None)
        for id in list(self._unfinished):
            if not self._waiting(id):
                self._unfinished.discard(id)
                self._reset(id, NO_ERROR)
        if self._closes and not self.cycles:
            self._close_connection()

    def _waiting(self, id: int) -> int:
        """How many bytes of a stream wait for the client's window."""
        return self.conn.stream(id).pending_bytes or 0

    def _pending(self) -> bool:
        return any(self._waiting(id) for id in self._sending)

    def is_admitted(self) -> bool:
        """Whether the last request was one of somebody who may come in."""
        return self._last is not None and bool(self._last.get(ADMITTED))

    def doing(self) -> Doing:
        """What goes on; the admitted are not slow while a body of theirs comes."""
        if not self._came:
            return Doing.SLOW if self._patience.has_begun else Doing.BUSY
        if not self.cycles:
            return Doing.SLOW if self._sending else Doing.IDLE
        at_work = any(not (cycle.more_body or id in self._sending) for id, cycle in self.cycles.items())
        return Doing.BUSY if at_work or self.is_admitted() else Doing.SLOW

    def look(self) -> None:
        """End what has taken too long."""
        self._before = self._frames.empty, self._frames.updates, self._sent
        self._look_whether_read()
        if self.transport.is_closing():
            return
        self._look_at_answers()
        self._look_at_bodies()
        phase = self._phase()
        which = self._frames.begun if phase is Phase.HEAD else self._requests
        broken = self._patience.tick(phase, which)
        if broken is not None and phase is Phase.HEAD:
            self._end(broken.words)
        elif broken is not None:
            super()._close_connection()

    def _phase(self) -> Phase:
        if not self._came:
            return Phase.NEW
        if self._frames.is_begun and not self.flow.read_paused:
            return Phase.HEAD
        return Phase.APP if self.cycles or self._sending else Phase.IDLE

    def _look_at_answers(self) -> None:
        for id, sending in list(self._sending.items()):
            waiting = self._waiting(id)
            if not waiting:
                del self._sending[id]
            elif sending.unread.tick(True, max(0, sending.given - waiting - BY_ITSELF)):
                self._cut(id, UNREAD)

    def _look_at_bodies(self) -> None:
        bodies = self._frames.bodies
        reading = {
            id: cycle
            for id, cycle in self.cycles.items()
            if cycle.more_body and not (cycle.response_complete or self.flow.read_paused)
        }
        self._patience_of = {id: self._patience_of.get(id) or Patience(0) for id in reading}
        for id in bodies.keys() - self.cycles.keys():
            del bodies[id]
        for id, cycle in reading.items():
            broken = self._patience_of[id].tick(Phase.BODY, 0, bodies.get(id, 0))
            if broken is not None:
                if not cycle.response_started:
                    self._answer(id, broken.status, broken.words)
                self._cut(id, broken.words, NO_ERROR if not cycle.response_started else CANCEL)

    def _answer(self, id: int, status: int, words: str) -> None:
        stream = self.conn.stream(id)
        stream.send_response(status, [(b"content-type", b"text/plain; charset=utf-8"), NO_STORE, *SECURITY_HEADERS])
        stream.send_data(words.encode())
        stream.end_message()

    def _cut(self, id: int, kind: str, error: int = CANCEL) -> None:
        """End one stream; the app hears that the client is gone."""
        self._note_cut(kind)
        self._sending.pop(id, None)
        self._unfinished.discard(id)
        cycle = self.cycles.pop(id, None)
        self._reset(id, error)
        if cycle is not None:
            cycle.disconnected = True
            cycle.message_event.set()
            self.on_stream_closed()
        self._let_go_on()

    def _reset(self, id: int, error: int) -> None:
        if not self.transport.is_closing():
            self.conn.stream(id).reset(error)
            self.flush()

    def _end(self, kind: str) -> None:
        self._note_cut(kind)
        self.flow.forget()
        for cycle in self.cycles.values():
            cycle.disconnected = True
            cycle.message_event.set()
        super()._close_connection()


class _Sending:
    """A stream that has more to send than the client has room for, and how much of its answer it was given in all."""

    def __init__(self, given: int) -> None:
        self.given = given
        self.unread = Unread()


class EitherProtocol(AutoZttpProtocol):
    """The first of a connection: it hands over to the one that was agreed on."""

    def _switch(self, http2: bool, initial_data: bytes = b"") -> None:
        chosen: Any = Http2Protocol if http2 else HttpProtocol
        protocol = chosen(config=self.config, server_state=self.server_state, app_state=self.app_state, _loop=self.loop)
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        if initial_data:
            protocol.data_received(initial_data)
