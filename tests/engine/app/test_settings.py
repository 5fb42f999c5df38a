"""The settings of a process: read from its environment, and refused in one line."""

import os
import subprocess
import sys

import pytest

from server.app_name import PREFIX
from tests.engine.conftest import ROOT

SHOW = "from app.settings import settings; print(settings.port, settings.reload, settings.data)"


def read(**environment: str) -> subprocess.CompletedProcess[str]:
    """Import the settings in a process of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    command = [sys.executable, "-c", SHOW]
    return subprocess.run(command, cwd=ROOT, env=kept | environment, capture_output=True, encoding="utf-8", timeout=20)


def test_what_is_not_set_has_its_default() -> None:
    assert read().stdout.split() == ["5001", "False", "data"]


def test_the_environment_sets_them_as_the_command_line_does() -> None:
    found = read(**{f"{PREFIX}PORT": "8080", f"{PREFIX}RELOAD": "1", f"{PREFIX}DATA": "elsewhere"})
    assert found.stdout.split() == ["8080", "True", "elsewhere"]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (f"{PREFIX}PORT", "many", f"{PREFIX}PORT is a whole number"),
        (f"{PREFIX}WORKERS", "0", "--workers is at least 1"),
        (f"{PREFIX}EDITOR", "nothing-like-it", "--editor is one of vscode, "),
    ],
)
def test_what_cannot_be_used_ends_the_process_with_a_line_that_says_so(name: str, value: str, words: str) -> None:
    ended = read(**{name: value})
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"server.py: {words}")
