"""Naming: `python3 server.py rename "My App"` gives the project another name, in every place that has to say it.

With `--without-example` it is then a project of one's own: server/commands/remove_example.py says what goes with that.

`server/app_name.py` has it three times: for people, for files and cookies, before each environment variable. The other
places are those that cannot read it there. They are held by lists, of files, variables and phrases: a word is not ours
because it begins as ours do. A name that a file has in such a place already is refused, so every name can be changed
again, and back.
"""

import re
import tomllib
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

from server import app_name as present
from server.commands import uv_lock
from server.commands.git import check_committed
from server.commands.project_edits import (
    EditError,
    TakeOut,
    put,
    text_of,
)
from server.commands.remove_example import read
from server.settings import Settings

LONGEST_NAME = 40
ALLOWED = re.compile(r"\w[\w .,&'!+-]*")
VARIABLES = "|".join(field.name.upper() for field in fields(Settings))
# Where texts for people say the name, and the name of the package.
PHRASES_OF_NAME = ("\nDescription={}\n",)
PHRASES_OF_SLUG = (
    "`/srv/{}`",
    "--home /var/lib/{0} {0}\n",
    "git clone HERE /srv/{}\n",
    "    cd /srv/{} &&",
    "systemctl restart {}`",
    "/etc/systemd/system/{}.service`",
    "\nUser={}\n",
    "\nWorkingDirectory=/srv/{}\n",
    "\nExecStart=/srv/{}/.venv/bin/python",
    "_DATA=/var/lib/{}\n",
    "\nStateDirectory={}\n",
    "\nReadOnlyPaths=/srv/{}\n",
    "--offline=true {}.service`",
    "sudo -u {} python3",
    "--data /var/lib/{}`",
    "path: /var/lib/{}/app.db\n",
    "path: /mnt/backup/{}\n",
    "~/.local/share/{}\n",
    "~/.local/share/{}`",
    "/var/lib/{}`. Its settings",
    "inputs.{}.nixosModules",
    "  services.{} = {{\n",
)
# What SECURITY.md says of itself until somebody has put a way of their own into it.
OF_OTHERS = "this one leads to those before you"
NOT_YOURS = "SECURITY.md says how to report a security problem, to those before you: put your own way there."
ROOMS = ("app", "server", "templates", "tests")
TEXTS = ("README.md", "AGENTS.md", "CHANGELOG.md", "SECURITY.md", "flake.nix")
TEXTS_IN_ROOMS = ("docs/commands.md", "docs/running.md", "docs/security.md", "server/commands/example/README.md")


class Name(NamedTuple):
    """A name for people, for files and cookies, and before each environment variable."""

    name: str
    slug: str
    prefix: str


def rename(root: Path, wanted: str, take_out: TakeOut | None = None) -> str:
    """Give the project another name, and take the example out where `take_out` takes out its data.

    What was done, in words. Raises EditError with all as it was.
    """
    old = Name(present.NAME, present.SLUG, present.PREFIX)
    new = _name(wanted, root, old)
    example = read(root) if take_out else None
    said = [] if example or not take_out else ["The example is gone already."]
    if new == old and not example:
        return " ".join([f"It is called {new.name} already.", *said, "Nothing was changed."])
    files = dict(_renamed(root, example.files if example else {}, old, new))
    no_git = check_committed(root, files)
    if example and take_out:
        said = [example.remove(files, take_out)]
    else:
        put(files)
    if new != old:
        said += [
            f"It is called {new.name} now: {len(files)} files were edited.",
            f"Its package is {new.slug}, its environment variables begin with {new.prefix}. Who is signed in has to "
            "sign in again.",
        ]
        said += [NOT_YOURS] if _leads_to_others(root / "SECURITY.md") else []
        others = [str(path.relative_to(root)) for path in _of_yours(root, old)]
        said += [f"Left as they are, though they say {old.prefix}…: {', '.join(others)}."] if others else []
    return "\n".join([*said, no_git or f"Commit it: git add -A && git commit -m 'Called {new.slug}'"])


def _leads_to_others(path: Path) -> bool:
    return path.exists() and OF_OTHERS in text_of(path)


