"""Starts the process that reads an uploaded file (`app/imports/reading/process.py`), listens to it, and ends it.

Whatever becomes of it is a sentence: ended by a signal, silent for too long, words that mean nothing or have no end.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# What a person calls a file has letters of every script, and so have the paths.
UTF8 = {"PYTHONUTF8": "1"}
COMMAND = (sys.executable, "-m", "app.imports.reading.process")
# How much of what the reader says is taken at once. It waits when this is not fetched, so that nothing piles up here.
PIECE_BYTES = 256 * 1024
# A batch of rows has a megabyte of letters, and one row more; JSON makes six times as many bytes of them at most.
LONGEST_MESSAGE = 32 * 1024**2
# One that is at work says so once a second.
SILENCE_SECONDS = 60
# How often whoever listens is given the turn where there is nothing to hear.
LISTEN_SECONDS = 1
# What the process has of the server's environment: no secret is in it.
ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "SYSTEMROOT")
AGAIN = (
    "Import the file again. If it comes to the same end, export the list in another format (CSV or JSON), or split it."
)

logger = logging.getLogger(__name__)

Message = dict[str, Any]


class ReaderFailed(Exception):
    """Why the file could not be read to its end, in a sentence for the person."""


async def messages(path: Path, name: str, kind: str, choices: str, options: Iterable[str]) -> AsyncGenerator[Message]:
    """What a process says that reads the file; it ends with this iterator. Raises ReaderFailed.

    An empty message comes at least once a second, for whoever listens to look whether the file is still to be read.
    """
    reader = await _start(path, name, kind, choices, options)
    try:
        async with aclosing(_heard(reader)) as heard:
            async for message in heard:
                if "error" in message:
                    if "trace" in message:
                        logger.error("The reader of “%s” failed:\n%s", name, message["trace"])
                    raise ReaderFailed(str(message["error"]))
                yield message
                if "end" in message:
                    return
        raise ReaderFailed(f"{_end_in_words(await reader.wait())} {AGAIN}")
    finally:
        if reader.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                reader.kill()
            await reader.wait()


async def _start(path: Path, name: str, kind: str, choices: str, options: Iterable[str]) -> asyncio.subprocess.Process:
    try:
        reader = await asyncio.create_subprocess_exec(
            *map(_argument, (*_command(path, name, kind), *options)),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=PIECE_BYTES,
            env={variable: os.environ[variable] for variable in ENVIRONMENT if variable in os.environ} | UTF8,
            # Ctrl-C in the terminal is for the server; it ends its readers itself.
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise ReaderFailed(f"The process that reads the file could not be started: {error}. Try again.") from error
    assert reader.stdin is not None
    # One that has ended already says so by itself; uvloop's word for its closed pipe is a RuntimeError.
    with contextlib.suppress(ConnectionError, RuntimeError):
        reader.stdin.write(choices.encode() + b"\n")
        await reader.stdin.drain()
        reader.stdin.close()
    return reader


def _argument(text: str) -> str | bytes:
    """A word of a command line in UTF-8, as the process expects it whatever the locale says."""
    return text if os.name == "nt" else text.encode(errors="surrogateescape")


def _command(path: Path, name: str, kind: str) -> list[str]:
    # In one word each: what a person calls a file may begin like an option.
    return [*COMMAND, str(path.resolve()), f"--name={name}", f"--kind={kind}", "--choices=-"]


async def _heard(reader: asyncio.subprocess.Process) -> AsyncGenerator[Message]:
    """Each message, and an empty one for each second without. StreamReader's own lines may be only short ones."""
    assert reader.stdout is not None
    pieces: list[bytes] = []
    length = silence = 0
    while True:
        try:
            piece = await asyncio.wait_for(reader.stdout.read(PIECE_BYTES), LISTEN_SECONDS)
        except TimeoutError:
            silence += LISTEN_SECONDS
            if silence >= SILENCE_SECONDS:
                raise ReaderFailed(f"Reading the file came to a standstill for {SILENCE_SECONDS} s. {AGAIN}") from None
            yield {}
            continue
        if not piece:
            return
        silence = 0
        *ends, rest = piece.split(b"\n")
        for end in ends:
            yield _message(b"".join([*pieces, end]))
            pieces, length = [], 0
        pieces.append(rest)
        length += len(rest)
        if length > LONGEST_MESSAGE:
            raise ReaderFailed(f"The process that reads the file says more at once than any list has. {AGAIN}")


def _message(line: bytes) -> Message:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise ReaderFailed(f"The process that reads the file says what is not understood. {AGAIN}")
    return {} if "reading" in message else message


def _end_in_words(code: int) -> str:
    if code >= 0:
        return f"The process that reads the file stopped in the middle of it (exit code {code}); the log may say why."
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    if name == "SIGKILL":
        return "The process that reads the file was killed, perhaps because the machine had no memory left (SIGKILL)."
    if name == "SIGXCPU":
        return "Reading the file took more than an hour of processor time (SIGXCPU)."
    return f"The process that reads the file crashed ({name})."
