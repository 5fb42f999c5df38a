"""`new` and `drop` on a copy of the project: what they write, what they refuse, and that the tree is as before."""

import ast
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from server.commands import features
from server.commands.project_edits import EditError, Kept
from tests.engine.project import Project

RECIPE = ("title:str", "minutes:int", "cooked:date:optional", "tags:text")
EVERY_TYPE = (
    *("title:str", "made:str?", "story:text", "note:text?", "pieces:int", "floor:int?", "weight:float"),
    *("height:float?", "mine:bool", "liked:bool?", "bought:date", "read:date?"),
)


@contextmanager
def no_data(kept: Kept) -> Iterator[str]:
    yield "There is no data."


def drop(project: Project, name: str, force: bool = False) -> str:
    return features.drop(project.root, name, no_data, force)


def test_a_feature_is_written_and_taken_out_byte_for_byte(project: Project) -> None:
    written = features.new(project.root, "category", EVERY_TYPE)
    for path in ("app/categories.py", "templates/categories.py", "tests/app/test_categories.py"):
        assert path in written
        ast.parse((project.root / path).read_text(encoding="utf-8"))
    assert '    "/categories": "Categories",\n' in (project.root / "templates/layout.py").read_text(encoding="utf-8")
    main = (project.root / "app/main.py").read_text(encoding="utf-8")
    assert "from app import (\n    categories,\n    migrations,\n" in main
    assert "    categories,\n]" in main
    assert "def create_categories(" in (project.root / "app/migrations.py").read_text(encoding="utf-8")
    assert drop(project, "category") == "Categories are out of the code. There is no data."
    assert project.status() == ""


@pytest.mark.parametrize(
    ("name", "plural"), [("box", "boxes"), ("person", "people"), ("child", "children"), ("analysis", "analyses")]
)
def test_many_are_called_as_in_english(project: Project, name: str, plural: str) -> None:
    features.new(project.root, name, ["title:str"])
    assert (project.root / f"app/{plural}.py").exists()
    drop(project, plural)
    assert project.status() == ""


def test_with_a_flake_new_says_that_git_is_to_know_of_the_files(project: Project) -> None:
    said = features.new(project.root, "recipe", RECIPE)
    assert said.splitlines()[-1] == "Nix sees new files only once git knows them: git add -A"
    drop(project, "recipe")
    (project.root / "flake.nix").unlink()
    project.commit()
    assert "git add" not in features.new(project.root, "recipe", RECIPE)
    drop(project, "recipe")
    project.git("reset", "-q", "--hard", "HEAD~1")
    assert project.status() == ""


def test_features_stand_beside_each_other_and_go_in_any_order(project: Project) -> None:
    features.new(project.root, "recipe", RECIPE)
    project.git("add", "-A")
    project.git("stash", "-q")
    project.git("stash", "pop", "-q")
    with pytest.raises(EditError, match="not committed"):
        features.new(project.root, "box", ["title:str"])
    before = project.git("rev-parse", "HEAD").strip()
    project.commit()
    features.new(project.root, "ox", ["title:str"], "oxen")
    project.commit()
    drop(project, "recipe")
    drop(project, "ox")
    project.git("reset", "-q", before)
    assert project.status() == ""


