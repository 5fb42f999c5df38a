"""The process that reads takes only so much of the machine, and is gone when who has started it is."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from app.records.kinds import to_json
from server.process_limits import MEMORY_BYTES, NICENESS, PROCESSOR_SECONDS
from tests.engine.app.imports.reading.kind import KIND
from tests.engine.conftest import PATIENCE, ROOT

LIMITED = "from server.process_limits import limit_this_process; limit_this_process(); "
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of these limits")


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", LIMITED + code], cwd=ROOT, capture_output=True, encoding="utf-8")


@ON_LINUX
def test_memory_and_time_have_limits() -> None:
    code = "import os, resource as r; print(r.getrlimit(r.RLIMIT_AS)[0], r.getrlimit(r.RLIMIT_CPU)[0], os.nice(0))"
    expected = [MEMORY_BYTES, PROCESSOR_SECONDS, min(19, os.nice(0) + NICENESS)]
    assert list(map(int, run(code).stdout.split())) == expected
    assert "MemoryError" in run("bytearray(2**30)").stderr


@ON_LINUX
def test_a_lower_limit_of_the_system_stays() -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_CPU, (100, 100)); limit_this_process(); "
        "print(resource.getrlimit(resource.RLIMIT_CPU))"
    )
    found = subprocess.run(
        [sys.executable, "-c", f"from server.process_limits import limit_this_process; {code}"],
        cwd=ROOT, capture_output=True, encoding="utf-8", check=True,
    )  # fmt: skip
    assert found.stdout == "(100, 100)\n"


@ON_LINUX
def test_it_ends_with_the_process_that_has_started_it(tmp_path: Path) -> None:
    """Even while it waits, and says nothing that could fail."""
    waiting = tmp_path / "pipe"
    os.mkfifo(waiting)
    starter = subprocess.Popen(
        [
            sys.executable, "-c", "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))",
            sys.executable, "-m", "app.imports.reading.process", waiting, "--name", "x", "--kind", to_json(KIND),
        ],
        cwd=ROOT,
    )  # fmt: skip
    with waiting.open("wb"):  # Both ends are open when the reader has begun to read.
        (reader,) = psutil.Process(starter.pid).children()
        starter.kill()
        starter.wait()
        psutil.wait_procs([reader], timeout=PATIENCE)
        assert not reader.is_running()
