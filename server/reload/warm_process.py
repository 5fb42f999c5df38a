"""The warm process: new workers are forked from it, with everything imported already but the app itself.

It is a fork of the supervisor, made before that has threads, and imports what workers found that they need: packages,
and those of our own rooms that do nothing but define things, the engine and the templates. What was edited since, and
whatever imports it, a worker forgets before it begins. The app is not in it: a module of the app may do anything when
it is imported, open a file for example, and a fork would share that.
"""

import ast
import atexit
import contextlib
import faulthandler
import gc
import importlib
import importlib.util
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

from server.reload.descriptor_passing import pass_on, take
from server.reload.edits import compiled
from server.reload.edits.loaded_files import ROOT, is_own
from server.standard_streams import say

DEFINING = ("server", "templates")
FORK, LEARN, COMPILE = "fork", "learn", "compile"
# The person's, for the supervisor to hear: it ends the others when they have finished what they do.
TERMINAL_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGHUP") if hasattr(signal, name)]

logger = logging.getLogger(__name__)

# Of so many workers that have ended it is known how, until somebody asks.
KEPT_CODES = 16
# How long a worker that has served may wait for threads of the app, and for what is called at the end.
FINISH_SECONDS = 5
# In the warm process, its workers that run.
_workers: set[int] = set()
# What each module of ours imports that is defined here; known in the warm process, and so in each fork of it.
_needs: dict[str, set[str]] = {}


class Warm:
    """Where workers come from: each calls `work` with its end of a pipe.

    Where there is no fork, or the process was killed, each is a new process that imports everything itself.
    """

    def __init__(self, work: Callable[..., None], *arguments: Any) -> None:
        self._work = work
        self._arguments = arguments
        self._process = 0
        self._spawned: dict[int, Any] = {}
        self._codes: dict[int, int] = {}
        if not hasattr(os, "fork"):
            return
        self._pipe, other = multiprocessing.Pipe()
        # A signal is for one of the two, and neither may take it for the other.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {*TERMINAL_SIGNALS, signal.SIGTERM})
        self._process = os.fork()
        if self._process == 0:
            try:
                self._pipe.close()
                _be_warm(other, before, work, arguments)
            except BaseException:
                say(traceback.format_exc(), error=True)
            finally:
                os._exit(1)  # Never back into what the supervisor was doing.
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        other.close()

    def start(self, pipe: Connection) -> bool:
        """Make a worker with this end of a pipe; whether it is a fork, which is lost if the warm process ends now."""
        # Nobody may have asked how those before have ended; some 280 that are not heard would hold the warm process up.
        while self._hear(0):
            pass
        if self._process:
            try:
                self._pipe.send((FORK, None))
                pass_on(self._pipe, pipe.fileno())
                return True
            except OSError:
                logger.warning("The process that workers are made from is gone; until the next start they take longer.")
                self.end()
        process = multiprocessing.get_context("spawn").Process(target=self._work, args=(*self._arguments, pipe))
        process.start()
        self._spawned[process.pid or 0] = process
        return False

    def exit_code(self, worker: int, seconds: float) -> int | None:
        """How a worker has ended, negative for a signal; None where it is not known within so many seconds."""
        if worker in self._spawned:
            process = self._spawned.pop(worker)
            process.join(seconds)
            code: int | None = process.exitcode
            return code
        end = time.monotonic() + seconds
        while self._hear(0 if worker in self._codes else max(0.0, end - time.monotonic())):
            pass
        return self._codes.pop(worker, None)

    def _hear(self, seconds: float) -> bool:
        """Hear how one more worker has ended; False where that does not come within so many seconds."""
        with contextlib.suppress(OSError, EOFError):
            if self._process and self._pipe.poll(seconds):
                ended, code = self._pipe.recv()
                self._codes = dict([*self._codes.items(), (ended, code)][-KEPT_CODES:])
                return True
        return False

    def learn(self, modules: Collection[str]) -> None:
        """Have what a worker had to import itself imported in all that come."""
        if self._process and modules:
            with contextlib.suppress(OSError):  # The next start of a worker sees that it is gone.
                self._pipe.send((LEARN, modules))

    def compile(self, sources: Collection[Path]) -> None:
        """Have these compiled while a worker imports what comes before them, and kept for the workers that come."""
        if self._process and sources:
            with contextlib.suppress(OSError):  # As above; each worker then compiles them itself.
                self._pipe.send((COMPILE, sources))

    def end(self) -> None:
        """End it, whatever it is importing."""
        if self._process:
            self._pipe.close()
            os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)
            self._process = 0


