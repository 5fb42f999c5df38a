"""Live fragments: whatever is committed, by whichever program, shows on every open page.

There are no events, channels or publish calls. A page says which addresses it shows (`{"watch": [{id, url, version}]}`
over one WebSocket). When the commit token moves, each distinct view, an address as one person sees it, is rendered once
through the app itself, guard and cache included, with the viewer's own cookies; where its bytes differ, the same frame
goes to every tab that shows it. What a tab holds is its page; here is only which view it shows and which version it
has, so a tab that slept, was cut off or reads slowly is sent the present state, never a history.

    commit (from anywhere) → token moves → stale views → rendered once each → bytes differ → frame → every tab
"""

import asyncio
import contextlib
import html
import json
import logging
import re
import time
from collections import deque
from collections.abc import Callable, Hashable
from functools import cached_property
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from websockets.frames import Frame as WebSocketFrame
from websockets.frames import Opcode

from server.fragments import cookie_header

logger = logging.getLogger("uvicorn.error")

# How often the token is looked at while someone watches: what a foreign commit waits at most. A look itself takes 1 µs,
# but a processor that has to wake up for it 120; so there are fewer looks where nothing has been committed for a while.
LOOK_SECONDS = 0.02
CALM_LOOK_SECONDS = 0.05
CALM_AFTER_SECONDS = 10
# The shortest time between two renderings of a view, and how fast one view may send: a browser morphs 20 rows (15 kB)
# in 3 ms, and a thousand rows in 150. The first change is not delayed, what follows it quickly is joined.
FRAME_SECONDS = 0.016
BYTES_PER_SECOND = 1_000_000
# How many views are rendered before other work has its turn.
VIEWS_AT_ONCE = 8
TABS_AT_ONCE = 64
RENDER_SECONDS = 10
RENDER_LIMIT = 4 * 1024 * 1024
VIEWS_PER_TAB = 64
# How long a connection may refuse to take what was written.
DRAIN_SECONDS = 30
# Midnight in any time zone falls on a quarter of an hour.
DAY_TURNS = 15 * 60
RECENT_VERSIONS = 8
VERSION_LENGTH = 64

_ID = re.compile(r"[A-Za-z][\w-]*")
_URL = re.compile(r"/(?!/)[\x21-\x7e]*")
_VERSION = re.compile(rb'\s*<[A-Za-z][^<>]*?\sdata-version="([^"<>]+)"')


class Refused(ValueError):
    """A message that makes no sense; the text says why."""


class Unanswered(Exception):
    """A view that the app did not render as HTML; the text says why."""


