"""A loop that stands still, in every mode: it is ended and said where; what is held on purpose is left alone."""

import itertools
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from server.reload.supervisor import RETIRE_SECONDS
from server.workers.stalled_loop import is_held, main_frame, trace_of
from tests.engine.reloading import Checkout
from tests.engine.server.workers.test_supervisor import START, Supervised, until

# What tests wait for is not worth ten seconds of theirs.
HANG_SECONDS = 1
LIMITS = f"stalled_loop.HANG_SECONDS = stalled_loop.PROCESSOR_SECONDS = {HANG_SECONDS}\nstalled_loop.LOOK_SECONDS = 0.1"
QUICK = f"from server.workers import stalled_loop\n{LIMITS}\n{START}"
# In Python code, in C code that gives way, in C code that keeps the interpreter's lock.
HANGS = {
    "loop": "while True: pass",
    "sleep": "__import__('time').sleep(60)",
    "regex": "__import__('re').match('(a+)+$', 'a' * 60 + 'b')",
}
_numbers = itertools.count(1)


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Callable[[int], Supervised]]:
    """Starts a small app that can hang, with so many workers."""
    started: list[Supervised] = []

    def start(workers: int) -> Supervised:
        started.append(Supervised(tmp_path, workers, QUICK))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.end(signal.SIGKILL)
        elif each.process.stdout is not None:
            each.process.stdout.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A server that follows its code, and does not wait long for a loop that stands still."""
    checkout = Checkout(tmp_path_factory.mktemp("watch"))
    checkout.edit("server/workers/stalled_loop.py", "HANG_SECONDS = 10", f"HANG_SECONDS = {2 * HANG_SECONDS}")
    checkout.edit(
        "server/workers/stalled_loop.py", "PROCESSOR_SECONDS = max(", f"PROCESSOR_SECONDS = {HANG_SECONDS}  # max("
    )
    checkout.start()
    yield checkout
    assert checkout.end() == 0
    checkout.end_anyhow()


@pytest.mark.parametrize("how", ["sleep", "compute"])
def test_a_single_process_ends_and_says_where(supervised: Callable[[int], Supervised], how: str) -> None:
    alone = supervised(1)
    with alone.begin(f"/{how}"):
        assert alone.process.wait(60) == -signal.SIGPROF
    assert f"in {how}" in alone.log.read_text(encoding="utf-8")


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_time_in_which_all_was_stopped_does_not_count(supervised: Callable[[int], Supervised], workers: int) -> None:
    stopped = supervised(workers)
    processes = [psutil.Process(stopped.process.pid), *map(psutil.Process, stopped.pids())]
    before = stopped.answering()
    for process in processes:
        process.suspend()
    time.sleep(3 * HANG_SECONDS)
    for process in reversed(processes):
        process.resume()
    # Whoever would be ended is by then.
    until(lambda: len(stopped.answering()) == workers, "it answers")
    time.sleep(HANG_SECONDS)
    assert stopped.answering() == before
    assert "Traceback" not in stopped.log.read_text(encoding="utf-8")


def test_a_debugger_is_left_alone(supervised: Callable[[int], Supervised]) -> None:
    debugged = supervised(1)
    os.mkfifo(debugged.directory / "commands")
    with (
        debugged.begin("/debug") as connection,
        (debugged.directory / "commands").open("w", encoding="utf-8") as commands,
    ):
        time.sleep(3 * HANG_SECONDS)
        assert debugged.process.poll() is None
        commands.write("continue\n")
        commands.flush()
        said = b""
        while not said.endswith(b"debugged"):
            said += connection.recv(65536) or pytest.fail("cut off")
    # What is hung after that is ended all the same.
    with debugged.begin("/sleep"):
        assert debugged.process.wait(60) == -signal.SIGPROF


def serve(running: Checkout, source: str) -> str:
    """Save this as the main module, with an edition that was never there; it is served then."""
    edition = f"hanging {next(_numbers)}"
    running.path("app/main.py").write_text(
        re.sub(r'EDITION = ".*"', f'EDITION = "{edition}"', source), encoding="utf-8"
    )
    until(lambda: running.edition() == edition, "it is served")
    return edition


def ask(running: Checkout, path: str) -> str:
    """What a page gets there; where it is cut off it asks again, as browsers do."""
    for _ in range(5):
        try:
            with running.client(timeout=10) as client:
                return client.get(path).text
        except httpx.TransportError:
            continue
    raise AssertionError("always cut off")


@pytest.mark.parametrize(
    "how", [pytest.param("loop", marks=pytest.mark.slow), pytest.param("sleep", marks=pytest.mark.slow), "regex"]
)
def test_in_development_a_page_says_where_it_hangs_until_it_is_mended(running: Checkout, how: str) -> None:
    running.publish()
    main = running.path("app/main.py")
    source, at = main.read_text(encoding="utf-8"), len(running.printed())
    line = source[: source.index('    raise ValueError("asked for it")')].count("\n") + 1
    serve(running, source.replace('raise ValueError("asked for it")', HANGS[how]))
    page = ask(running, "/fail")
    assert f"app/main.py:{line}" in page
    assert "The event loop has stood still" in page
    assert f"in app/main.py:{line}. " in running.printed()[at:]
    assert ask(running, "/tasks") == page, "it is said everywhere, and nothing is asked again and again"
    worker = [process.cpu_times().user for process in running.processes()]
    time.sleep(0.5)
    assert sum(p.cpu_times().user for p in running.processes()) - sum(worker) < 0.25
    main.write_text(source, encoding="utf-8")
    until(lambda: "data-failed" not in ask(running, "/tasks"), "the page is back")
    assert "asked for it" in ask(running, "/fail")


def test_it_can_be_started_again_without_an_edit(running: Checkout) -> None:
    running.publish()
    source = running.path("app/main.py").read_text(encoding="utf-8")
    edition = serve(running, source.replace('raise ValueError("asked for it")', HANGS["sleep"]))
    assert "data-failed" in ask(running, "/fail")
    with running.client() as client:
        assert client.post("/development/again", headers={"sec-fetch-site": "cross-site"}).status_code == 403
        assert client.post("/development/again").status_code == 204
    until(lambda: ask(running, "/probe").startswith(edition), "it is there again")
    serve(running, source)


def test_a_version_that_hangs_while_it_starts_is_said_and_the_next_edit_takes_its_place(running: Checkout) -> None:
    edition = running.publish()
    main = running.path("app/main.py")
    source, at = main.read_text(encoding="utf-8"), len(running.printed())
    for how in ("sleep", "regex"):
        main.write_text(f"{source}\n{HANGS[how]}\n", encoding="utf-8")
        until(lambda at=at: "It has not started within" in running.printed()[at:], "it is said")
        # C code never lets anybody look where it is; it has burned more processor time by now than a loop may.
        assert how == "regex" or "in app/main.py:" in running.printed()[at:]
        at = len(running.printed())
        assert running.edition() == edition, "the last version serves"
    main.write_text(source, encoding="utf-8")
    running.publish()
    until(lambda: len(running.processes()) == 4, "nothing is left of those")


def test_an_old_version_that_hangs_is_ended_when_the_new_one_serves(tmp_path: Path, running: Checkout) -> None:
    """It cannot say that it retires; in ten seconds its watch would see it, but it is known before."""
    checkout = Checkout(tmp_path)
    checkout.edit("app/main.py", 'raise ValueError("asked for it")', "while True: pass")
    checkout.start()
    try:
        with pytest.raises(httpx.TransportError), checkout.client(timeout=1) as client:
            client.get("/fail")
        hung = [process for process in checkout.processes() if process.pid in checkout.starts()]
        checkout.edit("app/main.py", "while True: pass", 'raise ValueError("asked for it")')
        until(lambda: not any(process.is_running() for process in hung), "it is gone")
        assert "asked for it" in ask(checkout, "/fail")
        words = r"The old version stood still in app/main\.py:\d+, before the edit: it was ended\."
        until(lambda: re.search(words, checkout.printed()), "it is said")
        assert checkout.end() == 0
    finally:
        checkout.end_anyhow()


@pytest.mark.slow
def test_an_old_version_that_is_debugged_may_be_debugged_on(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    commands = tmp_path / "commands"
    os.mkfifo(commands)
    debugged = f"__import__('pdb').Pdb(stdin=open({str(commands)!r}), stdout=open(os.devnull, 'w')).set_trace()"
    source = checkout.path("app/main.py").read_text(encoding="utf-8")
    words = 'raise ValueError("asked for it")'
    checkout.edit("app/main.py", words, f'{debugged}; return PlainTextResponse("debugged")')
    checkout.start()
    answers: list[str] = []
    asking = threading.Thread(target=lambda: answers.append(checkout.get("/fail").text))
    asking.start()
    try:
        with commands.open("w", encoding="utf-8") as pipe:
            serve(checkout, source)
            time.sleep(RETIRE_SECONDS + 2)
            pipe.write("continue\n")
        asking.join(60)
        assert answers == ["debugged"]
        assert checkout.end() == 0
    finally:
        checkout.end_anyhow()
        asking.join(60)


def test_a_traced_frame_is_held_and_any_other_is_not() -> None:
    assert not is_held(main_frame())
    assert not is_held(None)
    sys._getframe().f_trace = lambda *_: None
    assert is_held(sys._getframe())


def test_the_last_stack_is_turned_round() -> None:
    stacks = (
        'Thread 0x1 (most recent call first):\n  File "a.py", line 1 in other\n\n'
        'Current thread 0x2 (most recent call first):\n  File "c.py", line 3 in inner\n  File "b.py", line 2 in f\n'
    )
    assert trace_of(stacks) == '  File "b.py", line 2 in f\n  File "c.py", line 3 in inner\n'
