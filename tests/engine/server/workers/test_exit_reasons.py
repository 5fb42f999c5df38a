"""A saved module that ends its process, or never lets it begin: said at once, the last version serves, edits go on."""

import time
from pathlib import Path

import psutil
import pytest

from server.reload.supervisor import START_SECONDS
from server.workers import exit_reasons
from tests.engine.reloading import MAIN, Checkout, lives, until

# What is saved, and what the terminal and the page say.
ENDINGS = {
    "sys.exit": ("import sys; sys.exit('enough')", "SystemExit: enough"),
    "sys.exit 0": ("import sys; sys.exit()", "SystemExit"),
    "SystemExit": ("raise SystemExit(7)", "SystemExit: 7"),
    "KeyboardInterrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "os._exit": ("os._exit(3)", "The process ended while the app was imported or started (exit code 3)"),
    "os._exit 0": ("os._exit(0)", "(exit code 0)"),
    "SIGKILL": ("os.kill(os.getpid(), 9)", "(SIGKILL"),
    "SIGTERM": ("os.kill(os.getpid(), 15)", "(SIGTERM)"),
    "abort": ("os.abort()", "Aborted: the process ended (SIGABRT)"),
    "no memory": (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (10**9, 10**9)); full = []\n"
        "while True: full.append(bytearray(10**7))",
        "MemoryError",
    ),
    "exec": ("os.execvp('sleep', ['sleep', '60'])", "it left the server without ending"),
    "a thread": ("import threading; threading.Timer(0.1, os._exit, (4,)).start(); time.sleep(9)", "(exit code 4)"),
}  # fmt: skip
BLOCKS = {
    "sleep": "time.sleep(1000)",
    "loop": "while True: pass",
    "C code": "import re; re.match('(a+)+b', 'a' * 64)",
    "lock": "import threading; threading.Lock().acquire() and threading.Event().wait()",
}


# Some that are alike: of a first start, sys.exit(5), os._exit(3) and abort are quick.
ALIKE = ("sys.exit", "SystemExit", "os._exit", "SIGTERM", "abort", "no memory")


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow if kind in ALIKE else ()) for kind in ENDINGS]
)
def test_what_ends_a_start_is_said_at_once_and_edits_are_followed(running: Checkout, source: str, kind: str) -> None:
    saved, words = ENDINGS[kind]
    edition, at = running.edition(), len(running.printed())
    began = time.monotonic()
    running.path(MAIN).write_text(source.replace("EDITION = ", f"{saved}\nEDITION = ", 1), encoding="utf-8")
    until(lambda: words in running.printed()[at:], "the terminal says so")
    # As for a syntax error; a coarse bound, as the machine may have much else to do.
    assert time.monotonic() - began < 5
    assert running.edition() == edition
    assert "The last version that worked goes on serving." in running.printed()[at:]
    running.path(MAIN).write_text(source, encoding="utf-8")
    assert running.publish() != edition


@pytest.mark.parametrize(
    "kind", ["sleep", *(pytest.param(each, marks=pytest.mark.slow) for each in ("C code", "loop", "lock"))]
)
def test_a_start_that_blocks_is_said_and_the_next_edit_is_followed(running: Checkout, source: str, kind: str) -> None:
    edition, at = running.edition(), len(running.printed())
    running.path(MAIN).write_text(source.replace("EDITION = ", f"{BLOCKS[kind]}\nEDITION = ", 1), encoding="utf-8")
    until(lambda: "It has not started within 2 s." in running.printed()[at:], "the terminal says so")
    if kind != "C code":  # It never lets anybody look where it is.
        assert "in app/main.py:" in running.printed()[at:]
    assert running.edition() == edition
    blocked = psutil.Process(running.starts()[-1])
    running.path(MAIN).write_text(source, encoding="utf-8")
    assert running.publish() != edition
    until(lambda: not lives(blocked), "what blocked is gone")


@pytest.mark.slow
def test_a_start_that_blocks_is_ended_when_its_time_is_over(running: Checkout, source: str) -> None:
    edition, at = running.edition(), len(running.printed())
    running.path(MAIN).write_text(
        source.replace("EDITION = ", "re = __import__('re'); re.match('(a+)+b', 'a' * 64)\nEDITION = ", 1),
        encoding="utf-8",
    )
    words = f"It has not started within {START_SECONDS} s, and was ended."
    until(lambda: words in running.printed()[at:], "it is said")
    assert "in app/main.py:" in running.printed()[at:], "where it stood"
    assert running.edition() == edition


def test_at_the_first_start_a_page_says_it_too(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    source = checkout.path(MAIN).read_text(encoding="utf-8")
    checkout.edit("server/reload/supervisor.py", "FIRST_SECONDS = 5", "FIRST_SECONDS = 1")
    try:
        checkout.path(MAIN).write_text(
            source.replace("EDITION = ", "sys = __import__('sys'); sys.exit(5)\nEDITION = ", 1), encoding="utf-8"
        )
        checkout.start(wait=False)
        page = checkout.get("/tasks")
        assert (page.status_code, "SystemExit: 5" in page.text) == (500, True)
        for saved, words in (ENDINGS["os._exit"], ENDINGS["abort"]):
            checkout.path(MAIN).write_text(source.replace("EDITION = ", f"{saved}\nEDITION = ", 1), encoding="utf-8")
            until(lambda words=words: words in checkout.get("/tasks").text, f"the page says {words}")
        checkout.path(MAIN).write_text(
            source.replace("EDITION = ", "time.sleep(1000)\nEDITION = ", 1), encoding="utf-8"
        )
        until(lambda: "It has not started within 1 s" in checkout.get("/tasks").text, "the page says so while it waits")
        checkout.path(MAIN).write_text(source, encoding="utf-8")
        until(lambda: checkout.get("/tasks").status_code == 200, "it is mended")
        assert checkout.end() == 0
    finally:
        checkout.end_anyhow()


def test_one_that_ends_again_and_again_is_said_and_waits_for_an_edit(running: Checkout, source: str) -> None:
    ends = "import threading\nthreading.Timer(0.2, os._exit, (6,)).start()\nEDITION = "
    running.path(MAIN).write_text(source.replace("EDITION = ", ends, 1), encoding="utf-8")
    until(lambda: "The process ended (exit code 6)." in running.printed(), "it is said")
    starts = len(running.starts())
    until(lambda: "The process ended (exit code 6)." in running.get("/tasks").text, "a page says so")
    assert len(running.starts()) == starts
    running.path(MAIN).write_text(source, encoding="utf-8")
    running.publish()


def test_the_words_for_an_end() -> None:
    assert exit_reasons.words(0) == "exit code 0"
    assert exit_reasons.words(-15) == "SIGTERM"
    assert exit_reasons.words(-99) == "signal 99"
    assert "ended" in exit_reasons.words(None)
    assert exit_reasons.trace("", 1, True, 9) == "The process ended (exit code 1)."
