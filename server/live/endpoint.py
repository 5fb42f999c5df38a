"""Live fragments: whatever is committed, by whichever program, shows on every open page.

There are no events, channels or publish calls. A page says which addresses it shows (`{"watch": [{id, url, version}]}`
over one WebSocket). When the commit token moves, each distinct view, an address as one person sees it, is rendered once
through the app itself, guard and cache included, with the viewer's own cookies; where its bytes differ, the same frame
goes to every tab that shows it. What a tab holds is its page; here is only which view it shows and which version it
has, so a tab that slept, was cut off or reads slowly is sent the present state, never a history.

    commit (from anywhere) → token moves → stale views → rendered once each → bytes differ → frame → every tab

Here are the connections, and what is watched: the token and the clock. What follows is in five more modules:
`wire.py` (messages), `tabs.py` (what a tab is sent), `views.py` (the states of a view), `rendering.py` (when it is
rendered), `asking.py` (how the app is asked).
"""

import asyncio
import contextlib
import html
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Hashable
from functools import partial
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from server import background_work
from server.live.messages import Frame, Refused, parse
from server.live.render_queue import Renderings
from server.live.tabs import Tab, outlet_of
from server.live.view_requests import Viewer
from server.live.views import View

logger = logging.getLogger("uvicorn.error")

# How often the token is looked at while someone watches: what a foreign commit waits at most. A look itself takes 1 µs,
# but a processor that has to wake up for it 120; so there are fewer looks where nothing has been committed for a while.
LOOK_SECONDS = 0.02
CALM_LOOK_SECONDS = 0.055
CALM_AFTER_SECONDS = 10
# What is kept live: of one person some 500 pages, each with a few views of its own.
VIEWS = 20_000
VIEWS_PER_PERSON = 2000
# Midnight in any time zone falls on a quarter of an hour.
DAY_TURNS = 15 * 60


class Hub:
    """The ASGI app of the WebSocket `/live`.

    `app` renders the views, `token` gives the commit token, `report` makes HTML of a message to a person, `cookies` the
    names of the cookies that `app` reads (no other reaches it), `on_count` is told how many tabs there are whenever
    that changes, `clock` gives the seconds since 1970.
    """

    def __init__(
        self,
        app: ASGIApp,
        token: Callable[[], Hashable],
        *,
        report: Callable[[str], str] = html.escape,
        cookies: Callable[[Scope], Collection[str]] = lambda scope: (),
        on_count: Callable[[int], None] = lambda count: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.token = token
        self.cookies = cookies
        self.on_count = on_count
        self.clock = clock
        self.tabs: set[Tab] = set()
        self._renderings = Renderings(app, report)
        self._notice: Frame | None = None
        self._is_told: Callable[[Scope], bool] = lambda scope: True
        self._views_of: Counter[Hashable] = Counter()
        self._was_full = False
        self._views: dict[tuple[Any, ...], View] = {}
        self._seen: Hashable = None
        self._moved = 0.0
        self._quarter = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        tab = Tab(outlet_of(scope, send), Viewer.of(scope, self.cookies(scope)), scope)
        self._add(tab)
        if self._notice is not None and self._is_told(scope):
            tab.outlet.write_frame(self._notice)
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

    def tell(self, text: str, lasting: bool, is_told: Callable[[Scope], bool] = lambda scope: True) -> None:
        """Send a text, which is no view, to every tab that is told; one that lasts also to those that come later."""
        frame = Frame(text)
        if lasting:
            self._notice, self._is_told = frame, is_told
        for tab in self.tabs:
            if is_told(tab.scope):
                tab.outlet.write_frame(frame)

    def watch(self, tab: Tab, text: str) -> None:
        """Take the list of what a tab shows. Raises Refused for what is no such list."""
        wanted = parse(text)
        tab.outlet.standing = text
        # A page may be newer than the last look; what is older than the page is not sent to it.
        self._look()
        for id in tab.shows.keys() - wanted.keys():
            self._unwatch(tab, id)
        for id, shown in wanted.items():
            view = tab.shows.get(id)
            if view is not None and view.url != shown.url:
                self._unwatch(tab, id)
                view = None
            if view is None:
                view = self._watch(tab, id, shown.url)
            elif view.is_echo(shown.version, view.told[tab], tab.since[id]):
                continue
            tab.claim(view, shown.version)
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
            self._make_room(tab.person)
            view = self._views[key] = View(id, url, tab.person)
            view.want = partial(self._renderings.change, view)
            self._views_of[tab.person.admitted] += 1
            self._renderings.change(view)
        tab.shows[id] = view
        return view

    def _unwatch(self, tab: Tab, id: str) -> None:
        view = tab.forget(id)
        if not view.told:
            del self._views[id, view.url, tab.person]
            self._views_of[tab.person.admitted] -= 1
            if not self._views_of[tab.person.admitted]:
                del self._views_of[tab.person.admitted]
            self._renderings.forget(view)

    def _make_room(self, person: Viewer) -> None:
        """Raises Refused where there are too many views already, of this person or in all."""
        own = self._views_of[person.admitted]
        is_full = len(self._views) >= VIEWS or own >= VIEWS_PER_PERSON
        if is_full and not self._was_full:
            logger.warning("No more is kept live: %s views are, %s of one person.", len(self._views), own)
        self._was_full = is_full
        if is_full:
            raise Refused("Too much is open already: close other tabs of this app, then load this page again.")

    def _tick(self) -> None:
        """Look at what moves without a call: other programs' commits, and the clock."""
        assert self._loop is not None
        is_calm = self._loop.time() - self._moved > CALM_AFTER_SECONDS
        self._timer = self._loop.call_later(CALM_LOOK_SECONDS if is_calm else LOOK_SECONDS, self._tick)
        background_work.attempt("Looking what live pages show", self._look_at_clock_and_token)

    def _look_at_clock_and_token(self) -> None:
        quarter = int(self.clock() // DAY_TURNS)
        if quarter != self._quarter:
            self._quarter = quarter
            self._change_all()
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
            self._change_all()

    def _change_all(self) -> None:
        for view in list(self._views.values()):
            self._renderings.change(view)
