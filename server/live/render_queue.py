"""When views are rendered: one rendering of a view at a time, a few views at once, and what comes of it to every tab.

The states of a view are in `server/live/views.py`; here are the loop, its timers and its tasks.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable

from starlette.types import ASGIApp

from server import background_work
from server.live.messages import Frame
from server.live.revoked_sockets import SIGN_IN_FIRST, WORDS
from server.live.view_requests import Answer, Unanswered, ask
from server.live.views import (
    Event,
    State,
    View,
    digest_of,
    frame_of,
)

logger = logging.getLogger("uvicorn.error")

# How many views are rendered, and how many tabs are sent one, before other work has its turn.
VIEWS_AT_ONCE = 8
TABS_AT_ONCE = 64
# How many are under way at most, where they wait for something.
RENDERINGS = 16
# What views keep for the next tab that shows one, in bytes; what is dropped is rendered again when a tab needs it. A
# frame is held as text and as bytes for the wire.
KEPT_BYTES = 24 * 1024 * 1024
FRAME_COPIES = 3
# To hash and to pack an answer of 1 MB takes 15 ms: a larger one than this is left to a thread.
LARGE_BYTES = 64 * 1024


class Renderings:
    """What is to be rendered, and what is being rendered; `report` makes HTML of a message to a person."""

    def __init__(self, app: ASGIApp, report: Callable[[str], str]) -> None:
        self._app = app
        self._report = report
        self._queue: dict[View, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._kept: OrderedDict[View, int] = OrderedDict()
        self._kept_bytes = 0

    def change(self, view: View) -> None:
        """Have a view rendered that a commit may have touched."""
        if view.step(Event.CHANGED) is State.WAITING:
            self._wait(view)

    def forget(self, view: View) -> None:
        """Leave a view that nobody shows any more; a rendering that has begun ends for nothing."""
        self._queue.pop(view, None)
        self._drop(view)
        if view.timer is not None:
            view.timer.cancel()

    def _wait(self, view: View) -> None:
        """Enqueue it at once, or when its last rendering is a moment old."""
        loop = asyncio.get_running_loop()
        delay = view.not_before - loop.time()
        if delay > 0:
            view.timer = loop.call_later(delay, self._enqueue, view)
        else:
            self._enqueue(view)

    def _enqueue(self, view: View) -> None:
        view.timer = None
        view.step(Event.DUE)
        if not self._queue:
            asyncio.get_running_loop().call_soon(self._render_some)
        self._queue[view] = None

    def _render_some(self) -> None:
        """Begin a few renderings; the others when other work has had its turn."""
        work = 0
        while self._queue and work < VIEWS_AT_ONCE and len(self._tasks) < RENDERINGS:
            view = next(iter(self._queue))
            del self._queue[view]
            work += VIEWS_AT_ONCE // 2 if view.size > LARGE_BYTES else 1
            task = background_work.once("Rendering a live view", self._render(view))
            self._tasks.add(task)
            task.add_done_callback(self._end)
        if self._queue and len(self._tasks) < RENDERINGS:
            asyncio.get_running_loop().call_soon(self._render_some)

    def _end(self, task: asyncio.Task[None]) -> None:
        # Where there was no room for the next one, there is now.
        if len(self._tasks) == RENDERINGS and self._queue:
            asyncio.get_running_loop().call_soon(self._render_some)
        self._tasks.discard(task)

    async def _render(self, view: View) -> None:
        view.step(Event.BEGUN)
        begin = asyncio.get_running_loop().time()
        try:
            try:
                answer = await ask(self._app, view.url, view.person, failed_before=view.status == 500)
            except Unanswered as error:
                answer = Answer(view.url, 500, self._report(str(error)))
            view.took = asyncio.get_running_loop().time() - begin
            await self._show(view, answer)
        finally:
            # Whatever has failed here, the next commit has the view rendered again.
            view.not_before = asyncio.get_running_loop().time() + view.pause
            if view.step(Event.DONE) is State.WAITING and view.told:
                self._wait(view)

    async def _show(self, view: View, answer: Answer) -> None:
        """Take an answer as the state of a view, and send it to whom it is new."""
        before = view.digest
        digest, frame = (
            await asyncio.to_thread(_taken, view, answer) if len(answer.body) > LARGE_BYTES else _taken(view, answer)
        )
        if view.take(answer, digest, frame):
            if view.is_error and view.digest != before:
                logger.warning("%s cannot be kept live: it was answered with %s.", view.url, answer.status)
            await self._send(view)
        self._keep(view)
        if answer.status == 401:
            for tab in list(view.told):
                tab.outlet.end(SIGN_IN_FIRST, WORDS[SIGN_IN_FIRST])

    async def _send(self, view: View) -> None:
        """Give a new state to every tab that has another."""
        for number, tab in enumerate(list(view.told)):
            if tab in view.told:
                tab.offer(view)
            if number % TABS_AT_ONCE == TABS_AT_ONCE - 1:
                await asyncio.sleep(0)

    def _keep(self, view: View) -> None:
        """Count what a view holds, and drop what was rendered longest ago where that is too much in all."""
        self._kept_bytes -= self._kept.pop(view, 0)
        if view.frame is None or not view.told:
            view.frame = None
            return
        self._kept[view] = FRAME_COPIES * view.size
        self._kept_bytes += self._kept[view]
        while self._kept_bytes > KEPT_BYTES:
            self._drop(next(iter(self._kept)))

    def _drop(self, view: View) -> None:
        self._kept_bytes -= self._kept.pop(view, 0)
        view.frame = None


def _taken(view: View, answer: Answer) -> tuple[bytes, Frame | None]:
    """The hash of an answer, and its frame where that is new, packed where that takes long."""
    digest = digest_of(answer)
    if view.knows(digest):
        return digest, None
    frame = frame_of(view.id, answer)
    if len(answer.body) > LARGE_BYTES:
        _ = frame.deflated
    return digest, frame