def _name(wanted: str, root: Path, old: Name) -> Name:
    name = " ".join(unicodedata.normalize("NFC", wanted).split())
    if not ALLOWED.fullmatch(name) or len(name) > LONGEST_NAME:
        raise EditError(
            f"“{wanted}” cannot be the name. Write letters, digits, spaces and . , & ' ! + - _ , beginning with a "
            f"letter, at most {LONGEST_NAME} characters. Nothing was changed."
        )
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = "-".join(re.findall(r"[a-z0-9]+", letters))
    if not slug or not slug[0].isalpha():
        raise EditError(
            f"“{wanted}” cannot be the name: package and environment variables are named after it, and for that it has "
            "to begin with one of the letters a to z. Nothing was changed."
        )
    packages = {package["name"] for package in tomllib.loads(text_of(root / "uv.lock"))["package"]}
    if slug in packages - {old.slug}:
        raise EditError(f"“{slug}” is the name of a package that the app needs. Nothing was changed. Choose another.")
    return Name(name, slug, f"{slug.replace('-', '_').upper()}_")


def _renamed(root: Path, files: Mapping[Path, str | None], old: Name, new: Name) -> Iterator[tuple[Path, str | None]]:
    """These files, and every other that says the name, with the new one; None is one that goes."""
    yield from files.items()
    for path, edit in _places(root).items():
        before = files[path] if path in files else text_of(path)
        if before is None or (after := edit(before, old, new)) == before:
            continue
        if edit(after, new, old) != before:
            raise EditError(
                f"{path.relative_to(root)} says “{_first_taken(before, new)}” already, where the name of the app "
                "stands: the next rename could not tell them apart. Nothing was changed. Choose another name."
            )
        yield path, after


def _first_taken(text: str, name: Name) -> str:
    """What in a text is taken for this name."""
    found = re.search(rf"{_variables(name).pattern}\w*", text)
    return found[0] if found else name.slug


def _places(root: Path) -> dict[Path, Callable[[str, Name, Name], str]]:
    """The files that say the name, as far as they are there, and how each is edited."""
    places: dict[Path, Callable[[str, Name, Name], str]] = {
        root / "server/app_name.py": _constants,
        root / "server.py": _constants,
        root / "templates/layout.py": _constants,
        root / "pyproject.toml": _package,
        root / "uv.lock": lambda text, old, new: uv_lock.renamed(text, old.slug, new.slug),
        **{root / text: _prose for text in (*TEXTS, *TEXTS_IN_ROOMS)},
        root / "static/icon.svg": _icon,
    }
    return {path: edit for path, edit in places.items() if path.exists()}


def _constants(text: str, old: Name, new: Name) -> str:
    """The constants NAME, SLUG and PREFIX, where a file has them."""
    for constant, before, after in zip(("NAME", "SLUG", "PREFIX"), old, new, strict=True):
        text = text.replace(f'\n{constant} = "{before}"\n', f'\n{constant} = "{after}"\n')
    return text


def _package(text: str, old: Name, new: Name) -> str:
    return text.replace(f'[project]\nname = "{old.slug}"\n', f'[project]\nname = "{new.slug}"\n')


def _prose(text: str, old: Name, new: Name) -> str:
    """A text for people: its headline, the service that it describes, directories, variables."""
    text = re.sub(rf"\A# {re.escape(old.name)}\n", lambda _: f"# {new.name}\n", text)
    for phrase in PHRASES_OF_NAME:
        text = text.replace(phrase.format(old.name), phrase.format(new.name))
    for phrase in PHRASES_OF_SLUG:
        text = text.replace(phrase.format(old.slug), phrase.format(new.slug))
    return _variables(old).sub(new.prefix, text)


def _variables(name: Name) -> re.Pattern[str]:
    """The beginning of each environment variable of an app of that name."""
    return re.compile(rf"\b{name.prefix}(?=(?:{VARIABLES})\b|…)")


def _icon(text: str, old: Name, new: Name) -> str:
    """The first letter, in the icon, unless there is something else."""
    return text.replace(f">{_letter(old)}</text>", f">{_letter(new)}</text>")


def _letter(name: Name) -> str:
    return name.name[0].upper()


def _of_yours(root: Path, old: Name) -> Iterator[Path]:
    """The files of code that speak of the old variables, which may as well be those of another program."""
    for room in ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            if path != root / "server/app_name.py" and _variables(old).search(text_of(path)):
                yield path
