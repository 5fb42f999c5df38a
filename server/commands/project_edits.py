"""Edits of the project by its own commands: all files of one change or none, each whole in its place at once."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

# What a checkout has, and a copy of it that only runs does not need.
WHOLE = ("tests", "pyproject.toml", "uv.lock")


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


def check_whole(root: Path) -> None:
    """Raises EditError for a copy of the project to run only, such as that in the Nix store."""
    missing = [name for name in WHOLE if not (root / name).exists()]
    if missing or not os.access(root, os.W_OK):
        why = f"without {missing[0]}" if missing else "which you cannot write"
        raise EditError(
            f"This command edits the project, and {root} is a copy of it {why}. Nothing was changed. Run it in your "
            "own checkout: python3 server.py … (with Nix first `nix develop`)."
        )


def text_of(path: Path) -> str:
    """The text of a file of the project. Raises EditError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise EditError(f"{path} cannot be read: {error.strerror}. Nothing was changed. Put it back.") from error
    except UnicodeDecodeError as error:
        raise EditError(
            f"{path} is not UTF-8 ({error.reason} at byte {error.start}). Nothing was changed. Save it as UTF-8."
        ) from error


def put(files: Mapping[Path, str | None]) -> None:
    """Write these files in their order, and take away those that are None.

    Raises EditError, with all as it was, where one cannot be written.
    """
    _put({path: None if text is None else text.encode() for path, text in files.items()})


def take_away(files: Mapping[Path, str | None], kept: Kept, take_out: TakeOut) -> str:
    """Put these files, those that are None last, and take out what was kept in the data; what was done, in words.

    Raises EditError with all as it was; but where only files that go are left, it says which.
    """
    staying = {path: text for path, text in files.items() if text is not None}
    before = {path: _content(path) for path in staying}
    are_put = False
    try:
        with take_out(kept) as words:
            put(staying)
            are_put = True
    except BaseException:
        # The data could not be committed after all.
        if are_put:
            _put(before)
        raise
    # After the commit: so there is an edit after it, and no version of the code stays that knows other tables.
    going: dict[Path, bytes | None] = {path: None for path, text in files.items() if text is None}
    try:
        _put_all(going)
    except OSError as error:
        raise EditError(
            f"{words} Nothing needs the files any more that it was made of, but they are still there, as "
            f"{error.filename} cannot be deleted: {error.strerror}. Mend that, then delete them: "
            f"{', '.join(map(str, going))}."
        ) from error
    return words


def _content(path: Path) -> bytes | None:
    """What is in a file; None where there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _put(files: Mapping[Path, bytes | None]) -> None:
    try:
        _put_all(files)
    except OSError as error:
        raise EditError(
            f"{error.filename or 'A file'} cannot be written: {error.strerror}. Nothing was changed. Mend that, then "
            "try again."
        ) from error


def _put_all(files: Mapping[Path, bytes | None]) -> None:
    before = {path: _content(path) for path in files}
    waiting: dict[Path, Path] = {}
    done: list[Path] = []
    try:
        for path, content in files.items():
            if content is not None:
                waiting[path] = _beside(path, content)
        for path in files:
            if path in waiting:
                waiting[path].replace(path)
            else:
                path.unlink(missing_ok=True)
            done.append(path)
    except BaseException:
        _put_back({path: before[path] for path in reversed(done)})
        raise
    finally:
        for path in waiting.values():
            path.unlink(missing_ok=True)


def _beside(path: Path, content: bytes) -> Path:
    """A new file beside `path`, of a name that the reload does not look at."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(content)
    if path.exists():
        shutil.copymode(path, beside)
        _make_younger(beside, path)
    return beside


def _make_younger(new: Path, old: Path) -> None:
    """Have a file be of a later second than another.

    Python takes a module for the one that it has compiled where both have one size and are of the same second.
    """
    before, after = int(old.stat().st_mtime), new.stat().st_mtime
    if int(after) == before:
        os.utime(new, (after, before + 1))


def _put_back(files: Mapping[Path, bytes | None]) -> None:
    """Have files be as they were. Raises EditError, with all the others put back, for those that cannot be."""
    left: list[str] = []
    for path, content in files.items():
        try:
            if content is None:
                path.unlink(missing_ok=True)
            else:
                os.replace(_beside(path, content), path)
        except OSError as error:
            left.append(f"{path} ({error.strerror})")
    if left:
        raise EditError(
            f"The edit failed half way, and these files could not be put back: {', '.join(left)}. Mend that, then go "
            "back to what was committed with `git checkout -- FILE`."
        )
