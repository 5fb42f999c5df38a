"""A fork's tests: its own are green after any sequence of `new`, `drop` and `rename`, and the engine's have a subject.

The subject is the same, byte for byte, whatever was done before: so what the engine's tests say here, they say there.
"""

import random
import shutil
from pathlib import Path

import pytest

from server.app_name import NAME, SLUG
from tests.engine.conftest import ROOT
from tests.engine.project import Project
from tests.engine.subject import HAS_EXAMPLE, is_pristine, make

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
        "server/commands/specimen",
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
CACHE = ROOT / ".mypy_cache"
SEASON = '''

@migrations()
def season(db: Database) -> None:
    """Salt."""
    db.execute("ALTER TABLE recipes ADD COLUMN salt INTEGER")
'''
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


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The subject of a project that was only named anew, and without the example."""
    project = Project(tmp_path_factory.mktemp("pristine") / "project")
    assert project.run("rename", "Larder", "--without-example", "--data", project.root / "none").returncode == 0
    return make(project.root, project.root.parent / "subject")


def contents(root: Path) -> dict[str, bytes]:
    """What a project consists of, by its names."""
    rooms = ("app", "server", "templates", "server/commands/specimen", "static", "tests", "docs")
    paths = [*root.glob("*.*"), *(path for room in rooms for path in (root / room).rglob("*"))]
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in paths
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_as_it_comes_the_project_is_its_own_subject() -> None:
    assert is_pristine(ROOT)


def test_what_was_made_and_edited_is_out_of_the_subject(project: Project, tmp_path: Path) -> None:
    assert project.run("new", "recipe", "title:str", "minutes:int").returncode == 0
    project.commit()
    assert project.run("new", "tab", "title:str").returncode == 0
    root = project.root
    for name, more in (
        # By hand: a migration of a feature, and a module that the app does not need.
        ("app/migrations.py", SEASON),
        ("app/meals.py", "from app import recipes\n\nKINDS = (recipes.KIND,)\n"),
        ("tests/app/test_meals.py", ""),
        ("app/recipes.py", "# Edited.\n"),
    ):
        path = root / name
        path.write_text((path.read_text(encoding="utf-8") if path.exists() else "") + more, encoding="utf-8")
    assert not is_pristine(root)
    assert contents(make(root, tmp_path / "subject")) == contents(ROOT)


def test_a_module_of_yours_that_the_app_needs_is_in_the_subject(project: Project, tmp_path: Path) -> None:
    (project.root / "app/words.py").write_text("WORD = 1\n", encoding="utf-8")
    path = project.root / "app/records/rows.py"
    path.write_text(path.read_text(encoding="utf-8") + "\nfrom app import words\n", encoding="utf-8")
    assert (make(project.root, tmp_path / "subject") / "app/words.py").exists()


def test_where_the_list_of_features_is_in_another_form_it_is_said(project: Project) -> None:
    path = project.root / "app/main.py"
    path.write_text(
        path.read_text(encoding="utf-8").replace("FEATURES: list[ModuleType] = [", "FEATURES = ["), encoding="utf-8"
    )
    ended = project.run("test", "--engine", "--version")
    assert ended.returncode == 2
    assert "app/main.py has no list that begins with a line “FEATURES: list[ModuleType] = [”" in ended.stderr


def test_the_command_runs_the_engines_tests_on_the_subject(project: Project) -> None:
    """One that looks at the whole project, of which a feature would be seen."""
    one = "tests/engine/test_subject.py::test_as_it_comes_the_project_is_its_own_subject"
    assert project.run("new", "recipe", "title:str").returncode == 0
    refused = project.run("test", "-n0", one)
    assert refused.returncode == 4
    assert "python3 server.py test --engine" in refused.stderr
    project.test("--engine", "-n0", one)


@pytest.mark.parametrize(
    ("seed", "steps"),
    # The quick one makes, drops, renames and takes the example out; one feature is left, whose tests are run.
    [pytest.param(21, 4), *(pytest.param(seed, 9, marks=pytest.mark.slow) for seed in range(1, 14))],
)
def test_after_any_sequence_of_commands_the_tests_are_green(
    project: Project, pristine: Path, tmp_path: Path, seed: int, steps: int
) -> None:
    """It has features at the end, and the tests that are run have started the app."""
    fork = Fork(project, random.Random(seed))
    for _ in range(steps):
        fork.step()
    if not fork.made:
        fork.new()
        project.commit()
    if CACHE.exists():  # What mypy knows of the libraries takes it most of its time.
        shutil.copytree(CACHE, project.root / CACHE.name)
    ran = project.run("test", "-n0", "--color=no")
    assert ran.returncode == 0, "\n".join([*fork.done, ran.stdout[-10_000:]])
    if fork.has_example:
        assert project.run("rename", NAME).returncode == 0
        assert contents(make(project.root, tmp_path / "subject")) == contents(ROOT), fork.done
    else:
        assert project.run("rename", "Larder").returncode == 0
        assert contents(make(project.root, tmp_path / "subject")) == contents(pristine), fork.done
