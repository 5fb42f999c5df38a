"""The outermost ASGI layer: refuses requests that are not the app's to answer, and adds headers to every answer.

Host must be a name of this machine, a change must come from the app's own pages or from no browser at all, another
site may only link to a page, no proxy speaks that was not named, whoever must be signed in is, and what is sent is
UTF-8 and has a limit. The checks read headers only; nothing here knows a route.
"""

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from server.guard.host_names import (
    Host,
    is_of_machine,
    named,
    of_header,
)
from server.guard.peer_account import CONNECTION, OWNER
from server.guard.request_bodies import (
    FORM_LIMIT,
    KEPT_FORMS,
    STRANGER_LIMIT,
    check_fields,
    checked,
    limited_messages,
)
from server.guard.request_headers import HEADERS, cookie_header, headers_by_name
from server.guard.request_origin import (
    OWN_SITES,
    PROXY,
    SAFE_METHODS,
    TELLING,
    is_own_page,
    is_passed_on,
    keeps_open,
    refusal,
)
from server.guard.security_headers import SECURITY_HEADERS, reporting, with_security_headers
from server.guard.utf8 import is_escaped_utf8

# A host that is let in comes with any port, and each spelling of it is remembered once.
KNOWN_HOSTS = 64
# Where `admit` says in a scope that who asks may come in, and not only to what is open to everybody. The value is true
# and hashable, and another one for each session: what is bounded for one person is counted by it.
ADMITTED = "server.admitted"
# Where the protocol keeps, in the scope of each request of a connection whose head is the same byte for byte after its
# first line, one table for all of them. The guard puts the headers there by their names once it has found them right,
# whatever is asked for.
REPEATED = "server.repeated_head"
# What cookies may come with a request: whoever sends more has them parsed before it is known who asks, and their texts
# are kept for a while. The cookies of other apps of this machine come along, as cookies know no ports.
COOKIE_LIMIT = 8 * 1024
COOKIES = 100
# So short, they are few: each but the last has two bytes at least.
SHORT_COOKIES = 2 * COOKIES
COOKIES_TOO_LARGE = (
    f"The cookies of this request are more than {COOKIES}, or larger than {COOKIE_LIMIT // 1024} KiB. Delete the "
    "cookies of this site in the browser, then open the page again."
)


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
    bodies end at FORM_LIMIT, and all of who is not let in at STRANGER_LIMIT. `admit` raises Refused for who has to sign
    in first, and sets ADMITTED in the scope of who may come in; `count` is told of each request that is refused before
    that, and raises Refused for a client that has too many of them. `cache` may put a layer between the checks and the
    app: what it keeps is a whole answer, security headers and all, and is not put together again. `refusal` makes the
    answer of a status and a sentence, to a request that is not let through. `is_download` says of a path whether it
    gives a file, to which no other site may lead. `is_private` says that only this machine comes in, where nobody signs
    in; `behind_proxy` that a proxy was named. `reports` is the path where browsers report what the policy has made them
    refuse.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Iterable[str],
        uploads: Iterable[str] = (),
        max_upload: int = FORM_LIMIT,
        admit: Callable[[Scope], None] = lambda scope: scope.update({ADMITTED: True}),
        count: Callable[[Scope], None] = lambda scope: None,
        cache: Callable[[ASGIApp], ASGIApp] = lambda app: app,
        refusal: Callable[[Scope, int, str], ASGIApp] = lambda scope, status, words: PlainTextResponse(words, status),
        is_download: Callable[[str], bool] = lambda path: False,
        is_private: bool = False,
        behind_proxy: bool = False,
        reports: str = "",
    ) -> None:
        self.headers = reporting(reports) if reports else SECURITY_HEADERS
        self.app = cache(_Bounds(app, frozenset(uploads), max_upload, refusal, self._guarded))
        self.admit = admit
        self.count = count
        self.refusal = refusal
        self.is_download = is_download
        self.is_private = is_private
        self.behind_proxy = behind_proxy
        self.hosts = frozenset(map(named, hosts))
        # Whose pages are the app's own behind a proxy, which may have changed the name and the port that it asks for.
        self.pages = frozenset(host for host in self.hosts if not is_of_machine(host)) if behind_proxy else None
        # Host headers that were found right, as they came; few, since most others are refused. One that holds an
        # address comes with that on which it was right.
        self._known: set[Any] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            try:
                found_right = scope.get(REPEATED)
                if found_right and scope["method"] in SAFE_METHODS and scope["http_version"] == "1.1":
                    scope[HEADERS] = found_right
                else:
                    self._check(scope)
                connection = scope.get(CONNECTION)
                if connection and connection.get(OWNER):
                    scope[ADMITTED] = OWNER
                else:
                    self.admit(scope)
            except Refused as refused:
                answer = _handshake_refusal if scope["type"] == "websocket" else self.refusal
                await answer(scope, refused.status, refused.message)(scope, receive, self._guarded(scope, send))
                return
        await self.app(scope, receive, send)

    def _guarded(self, scope: Scope, send: Send) -> Send:
        return with_security_headers(scope, send, self.headers)

    def _check(self, scope: Scope) -> None:
        """Raises Refused for a request that must not reach the app.

        Each step counts, as a kept fragment takes 19 µs in all: what most requests are is seen with few looks.
        """
        headers = scope["headers"]
        named: dict[bytes, bytes] = dict(headers)
        scope[HEADERS] = named
        host = named.get(b"host")
        if (
            (host in self._known or (host, scope.get("server")) in self._known)
            and named.get(b"sec-fetch-site") in OWN_SITES
            and scope.get("http_version") == "1.1"
            and TELLING.isdisjoint(named)
            and len(named) == len(headers)
            and scope.get("method") in SAFE_METHODS
            and (b"user-agent" not in named or keeps_open(named))
            and (len(named.get(b"cookie", b"")) < SHORT_COOKIES or _are_few(named[b"cookie"]))
            and (b"referer" not in named or is_own_page(named[b"referer"], host))
        ):
            if REPEATED in scope:
                scope[REPEATED].update(named)
            return
        try:
            self._check_all(scope, named, host)
        except Refused:
            self.count(scope)
            raise

    def _check_all(self, scope: Scope, named: dict[bytes, bytes], host: bytes | None) -> None:
        if not _are_few(cookie_header(scope)):
            raise Refused(431, COOKIES_TOO_LARGE)
        if host is None or sum(name == b"host" for name, _ in scope["headers"]) != 1:
            raise Refused(400, "A request names one host, in one Host header.")
        if not self.behind_proxy and is_passed_on(scope, named, is_private=self.is_private):
            raise Refused(403, PROXY)
        if not (host in self._known or (host, scope.get("server")) in self._known):
            self._check_host(host, scope)
        why = refusal(scope, named, is_download=self.is_download(scope["path"]), pages=self.pages)
        if why:
            raise Refused(403, why)

    def _check_host(self, host: bytes, scope: Scope) -> None:
        try:
            name = of_header(host)
        except ValueError:
            raise Refused(
                400, "The Host header holds a name or an address, and behind a colon a port if there is one."
            ) from None
        is_named = name in self.hosts
        # A page of another site can give a name of its own to this address, but not make a browser write the address.
        if not is_named and (isinstance(name, str) or name != _plain(local_address(scope))):
            raise Refused(
                403,
                "This server answers to the names of this machine only: open it as http://localhost, "
                "or start it with this name as --allow-host.",
            )
        if len(self._known) < KNOWN_HOSTS:
            self._known.add(host if is_named else (host, scope.get("server")))


