"""The standard streams: whatever becomes of them, what is printed there neither ends a process nor goes into a file.

A stream can be closed at the start (`>&-`), full (`>/dev/full`), a pipe whose reader has ended (`| head -1`), a
terminal that was closed, a pipe that does not block and is not read, missing (pythonw) or of an encoding that has no
“…”. `take` puts streams in place of sys.stdout and sys.stderr that take everything, for all that prints: ours, the
app's own `print()`, the log, Click, a traceback. Each line is written as soon as it ends. `say` is how we print.
"""

import codecs
import errno
import io
import os
import select
import sys
from typing import Any, TextIO

# How long a pipe that is full, or a terminal that was paused, may hold up who prints; what does not go through then is
# lost: a signal is to end the process all the same, and requests are to be answered.
FULL_SECONDS = 1.0
# What goes through without waiting where there is room at all (POSIX).
PIECE = getattr(select, "PIPE_BUF", 4096)
# A reader that has gone has had what it wanted.
GONE = frozenset((errno.EPIPE, errno.EIO, errno.ENXIO, errno.EBADF, errno.ECONNRESET))
PLAIN = str.maketrans(
    {"“": '"', "”": '"', "‘": "'", "’": "'", "…": "...", "–": "-", "—": "-", "─": "-", "│": "|", "·": "-", "→": "->"}
)
SPELLED = "spelled"
# Whether this process has taken them, and what went wrong with its standard output, other than that nobody reads it.
_state: dict[str, Any] = {"taken": False, "error": None}


def take() -> None:
    """Have the standard streams of this process, and of those forked from it, take everything."""
    if _state["taken"]:
        return
    _state["taken"] = True
    open_missing()
    codecs.register_error(SPELLED, _spelled)
    # One that somebody has put in their place is theirs.
    if sys.stdout is sys.__stdout__:
        sys.stdout = _safe(sys.stdout, 1)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _safe(sys.stderr, 2)
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - it is the process's


def open_missing() -> None:
    """Have a standard stream that was closed lead nowhere: the next file that is opened would be taken for it."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # It gets the lowest number that is free.


def say(text: object, *, error: bool = False) -> None:
    """Print a line on standard output, or with `error` on standard error, at once."""
    stream = sys.stderr if error else sys.stdout
    if stream is None:
        return
    try:
        stream.write(f"{text}\n")
        stream.flush()
    except (OSError, ValueError) as problem:
        # Only where another program has started this process, and the streams are as it has left them.
        _note(problem, is_output=not error)


def can_show(letters: str) -> bool:
    """Whether standard output can show these letters."""
    try:
        letters.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def lost() -> str:
    """Why something that was printed on standard output was lost, other than that nobody reads it any more."""
    return str(_state["error"] or "")


class _Stream(io.RawIOBase):
    """A stream without an end: it takes whatever is written, also where that goes nowhere."""

    def __init__(self, raw: Any, number: int) -> None:
        self._raw = raw
        self._number = number
        self._is_full = False

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        try:
            return os.isatty(self._number)
        except OSError:
            return False

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        """Stay open: others print too."""

    def write(self, data: Any) -> int:
        left = memoryview(data).cast("B")
        size = len(left)
        try:
            while left:
                if not self._has_room():
                    raise OSError(errno.EAGAIN, "nobody reads it")
                # None where it does not block, and another process has filled it.
                left = left[self._raw.write(left[:PIECE]) or 0 :]
        except (OSError, ValueError) as problem:
            _note(problem, is_output=self._number == 1)
        return size

    def _has_room(self) -> bool:
        """Whether a piece can be written without waiting; within FULL_SECONDS, but at once where it was full before."""
        if os.name != "posix":
            return True
        has_room = bool(select.select([], [self._number], [], 0 if self._is_full else FULL_SECONDS)[1])
        self._is_full = not has_room
        return has_room


def _safe(stream: TextIO | None, number: int) -> TextIO:
    """The same stream, made safe."""
    raw: Any = getattr(getattr(stream, "buffer", None), "raw", None) or getattr(stream, "buffer", None)
    if stream is None or raw is None:
        try:
            raw = io.FileIO(number, "w", closefd=False)
        except OSError:  # Windows without a console has no such number.
            raw = io.FileIO(os.devnull, "w")
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return io.TextIOWrapper(_Stream(raw, number), encoding, SPELLED, line_buffering=True)  # type: ignore[type-var]


def _spelled(problem: UnicodeError) -> tuple[str, int]:
    """What an encoding lacks, in letters that it has."""
    assert isinstance(problem, UnicodeEncodeError)
    letters = problem.object[problem.start : problem.end].translate(PLAIN)
    return letters.encode("ascii", "backslashreplace").decode(), problem.end


def _note(problem: Exception, *, is_output: bool) -> None:
    if is_output and getattr(problem, "errno", None) not in GONE:
        _state["error"] = getattr(problem, "strerror", None) or problem
