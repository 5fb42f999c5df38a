"""Features: `python3 server.py new` writes one in the manner of the specimen, `drop` takes one out again.

A feature is a module, its templates, a test for each, a migration at the end of app/migrations.py, and a line each in
the lists of app/main.py and templates/layout.py. How it was made stands at the head of its module, so `drop` knows what
was written, and sees what was edited since.
"""

import ast
import builtins
import keyword
import re
import sqlite3
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import inflection

from server.commands import specimen_text
from server.commands.git import check_committed
from server.commands.project_edits import (
    EditError,
    Kept,
    TakeOut,
    put,
    take_away,
    text_of,
)
from server.commands.specimen_text import (
    TYPES,
    Feature,
    Field,
    capitalized,
    in_words,
)

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
LONGEST_NAME = 20
RESERVED = {
    "id",
    "created_at",
    "updated_at",
    "deleted_at",
    "rowid",
    "oid",
    "rank",
    "sort_key",
    "count",
    "index",
    "museum_piece",
    "museum_pieces",
}
MAIN, LAYOUT, MIGRATIONS = Path("app/main.py"), Path("templates/layout.py"), Path("app/migrations.py")
COMMAND = "python3 server.py new "
OF_FLAKE = "Nix sees new files only once git knows them: git add -A"
_MADE_WITH = re.compile(rf'^Made with: {COMMAND}(.*?)\n?"""', re.MULTILINE | re.DOTALL)
# The lists that a feature stands in: file, the line that opens the list, the line that closes it.
IMPORTS = (MAIN, "from app import (", ")")
FEATURES = (MAIN, "FEATURES: list[ModuleType] = [", "]")
NAVIGATION = (LAYOUT, "FEATURES: dict[str, str] = {", "}")


def new(root: Path, name: str, fields: Iterable[str], plural: str = "") -> str:
    """Write a feature; what was done, in words. Raises EditError with the project as it was."""
    feature = _feature(name, list(fields), plural)
    _check_names(root, feature)
    made = specimen_text.files(root, feature)
    # In this order every moment of it is a whole app: what is new is named last.
    files = {**made, **_changed(root, feature)}
    no_git = check_committed(root, files)
    put(files)
    paths = "\n".join(f"  {path.relative_to(root)}" for path in made)
    return "\n".join(
        [
            f"{_title(feature.plural)} are at /{feature.plural}. These files are new:",
            paths,
            "  and a few lines in app/migrations.py, app/main.py and templates/layout.py.",
            f"Its tests: python3 server.py test tests/app/test_{feature.plural}.py",
            f"To take it out again: python3 server.py drop {feature.singular}",
            *([no_git] if no_git else [OF_FLAKE] if (root / "flake.nix").exists() else []),
        ]
    )


def path_of(name: str, fields: Iterable[str], plural: str = "") -> str:
    """Where a feature is served."""
    return f"/{_feature(name, list(fields), plural).plural}"


def drop(root: Path, name: str, take_out: TakeOut, force: bool = False) -> str:
    """Take a feature and its data out; what was done, in words. Raises EditError with all as it was."""
    feature = _made_here(root, name)
    made = specimen_text.files(root, feature)
    if not force:
        _check_unedited(root, feature, made)
    going = dict.fromkeys(path for path in made if path.exists())
    words = take_away({**without(root, feature.plural), **going}, _kept(feature), take_out)
    return f"{_title(feature.plural)} are out of the code. {words}"


def without(root: Path, plural: str) -> dict[Path, str]:
    """The files that name features, without this one; the migration first, so that no new process makes it again."""
    main = _without_line(text_of(root / MAIN), IMPORTS, f"    {plural},")
    return {
        root / MIGRATIONS: without_migration(text_of(root / MIGRATIONS), f"create_{plural}"),
        root / LAYOUT: _without_line(text_of(root / LAYOUT), NAVIGATION, _entry(plural)),
        root / MAIN: _without_line(main, FEATURES, f"    {plural},"),
    }


def without_migration(text: str, name: str) -> str:
    """The migrations without one, whatever was edited in it."""
    found = re.search(rf"\n\n\n@migrations\(\)\ndef {name}\(.*?(?=\n\n\n@migrations|\Z)", text, re.DOTALL)
    if not found:
        raise EditError(f"{MIGRATIONS} has no function {name}. Nothing was changed. Put it back.")
    return text[: found.start()] + (text[found.end() :] or "\n")


