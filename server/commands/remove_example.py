"""The example: a feature to look at, which `python3 server.py rename "My App" --without-example` takes out again.

`server/commands/example/example.toml` says what belongs to it; beside that lie the texts that take the place of its
own. The directory goes with the example, so where it is missing there is none.
"""

import re
import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from server.commands import uv_lock
from server.commands.features import (
    MIGRATIONS,
    that_need,
    without,
    without_migration,
)
from server.commands.project_edits import (
    EditError,
    Kept,
    TakeOut,
    take_away,
    text_of,
)

ROOM = "server/commands/example"
DECLARATION = Path(ROOM, "example.toml")


class Example(NamedTuple):
    """What belongs to the example: rooms that go whole, what it keeps in the data, and every file as it is without it.

    A file that is None goes.
    """

    root: Path
    rooms: tuple[str, ...]
    kept: Kept
    files: Mapping[Path, str | None]

    def remove(self, files: Mapping[Path, str | None], take_out: TakeOut) -> str:
        """Put these files, which are its own, perhaps edited further, and take out its data; what was done, in words.

        Raises EditError with all as it was.
        """
        words = take_away(files, self.kept, take_out)
        for room in self.rooms:
            _clear(self.root / room)
        return f"The example is out of the code. {words}"


def read(root: Path) -> Example | None:
    """What belongs to the example of the project; None where it is gone. Raises EditError."""
    if not (root / DECLARATION).exists():
        return None
    declared = tomllib.loads(text_of(root / DECLARATION))
    rooms = (ROOM, *declared["rooms"])
    going = [root / name for name in declared["files"] if (root / name).exists()]
    going += [path for room in rooms for path in _files(root / room)]
    # What says what there is to do goes last.
    going.sort(key=lambda path: path == root / DECLARATION)
    try:
        left = _left(root, declared)
    except EditError as error:
        raise EditError(
            f"{error} Where this command was stopped half way, `git reset --hard` goes back to before it."
        ) from None
    others = ", ".join(that_need(root, declared["feature"], left, going))
    if others:
        raise EditError(f"Other code needs {declared['feature']}: {others}. Nothing was changed. Take that out first.")
    return Example(root, rooms, Kept(**declared["data"]), {**left, **dict.fromkeys(going)})


def _left(root: Path, declared: Mapping[str, Any]) -> dict[Path, str]:
    """The files that stay, without the example."""
    feature, migrations = declared["feature"], declared["data"]["migrations"]
    left = without(root, feature)
    for name in migrations:
        if name != f"create_{feature}":
            left[root / MIGRATIONS] = without_migration(left[root / MIGRATIONS], name)
    for name, text in declared["instead"].items():
        sections = [_section(text_of(root / name), heading) for heading in text["sections"]]
        left[root / name] = "\n".join([text_of(root / text["text"]), *sections])
    for group in declared["groups"]:
        left.update(_without_group(root, group))
    for edit in declared["edits"]:
        path = root / edit["file"]
        left[path] = _edited(left.get(path) or text_of(path), edit)
    return left


def _section(text: str, heading: str) -> str:
    """A section of a text in Markdown, with its heading."""
    found = re.search(rf"^## {re.escape(heading)}\n.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if not found:
        raise _not_found("README.md", f"## {heading}")
    return found[0].rstrip("\n") + "\n"


def _without_group(root: Path, group: str) -> dict[Path, str]:
    """What names the packages of the project, without a group of them."""
    project = text_of(root / "pyproject.toml")
    name = tomllib.loads(project)["project"]["name"]
    return {
        root / "pyproject.toml": re.sub(rf"^{group} = \[\n.*?^\]\n", "", project, flags=re.MULTILINE | re.DOTALL),
        root / "uv.lock": uv_lock.without_group(text_of(root / "uv.lock"), name, group),
    }


def _edited(text: str, edit: Mapping[str, str]) -> str:
    """A text with other words, or without its end."""
    old = edit.get("old") or edit["from"]
    if text.count(old) != 1:
        raise _not_found(edit["file"], old)
    return text.replace(old, edit["new"]) if "old" in edit else text[: text.index(old)].rstrip("\n") + "\n"


def _not_found(file: str, words: str) -> EditError:
    return EditError(
        f"{file} does not have “{words.strip()}” once. Nothing was changed. Put it back, or edit {DECLARATION}, which "
        "says what of the example stands there."
    )


def _files(directory: Path) -> list[Path]:
    """Every file in a directory, but what Python has compiled."""
    return [path for path in sorted(directory.rglob("*")) if path.is_file() and path.parent.name != "__pycache__"]


def _clear(directory: Path) -> None:
    """Take away a directory in which no file is left."""
    if directory.exists() and not _files(directory):
        shutil.rmtree(directory)
