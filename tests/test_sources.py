"""What holds of all sources: they are clean, rooms import one way, and a test file stands beside each source file."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

# Which room may import from which. What is no room (the standard library, packages) is free to all.
MAY_IMPORT = {
    "server": {"server"},
    "app": {"app", "server", "templates"},
    "templates": {"templates"},
}
ROOMS = {*MAY_IMPORT, "tests"}


@pytest.mark.parametrize(
    "command",
    [("mypy",), ("ruff", "check", "."), ("ruff", "format", "--check", ".")],
    ids=" ".join,
)
def test_the_sources_are_clean(command: tuple[str, ...]) -> None:
    checked = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, encoding="utf-8")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_rooms_import_one_way() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for room, allowed in MAY_IMPORT.items()
        for path in sources(room)
        for line, module in imports(path)
        if room_of(module) in ROOMS - allowed
    ]
    assert not wrong, listed(wrong)


def test_every_source_file_has_its_test_file() -> None:
    missing = [
        f"{path.relative_to(ROOT)} has no {test} in tests or tests/engine"
        for path in [ROOT / "server.py", *(path for room in MAY_IMPORT for path in sources(room))]
        if path.name != "__init__.py"
        and (test := path.relative_to(ROOT).with_name(f"test_{path.name}"))
        and not any((ROOT / room / test).exists() for room in ("tests", "tests/engine"))
    ]
    assert not missing, listed(missing)


def sources(room: str) -> list[Path]:
    """The modules of a room. What `new` writes anew lies among the commands and is no module of theirs."""
    specimen = ROOT / "server/commands/specimen"
    return [
        path
        for path in sorted((ROOT / room).rglob("*.py"))
        if room == "server/commands/specimen" or specimen not in path.parents
    ]


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Every import of a file, those inside functions as well, with its line; relative ones stay in their room."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module


def room_of(module: str) -> str:
    return module.partition(".")[0]


def listed(lines: list[str]) -> str:
    return "\n".join(["", *lines])
