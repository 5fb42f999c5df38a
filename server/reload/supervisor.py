"""Hot reload: a saved edit is served in a twentieth of a second, and no edit takes the app down.

This process watches the files and serves nothing. A worker serves; at an edit of the code the next one begins, which
was forked from a warm process and waits with everything imported but the app. Only when it serves does the old one
retire, passing its connections on. If it cannot start, the old one stays, and every page says why. Where the loop of
the one that serves stands still, it ends (server/workers/stalled_loop.py), and a page says where it stood until the
next edit.

    serving ──edit──▶ starting ──started──▶ serving (the old one retires)
       ▲                 │  ▲
       └─────failed──────┘  └──edit meanwhile: once more, when this one is done; at once where it has only just begun
"""

import contextlib
import logging
import multiprocessing
import os
import re
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from socket import socket
from types import FrameType
from typing import Any

import uvicorn

from server.reload.edits import compiled, edit_effects
from server.reload.edits.file_watch import Edits
from server.reload.edits.loaded_files import STATIC, News
from server.reload.failure_page import (
    AGAIN,
    Failure,
    StandIn,
    as_html,
    as_page,
    as_text,
    failure,
    offered,
    shown,
)
from server.reload.handover import (
    BEGIN,
    CHOSEN,
    CONNECTION,
    END,
    ENDED,
    FAILED,
    GIVE_UP,
    PAUSED,
    RETIRE,
    RETIRING,
    SLOW,
    STARTED,
    TELL,
    THERE,
    USED,
    work,
)
from server.reload.server_state import Running
from server.reload.start_errors import Offer
from server.reload.warm_process import LEARN, Warm, name_of
from server.reload.worker_pipe import GONE, Worker
from server.settings import LOOPBACK_NAMES, is_loopback
from server.standard_streams import say
from server.workers import exit_reasons
from server.workers.stalled_loop import DEBUGGER, IS_TIMED, SLOW_SECONDS
from server.workers.supervisor import END_SECONDS

logger = logging.getLogger(__name__)

# What is saved so soon after a worker has begun belongs to the same edit: that worker is given up for another.
SAME_EDIT_SECONDS = 0.05
# One that was told to retire and has not said within this time that it does is ended. Its own watch does that sooner,
# unless it is kept from it by C code that never gives way.
RETIRE_SECONDS = 3
# A start that takes longer is ended; time of migrations, and in a debugger, does not count. Where nothing served yet,
# a page says after FIRST_SECONDS that it takes long. It is counted in parts: time in which this process was stopped, or
# the machine slept, is one of them at most.
START_SECONDS = 10
FIRST_SECONDS = 5
PART_SECONDS = 0.5
# How long one may take to be gone when its pipe is closed.
GONE_SECONDS = 1
# One that ends again and again, so soon after its start, is not started again before the next edit.
BRIEF_SECONDS, BRIEF_LIVES = 5, 3
# More than faulthandler writes of one thread, and as much as a pipe holds.
STACK_LIMIT = 65536
# A choice that holds until the server ends; any other is for one start.
LASTING = ("keep",)
NOT_FOUND = re.compile(r"No module named '([\w.]+)'")
LAST_SERVES = "The last version that worked goes on serving."
PAGE_SAYS_SO = "There is a page that says so, no app."
SURELY = signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL
EDIT, SIGNAL = "edit", "signal"
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]


