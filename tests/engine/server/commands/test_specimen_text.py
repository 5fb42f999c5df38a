"""The specimen: whatever the names and fields, what is written of it is whole, clean Python."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from server.commands.specimen_text import (
    FIELDS,
    Feature,
    Field,
    files,
    migration,
    used_names,
    written,
)
from tests.engine.conftest import ROOT
from tests.test_sources import MAY_IMPORT, ROOMS, imports, room_of

ALL = tuple(Field(f"{type}_or_not" if optional else f"{type}_field", type, optional) for type, optional in FIELDS)
RECIPE = Feature(
    "recipe", "recipes", "title", (Field("minutes", "int", False), Field("cooked", "date", True)), "the command"
)


def feature(singular: str, plural: str, title: str, fields: tuple[Field, ...] = ()) -> Feature:
    return Feature(singular, plural, title, fields, f"python3 server.py new {singular} {title}:str")


@pytest.mark.parametrize(
    "each",
    [
        feature("m", "ms", "t"),
        feature("m", "ms", "t", (Field("a", "text", False), Field("b", "bool", True))),
        feature("whatsit_for_gadgets", "whatsits_for_gadgets", "a_long_field_name_xx", ALL),
        feature("shopping_item", "shopping_items", "title", ALL[::-1]),
    ],
    ids=lambda each: each.plural,
)
def test_every_feature_is_clean_python(tmp_path: Path, each: Feature) -> None:
    for path, text in files(ROOT, each).items():
        (tmp_path / path.name).parent.joinpath(path.relative_to(ROOT).as_posix().replace("/", "_")).write_text(
            text, encoding="utf-8"
        )
    (tmp_path / "migration.py").write_text(
        "from sqlite_utils.db import Database\n\n"
        "from app.database.sqlite_connections import NOW\n"
        "from app.migrations import keep_versions, migrations\nfrom app.records import indexing, row_blocks\n"
        + migration(ROOT, each),
        encoding="utf-8",
    )
    for command in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--config", ROOT / "pyproject.toml", tmp_path]
        done = subprocess.run(ruff, capture_output=True, encoding="utf-8")
        assert done.returncode == 0, done.stdout


def test_nothing_of_the_specimen_is_left() -> None:
    words = "|".join(["museum", "short_name", "Short name", "short name", *FIELDS.values()])
    for path, text in files(ROOT, RECIPE).items():
        assert not re.search(words, text), path
        ast.parse(text)
    assert not re.search(words, migration(ROOT, RECIPE))


def test_a_line_of_one_field_becomes_a_line_of_each_that_is_wanted() -> None:
    text = (
        'x = [\n    "short_name",\n    ("piece_count", "Piece count"),\n    ("shown_on", "Shown on"),\n    "end",\n]\n'
    )
    assert written(text, RECIPE) == (
        'x = [\n    "title",\n    ("minutes", "Minutes"),\n    ("cooked", "Cooked"),\n    "end",\n]\n'
    )
    assert written('x = [\n    ("made_by", 1),\n]\n', RECIPE) == "x = []\n"


def test_names_are_written_as_code_and_as_people_read_them() -> None:
    text = (
        'class MuseumPieceList: "museum pieces, Museum pieces, a museum piece, Museum piece", '
        "museum_pieces, museum_piece"
    )
    assert written(text, feature("shopping_item", "shopping_items", "title")) == (
        'class ShoppingItemList: "shopping items, Shopping items, a shopping item, Shopping item", '
        "shopping_items, shopping_item"
    )


def test_a_field_may_have_the_name_of_one_of_the_specimen() -> None:
    each = feature("recipe", "recipes", "title", (Field("short_name", "int", False), Field("made_by", "int", False)))
    assert (
        written('    "short_name",\n    "piece_count",\n', each) == '    "title",\n    "short_name",\n    "made_by",\n'
    )


def test_the_names_that_the_code_uses_are_known() -> None:
    assert {"request", "Article", "show", "rows", "str"} <= used_names(ROOT)


def test_the_specimen_keeps_to_the_rooms() -> None:
    for room in ("app", "templates"):
        for path in (ROOT / "server/commands/specimen" / room).rglob("*.py"):
            for _, module in imports(path):
                assert room_of(module) not in ROOMS - MAY_IMPORT[room], (path, module)
