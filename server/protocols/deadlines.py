"""How long a client may take and how much it may send, for each thing that a connection can be waiting for.

Decisions without sockets or clocks: whoever has a connection says once a second (a tick) what it waits for and how many
bytes have come so far. Nothing is done per request, and a server that stood still for a while blames no client for it.
"""

from collections import deque
from collections.abc import Hashable
from enum import Enum
from typing import NamedTuple


class Phase(Enum):
    """What a connection waits for."""

    APP = "the answer of the app, or the app's next read: the client has nothing to do"
    IDLE = "the next request"
    NEW = "the first byte of the first request"
    HEAD = "the rest of a head"
    BODY = "more of a body"
    REST = "the rest of a body whose request is answered already"
    MESSAGE = "the rest of a WebSocket message"


class Limit(NamedTuple):
    """The end of a phase: after `seconds` whatever comes; with a `rate`, when fewer bytes a second came over them.

    `status` and `words` are the answer where one can be given; a status of 0 only closes.
    """

    seconds: int
    rate: int
    status: int
    words: str


HEAD_SECONDS = 10
HEAD_LIMIT = 64 * 1024
# Each field of a head costs a tuple and a look; browsers send about twenty.
HEAD_FIELDS = 1000
BODY_SECONDS = 10
# Bytes a second; the slowest of modems had ten times as much.
SLOWEST = 1000
# A client that is still sending may read its answer in this time, before the connection ends.
REST_SECONDS = 10
REST_LIMIT = 64 * 1024 * 1024
# What stands around the chunks of a body (lengths, extensions, trailers), beyond WRAPPED bytes for each of the body.
WRAPPING_LIMIT = 64 * 1024
WRAPPED = 8
# A message is as small as a head (bodies.MESSAGE_LIMIT), and has as long.
MESSAGE_SECONDS = 10
# Frames of a WebSocket, or of HTTP/2 that carry no content, which one connection may send a second.
FRAMES_PER_SECOND = 1000
# As long as an open page has to take what it is sent (tabs.DRAIN_SECONDS).
UNREAD_SECONDS = 30
# Clients read in bursts: `curl --limit-rate` takes megabytes and rests for minutes, and Linux says that it has room
# again when a sixteenth of its buffer has (RFC 9293, section 3.8.6.2.2), which takes a reader of 2 kB/s minutes too.
CREDIT_SECONDS = 10 * 60
# What a client's system takes of an answer before the client has read anything: that is no reading.
BY_ITSELF = 64 * 1024

LIMITS = {
    Phase.NEW: Limit(HEAD_SECONDS, 0, 0, "nothing was asked within 10 seconds"),
    Phase.HEAD: Limit(HEAD_SECONDS, 0, 408, "The head of this request did not come within 10 seconds."),
    Phase.BODY: Limit(
        BODY_SECONDS, SLOWEST, 408, "The body of this request came at less than 1 kB a second for 10 seconds."
    ),
    Phase.REST: Limit(REST_SECONDS, 0, 0, "the rest of an answered request did not come within 10 seconds"),
    Phase.MESSAGE: Limit(MESSAGE_SECONDS, 0, 0, "a message did not come within 10 seconds"),
}
UNREAD = "an answer was read at less than 1 kB a second"


class Pace:
    """Whether at least `rate` bytes a second pass, over each `seconds` ticks."""

    def __init__(self, seconds: int, rate: int) -> None:
        self._least = seconds * rate
        self._totals: deque[int] = deque(maxlen=seconds + 1)

    def falls_short(self, total: int) -> bool:
        """Take note of how many bytes have passed by this tick."""
        totals = self._totals
        totals.append(total)
        return len(totals) == totals.maxlen and total - totals[0] < self._least


class Patience:
    """How long a connection has waited for the same thing."""

    def __init__(self, idle_seconds: float) -> None:
        self._idle = Limit(round(idle_seconds), 0, 0, "")
        self._what: Hashable = None
        self._limit: Limit | None = None
        self._ticks = 0
        self._pace: Pace | None = None

    @property
    def has_begun(self) -> bool:
        """Whether there was a tick."""
        return self._what is not None

    def tick(self, phase: Phase, which: Hashable, total: int = 0) -> Limit | None:
        """The limit that is broken at this tick.

        `which` tells one request from the next, `total` counts the bytes of it that have come.
        """
        if self._what != (phase, which):
            self._what = phase, which
            self._limit = limit = self._idle if phase is Phase.IDLE else LIMITS.get(phase)
            self._ticks = 0
            self._pace = Pace(limit.seconds, limit.rate) if limit and limit.rate else None
        if self._limit is None:
            return None
        if self._pace is not None:
            return self._limit if self._pace.falls_short(total) else None
        self._ticks += 1
        return self._limit if self._ticks > self._limit.seconds else None


class Unread:
    """Whether what waits to be read is read at all: each tick costs SLOWEST bytes of what was taken so far.

    There are UNREAD_SECONDS to begin with, and never more than CREDIT_SECONDS.
    """

    def __init__(self) -> None:
        self._credit = UNREAD_SECONDS * SLOWEST
        self._taken = 0

    def tick(self, is_waiting: bool, taken: int) -> bool:
        """Whether the client is too slow by this tick, having taken so many bytes in all.

        Where the system does not say how many, the number may become smaller: nothing is owed for that.
        """
        if not is_waiting:
            self._credit = max(self._credit, UNREAD_SECONDS * SLOWEST)
            return False
        came = max(0, taken - self._taken)
        self._taken = taken
        self._credit = min(self._credit + came, CREDIT_SECONDS * SLOWEST) - SLOWEST
        return self._credit < 0


class Wrapping:
    """What stands around the chunks of a body, bounded as in Go (CVE-2023-39326): small chunks are no offence."""

    def __init__(self) -> None:
        self._excess = 0

    def is_too_much(self, came: int, body: int) -> bool:
        """Take note of a piece: what came in all, and how much of that is body."""
        self._excess = max(0, self._excess + came - (1 + WRAPPED) * body)
        return self._excess > WRAPPING_LIMIT
