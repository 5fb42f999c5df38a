"""A fork's tests: its own are green after any sequence of `new`, `drop` and `rename`, and the engine's have a subject.

The subject is the same, byte for byte, whatever was done before: so what the engine's tests say here, they say there.
"""

import random
from pathlib import Path

import pytest

from server.name import NAME, SLUG
from tests.engine.project import Project
from tests.engine.subject import HAS_EXAMPLE

# Names that mean something to somebody: to Python, to SQL, in English, in the tests, to the app.
FEATURES = (
    *("recipe", "person", "task", "sheep_list", "news_item", "child", "analysis", "box", "key", "user", "test_case"),
    *(
        "engine",
        "conftest",
        "project",
        "subject",
        "server_name",
        "titled",
        "museum",
        "specimen",
        "x",
        SLUG.partition("-")[0],
    ),
    *("importer", "export_job", "column_name", "form_field", "search_word", "fixture", "client_name", "htmx_thing"),
)
FIELDS = (
    *("minutes:int", "cooked:date:optional", "tags:text", "kind:str", "page:int", "q:str:optional", "sort:bool"),
    *("weight:float:optional", "version:int:optional", "client:str", "server:text:optional", "made_by:date"),
)
TITLES = ("title:str", "name:str", "label:str", "short_name:str")
PROJECTS = (NAME, "Larder", "Möhre & Co.", "My App", "Shelf")


class Fork:
    """A copy of the project in which somebody makes, drops and renames, in an order that chance gives."""

    def __init__(self, project: Project, chance: random.Random) -> None:
        self.project = project
        self.chance = chance
        self.made: list[str] = []
        self.done: list[str] = []
        self.has_example = HAS_EXAMPLE

    def step(self) -> None:
        """One command, committed."""
        acts = [self.new] * 4 + [self.rename] + ([self.drop] * 2 if self.made else [])
        self.chance.choice(acts)()
        self.project.commit()

    def new(self) -> None:
        """Make a feature; names that are taken are refused."""
        name = self.chance.choice([each for each in FEATURES if each not in self.made])
        fields = self.chance.sample(FIELDS, self.chance.randrange(5))
        if self.run("new", name, self.chance.choice(TITLES), *fields):
            self.made.append(name)

    def drop(self) -> None:
        """Take one out again."""
        name = self.made.pop(self.chance.randrange(len(self.made)))
        assert self.run("drop", name, "--data", self.project.root.parent / "none"), self.said

    def rename(self) -> None:
        """Give the project another name, perhaps without the example."""
        without = ["--without-example"] if self.has_example and self.chance.random() < 0.5 else []
        self.has_example = self.has_example and not without
        name = self.chance.choice(PROJECTS)
        assert self.run("rename", name, *without, "--data", self.project.root.parent / "none"), self.said

    def run(self, *command: object) -> bool:
        """Whether a command did what it says; what it refuses has changed nothing."""
        ended = self.project.run(*command)
        self.said = f"{' '.join(map(str, command))}: {ended.stdout}{ended.stderr}"
        self.done.append(self.said)
        assert ended.returncode == 0 or (ended.returncode, self.project.status()) == (2, ""), self.said
        return ended.returncode == 0


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project")


def contents(root: Path) -> dict[str, bytes]:
    """The files that the engine's tests are about, by their names."""
    rooms = ("app", "server", "templates", "specimen", "static", "tests")
    paths = [root / "server.py", *(path for room in rooms for path in (root / room).rglob("*"))]
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in paths
        if path.is_file() and "__pycache__" not in path.parts
    }