def _feature(name: str, given: list[str], plural: str) -> Feature:
    _check_name(name, "feature", "recipe, or shopping_item")
    fields = [_field(each) for each in given]
    names = [field.name for field in fields]
    twice = next((each for each in names if names.count(each) > 1), "")
    if twice:
        raise EditError(f"The field “{twice}” is there twice. Nothing was changed. Name each field once.")
    title = next((field for field in fields if (field.type, field.optional) == ("str", False)), None)
    if title is None:
        raise EditError(
            "A feature needs a field of type str that is not optional, which names a row in the list. Nothing was "
            f"changed. Add one, such as title:str: {COMMAND}{name} title:str {' '.join(given)}".rstrip()
        )
    said = f"{name} {' '.join(given)}{f' --plural {plural}' if plural else ''}"
    command = textwrap.fill(
        COMMAND + said, 100, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )
    return Feature(
        name,
        plural or _plural(name),
        title.name,
        tuple(field for field in fields if field is not title),
        command,
    )


def _field(text: str) -> Field:
    name, colon, type = text.partition(":")
    # No shell takes “:optional” apart; the question mark is a wildcard in zsh and fish.
    kind = type.removesuffix("?").removesuffix(":optional")
    if not colon or kind not in TYPES:
        raise EditError(
            f"“{text}” is no field. Nothing was changed. Write NAME:TYPE with one of the types {', '.join(TYPES)}; "
            "“:optional” after it (date:optional) says that it may be left empty."
        )
    _check_name(name, "field", "title")
    if name in RESERVED:
        raise EditError(f"“{name}” cannot be the name of a field: every feature has or needs it. Choose another.")
    return Field(name, kind, kind != type)


def _check_name(name: str, what: str, example: str) -> None:
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise EditError(
            f"“{name}” cannot be the name of a {what}. Nothing was changed. Write small letters and digits, words "
            f"joined by “_”, at most {LONGEST_NAME}: {example}."
        )
    if keyword.iskeyword(name) or hasattr(builtins, name):
        raise EditError(f"“{name}” means something in Python already, so no {what} can have it. Choose another name.")
    with closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.execute(f"CREATE TABLE {name} ({name} TEXT CHECK (trim({name}) <> ''))")
            connection.execute(f"SELECT {name} FROM {name} WHERE {name} IS NULL ORDER BY {name} COLLATE NOCASE")
            connection.execute(f"CREATE VIRTUAL TABLE searched USING fts5({name})")
        except sqlite3.Error:
            raise EditError(
                f"“{name}” means something in SQL already, so no {what} can have it. Choose another name."
            ) from None


def _plural(name: str) -> str:
    """What many are called in English."""
    plural = str(inflection.pluralize(name))
    if plural == name:
        one = inflection.singularize(name)
        instead = f"name one of them ({one}), or " if one != name else ""
        raise EditError(
            f"“{name}” looks like many already. Nothing was changed. To go on, {instead}say what many are called with "
            f"--plural, such as --plural {name}_list."
        )
    return plural


def _check_names(root: Path, feature: Feature) -> None:
    """Raises EditError for a name that is taken in the app."""
    one, many = feature.singular, feature.plural
    _check_name(many, "feature", "recipes")
    if one == many:
        raise EditError("One and many are called alike; name them differently, with --plural. Nothing was changed.")
    if any(path.exists() for room in ("app", "templates", "tests/app") for path in _places(root / room, one, many)):
        raise EditError(
            f"There is something called “{many}” or “{one}” in the app already. Nothing was changed. Choose another "
            "name."
        )
    taken = {
        "a word of Python": set(keyword.kwlist),
        "a table or a part of one": _tables(root),
        "an address of the app": _addresses(root),
        "an element of its pages": _found(root, "templates/**/*.py", r'\bid="(\w+)"'),
        "used by the code of every feature": specimen_text.used_names(root),
        f"a name of {MAIN}": set(_names_of(ast.parse(text_of(root / MAIN)))),
        "a module of Python": set(sys.stdlib_module_names) & {many},
    }
    for what, names in taken.items():
        clash = next((each for each in (many, one, feature.class_name, f"deleted_{many}") if each in names), "")
        if clash:
            raise EditError(f"“{clash}” is {what} already. Nothing was changed. Choose another name, or --plural.")


def _places(room: Path, one: str, many: str) -> list[Path]:
    return [room / name for each in (one, many) for name in (each, f"{each}.py", f"test_{each}.py")]


def _tables(root: Path) -> set[str]:
    made = _found(root, "app/migrations.py", r"(?:CREATE TABLE|CREATE TRIGGER|RENAME TO) (\w+)")
    indexes = _found(root, "app/migrations.py", r"CREATE INDEX (\w+)")
    searches = {
        f"{each}_fts{ending}" for each in made for ending in ("", "_data", "_idx", "_content", "_docsize", "_config")
    }
    return made | indexes | searches | {f"{each}_sort" for each in made}


def _addresses(root: Path) -> set[str]:
    """The first words of the addresses that the app and the engine speak of."""
    patterns = ("app/**/*.py", "server/*.py", "server/*/*.py")  # What lies deeper is written anew with another name.
    return set().union(*(_found(root, pattern, r'"/(\w+)') for pattern in patterns))


