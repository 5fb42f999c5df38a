"""A worker that gives way to the next one: it says when it serves, and hands over its connections when told to.

A connection on which nothing is being asked is not closed but passed on, as the open socket that it is: whoever sends
the next request on it never learns that another process answers. One that is being answered is passed on when that is
done. The socket of a page goes on as well: the next process hears again what the page shows, and sends what differs.
Encrypted connections cannot be passed on, as their keys are in this process; they end after their answer.
"""

import asyncio
import contextlib
import faulthandler
import gc
import importlib
import logging
import os
import socket
import sys
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from server import app_name, background_work
from server.live.messages import Frame
from server.protocols.accept import AcceptingServer
from server.protocols.http1 import HttpProtocol
from server.protocols.websocket import Said, WebSocketProtocol
from server.reload.descriptor_passing import pass_on, take
from server.reload.edits import read_ahead
from server.reload.edits.loaded_files import ROOT, Used
from server.reload.start_errors import CannotStart, Undecided
from server.reload.warm_process import (
    LEARN,
    TERMINAL_SIGNALS,
    forget,
    lessons,
)
from server.sharing import certificate_renewal
from server.workers import served_data
from server.workers.stalled_loop import Watch, is_held, main_frame
from server.workers.supervisor import END_SECONDS

# What passes between a worker and the supervisor, each with what belongs to it. A worker says which process it is and
# waits to be told to begin, with a word of what was edited; then it has started, or failed; it ends with its exit code.
THERE, BEGIN, STARTED, FAILED, ENDED = "there", "begin", "started", "failed", "ended"
# While it starts it says where it stands, each time that this takes long; and at any time why its time does not count.
SLOW, PAUSED = "slow", "paused"
# What files it uses, and has written.
USED = "used"
# What somebody has chosen of what was offered where the app cannot start.
CHOSEN = "chosen"
# How much sooner than others a process is ended where the machine has no memory left (Linux, of 1,000): what fills it
# is then more likely this one than what watches it.
OOM_SCORE = "400"
# One that is given up retires as well, but not before it has started: then it ends at once. One that retires says so,
# and may then finish; one that hangs cannot.
TELL, RETIRE, RETIRING, GIVE_UP, CONNECTION, END = "tell", "retire", "retiring", "give up", "connection", "end"
# What has been begun may take so long; it holds nobody up, as the next process serves by then.
FINISH_SECONDS = 30
# How often the loop turns at most from accepting a connection to reading from it.
ACCEPTING_TURNS = 4
# What a page hears whose socket goes on: the code is another.
NEWS = Frame('{"reload": "code"}')
_follows = False
_choice = ""
_supervisor: Connection | None = None

logger = logging.getLogger(__name__)
CAN_PASS_ON = sys.platform != "win32"


def work(config: uvicorn.Config, listening: socket.socket, stack: Connection, pipe: Connection) -> None:
    """Wait for the word to begin, then serve until told to retire.

    A failure to start is told instead, as the text of its traceback; one that hangs writes its `stack` and ends.
    """
    known = set(sys.modules)
    config.configure_logging()
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE, encoding="ascii")
    _say(pipe, THERE, os.getpid())
    if not pipe.poll():
        # To look through all that it shares with the warm process makes it its own: now, while nobody waits.
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        read_ahead.app.read(pipe.poll)
    try:
        word, content = pipe.recv()
    except (EOFError, OSError):
        return
    if word == BEGIN:
        edited = content[0]
        read_ahead.app.serve(edited)
        begin(config, listening, stack, pipe, known, *content)


