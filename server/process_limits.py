"""Limits of a process that works for the server (it reads a file, or draws texts): memory, processor time, priority."""

import contextlib
import os
import signal
import sys

try:
    import resource
except ImportError:  # Windows has none.
    resource = None  # type: ignore[assignment]

# Ten times what the largest files take; the rest is what Python reserves and does not use.
MEMORY_BYTES = 512 * 1024**2
# As much as a form takes, in which a row is edited, for each of its texts (server/guard/request_bodies.py).
LONGEST_TEXT = 1024**2
# Four gigabytes of text take a third of it. One that makes no progress is ended far sooner
# (app/imports/reader_process.py).
PROCESSOR_SECONDS = 3600
# Whoever waits for a page comes first.
NICENESS = 10
PR_SET_PDEATHSIG = 1


def limit_this_process() -> None:
    """Take no more than that, and end with the process that has started this one."""
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    if resource is not None:
        _limit(resource.RLIMIT_AS, MEMORY_BYTES)
        _limit(resource.RLIMIT_CPU, PROCESSOR_SECONDS)
        _limit(resource.RLIMIT_CORE, 0)
    if sys.platform == "linux":
        import ctypes

        # Elsewhere it notices at its next message that nobody listens.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _limit(what: int, most: int) -> None:
    """Set a limit as far as the system takes it: macOS has no limit of memory."""
    with contextlib.suppress(ValueError, OSError):
        _, hard = resource.getrlimit(what)
        resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
