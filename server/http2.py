"""HTTP/2 beside HTTP/1.1 on one port, as client and server agree in TLS: zttp reads the one, httptools the other.

Imported only where --http2 is asked for: zttp is not there for everyone.
"""

from typing import Any

import zttp
from uvicorn.protocols.http.auto_zttp_impl import AutoZttpProtocol
from uvicorn.protocols.http.zttp_h2_impl import ZttpH2Protocol

from server.protocol import HttpProtocol

# A setting is two bytes of name and four of value (RFC 9113, section 6.5.1). This one offers WebSockets over HTTP/2
# (RFC 8441), which Uvicorn does not know: a browser that believed it would have none.
OFFER = b"\x00\x08\x00\x00\x00\x01"
NO_OFFER = b"\x00\x08\x00\x00\x00\x00"


class Http2Protocol(ZttpH2Protocol):
    """Uvicorn's HTTP/2, mended where Uvicorn 0.54 and zttp 0.0.35 do not fit together."""

    def connection_made(self, transport: Any) -> None:
        """Greet with settings that can be kept; a client that then says nothing has no longer than an idle one."""
        self.conn.initiate_connection()
        transport.write(self.conn.data_to_send().replace(OFFER, NO_OFFER))
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def handle_request(self, event: zttp.Request) -> None:
        """Begin to answer; a request without a body ends with its head, which Uvicorn does not see."""
        if not event.path.isascii():
            self.conn.stream(event.stream_id).reset()
            return
        super().handle_request(event)
        if event.end_stream:
            cycle = self.cycles[event.stream_id]
            cycle.more_body = False
            cycle.message_event.set()


class EitherProtocol(AutoZttpProtocol):
    """The first of a connection: it hands over to the one that was agreed on."""

    def _switch(self, http2: bool, initial_data: bytes = b"") -> None:
        chosen: Any = Http2Protocol if http2 else HttpProtocol
        protocol = chosen(config=self.config, server_state=self.server_state, app_state=self.app_state, _loop=self.loop)
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        if initial_data:
            protocol.data_received(initial_data)
