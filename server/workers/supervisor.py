"""Several processes that answer: Uvicorn's supervisor, with an eye on what it does not see.

A worker that ends is replaced at once. One whose event loop stands still ends itself, with its stack in the log, and
is replaced: Uvicorn's own ping is answered by a thread, which goes on while the loop hangs. One that ends before it
has ever answered would do so for ever: then all end. Each worker has a socket of its own where the system spreads
connections over them, kept open here, so that who comes while a worker is replaced waits instead of being refused.
"""

import asyncio
import logging
import math
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from socket import socket

import uvicorn
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from server.protocols.accept import AcceptingServer
from server.sharing import certificate_renewal
from server.workers import exit_reasons, served_data
from server.workers.stalled_loop import IS_TIMED, Watch

logger = logging.getLogger(__name__)

# How long the supervisor waits for an answer: a worker that hangs has ended itself by then, one that is stopped cannot.
ANSWER_SECONDS = 12
# How long one may take to write its stack.
STACK_SECONDS = 1
# It waits in parts, as time in which it was stopped itself, or the machine slept, counts as one of them at most.
PART_SECONDS = 0.5
# A worker that has not ended by then is killed: a little more than Uvicorn's graceful end takes.
END_SECONDS = 4.5


class ChildServer(AcceptingServer):
    """A server that ends when the process that started it is gone, as nobody else would end it then."""

    async def on_tick(self, counter: int) -> bool:
        """Look after the parent; called ten times a second."""
        if counter % 10 == 0:
            parent = multiprocessing.parent_process()
            self.should_exit = self.should_exit or not (parent and parent.is_alive())
        return await super().on_tick(counter)


class WatchedServer(ChildServer):
    """A server that ends its process when the event loop hangs, even in C code that never gives way."""

    def __init__(self, config: uvicorn.Config, started: Connection) -> None:
        super().__init__(config)
        self._tell_started = started

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Begin to serve, and tell the supervisor so."""
        await super().startup(sockets)
        self._tell_started.send(served_data.said_by(self.config))
        self.renewing = certificate_renewal.begin(self.config)
        Watch().follow(asyncio.get_running_loop())


class Worker(Process):
    """A process that answers on `sockets`."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket]) -> None:
        super().__init__(config, sockets)
        self.sockets = sockets
        # What the worker said at its start stays in the pipe after its end, however soon that came.
        self.started, self._tell_started = Pipe(duplex=False)
        self._has_started = False

    @property
    def server(self) -> uvicorn.Server:
        """The server inside the process; made there."""
        if self._server is None:
            self._server = WatchedServer(self.config, self._tell_started)
        return self._server

    def is_alive(self, timeout: float = 5) -> bool:
        """Whether the process is there and answers."""
        try:
            self.parent_conn.send(b"ping")
            for _ in range(math.ceil(timeout / PART_SECONDS)):
                # One that ends meanwhile is known at once.
                answered = wait([self.parent_conn, self.process.sentinel], PART_SECONDS)
                if answered:
                    return self.parent_conn in answered and self.parent_conn.recv() is not None
            return False
        except (OSError, EOFError):
            return False

    def end(self) -> None:
        """End one that does not answer; where it can, it says in the log where it stands."""
        if IS_TIMED and self.process.is_alive():
            os.kill(self.pid or 0, signal.SIGPROF)
            self.process.join(STACK_SECONDS)
        self.kill()
        self.process.join()

    def ended_before_start(self) -> bool:
        """Whether it gave up by itself without having served."""
        return bool(self.exitcode and self.exitcode > 0) and not self.has_started()

    def has_started(self) -> bool:
        """Whether it has ever served; what it said of its data then is remembered."""
        if not self._has_started and not self.started.closed and self.started.poll():
            self._has_started = True
            served_data.remember(self.started.recv())
        return self._has_started

    def forget(self) -> None:
        """Close what only a worker that runs needs."""
        self.has_started()
        self.started.close()
        self._tell_started.close()


class Workers(Multiprocess):
    """The supervisor: worker number n answers on `sockets[n]`, or all on the only one.

    It calls `on_start` when the first of them serves. `failure` is the exit code of a worker that could not start, 0
    where all did.
    """

    processes: list[Worker]  # type: ignore[assignment]
    failure = 0

    def __init__(self, config: uvicorn.Config, sockets: list[socket], on_start: Callable[[], None]) -> None:
        super().__init__(config, sockets)
        self._on_start = on_start
        self._has_started = False

    def init_processes(self) -> None:
        """Start every worker."""
        for number in range(self.processes_num):
            self.processes.append(self._start([self.sockets[number % len(self.sockets)]]))

    def run(self) -> None:
        """Keep the workers alive until a signal."""
        self.init_processes()
        while not self.should_exit.is_set():
            wait([*self._to_hear(), *(worker.process.sentinel for worker in self.processes)], timeout=0.5)
            if not self._has_started and any(worker.has_started() for worker in self.processes):
                self._has_started = True
                self._on_start()
            self.handle_signals()
            self.keep_subprocess_alive()
        self.terminate_all()
        self.join_all()

    def _to_hear(self) -> list[Connection]:
        """Where it is heard that a worker serves, as long as that is news."""
        return [] if self._has_started else [worker.started for worker in self.processes]

    def keep_subprocess_alive(self) -> None:
        """Replace the workers that are gone, or do not answer."""
        for number, worker in enumerate(self.processes):
            if self.should_exit.is_set() or worker.is_alive(self.config.timeout_worker_healthcheck):
                continue
            worker.end()
            if worker.ended_before_start():
                logger.error("Worker %s could not start the app; ending.", worker.pid)
                self.failure = worker.exitcode or 1
                self.should_exit.set()
                return
            logger.warning(
                "Worker %s ended (%s); another takes its place.", worker.pid, exit_reasons.words(worker.exitcode)
            )
            worker.forget()
            self.processes[number] = self._start(worker.sockets)

    def restart_all(self) -> None:
        """Replace each worker by a new one that answers already (SIGHUP)."""
        for number, old in enumerate(self.processes):
            new = self._start(old.sockets)
            if not new.wait_until_ready(self.config.timeout_worker_healthcheck, self.should_exit):
                new.kill()
                new.process.join()
                logger.error("A new worker did not start; those that run stay.")
                return
            self.processes[number] = new
            old.terminate()
            old.process.join(END_SECONDS)
            old.forget()

    def join_all(self) -> None:
        """Wait for the end of all, and kill those that do not come to it."""
        end = time.monotonic() + END_SECONDS
        for worker in self.processes:
            worker.process.join(max(0.0, end - time.monotonic()))
            if worker.process.is_alive():
                logger.warning("Worker %s did not end within %s s and was killed.", worker.pid, END_SECONDS)
                worker.process.kill()
                worker.process.join()

    def handle_ttin(self) -> None:
        """The number of workers, each with its socket, is chosen at start."""

    handle_ttou = handle_ttin

    def _start(self, sockets: list[socket]) -> Worker:
        for each in self.processes:
            each.has_started()
        worker = Worker(self.config, sockets)
        worker.start()
        return worker
