"""Runs commands of the project in processes that have its modules: `python -m tests.engine.faults.forking MODULE…`.

A line of JSON on standard input is a job (arguments, the time it may take); its answer is a line too. Each runs in a
fork, so what a command does to its process (its memory, its end) stays its own, and a start costs milliseconds, not
half a second.
"""

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any, NamedTuple


class Ended(NamedTuple):
    """How a command ended: exit code (negative for a signal), what it said, processor time in seconds, memory in MB."""

    code: int
    said: str
    seconds: float
    megabytes: float


class Forking:
    """A process of the project in `cwd` that runs functions called `main` of the modules that are named."""

    def __init__(self, *modules: str, cwd: Path, environment: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.engine.faults.forking", *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            cwd=cwd,
            env={**os.environ, **(environment or {})},
        )

    def run(self, module: str, *arguments: str, patience: float = 10) -> Ended:
        """Run the `main` of a module as a command with these arguments; one that is not done in time is killed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps([module, arguments, patience]), file=self.process.stdin, flush=True)
        return Ended(*json.loads(self.process.stdout.readline()))

    def __enter__(self) -> "Forking":
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()


def main() -> None:
    """Do one job after another."""
    for name in sys.argv[1:]:
        importlib.import_module(name)
    for line in sys.stdin:
        module, arguments, patience = json.loads(line)
        with tempfile.TemporaryFile() as said:
            child = os.fork()
            if child == 0:
                _be(module, arguments, said)
            status, usage = _wait(child, patience)
            said.seek(0)
            text = said.read().decode(errors="replace")
        code = os.waitstatus_to_exitcode(status)
        print(json.dumps([code, text, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024]), flush=True)


def _be(module: str, arguments: list[str], said: Any) -> None:
    """Be the command, and end as it ends."""
    code: Any = 1
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
        sys.argv = [
            module,
            *(each.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape") for each in arguments),
        ]
        code = importlib.import_module(module).main()
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _wait(child: int, patience: float) -> tuple[int, Any]:
    """Its end, by force where it takes too long."""
    end = time.monotonic() + patience
    while True:
        found, status, usage = os.wait4(child, os.WNOHANG)
        if found:
            return status, usage
        if time.monotonic() > end:
            os.killpg(child, signal.SIGKILL)
            return os.wait4(child, 0)[1:]
        time.sleep(0.001)


if __name__ == "__main__":
    main()
