"""What is declared as the example goes, whatever it is: here a feature that `new` has written, in a clone."""

from collections.abc import Iterator

import pytest

from server.commands.project_edits import EditError, Kept, put
from server.commands.remove_example import DECLARATION as DECLARATION_FILE
from server.commands.remove_example import read
from tests.engine.project import Project
from tests.engine.server.commands.test_features import no_data
from tests.engine.server.commands.test_rename import NOWHERE

DECLARATION = """
feature = "recipes"
rooms = ["tests/recipes"]
groups = ["cooking"]
files = [
  "app/recipes.py",
  "templates/recipes.py",
  "tests/app/test_recipes.py",
  "tests/templates/test_recipes.py",
  "docs/never_there.md",
]

[data]
table = "recipes"
tables = ["recipes"]
migrations = ["create_recipes", "season"]

[instead."README.md"]
text = "server/commands/example/README.md"
sections = ["Commands"]

[[edits]]
file = "static/app.js"
old = "// Recipes are read aloud.\\n"
new = ""

[[edits]]
file = "static/app.css"
from = "/* The example: recipes */"
"""
SEASON = '''

@migrations()
def season(db: Database) -> None:
    """Salt."""
    db.execute("ALTER TABLE recipes ADD COLUMN salt INTEGER")
'''
GROUP = 'cooking = [\n  # Stirs.\n  "spoon",\n]\n'


@pytest.fixture
def with_recipes(project: Project) -> Iterator[Project]:
    """A clone whose example are recipes."""
    before = project.git("rev-parse", "HEAD").strip()
    assert project.run("new", "recipe", "title:str").returncode == 0
    (project.root / "server/commands/example").mkdir(exist_ok=True)
    (project.root / "server/commands/example/example.toml").write_text(DECLARATION, encoding="utf-8")
    (project.root / "server/commands/example/README.md").write_text("# A short one\n", encoding="utf-8")
    (project.root / "tests/recipes").mkdir()
    (project.root / "tests/recipes/soup.json").write_text("[]", encoding="utf-8")
    for name, more in (
        ("app/migrations.py", SEASON),
        ("static/app.js", "// Recipes are read aloud.\n"),
        ("static/app.css", "\n/* The example: recipes */\n\n.recipe {\n  color: red;\n}\n"),
    ):
        path = project.root / name
        path.write_text(path.read_text(encoding="utf-8") + more, encoding="utf-8")
    pyproject = project.root / "pyproject.toml"
    pyproject.write_text(
        pyproject.read_text(encoding="utf-8").replace("[dependency-groups]\n", f"[dependency-groups]\n{GROUP}"),
        encoding="utf-8",
    )
    project.commit()
    yield project
    project.git("reset", "-q", "--hard", before)


def remove(project: Project) -> str:
    example = read(project.root)
    assert example is not None
    return example.remove(example.files, no_data)


def test_all_that_is_declared_goes_and_nothing_else(with_recipes: Project) -> None:
    root = with_recipes.root
    commands = (
        (root / "README.md").read_text(encoding="utf-8").partition("\n## Commands\n")[2].partition("\n## ")[0].strip()
    )
    assert remove(with_recipes) == "The example is out of the code. There is no data."
    assert not [path for room in ("app", "templates", "static", "tests") for path in (root / room).rglob("*recipe*")]
    assert "recipe" not in (root / "app/main.py").read_text(encoding="utf-8") + (
        root / "templates/layout.py"
    ).read_text(encoding="utf-8")
    for name, words in (("app/migrations.py", "salt"), ("static/app.js", "aloud"), ("static/app.css", "recipe")):
        assert words not in (root / name).read_text(encoding="utf-8")
    assert "spoon" not in (root / "pyproject.toml").read_text(encoding="utf-8")
    assert (root / "README.md").read_text(encoding="utf-8") == f"# A short one\n\n## Commands\n\n{commands}\n"
    assert not (root / "server/commands/example").exists()
    assert not (root / "tests/recipes").exists()
    assert read(root) is None


def test_what_it_keeps_in_the_data_is_told(with_recipes: Project) -> None:
    example = read(with_recipes.root)
    assert example is not None
    assert example.kept == Kept("recipes", ["recipes"], ["create_recipes", "season"])
    assert example.rooms == ("server/commands/example", "tests/recipes")


def test_words_that_are_not_there_are_named_and_nothing_is_changed(with_recipes: Project) -> None:
    path = with_recipes.root / "static/app.js"
    path.write_text(path.read_text(encoding="utf-8").replace("read aloud", "sung"), encoding="utf-8")
    with_recipes.commit()
    with pytest.raises(EditError, match=r"static/app\.js does not have “// Recipes are read aloud\.” once\. Nothing"):
        remove(with_recipes)
    assert with_recipes.status() == ""


def test_what_was_stopped_half_way_says_how_to_go_back(with_recipes: Project) -> None:
    example = read(with_recipes.root)
    assert example is not None
    put({path: text for path, text in example.files.items() if text is not None})
    with pytest.raises(EditError, match=r"stopped half way, `git reset --hard` goes back"):
        read(with_recipes.root)
    assert list(example.files)[-1] == with_recipes.root / DECLARATION_FILE


def test_other_code_that_needs_it_is_named(with_recipes: Project) -> None:
    (with_recipes.root / "app/meals.py").write_text("from app.recipes import rt\n", encoding="utf-8")
    with pytest.raises(EditError, match=r"Other code needs recipes: app/meals\.py\. Nothing was changed"):
        read(with_recipes.root)


def test_a_file_of_mine_in_a_room_that_goes_is_not_lost(with_recipes: Project) -> None:
    (with_recipes.root / "tests/recipes/mine.json").write_text("{}", encoding="utf-8")
    refused = with_recipes.run("rename", "My Recipes", "--without-example")
    assert refused.returncode == 2
    assert "not committed (tests/recipes/mine.json)" in refused.stderr
    assert with_recipes.status() == "?? tests/recipes/mine.json\n"


def test_where_the_data_cannot_be_changed_the_code_stays(with_recipes: Project) -> None:
    def busy(kept: Kept) -> object:
        raise EditError(f"{kept.table} cannot be changed.")

    example = read(with_recipes.root)
    assert example is not None
    with pytest.raises(EditError, match="recipes cannot be changed"):
        example.remove(example.files, busy)  # type: ignore[arg-type]
    assert with_recipes.status() == ""


def test_an_example_that_is_gone_is_gone_already(project: Project) -> None:
    remove_room(project)
    said = project.run("rename", project_name(project), "--without-example")
    assert said.returncode == 0
    assert said.stdout.endswith("already. The example is gone already. Nothing was changed.\n")
    renamed = project.run("rename", NOWHERE, "--without-example").stdout
    assert renamed.startswith(f"The example is gone already.\nIt is called {NOWHERE} now: ")


def remove_room(project: Project) -> None:
    """Have a clone without an example."""
    declaration = project.root / "server/commands/example/example.toml"
    declaration.unlink(missing_ok=True)
    project.commit()


def project_name(project: Project) -> str:
    return project.run("--version").stdout.partition(", version")[0]
