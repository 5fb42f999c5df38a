"""Views: an address as one person sees it, and how far what is known of it is from what is committed.

Nothing here waits, renders or sends: `server/live/render_queue.py` says what has happened to a view, and does what
follows.
"""

import asyncio
import re
from collections.abc import Callable
from enum import Enum, auto
from hashlib import blake2b
from typing import TYPE_CHECKING

from server.live.messages import Frame, partial
from server.live.view_requests import Answer, Viewer

if TYPE_CHECKING:
    from server.live.tabs import Tab

# The shortest time between two renderings of a view, and how fast one view may send: a browser morphs 20 rows (15 kB)
# in 3 ms, and a thousand rows in 150. The first change is not delayed, what follows it quickly is joined.
FRAME_SECONDS = 0.016
BYTES_PER_SECOND = 1_000_000
# One that takes long to render is left alone ten times as long, so that there is time for the others.
SLOW_SECONDS = 0.1
SLOW_PAUSE = 10
RECENT_VERSIONS = 8

_VERSION = re.compile(rb'\s*<[A-Za-z][^<>]*?\sdata-version="([^"<>]+)"')


class State(Enum):
    """How far a view is from what is committed."""

    FRESH = auto()  # Nothing has been committed since it was rendered.
    WAITING = auto()  # Something has, but it was rendered a moment ago.
    QUEUED = auto()  # It will be rendered when the loop comes to it.
    RENDERING = auto()
    OUTDATED = auto()  # It is being rendered, and something has been committed since that began.


class Event(Enum):
    """What happens to a view."""

    CHANGED = auto()  # A commit may have touched it, or the day has turned.
    DUE = auto()  # Its last rendering is old enough.
    BEGUN = auto()
    DONE = auto()


# What is not here changes nothing: commits that come together are one rendering, and there is one at a time.
STEPS = {
    (State.FRESH, Event.CHANGED): State.WAITING,
    (State.WAITING, Event.DUE): State.QUEUED,
    (State.QUEUED, Event.BEGUN): State.RENDERING,
    (State.RENDERING, Event.CHANGED): State.OUTDATED,
    (State.RENDERING, Event.DONE): State.FRESH,
    (State.OUTDATED, Event.DONE): State.WAITING,
}


class View:
    """An address, shown in elements of one id, as one person sees it; the same for all tabs that show it."""

    def __init__(self, id: str, url: str, person: Viewer) -> None:
        self.id = id
        self.url = url
        self.person = person
        self.state = State.FRESH
        # Has it rendered again.
        self.want: Callable[[], None] = lambda: None
        # Which version each tab has, or has been sent.
        self.told: dict[Tab, str] = {}
        # What was rendered last: for the tabs as long as it is kept, its size in bytes, how many seconds that took, its
        # hash, and the version by which pages call it.
        self.frame: Frame | None = None
        self.size = 0
        self.took = 0.0
        self.digest = b""
        self.version = ""
        self.status = 0
        # Renderings are counted: which was begun last, which the frame is from, which a tab waits for.
        self.begun = 0
        self.rendered = 0
        self.awaited = 0
        # In which rendering the last few versions came up.
        self.recent: dict[str, int] = {}
        self.not_before = 0.0
        self.timer: asyncio.TimerHandle | None = None

    def step(self, event: Event) -> State | None:
        """Take note of an event; the new state, None where it is the old one."""
        state = STEPS.get((self.state, event))
        self.state = state or self.state
        if event is Event.BEGUN:
            self.begun += 1
        return state

    def await_next(self) -> int:
        """The number of the first rendering that has all that is committed by now."""
        is_to_come = self.state in (State.WAITING, State.QUEUED, State.OUTDATED)
        self.awaited = self.begun + is_to_come
        return self.awaited

    def take(self, answer: Answer, digest: bytes, frame: Frame | None) -> bool:
        """Take an answer as what the last rendering gave, with its hash; whether it has to be sent.

        `frame` is None where `knows` says that it is known.
        """
        self.rendered = self.begun
        is_new = digest != self.digest
        if frame is not None:
            self.frame, self.size = frame, len(answer.body)
        if is_new:
            self.digest, self.status = digest, answer.status
            self.version = _version(answer, digest)
            self.recent.pop(self.version, None)
            self.recent[self.version] = self.rendered
            if len(self.recent) > RECENT_VERSIONS:
                del self.recent[next(iter(self.recent))]
        return is_new or self.awaited >= self.rendered

    def knows(self, digest: bytes) -> bool:
        """Whether the answer of this hash is the one that it has."""
        return self.frame is not None and self.digest == digest

    def is_echo(self, version: str, told: str, since: int) -> bool:
        """Whether a tab says what is known of it, and what it was sent is on its way.

        It was `told` a version and sent all that came up since a rendering; the page has not shown the last one yet,
        or was sent an error, which is no version of it.
        """
        if version == self.version:
            return False
        return self.recent.get(version, -1) >= since or (self.is_error and told == self.version)

    @property
    def is_error(self) -> bool:
        """Whether it was answered with an error."""
        return self.status >= 400

    @property
    def pause(self) -> float:
        """How many seconds its next rendering has to be away from the last one."""
        slowness = self.took * SLOW_PAUSE if self.took > SLOW_SECONDS else 0
        return max(FRAME_SECONDS, self.size / BYTES_PER_SECOND, slowness)


def digest_of(answer: Answer) -> bytes:
    """The hash of an answer."""
    return blake2b(answer.body, digest_size=12, person=answer.status.to_bytes(2, "big")).digest()


def frame_of(id: str, answer: Answer) -> Frame:
    """The state of a view for its element; an error goes where it says."""
    if answer.status < 400:
        return partial(f"#{id}", "outerMorph", answer.body)
    target = answer.headers.get(b"hx-retarget", b"#toasts").decode("latin-1")
    return partial(target, answer.headers.get(b"hx-reswap", b"beforeend").decode("latin-1"), answer.body)


def _version(answer: Answer, digest: bytes) -> str:
    """By which name pages know this state: what its element says, or the hash where that says nothing."""
    found = _VERSION.match(answer.body) if answer.status < 400 else None
    return found[1].decode(errors="replace") if found else digest.hex()
