"""Standard streams that are closed, full, gone, missing or of another encoding: nothing ends that should go on."""

import contextlib
import itertools
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from server.app_name import PREFIX
from tests.engine.conftest import PLAIN, PROJECT
from tests.engine.reloading import lives, until

SERVER = [sys.executable, str(PROJECT / "server.py")]
MODES = {"one": ("--no-reload",), "reload": ("--reload",), "two": ("--workers", "2")}
# What a shell makes of the streams.
STATES = {
    "closed": ">&- 2>&-",
    "all closed": "<&- >&- 2>&-",
    "error closed": ">/dev/null 2>&-",
    "full": ">/dev/full 2>/dev/full",
    "gone": "2>&1 | true",
}


def free_port() -> int:
    """A port that nobody has at this moment, for a server that cannot say which it took."""
    with socket.socket() as asking:
        asking.bind(("127.0.0.1", 0))
        return int(asking.getsockname()[1])


@contextlib.contextmanager
def serving(start: Any, data: Path, *options: str, **more: Any) -> Iterator[tuple[str, psutil.Process]]:
    """A server that was started in another way; its address, and its first process."""
    port = free_port()
    started = start([*SERVER, "run", "--no-open", "--port", str(port), "--data", str(data), *options], **more)
    url = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=url, **PLAIN) as client:
        try:

            def answers() -> bool:
                with contextlib.suppress(httpx.TransportError):
                    return client.get("/healthz").status_code == 200
                return False

            until(answers, "it serves", 60)
            first = next(
                process
                for process in psutil.process_iter(["cmdline"])
                if str(data) in (process.info["cmdline"] or []) and "server.py" in " ".join(process.info["cmdline"][:2])
            )
            yield url, first
        finally:
            for process in psutil.process_iter(["cmdline"]):
                if str(data) in (process.info["cmdline"] or []):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        for child in process.children(recursive=True):
                            child.kill()
                        process.kill()
            with contextlib.suppress(Exception):
                started.wait(10)


def shell(streams: str) -> Any:
    """What starts a command with such streams, and notes its exit code."""

    def start(command: list[str], code: Path) -> Any:
        line = f'("$@"; echo $? >"{code}") {streams}'
        return subprocess.Popen(["/bin/sh", "-c", line, "sh", *command], cwd=PROJECT)

    return start


QUICK = {("reload", "closed"), ("reload", "full"), ("one", "all closed"), ("two", "gone")}


@pytest.mark.parametrize(
    ("mode", "state"),
    [pytest.param(*each, marks=() if each in QUICK else pytest.mark.slow) for each in itertools.product(MODES, STATES)],
)
def test_a_server_goes_on_whatever_becomes_of_its_streams_and_a_signal_ends_it(
    tmp_path: Path, mode: str, state: str
) -> None:
    code = tmp_path / "code"
    with serving(shell(STATES[state]), tmp_path / "data", *MODES[mode], code=code) as (url, first):
        with httpx.Client(base_url=url, **PLAIN) as client:
            for _ in range(3):
                assert client.get("/tasks").status_code == 200  # Each is a line of the log.
            assert client.post("/tasks", data={"title": "Kept"}).status_code == 303
        processes = [first, *first.children(recursive=True)]
        first.send_signal(signal.SIGTERM)
        until(lambda: code.exists() and code.read_text(encoding="utf-8"), "it has ended")
        assert code.read_text(encoding="utf-8") == "0\n"
        until(lambda: not any(map(lives, processes)), "nothing is left")
    # Nothing that was printed went into a file that was opened in the place of a stream.
    assert (tmp_path / "data" / "app.db").read_bytes()[:15] == b"SQLite format 3"


@pytest.mark.parametrize("mode", ["reload", *(pytest.param(each, marks=pytest.mark.slow) for each in ("one", "two"))])
def test_a_terminal_that_is_closed_ends_nothing(tmp_path: Path, mode: str) -> None:
    """As with nohup, it goes on without."""
    controller, terminal = pty.openpty()

    def start(command: list[str]) -> Any:
        started = subprocess.Popen(
            command, stdin=terminal, stdout=terminal, stderr=terminal, cwd=PROJECT, start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
        )  # fmt: skip
        os.close(terminal)
        return started

    with serving(start, tmp_path / "data", *MODES[mode]) as (url, first):
        os.close(controller)
        with httpx.Client(base_url=url, **PLAIN) as client:
            for _ in range(3):
                assert client.get("/tasks").status_code == 200
        processes = [first, *first.children(recursive=True)]
        first.send_signal(signal.SIGTERM)
        until(lambda: not any(map(lives, processes)), "nothing is left")


