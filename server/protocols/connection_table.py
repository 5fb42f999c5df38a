"""The open connections of a process: how many there may be, who makes room for others, and a look at each every second.

A connection is admitted while its last request was one of somebody who may come in (guard.ADMITTED); all others are
strangers. Where there are too many, the oldest stranger that is slow goes, or idle, of the address that has the most.
A newcomer is not turned away instead: that is what somebody wants who takes all places and keeps them.
"""

import asyncio
import logging
import time
from collections import Counter
from enum import IntEnum
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary

from server import background_work

logger = logging.getLogger(__name__)

TICK_SECONDS = 1
# A kind of what was cut is in the log at once, then not again for so long: then with how often it happened meanwhile.
LOG_SECONDS = 10
# Each may hold 256 KiB that were read at once and wait, and 64 KiB of a body: together they stay below 200 MB.
STRANGERS = 500
# Where the system has no bound, as many as macOS lets one process have at most.
OPEN_FILES = 10240
# For the database, the log, and what an answer opens.
RESERVE = 64


class Bounds(NamedTuple):
    """How many connections there may be: in all, from one address, of strangers, of strangers from one address."""

    all: int
    of_one: int
    strangers: int
    strangers_of_one: int


class Doing(IntEnum):
    """What goes on on a connection; to end one that is more takes more from somebody."""

    SLOW = 0  # Something was begun, and its end does not come; or nothing was begun at all.
    IDLE = 1  # All that was asked is answered.
    BUSY = 2  # It is being answered, a page is open on it, or it has only just come.


class Standing(NamedTuple):
    """Who is at the other end, and what goes on."""

    group: str
    is_admitted: bool
    doing: Doing


class Connection(Protocol):
    """What the table asks of a connection."""

    def look(self) -> None:
        """End what has taken too long; called once a second."""

    def is_admitted(self) -> bool:
        """Whether its last request was one of somebody who may come in."""

    def doing(self) -> Doing:
        """What goes on."""

    def make_way(self) -> None:
        """End at once."""