def begin(
    config: uvicorn.Config,
    listening: socket.socket,
    stack: Connection,
    pipe: Connection,
    known: set[str],
    edited: set[str],
    stand_in: ASGIApp | None,
    follows: bool,
    data: str,
    choice: str,
) -> None:
    """Serve. Edited modules are read anew; `stand_in` takes the place of the app; `follows` is for follows_another,
    `data` for served.before and `choice` for chosen.
    """
    global _follows, _choice, _supervisor
    # What is made at a start stays: to look through it for garbage would take a tenth of the time.
    gc.disable()
    served_data.remember(data)
    if edited:
        # It would be of a file that may differ by then; Python goes by second and length, and would take it for this.
        sys.dont_write_bytecode = True
    if __name__ in forget(edited):
        try:
            begin_as_edited = importlib.import_module(__name__).begin
            _keep_settings()
        except BaseException:
            _say(pipe, FAILED, (traceback.format_exc(), ()))
            return
        begin_as_edited(config, listening, stack, pipe, known, (), stand_in, follows, data, choice)
        return
    _follows, _choice, _supervisor = follows, choice, pipe
    used = Used(ROOT, Path(os.environ.get(f"{app_name.PREFIX}DATA", "data")).absolute())
    remembered = _Remembered()
    logging.getLogger("uvicorn.error").addFilter(remembered)
    watch = Watch(stack.fileno(), lambda text: _say(pipe, SLOW, text), lambda why: _say(pipe, PAUSED, why))
    # What kills it from inside, such as a fault in C code, leaves where it stood.
    faulthandler.enable(stack.fileno(), all_threads=False)
    server = GivingServer(config, pipe, remembered, known, watch, used)
    if stand_in is not None:
        config.app, config.lifespan = stand_in, "off"
    background_work.thread("Hearing the supervisor", server.hear)
    try:
        config.load()
        server.tell_used()
        server.run([listening])
    except CannotStart as end:
        _say(pipe, ENDED, (end.code, end.words))
    except Undecided as question:
        server.tell_used()
        _say(pipe, FAILED, (str(question), question.offers))
    except BaseException as end:
        # Uvicorn ends with SystemExit where the app cannot start, having logged why.
        trace = (isinstance(end, SystemExit) and remembered.text) or traceback.format_exc()
        if remembered.started:
            logger.exception("The app has ended this process.")
        server.tell_used()
        _say(pipe, FAILED, (trace, ()))


def _keep_settings() -> None:
    """Have the variables of this process under the name that the project has by now, as they were set under another."""
    present = sys.modules[app_name.__name__].PREFIX
    for variable, value in list(os.environ.items()):
        if variable.startswith(app_name.PREFIX):
            os.environ[present + variable.removeprefix(app_name.PREFIX)] = value


def follows_another() -> bool:
    """Whether another process serves the app until this one does."""
    return _follows


def chosen() -> str:
    """What somebody has chosen of what was offered, as the app could not start; empty where nothing was."""
    return _choice


def choose(choice: str) -> None:
    """Tell the supervisor what somebody has chosen."""
    if _supervisor is not None:
        _say(_supervisor, CHOSEN, choice)


