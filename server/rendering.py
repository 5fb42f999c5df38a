"""When views are rendered: one rendering of a view at a time, a few views at once, and what comes of it to every tab.

The states of a view are in `server/views.py`; here are the loop, its timers and its tasks.
"""

import asyncio
import logging
from collections.abc import Callable

from starlette.types import ASGIApp

from server.asking import Answer, Unanswered, ask
from server.tabs import SIGN_IN_FIRST
from server.views import Event, State, View

logger = logging.getLogger("uvicorn.error")

# How many views are rendered, and how many tabs are sent one, before other work has its turn.
VIEWS_AT_ONCE = 8
TABS_AT_ONCE = 64


class Renderings:
    """What is to be rendered, and what is being rendered; `report` makes HTML of a message to a person."""

    def __init__(self, app: ASGIApp, report: Callable[[str], str]) -> None:
        self._app = app
        self._report = report
        self._queue: dict[View, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def change(self, view: View) -> None:
        """Have a view rendered that a commit may have touched."""
        if view.step(Event.CHANGED) is State.WAITING:
            self._wait(view)

    def forget(self, view: View) -> None:
        """Leave a view that nobody shows any more; a rendering that has begun ends for nothing."""
        self._queue.pop(view, None)
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
        for view in list(self._queue)[:VIEWS_AT_ONCE]:
            del self._queue[view]
            task = asyncio.get_running_loop().create_task(self._render(view))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if self._queue:
            asyncio.get_running_loop().call_soon(self._render_some)

    async def _render(self, view: View) -> None:
        view.step(Event.BEGUN)
        try:
            answer = await ask(self._app, view.url, view.person, failed_before=view.status == 500)
        except Unanswered as error:
            answer = Answer(view.url, 500, self._report(str(error)))
        await self._show(view, answer)
        view.not_before = asyncio.get_running_loop().time() + view.pause
        if view.step(Event.DONE) is State.WAITING and view.told:
            self._wait(view)

    async def _show(self, view: View, answer: Answer) -> None:
        """Take an answer as the state of a view, and send it to whom it is new."""
        before = view.digest
        if view.take(answer):
            if view.is_error and view.digest != before:
                logger.warning("%s cannot be kept live: it was answered with %s.", view.url, answer.status)
            await self._send(view)
        if answer.status == 401:
            for tab in list(view.told):
                tab.outlet.end(SIGN_IN_FIRST, "Sign in again.")

    async def _send(self, view: View) -> None:
        """Give a new state to every tab that has another."""
        for number, tab in enumerate(list(view.told)):
            if tab in view.told:
                tab.offer(view)
            if number % TABS_AT_ONCE == TABS_AT_ONCE - 1:
                await asyncio.sleep(0)