def bounds(files: int) -> Bounds:
    """The bounds where a process may have so many open files."""
    every = files - min(files // 2, max(RESERVE, files // 16))
    strangers = min(STRANGERS, every // 2)
    return Bounds(every, every // 2, strangers, strangers // 2)


def who_goes(standings: list[Standing], most: Bounds) -> list[int]:
    """The places in `standings`, which is in order of age, of those who make room; some more than would have to.

    Strangers first: those who are being answered, or have only just come, where there is no room for all otherwise.
    Then the admitted who are idle. The admitted whose page is open, or who are being answered, never go.
    """
    # An eighth more than has to go, so that the next newcomers need no look at all connections.
    kept = Bounds(*(bound - bound // 8 for bound in most))
    strangers = [place for place, each in enumerate(standings) if not each.is_admitted]
    of_each = Counter(standings[place].group for place in strangers)
    too_many = len(strangers) - kept.strangers if len(strangers) > most.strangers else 0
    if len(standings) > most.all:
        too_many = max(too_many, len(standings) - kept.all)
    crowded = {group for group, count in of_each.items() if group and count > most.strangers_of_one}
    # Of the heaviest address first, and there those who are slow; then the order of age stays.
    idle = sorted(
        (place for place in strangers if standings[place].doing < Doing.BUSY),
        key=lambda place: (-of_each[standings[place].group], standings[place].doing),
    )
    going: list[int] = []
    for place in idle:
        group = standings[place].group
        if len(going) < too_many or (group in crowded and of_each[group] > kept.strangers_of_one):
            going.append(place)
            of_each[group] -= 1
    if len(standings) - len(going) > most.all:
        gone = set(going)
        resting = [place for place, each in enumerate(standings) if each.is_admitted and each.doing < Doing.BUSY]
        rest = [place for place in strangers if place not in gone] + resting
        going += rest[: len(standings) - len(going) - kept.all]
    return going


@lru_cache(maxsize=4096)
def group_of(address: str) -> str:
    """Whom an address stands for: of IPv6 a household has 2⁶⁴. Empty where it says nothing, as behind a proxy."""
    try:
        read = ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(read, IPv6Address) and read.ipv4_mapped:
        return group_of(str(read.ipv4_mapped))
    if read.is_loopback:
        return ""
    return str(IPv6Address(int(read) >> 64 << 64)) if isinstance(read, IPv6Address) else str(read)


class Connections:
    """The connections of one server process."""

    def __init__(self, most: Bounds) -> None:
        self.most = most
        self.cuts = Cuts()
        # In order of age, each with the group of its address.
        self._open: dict[Connection, str] = {}
        self._of_each: Counter[str] = Counter()
        self._look_above = most.strangers
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._open)

    def enter(self, connection: Connection, address: str) -> None:
        """Look after a connection from now on."""
        group = self._open[connection] = group_of(address)
        self._of_each[group] += 1
        if self._timer is None:
            self._wait()

    def leave(self, connection: Connection) -> None:
        """Forget a connection that is gone."""
        group = self._open.pop(connection, None)
        if group is None:
            return
        self._of_each[group] -= 1
        if not self._of_each[group]:
            del self._of_each[group]

    def has_room(self, address: str) -> bool:
        """Whether one more connection may come from this address; others go for it where that is right."""
        group = group_of(address)
        of_it = self._of_each[group] if group else 0
        if len(self._open) >= self._look_above or of_it >= self.most.strangers_of_one:
            self._end(who_goes([*self._standings(), Standing(group, False, Doing.BUSY)], self.most))
            # Where most are admitted, a look ends few: the next newcomers are taken without one, until the next tick.
            self._look_above = min(self.most.all, max(self.most.strangers, len(self._open) + self.most.all // 16))
        return len(self._open) < self.most.all and (not group or self._of_each[group] < self.most.of_one)

    def make_room(self) -> None:
        """End connections although there are few: something else has taken the files."""
        most = len(self._open) * 7 // 8
        self._end(who_goes(self._standings(), Bounds(most, most, most, most)))

    def _standings(self) -> list[Standing]:
        return [Standing(group, each.is_admitted(), each.doing()) for each, group in self._open.items()]

    def _end(self, places: list[int]) -> None:
        everyone = list(self._open.items())
        for connection, group in [everyone[place] for place in places if place < len(everyone)]:
            self.cuts.note("it made room for others", group or "this machine")
            self.leave(connection)
            connection.make_way()

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self.tick)

    def tick(self) -> None:
        """Look at every connection, a second after the last time."""
        self._timer = None
        background_work.attempt("Looking at connections", self._look_at_all)
        # Nothing wakes up while nobody is there.
        if self._open or self.cuts.are_waiting:
            self._wait()

    def _look_at_all(self) -> None:
        for connection in list(self._open):
            try:
                connection.look()
            except Exception:
                # One that cannot be looked at would stay for ever.
                logger.exception("A connection was ended, as it could not be looked at.")
                self.leave(connection)
                connection.make_way()
        self._look_above = self.most.strangers
        self.cuts.tick()


class Cuts:
    """The log of connections that were ended: for each kind one line in LOG_SECONDS, however many there are."""

    def __init__(self) -> None:
        self._logged: dict[str, float] = {}
        self._more: dict[str, tuple[int, str]] = {}

    @property
    def are_waiting(self) -> bool:
        """Whether some are yet to be logged."""
        return bool(self._more)

    def note(self, kind: str, address: Any) -> None:
        """Take note that a connection was ended; `kind` is a sentence of the program's own."""
        now = time.monotonic()
        if now - self._logged.get(kind, -LOG_SECONDS) < LOG_SECONDS:
            self._more[kind] = self._more.get(kind, (0, ""))[0] + 1, str(address)
        else:
            self._logged[kind] = now
            logger.warning("A connection from %s was ended: %s", address, kind)

    def tick(self) -> None:
        """Log what has waited long enough."""
        now = time.monotonic()
        for kind, (count, address) in list(self._more.items()):
            if now - self._logged[kind] >= LOG_SECONDS:
                self._logged[kind] = now
                del self._more[kind]
                logger.warning("%d more connections were ended, the last from %s: %s", count, address, kind)


_of_servers: WeakKeyDictionary[Any, Connections] = WeakKeyDictionary()


def connections_of(server_state: Any) -> Connections:
    """The connections of the server that has this state."""
    found = _of_servers.get(server_state)
    if found is None:
        found = _of_servers[server_state] = Connections(bounds(open_files()))
    return found


def open_files() -> int:
    """How many files this process may have open."""
    try:
        import resource  # Not there on Windows.
    except ImportError:
        return OPEN_FILES
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return OPEN_FILES if allowed == resource.RLIM_INFINITY else allowed
