"""A worker as its supervisor has it: the other end of its pipe, and a thread that hears what it says.

What passes on the pipe, and what the worker makes of it, is in server/reload/handover.py.
"""

import logging
import multiprocessing
import os
from queue import SimpleQueue
from typing import Any

from server import background_work
from server.reload.descriptor_passing import pass_on, take
from server.reload.handover import CONNECTION
from server.reload.warm_process import Warm

logger = logging.getLogger(__name__)

# What a worker is heard to say when its process has ended.
GONE = "gone"


class Worker:
    """A process that waits, and from its `begin` on serves the app as it is then."""

    def __init__(self, warm: Warm, events: "SimpleQueue[Any]") -> None:
        self.pid = 0
        self.begun = 0.0
        self.exit_code: int | None = None
        # Why it cannot start, where no edit would mend that.
        self.refusal = ""
        # How long it has been starting, in seconds that count, and in all; and why they do not count at the moment.
        self.waited = 0.0
        self.age = 0.0
        # Where it stood when it last said so.
        self.stack = ""
        self.pause = ""
        self.is_slow = False
        self.has_failed = False
        self.has_started = False
        self.told = 0.0
        self.is_retiring = False
        self.pipe, other = multiprocessing.Pipe()
        with other:
            self.is_fork = warm.start(other)
        self.events = events
        self.hearing = background_work.thread("Hearing a worker", self._hear)

    def _hear(self) -> None:
        try:
            while True:
                word, content = self.pipe.recv()
                if word == CONNECTION:
                    content = take(self.pipe), content
                self.events.put((word, self, content))
        except (EOFError, OSError):
            self.events.put((GONE, self, None))

    def say(self, word: str, content: Any = None) -> None:
        """Tell the worker something; one that is gone hears nothing."""
        try:
            self.pipe.send((word, content))
        except OSError:
            logger.debug("The worker %s is gone.", self.pid)

    def pass_on(self, handle: int, said: Any) -> None:
        """Give the worker a connection, and what was said on it."""
        try:
            self.pipe.send((CONNECTION, said))
            pass_on(self.pipe, handle)
        except OSError:
            logger.debug("The worker %s is gone.", self.pid)
        finally:
            os.close(handle)
