"""The commands that the documentation names, typed into the shells that people have: none takes them apart."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.engine.conftest import ROOT

PAGES = (
    "README.md",
    "AGENTS.md",
    "SECURITY.md",
    "docs/commands.md",
    "docs/figures.md",
    "docs/running.md",
    "docs/security.md",
    "server/commands/example/README.md",
)
# What is typed: an indented line, or words between backticks; and the feature that templates and commands name.
TYPED = re.compile(r"^    (\w[^\n`]*)$|`([^`\n]+)`", re.MULTILINE)
SAID = re.compile(r"python3? server\.py new \w+ \w+:[\w: ?]*\w")
PROGRAMS = ("python3", "python", "uv", "nix", "sqlite3", "sudo", "git", "uvicorn", "curl")
# Defines each program as one that prints its words, and then types the line.
SHELLS = {
    "bash": ("bash --norc --noprofile -c", "{0}() {{ printf '%s\\0' {0} \"$@\"; }}"),
    "zsh": ("zsh -f -c", "{0}() {{ printf '%s\\0' {0} \"$@\" }}"),
    "fish": ("fish --no-config -c", "function {0}; printf '%s\\0' {0} $argv; end"),
}


def commands() -> list[str]:
    """Every command of one line, as it stands in the documentation and in the sources."""
    found: set[str] = set()
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8") if (ROOT / page).exists() else ""
        found |= {(line or quoted).strip() for line, quoted in TYPED.findall(text)}
    for room in ("server", "app", "templates"):
        for path in (ROOT / room).rglob("*.py"):
            found |= set(SAID.findall(path.read_text(encoding="utf-8")))
    typed = {line for line in found if line.split(" ")[0] in PROGRAMS and " " in line and "…" not in line}
    # What joins several commands is meant for the shell.
    return sorted(line for line in typed if not re.search(r"&&|\|", line))


@pytest.mark.parametrize("shell", SHELLS)
def test_each_documented_command_reaches_its_program_word_by_word(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        reason = f"no {shell} on this machine: install the system's package"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    lines = commands()
    assert len(lines) > 20
    assert any("cooked:date:optional" in line for line in lines)
    call, function = SHELLS[shell]
    defined = "\n".join(function.format(program) for program in PROGRAMS)
    for line in lines:
        typed = subprocess.run([*call.split(), f"{defined}\n{line}"], cwd=tmp_path, capture_output=True)
        assert typed.stdout.decode().split("\0")[:-1] == shlex.split(line), (line, typed.stderr.decode())
