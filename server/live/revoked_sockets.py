"""Closes open WebSockets of any route when their session has ended.

Who opens one is let in by the guard, once; a session has half of the places at most. What happens later, a sign-out
here or in another process, is looked for as long as sockets are open, every LOOK_SECONDS; a process that ends a session
itself looks at once.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Hashable
from itertools import count

from starlette.types import ASGIApp, Receive, Scope, Send

from server import background_work
from server.fragments import SIGNED_IN
from server.guard.middleware import ADMITTED
from server.protocols.connection_table import bounds, open_files

logger = logging.getLogger("uvicorn.error")

LOOK_SECONDS = 0.25
# The code, one of those for applications, by which a page knows that its person has to sign in first; and the one of
# RFC 6455 for “try again later”.
SIGN_IN_FIRST, LATER = 4401, 1013
WORDS = {
    SIGN_IN_FIRST: "Sign in again.",
    LATER: "It cannot be found out who is signed in. Try again in a moment.",
}
TOO_MANY = "Too many pages are open: close other tabs of this app, then load this page again."


class OpenSockets:
    """The sockets that are open.

    When `rights` gives another value, `may_stay` is asked about each, by the request that opened it. What `may_stay`
    raises is no yes: then the socket is closed too, with LATER.
    """

    def __init__(self, rights: Callable[[], Hashable], may_stay: Callable[[Scope], bool]) -> None:
        self.rights = rights
        self.may_stay = may_stay
        self._numbers = count()
        self._most_of_one = bounds(open_files()).of_one
        self._of_each: Counter[Hashable] = Counter()
        self._open: dict[int, tuple[Scope, Send]] = {}
        self._rights: Hashable = None
        self._timer: asyncio.TimerHandle | None = None

    def around(self, app: ASGIApp) -> ASGIApp:
        """ASGI middleware that knows of the sockets of `app`."""

        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "websocket":
                await app(scope, receive, send)
                return
            # The owner's own processes are bounded by the table of files alone: there is nobody else to keep out.
            if SIGNED_IN in scope and self._of_each[scope.get(ADMITTED)] >= self._most_of_one:
                await send({"type": "websocket.close", "code": LATER, "reason": TOO_MANY})
                return
            number = next(self._numbers)
            self._add(number, scope, send)
            try:
                await app(scope, receive, send)
            finally:
                self._remove(number)

        return watched

    def look(self) -> None:
        """Close the sockets of those who may not stay, if any may not."""
        if not self._open:
            return
        rights = self.rights()
        if rights == self._rights:
            return
        self._rights = rights
        for scope, send in list(self._open.values()):
            code = self._code(scope)
            if code:
                self._close(scope, send, code)

    def _add(self, number: int, scope: Scope, send: Send) -> None:
        if not self._open:
            self._rights = self.rights()
            self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._tick)
        self._open[number] = (scope, send)
        self._of_each[scope.get(ADMITTED)] += 1

    def _remove(self, number: int) -> None:
        scope, _ = self._open.pop(number)
        person = scope.get(ADMITTED)
        self._of_each[person] -= 1
        if not self._of_each[person]:
            del self._of_each[person]
        if not self._open and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._tick)
        background_work.attempt("Looking who may stay", self.look)

    def _code(self, scope: Scope) -> int:
        """The code to close a socket with; 0 where it stays."""
        try:
            return 0 if self.may_stay(scope) else SIGN_IN_FIRST
        except Exception as error:
            logger.error("Whether a page may stay open cannot be found out: %s.", error)
            return LATER

    def _close(self, scope: Scope, send: Send, code: int) -> None:
        offered = scope.get("extensions", {}).get("server.frames")
        if offered is not None:
            offered.end(code, WORDS[code])
            return
        background_work.once("Closing a socket", _send_close(send, code))


async def _send_close(send: Send, code: int) -> None:
    # A connection may be gone, or closed already: then there is nothing left to do.
    with contextlib.suppress(Exception):
        await send({"type": "websocket.close", "code": code, "reason": WORDS[code]})
