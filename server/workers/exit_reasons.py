"""How a worker has ended, in words: by itself, by a signal, or as its loop stood still."""

import signal
import sys

from server.workers.stalled_loop import IS_TIMED, WORDS, trace_of

# What Python writes before the stack where C code has failed.
FATAL = "Fatal Python error: "
# Linux ends so what needs more memory than there is.
NO_MEMORY = ", as the system does where memory is used up" if sys.platform == "linux" else ""


def words(exit_code: int | None) -> str:
    """What an exit code says, as Python's subprocess has it: negative for a signal."""
    if exit_code is None:
        return "it left the server without ending, as os.exec… does, and was ended"
    if exit_code >= 0:
        return f"exit code {exit_code}"
    if IS_TIMED and exit_code == -signal.SIGPROF:
        return "its event loop stood still"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    return name + (NO_MEMORY if name == "SIGKILL" else "")


def trace(stack: str, exit_code: int | None, has_served: bool, limit: float) -> str:
    """A traceback with a message, of the `stack` that the process left, if any; `limit` is that of a start, seconds."""
    told = trace_of(stack)
    if FATAL in stack:
        fault = stack.partition(FATAL)[2].partition("\n")[0]
        return f"{told}{fault}: the process ended ({words(exit_code)})."
    if stack and has_served:
        return f"{told}{WORDS}."
    if stack:
        return f"{told}It has not started within {limit:.0f} s, and was ended."
    if has_served:
        return f"The process ended ({words(exit_code)})."
    return f"The process ended while the app was imported or started ({words(exit_code)})."
