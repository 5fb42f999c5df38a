"""Background work: tasks and threads that run beside the requests; the failure of one is always logged.

What fails is in the log with its traceback, counted, and begun again after a pause that grows up to LONGEST_PAUSE. The
health of the process tells which of it fails (`troubles`) and how often each has failed (`failures`).
"""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from typing import Any

logger = logging.getLogger("uvicorn.error")

# Seconds until what has failed is begun again: twice as long each time, and as at first where it went well for a while.
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
# How long after its last failure it counts as well.
WELL_SECONDS = 2 * LONGEST_PAUSE
# Of what is not begun again, at most one traceback in so many seconds is logged.
LOG_SECONDS = 10


class _Record:
    """What is known of the work of one name in this process."""

    def __init__(self) -> None:
        self.failures = 0
        self.error = ""
        self.failed = -WELL_SECONDS
        self.logged = float(-LOG_SECONDS)
        self.is_trouble = False


_records: dict[str, _Record] = {}
# A loop holds its tasks weakly: one that nothing else holds may be gone in the middle.
_tasks: set[asyncio.Task[None]] = set()


def begin(name: str, work: Callable[[], Awaitable[object]]) -> asyncio.Task[None]:
    """A task that does `work` until it returns; where it raises, it is begun again. Cancelling the task ends it."""
    return _task(_again_and_again(name, work))


def every(seconds: float, name: str, work: Callable[[], Awaitable[object]]) -> asyncio.Task[None]:
    """A task that does `work`, then waits so long, until it is cancelled; a failure puts off the next time."""

    async def repeat() -> None:
        while True:
            await work()
            _is_well(name)
            await asyncio.sleep(seconds)

    return begin(name, repeat)


def once(name: str, work: Coroutine[Any, Any, object]) -> asyncio.Task[None]:
    """A task that is run once; an exception is logged and counted, and the task is not restarted."""
    task = _task(_noted(name, work))
    # One that is cancelled before its first step has not begun the work.
    task.add_done_callback(lambda _: work.close())
    return task


def attempt(name: str, work: Callable[[], object]) -> None:
    """Do `work` now, in a callback that comes again by itself; what it raises is logged and counted."""
    try:
        work()
    except Exception as error:
        _note(name, error)


def thread(name: str, work: Callable[[], object]) -> threading.Thread:
    """A thread that does `work` until it returns; where it raises, it is begun again. It ends with the process."""

    def run() -> None:
        pauses = _Pauses()
        while True:
            try:
                work()
            except BaseException as error:  # An exit, too, would end this thread alone, and nobody would know.
                time.sleep(pauses.next(name, error))
            else:
                return

    started = threading.Thread(target=run, name=name, daemon=True)
    started.start()
    return started


def hear(loop: asyncio.AbstractEventLoop) -> None:
    """Also count exceptions that nothing on this loop has caught; they are logged as before."""

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        loop.default_exception_handler(context)
        if isinstance(error := context.get("exception"), Exception):
            _count("event loop", error)

    loop.set_exception_handler(handle)


def troubles() -> list[str]:
    """What does not go on as it should at this moment, in words."""
    now = time.monotonic()
    return [
        f"{name} fails: {record.error}"
        for name, record in list(_records.items())  # A thread may add to it meanwhile.
        if record.is_trouble and now - record.failed < WELL_SECONDS
    ]


def failures() -> dict[str, int]:
    """How often the work of each name has failed in this process, where it has."""
    return {name: record.failures for name, record in list(_records.items())}


class _Pauses:
    """How long to wait after each failure of one piece of work."""

    def __init__(self) -> None:
        self._pause = 0.0
        self._begun = time.monotonic()

    def next(self, name: str, error: BaseException) -> float:
        """Note a failure; the seconds until it is begun again."""
        went_well = time.monotonic() - self._begun > WELL_SECONDS
        self._pause = FIRST_PAUSE if went_well or not self._pause else min(2 * self._pause, LONGEST_PAUSE)
        self._begun = time.monotonic() + self._pause
        _count(name, error).is_trouble = True
        logger.error("%s failed, and is begun again in %s s.", name, self._pause, exc_info=error)
        return self._pause


async def _again_and_again(name: str, work: Callable[[], Awaitable[object]]) -> None:
    pauses = _Pauses()
    while True:
        try:
            await work()
            return
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # What it has waited for was cancelled, and not this task.
            failure: BaseException = error
        except Exception as error:
            failure = error
        await asyncio.sleep(pauses.next(name, failure))


async def _noted(name: str, work: Coroutine[Any, Any, object]) -> None:
    try:
        await work
    except Exception as error:
        _note(name, error)


def _task(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """A task in a context of its own: it belongs to no request that has happened to start it."""
    task = asyncio.get_running_loop().create_task(work, context=Context())
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return task


def _count(name: str, error: BaseException) -> _Record:
    record = _records.setdefault(name, _Record())
    record.failures += 1
    record.error = f"{type(error).__name__}: {error}"
    record.failed = time.monotonic()
    return record


def _note(name: str, error: BaseException) -> None:
    record = _count(name, error)
    if record.failed - record.logged >= LOG_SECONDS:
        record.logged = record.failed
        logger.error("%s failed.", name, exc_info=error)


def _is_well(name: str) -> None:
    if name in _records:
        _records[name].is_trouble = False
