"""Reads: at once on the event loop while they are short, on a thread where they take longer.

The reads of an answer hold the loop for LOOP_SECONDS at most; then SQLite's progress handler stops the one that is
under way, and it is repeated on a thread. What is known to be long goes there at once, and so do a full-text search and
the count of a whole table, in which SQLite does not look at the handler. There people take turns
(`app/database/fair_turns.py`). A read begins within WAIT_SECONDS and then ends within READ_SECONDS, or earlier when its
client has gone.

All reads of one answer see the same state of the file: see `Moments`.
"""

import asyncio
import math
import re
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

from sqlite_utils.utils import sqlite3
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.database.fair_turns import Turn, Turns, present_person
from server.guard.middleware import ADMITTED

Row = sqlite3.Row

# How long the reads of an answer may hold the event loop, and after how many steps of SQLite's machine the clock is
# looked at: some 20 µs on the loop; on a thread each look waits for the interpreter, so there are few.
LOOP_SECONDS = 0.005
LOOP_STRIDE = 250
THREAD_STRIDE = 100_000
# How long a read may take on a thread, and how long it may wait for one.
READ_SECONDS = 5
WAIT_SECONDS = 5
# One more than one person may have: what others read is not even behind what that person has begun.
THREADS = 3
THREADS_PER_PERSON = 2
WAITING_READS = 32
# Of one session or the owner, those that run included: the others find places too.
READS_PER_PERSON = 8
# Connections that are kept open for the next answers; under load there are more.
IDLE_CONNECTIONS = 4
# The largest value that is read on the loop where SQLite can be told so: to read 1 MB takes 1 ms.
LOOP_BYTES = 256 * 1024
LARGEST = 2**31 - 1
# What makes a read go on where it may wait: SQLITE_BUSY, LOCKED, INTERRUPT and TOOBIG.
GOES_ON = (5, 6, 9, 18)

TOO_SLOW = f"Finding this takes longer than {READ_SECONDS} seconds. Use more or longer words, or an earlier page."
TOO_MANY = "Too much is being searched at this moment. Try again in a few seconds."


# FTS5 runs up to 22 ms without a look at the handler, and `count(*)` of a table with nothing else is one step.
_GAPS = re.compile(r"""\bmatch\b|\bcount\(\s*\*?\s*\)(\s+as\s+\w+)?\s+from\s+[\w."`\[\]]+\s*($|[;)])""", re.IGNORECASE)


class UnansweredRead(sqlite3.OperationalError):
    """A read that was given up; the message says what to do."""


class Reader:
    """A connection that only reads, for one answer at a time."""

    def __init__(self, connection: sqlite3.Connection, busy_seconds: float) -> None:
        self.connection = connection
        self._busy_milliseconds = int(busy_seconds * 1000)
        self.deadline = math.inf
        self.is_given_up = False
        self._left = LOOP_SECONDS
        self._bound(LOOP_BYTES, 0, LOOP_STRIDE)

    def begin(self, is_snapshot: bool) -> None:
        """Let a new answer read, with `is_snapshot` all of it as of its first read."""
        self.deadline = math.inf
        self.is_given_up = False
        self._left = LOOP_SECONDS
        if is_snapshot:
            self.connection.execute("BEGIN")

    def end(self) -> None:
        """End what an answer has read."""
        self.deadline = math.inf
        if self.connection.in_transaction:
            self.connection.execute("COMMIT")

    def read_briefly(self, sql: str, parameters: Sequence[Any]) -> list[Row] | None:
        """All rows; None where the answer would then hold the event loop too long."""
        begin = time.monotonic()
        self.deadline = begin + self._left
        try:
            return self.connection.execute(sql, parameters).fetchall()
        except (sqlite3.OperationalError, sqlite3.DataError) as error:
            if error.sqlite_errorcode & 0xFF not in GOES_ON:
                raise
            return None
        finally:
            self._left -= time.monotonic() - begin

    def read_patiently(self, sql: str, parameters: Sequence[Any]) -> list[Row]:
        """All rows, within READ_SECONDS, and until another thread sets `is_given_up`."""
        self.deadline = time.monotonic() + READ_SECONDS
        try:
            self._bound(LARGEST, self._busy_milliseconds, THREAD_STRIDE)
            return self.connection.execute(sql, parameters).fetchall()
        except sqlite3.OperationalError as error:
            if not self._is_late():
                raise
            raise UnansweredRead(TOO_SLOW) from error
        finally:
            self._left = LOOP_SECONDS
            self._bound(LOOP_BYTES, 0, LOOP_STRIDE)

    def _bound(self, largest: int, busy_milliseconds: int, stride: int) -> None:
        # SQLite counts on from statement to statement: what follows must not be stopped.
        self.connection.set_progress_handler(None, 0)
        self.connection.execute(f"PRAGMA busy_timeout = {busy_milliseconds}")
        if hasattr(self.connection, "setlimit"):  # pysqlite3 has none.
            self.connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, largest)
        self.connection.set_progress_handler(self._is_late, stride)

    def _is_late(self) -> bool:
        return self.is_given_up or time.monotonic() > self.deadline