def local_address(scope: Scope) -> str:
    """The address of this machine that the connection came in on; empty where that is not known."""
    server = scope.get("server")
    return server[0] if server else ""


def _are_few(cookies: bytes) -> bool:
    """Whether these are not too many cookies, and not too large."""
    return len(cookies) < SHORT_COOKIES or (len(cookies) <= COOKIE_LIMIT and cookies.count(b";") < COOKIES)


def _plain(address: str) -> Host:
    """An address as a Host header has it: without its interface, and IPv4 as such where it came over IPv6."""
    return named(address.partition("%")[0].removeprefix("::ffff:"))


class _Bounds:
    """Around the app itself: what is sent is UTF-8 and ends at its limit, answers carry the security headers."""

    def __init__(
        self,
        app: ASGIApp,
        uploads: frozenset[str],
        max_upload: int,
        refusal: Callable[[Scope, int, str], ASGIApp],
        guarded: Callable[[Scope, Send], Send],
    ) -> None:
        self.app = app
        self.uploads = uploads
        self.max_upload = max_upload
        self.refusal = refusal
        self.guarded = guarded

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        send = self.guarded(scope, send)
        if scope["type"] == "websocket":
            await self.app(scope, *limited_messages(receive, send))
            return
        try:
            _check_address(scope)
            limit = FORM_LIMIT if ADMITTED in scope else STRANGER_LIMIT
            takes_files = ADMITTED in scope and scope["path"] in self.uploads
            inner, receive = checked(
                scope, receive, limit=limit, upload_limit=self.max_upload if takes_files else limit
            )
        except HTTPException as error:
            await self.refusal(scope, error.status_code, error.detail)(scope, receive, send)
            return
        forms: list[Any] = []
        inner[KEPT_FORMS] = forms
        try:
            await self.app(inner, receive, send)
        finally:
            for form in forms:
                await form.close()


def _check_address(scope: Scope) -> None:
    """Raises HTTPException for an address that is no text, the one asked for or that of the page which asks."""
    page = headers_by_name(scope).get(b"hx-current-url", b"")
    try:
        query = urlsplit(page.decode()).query.encode() if page else b""
    except ValueError:
        raise HTTPException(400, "The header HX-Current-URL holds no address.") from None
    if not is_escaped_utf8(scope.get("raw_path") or b""):
        raise HTTPException(404, "No page has this address: what is escaped in it (%…) is no UTF-8.")
    for fields in filter(None, (scope["query_string"], query)):
        check_fields(fields)


def _handshake_refusal(scope: Scope, status: int, words: str) -> ASGIApp:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1008, "reason": words})
            return
        headers = [(b"content-type", b"text/plain; charset=utf-8")]
        await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": words.encode()})

    return refuse
