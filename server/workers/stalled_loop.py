"""A watch on the event loop: a process whose loop stands still ends, with its stack in the log.

A thread asks the loop to turn and counts how often it looked in vain. So only the time in which this process runs
counts, not that in which it was stopped or the machine slept. While C code keeps the interpreter's lock that thread
does not run either: then a timer of processor time, which it would have wound up, goes off, and its signal writes the
stack and ends the process. A loop that a debugger holds is not counted.
"""

import asyncio
import faulthandler
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from server import background_work
from server.standard_streams import say

# A loop that has not turned for so long hangs.
HANG_SECONDS = 10
LOOK_SECONDS = 0.5
# The same for one that another process waits for, until it turns.
HURRY_SECONDS = 1
# Processor time for the same. All cores may work for other threads from one look to the next, or to the fourth.
PROCESSOR_SECONDS = max(HANG_SECONDS, 4 * LOOK_SECONDS * (os.cpu_count() or 1))
# A start that takes so long says where it stands, each time.
SLOW_SECONDS = 2
# What a log that nobody reads may hold up the end.
WRITING_SECONDS = 1
WORDS = f"The event loop has stood still for {HANG_SECONDS} s"
DEBUGGER = "the debugger"
IS_TIMED = hasattr(signal, "setitimer") and hasattr(faulthandler, "register")
# What takes long at this moment, and may.
_at_work = ""


class Watch:
    """A watch on the loop of the main thread.

    The stacks of all threads go to the log, or that of the loop to the open file `stack`. With `on_slow_start` the time
    until there is a loop is watched too; nothing is ended then, but the function gets the stack, as text, each time.
    `on_pause` hears why time does not count, as soon as that is so, and an empty text when it counts again.
    """

    def __init__(
        self,
        stack: int | None = None,
        on_slow_start: Callable[[str], None] | None = None,
        on_pause: Callable[[str], None] = lambda why: None,
    ) -> None:
        self._file = 2 if stack is None else stack
        self._is_log = stack is None
        self._on_slow_start = on_slow_start
        self._on_pause = on_pause
        self._pause = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._has_turned = False
        self._limit = float(HANG_SECONDS)
        self._is_looking = False
        if on_slow_start is not None:
            self._limit = SLOW_SECONDS
            # It is ended by this signal where it does not start: where it stood is known then.
            self._register()
            self._begin()

    def follow(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on, end the process when this loop stands still."""
        self._register()
        _wind_up(PROCESSOR_SECONDS)
        self._limit = float(HANG_SECONDS)
        self._loop, self._has_turned = loop, True
        if not self._is_looking:
            self._begin()

    def _register(self) -> None:
        if IS_TIMED:
            # The main thread gets it, unless it has ended.
            faulthandler.register(signal.SIGPROF, self._file, all_threads=self._is_log, chain=True)

    def hurry(self) -> None:
        """End it sooner if it does not turn now, as it has been told to give way."""
        self._limit = HURRY_SECONDS

    def _begin(self) -> None:
        self._is_looking = True
        background_work.thread("Watching the event loop", self._look)

    def _look(self) -> None:
        waiting = threading.Event()
        still = 0.0
        while not waiting.wait(LOOK_SECONDS):
            loop = self._loop
            if loop is not None:
                _wind_up(PROCESSOR_SECONDS)
            if loop is not None and self._has_turned:
                still, self._has_turned, self._limit = 0.0, False, float(HANG_SECONDS)
                self._say_pause("")
                try:
                    loop.call_soon_threadsafe(self._turn)
                except RuntimeError:
                    break  # The loop is closed, as the process ends.
                continue
            self._say_pause(why_held(main_frame()))
            still += LOOK_SECONDS
            if still >= self._limit:
                still = 0.0
                self._hangs(loop)
        _wind_up(0)

    def _turn(self) -> None:
        self._has_turned = True

    def _say_pause(self, why: str) -> None:
        if why != self._pause:
            self._pause = why
            self._on_pause(why)

    def _hangs(self, loop: asyncio.AbstractEventLoop | None) -> None:
        frame = main_frame()
        if self._pause:
            return
        if loop is None and self._on_slow_start is not None:
            self._on_slow_start("".join(traceback.format_stack(frame)))
            return
        ending = threading.Timer(WRITING_SECONDS, os._exit, (1,))
        ending.daemon = True
        ending.start()
        if self._is_log:
            say(f"{WORDS}: this process ends. All threads, the loop's last:", error=True)
        if IS_TIMED:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGPROF)
            return
        faulthandler.dump_traceback(self._file)
        os._exit(1)


def _wind_up(seconds: float) -> None:
    if IS_TIMED:
        signal.setitimer(signal.ITIMER_PROF, seconds)


def main_frame() -> FrameType | None:
    """What the main thread does at this moment."""
    return sys._current_frames().get(threading.main_thread().ident or 0)


def trace_of(stacks: str) -> str:
    """The last of the stacks that faulthandler wrote, as a traceback has it: the most recent call last."""
    last = re.split(r"^(?:Current t|T)hread .*\n", stacks, flags=re.MULTILINE)[-1]
    return "".join(f"{line}\n" for line in reversed(last.splitlines()) if line.startswith("  File "))


@contextmanager
def taking_long(what: str) -> Iterator[None]:
    """Have a start wait for `what`, however long that takes: it is no fault that it does."""
    global _at_work
    before, _at_work = _at_work, what
    try:
        yield
    finally:
        _at_work = before


def why_held(frame: FrameType | None) -> str:
    """What the main thread stands still for on purpose; empty where it does not."""
    return DEBUGGER if is_held(frame) else _at_work


def is_held(frame: FrameType | None) -> bool:
    """Whether a debugger holds a thread."""
    monitoring = getattr(sys, "monitoring", None)
    if monitoring is not None and monitoring.get_tool(monitoring.DEBUGGER_ID) is not None:
        return True
    # The outermost frame keeps its mark when pdb has been told to go on.
    while frame is not None and frame.f_back is not None:
        if frame.f_trace is not None or frame.f_globals.get("__name__") == "bdb":
            return True
        frame = frame.f_back
    return _is_traced()


def _is_traced() -> bool:
    """Whether a debugger from outside, such as gdb, holds this process; known on Linux alone."""
    status = Path("/proc/self/status")
    return status.exists() and "\nTracerPid:\t0\n" not in status.read_text(encoding="utf-8")
