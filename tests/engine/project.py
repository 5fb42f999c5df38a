"""A copy of the project under git, for the commands that edit it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.engine.subject import ROOT

LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "data", "__pycache__", "*.pyc", ".*_cache", ".hypothesis", "result")
NO_UV = "no uv on this machine: `python3 server.py test` brings one where it makes .venv"


def tool(name: str, reason: str) -> str:
    """Where a program is; without it these tests are skipped, but not on the machine of the tests."""
    beside = Path(sys.executable).parent
    found = shutil.which(name, path=os.pathsep.join([str(beside), os.environ["PATH"]]))
    if not found:
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return found


class Project:
    """A clone of the project as it is now, with nothing to commit."""

    def __init__(self, root: Path) -> None:
        if shutil.which("git") is None:
            pytest.skip("no git on this machine: install it to run the tests of the commands that edit the project")
        self.root = root
        shutil.copytree(ROOT, root, ignore=LEFT_OUT)
        self.git("init", "-q")
        self.commit()

    def git(self, *command: str) -> str:
        """What git says."""
        identity = ["-c", "user.name=A person", "-c", "user.email=person@example.org", "-c", "gc.auto=0"]
        return subprocess.run(
            ["git", *identity, *command], cwd=self.root, check=True, capture_output=True, encoding="utf-8"
        ).stdout

    def commit(self) -> None:
        """Have nothing to commit."""
        self.git("add", "-A")
        self.git("commit", "-qm", "As it is", "--allow-empty")

    def status(self) -> str:
        """What is not committed."""
        return self.git("status", "--porcelain")

    def begin_anew(self) -> None:
        """Make it what was committed last."""
        self.git("reset", "-q", "--hard")
        self.git("clean", "-qfd")

    def test(self, *arguments: str) -> None:
        """Run its tests, which have to pass."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        ran = self.run("test", *arguments, env=environment)
        assert ran.returncode == 0, ran.stdout + ran.stderr

    def run(self, *arguments: Any, **options: Any) -> subprocess.CompletedProcess[str]:
        """`python3 server.py …` there, to its end."""
        return subprocess.run(
            [sys.executable, "server.py", *map(str, arguments)],
            cwd=self.root,
            capture_output=True,
            encoding="utf-8",
            timeout=1800,
            **options,
        )
