"""A server under watch while it is fuzzed: its log, its memory, how long its loop stands, what it has acknowledged."""

import contextlib
import http.client
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from server.sharing.sign_in_token import read
from tests.engine.conftest import DELETIONS, PATIENCE, PROJECT, Server
from tests.engine.faults.wire import connect

MEGABYTE = 2**20
MOST_MEGABYTES = 200
LONGEST_SECONDS = 1.0
# A loop that stands for so long is not waited for.
HANGS_SECONDS = 8.0
# What the server does not take in this time is not sent.
SEND_SECONDS = 1
# Between two looks of the one who asks all the time.
LOOK_SECONDS = 0.02
# What the fuzzers name are ids far below; what they make themselves begins here.
FIRST_ID = 5_000_000
STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})")
RAISED = re.compile(r'File "(?:[^"]*/)?([^"/]+)", line (\d+), in (\w+)')
KIND = re.compile(r"[ |]*([A-Za-z_][\w.]*)(?::|$)")
# Any other machine's address, as a proxy says it.
SHARED = ("--proxy-headers", "--allow-host", "fuzzed.test")


class Watched:
    """A server in one mode, `private` or `shared`; `renew` starts it again on a new directory."""

    def __init__(self, room: Path, mode: str, project: Path = PROJECT) -> None:
        self.room = room
        self.mode = mode
        self.project = project
        self.count = 0
        self.cookie = b""
        self.start()

    def start(self) -> None:
        """Start it, on new data."""
        self.count += 1
        options = SHARED if self.mode == "shared" else ()
        self.server = Server(self.room / f"{self.mode}-{self.count}", *options, project=self.project)
        self.address = urlsplit(self.server.url)
        self.process = psutil.Process(self.server.process.pid)
        self.log_at = 0
        self.added = 0
        self.server.sql("INSERT INTO tasks (id, title, notes) VALUES (?, 'First', '')", [FIRST_ID])
        for id in (1, 2, 3):
            self.server.sql("INSERT INTO tasks (id, title, notes) VALUES (?, ?, 'Some *notes*')", [id, f"Task {id}"])
        self.come_in()
        for path in ("/tasks", "/tasks/1", "/imports"):
            self.ask("GET", path)
        self.idle = self.megabytes()
        self.probe = Probe(self)

    def stop(self) -> str:
        """End it; what is wrong at the end."""
        self.probe.end()
        if self.server.process.poll() is not None:
            return self._died()
        wrong = self.look() or self._lost()
        code = self.server.stop()
        return wrong or (f"it ended with exit code {code}" if code else "") or self._logged()

    def renew(self) -> None:
        """Another in its place, whatever it was doing."""
        self.probe.end()
        for process in [self.process, *self._children()]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.server.process.wait(PATIENCE)
        assert self.server.process.stdout is not None
        self.server.process.stdout.close()
        self.start()

    def look(self) -> str:
        """What is wrong since the last look, empty where nothing is. A server that hangs or is gone is renewed."""
        if self.server.process.poll() is not None:
            wrong = self._died()
            self.renew()
            return wrong
        if self.probe.stands_for() > HANGS_SECONDS:
            self.renew()
            return f"slow: nobody was answered for more than {HANGS_SECONDS:g} s"
        wrong = self._logged()
        if wrong:
            return wrong
        slowest = self.probe.take_slowest()
        if slowest > LONGEST_SECONDS:
            return "slow: another person's answer took more than a second"
        if self.probe.most_megabytes - self.idle > MOST_MEGABYTES:
            grown = self.probe.most_megabytes - self.idle
            self.renew()
            return f"memory: more than {MOST_MEGABYTES} MB over idle ({grown // 100 * 100:.0f} MB and more)"
        return ""

    def settle(self) -> None:
        """Wait until the one who asks all the time was answered twice from now on, or it hangs."""
        until = self.probe.answers + 2
        while self.probe.answers < until and self.probe.stands_for() < HANGS_SECONDS + 1:
            if self.server.process.poll() is not None:
                return
            time.sleep(0.005)

    def megabytes(self) -> float:
        """What it holds, with all the processes that it has started."""
        total = 0
        for process in [self.process, *self._children()]:
            with contextlib.suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
        return total / MEGABYTE

    def exchange(self, pieces: list[bytes], quiet: float = 0.03) -> bytes:
        """Send the pieces on a connection of their own; what comes back until it closes, or is silent for so long."""
        answer = b""
        try:
            with contextlib.closing(connect(self.server)) as connection:
                connection.settimeout(SEND_SECONDS)
                for piece in pieces:
                    connection.sendall(piece)
                connection.settimeout(quiet)
                while len(answer) < 16 * MEGABYTE and (piece := connection.recv(65536)):
                    answer += piece
        except OSError:
            # Closed while still speaking, or silent: what there is of an answer counts.
            pass
        return answer

    def ask(self, method: str, path: str, form: str = "", **headers: str) -> http.client.HTTPResponse:
        """A proper request of a person who may come in, for what has to be true beside all the odd ones."""
        connection = http.client.HTTPConnection(self.address.hostname or "", self.address.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            sent = {"Cookie": self.cookie.decode(), **headers} if self.cookie else headers
            if form:
                sent = {"Content-Type": "application/x-www-form-urlencoded", **sent}
            connection.request(method, path, form or None, sent)
            answer = connection.getresponse()
            answer.read()
            return answer

    def come_in(self) -> None:
        """Be signed in where that is needed: among all the odd requests some sign out."""
        if self.mode == "shared" and self.ask("GET", "/tasks").status == 401:
            answer = self.ask("POST", "/sign-in", f"token={read(self.server.data)}&next=/tasks")
            assert answer.status == 303, answer.status
            self.cookie = (answer.getheader("set-cookie") or "").partition(";")[0].encode()

    def _children(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            return self.process.children(recursive=True)
        return []

    def _died(self) -> str:
        return f"the server is gone, exit code {self.server.process.poll()}"

    def _logged(self) -> str:
        """The exception that was logged since the last look: its kind, and where in the project it came up."""
        with self.server.log.open("rb") as log:
            log.seek(self.log_at)
            text = log.read()
        self.log_at += len(text)
        if b"Traceback" not in text:
            return ""
        lines = text.decode(errors="replace").splitlines()
        places = [found for line in lines if (found := RAISED.search(line))]
        kinds = [found[1] for line in lines if (found := KIND.match(line))]
        place = f"{places[-1][1]}:{places[-1][2]} {places[-1][3]}" if places else "?"
        own = re.compile(rf'File "{re.escape(str(self.project))}/(app|server|templates)/')
        ours = [found for line in lines if own.search(line) and (found := RAISED.search(line))]
        through = f", through {ours[-1][1]}:{ours[-1][2]} {ours[-1][3]}" if ours else ""
        kind = kinds[-1] if kinds else "?"
        return f"traceback in the log: {kind} at {place}{through}"

    def _lost(self) -> str:
        """What was acknowledged and is not in the file, and whether the file is whole."""
        data = self.server.data / "app.db"
        with contextlib.closing(sqlite3.connect(data, timeout=PATIENCE)) as file:
            held = sum(
                file.execute(f"SELECT count(*) FROM {table} WHERE id > ?", [FIRST_ID]).fetchone()[0]
                for table in ("tasks", DELETIONS)
            )
            found = file.execute("PRAGMA integrity_check(1)").fetchone()[0]
            # Raises where index and tasks differ: https://www.sqlite.org/fts5.html, section 6.5.
            file.execute("INSERT INTO tasks_fts(tasks_fts, rank) VALUES ('integrity-check', 1)")
        if held < self.added:
            return f"lost: {self.added} added tasks were acknowledged, {held} are in the file"
        left = [path for path in self.server.data.rglob("*") if path.is_file() and "uploads" not in path.parts]
        if len(left) > 20:
            return f"{len(left)} files are left in the directory of the data, such as {left[-1].name}"
        return "" if found == "ok" else f"the file is damaged: {found}"


class Probe(threading.Thread):
    """Another person, who asks for something small all the time; and how much memory the server holds meanwhile."""

    def __init__(self, watched: Watched) -> None:
        super().__init__(daemon=True)
        self.watched = watched
        self.ended = threading.Event()
        self.answers = 0
        self.most_megabytes = 0.0
        self._slowest = 0.0
        self._began: float | None = None
        self.start()

    def run(self) -> None:
        """Ask until the end."""
        address = self.watched.address
        while not self.ended.is_set():
            connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=PATIENCE)
            with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
                for _ in self._turns():
                    self._ask(connection)
            self._began = None

    def _turns(self) -> Iterator[None]:
        looked = 0.0
        while not self.ended.wait(LOOK_SECONDS):
            if time.monotonic() - looked > 0.1:
                looked = time.monotonic()
                self.most_megabytes = max(self.most_megabytes, self.watched.megabytes())
            yield

    def _ask(self, connection: http.client.HTTPConnection) -> None:
        # What the machine does for others meanwhile is no fault of the loop: it has to have worked all that time.
        worked = sum(self.watched.process.cpu_times()[:2])
        self._began = began = time.monotonic()
        connection.request("GET", "/healthz", headers={"Host": "localhost"})
        connection.getresponse().read()
        took = time.monotonic() - began
        self._began = None
        if took > LONGEST_SECONDS and sum(self.watched.process.cpu_times()[:2]) - worked > LONGEST_SECONDS / 2:
            self._slowest = max(self._slowest, took)
        self.answers += 1

    def stands_for(self) -> float:
        """For how long it has been waiting by now."""
        began = self._began
        return time.monotonic() - began if began is not None else 0.0

    def take_slowest(self) -> float:
        """The slowest answer since the last look."""
        slowest, self._slowest = self._slowest, 0.0
        return slowest

    def end(self) -> None:
        """Ask no more."""
        self.ended.set()
