"""Edits of the project by its own commands: all files of one change or none, each whole in its place at once."""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple


class EditError(Exception):
    """The project was left as it was; the message says why and what to do."""


class Kept(NamedTuple):
    """What a feature keeps in the data: the table of its rows, all its tables, the migrations that made them.

    `changes` are statements that take it out of what it shares with others.
    """

    table: str
    tables: Sequence[str]
    migrations: Sequence[str]
    changes: Sequence[str] = ()


# Takes that out of the data while the context lasts; gives a sentence on what was done.
TakeOut = Callable[[Kept], AbstractContextManager[str]]


def put(files: Mapping[Path, str | None]) -> None:
    """Write these files in their order, and take away those that are None.

    Raises EditError, with all as it was, where one cannot be written.
    """
    try:
        _put(files)
    except OSError as error:
        raise EditError(
            f"{error.filename or 'A file'} cannot be written: {error.strerror}. Nothing was changed. Mend that, then "
            "try again."
        ) from error


def take_away(files: Mapping[Path, str | None], kept: Kept, take_out: TakeOut) -> str:
    """Put these files, those that are None last, and take out what was kept in the data; what was done, in words.

    Raises EditError with all as it was.
    """
    with take_out(kept) as words:
        put({path: text for path, text in files.items() if text is not None})
    # After the commit: so there is an edit after it, and no version of the code stays that knows other tables.
    put({path: None for path, text in files.items() if text is None})
    return words


def check_committed(root: Path, rooms: Sequence[str] = ()) -> str:
    """Raises EditError where git knows of edits that are not committed; a word where there is no git to ask.

    In these rooms, which are about to go, files that git was never told of count as well.
    """
    try:
        changed = _status(root, "--untracked-files=no")
        if rooms:
            changed += [path for path in _status(root, "--", *rooms) if path not in changed]
    except (FileNotFoundError, subprocess.CalledProcessError):
        return "There is no git here to go back with."
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise EditError(
            f"There are edits that are not committed ({', '.join(changed[:3])}{more}). Nothing was changed. "
            "Commit them first, with `git add -A` and `git commit`, to tell them from what this command writes."
        )
    return ""


def _put(files: Mapping[Path, str | None]) -> None:
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


def _status(root: Path, *options: str) -> list[str]:
    """The paths that git names."""
    command = ["git", "status", "--porcelain", *options]
    asked = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    return [line[3:] for line in asked.stdout.splitlines()]


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
