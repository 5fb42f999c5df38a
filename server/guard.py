"""Who may talk to the app, and what every answer carries: the outermost layer, for HTTP and WebSocket alike.

Host must be a name of this machine, a change must come from the app's own pages or from no browser at all, whoever
must be signed in is, and a body has a limit. The checks read headers only; nothing here knows a route.
"""

import re
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.bodies import FORM_LIMIT, limited, limited_messages, shallow
from server.fragments import headers_by_name

SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
# A host that is let in comes with any port, and each spelling of it is remembered once for each address of ours.
KNOWN_HOSTS = 64
# Where `admit` says in a scope that who asks may come in, and not only to what is open to everybody.
ADMITTED = "server.admitted"
Name = str | IPv4Address | IPv6Address
HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{0,5}))?")

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

    `hosts` are the names that the Host header may carry, without port; the address that a connection came in on will do
    as well. `uploads` are the paths that take files, which may be as large as `max_upload`, in bytes, where all other
    bodies end at FORM_LIMIT. `admit` raises Refused for who has to sign in first, and sets ADMITTED in the scope of who
    may come in. `cache` may put a layer between the checks and the app: what it keeps is a whole answer, security
    headers and all, and is not put together again. `refusal` makes the answer of a status and a sentence, to a request
    that is not let through.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Iterable[str],
        uploads: Iterable[str] = (),
        max_upload: int = FORM_LIMIT,
        admit: Callable[[Scope], None] = lambda scope: None,
        cache: Callable[[ASGIApp], ASGIApp] = lambda app: app,
        refusal: Callable[[Scope, int, str], ASGIApp] = lambda scope, status, words: PlainTextResponse(words, status),
    ) -> None:
        self.app = cache(_Bounds(app, frozenset(uploads), max_upload))
        self.admit = admit
        self.refusal = refusal
        self.hosts = frozenset(_read(host.strip("[]")) for host in hosts)
        # Host headers that were found right, as they came, each with the address that the connection came in on; few,
        # since most others are refused.
        self._known: set[tuple[bytes, str]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            try:
                self._check(scope)
                self.admit(scope)
            except Refused as refused:
                answer = _handshake_refusal if scope["type"] == "websocket" else self.refusal
                await answer(scope, refused.status, refused.message)(scope, receive, _with_security_headers(send))
                return
        await self.app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        """Raises Refused for a request that must not reach the app."""
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        named = headers_by_name(scope)
        host = named.get(b"host")
        # Where no name comes twice, Host does not either: every request is looked at, and few have to be counted.
        is_one = len(named) == len(headers) or sum(name == b"host" for name, _ in headers) == 1
        if host is None or not is_one:
            raise Refused(400, "A request names one host, in one Host header.")
        address = local_address(scope)
        if (host, address) not in self._known:
            self._check_host(host, address)
        if scope["type"] == "http" and scope["method"] in SAFE_METHODS:
            return
        site = named.get(b"sec-fetch-site")
        origin = named.get(b"origin")
        scheme = {"ws": "http", "wss": "https"}.get(scope["scheme"], scope["scheme"])
        if site is not None:
            allowed = site in (b"same-origin", b"none")
        else:
            # With neither header it is no browser: a script, curl.
            allowed = origin is None or origin == f"{scheme}://".encode() + host
        if not allowed:
            raise Refused(403, "A change can only come from this app's own pages. Open the page here and try again.")

    def _check_host(self, host: bytes, address: str) -> None:
        name = _name_of(host)
        # A page of another site can give a name of its own to this address, but not make a browser write the address.
        if name not in self.hosts and (isinstance(name, str) or name != _plain(address)):
            raise Refused(
                403,
                "This server answers to the names of this machine only: open it as http://localhost, "
                "or start it with this name as --allow-host.",
            )
        if len(self._known) < KNOWN_HOSTS:
            self._known.add((host, address))


def local_address(scope: Scope) -> str:
    """The address of this machine that the connection came in on; empty where that is not known."""
    server = scope.get("server")
    return server[0] if server else ""


def _name_of(host: bytes) -> Name:
    """The name or address in a Host header; raises Refused for what is neither."""
    found = HOST.fullmatch(host)
    name = _read(found[1].decode().strip("[]")) if found else ""
    if not found or int(found[2] or 0) > 65535 or found[1].startswith(b"[") != isinstance(name, IPv6Address):
        raise Refused(400, "The Host header holds a name or an address, and behind a colon a port if there is one.")
    return name


def _read(name: str) -> Name:
    try:
        return ip_address(name)
    except ValueError:
        return name.lower()


def _plain(address: str) -> Name:
    """An address as a Host header has it: without its interface, and IPv4 as such where it came over IPv6."""
    return _read(address.partition("%")[0].removeprefix("::ffff:"))


class _Bounds:
    """Around the app itself: what is sent ends at its limit, answers carry the security headers."""

    def __init__(self, app: ASGIApp, uploads: frozenset[str], max_upload: int) -> None:
        self.app = app
        self.uploads = uploads
        self.max_upload = max_upload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            receive = self._bounded(scope, receive)
        elif scope["type"] == "websocket":
            receive, send = limited_messages(receive, send)
        if scope["type"] in ("http", "websocket"):
            send = _with_security_headers(send)
        await self.app(scope, receive, send)

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        """The body, as far as it may go."""
        kind = next((value.lower() for name, value in scope["headers"] if name == b"content-type"), b"")
        # Only a file of a multipart form is kept on disk as it comes; anything else is read into memory.
        if scope["path"] in self.uploads and kind.startswith(b"multipart/"):
            return limited(receive, self.max_upload)
        # What does not say its kind may be read as JSON.
        return limited(shallow(receive) if b"json" in kind or not kind else receive, FORM_LIMIT)


def _with_security_headers(send: Send) -> Send:
    async def send_guarded(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            message["headers"] = [*message["headers"], *SECURITY_HEADERS]
        await send(message)

    return send_guarded


def _handshake_refusal(scope: Scope, status: int, words: str) -> ASGIApp:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1008, "reason": words})
            return
        headers = [(b"content-type", b"text/plain; charset=utf-8")]
        await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": words.encode()})

    return refuse
