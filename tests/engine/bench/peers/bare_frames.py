"""The limit of a broadcast: at a POST the same finished frame is written to each connection, with nothing around it."""

from typing import Any

from starlette.types import Receive, Scope, Send
from websockets.frames import Frame, Opcode

# As large as a frame of the list.
FRAME = Frame(Opcode.TEXT, b"x" * 15_500).serialize(mask=False)
transports: set[Any] = set()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Take connections, and forms that say no more than when."""
    if scope["type"] == "lifespan":
        for event in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{event}.complete"})
    elif scope["type"] == "websocket":
        await _stay(scope["extensions"]["server.frames"].transport, receive, send)
    else:
        if scope["method"] == "POST":
            for transport in transports:
                transport.write(FRAME)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


async def _stay(transport: Any, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    transports.add(transport)
    try:
        while (await receive())["type"] != "websocket.disconnect":
            pass
    finally:
        transports.remove(transport)
