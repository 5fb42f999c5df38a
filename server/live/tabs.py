"""Tabs: an open page, what it shows, and what it has yet to be sent.

A tab has a place for the newest state of each view, never a queue: one that reads slowly gets fewer and newer frames,
and one that takes nothing for DRAIN_SECONDS is let go.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Protocol

from starlette.types import Message, Scope, Send

from server import background_work
from server.live.messages import Frame
from server.live.view_requests import Viewer
from server.live.views import View

logger = logging.getLogger("uvicorn.error")

DRAIN_SECONDS = 30


class Outlet(Protocol):
    """Where frames of one connection go. `server/protocols/websocket.py` offers one."""

    on_drain: Callable[[], None] | None
    # What the page said last: all of what it shows, so that whoever takes the connection over needs no more.
    standing: str | None

    def write_frame(self, frame: Frame) -> bool:
        """Send it and say so; False while what was written before has not gone, then on_drain is called later."""

    def end(self, code: int, reason: str) -> None:
        """Close the connection, whether or not it takes anything."""


class Tab:
    """An open page: the views that it shows, and which of them it has yet to be sent."""

    # There are thousands, and each is looked at for each frame.
    __slots__ = ("outlet", "patience", "pending", "person", "scope", "shows", "since")

    def __init__(self, outlet: Outlet, person: Viewer, scope: Scope) -> None:
        self.outlet = outlet
        # The request that opened the connection.
        self.scope = scope
        self.person = person
        self.shows: dict[str, View] = {}
        # The rendering of each view since which all that came up was sent.
        self.since: dict[str, int] = {}
        # Views that are sent when they have been rendered as often as noted here, by their id.
        self.pending: dict[str, int] = {}
        # Runs while the connection takes nothing, and ends in giving it up.
        self.patience: asyncio.TimerHandle | None = None
        outlet.on_drain = self._go_on

    def claim(self, view: View, version: str) -> None:
        """Take the page's word for which version it has of a view; what is newer is pending."""
        view.told[self] = version
        self.since[view.id] = view.rendered
        if not view.rendered:
            self.pending[view.id] = view.await_next()
        elif version != view.version:
            self._await(view)

    def offer(self, view: View) -> None:
        """Send the state of a view if that is new here, at once where nothing stands before it."""
        if view.told[self] == view.version:
            self.pending.pop(view.id, None)
            self.flush()
        elif self.pending or self.patience is not None:
            self.pending.setdefault(view.id, view.rendered)
            self.flush()
        elif view.frame is None:
            self._await(view)
        elif self.outlet.write_frame(view.frame):
            view.told[self] = view.version
        else:
            self.pending[view.id] = view.rendered
            self._lose_patience()

    def flush(self) -> None:
        """Send the newest state of each view that is due, as long as the connection takes it."""
        last = next(reversed(self.shows), None)
        for id in sorted(self.pending, key=lambda id: id == last):
            if self.patience is not None:
                return
            view = self.shows[id]
            # What is listed last is sent last: then the page has all of it.
            if view.rendered < self.pending[id] or (id == last and len(self.pending) > 1):
                continue
            if view.frame is None:
                self._await(view)
                continue
            if not self.outlet.write_frame(view.frame):
                self._lose_patience()
                return
            view.told[self] = view.version
            self.since[id] = view.rendered
            del self.pending[id]

    def forget(self, id: str) -> View:
        """Show a view no more; which one."""
        view = self.shows.pop(id)
        del view.told[self], self.since[id]
        self.pending.pop(id, None)
        return view

    def leave(self) -> None:
        """Take nothing any more."""
        self.outlet.on_drain = None
        self._rest()

    def _await(self, view: View) -> None:
        """Have the newest state of a view sent when it is there; one that is not kept any more is rendered again."""
        if view.frame is None:
            view.want()
        self.pending[view.id] = view.await_next()

    def _lose_patience(self) -> None:
        loop = asyncio.get_running_loop()
        self.patience = loop.call_later(DRAIN_SECONDS, self.outlet.end, 1013, "Nothing was read for too long.")

    def _go_on(self) -> None:
        self._rest()
        self.flush()

    def _rest(self) -> None:
        if self.patience is not None:
            self.patience.cancel()
            self.patience = None


def outlet_of(scope: Scope, send: Send) -> Outlet:
    """Where the frames of this connection go."""
    offered: Outlet | None = scope.get("extensions", {}).get("server.frames")
    return offered or _Queued(send)


class _Queued:
    """The outlet of a server that offers none: each frame is sent by a task, the next one when that is done."""

    def __init__(self, send: Send) -> None:
        self.on_drain: Callable[[], None] | None = None
        self.standing: str | None = None
        self._send = send
        self._task: asyncio.Task[None] | None = None

    def write_frame(self, frame: Frame) -> bool:
        if self._task is not None:
            return False
        self._task = background_work.once("Sending a frame", self._deliver(frame))
        return True

    def end(self, code: int, reason: str) -> None:
        """Close when what was written has gone; the server's own ping ends a connection that takes nothing."""
        message = {"type": "websocket.close", "code": code, "reason": reason}
        background_work.once("Closing a page's socket", self._last(message))

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
