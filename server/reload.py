"""Hot reload: a saved edit is served in a twentieth of a second, and no edit takes the app down.

This process watches the files and serves nothing. A worker serves; at an edit of the code the next one begins, which
was forked from a warm process and waits with everything imported but the app. Only when it serves does the old one
retire, passing its connections on. If it cannot start, the old one stays, and every page says why. Where the loop of
the one that serves stands still, it ends (server/watch.py), and a page says where it stood until the next edit.

    serving ──edit──▶ starting ──started──▶ serving (the old one retires)
       ▲                 │  ▲
       └─────failed──────┘  └──edit meanwhile: once more, when this one is done; at once where it has only just begun
"""

import contextlib
import importlib.util
import logging
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path
from queue import Empty, SimpleQueue
from socket import socket
from types import FrameType
from typing import Any

import uvicorn

from server import consequences
from server.edits import STATIC, Edits
from server.failure import AGAIN, Failure, StandIn, as_html, as_page, as_text, failure
from server.handover import (
    BEGIN,
    CONNECTION,
    END,
    ENDED,
    FAILED,
    GIVE_UP,
    RETIRE,
    RETIRING,
    SLOW,
    STARTED,
    TELL,
    THERE,
    work,
)
from server.settings import LOOPBACK_NAMES, is_loopback
from server.warm import LEARN, ROOMS, Warm, name_of
from server.watch import HANG_SECONDS, IS_TIMED, WORDS, trace_of
from server.worker import GONE, Worker
from server.workers import END_SECONDS

logger = logging.getLogger(__name__)

# What is saved so soon after a worker has begun belongs to the same edit: that worker is given up for another.
SAME_EDIT_SECONDS = 0.05
# One that was told to retire and has not said within this time that it does is ended. Its own watch does that sooner,
# unless it is kept from it by C code that never gives way.
RETIRE_SECONDS = 3
# More than faulthandler writes of one thread, and as much as a pipe holds.
STACK_LIMIT = 65536
LAST_SERVES = "The last version that worked goes on serving."
PAGE_SAYS_SO = "There is a page that says so, no app."
EDIT, SIGNAL = "edit", "signal"
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]