class GivingServer(AcceptingServer):
    """A server that passes its connections on when it retires, and takes those of the one before it."""

    def __init__(
        self,
        config: uvicorn.Config,
        pipe: Connection,
        remembered: "_Remembered",
        known: set[str],
        watch: Watch,
        used: Used,
    ) -> None:
        super().__init__(config)
        self._watch = watch
        self._used = used
        self._pipe = pipe
        self._remembered = remembered
        self._known = known
        self._modules = 0
        self._told: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_retiring = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the end; that of a terminal is the supervisor's to hear, who says so, and twice would be at once."""
        if sig not in TERMINAL_SIGNALS:
            super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve, and say so."""
        await super().startup(sockets)
        if self.started:
            self._loop = asyncio.get_running_loop()
            self._remembered.started = True
            self._watch.follow(self._loop)
            self.renewing = certificate_renewal.begin(self.config)
            read_ahead.app.end()
            gc.freeze()
            gc.enable()
            _say(self._pipe, STARTED, served_data.said_by(self.config))
            self._do_what_is_told()

    async def on_tick(self, counter: int) -> bool:
        """Once a second, say what had to be imported; called ten times a second.

        Not in the first second, which belongs to who waits for the first page.
        """
        if counter % 10 == 9:
            self._teach()
            self.tell_used()
        return await super().on_tick(counter)

    def tell_used(self) -> None:
        """Say what this process uses, so that it is followed."""
        news = self._used.news()
        if news is not None:
            _say(self._pipe, USED, news)

    def _teach(self) -> None:
        """Say what had to be imported here, for those that come."""
        if len(sys.modules) == self._modules:
            return
        self._modules = len(sys.modules)
        new = lessons(self._known)
        self._known.update(new)
        if new:
            _say(self._pipe, LEARN, new)

    def hear(self) -> None:
        """Do what is told, until nobody is there to tell."""
        try:
            while True:
                word, content = self._pipe.recv()
                if word == END or (word == GIVE_UP and self._loop is None):
                    self._end()
                    continue
                if word == RETIRE:
                    self._watch.hurry()
                    if is_held(main_frame()):
                        _say(self._pipe, RETIRING)
                if word == CONNECTION:
                    content = take(self._pipe), content
                # Before the loop runs it waits for that.
                self._told.put((word, content))
                if self._loop is not None:
                    self._loop.call_soon_threadsafe(self._do_what_is_told)
        except (EOFError, OSError, RuntimeError):
            # The other end is gone, or this one is: whatever hangs, nothing outlives the one who would end it.
            self._end()
            faulthandler.dump_traceback_later(END_SECONDS, exit=True)

    def _end(self) -> None:
        if self._loop is None:
            os._exit(0)  # What has not started has nothing to finish.
        self.should_exit = True

    def _do_what_is_told(self) -> None:
        while not self._told.empty():
            self._do(*self._told.get())

    def _do(self, word: str, content: Any) -> None:
        if word == CONNECTION:
            taking = self._take(socket.socket(fileno=content[0]), content[1])
            background_work.once("Taking over a connection", taking)
        elif word == TELL:
            # An app that has open pages passes it on to them.
            # Where a proxy is believed, Uvicorn has a layer of its own around the app.
            app = getattr(self.config.loaded_app, "app", self.config.loaded_app)
            tell = getattr(getattr(app, "state", None), "tell", None)
            if tell is not None:
                tell(content)
        elif word in (RETIRE, GIVE_UP):
            background_work.once("Giving way to the next process", self._retire())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End, having passed on what was accepted or taken just before it was told to retire."""
        if self._is_retiring:
            self._pass_on()
        await super().shutdown(sockets)

    async def _retire(self) -> None:
        _say(self._pipe, RETIRING)
        for server in self.servers:
            server.close()
        self._is_retiring = self.should_exit = True
        self.config.timeout_graceful_shutdown = FINISH_SECONDS
        # From the word on nobody is to be answered by what was: neither who is connected, nor who was accepted just
        # before and is connected within these turns of the loop. Pages hear of it last, as they then ask.
        for _ in range(ACCEPTING_TURNS):
            self._pass_on(HttpProtocol)
            await asyncio.sleep(0)
        self._pass_on()
        self._teach()

    def _pass_on(self, kind: type = object) -> None:
        for connection in [each for each in self.server_state.connections if isinstance(each, kind)]:
            if isinstance(connection, HttpProtocol | WebSocketProtocol) and CAN_PASS_ON:
                connection.retire(self._give)
            else:
                connection.shutdown()

    def _give(self, given: socket.socket, said: Said | None = None) -> None:
        with given:
            self._pipe.send((CONNECTION, said))
            pass_on(self._pipe, given.fileno())

    async def _take(self, connection: socket.socket, said: Said | None) -> None:
        connection.setblocking(False)
        kind: Any = WebSocketProtocol if said else self.config.http_protocol_class
        protocol = kind(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
        if said:
            protocol.take_over(said, NEWS)
        await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, connection)
        if self._is_retiring:
            self._pass_on()


def _say(pipe: Connection, word: str, content: Any = None) -> None:
    """Tell the one who started this process something; one that is gone hears nothing."""
    with contextlib.suppress(OSError):
        pipe.send((word, content))


class _Remembered(logging.Filter):
    """Keeps the last trace that is logged until the app has started, and keeps it out of the log: it is told instead.

    What a lifespan fails with is not raised, but logged as text.
    """

    text = ""
    started = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is for the log."""
        if self.started or record.levelno < logging.ERROR:
            return True
        text = record.getMessage()
        if record.exc_info:
            text = "".join(traceback.format_exception(*record.exc_info))
        if "Traceback" in text or not self.text:
            self.text = text
        return False
