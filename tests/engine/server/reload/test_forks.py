"""A worker that was forked is as a process that was started by itself: its terminal, what it prints, how it ends."""

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from server.workers.stalled_loop import SLOW_SECONDS
from tests.engine.conftest import PLAIN
from tests.engine.reloading import Checkout, until

MAIN = "app/main.py"
PROBED = "    return PlainTextResponse(f"


class Terminal:
    """A terminal with the server of a checkout in it, and who sits before it."""

    def __init__(self, checkout: Checkout) -> None:
        self.checkout = checkout
        self._person, terminal = pty.openpty()
        self.shown = ""
        # The session's own terminal, as a shell gives it.
        begin = (
            "import fcntl, os, sys, termios\n"
            "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
            "os.execv(sys.executable, sys.argv[1:])"
        )
        command = [sys.executable, str(checkout.path("server.py")), "run", "--reload", "--no-open", "--port", "0"]
        checkout.process = subprocess.Popen(
            [sys.executable, "-c", begin, *command, "--data", str(checkout.data)],
            stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True, cwd=checkout.root,
            env={**os.environ, "PROBE": str(checkout.probe)},
        )  # fmt: skip
        os.close(terminal)
        self.until(r"https?://\S+")
        found = re.search(r"https?://[\w.:]+", self.shown)
        assert found
        checkout.url = found[0]

    def until(self, words: str, seconds: float = 20) -> None:
        """Read what is shown until these words come."""
        end = time.monotonic() + seconds
        while not re.search(words, self.shown):
            assert time.monotonic() < end, f"no {words} in {self.shown}"
            if select.select([self._person], [], [], 0.1)[0]:
                self.shown += os.read(self._person, 65536).decode(errors="replace")

    def type(self, line: str) -> None:
        """Type a line; what was shown before counts no more."""
        self.shown = ""
        os.write(self._person, f"{line}\n".encode())

    def close(self) -> None:
        """Close the window."""
        os.close(self._person)


@pytest.fixture
def terminal(tmp_path: Path, hears_hangup: None) -> Iterator[Terminal]:
    """A terminal in which a server follows its code."""
    checkout = Checkout(tmp_path)
    terminal = Terminal(checkout)
    yield terminal
    for process in checkout.processes() if checkout.process.poll() is None else []:
        with contextlib.suppress(Exception):
            process.kill()
    checkout.process.wait(10)


def ask(checkout: Checkout, answers: list[str]) -> threading.Thread:
    """Ask for the probe while somebody debugs it."""

    def get() -> None:
        with httpx.Client(base_url=checkout.url, **PLAIN | {"timeout": 60}) as client:
            answers.append(client.get("/probe").text)

    asking = threading.Thread(target=get)
    asking.start()
    return asking


def test_a_breakpoint_has_the_terminal_and_edits_wait_for_it(terminal: Terminal) -> None:
    checkout = terminal.checkout
    until(lambda: checkout.starts(), "it has begun")
    until(lambda: checkout.get("/healthz").status_code == 200, "it serves")
    checkout.edit(MAIN, PROBED, f"    kept = 6 * 7\n    breakpoint()\n{PROBED}")
    until(lambda: len(checkout.starts()) == 2, "the edit is followed")
    time.sleep(0.3)
    answers: list[str] = []
    asking = ask(checkout, answers)
    terminal.until(r"\(Pdb\) ")
    terminal.type("p kept")
    terminal.until(r"42")
    terminal.until(r"\(Pdb\) ")
    time.sleep(1.2)  # It is known by then that the debugger has it.
    checkout.edit(MAIN, 'EDITION = "edition 1"', 'EDITION = "edition 2"')
    terminal.until("The edit is followed when the debugger lets the app go on")
    assert len(checkout.starts()) == 2
    assert answers == []
    terminal.type("p kept + 1")
    terminal.until("43")
    checkout.edit(MAIN, "    breakpoint()\n", "")
    terminal.type("c")
    asking.join(20)
    assert answers == [f"edition 1 {checkout.starts()[1]}"]
    # Asked before, the old one would stop there again.
    until(lambda: not psutil.pid_exists(checkout.starts()[1]), "the edit is followed now")
    until(lambda: checkout.edition() == "edition 2", "it is served")
    terminal.checkout.process.send_signal(signal.SIGTERM)
    assert terminal.checkout.process.wait(10) == 0


def test_a_breakpoint_in_a_module_holds_the_start_without_an_end(terminal: Terminal) -> None:
    checkout = terminal.checkout
    until(lambda: checkout.starts(), "it has begun")
    until(lambda: checkout.get("/healthz").status_code == 200, "it serves")
    checkout.edit(MAIN, 'EDITION = "edition 1"', 'breakpoint()\nEDITION = "edition 3"')
    terminal.until(r"\(Pdb\) ")
    assert checkout.edition() == "edition 1"
    time.sleep(SLOW_SECONDS + 1)  # Longer than a start may take before it is said.
    terminal.type("p 6 * 7")
    terminal.until("42")
    assert "has not started" not in terminal.shown
    terminal.type("c")
    until(lambda: checkout.edition() == "edition 3", "it goes on")
    # The window is closed: everything ends.
    terminal.close()
    assert checkout.process.wait(10) in (0, -signal.SIGHUP)


ENDING = """
import atexit, random
print("printed at once")
print("half a line,", end="")
atexit.register(print, "and what is printed at the end", flush=True)
print(f"chance {random.random()}")
"""


def test_what_is_printed_shows_at_once_and_none_of_it_is_lost(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    main = checkout.path(MAIN)
    source = main.read_text(encoding="utf-8")
    main.write_text(source + ENDING, encoding="utf-8")
    try:
        checkout.start()
        assert checkout.process.stdout.readline() == "printed at once\n"
        first = checkout.process.stdout.readline()
        assert first.startswith("half a line,chance 0.")
        main.write_text(source + ENDING.replace("at once", "at once, too"), encoding="utf-8")
        assert checkout.process.stdout.readline() == "printed at once, too\n"
        second = checkout.process.stdout.readline()
        assert second.startswith("half a line,chance 0.")
        assert first != second
        # The old one ends, as any process does.
        assert checkout.process.stdout.readline() == "and what is printed at the end\n"
        checkout.process.send_signal(signal.SIGTERM)
        assert checkout.process.stdout.read() == "and what is printed at the end\n"
        assert checkout.process.wait(10) == 0
        checkout.process.stdout.close()
    finally:
        checkout.end_anyhow()


def test_a_worker_is_the_main_process_of_its_own_with_handlers_of_its_own(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    checkout.edit(
        MAIN,
        'EDITION = "edition 1"',
        "import logging, multiprocessing, threading\n"
        "EDITION = ' '.join(map(str, [multiprocessing.current_process().name, multiprocessing.parent_process(),\n"
        "    len(logging.getLogger().handlers), threading.current_thread() is threading.main_thread(),\n"
        "    os.get_inheritable(0), sys.stdin is not None]))",
    )
    try:
        checkout.start()
        fresh = "MainProcess None 1 True True True"
        assert checkout.edition() == fresh
        assert checkout.end() == 0
    finally:
        checkout.end_anyhow()