class Frame:
    """What a view sends: HTML, put into a WebSocket's frame once for all who get it."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def wire(self) -> bytes:
        """The bytes on the wire (RFC 6455, section 5.2; a server's frames are not masked)."""
        return WebSocketFrame(Opcode.TEXT, self.text.encode()).serialize(mask=False)


class Outlet(Protocol):
    """Where frames of one connection go. A server that can write without waiting offers one (`server/protocol.py`)."""

    on_drain: Callable[[], None] | None

    def write_frame(self, frame: Frame) -> bool:
        """Send it and say so; False while what was written before has not gone, then on_drain is called later."""

    def end(self, code: int, reason: str) -> None:
        """Close the connection, whether or not it takes anything."""


class Answer(NamedTuple):
    """What the app answered for a view."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


class View:
    """An address, shown in elements of one id, as one person sees it; the same for all tabs that show it."""

    def __init__(self, id: str, url: str, person: "Person") -> None:
        self.id = id
        self.url = url
        self.person = person
        self.tabs: set[Tab] = set()
        self.frame: Frame | None = None
        # The hash of what was rendered last, and the version by which pages call it.
        self.digest = b""
        self.version = ""
        self.is_error = False
        # Renderings are counted: which was begun last, which the frame is from, which a tab waits for.
        self.begun = 0
        self.rendered = 0
        self.awaited = 0
        self.is_rendering = False
        self.is_stale = False
        self.not_before = 0.0
        self.timer: asyncio.TimerHandle | None = None


class Person(NamedTuple):
    """Who sees it, as far as the app is told: views of the same person and address are one."""

    host: bytes
    cookie: bytes
    scheme: str
    server: Any


class Tab:
    """An open page: the views that it shows, the version it has of each, and which it has yet to be sent.

    What is pending is sent when the view has been rendered as often as noted there.
    """

    def __init__(self, outlet: Outlet, person: Person) -> None:
        self.outlet = outlet
        self.person = person
        self.shows: dict[str, View] = {}
        self.told: dict[str, str] = {}
        self.recent: dict[str, deque[str]] = {}
        self.pending: dict[str, int] = {}
        # Runs while the connection takes nothing, and ends in giving it up.
        self.patience: asyncio.TimerHandle | None = None
        outlet.on_drain = self._go_on

    def offer(self, view: View) -> None:
        """Send the state of a view if that is new here, at once where nothing stands before it."""
        if self.told[view.id] == view.version:
            self.pending.pop(view.id, None)
        elif self.pending or self.patience is not None or not self._send(view):
            self.pending.setdefault(view.id, view.rendered)
        if self.pending:
            self.flush()

    def flush(self) -> None:
        """Send the newest state of each view that is due, as long as the connection takes it."""
        last = next(reversed(self.shows), None)
        for id in sorted(self.pending, key=lambda id: id == last):
            view = self.shows[id]
            # What is listed last is sent last: then the page has all of it.
            if view.rendered < self.pending[id] or (id == last and len(self.pending) > 1):
                continue
            if self.patience is not None or not self._send(view):
                return
            del self.pending[id]

    def leave(self) -> None:
        """Take nothing any more."""
        self.outlet.on_drain = None
        self._rest()

    def _send(self, view: View) -> bool:
        assert view.frame is not None
        if not self.outlet.write_frame(view.frame):
            loop = asyncio.get_running_loop()
            self.patience = loop.call_later(DRAIN_SECONDS, self.outlet.end, 1013, "Nothing was read for too long.")
            return False
        self.told[view.id] = view.version
        self.recent[view.id].append(view.version)
        return True

    def _go_on(self) -> None:
        self._rest()
        self.flush()

    def _rest(self) -> None:
        if self.patience is not None:
            self.patience.cancel()
            self.patience = None


class Hub:
    """The ASGI app of the WebSocket `/live`.

    `app` renders the views, `token` gives the commit token, `report` makes HTML of a message to a person,
    `on_count` is told how many tabs there are whenever that changes, `clock` gives the seconds since 1970.
    """

    def __init__(
        self,
        app: ASGIApp,
        token: Callable[[], Hashable],
        *,
        report: Callable[[str], str] = html.escape,
        on_count: Callable[[int], None] = lambda count: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.app = app
        self.token = token
        self.report = report
        self.on_count = on_count
        self.clock = clock
        self._notice: Frame | None = None
        self.tabs: set[Tab] = set()
        self._views: dict[tuple[Any, ...], View] = {}
        self._stale: dict[View, None] = {}
        self._seen: Hashable = None
        self._moved = 0.0
        self._quarter = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        outlet = scope.get("extensions", {}).get("kindling.frames") or _Queued(send)
        tab = Tab(outlet, _person(scope))
        self._add(tab)
        if self._notice is not None:
            outlet.write_frame(self._notice)
        try:
            while (message := await receive())["type"] != "websocket.disconnect":
                self.watch(tab, message.get("text") or "")
        except Refused as refused:
            await send({"type": "websocket.close", "code": 1008, "reason": str(refused)})
        finally:
            self._remove(tab)

    def wake(self) -> None:
        """Look at the token now; from any thread. A commit of this process calls it, so that nobody waits."""
        if self._loop is not None and self.tabs:
            # A loop that has closed has nobody to show it to.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._look)

    def tell(self, text: str, lasting: bool) -> None:
        """Send a text, which is no view, to every tab; one that lasts also to those that come later."""
        frame = Frame(text)
        if lasting:
            self._notice = frame
        for tab in self.tabs:
            tab.outlet.write_frame(frame)

    def watch(self, tab: Tab, text: str) -> None:
        """Take the list of what a tab shows. Raises Refused for what is no such list."""
        wanted = _parse(text)
        # A page may be newer than the last look; what is older than the page is not sent to it.
        self._look()
        for id in tab.shows.keys() - wanted.keys():
            self._unwatch(tab, id)
        for id, (url, version) in wanted.items():
            view = tab.shows.get(id)
            if view is None or view.url != url:
                if view is not None:
                    self._unwatch(tab, id)
                view = self._watch(tab, id, url)
            elif version != view.version and _is_echo(tab, view, version):
                continue
            tab.told[id] = version
            if view.frame is None or version != view.version:
                tab.pending[id] = view.awaited = view.begun + view.is_stale
        tab.flush()

    def _add(self, tab: Tab) -> None:
        self.tabs.add(tab)
        if self._timer is None:
            self._loop = asyncio.get_running_loop()
            self._quarter = int(self.clock() // DAY_TURNS)
            self._timer = self._loop.call_later(LOOK_SECONDS, self._tick)
            self._look()
        self.on_count(len(self.tabs))

    def _remove(self, tab: Tab) -> None:
        tab.leave()
        for id in list(tab.shows):
            self._unwatch(tab, id)
        self.tabs.discard(tab)
        if not self.tabs and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.on_count(len(self.tabs))

    def _watch(self, tab: Tab, id: str, url: str) -> View:
        key = (id, url, tab.person)
        view = self._views.get(key)
        if view is None:
            view = self._views[key] = View(id, url, tab.person)
            view.tabs.add(tab)
            self._refresh(view)
        view.tabs.add(tab)
        tab.shows[id] = view
        tab.recent[id] = deque(maxlen=RECENT_VERSIONS)
        return view

    def _unwatch(self, tab: Tab, id: str) -> None:
        view = tab.shows.pop(id)
        tab.told.pop(id, None)
        tab.recent.pop(id, None)
        tab.pending.pop(id, None)
        view.tabs.discard(tab)
        if not view.tabs:
            self._views.pop((id, view.url, tab.person), None)
            self._stale.pop(view, None)
            if view.timer is not None:
                view.timer.cancel()

    def _tick(self) -> None:
        """Look at what moves without a call: other programs' commits, and the clock."""
        assert self._loop is not None
        is_calm = self._loop.time() - self._moved > CALM_AFTER_SECONDS
        self._timer = self._loop.call_later(CALM_LOOK_SECONDS if is_calm else LOOK_SECONDS, self._tick)
        quarter = int(self.clock() // DAY_TURNS)
        if quarter != self._quarter:
            self._quarter = quarter
            self._refresh_all()
        self._look()

    def _look(self) -> None:
        try:
            token = self.token()
        except Exception as error:
            # The app has words for this when it is asked for a page; here the last good state stays.
            logger.debug("The commit token cannot be read: %s", error)
            return
        if token != self._seen:
            self._seen = token
            self._moved = asyncio.get_running_loop().time()
            self._refresh_all()

    def _refresh_all(self) -> None:
        for view in list(self._views.values()):
            self._refresh(view)

    def _refresh(self, view: View) -> None:
        """Have a view rendered: at once, or when its last rendering is done and a moment old."""
        view.is_stale = True
        if view.is_rendering or view.timer is not None:
            return
        loop = asyncio.get_running_loop()
        delay = view.not_before - loop.time()
        if delay > 0:
            view.timer = loop.call_later(delay, self._enqueue, view)
        else:
            self._enqueue(view)

    def _enqueue(self, view: View) -> None:
        view.timer = None
        if not self._stale:
            asyncio.get_running_loop().call_soon(self._render_some)
        self._stale[view] = None

    def _render_some(self) -> None:
        """Begin a few renderings; the others when other work has had its turn."""
        for view in list(self._stale)[:VIEWS_AT_ONCE]:
            del self._stale[view]
            view.is_rendering = True
            task = asyncio.get_running_loop().create_task(self._render(view))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if self._stale:
            asyncio.get_running_loop().call_soon(self._render_some)

    async def _render(self, view: View) -> None:
        view.is_stale = False
        view.begun += 1
        try:
            async with asyncio.timeout(RENDER_SECONDS):
                answer = await self._ask(view)
        except (Unanswered, TimeoutError) as error:
            words = str(error) or f"{view.url} was not rendered within {RENDER_SECONDS} seconds."
            answer = Answer(500, {}, self.report(words).encode())
        await self._show(view, answer)
        view.is_rendering = False
        size = len(view.frame.text) if view.frame else 0
        view.not_before = asyncio.get_running_loop().time() + max(FRAME_SECONDS, size / BYTES_PER_SECOND)
        if view.is_stale and view.tabs:
            self._refresh(view)

    async def _show(self, view: View, answer: Answer) -> None:
        """Take an answer as the state of a view, and send it to whom it is new."""
        view.rendered = view.begun
        digest = blake2b(answer.body, digest_size=12).digest() + answer.status.to_bytes(2, "big")
        is_new = digest != view.digest
        if is_new:
            view.digest = digest
            view.frame = _frame(view.id, answer)
            view.version = _version(answer, digest)
            view.is_error = answer.status >= 400
            if view.is_error:
                logger.warning("%s cannot be kept live: it was answered with %s.", view.url, answer.status)
        if is_new or view.awaited >= view.rendered:
            await self._send(view)
        if answer.status == 401:
            for tab in list(view.tabs):
                tab.outlet.end(1008, "Sign in again.")

    async def _send(self, view: View) -> None:
        """Give a new state to every tab that has another."""
        for number, tab in enumerate(list(view.tabs)):
            if tab.shows.get(view.id) is not view:
                continue
            tab.offer(view)
            if number % TABS_AT_ONCE == TABS_AT_ONCE - 1:
                await asyncio.sleep(0)

    async def _ask(self, view: View) -> Answer:
        """GET the view as htmx would, with its viewer's cookies. Raises Unanswered where that gives no HTML."""
        asked = False
        start: Message = {}
        chunks: list[bytes] = []
        size = 0

        async def receive() -> Message:
            nonlocal asked
            if asked:
                await asyncio.get_running_loop().create_future()  # Nobody hangs up.
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            nonlocal start, size
            if message["type"] == "http.response.start":
                start = message
                if not any(
                    each[0] == b"content-type" and each[1].startswith(b"text/html") for each in start["headers"]
                ):
                    raise Unanswered(f"{view.url} is no HTML and cannot be live.")
            elif message["type"] == "http.response.body":
                chunks.append(message.get("body", b""))
                size += len(chunks[-1])
                if size > RENDER_LIMIT:
                    raise Unanswered(f"{view.url} is larger than a live fragment may be, {RENDER_LIMIT} bytes.")

        try:
            await self.app(_scope(view), receive, send)
        except (Unanswered, TimeoutError):
            raise
        except Exception:
            # The app answers an exception, and then raises it for the log.
            if view.digest[-2:] != (500).to_bytes(2, "big"):
                logger.exception("%s failed", view.url)
            if not chunks:
                raise Unanswered(f"{view.url} failed; what happened is in the log.") from None
        if not any(chunks):
            raise Unanswered(f"{view.url} is empty and cannot be live.")
        return Answer(start["status"], dict(start["headers"]), b"".join(chunks))


class _Queued:
    """The outlet of a server that offers none: each frame is sent by a task, the next one when that is done."""

    def __init__(self, send: Send) -> None:
        self.on_drain: Callable[[], None] | None = None
        self._send = send
        self._task: asyncio.Task[None] | None = None

    def write_frame(self, frame: Frame) -> bool:
        if self._task is not None:
            return False
        self._task = asyncio.get_running_loop().create_task(self._deliver(frame))
        return True

    def end(self, code: int, reason: str) -> None:
        """Close when what was written has gone; the server's own ping ends a connection that takes nothing."""
        message = {"type": "websocket.close", "code": code, "reason": reason}
        self._end = asyncio.get_running_loop().create_task(self._last(message))

    async def _last(self, message: Message) -> None:
        # A connection may be gone, or closed already: then there is nothing left to do.
        with contextlib.suppress(Exception):
            await self._send(message)

    async def _deliver(self, frame: Frame) -> None:
        try:
            await self._send({"type": "websocket.send", "text": frame.text})
        except Exception as error:  # Whatever a server raises for a connection that is gone; its receive tells of it.
            logger.debug("A frame was not sent: %s", error)
            return
        finally:
            self._task = None
        if self.on_drain is not None:
            self.on_drain()


def _parse(text: str) -> dict[str, tuple[str, str]]:
    """The addresses and versions that a page shows, by the id of their element."""
    try:
        entries = json.loads(text)["watch"]
        wanted = {entry["id"]: (entry["url"], entry.get("version") or "") for entry in entries}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise Refused('A message is {"watch": [{"id": …, "url": …, "version": …}]}.') from None
    if len(wanted) > VIEWS_PER_TAB:
        raise Refused(f"A page watches at most {VIEWS_PER_TAB} elements.")
    for id, (url, version) in wanted.items():
        if not (isinstance(id, str) and _ID.fullmatch(id)):
            raise Refused("An id is a letter, then letters, digits, - and _.")
        if not (isinstance(url, str) and _URL.fullmatch(url)):
            raise Refused("A url is a path of this app.")
        if not (isinstance(version, str) and len(version) <= VERSION_LENGTH):
            raise Refused("A version is the text of data-version, or null.")
    return wanted


def _is_echo(tab: Tab, view: View, version: str) -> bool:
    """Whether a page says what was known: it has not shown yet what it was sent, or was sent an error."""
    return version in tab.recent[view.id] or (view.is_error and tab.told[view.id] == view.version)


def _person(scope: Scope) -> Person:
    headers = scope["headers"]
    scheme = "https" if scope["scheme"] in ("wss", "https") else "http"
    return Person(dict(headers)[b"host"], cookie_header(scope), scheme, scope.get("server"))


def _scope(view: View) -> Scope:
    """The request for a view. Nothing may be in it that is not part of the person."""
    person = view.person
    path, _, query = view.url.partition("?")
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
    }


def _frame(id: str, answer: Answer) -> Frame:
    """The state of a view for its element; an error goes where it says."""
    target, swap = f"#{id}", "outerMorph"
    if answer.status >= 400:
        target = html.escape(answer.headers.get(b"hx-retarget", b"#toasts").decode("latin-1"))
        swap = html.escape(answer.headers.get(b"hx-reswap", b"beforeend").decode("latin-1"))
    body = answer.body.decode(errors="replace")
    return Frame(f'<hx-partial hx-target="{target}" hx-swap="{swap}">{body}</hx-partial>')


def _version(answer: Answer, digest: bytes) -> str:
    """By which name pages know this state: what its element says, or the hash where that says nothing."""
    found = _VERSION.match(answer.body) if answer.status < 400 else None
    return found[1].decode(errors="replace") if found else digest.hex()
