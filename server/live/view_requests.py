"""The app is asked for a view as htmx would ask it: guard and cache included, with the viewer's own cookies."""

import asyncio
import logging
from collections.abc import Collection, Hashable
from typing import Any, NamedTuple
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Scope

from server.guard.middleware import ADMITTED
from server.guard.peer_account import CONNECTION, OWNER
from server.guard.request_headers import cookie_header, headers_by_name

logger = logging.getLogger("uvicorn.error")

RENDER_SECONDS = 10
RENDER_LIMIT = 4 * 1024 * 1024


class Unanswered(Exception):
    """A view that the app did not render as HTML; the text says why."""


class Viewer(NamedTuple):
    """Who sees it, as far as the app is told: views of the same person and address are one."""

    host: bytes
    cookie: bytes
    scheme: str
    server: Any
    # Whether the connection comes in without a session.
    is_owner: bool = False
    # For whom it is let in: whatever else a browser says, what is bounded for one person is counted by this.
    admitted: Hashable = None

    @classmethod
    def of(cls, scope: Scope, cookies: Collection[str]) -> "Viewer":
        """Whoever has opened this connection; `cookies` are the names of those that the app reads."""
        scheme = "https" if scope["scheme"] in ("wss", "https") else "http"
        is_owner = bool(scope.get(CONNECTION, {}).get(OWNER))
        cookie = _only(cookies, cookie_header(scope))
        host, server = headers_by_name(scope)[b"host"], scope.get("server")
        return cls(host, cookie, scheme, server, is_owner, scope.get(ADMITTED))


class Answer:
    """What the app answers for an address, as it comes in; complete when the app has returned."""

    def __init__(self, url: str, status: int = 0, body: str = "") -> None:
        self.url = url
        self.status = status
        self.headers: dict[bytes, bytes] = {}
        self.body = bytearray(body.encode())
        self._is_asked = False

    async def receive(self) -> Message:
        """The request, which has no body; after it nobody hangs up."""
        if self._is_asked:
            await asyncio.get_running_loop().create_future()
        self._is_asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Message) -> None:
        """Take the next piece. Raises Unanswered for what is no HTML, or too much."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
            if not self.headers.get(b"content-type", b"").startswith(b"text/html"):
                raise Unanswered(f"{self.url} is no HTML and cannot be live.")
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")
            if len(self.body) > RENDER_LIMIT:
                raise Unanswered(f"{self.url} is larger than a live fragment may be, {RENDER_LIMIT} bytes.")


async def ask(app: ASGIApp, url: str, person: Viewer, *, failed_before: bool) -> Answer:
    """What the app answers this person. Raises Unanswered where that is no HTML, or takes too long.

    An exception is logged with its trace, unless the view `failed_before` already.
    """
    answer = Answer(url)
    try:
        async with asyncio.timeout(RENDER_SECONDS):
            await app(_request(url, person), answer.receive, answer.send)
    except Unanswered:
        raise
    except TimeoutError:
        raise Unanswered(f"{url} was not rendered within {RENDER_SECONDS} seconds.") from None
    except Exception:
        # The app answers an exception, and then raises it for the log.
        if not failed_before:
            logger.exception("%s failed", url)
        if not answer.body:
            raise Unanswered(f"{url} failed; what happened is in the log.") from None
    if not answer.body:
        raise Unanswered(f"{url} is empty and cannot be live.")
    return answer


def _only(names: Collection[str], header: bytes) -> bytes:
    """A Cookie header with these cookies alone, each once and in one order; of several with one name the last.

    It is split as Starlette's `cookie_parser` does, so that the app reads the same of it.
    """
    pairs = (piece.partition("=") for piece in header.decode("latin-1").split(";") if "=" in piece)
    found = {name.strip(): value.strip() for name, _, value in pairs if name.strip() in names}
    return "; ".join(f"{name}={found[name]}" for name in sorted(found)).encode("latin-1")


def _request(url: str, person: Viewer) -> Scope:
    """The request for a view. Nothing may be in it that is not part of the person."""
    path, _, query = url.partition("?")
    headers = [(b"host", person.host), (b"hx-request", b"true")]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": person.scheme,
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [*headers, (b"cookie", person.cookie)] if person.cookie else headers,
        "client": None,
        "server": person.server,
        "state": {},
        CONNECTION: {OWNER: person.is_owner},
    }
