"""The fragment cache: the bytes of a fragment are kept until the next commit.

The rule: a fragment is a pure function of its URL, the person, the committed data and the code. A route says that it
keeps to this with `@fragment`; only its answers are kept. What else a view depends on becomes one of the four: the
day, which a view asks for with `today()`, is then part of its key, in the person's time zone.

Nothing here knows the database. The change token, any value that differs after a commit, is handed in as a function.
"""

import logging
import zoneinfo
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from functools import lru_cache, wraps
from hashlib import blake2b
from inspect import iscoroutinefunction
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote

from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.guard.request_headers import cookie_header, headers_by_name
from server.protocols import uvicorn_internals

logger = logging.getLogger("uvicorn.error")

Handler = TypeVar("Handler", bound=Callable[..., Any])
# The values of the two cookies that say who it is, session and time zone, and whether they are signed in.
Person = tuple[str, str, str]
Key = tuple[Any, ...]
ZONE_COOKIE = "timezone"
NOBODY: Person = ("", "", "")
# Where a scope says that the person is signed in; whoever checks it sets it to any text.
SIGNED_IN = "server.signed_in"

# What an entry costs beside its body and its key: headers and place in the table, measured with tracemalloc.
ENTRY_BYTES = 1024
# In development every so many hits one answer is rendered again and compared.
CHECK_EVERY = 32
VARY = b"HX-Request, HX-History-Restore-Request, Cookie"


@dataclass
class _Rendering:
    """What a route has said, while it renders, about the view that is being made."""

    zone: tzinfo | None = None
    signed_in: bool = False
    is_fragment: bool = False
    day: date | None = None
    # Whether JSON is asked for; and the same once the route has asked for it.
    accepts_json: bool = False
    json: bool | None = None


class _Entry(NamedTuple):
    token: Hashable
    # The day that it was made on, for a view that asked for it.
    day: date | None
    # Whether it is what is answered to those who ask for JSON, or to the others; None where that is the same.
    json: bool | None
    etag: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    # The same headers as they go over the wire; None where they cannot be written as they are.
    head: bytes | None


_rendering: ContextVar[_Rendering | None] = ContextVar("view", default=None)


def fragment(handler: Handler) -> Handler:
    """Promise that a route's answer is a pure function of (URL, person, committed data, code), so it may be kept.

    Only what promises it can be shown live.
    """

    def promise() -> None:
        view = _rendering.get()
        if view is not None:
            view.is_fragment = True

    if iscoroutinefunction(handler):

        @wraps(handler)
        async def asynchronous(*args: Any, **named: Any) -> Any:
            promise()
            return await handler(*args, **named)

        asynchronous.is_fragment = True  # type: ignore[attr-defined]
        return asynchronous  # type: ignore[return-value]

    @wraps(handler)
    def synchronous(*args: Any, **named: Any) -> Any:
        promise()
        return handler(*args, **named)

    synchronous.is_fragment = True  # type: ignore[attr-defined]
    return synchronous  # type: ignore[return-value]


def is_fragment(handler: object) -> bool:
    """Whether a function has made the promise of a fragment."""
    return getattr(handler, "is_fragment", False) is True


def wants_json() -> bool:
    """Whether the answer is for a program that asks for JSON; it is kept for those that ask for the same."""
    view = _rendering.get()
    if view is None:
        return False
    view.json = view.accepts_json
    return view.accepts_json


def today() -> date:
    """The day in the person's time zone; a view that asks for it is made anew when the day turns."""
    view = _rendering.get()
    if view is None:
        return _day(None)
    view.day = view.day or _day(view.zone)
    return view.day


def zone() -> tzinfo | None:
    """The person's time zone, None for the machine's own; it is part of the person, so any view may ask for it."""
    view = _rendering.get()
    return view.zone if view else None


def signed_in() -> bool:
    """Whether the person has signed in, and so can sign out; it is part of the person, so any view may ask for it."""
    view = _rendering.get()
    return view is not None and view.signed_in


