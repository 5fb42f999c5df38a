"""A worker as its supervisor has it, with a thread in place of the process."""

import os
import threading
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

from server.reload.handover import BEGIN, THERE
from server.reload.worker_pipe import GONE, Worker


class Warm:
    """What starts a worker: here it says that it is there, hears one word, and ends."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def start(self, pipe: Connection) -> None:
        # The worker has its own copy of this end; the supervisor closes this one.
        own = Connection(os.dup(pipe.fileno()))
        self.thread = threading.Thread(target=self._work, args=(own,))
        self.thread.start()

    def _work(self, pipe: Connection) -> None:
        with pipe:
            pipe.send((THERE, 42))
            self.heard.append(pipe.recv())


def test_what_it_says_and_its_end_are_events_and_who_is_gone_hears_nothing() -> None:
    warm, events = Warm(), SimpleQueue[Any]()
    worker = Worker(warm, events)  # type: ignore[arg-type]
    assert events.get(timeout=10) == (THERE, worker, 42)
    worker.say(BEGIN, "now")
    assert events.get(timeout=10) == (GONE, worker, None)
    assert warm.heard == [(BEGIN, "now")]
    warm.thread.join()
    worker.say(BEGIN)
    worker.pipe.close()
