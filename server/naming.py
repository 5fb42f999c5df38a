"""Naming: `python server.py rename "My App"` gives the project another name, in every place that has to say it.

With `--without-example` it is then a project of one's own: server/example.py says what goes with that.

`server/name.py` has it three times: for people, for files and cookies, before each environment variable. The other
places are those that cannot read it there. Each is found by the words around the present name, so a name that is a
word of the language does no harm, and renaming once more works as well.
"""

import re
import tomllib
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from server import lock
from server import name as present
from server.changes import EditError, TakeOut, check_committed, put
from server.example import read

LONGEST_NAME = 40
ALLOWED = re.compile(r"\w[\w .,&'!+-]*")
# What may follow the prefix of an environment variable, in code and in prose.
OF_VARIABLE = r'(?=[A-Z…\\{"])'
# What stands before it in prose: directories, and the user of a service.
OF_SLUG = (
    "/srv/",
    "/lib/",
    "/share/",
    "/backup/",
    "/system/",
    "User=",
    "StateDirectory=",
    "sudo -u ",
    "restart ",
    "=true ",
)
BEFORE_SLUG = "|".join(rf"(?<={each})" for each in OF_SLUG)
# What SECURITY.md says of itself until somebody has put a way of their own into it.
OF_OTHERS = "this one leads to those before you"
NOT_YOURS = "SECURITY.md says how to report a security problem, to those before you: put your own way there."
ROOMS = ("app", "server", "templates", "tests", "specimen")
TEXTS = ("AGENTS.md", "CHANGELOG.md", "SECURITY.md")


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
    new = _name(wanted, root)
    example = read(root) if take_out else None
    said = [] if example or not take_out else ["The example is gone already."]
    if new == old and not example:
        return " ".join([f"It is called {new.name} already.", *said, "Nothing was changed."])
    no_git = check_committed(root, example.rooms if example else ())
    files = dict(_renamed(root, example.files if example else {}, old, new))
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
    return "\n".join([*said, no_git or f"Commit it: git add -A && git commit -m 'Called {new.slug}'"])


def _leads_to_others(path: Path) -> bool:
    return path.exists() and OF_OTHERS in path.read_text()


def _name(wanted: str, root: Path) -> Name:
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
    packages = {package["name"] for package in tomllib.loads((root / "uv.lock").read_text())["package"]}
    if slug in packages - {present.SLUG}:
        raise EditError(f"“{slug}” is the name of a package that the app needs. Nothing was changed. Choose another.")
    return Name(name, slug, f"{slug.replace('-', '_').upper()}_")


def _renamed(root: Path, files: Mapping[Path, str | None], old: Name, new: Name) -> Iterator[tuple[Path, str | None]]:
    """These files, and every other that says the name, with the new one; None is one that goes."""
    yield from files.items()
    for path, edit in _places(root).items():
        before = files.get(path, path.read_text())
        if before is not None and (after := edit(before, old, new)) != before:
            yield path, after


def _places(root: Path) -> dict[Path, Callable[[str, Name, Name], str]]:
    """The files that say the name, and how each is edited."""
    pages = [*(root / "docs").glob("*.md"), *(root / "example").glob("*.md")]
    special: dict[Path, Callable[[str, Name, Name], str]] = {
        root / "server/name.py": _constants,
        root / "server.py": _constants,
        root / "templates/layout.py": _constants,
        root / "pyproject.toml": _package,
        root / "uv.lock": lambda text, old, new: lock.renamed(text, old.slug, new.slug),
        **dict.fromkeys((root / "README.md", root / "flake.nix", *pages), _prose),
        root / "static/icon.svg": _icon,
    }
    others = [path for room in ROOMS for path in sorted((root / room).rglob("*.py"))]
    others += [root / text for text in TEXTS if (root / text).exists()]
    return {**dict.fromkeys(others, _variables), **special}


def _variables(text: str, old: Name, new: Name) -> str:
    """Environment variables."""
    return re.sub(rf"\b{old.prefix}{OF_VARIABLE}", new.prefix, text)


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
    text = text.replace(f"\nDescription={old.name}\n", f"\nDescription={new.name}\n")
    text = re.sub(rf"(?:{BEFORE_SLUG}){re.escape(old.slug)}\b", new.slug, text)
    text = text.replace(f"--home /var/lib/{new.slug} {old.slug}\n", f"--home /var/lib/{new.slug} {new.slug}\n")
    return _variables(text, old, new)


def _icon(text: str, old: Name, new: Name) -> str:
    """The first letter, in the icon."""
    return re.sub(r">[^<>]</text>", lambda _: f">{new.name[0].upper()}</text>", text)
