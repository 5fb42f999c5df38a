"""The limit: the smallest ASGI app that answers the bytes of our fragment, with no look at the request.

BENCH_BODY names the file with the bytes; BENCH_HEADERS, where set, one with the headers of our answer in JSON.
"""

import json
import os
from pathlib import Path

from starlette.types import Receive, Scope, Send

BODY = Path(os.environ["BENCH_BODY"]).read_bytes()
HEADERS = [(b"content-type", b"text/html; charset=utf-8"), (b"content-length", str(len(BODY)).encode())]
if "BENCH_HEADERS" in os.environ:
    HEADERS = [
        (name.encode(), value.encode())
        for name, value in json.loads(Path(os.environ["BENCH_HEADERS"]).read_text(encoding="utf-8"))
    ]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


async def _live(receive: Receive, send: Send) -> None:
    for event in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{event}.complete"})