@pytest.mark.parametrize(
    ("name", "fields", "plural", "message"),
    [
        ("record", ["title:str"], "", "something called “records”"),
        ("import", ["title:str"], "", "means something in Python"),
        ("list", ["title:str"], "", "means something in Python"),
        ("order", ["title:str"], "", "means something in SQL"),
        ("table", ["title:str"], "", "means something in SQL"),
        ("imported_row", ["title:str"], "", "“imported_rows” is a table"),
        ("live", ["title:str"], "", "“live” is an address"),
        ("none", ["title:str"], "", "“None” is a word of Python"),
        ("thing", ["title:str"], "app", "something called “app”|“app” is a name of app/main.py"),
        ("thing", ["title:str"], "hub", "“hub” is a name of app/main.py"),
        ("static", ["title:str"], "", "“static” is an address"),
        ("thing", ["title:str"], "development", "“development” is an address"),
        ("thing", ["title:str"], "healthz", "“healthz” is an address"),
        ("thing", ["title:str"], "upload", "“upload” is an element"),
        ("answer", ["title:str"], "", "“answer” is used by the code"),
        ("article", ["title:str"], "", "“Article” is used by the code"),
        ("thing", ["title:str"], "email", "“email” is a module of Python"),
        ("recipes", ["title:str"], "", "looks like many already.*name one of them .recipe."),
        ("sheep", ["title:str"], "", "--plural sheep_list"),
        ("sheep", ["title:str"], "sheep", "called alike"),
        ("Recipe", ["title:str"], "", "Write small letters"),
        ("1st", ["title:str"], "", "Write small letters"),
        ("küche", ["title:str"], "", "Write small letters"),
        ("../evil", ["title:str"], "", "Write small letters"),
        ("r" * 21, ["title:str"], "", "at most 20"),
        ("recipe", [], "", "needs a field of type str"),
        (
            "recipe",
            ["minutes:int"],
            "",
            "Add one, such as title:str: .* new recipe title:str minutes:int",
        ),
        ("recipe", ["title:str?"], "", "needs a field of type str"),
        ("recipe", ["title:str", "x:time"], "", "“x:time” is no field.*str, text, int, float, bool, date"),
        ("recipe", ["title"], "", "“title” is no field"),
        ("recipe", ["title:str", "title:text"], "", "“title” is there twice"),
        ("recipe", ["title:str", "id:int"], "", "“id” means something in Python"),
        ("recipe", ["title:str", "created_at:date"], "", "“created_at” cannot be"),
        ("recipe", ["title:str", "group:str"], "", "“group” means something in SQL"),
        ("recipe", ["title:str", "class:str"], "", "“class” means something in Python"),
        ("recipe", ["title:str", "rank:int"], "", "“rank”"),
        ("recipe", ["title:str", "a-b:int"], "", "“a-b” cannot be the name of a field"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_changed(
    project: Project, name: str, fields: list[str], plural: str, message: str
) -> None:
    with pytest.raises(EditError, match=message):
        features.new(project.root, name, fields, plural)
    assert project.status() == ""


def test_a_feature_that_is_there_is_not_written_again(project: Project) -> None:
    features.new(project.root, "recipe", RECIPE)
    project.commit()
    with pytest.raises(EditError, match="something called “recipes”"):
        features.new(project.root, "recipe", RECIPE)
    assert project.status() == ""
    project.git("reset", "-q", "--hard", "HEAD~1")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_where_one_file_cannot_be_written_none_is(project: Project) -> None:
    (project.root / "tests/templates").chmod(0o500)
    try:
        with pytest.raises(EditError, match="cannot be written"):
            features.new(project.root, "recipe", RECIPE)
    finally:
        (project.root / "tests/templates").chmod(0o755)
    assert project.status() == ""


def test_where_writing_fails_in_the_middle_all_is_taken_back(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    replaced = Path.replace

    def full(path: Path, target: Path) -> Path:
        if target.name == "main.py":
            raise OSError(28, "No space left on device", str(target))
        return replaced(path, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(EditError, match=r"main\.py cannot be written: No space left on device"):
        features.new(project.root, "recipe", RECIPE)
    assert project.status() == ""


def test_without_git_it_says_so(project: Project) -> None:
    (project.root / ".git").rename(project.root.parent / "git")
    try:
        assert "There is no git here" in features.new(project.root, "recipe", RECIPE)
        drop(project, "recipe")
    finally:
        (project.root.parent / "git").rename(project.root / ".git")
    assert project.status() == ""


def test_what_was_edited_since_is_not_lost(project: Project) -> None:
    features.new(project.root, "recipe", RECIPE)
    path = project.root / "templates/recipes.py"
    path.write_text(path.read_text(encoding="utf-8").replace("No recipes yet.", "Nothing to eat."), encoding="utf-8")
    before = project.status()
    with pytest.raises(EditError, match=r"Edited since it was made: templates/recipes.py"):
        drop(project, "recipe")
    assert project.status() == before
    assert "Nothing to eat." in path.read_text(encoding="utf-8")
    drop(project, "recipe", force=True)
    assert project.status() == ""


def test_other_code_that_needs_the_feature_is_named(project: Project) -> None:
    features.new(project.root, "recipe", RECIPE)
    path = project.root / "app/records/rows.py"
    path.write_text(
        path.read_text(encoding="utf-8").replace(
            "from app.database.db import", "from app import recipes\nfrom app.database.db import"
        ),
        encoding="utf-8",
    )
    with pytest.raises(EditError, match=r"Other code speaks of recipes: app/records/rows.py"):
        drop(project, "recipe")


def test_what_was_not_made_by_new_is_not_dropped(project: Project) -> None:
    for name in ("form", "nonsense"):
        with pytest.raises(EditError, match=f"No feature “{name}” was made"):
            drop(project, name)
    assert project.status() == ""


def test_the_command_line_answers_in_one_line_with_exit_code_2(project: Project, tmp_path: Path) -> None:
    refused = project.run("new", "recipe", "title:string")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("server.py: “title:string” is no field.")
    assert len(refused.stderr.splitlines()) == 1
    assert project.run("new", "recipe", *RECIPE).returncode == 0
    dropped = project.run("drop", "recipe", "--data", tmp_path / "none")
    assert (dropped.returncode, project.status()) == (0, "")
    assert f"There is no data in {tmp_path / 'none'}." in dropped.stdout


@pytest.mark.slow
def test_the_tests_of_a_new_feature_pass_at_once_and_its_data_goes_with_it(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    assert project.run("new", "person", *EVERY_TYPE).returncode == 0
    project.test("-n0", "tests/app/test_people.py", "tests/templates/test_people.py")
    names = ("test_project", "app/test_migrations", "app/imports/test_import_routes")
    of_engine = (f"tests/engine/{name}.py" for name in names)
    project.test("--engine", "-n0", *of_engine)
    assert project.run("drop", "person").returncode == 0
    assert project.status() == ""


@pytest.mark.slow
def test_the_schema_is_as_before_when_a_feature_is_gone(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    data = tmp_path / "data"

    def start() -> list[tuple[str, str]]:
        names = "import sys; from pathlib import Path; from app.database.preparation import prepare"
        code = f"{names}; from app.migrations import migrations"
        subprocess.run(
            [sys.executable, "-c", f"{code}; prepare(Path(sys.argv[1]), migrations)", data],
            cwd=project.root,
            check=True,
        )
        with closing(sqlite3.connect(data / "app.db")) as connection:
            names = connection.execute("SELECT name FROM _sqlite_migrations ORDER BY 1").fetchall()
            return [*connection.execute("SELECT name, sql FROM sqlite_schema ORDER BY 1").fetchall(), *names]

    before = start()
    project.run("new", "recipe", *RECIPE)
    assert start() != before
    assert project.run("drop", "recipe", "--data", data).returncode == 0
    assert start() == before
    assert sorted(path.name.partition("-")[2] for path in (data / "backups").iterdir()) == [
        "before-create_recipes.db",
        "before-drop-recipes.db",
    ]
