"""The app on a machine that is unlike the one it was written on: an odd path, another locale, other modules."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from server.app_name import PREFIX
from tests.engine.conftest import PATIENCE, PROJECT, Server
from tests.engine.reloading import until

# A colon sets paths apart, `%` is an escape of configuration files and addresses, the rest is a shell's.
ODD = "a:b c 'd\" %41 $HOME ü 料"
# As much as Python lets itself be kept from UTF-8: then texts and names are ASCII unless something else is said.
NOT_UTF8 = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
OTHER_MODULES = "PYTHONPATH"
SURROUNDINGS = {
    "odd path": {},
    "not UTF-8": NOT_UTF8,
    "safe path": {"PYTHONSAFEPATH": "1"},
    "other modules": {OTHER_MODULES: "junk"},
    "all": {**NOT_UTF8, "PYTHONIOENCODING": "ascii:strict", "PYTHONSAFEPATH": "1", OTHER_MODULES: "junk"},
}
# Read by a process of its own, and drawn by another.
CSV = "title,notes\nKäse aus 料,{}\n"
TITLES = ["Möhre", "Käse aus 料"]
LONG = "Möhre **料** " * 2_000


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project at an odd place."""
    project = tmp_path_factory.mktemp("odd") / ODD / "project"
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns(".*", "data", "__pycache__", "engine"))
    return project


def junk(directory: Path) -> str:
    """Where modules lie that are called like those of the project."""
    for name in ("server", "app", "templates"):
        (directory / "junk" / name).mkdir(parents=True)
        (directory / "junk" / name / "__init__.py").write_text("raise SystemExit('not this one')", encoding="utf-8")
    return str(directory / "junk")


@pytest.mark.parametrize(
    "surroundings", [pytest.param(name, marks=pytest.mark.slow if name != "all" else ()) for name in SURROUNDINGS]
)
def test_the_app_serves_imports_draws_and_is_copied(project: Path, tmp_path: Path, surroundings: str) -> None:
    environment = dict(SURROUNDINGS[surroundings])
    if OTHER_MODULES in environment:
        environment[OTHER_MODULES] = junk(tmp_path)
    data = tmp_path / ODD / "data"
    data.parent.mkdir()
    server = Server(data, "--reload", environment=environment, project=project)
    try:
        with httpx.Client(base_url=server.url, timeout=PATIENCE) as client:
            assert client.post("/tasks", data={"title": "Möhre"}).status_code == 303
            file = ("Käse 料.csv", CSV.format(LONG).encode())
            sent = client.post("/imports", files={"file": file}, data={"kind": "tasks"})
            assert sent.status_code == 303, sent.text
            read = sent.headers["location"]
            until(lambda: "Käse aus 料" in client.get(read).text, client.get(read).text)
            assert client.post(f"{read}/start").status_code == 303
            until(lambda: server.sql("SELECT count(*) AS n FROM tasks")[0]["n"] == 2, "it was written")
            (task,) = server.sql("SELECT id FROM tasks WHERE title = 'Käse aus 料'")
            until(lambda: "<strong>料</strong>" in client.get(f"/tasks/{task['id']}").text, "it was drawn")

            def command(*words: object) -> str:
                ended = subprocess.run(
                    [sys.executable, "server.py", *map(str, words)],
                    cwd=project, env={**os.environ, **environment, f"{PREFIX}DATA": str(data)}, capture_output=True,
                )  # fmt: skip
                assert b"Traceback" not in ended.stderr
                assert ended.returncode == 0, ended.stderr
                return ended.stdout.decode(errors="replace")

            command("backup", tmp_path / "copy ü.db")
            assert client.post("/tasks", data={"title": "later"}).status_code == 303
            command("restore", tmp_path / "copy ü.db")
            assert [row["title"] for row in server.sql("SELECT title FROM tasks ORDER BY id")] == [
                "Möhre",
                "Käse aus 料",
            ]
            command("new", "recipe", "title:str", "cooked:date:optional")
            until(lambda: client.get("/recipes").status_code == 200, "it is there")
            command("drop", "recipe")
    finally:
        assert server.stop() == 0
    assert "Traceback" not in server.log.read_text(encoding="utf-8", errors="replace")


@pytest.mark.parametrize("flags", [("-P",), ("-I",), ("-I", "-X", "utf8=0")], ids=" ".join)
def test_a_python_that_looks_for_modules_elsewhere_finds_those_of_the_project(
    project: Path, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    ended = subprocess.run(
        [sys.executable, *flags, project / "server.py", "doctor", "--data", tmp_path / "none", "--port", "0"],
        cwd=tmp_path, env={"PATH": "/nowhere", **NOT_UTF8}, capture_output=True,
    )  # fmt: skip
    assert (ended.stderr, ended.returncode) == (b"", 1)
    wrong = [line for line in ended.stdout.decode().splitlines() if not line.startswith("ok ")]
    assert [re.split("[,(]", line)[0] for line in wrong] == ["No Chromium"]
