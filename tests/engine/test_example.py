"""The task list is taken out of a copy of the project, of its code and its data: nothing speaks of it any more, and
what is left is a whole app, which takes a feature and gives it back.
"""

import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from app.database.preparation import prepare
from app.database.sqlite_connections import connect
from app.migrations import migrations
from tests.engine.conftest import PLAIN, ROOT, SERVED
from tests.engine.project import NO_UV, Project, tool

ROOMS = ("app", "server", "templates", "static", "server/commands/specimen", "docs")
CODE = ("app", "templates", "static", "server/commands/specimen")
# What is called a task in the language of a library.
OTHER_TASKS = re.compile(
    r"asyncio|static/(vendor|morph\.js)|server/(background_work|run|(protocols|sharing|live)/\w+)\.py"
    r"|app/imports/job\.py|background tasks"
)
PREPARE = """
import sys
from pathlib import Path
from app.database.preparation import prepare
from app.migrations import migrations
prepare(Path(sys.argv[1]), migrations)
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of the starter: a task, one that was deleted, an import of tasks."""
    path = prepare(tmp_path_factory.mktemp("data") / "data", migrations)
    with closing(connect(path)) as connection:
        connection.execute("INSERT INTO tasks (title, done) VALUES ('Mine', 1)")
        connection.execute("INSERT INTO imports (filename, state, process) VALUES ('a.csv', 'done', 0)")
        connection.execute("INSERT INTO imported_rows (import_id, row_id, version) VALUES (1, 1, 0)")
        connection.execute("INSERT INTO presence VALUES (7, 3)")
    return path.parent


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Project:
    """A project of one's own: the starter under another name, without the example."""
    project = Project(tmp_path_factory.mktemp("mine") / "project")
    made = project.run("rename", "Larder", "--without-example", "--data", data)
    assert (made.returncode, made.stderr) == (0, "")
    assert f"The example is out of the code. What it kept is out of {data / 'app.db'}; a copy from" in made.stdout
    assert "It is called Larder now" in made.stdout
    project.commit()
    return project