def name_of(path: Path) -> str:
    """The name of the module in a file of the project."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def forget(edited: Iterable[str]) -> set[str]:
    """Have the next import read these modules anew, and whatever imports them; all of these."""
    stale = set(edited)
    while found := {name for name, needs in _needs.items() if needs & stale} - stale:
        stale |= found
    for name in stale:
        sys.modules.pop(name, None)
        package, _, own = name.rpartition(".")
        if package in sys.modules:
            vars(sys.modules[package]).pop(own, None)
    return stale


def lessons(known: Collection[str]) -> list[str]:
    """The modules that this process has beyond those `known`, and that workers could have from the warm process."""
    return [name for name in sys.modules.keys() - known if _can_be_shared(name)]


def _can_be_shared(name: str) -> bool:
    room = name.partition(".")[0]
    if room in DEFINING:
        return True
    module = sys.modules.get(room)
    place = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), None)
    return not (place and is_own(place))


def _be_warm(pipe: Connection, mask: Iterable[int], work: Callable[..., None], arguments: tuple[Any, ...]) -> NoReturn:
    """Fork and learn as told, until nobody is there to tell."""
    for sig in TERMINAL_SIGNALS:
        signal.signal(sig, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, lambda sig, frame: _tell_of_the_dead(pipe))
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    gc.freeze()
    try:
        while True:
            word, content = pipe.recv()
            if word == COMPILE:
                compiled.keep(content, pipe.poll)
                continue
            if word == LEARN:
                _import(content)
                if threading.active_count() > 1:
                    os._exit(0)  # A package has started a thread, which a fork would be without.
                continue
            with Connection(take(pipe)) as end:
                _fork(pipe, work, arguments, end)
            # The first start need not wait for it, as nothing was edited before.
            if not _needs:
                _note_needs(list(sys.modules))
    except (EOFError, OSError):
        os._exit(0)


def _fork(pipe: Connection, work: Callable[..., None], arguments: tuple[Any, ...], end: Connection) -> None:
    """Make a worker: all that differs from a process that was started by itself is what it has imported already."""
    # One that ends at once is known by then.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    worker = os.fork()
    if worker:
        _workers.add(worker)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        return
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        pipe.close()
        _workers.clear()
        _have_own_chance()
        work(*arguments, end)
        code = 0
    except BaseException:
        say(traceback.format_exc(), error=True)
    finally:
        _finish(code)


def _have_own_chance() -> None:
    """Python seeds its own random numbers anew in a fork; NumPy does not."""
    numbers = sys.modules.get("numpy.random")
    if numbers is not None:
        numbers.seed()


def _finish(code: int) -> NoReturn:
    """End as the interpreter does: wait for threads, call what is to be called at the end, write what is left."""
    faulthandler.dump_traceback_later(FINISH_SECONDS, exit=True)
    for step in (getattr(threading, "_shutdown", None), getattr(atexit, "_run_exitfuncs", None)):
        try:
            if step is not None:
                step()
        except BaseException:
            say(traceback.format_exc(), error=True)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code)


def _tell_of_the_dead(pipe: Connection) -> None:
    """Say which workers have ended, and how: nobody else can know."""
    for worker in list(_workers):
        with contextlib.suppress(OSError):  # The supervisor may be gone.
            pid, status = os.waitpid(worker, os.WNOHANG)
            if pid:
                _workers.discard(worker)
                pipe.send((worker, os.waitstatus_to_exitcode(status)))


def _import(modules: Collection[str]) -> None:
    """What cannot be imported here, workers import themselves, and can say why it fails."""
    for name in modules:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    # What they import of ours came with them.
    _note_needs([name for name in sys.modules if name not in _needs])
    # What is here stays; a worker need not look through all of it for garbage, nor have the memory to itself.
    gc.collect()
    gc.freeze()


def _note_needs(modules: Iterable[str]) -> None:
    for name in modules:
        module = sys.modules.get(name)
        path = Path(getattr(module, "__file__", None) or "")
        if path.suffix != ".py" or not is_own(str(path)):
            continue
        package = getattr(module, "__package__", None) or name.rpartition(".")[0]
        # What is being edited and cannot be read now is read anew in any case.
        with contextlib.suppress(OSError, SyntaxError, ValueError):
            _needs[name] = {package, *_imports(ast.parse(path.read_bytes()), package)} - {name}


def _imports(source: ast.AST, package: str) -> Iterator[str]:
    """What is imported by name; what is imported from a module may be a module too."""
    for node in ast.walk(source):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            yield module
            yield from (f"{module}.{each.name}" for each in node.names)
