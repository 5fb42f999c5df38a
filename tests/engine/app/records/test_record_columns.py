"""Records by name: the order of lines in the code, of columns, fields or forms, puts no value in another's place."""

import ast
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import html5lib
import httpx
import pytest

from app.records.record_columns import columns_of, records_of
from templates.parts import tags
from tests.engine.conftest import Server
from tests.engine.project import Project
from tests.engine.subject import ROOT

FIELDS = {
    "nick:str": "Ada", "motto:str": "Onwards",
    "alias:str:optional": "Countess", "other:str:optional": "Lovelace",
    "story:text": "Long *ago*", "tale:text": "Far *away*",
    "note:text:optional": "Small", "remark:text:optional": "Large",
    "age:int": 36, "shoe:int": 38,
    "storey:int:optional": -1, "door:int:optional": 7,
    "weight:float": 55.5, "stature:float": 1.65,
    "width:float:optional": 0.5, "depth:float:optional": 0.25,
    "is_kind:bool": 1, "is_late:bool": 0,
    "is_tall:bool:optional": 0, "is_rich:bool:optional": 1,
    "born:date": "1815-12-10", "died:date": "1852-11-27",
    "wed:date:optional": "1835-07-08", "met:date:optional": "1833-06-05",
}  # fmt: skip
VALUES = {"name": "Augusta"} | {field.partition(":")[0]: value for field, value in FIELDS.items()}
MUTATED = ("app/people.py", "templates/people.py", "app/migrations.py")


class Book(NamedTuple):
    name: str
    author: str
    is_lent: int


class SameBook(NamedTuple):
    is_lent: int
    author: str
    name: str


@pytest.mark.parametrize("record", [Book, SameBook])
def test_the_order_of_fields_and_columns_does_not_matter(record: Any) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE books (author, lent_to, name)")
        connection.execute("INSERT INTO books VALUES ('Jane', 'Bob', 'Emma')")
        asked = columns_of(record, {"is_lent": "lent_to <> ''"})
        (book,) = records_of(record, connection.execute(f"SELECT {asked} FROM books"))
    assert book._asdict() == {"name": "Emma", "author": "Jane", "is_lent": 1}
    with pytest.raises(TypeError):
        records_of(record, [("Emma", "Jane")])


def test_no_record_is_built_by_position() -> None:
    """Not from a row as it comes, nor with two values of one type that only their order tells apart."""
    files = [path for room in ("app", "templates", "server/commands/specimen") for path in (ROOT / room).rglob("*.py")]
    trees = {path.relative_to(ROOT): ast.parse(path.read_text(encoding="utf-8")) for path in files}
    types = {name: given for tree in trees.values() for name, given in _records_in(tree)}
    found = [
        f"{path}:{call.lineno}: {ast.unparse(call)}"
        for path, tree in trees.items()
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and (name := getattr(call.func, "id", getattr(call.func, "attr", ""))) not in tags.__all__
        and _is_by_position(call, types.get(name, []))
    ]
    assert found == []


def _records_in(tree: ast.Module) -> Iterator[tuple[str, list[str]]]:
    """The names of records that others see, and the types of their fields."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef) or node.name.startswith("_"):
            continue
        if any(ast.unparse(base) == "NamedTuple" for base in node.bases):
            yield node.name, [ast.unparse(each.annotation) for each in node.body if isinstance(each, ast.AnnAssign)]


def _is_by_position(call: ast.Call, types: list[str]) -> bool:
    given = types[: len(call.args)]
    return len(set(given)) < len(given) or bool(given and any(isinstance(each, ast.Starred) for each in call.args))


@pytest.mark.slow
def test_neighbouring_lines_of_one_type_change_places_and_no_value_does(tmp_path: Path) -> None:
    """In every list of a feature that `new` has written; or its own tests fail."""
    project = Project(tmp_path / "project")
    assert project.run("new", "person", "name:str", *FIELDS).returncode == 0
    project.commit()
    mutants = [(file, each) for file in MUTATED for each in _mutants(project.root / file)]
    assert len(mutants) >= 12
    for number, (file, text) in enumerate(mutants):
        (project.root / file).write_text(text, encoding="utf-8")
        changed = project.git("diff", "-U0")
        if not _keeps_values(project.root, tmp_path / str(number)):
            ran = project.run("test", "-n0", "tests/app/test_people.py")
            assert ran.returncode != 0, changed
        project.begin_anew()


def _mutants(path: Path) -> Iterator[str]:
    """A text with the neighbours of one list in each other's place, for each list that speaks of fields."""
    lines = path.read_text(encoding="utf-8").split("\n")
    spoken = re.compile(rf"\b(?:{'|'.join(VALUES).replace('_', '[_ ]')})\b", re.IGNORECASE)
    at = 0
    for is_list, group in groupby(lines, key=lambda line: bool(spoken.search(line))):
        size = len(list(group))
        block = lines[at : at + size]
        shapes = [spoken.sub("…", line) for line in block]
        number, swapped = 0, False
        while number + 1 < size:
            if is_list and shapes[number] == shapes[number + 1]:
                block[number : number + 2] = reversed(block[number : number + 2])
                number, swapped = number + 1, True
            number += 1
        if swapped:
            yield "\n".join([*lines[:at], *block, *lines[at + size :]])
        at += size


def _keeps_values(root: Path, data: Path) -> bool:
    """Whether each value is where it belongs: made by name, shown in a form, saved again, taken out as JSON."""
    server = Server(data, project=root)
    try:
        with httpx.Client(base_url=server.url, headers={"HX-Request": "true"}) as client:
            assert client.post("/people", json=VALUES).status_code == 201
            id = server.sql("SELECT id FROM people")[0]["id"]
            form = _filled_in(client.get(f"/people/{id}/edit").text)
            assert client.patch(f"/people/{id}", data=form).status_code == 200
            (kept,) = server.sql("SELECT * FROM people")
            (exported,) = client.get("/people/export.json").json()
            return all(kept[name] == exported[name] == value for name, value in VALUES.items())
    finally:
        server.stop()


def _filled_in(html: str) -> dict[str, str]:
    """What a form would send, by the names of its fields."""
    sent: dict[str, str] = {}
    for field in html5lib.parse(html, namespaceHTMLElements=False).iter():
        if field.tag not in ("input", "textarea", "select"):
            continue
        if field.get("type") == "checkbox" and field.get("checked") is None:
            continue
        chosen = next((each for each in field if each.get("selected") is not None), field)
        sent[field.get("name", "")] = (field.text or "") if field.tag == "textarea" else chosen.get("value", "")
    return sent
