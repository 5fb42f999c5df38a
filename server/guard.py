"""Who may talk to the app, and what every answer carries: the outermost layer, for HTTP and WebSocket alike.

Host must be a name of this machine, a change must come from the app's own pages or from no browser at all, and a body
has a limit. The checks read headers only; nothing here knows a route.
"""

from collections.abc import Callable, Iterable

from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
# A host that is let in comes with any port, and each spelling of it is remembered once.
KNOWN_HOSTS = 64
FORM_LIMIT = 1024 * 1024
UPLOAD_LIMIT = 1024 * 1024 * 1024

SECURITY_HEADERS: list[tuple[bytes, bytes]] = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        b"manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
]


class Refused(Exception):
    """A request that the guard does not let through: its status, and a sentence for a person."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Guard:
    """ASGI middleware around the whole app.

    `hosts` are the names that the Host header may carry, without port; `uploads` are the paths that take files, which
    may be as large as UPLOAD_LIMIT, in bytes, where all other bodies end at FORM_LIMIT. `cache` may put a layer between
    the checks and the app: what it keeps is a whole answer, security headers and all, and is not put together again.
    `refusal` makes the answer of a status and a sentence, to a request that is not let through.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Iterable[str],
        uploads: Iterable[str] = (),
        cache: Callable[[ASGIApp], ASGIApp] = lambda app: app,
        refusal: Callable[[Scope, int, str], ASGIApp] = lambda scope, status, words: PlainTextResponse(words, status),
    ) -> None:
        self.app = cache(_Bounds(app, frozenset(uploads)))
        self.refusal = refusal
        self.hosts = frozenset(host.lower().encode() for host in hosts)
        # Host headers that were found right, as they came; few, since most others are refused.
        self._known: set[bytes] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            try:
                self._check(scope)
            except Refused as refused:
                answer = _handshake_refusal if scope["type"] == "websocket" else self.refusal
                await answer(scope, refused.status, refused.message)(scope, receive, _with_security_headers(send))
                return
        await self.app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        """Raises Refused for a request that must not reach the app."""
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        hosts = [value for name, value in headers if name == b"host"]
        if len(hosts) != 1:
            raise Refused(400, "A request names one host, in one Host header.")
        if hosts[0] not in self._known:
            self._check_host(hosts[0])
        if scope["type"] == "http" and scope["method"] in SAFE_METHODS:
            return
        named = dict(headers)
        site = named.get(b"sec-fetch-site")
        origin = named.get(b"origin")
        scheme = {"ws": "http", "wss": "https"}.get(scope["scheme"], scope["scheme"])
        if site is not None:
            allowed = site in (b"same-origin", b"none")
        else:
            # With neither header it is no browser: a script, curl.
            allowed = origin is None or origin == f"{scheme}://".encode() + hosts[0]
        if not allowed:
            raise Refused(403, "A change can only come from this app's own pages. Open the page here and try again.")

    def _check_host(self, host: bytes) -> None:
        if _without_port(host).lower() not in self.hosts:
            raise Refused(403, "This server answers to the names of this machine only; open it as http://localhost.")
        if len(self._known) < KNOWN_HOSTS:
            self._known.add(host)


class _Bounds:
    """Around the app itself: bodies end at their limit, answers carry the security headers."""

    def __init__(self, app: ASGIApp, uploads: frozenset[str]) -> None:
        self.app = app
        self.uploads = uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            receive = self._bounded(scope, receive)
        if scope["type"] in ("http", "websocket"):
            send = _with_security_headers(send)
        await self.app(scope, receive, send)

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        """The same body, ending in 413 where it grows beyond its limit."""
        # Only a file of a multipart form is kept on disk as it comes; anything else is read into memory.
        is_upload = scope["path"] in self.uploads and _is_multipart(scope)
        limit = UPLOAD_LIMIT if is_upload else FORM_LIMIT
        seen = 0

        async def receive_bounded() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise HTTPException(413, f"That is larger than the {limit // 1024 // 1024} MiB that fit here.")
            return message

        return receive_bounded


def _with_security_headers(send: Send) -> Send:
    async def send_guarded(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            message["headers"] = [*message["headers"], *SECURITY_HEADERS]
        await send(message)

    return send_guarded


def _is_multipart(scope: Scope) -> bool:
    return any(name == b"content-type" and value.startswith(b"multipart/") for name, value in scope["headers"])


def _without_port(host: bytes) -> bytes:
    name, colon, port = host.rpartition(b":")
    return name if colon and (port.isdigit() or not port) else host


def _handshake_refusal(scope: Scope, status: int, words: str) -> ASGIApp:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1008, "reason": words})
            return
        headers = [(b"content-type", b"text/plain; charset=utf-8")]
        await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": words.encode()})

    return refuse
