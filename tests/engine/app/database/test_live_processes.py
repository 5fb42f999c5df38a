"""Whether a process of another number lives."""

import os
import subprocess
import sys

import pytest

from app.database.live_processes import lives


def test_one_that_runs_lives_and_one_that_has_ended_does_not() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert lives(process.pid)
        process.communicate()
        assert not lives(process.pid)


def test_ones_own_number_was_another_process_before() -> None:
    assert not lives(os.getpid())


@pytest.mark.skipif(os.name != "posix", reason="elsewhere the first process is not another user's")
def test_another_users_lives_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(process: int, signal: int) -> None:
        raise PermissionError

    assert lives(1)
    monkeypatch.setattr(os, "kill", forbidden)
    assert lives(1)
