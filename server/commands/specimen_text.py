"""The specimen: a whole feature under `specimen/`, which `python3 server.py new` writes anew with other names.

Its name is in two words, and so are its fields, one of each type: what is an identifier (museum_piece) can be told from
what people read (museum piece). A line that speaks of one field stands for any field of that type: lines that follow
each other become a line for each field that is wanted, in the order in which they were asked for. All other lines stay.
"""

import ast
import re
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from server.commands.project_edits import text_of

# The first field of type str, which names a row, and a field of each type, whether it may be left empty.
TITLE = "short_name"
FIELDS = {
    ("str", False): "made_by",
    ("str", True): "lent_to",
    ("text", False): "whole_story",
    ("text", True): "side_note",
    ("int", False): "piece_count",
    ("int", True): "floor_number",
    ("float", False): "net_weight",
    ("float", True): "full_height",
    ("bool", False): "is_fragile",
    ("bool", True): "is_genuine",
    ("date", False): "found_on",
    ("date", True): "shown_on",
}
TYPES = tuple(dict.fromkeys(type for type, _ in FIELDS))
MIGRATION = "migration.py"
_OF_FIELD = re.compile(
    "|".join(rf"\b{word}\b" for name in FIELDS.values() for word in (name, name.replace("_", " "))), re.I
)
_NOTHING = re.compile(r"([\[({])\n\s*([\])}])")


class Field(NamedTuple):
    """A field that is wanted."""

    name: str
    type: str
    optional: bool


class Feature(NamedTuple):
    """A feature that is wanted: what one and many are called, its fields, the command that says so."""

    singular: str
    plural: str
    title: str
    fields: tuple[Field, ...]
    command: str

    @property
    def class_name(self) -> str:
        """What its record is called."""
        return "".join(word.capitalize() for word in self.singular.split("_"))


def files(root: Path, feature: Feature) -> dict[Path, str]:
    """The files of a feature, by their places in the project."""
    specimen = root / "server/commands/specimen"
    return {
        root / path.relative_to(specimen).with_name(path.name.replace("museum_pieces", feature.plural)): written(
            text_of(path), feature
        )
        for path in sorted(specimen.rglob("*museum_pieces.py"))
    }


def migration(root: Path, feature: Feature) -> str:
    """What the feature adds to app/migrations.py."""
    text = text_of(root / "server/commands/specimen" / MIGRATION)
    return "\n\n" + written(text[text.index("@migrations()") :], feature)


def written(text: str, feature: Feature) -> str:
    """A text of the specimen with the names and the fields of a feature."""
    lines: list[str] = []
    for speaks_of_field, group in groupby(text.split("\n"), key=lambda line: bool(_OF_FIELD.search(line))):
        if speaks_of_field:
            lines += _for_each_field(list(group), feature)
        else:
            lines += [_renamed(line, TITLE, feature.title) for line in group]
    many, one = in_words(feature.plural), in_words(feature.singular)
    renamed = "\n".join(lines)
    for old, new in (
        ("python3 server.py new MUSEUM PIECE", feature.command),
        ("museum_pieces", feature.plural),
        ("museum_piece", feature.singular),
        ("MuseumPiece", feature.class_name),
        ("museum pieces", many),
        ("Museum pieces", capitalized(many)),
        ("museum piece", one),
        ("Museum piece", capitalized(one)),
    ):
        renamed = renamed.replace(old, new)
    return _NOTHING.sub(r"\1\2", renamed)


def used_names(root: Path) -> set[str]:
    """The names that the code of a feature uses itself, and so cannot be the name of one."""
    names: set[str] = set()
    for path in (root / "server/commands/specimen").rglob("*.py"):
        for node in ast.walk(ast.parse(text_of(path))):
            if isinstance(node, ast.Name):
                names.add(node.id)
            elif isinstance(node, ast.arg):
                names.add(node.arg)
            elif isinstance(node, ast.alias):
                names.add(node.asname or node.name)
    return {name for name in names if not re.search("museum_?piece", name, re.I)}


def in_words(name: str) -> str:
    """An identifier as people write it."""
    return name.replace("_", " ")


def capitalized(words: str) -> str:
    """Words with a large letter first, and the rest as it is."""
    return words[:1].upper() + words[1:]


def _for_each_field(lines: list[str], feature: Feature) -> list[str]:
    of = {found[0].lower().replace(" ", "_"): line for line in lines if (found := _OF_FIELD.search(line))}
    assert len(of) == len(lines), f"a field of the specimen has two lines in a row: {lines}"
    wanted = [(FIELDS[field.type, field.optional], field.name) for field in feature.fields]
    return [_renamed(of[old], old, new) for old, new in wanted if old in of]


def _renamed(line: str, old: str, new: str) -> str:
    """A line with another field in place of one of the specimen, as an identifier and as people read it."""
    said, wanted = in_words(old), in_words(new)
    renamed = line.replace(old, new)
    return renamed.replace(said, wanted).replace(capitalized(said), capitalized(wanted))