class Waiting:
    """A read that waits for a thread, or has one since `begun`."""

    def __init__(self, reader: Reader, sql: str, parameters: Sequence[Any]) -> None:
        self.reader = reader
        self.sql = sql
        self.parameters = parameters
        self.future: Future[list[Row]] = Future()
        self.asked = time.monotonic()
        self.begun: float | None = None

    @property
    def end(self) -> float:
        """Until when it may wait, or read."""
        return self.asked + WAIT_SECONDS if self.begun is None else self.begun + READ_SECONDS

    def run(self) -> None:
        """Read, unless nobody wants it any more."""
        if not self.future.set_running_or_notify_cancel():
            return
        self.begun = time.monotonic()
        try:
            self.future.set_result(self.reader.read_patiently(self.sql, self.parameters))
        except BaseException as error:
            self.future.set_exception(error)


class Reads:
    """The readers of one file: those that are idle, and the threads on which they may take longer.

    `connect` opens a connection; `busy_seconds` says how long one waits on a thread for a program outside.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection], busy_seconds: float) -> None:
        self._connect = connect
        self._busy_seconds = busy_seconds
        # Opened now: where the name of the file leads elsewhere, no others can be opened.
        self._idle = [Reader(connect(), busy_seconds) for _ in range(IDLE_CONNECTIONS)]
        self._under_way: set[Waiting] = set()
        self._turns: Turns[Waiting] = Turns(THREADS, THREADS_PER_PERSON)
        # Turns end on the threads.
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(THREADS, "reader")
        self._is_open = True

    async def read(self, sql: str, parameters: Sequence[Any], is_long: bool) -> list[Row]:
        """All rows of a query. Raises UnansweredRead where that takes too long, or too many others wait."""
        moment = _moment.get()
        if moment is not None and not moment.has_ended:
            return await moment.read(self, sql, parameters, is_long)
        moment = Moment()
        try:
            return await moment.read(self, sql, parameters, is_long)
        finally:
            moment.end()

    def take(self, is_snapshot: bool) -> Reader:
        """A reader for one answer; `give_back` it."""
        reader = self._idle.pop() if self._idle else Reader(self._connect(), self._busy_seconds)
        reader.begin(is_snapshot)
        return reader

    def give_back(self, reader: Reader) -> None:
        """Keep a reader for another answer."""
        reader.end()
        if self._is_open and len(self._idle) < IDLE_CONNECTIONS:
            self._idle.append(reader)
        else:
            reader.connection.close()

    def begin(self, reader: Reader, sql: str, parameters: Sequence[Any], person: Hashable) -> Waiting:
        """Read on a thread. Raises UnansweredRead where too many wait for one, of this person or in all.

        A read that belongs to nobody, as of the app itself, is bounded with all others alone.
        """
        waiting = Waiting(reader, sql, parameters)
        with self._lock:
            is_crowded = person is not None and self._turns.of(person) >= READS_PER_PERSON
            if is_crowded or len(self._turns) >= WAITING_READS:
                raise UnansweredRead(TOO_MANY)
            self._turns.add(person, waiting)
            self._under_way.add(waiting)
        waiting.future.add_done_callback(lambda _: self._ended(person, waiting))
        self._start()
        return waiting

    def _start(self) -> None:
        """Have those read whose turn it is."""
        with self._lock:
            while (turn := self._turns.next()) is not None:
                self._threads.submit(self._run, turn)

    def _run(self, turn: Turn[Waiting]) -> None:
        """On a thread: read, then let the next one read."""
        turn.thing.run()
        with self._lock:
            self._turns.end(turn.person)
        with suppress(RuntimeError):  # The threads are being ended.
            self._start()

    def _ended(self, person: Hashable, waiting: Waiting) -> None:
        """Called on the thread of the read, or on the loop where it was given up."""
        with self._lock:
            self._under_way.discard(waiting)
            self._turns.leave(person, waiting)

    def close(self) -> None:
        """End all reads that are under way, and close all that is idle."""
        self._is_open = False
        for waiting in list(self._under_way):
            waiting.reader.is_given_up = True
            waiting.future.cancel()
        self._threads.shutdown(cancel_futures=True)
        while self._idle:
            self._idle.pop().connection.close()


class Moment:
    """What one answer reads: with `is_snapshot` all of it as of its first read.

    `receive` is the request's, so that a read ends when the client has gone.
    """

    def __init__(self, receive: Receive | None = None, *, is_snapshot: bool = False) -> None:
        self.has_ended = False
        self._is_snapshot = is_snapshot
        self._receive = receive
        self._received: list[Message] = []
        self._reads: Reads | None = None
        self._reader: Reader | None = None
        self._under_way: asyncio.Future[list[Row]] | None = None

    async def read(self, reads: Reads, sql: str, parameters: Sequence[Any], is_long: bool) -> list[Row]:
        """All rows of a query. Raises UnansweredRead, and ClientDisconnect where nobody waits for it any more."""
        while self._under_way is not None:
            # Another read of this answer is on a thread, with the one connection that has the snapshot.
            await asyncio.wait([self._under_way])
            if self.has_ended:
                return await reads.read(sql, parameters, is_long)
        if self._reader is None:
            self._reads, self._reader = reads, reads.take(self._is_snapshot)
        if not is_long and not _has_gaps(sql):
            rows = self._reader.read_briefly(sql, parameters)
            if rows is not None:
                return rows
        return await self._read_patiently(reads, self._reader, sql, parameters)

    async def receive(self) -> Message:
        """What the client sends; first what came while a read was under way."""
        assert self._receive is not None
        return self._received.pop(0) if self._received else await self._receive()

    def end(self) -> None:
        """Read nothing more; a read that is on a thread has the connection until its end."""
        self.has_ended = True
        if self._reads is not None and self._reader is not None and self._under_way is None:
            self._reads.give_back(self._reader)
            self._reader = None

    async def _read_patiently(self, reads: Reads, reader: Reader, sql: str, parameters: Sequence[Any]) -> list[Row]:
        """All rows, read on a thread. Whatever ends the wait for it ends the read too."""
        waiting = reads.begin(reader, sql, parameters, present_person.get())
        self._under_way = asyncio.wrap_future(waiting.future)
        gone = asyncio.ensure_future(self._client_gone()) if self._receive is not None else None
        awaited: set[asyncio.Future[Any]] = {self._under_way} if gone is None else {self._under_way, gone}
        try:
            while (left := waiting.end - time.monotonic()) > 0 and not any(each.done() for each in awaited):
                await asyncio.wait(awaited, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if self._under_way.done():
                return self._under_way.result()
            if gone is not None and gone.done():
                raise ClientDisconnect
            raise UnansweredRead(TOO_MANY if waiting.begun is None else TOO_SLOW)
        finally:
            if gone is not None:
                gone.cancel()
            if not self._under_way.done():
                # The thread has the connection until it comes to an end.
                self._reader = None
                self.has_ended = True
                reader.is_given_up = True
                self._under_way.cancel()
                waiting.future.add_done_callback(lambda _: reads.give_back(reader))
            self._under_way = None
            if self.has_ended:
                self.end()

    async def _client_gone(self) -> None:
        """Return when the client has gone."""
        assert self._receive is not None
        while (message := await self._receive())["type"] != "http.disconnect":
            self._received.append(message)
        self._received.append(message)


class Moments:
    """ASGI middleware: all that a GET reads is of one moment; what any request reads is that person's.

    It is to stand behind what asks for the commit token: the snapshot begins after that, so an answer may be newer than
    its token says, never older. It ends when the answer begins, so that no slow client keeps the log from being reset.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        token = present_person.set(scope.get(ADMITTED))
        try:
            await self._answer(scope, receive, send)
        finally:
            present_person.reset(token)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        moment = Moment(receive, is_snapshot=True)
        token = _moment.set(moment)

        async def send_on(message: Message) -> None:
            moment.end()
            await send(message)

        try:
            await self.app(scope, moment.receive, send_on)
        finally:
            moment.end()
            _moment.reset(token)


@lru_cache(maxsize=1024)
def _has_gaps(sql: str) -> bool:
    """Whether the progress handler cannot stop this query in time."""
    return _GAPS.search(sql) is not None


_moment: ContextVar[Moment | None] = ContextVar("moment", default=None)
