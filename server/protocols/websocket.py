"""Uvicorn's WebSocket protocol, which also takes finished frames, can be passed on, and has an end to every wait."""

import socket
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.http11 import Request
from websockets.protocol import State

from server.guard.middleware import ADMITTED
from server.guard.peer_account import CONNECTION, TRANSPORT
from server.guard.utf8 import is_utf8
from server.protocols.connection_table import Doing, connections_of
from server.protocols.deadlines import (
    FRAMES_PER_SECOND,
    UNREAD,
    Patience,
    Phase,
    Unread,
)
from server.protocols.paced_reading import SMALL, PiecewiseFlow, taken_from

NO_UTF8 = "A text is UTF-8."
TOO_MANY = "a WebSocket sent more than 1,000 frames in a second"
# Each frame is compressed by itself, so that the bytes are the same for all. On the fastest level 15 kB become 2 in
# 19 µs, twice the time that it takes to send them to one tab.
DEFLATE = PerMessageDeflate(
    remote_no_context_takeover=True,
    local_no_context_takeover=True,
    remote_max_window_bits=15,
    local_max_window_bits=15,
    compress_settings={"level": 1},
)


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
    # How many frames and messages have come; of the frames, how many until the last look.
    _frames = 0
    _messages = 0
    _frames_before = 0
    _has_come = False
    _is_in_message = False
    _drained = 0

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._server_state = named["server_state"]
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
        self.flow = PiecewiseFlow(transport, self.loop, self._feed)
        # A ping is six bytes, and answered each.
        self.flow.piece = SMALL
        self._patience = Patience(0)
        self._unread = Unread()
        self._table = connections_of(self._server_state)
        self._table.enter(self, self._address())
        if self._taken is not None:
            self.data_received(self._taken.head)
            self.queue.put_nowait({"type": "websocket.receive", "text": self._taken.message})

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._table.leave(self)
        self.flow.forget()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; the head comes in one, from the protocol that has read it."""
        if self.handshake_initiated and (len(data) > SMALL or self.flow.has_rest):
            self.flow.take(data)
        else:
            self._feed(data)

    def _feed(self, data: bytes | memoryview) -> None:
        self._has_come = True
        super().data_received(bytes(data))
        if self._frames - self._frames_before > FRAMES_PER_SECOND:
            self._end(TOO_MANY)

    def handle_events(self) -> None:
        """Count them first."""
        self._frames += len(self.conn.events)
        super().handle_events()

    def send_receive_event_to_app(self) -> None:
        """Give the app a message, and read on when it has taken it; text that is no UTF-8 ends the connection."""
        self._messages += 1
        if self.curr_msg_data_type == "text" and not is_utf8(b"".join(self.frames)):
            # Uvicorn would write a trace to the log, and fail where the peer has closed already.
            self.frames = []
            self.end(1007, NO_UTF8)
            return
        super().send_receive_event_to_app()
        if self.read_paused:
            self.flow.pause_reading()

    async def receive(self) -> Any:
        """The next message, after which reading goes on."""
        message = await self.queue.get()
        if self.read_paused and self.queue.empty():
            self.read_paused = False
            self.flow.resume_reading()
        return message

    async def send(self, message: Any) -> None:
        """Send what the app says; to accept a connection that was taken over changes nothing for the peer."""
        if message["type"] == "websocket.close" and self.close_sent:
            return  # For what the peer has said it was closed already.
        if self._taken is None or self.disconnected:
            await super().send(message)
            if message["type"] == "websocket.http.response.body" and self.close_sent:
                self.handshake_complete = True  # It was refused: nothing was left out.
            if self.close_sent and not self.read_paused:
                self.flow.resume_reading()  # The answer to our closing is yet to come.
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
        """Take no more frames, and read none: each ping is answered."""
        super().pause_writing()
        self._is_full = True
        self.flow.pause_reading()
        self.flow.is_held = True

    def resume_writing(self) -> None:
        """Let the app go on."""
        super().resume_writing()
        self._drained += 1
        self._is_full = False
        self.flow.is_held = False
        if not self.read_paused:
            self.flow.resume_reading()
        if self.on_drain is not None:
            self.on_drain()

    def is_admitted(self) -> bool:
        """Whether it is the page of somebody who may come in."""
        return self.handshake_initiated and bool(self._scope().get(ADMITTED))

    def doing(self) -> Doing:
        """What goes on: a page is open, unless it is being closed."""
        return Doing.SLOW if self.close_sent else Doing.BUSY

    def make_way(self) -> None:
        """End at once; whatever the app says from now on is for nobody."""
        self.disconnected = True
        self.transport.abort()

    def look(self) -> None:
        """End what has taken too long."""
        transport = self.transport
        self._frames_before = self._frames
        waiting = transport.get_write_buffer_size()
        if self._unread.tick(bool(waiting), taken_from(transport, waiting, self._drained) if waiting else 0):
            self._end(UNREAD)
        if transport.is_closing():
            return
        if self._has_come:
            self._has_come = False
            self._is_in_message = bool(self.frames) or not self._is_between_frames()
        phase = Phase.MESSAGE if self._is_in_message and not self.flow.read_paused else Phase.APP
        # Other frames may come between those of a message.
        which = self._messages if self.frames else self._frames
        broken = self._patience.tick(phase, (bool(self.frames), which))
        if broken is not None:
            self._end(broken.words)

    def _end(self, kind: str) -> None:
        self._table.cuts.note(kind, self._address())
        self.make_way()

    def _address(self) -> str:
        return self.client[0] if self.client else ""

    def _scope(self) -> dict[str, Any]:
        return cast(dict[str, Any], self.scope)

    def end(self, code: int, reason: str) -> None:
        """Close the connection, in the end without a word if it takes nothing."""
        if self.close_sent or self.transport.is_closing() or self.conn.state is not State.OPEN:
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.close_timer = self.loop.call_later(self.close_timeout, self.transport.abort)
