"""Whatever becomes of the process that reads a file, whoever waits for it is told in a sentence, and it is gone."""

import asyncio
import json
import os
import signal
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Any

import psutil
import pytest

try:
    import uvloop
except ImportError:  # As on Windows.
    uvloop = None

from app.imports import reader_process
from app.imports.reader_process import ReaderFailed, messages
from app.records.kinds import to_json
from tests.engine.app.imports.reading.kind import KIND


async def heard(path: Path, choices: str = "{}", kind: str = "{}") -> list[dict[str, Any]]:
    async with aclosing(messages(path, "a.csv", kind, choices, ["--check"])) as found:
        return [message async for message in found]


def readers() -> list[psutil.Process]:
    """What this process has started, but for the servers of other tests."""
    return [each for each in psutil.Process().children() if "server.py" not in " ".join(each.cmdline())]


def failure(monkeypatch: pytest.MonkeyPatch, path: Path, code: str) -> str:
    """What is said where a reader does that."""
    monkeypatch.setattr(reader_process, "COMMAND", (sys.executable, "-c", code))
    with pytest.raises(ReaderFailed) as failed:
        asyncio.run(heard(path))
    assert not readers()
    return str(failed.value)


def test_a_file_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "1"
    path.write_text("title\nOne\n", encoding="utf-8")
    understood, *_, end = asyncio.run(heard(path, kind=to_json(KIND)))
    assert understood["understood"]["format"] == "CSV"
    assert end == {"end": {"rows": 1, "problems": 0}}
    assert not readers()


SAYS = "import sys, time, os, signal; print('{}', flush=True); "


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (SAYS + "sys.exit(3)", "stopped in the middle of it (exit code 3)"),
        (SAYS, "stopped in the middle of it (exit code 0)"),
        (SAYS + "os.kill(os.getpid(), signal.SIGKILL)", "was killed, perhaps because the machine had no memory left"),
        (SAYS + "os.kill(os.getpid(), signal.SIGSEGV)", "crashed (SIGSEGV)"),
        (SAYS + "os.kill(os.getpid(), signal.SIGXCPU)", "more than an hour of processor time"),
        (SAYS + "time.sleep(600)", "came to a standstill for 2 s"),
        (SAYS + "sys.stdout.close(); os.close(1); time.sleep(1)", "stopped in the middle of it"),
        ("print('no JSON at all')", "says what is not understood"),
        ("print('[' * 100_000)", "says what is not understood"),
        ("print('[1]')", "says what is not understood"),
        ("import sys\nwhile True: sys.stdout.write('x' * 65536)", "says more at once than any list has"),
        ('print(\'{"error": "It is odd."}\')', "It is odd."),
    ],
    ids=range(12),
)
def test_every_other_end_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path, code: str, words: str
) -> None:
    monkeypatch.setattr(reader_process, "SILENCE_SECONDS", 2)
    said = failure(monkeypatch, tmp_path / "1", code)
    assert words in said
    assert said.endswith(".")
    assert "odd" in said or "again" in said
    capfd.readouterr()


def test_one_that_cannot_be_started_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(reader_process, "COMMAND", (str(tmp_path / "gone"),))
    with pytest.raises(ReaderFailed, match="could not be started"):
        asyncio.run(heard(tmp_path / "1"))


def test_long_choices_are_no_argument(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code = "import sys, json; print(json.dumps({'end': {'rows': len(sys.stdin.readline()), 'problems': 0}}))"
    monkeypatch.setattr(reader_process, "COMMAND", (sys.executable, "-c", code))
    assert asyncio.run(heard(tmp_path / "1", choices="x" * 150_000))[-1]["end"]["rows"] == 150_001


@pytest.mark.parametrize("loop", [asyncio.run, *([uvloop.run] if uvloop else [])])
def test_one_that_ends_before_it_is_told_anything_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, loop: Any
) -> None:
    monkeypatch.setattr(reader_process, "COMMAND", ("true",))
    for _ in range(30):
        with pytest.raises(ReaderFailed, match="exit code 0"):
            loop(heard(tmp_path / "1", choices="x" * 200_000))


def test_it_has_no_secret_of_the_servers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOME_TOKEN", "secret")
    code = "import json, os; print(json.dumps({'end': dict(os.environ)}))"
    monkeypatch.setattr(reader_process, "COMMAND", (sys.executable, "-c", code))
    (message,) = (each for each in asyncio.run(heard(tmp_path / "1")) if each)
    assert "PATH" in message["end"]
    assert set(message["end"]) <= {*reader_process.ENVIRONMENT, *reader_process.UTF8, "LC_CTYPE"}


def test_what_it_fails_at_is_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    said = json.dumps({"error": "It failed.", "trace": "Traceback: here"})
    assert failure(monkeypatch, tmp_path / "1", f"print({said!r})") == "It failed."
    assert "Traceback: here" in caplog.text


def test_it_ends_with_whoever_listens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(reader_process, "COMMAND", (sys.executable, "-c", SAYS + "time.sleep(600)"))

    async def listen_once() -> dict[str, Any]:
        async with aclosing(messages(tmp_path / "1", "a.csv", "{}", "{}", [])) as found:
            async for message in found:
                assert readers()
                return message
        raise AssertionError

    assert asyncio.run(listen_once()) == {}
    assert not readers()


def test_a_listener_gets_the_turn_while_nothing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code = "import time; print('{\"reading\": 1}', flush=True); time.sleep(2.5); print('{\"end\": {}}')"
    monkeypatch.setattr(reader_process, "COMMAND", (sys.executable, "-c", code))
    *turns, end = asyncio.run(heard(tmp_path / "1"))
    assert turns.count({}) == len(turns) >= 2
    assert end == {"end": {}}


@pytest.mark.skipif(not hasattr(signal, "SIGXCPU") or os.name == "nt", reason="signals are those of Unix")
def test_a_signal_without_a_name_is_named_by_its_number() -> None:
    assert "signal 200" in reader_process._end_in_words(-200)
