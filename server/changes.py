"""Edits of the project by its own commands: all files of one change or none, each whole in its place at once."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path


class EditError(Exception):
    """The project was left as it was; the message says why and what to do."""


def put(files: Mapping[Path, str | None]) -> None:
    """Write these files in their order, and take away those that are None.

    Where one cannot be written all is as before, and OSError is raised.
    """
    before = {path: path.read_bytes() if path.exists() else None for path in files}
    waiting: dict[Path, Path] = {}
    done: list[Path] = []
    try:
        for path, text in files.items():
            if text is not None:
                waiting[path] = _beside(path, text.encode())
        for path in files:
            if path in waiting:
                waiting[path].replace(path)
            else:
                path.unlink()
            done.append(path)
    except BaseException:
        for path in reversed(done):
            _put_back(path, before[path])
        raise
    finally:
        for path in waiting.values():
            path.unlink(missing_ok=True)


def check_committed(root: Path) -> str:
    """Raises EditError where git knows of edits that are not committed; a word where there is no git to ask."""
    command = ["git", "status", "--porcelain", "--untracked-files=no"]
    try:
        asked = subprocess.run(command, cwd=root, capture_output=True, text=True)
    except FileNotFoundError:
        return "There is no git here to go back with."
    if asked.returncode:
        return "There is no git here to go back with."
    changed = [line[3:] for line in asked.stdout.splitlines()]
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise EditError(
            f"There are edits that are not committed ({', '.join(changed[:3])}{more}). Nothing was changed. "
            "Commit them first, with `git commit -a`, so that they can be told from what this command writes."
        )
    return ""


def _beside(path: Path, content: bytes) -> Path:
    """A new file beside `path`, of a name that the reload does not look at."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(content)
    if path.exists():
        shutil.copymode(path, beside)
    return beside


def _put_back(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink(missing_ok=True)
    else:
        os.replace(_beside(path, content), path)
