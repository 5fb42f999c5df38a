"""Patience with wrong tokens: each client waits longer each time, and whoever has the right one never waits.

The token has 192 bits, so nobody finds it by trying; this keeps the log and the processor calm. Each worker counts for
itself, so with several workers a client has so many times as many tries.
"""

import asyncio
from collections import OrderedDict

from starlette.exceptions import HTTPException
from starlette.types import Scope

from app.access.request_limits import CLIENTS, client_of
from app.access.session_events import Kind, record
from app.access.sessions import sessions

# How many tries of one client may wait for their answer; more are sent away.
WAITING = 4
SLOWEST = 8


class WrongTokens:
    """How often each client has tried a wrong token, and how many of its tries wait."""

    def __init__(self) -> None:
        self.counts: OrderedDict[str, int] = OrderedDict()
        self.waiting: dict[str, int] = {}

    async def slow_down(self, scope: Scope) -> None:
        """Wait before saying that a token is wrong; raises HTTPException 429 where too many of this client wait."""
        client = client_of(scope)
        waiting = self.waiting.get(client, 0)
        if waiting >= WAITING:
            raise HTTPException(429, "Too many wrong tokens at once. Wait a moment.", {"retry-after": str(SLOWEST)})
        count = self._count(client)
        # One in two, in four, in eight: whoever goes on and on fills neither the log nor the table.
        if count & (count - 1) == 0:
            record(sessions.file, scope, Kind.WRONG_TOKEN, tries=count)
        self.waiting[client] = waiting + 1
        try:
            await asyncio.sleep(delay(count))
        finally:
            self.waiting[client] -= 1
            if not self.waiting[client]:
                del self.waiting[client]

    def forget(self, scope: Scope) -> None:
        """Begin anew with a client: it has shown the right token."""
        self.counts.pop(client_of(scope), None)

    def _count(self, client: str) -> int:
        count = self.counts.pop(client, 0) + 1
        self.counts[client] = count
        if len(self.counts) > CLIENTS:
            self.counts.popitem(last=False)
        return count


def delay(count: int) -> float:
    """The seconds that the answer to the wrong token of this number takes."""
    return min(SLOWEST, 0.25 * 2 ** min(count - 1, 10))


wrong_tokens = WrongTokens()