class Reloader:
    """The supervisor: `serving` answers, `starting` may take its place, `waiting` comes next; `root` is the project.

    To be made before there are threads. Where `has_app` is not so, what serves only stands in for an app.
    """

    def __init__(self, config: uvicorn.Config, listening: socket, root: Path, editor: str) -> None:
        self.config = config
        self.root = root
        self.editor = editor
        self.serving: Worker | None = None
        self.starting: Worker | None = None
        self.waiting: Worker | None = None
        self.retiring: set[Worker] = set()
        self.has_app = False
        self.edited_meanwhile = False
        self.has_failed = False
        self.ended = False
        self.exit_code = 0
        self._events: SimpleQueue[Any] = SimpleQueue()
        # Made before anything is imported from the files: whatever differs later was edited.
        self._edits = Edits(root)
        self._edited: set[Path] = set()
        # What a worker that hung and ended has written there: where it stood.
        self._stacks, theirs = multiprocessing.Pipe(duplex=False)
        os.set_blocking(self._stacks.fileno(), False)
        self._warm = Warm(work, config, listening, theirs)

    def hear_the_end(self, sig: int, frame: FrameType | None) -> None:
        """A signal ends it all."""
        self._events.put((SIGNAL, None, sig))

    def run(self) -> int:
        """Serve and follow the code until a signal; the exit code."""
        for sig in SIGNALS:
            # Who starts it with nohup wants it to go on when the terminal closes.
            if signal.getsignal(sig) != signal.SIG_IGN:
                signal.signal(sig, self.hear_the_end)
        self._start()
        self._edits.watch(lambda paths: self._events.put((EDIT, None, paths)))
        while not self.ended:
            with contextlib.suppress(Empty):
                event, worker, content = self._events.get(timeout=RETIRE_SECONDS if self.retiring else None)
                _HANDLERS[event](self, worker, content)
            self._end_overdue()
        self._end_all()
        self._edits.end()
        return self.exit_code

    def _on_signal(self, worker: None, sig: int) -> None:
        self.ended = True

    def _on_edit(self, worker: None, paths: set[Path]) -> None:
        """Decide what an edit asks for."""
        changed = self._edits.among(paths)
        rooms = {path.relative_to(self.root).parts[0] for path in changed}
        if rooms & set(ROOMS):
            # The door, server.py, is no module of a room: its name would stand for the whole engine.
            self._edited.update(path for path in changed if path.suffix == ".py" and path.parent != self.root)
            self._start()
        elif STATIC in rooms:
            self._tell(consequences.for_pages(changed, self.root / STATIC))
        for words in consequences.that_need_a_new_start(changed, self.root):
            logger.warning(words)

    def _on_there(self, worker: Worker, pid: int) -> None:
        worker.pid = pid

    def _on_learn(self, worker: Worker, modules: list[str]) -> None:
        """A worker had to import something: those that come have it."""
        self._warm.learn(modules)
        if self.waiting is not None:
            self._dismiss(self.waiting)
            self.waiting = None
            self._prepare_next()

    def _on_started(self, worker: Worker, content: None) -> None:
        """The new one serves: the old one may go."""
        if worker is not self.starting:
            return  # What stands in for an app serves, or one that was given up.
        old, self.serving, self.starting, self.has_app = self.serving, worker, None, True
        if self.has_failed:
            logger.warning("Mended.")
        self.has_failed = False
        self._retire(old)
        self._start_again()
        if old is None:
            self._prepare_next()

    def _on_failed(self, worker: Worker, trace: str) -> None:
        """The new one cannot start: the old one stays, and says why."""
        if worker is not self.starting:
            return
        self._show(failure(trace, self.root))

    def _on_slow(self, worker: Worker, stack: str) -> None:
        """The new one has not started yet; it may be at something long, such as a migration, so it goes on."""
        if worker is self.starting and not worker.is_slow:
            worker.is_slow = True
            self._show(failure(f"{stack}It has not started within {HANG_SECONDS} s.", self.root))

    def _on_retiring(self, worker: Worker, content: None) -> None:
        worker.is_retiring = True

    def _end_overdue(self) -> None:
        """End those that were told to retire some time ago, or given up, and have not said that they do."""
        latest = time.monotonic() - RETIRE_SECONDS
        for worker in [each for each in self.retiring if each.told < latest and each.pid and not each.is_retiring]:
            with contextlib.suppress(ProcessLookupError):
                # It leaves its stack, where there is a signal for that.
                os.kill(worker.pid, signal.SIGPROF if IS_TIMED else signal.SIGTERM)

    def _on_connection(self, worker: Worker, connection: tuple[int, Any]) -> None:
        """A connection of one that retires goes to the one that serves."""
        handle, said = connection
        if self.serving is not None and self.serving is not worker:
            self.serving.pass_on(handle, said)
        else:
            os.close(handle)

    def _on_ended(self, worker: Worker, exit_code: int | None) -> None:
        worker.exit_code = exit_code

    def _on_gone(self, worker: Worker, content: None) -> None:
        worker.pipe.close()
        hung = self._read_stack()
        if hung and worker is not self.serving:
            place = (
                f"{hung.file.relative_to(self.root)}:{hung.line}, before the edit" if hung.file else "no file of ours"
            )
            logger.warning("The old version stood still in %s: it was ended.", place)
        self.retiring.discard(worker)
        if worker is self.waiting:
            self.waiting = None
        elif worker is self.starting:
            self.starting = None
            if worker.is_fork and not worker.pid:
                self._start()  # It never was there: the warm process ended before it was made.
            elif self.serving is None:
                # It said itself why, and nothing that is edited here would mend it.
                self.ended, self.exit_code = True, worker.exit_code or 1
            self._start_again()
        elif worker is self.serving:
            self.serving, self.has_app = None, False
            if hung:
                self._show(hung)  # To start it again would have it hang again at the same request.
            else:
                logger.warning("The worker %s ended; another takes its place.", worker.pid)
                self._start()
        if self.starting is None and not self.ended:
            self._prepare_next()

    def _read_stack(self) -> Failure | None:
        """Where a worker stood that hung and ended; None where none did."""
        try:
            stack = os.read(self._stacks.fileno(), STACK_LIMIT).decode(errors="replace")
        except BlockingIOError:
            return None
        return failure(f"{trace_of(stack)}{WORDS}.", self.root)

    def _show(self, found: Failure) -> None:
        """Say in the terminal and on every page what went wrong."""
        print(as_text(found, self.root, LAST_SERVES if self.has_app else PAGE_SAYS_SO), file=sys.stderr, flush=True)
        self.has_failed = True
        if self.has_app:
            self._tell({"reload": "failure", "failure": as_html(found, self.root, self.editor)})
        else:
            self._stand_in(as_page(found, self.root, self.editor, AGAIN))

    def _start(self) -> None:
        if self.starting is not None:
            if SAME_EDIT_SECONDS < time.monotonic() - self.starting.begun < HANG_SECONDS:
                self.edited_meanwhile = True
                return
            self._dismiss(self.starting)
        for path in self._edited:
            # Python takes compiled code for up to date that is of the same second and of a source of the same length.
            Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)
        self.starting = self._begin()

    def _begin(self, stand_in: StandIn | None = None) -> Worker:
        """Let the worker that waits begin, or a new one where none does."""
        worker, self.waiting = self.waiting or Worker(self._warm, self._events), None
        worker.begun = time.monotonic()
        worker.say(BEGIN, (set(map(name_of, self._edited)), stand_in, self.has_app))
        return worker

    def _prepare_next(self) -> None:
        """Have a worker wait for the next edit; while nothing else is to be done, as that would be held up."""
        if self.waiting is None and self.has_app:
            self.waiting = Worker(self._warm, self._events)

    def _stand_in(self, page: str) -> None:
        """Have a page served that says why there is no app yet."""
        host = self.config.host
        # Nobody signs in to it. Where others come in, by themselves or by a proxy, it tells no code.
        is_private = is_loopback(host) and not self.config.proxy_headers
        # Who comes between the two waits in the queue of the listening socket.
        self._retire(self.serving)
        self.serving = self._begin(StandIn(page, (host, *LOOPBACK_NAMES), is_private=is_private))

    def _retire(self, worker: Worker | None) -> None:
        if worker is not None:
            self._let_go(worker, RETIRE)

    def _dismiss(self, worker: Worker) -> None:
        """End one that is not wanted any more; it may have started without having been heard to say so."""
        self._let_go(worker, GIVE_UP)

    def _let_go(self, worker: Worker, word: str) -> None:
        worker.told = time.monotonic()
        self.retiring.add(worker)
        worker.say(word)

    def _start_again(self) -> None:
        if self.edited_meanwhile:
            self.edited_meanwhile = False
            self._start()

    def _tell(self, message: dict[str, Any]) -> None:
        if self.serving is not None:
            self.serving.say(TELL, message)

    def _end_all(self) -> None:
        self._warm.end()
        everyone = (self.serving, self.starting, self.waiting, *self.retiring)
        workers = [worker for worker in everyone if worker is not None]
        for worker in workers:
            worker.say(END)
        end = time.monotonic() + END_SECONDS
        for worker in workers:
            # Its pipe ends with it.
            worker.hearing.join(max(0.0, end - time.monotonic()))
            if worker.hearing.is_alive() and worker.pid:
                os.kill(worker.pid, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)


# Every event there is, and what it does.
_HANDLERS: dict[str, Any] = {
    SIGNAL: Reloader._on_signal,
    EDIT: Reloader._on_edit,
    THERE: Reloader._on_there,
    LEARN: Reloader._on_learn,
    STARTED: Reloader._on_started,
    FAILED: Reloader._on_failed,
    SLOW: Reloader._on_slow,
    RETIRING: Reloader._on_retiring,
    CONNECTION: Reloader._on_connection,
    ENDED: Reloader._on_ended,
    GONE: Reloader._on_gone,
}
