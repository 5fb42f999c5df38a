"""Compiled code of files that are being edited goes by their content."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from server.reload.edits import compiled

CLEAN = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def never() -> bool:
    """Nothing else is to be done."""
    return False


@pytest.fixture(autouse=True)
def writing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python may keep compiled code, whatever the shell says."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)


def printed(source: Path) -> str:
    """What a module prints that is imported in a process of its own."""
    command = [sys.executable, "-c", f"import {source.stem}"]
    return subprocess.run(
        command, cwd=source.parent, env=CLEAN, check=True, capture_output=True, encoding="utf-8"
    ).stdout


def save(source: Path, text: str) -> None:
    """Save it with the time that it always has."""
    source.write_text(text, encoding="utf-8")
    os.utime(source, (1_700_000_000, 1_700_000_000))


def test_an_edit_of_the_same_second_and_length_is_not_taken_for_what_was_compiled(tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    save(source, "print(1)\n")
    assert printed(source) == "1\n"
    save(source, "print(2)\n")
    assert printed(source) == "1\n"  # So Python itself does.
    compiled.distrust(source)
    compiled.keep([source], never)
    assert printed(source) == "2\n"
    for number in (3, 4):
        save(source, f"print({number})\n")
        compiled.distrust(source)
        assert printed(source) == f"{number}\n"


def test_what_is_kept_is_used_and_made_once(tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    save(source, "print(1)\n")
    compiled.keep([source], never)
    place = Path(importlib.util.cache_from_source(str(source)))
    made = place.stat().st_mtime_ns
    os.utime(place, ns=(made - 5, made - 5))
    compiled.distrust(source)
    compiled.keep([source], never)
    assert place.stat().st_mtime_ns == made - 5
    save(source, "print(2)\n")
    compiled.keep([source], never)
    assert place.stat().st_mtime_ns != made - 5


def test_what_cannot_be_compiled_is_left_to_its_import(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    broken, warning, whole = (tmp_path / f"{name}.py" for name in ("broken", "warning", "whole"))
    save(broken, "def (\n")
    save(warning, "assert (1, 'always')\n")
    save(whole, "print(5)\n")
    compiled.distrust(broken)
    compiled.keep([broken, tmp_path / "missing.py", warning, whole], never)
    assert [path.name.partition(".")[0] for path in sorted((tmp_path / "__pycache__").iterdir())] == [
        "warning",
        "whole",
    ]
    assert capfd.readouterr() == ("", "")


def test_it_gives_way_and_keeps_nothing_where_python_is_not_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "module.py"
    save(source, "print(1)\n")
    compiled.keep([source], lambda: True)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    compiled.keep([source], never)
    assert not (tmp_path / "__pycache__").exists()