def cookies_of(scope: Scope) -> Mapping[str, str]:
    """The cookies as the app reads them: read otherwise, one could be shown what another one sees."""
    return _parsed(cookie_header(scope))


class FragmentCache:
    """ASGI middleware that answers a kept fragment without reaching the app.

    `token` gives the commit token, `session_cookie` and `zone_cookie` name the cookies that say who the person is,
    `limit` bounds what is kept, in bytes, the least recently used going first. With `check` set, an answer is now and
    then rendered again, and a difference is reported in the log.
    """

    def __init__(
        self,
        app: ASGIApp,
        token: Callable[[], Hashable],
        *,
        session_cookie: str,
        zone_cookie: str = ZONE_COOKIE,
        limit: int = 64 * 1024 * 1024,
        check: bool = False,
    ) -> None:
        self.app = app
        self.token = token
        self.limit = limit
        self.check = check
        self.size = 0
        self._cookies = (session_cookie, zone_cookie)
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._hits = 0

    def clear(self) -> None:
        """Forget everything that is kept."""
        self._entries.clear()
        self.size = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self._pass_on(scope, receive, send)
            return
        # Every step from here to the answer of a hit counts: the bare server needs 28 µs for the same bytes.
        headers = headers_by_name(scope)
        person = self._person(scope) if b"cookie" in headers else NOBODY
        key: Key = (
            scope["raw_path"],
            scope["query_string"],
            b"hx-request" in headers and b"hx-history-restore-request" not in headers,
            person,
            headers.get(b"host"),
            scope.get("scheme"),
        )
        # The token is read before the data is: an entry may hold newer data than its token says, never older.
        try:
            token = self.token()
        except Exception:
            # Then nothing can be kept, and the app itself has words for what is wrong with its data.
            await self._pass_on(scope, receive, send)
            return
        entry = self._entries.get(key)
        if (
            entry is None
            or entry.token != token
            or (entry.day is not None and entry.day != _day(_zone_named(person[1])))
            or (entry.json is not None and entry.json != _accepts_json(headers))
        ):
            await self._render(scope, receive, send, key, person, token, headers.get(b"if-none-match"))
            return
        self._entries.move_to_end(key)
        if self.check:
            await self._compare(scope, receive, entry, person)
        known = headers.get(b"if-none-match")
        is_whole = known is None and scope["method"] == "GET"
        if not (is_whole and entry.head is not None and uvicorn_internals.write(send, entry.head, entry.body)):
            await _answer(entry, known, send)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the app answer, knowing the person's time zone."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        _rendering.set(_rendering_of(scope, self._person(scope)))
        await self.app(scope, receive, send)

    def _person(self, scope: Scope) -> Person:
        """Who asks. The header may come in several pieces."""
        cookies = cookies_of(scope)
        session, zone = self._cookies
        return cookies.get(session, ""), cookies.get(zone, ""), scope.get(SIGNED_IN, "")

    async def _render(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        key: Key,
        person: Person,
        token: Hashable,
        if_none_match: bytes | None,
    ) -> None:
        """Let the app answer; keep the answer if the route is a fragment and all went well."""
        view = _rendering_of(scope, person)
        _rendering.set(view)
        start: Message | None = None
        chunks: list[bytes] = []

        async def collect(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and view.is_fragment and message["status"] == 200:
                start = message
            elif start is None:
                await send(message)
            else:
                chunks.append(message.get("body", b""))
                if not message.get("more_body"):
                    entry = _entry(token, view, start, b"".join(chunks))
                    if entry is not None:
                        self._keep(key, entry)
                        await _answer(entry, if_none_match, send)
                    else:
                        await send(start)
                        await send({"type": "http.response.body", "body": b"".join(chunks)})

        await self.app(scope, receive, collect)

    def _keep(self, key: Key, entry: _Entry) -> None:
        old = self._entries.pop(key, None)
        if old is not None:
            self.size -= _bytes(key, old)
        self._entries[key] = entry
        self.size += _bytes(key, entry)
        while self.size > self.limit:
            gone, dropped = self._entries.popitem(last=False)
            self.size -= _bytes(gone, dropped)

    async def _compare(self, scope: Scope, receive: Receive, entry: _Entry, person: Person) -> None:
        """Now and then render a kept answer again; a difference means that the route breaks its promise."""
        self._hits += 1
        if self._hits % CHECK_EVERY:
            return
        _rendering.set(_rendering_of(scope, person))
        chunks: list[bytes] = []

        async def collect(message: Message) -> None:
            chunks.append(message.get("body", b""))

        await self.app(dict(scope), receive, collect)
        body = b"".join(chunks)
        if body != entry.body and self.token() == entry.token:
            logger.warning(
                "%s is not a pure fragment: the same URL, person and data gave another answer. %s "
                "Take the other input out of it, or take @fragment off the route.",
                scope["path"],
                _first_difference(entry.body, body),
            )


def _entry(token: Hashable, view: _Rendering, start: Message, body: bytes) -> _Entry | None:
    """What is kept of an answer; None for one that sets a cookie, which is no function of its URL."""
    headers = [(name, value) for name, value in start["headers"] if name not in (b"vary", b"etag", b"cache-control")]
    if any(name == b"set-cookie" for name, _ in headers):
        return None
    etag = b'"' + blake2b(body, digest_size=16).hexdigest().encode() + b'"'
    vary = VARY if view.json is None else VARY + b", Accept"
    headers += [(b"etag", etag), (b"vary", vary), (b"cache-control", b"private, no-cache")]
    return _Entry(token, view.day, view.json, etag, headers, body, uvicorn_internals.head_of(headers, body))


async def _answer(entry: _Entry, if_none_match: bytes | None, send: Send) -> None:
    if if_none_match is not None and _matches(if_none_match, entry.etag):
        unchanged = [header for header in entry.headers if header[0] not in (b"content-length", b"content-type")]
        await send({"type": "http.response.start", "status": 304, "headers": unchanged})
        await send({"type": "http.response.body", "body": b""})
        return
    await send({"type": "http.response.start", "status": 200, "headers": entry.headers})
    await send({"type": "http.response.body", "body": entry.body})


def _matches(if_none_match: bytes, etag: bytes) -> bool:
    """Weak comparison, as RFC 9110 section 13.1.2 asks of If-None-Match."""
    tags = [tag.strip().removeprefix(b"W/") for tag in if_none_match.split(b",")]
    return etag in tags or tags == [b"*"]


def _bytes(key: Key, entry: _Entry) -> int:
    """What an entry costs in memory."""
    path, query, _, person, host, _ = key
    words = (entry.body, entry.head or b"", path, query, *person, host or b"")
    return ENTRY_BYTES + sum(map(len, words))


@lru_cache(maxsize=128)
def _parsed(header: bytes) -> Mapping[str, str]:
    return cookie_parser(header.decode("latin-1"))


def _rendering_of(scope: Scope, person: Person) -> _Rendering:
    accepts_json = _accepts_json(headers_by_name(scope))
    return _Rendering(zone=_zone_named(person[1]), signed_in=bool(person[2]), accepts_json=accepts_json)


def _accepts_json(headers: Mapping[bytes, bytes]) -> bool:
    return b"application/json" in headers.get(b"accept", b"")


@lru_cache(maxsize=128)
def _zone_named(name: str) -> tzinfo | None:
    """The time zone of an IANA name as a browser gives it; None, the machine's own, for anything else."""
    try:
        return zoneinfo.ZoneInfo(unquote(name)) if name else None
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return None


def _day(zone: tzinfo | None) -> date:
    return datetime.now(zone).date()


def _first_difference(kept: bytes, rendered: bytes) -> str:
    """Where two answers part, for a person to find the cause."""
    before, after = kept.decode(errors="replace"), rendered.decode(errors="replace")
    for number, (old, new) in enumerate(zip(before.split("\n"), after.split("\n"), strict=False), 1):
        if old != new:
            at = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
            window = slice(max(0, at - 40), at + 60)
            return f"Line {number}: kept “{old[window]}”, now “{new[window]}”."
    return f"One has {len(before)} characters, the other {len(after)}."