@pytest.fixture
def served(mine: Project, tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of that project, served with new data."""
    command = [sys.executable, "server.py", *SERVED, "--data", tmp_path / "data"]
    with subprocess.Popen(command, cwd=mine.root, stdout=subprocess.PIPE, encoding="utf-8") as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        with httpx.Client(base_url=address, **PLAIN) as client:
            yield client
        process.terminate()


def test_nothing_speaks_of_tasks_any_more(mine: Project) -> None:
    words = r"\btasks?\b|_tasks\b|todoist|trello|task_counts|completions"
    places = [room for room in ROOMS if (mine.root / room).exists()]
    found = subprocess.run(
        ["git", "grep", "-inIP", words, "--", *places, "*.md", "*.toml", "*.nix"],
        cwd=mine.root,
        capture_output=True,
        encoding="utf-8",
    ).stdout.splitlines()
    said = [line for line in found if not OTHER_TASKS.search(line)]
    assert said == []
    for name in (
        "server/commands/example",
        "tests/engine/bench",
        "tests/engine/exports",
        "docs/figures.md",
        "docs/screenshot.png",
    ):
        assert not (mine.root / name).exists()


def test_no_style_function_or_import_is_left_over(mine: Project) -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for room in CODE for path in sources(mine, room))
    style = re.sub(r"url\([^)]*\)", "", (mine.root / "static/app.css").read_text(encoding="utf-8"))
    classes = set(re.findall(r"\.([a-z][a-z-]*)(?=[^{}]*\{)", style)) - {"htmx-request"}
    used = set(re.findall(r"[a-z][a-z-]*", code.replace(style, "")))
    assert sorted(classes - used) == []
    for command in (["ruff", "check", "."], ["ruff", "format", "--check", "."]):
        checked = subprocess.run([sys.executable, "-m", *command], cwd=mine.root, capture_output=True, encoding="utf-8")
        assert checked.returncode == 0, checked.stdout


def sources(project: Project, room: str) -> list[Path]:
    return [path for path in (project.root / room).rglob("*") if path.suffix in (".py", ".js")]


def test_the_texts_are_those_of_a_project_of_ones_own(mine: Project) -> None:
    readme = (mine.root / "README.md").read_text(encoding="utf-8")
    assert readme.startswith("# Larder\n")
    assert [line for line in readme.splitlines() if line.startswith("## ")][:2] == ["## Run it", "## Change it"]
    assert "--without-example" not in readme + (mine.root / "AGENTS.md").read_text(encoding="utf-8")
    assert "LARDER_PORT" in readme
    assert len((mine.root / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()) < 10


def test_its_data_is_as_if_it_had_never_had_tasks(mine: Project, data: Path, tmp_path: Path) -> None:
    for directory in (data, tmp_path / "fresh"):
        subprocess.run([sys.executable, "-c", PREPARE, directory], cwd=mine.root, check=True)

    def shape(directory: Path) -> list[object]:
        with closing(sqlite3.connect(directory / "app.db")) as connection:
            names = "SELECT type, name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY 1, 2"
            tables = connection.execute(names).fetchall()
            columns = [connection.execute(f"PRAGMA table_xinfo({name})").fetchall() for _, name in tables]
            applied = connection.execute("SELECT name FROM _sqlite_migrations ORDER BY name").fetchall()
            return [tables, columns, applied]

    assert shape(data) == shape(tmp_path / "fresh")
    with closing(sqlite3.connect(data / "app.db")) as connection:
        assert connection.execute("SELECT count(*) FROM imports").fetchone() == (0,)
        assert connection.execute("SELECT * FROM presence").fetchall() == [(7, 3)]
    (copy,) = (data / "backups").glob("*-before-drop-tasks.db")
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT title FROM tasks").fetchall() == [("Mine",)]


def test_who_goes_back_has_a_list_without_tasks(data: Path, tmp_path: Path) -> None:
    back = shutil.copytree(data, tmp_path / "back")
    subprocess.run([sys.executable, "-c", PREPARE, back], cwd=ROOT, check=True)
    with closing(sqlite3.connect(back / "app.db")) as connection:
        assert connection.execute("SELECT count(*) FROM tasks").fetchone() == (0,)
        assert connection.execute("SELECT done, tasks FROM task_counts ORDER BY done").fetchall() == [(0, 0), (1, 0)]
        assert connection.execute("SELECT kind FROM imports").fetchall() == []


def test_without_a_feature_it_says_how_to_make_one(served: httpx.Client) -> None:
    page = served.get("/")
    assert page.status_code == 200
    assert "Larder is ready for its first feature" in page.text
    assert "<nav" not in page.text
    assert served.get("/healthz").json()["status"] == "ok"
    for address in ("/tasks", "/imports", "/export.csv", "/export.json", "/tasks/export.csv"):
        assert served.get(address).status_code == 404
    assert "no feature yet" in served.get("/imports").text
    assert served.post("/imports", files={"file": ("a.csv", b"title\nOne\n")}).status_code == 404
    assert served.get("/export.db").content.startswith(b"SQLite format 3\0")


def test_the_first_feature_comes_and_goes(mine: Project, tmp_path: Path) -> None:
    assert mine.run("new", "recipe", "title:str", "minutes:int").returncode == 0
    look = "from app.main import app, kinds; from templates.layout import AREAS; print(*kinds, *AREAS)"
    shown = subprocess.run(
        [sys.executable, "-c", look],
        cwd=mine.root,
        env={"LARDER_DATA": str(tmp_path / "data")},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert shown.stdout.split() == ["recipes", "/recipes", "/imports"]
    assert mine.run("drop", "recipe", "--data", tmp_path / "data").returncode == 0
    assert mine.status() == ""


def test_a_second_time_there_is_nothing_to_do(mine: Project) -> None:
    again = mine.run("rename", "Larder", "--without-example")
    assert again.stdout == "It is called Larder already. The example is gone already. Nothing was changed.\n"
    assert mine.status() == ""


@pytest.mark.slow
def test_its_own_tests_pass_and_those_of_its_first_feature(mine: Project, tmp_path: Path) -> None:
    mine.test()
    locked = subprocess.run(
        [tool("uv", NO_UV), "lock", "--check", "--offline"], cwd=mine.root, capture_output=True, encoding="utf-8"
    )
    assert locked.returncode == 0, locked.stderr
    assert mine.run("new", "recipe", "title:str", "minutes:int", "cooked:date?", "tags:text").returncode == 0
    mine.test("tests/app/test_recipes.py", "tests/templates/test_recipes.py")
    mine.test("--engine", "-n0", "tests/engine/test_project.py")
    assert mine.run("drop", "recipe", "--data", tmp_path / "none").returncode == 0
    assert mine.status() == ""