@pytest.mark.parametrize("blocks", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_pipe_that_nobody_reads_holds_nothing_up(tmp_path: Path, blocks: bool) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, blocks)
    with contextlib.suppress(BlockingIOError):
        os.set_blocking(writing, False)
        while True:
            os.write(writing, b"x" * 4096)
    os.set_blocking(writing, blocks)

    def start(command: list[str]) -> Any:
        started = subprocess.Popen(command, stdout=writing, stderr=writing, cwd=PROJECT)
        os.close(writing)
        return started

    with serving(start, tmp_path / "data", "--reload") as (url, first):
        with httpx.Client(base_url=url, **PLAIN) as client:
            began = time.monotonic()
            for _ in range(5):
                assert client.get("/tasks").status_code == 200
            assert time.monotonic() - began < 10
        processes = [first, *first.children(recursive=True)]
        first.send_signal(signal.SIGTERM)
        until(lambda: not any(map(lives, processes)), "a signal ends it")
    os.close(reading)


COMMANDS = {"token": ("token",), "help": ("--help",), "backup": ("backup",), "doctor": ("doctor", "--port", "0")}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a file in it."""
    data = tmp_path_factory.mktemp("streams") / "data"
    made = subprocess.run(
        [sys.executable, "-c", "import app.main"], cwd=PROJECT, env={**os.environ, f"{PREFIX}DATA": str(data)},
        capture_output=True, encoding="utf-8",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    return data


def ended(command: str, data: Path, streams: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """A command that has ended, with such streams."""
    options = [] if command == "help" else ["--data", str(data)]
    return subprocess.run(
        ["/bin/sh", "-c", f'"$@" {streams}', "sh", *SERVER, *COMMANDS[command], *options],
        cwd=PROJECT, env={**os.environ, **environment}, capture_output=True, timeout=60,
    )  # fmt: skip


# Of every command and every state of the streams there is a quick one.
FULL = b"server.py: What it printed could not be written: No space left on device.\n"
STREAMS = {
    ">&-": (0, b""),
    ">&- 2>&- <&-": (0, b""),
    "2>&-": (0, b""),
    ">/dev/full": (1, FULL),
    "2>/dev/full": (0, b""),
    "3>&1 >&4 4>&1 | true": (0, b""),
}


@pytest.mark.parametrize(
    ("command", "streams"),
    [
        pytest.param(command, streams, marks=() if command == "token" or streams == ">/dev/full" else pytest.mark.slow)
        for command, streams in itertools.product(COMMANDS, STREAMS)
    ],
)
def test_the_exit_code_of_a_command_says_whether_it_was_done(data: Path, command: str, streams: str) -> None:
    code, said = STREAMS[streams]
    if "| true" in streams:
        streams = '; echo "code $?" >&2) | true'
        line = f'("$@" {streams}'
        options = [] if command == "help" else ["--data", str(data)]
        done = subprocess.run(
            ["/bin/sh", "-c", line, "sh", *SERVER, *COMMANDS[command], *options], cwd=PROJECT, capture_output=True
        )
        assert done.stderr == b"code 0\n"
        return
    done = ended(command, data, streams)
    assert (done.returncode, done.stderr) == (code, said)


@pytest.mark.parametrize("encoding", ["ascii", pytest.param("latin-1", marks=pytest.mark.slow), "cp437", "utf-8"])
def test_an_encoding_without_the_letters_shows_others(data: Path, encoding: str) -> None:
    done = ended("token", data, "", PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    printed = done.stdout.decode(encoding)
    assert re.search(r"http://\S+/sign-in\?token=\S+", printed)
    assert ("\u2588" in printed) is (encoding in ("cp437", "utf-8")), "a QR code only where it can be read"
    helped = ended("help", data, "", PYTHONIOENCODING=encoding)
    assert (helped.returncode, helped.stderr) == (0, b"")