class Reloader:
    """The supervisor: `serving` answers, `starting` may take its place, `waiting` comes next; `root` is the project,
    `url` where it is served on this machine.

    To be made before there are threads. Where `has_app` is not so, what serves only stands in for an app.
    """

    def __init__(self, config: uvicorn.Config, listening: socket, root: Path, editor: str, url: str) -> None:
        self.config = config
        self.url = url
        self.root = root
        self.editor = editor
        self.serving: Worker | None = None
        self.starting: Worker | None = None
        self.waiting: Worker | None = None
        self.retiring: set[Worker] = set()
        self.has_app = False
        self.served = ""
        self.edited_meanwhile = False
        self.has_failed = False
        self.brief_lives = 0
        # What can be chosen at this moment, and what was.
        self.choices: set[str] = set()
        self.choice = ""
        self.ended = False
        self.exit_code = 0
        self._events: SimpleQueue[Any] = SimpleQueue()
        # Made before anything is imported from the files: whatever differs later was edited.
        self._edits = Edits(root)
        # All that was edited since the start: the files, their modules, and what was edited last.
        self._sources: set[Path] = set()
        self._edited: set[str] = set()
        self._last_edited: set[Path] = set()
        # The modules that come from a file, as workers have said.
        self._names: dict[Path, set[str]] = {}
        self._looked = time.monotonic()
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
        self._running = Running(self.root, self.url)
        self._start()
        self._edits.watch(lambda paths: self._events.put((EDIT, None, paths)))
        while not self.ended:
            with contextlib.suppress(Empty):
                event, worker, content = self._events.get(timeout=self._patience())
                _HANDLERS[event](self, worker, content)
            self._end_overdue()
            self._look_at_start()
        self._running.end()
        self._end_all()
        self._edits.end()
        return self.exit_code

    def _on_signal(self, worker: None, sig: int) -> None:
        self.ended = True

    def _on_edit(self, worker: None, paths: set[Path]) -> None:
        """Decide what an edit asks for."""
        changed = self._edits.among(paths)
        code = [path for path in changed if self._edits.is_code(path)]
        static = [path for path in changed if self._edits.is_static(path)]
        if code:
            self._sources.update(path for path in code if path.suffix == ".py")
            self._edited.update(name for path in code for name in self._names_of(path))
            self._last_edited = set(code)
            self._running.say(edited=time.monotonic())
            self._follow()
        elif static:
            self._tell(edit_effects.for_pages(static, self.root / STATIC))
        for words in edit_effects.that_need_a_new_start(changed, code, self.root):
            logger.warning(words)

    def _names_of(self, path: Path) -> set[str]:
        """The modules that come from a file, or have read it as they were imported."""
        is_source = path.suffix == ".py" and path.is_relative_to(self.root)
        return self._names.get(path, set()) | ({name_of(path)} if is_source else set())

    def _on_used(self, worker: Worker, news: News) -> None:
        """A worker says what it uses, wherever that is: it is followed from now on."""
        for path, (_, names) in news.files.items():
            self._names.setdefault(Path(path), set()).update(names)
        files = {Path(path): found for path, (found, _) in news.files.items()}
        late = self._edits.use(files, map(Path, news.written))
        if late:
            self._events.put((EDIT, None, late))

    def _on_there(self, worker: Worker, pid: int) -> None:
        worker.pid = pid

    def _on_learn(self, worker: Worker, modules: list[str]) -> None:
        """A worker had to import something: those that come have it."""
        self._warm.learn(modules)
        if self.waiting is not None:
            self._dismiss(self.waiting)
            self.waiting = None
            self._prepare_next()

    def _on_started(self, worker: Worker, served: str) -> None:
        """The new one serves: the old one may go."""
        if worker is not self.starting:
            return  # What stands in for an app serves, or one that was given up.
        worker.has_started = True
        self._running.say(begun=worker.begun)
        old, self.serving, self.starting, self.has_app = self.serving, worker, None, True
        self.served = served
        if self.has_failed:
            logger.warning("Mended.")
        self.has_failed = False
        self._retire(old)
        self._start_again()
        if old is None:
            self._prepare_next()

    def _on_failed(self, worker: Worker, content: tuple[str, tuple[Offer, ...]]) -> None:
        """The new one cannot start: the old one stays, and says why."""
        trace, offers = content
        if worker is not self.starting:
            return
        worker.has_failed = True
        for module in NOT_FOUND.findall(trace):
            self._edits.expect(module)
        self._show(failure(trace, self.root), offers)

    def _on_chosen(self, worker: Worker, choice: str) -> None:
        """Somebody has chosen what is to be done: it is tried."""
        if choice in self.choices:
            self.choice = choice
            self._start()

    def _on_slow(self, worker: Worker, stack: str) -> None:
        """The new one has not started yet, and says where it is."""
        worker.stack = stack
        self._say_slow(worker, 0)

    def _say_slow(self, worker: Worker, grace: float) -> None:
        """Say that a start takes long; it may be at something that does, such as a migration, so it goes on."""
        # Where nothing served before, whoever asks waits for it: the page in its place is for who has waited long.
        limit = SLOW_SECONDS if self.has_app else FIRST_SECONDS
        is_told = worker.is_slow or worker.has_failed or worker.pause == DEBUGGER
        if worker is not self.starting or is_told or worker.age + PART_SECONDS < limit + grace:
            return
        worker.is_slow = True
        end = (
            f"It waits for {worker.pause}, which may take its time."
            if worker.pause
            else f"It is ended when that takes {START_SECONDS} s."
        )
        self._show(failure(f"{worker.stack}It has not started within {limit} s. {end}", self.root))

    def _on_paused(self, worker: Worker, why: str) -> None:
        """Its time does not count, or counts again."""
        worker.pause = why
        if worker is self.serving and not why:
            self._start_again()

    def _patience(self) -> float | None:
        """How long nothing need be looked at."""
        if self.starting is not None:
            return PART_SECONDS
        return RETIRE_SECONDS if self.retiring else None

    def _look_at_start(self) -> None:
        """Count the time of a start, and end one that takes too long: it may wait for something for ever."""
        now = time.monotonic()
        part, self._looked = min(now - self._looked, PART_SECONDS), now
        worker = self.starting
        if worker is None or not worker.pid:
            return
        worker.age += part
        worker.waited += 0 if worker.pause else part
        # C code that never gives way, or what it waits for, keeps it from saying where it is.
        self._say_slow(worker, GONE_SECONDS)
        if worker.waited > START_SECONDS and not worker.has_failed:
            self._kill(worker, worker.waited > START_SECONDS + GONE_SECONDS)

    def _kill(self, worker: Worker, at_once: bool) -> None:
        """End a process; where there is a signal for that, and it is not to be `at_once`, it leaves its stack."""
        gentle = signal.SIGPROF if IS_TIMED else signal.SIGTERM
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker.pid, SURELY if at_once else gentle)

    def _on_retiring(self, worker: Worker, content: None) -> None:
        worker.is_retiring = True

    def _end_overdue(self) -> None:
        """End those that were told to retire some time ago, or given up, and have not said that they do."""
        latest = time.monotonic() - RETIRE_SECONDS
        for worker in [each for each in self.retiring if each.told < latest and each.pid and not each.is_retiring]:
            self._kill(worker, worker.told < latest - GONE_SECONDS)

    def _on_connection(self, worker: Worker, connection: tuple[int, Any]) -> None:
        """A connection of one that retires goes to the one that serves."""
        handle, said = connection
        if self.serving is not None and self.serving is not worker:
            self.serving.pass_on(handle, said)
        else:
            os.close(handle)

    def _on_ended(self, worker: Worker, refusal: tuple[int, str]) -> None:
        """It cannot start, and no edit would mend that."""
        worker.exit_code, worker.refusal = refusal

    def _on_gone(self, worker: Worker, content: None) -> None:
        worker.pipe.close()
        stack = self._read_stack()
        self.retiring.discard(worker)
        if worker is self.waiting:
            self.waiting = None
        elif worker is self.starting:
            self.starting = None
            self._on_no_start(worker, stack)
            self._start_again()
        elif worker is self.serving:
            self.serving, has_served, self.has_app = None, self.has_app, False
            self._on_end_of_serving(worker, stack, has_served)
        elif stack and worker.has_started:
            found = failure(exit_reasons.trace(stack, None, True, START_SECONDS), self.root)
            logger.warning(
                "The old version stood still in %s: it was ended.",
                f"{shown(found.file, self.root)}:{found.line}, before the edit" if found.file else "no file of ours",
            )
        if self.starting is None and not self.ended:
            self._prepare_next()

    def _on_no_start(self, worker: Worker, stack: str) -> None:
        """The one that was to serve is gone without having served: it has said why, or its end says it."""
        if worker.is_fork and not worker.pid:
            self._start()  # It never was there: the warm process ended before it was made.
        elif worker.refusal and self.serving is None:
            say(worker.refusal, error=True)
            self.ended, self.exit_code = True, worker.exit_code or 1
        elif worker.refusal:
            self._show(failure(worker.refusal, self.root))
        elif not worker.has_failed:
            saved = ", ".join(sorted(shown(path, self.root) for path in self._last_edited))
            told = exit_reasons.trace(stack, self._exit_code(worker), False, START_SECONDS)
            self._show(failure(told + (f" Last edited: {saved}." if saved and not stack else ""), self.root))

    def _on_end_of_serving(self, worker: Worker, stack: str, has_served: bool) -> None:
        exit_code = self._exit_code(worker)
        is_brief = time.monotonic() - worker.begun < BRIEF_SECONDS
        self.brief_lives = self.brief_lives + 1 if is_brief and has_served else 0
        if (stack and exit_reasons.FATAL not in stack) or self.brief_lives >= BRIEF_LIVES:
            # To start it again would have it hang again at the same request, or end as soon.
            self._show(failure(exit_reasons.trace(stack, exit_code, True, START_SECONDS), self.root))
            return
        logger.warning("The worker %s ended (%s); another takes its place.", worker.pid, exit_reasons.words(exit_code))
        self._start()

    def _exit_code(self, worker: Worker) -> int | None:
        """How it has ended; one that has only left is ended."""
        exit_code = self._warm.exit_code(worker.pid, GONE_SECONDS)
        if exit_code is None:
            self._kill(worker, at_once=True)
        return exit_code

    def _read_stack(self) -> str:
        """Where a worker stood that hung, or failed in C code, and ended; empty where none did."""
        try:
            return os.read(self._stacks.fileno(), STACK_LIMIT).decode(errors="replace")
        except BlockingIOError:
            return ""

    def _show(self, found: Failure, offers: Sequence[Offer] = ()) -> None:
        """Say in the terminal and on every page what went wrong, and what can be done."""
        say(as_text(found, self.root, LAST_SERVES if self.has_app else PAGE_SAYS_SO), error=True)
        for offer in offers:
            say(f"* {offer.words}", error=True)
        self.choices = {offer.choice for offer in offers if offer.choice}
        self.has_failed = True
        self._running.say(failed=time.monotonic(), why=found.message)
        if self.has_app:
            self._tell({"reload": "failure", "failure": as_html(found, self.root, self.editor, offered(offers))})
        else:
            self._stand_in(as_page(found, self.root, self.editor, offered(offers) + AGAIN))

    def _follow(self) -> None:
        """Start what was edited; while a debugger holds the one that serves, and the terminal, that waits."""
        self.brief_lives = 0
        if self.serving is not None and self.serving.pause == DEBUGGER:
            if not self.edited_meanwhile:
                logger.warning("The edit is followed when the debugger lets the app go on.")
            self.edited_meanwhile = True
            return
        self._start()

    def _start(self) -> None:
        if self.starting is not None:
            is_same_edit = time.monotonic() - self.starting.begun <= SAME_EDIT_SECONDS
            if self.starting.pause or not (is_same_edit or self.starting.is_slow):
                self.edited_meanwhile = True
                return
            self._dismiss(self.starting)
        for path in self._sources:
            compiled.distrust(path)
        self.starting = self._begin()
        self._warm.compile(sorted(self._sources, key=lambda path: path not in self._last_edited))

    def _begin(self, stand_in: StandIn | None = None) -> Worker:
        """Let the worker that waits begin, or a new one where none does."""
        worker, self.waiting = self.waiting or Worker(self._warm, self._events), None
        worker.begun = self._looked = time.monotonic()
        # What stands in for an app is to serve whatever was edited.
        edited = set() if stand_in else self._edited
        worker.say(BEGIN, (edited, stand_in, self.has_app, self.served, self.choice))
        if self.choice not in LASTING:
            self.choice = ""
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
            self._follow()

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
                self._kill(worker, at_once=True)


# Every event there is, and what it does.
_HANDLERS: dict[str, Any] = {
    SIGNAL: Reloader._on_signal,
    EDIT: Reloader._on_edit,
    THERE: Reloader._on_there,
    USED: Reloader._on_used,
    LEARN: Reloader._on_learn,
    STARTED: Reloader._on_started,
    FAILED: Reloader._on_failed,
    CHOSEN: Reloader._on_chosen,
    SLOW: Reloader._on_slow,
    PAUSED: Reloader._on_paused,
    RETIRING: Reloader._on_retiring,
    CONNECTION: Reloader._on_connection,
    ENDED: Reloader._on_ended,
    GONE: Reloader._on_gone,
}