def _names_of(node: ast.AST) -> Iterator[str]:
    """The names that a module gives to something, but for those within its functions and classes."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield child.name
        elif isinstance(child, ast.alias):
            yield (child.asname or child.name).partition(".")[0]
        elif isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            yield child.id
        else:
            yield from _names_of(child)


def _found(root: Path, paths: str, pattern: str) -> set[str]:
    return {found for path in root.glob(paths) for found in re.findall(pattern, text_of(path))}


def _changed(root: Path, feature: Feature) -> dict[Path, str]:
    """The files that name features, with this one."""
    main = with_line(text_of(root / MAIN), IMPORTS, f"    {feature.plural},", in_order=True)
    return {
        root / MIGRATIONS: text_of(root / MIGRATIONS) + specimen_text.migration(root, feature),
        root / MAIN: with_line(main, FEATURES, f"    {feature.plural},"),
        root / LAYOUT: with_line(text_of(root / LAYOUT), NAVIGATION, _entry(feature.plural)),
    }


def _entry(plural: str) -> str:
    return f'    "/{plural}": "{_title(plural)}",'


def _title(plural: str) -> str:
    return capitalized(in_words(plural))


def _kept(feature: Feature) -> Kept:
    many = feature.plural
    return Kept(many, (f"{many}_fts", f"{many}_sort", many, f"deleted_{many}"), (f"create_{many}",))


def with_line(text: str, place: tuple[Path, str, str], line: str, *, in_order: bool = False) -> str:
    """The text with one more line in a list: in the order of letters, or as the last."""
    before, items, after = list_in(text, place)
    items = sorted([*items, line]) if in_order else [*items, line]
    return "\n".join([*before, *items, *after])


def _without_line(text: str, place: tuple[Path, str, str], line: str) -> str:
    before, items, after = list_in(text, place)
    if line not in items:
        raise EditError(
            f"{place[0]} has no line “{line.strip()}” below “{place[1]}”. Nothing was changed. Put it back."
        )
    items.remove(line)
    return "\n".join([*before, *items, *after])


def list_in(text: str, place: tuple[Path, str, str]) -> tuple[list[str], list[str], list[str]]:
    """The lines up to a list, its items, and the lines from its end."""
    path, opening, closing = place
    lines = text.split("\n")
    if opening not in lines or closing not in lines[lines.index(opening) :]:
        raise EditError(
            f"{path} has no list that begins with a line “{opening}” and ends with “{closing}”, where features are "
            "named. Nothing was changed. Write the list in that form, an item on each line."
        )
    first = lines.index(opening) + 1
    last = lines.index(closing, first)
    return lines[:first], lines[first:last], lines[last:]


def _made_here(root: Path, name: str) -> Feature:
    """The feature of that name, as the head of its module says that it was made."""
    made = {}
    for path in sorted((root / "app").glob("*.py")):
        found = _MADE_WITH.search(text_of(path))
        if found:
            words = found[1].split()
            given, plural = _options(words[1:])
            made[words[0]] = _feature(words[0], given, plural)
    by_name = {**{each.plural: each for each in made.values()}, **made}
    if name not in by_name:
        known = f"These were: {', '.join(made)}." if made else "None was."
        raise EditError(f"No feature “{name}” was made with `{COMMAND}…`. {known} Nothing was changed.")
    return by_name[name]


def _options(words: list[str]) -> tuple[list[str], str]:
    if "--plural" in words:
        return words[: words.index("--plural")], words[words.index("--plural") + 1]
    return words, ""


def _check_unedited(root: Path, feature: Feature, made: dict[Path, str]) -> None:
    """Raises EditError where something would be lost that a person has written."""
    edited = [str(path.relative_to(root)) for path, text in made.items() if not path.exists() or text_of(path) != text]
    migrations = text_of(root / MIGRATIONS)
    if specimen_text.migration(root, feature) not in migrations:
        edited.append(f"create_{feature.plural} in {MIGRATIONS}")
    others = list(that_need(root, feature.plural, without(root, feature.plural), made))
    if edited:
        raise EditError(
            f"Edited since it was made: {', '.join(edited)}. Nothing was changed. Commit it if you want to keep "
            "it; --force takes it out all the same."
        )
    if others:
        raise EditError(
            f"Other code speaks of {feature.plural}: {', '.join(others)}. Nothing was changed. Take that out first, or "
            "use --force."
        )


def that_need(root: Path, plural: str, left: Mapping[Path, str | None], made: Iterable[Path]) -> Iterator[str]:
    """The files that need a feature although they are not of it; those in `left` as they are without it."""
    for path in sorted({*(root / "app").rglob("*.py"), *(root / "templates").rglob("*.py")} - set(made)):
        names = r"\b" if path in left else r"(?:import .*\b|\b(?:app|templates)\.|/)"
        if re.search(rf"{names}{plural}\b", left.get(path) or text_of(path)):
            yield str(path.relative_to(root))
