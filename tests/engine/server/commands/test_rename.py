"""`rename` on a copy of the project: every place, back again, and names that cannot be."""

import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from server.app_name import NAME, PREFIX, SLUG
from server.commands import rename
from server.commands.project_edits import EditError
from server.commands.rename import LONGEST_NAME, Name
from tests.engine.conftest import ROOT
from tests.engine.project import NO_UV, Project, tool

# A name that no file has; not even this one, which has it in two pieces.
NOWHERE = "Tinder" + "box"
# Whose work it is, and how files of data know their migrations, stays.
STAYS = ("LICENSE", f'Migrations("{NAME.lower()}")')


def said(project: Project, word: str) -> list[str]:
    """The lines that say a word, however it is written."""
    found = subprocess.run(
        ["git", "grep", "-inI", word], cwd=project.root, capture_output=True, encoding="utf-8"
    ).stdout.splitlines()
    return [line for line in found if not any(stays in line for stays in STAYS)]


def test_no_file_says_the_old_name_and_back_again_all_is_as_before(project: Project) -> None:
    before = project.git("rev-parse", "HEAD").strip()
    assert project.run("rename", NOWHERE).returncode == 0
    # That name stands in the texts about this command.
    assert [line for line in said(project, NAME) if "My App" not in line] == []
    project.commit()
    done = project.run("rename", "Möhre & Co.")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Its package is mohre-co, its environment variables begin with MOHRE_CO_." in done.stdout
    assert "SECURITY.md says how to report a security problem, to those before you" in done.stdout
    assert said(project, NOWHERE) == []
    assert 'NAME = "Möhre & Co."' in (project.root / "templates/layout.py").read_text(encoding="utf-8")
    assert (project.root / "README.md").read_text(encoding="utf-8").startswith("# Möhre & Co.\n")
    assert tomllib.loads((project.root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"] == "mohre-co"
    assert ">M</text>" in (project.root / "static/icon.svg").read_text(encoding="utf-8")
    for text in ("README.md", "docs/commands.md"):
        assert "MOHRE_CO" + "_PORT" in (project.root / text).read_text(encoding="utf-8")
    assert project.run("--version").stdout.startswith("Möhre & Co., version")
    project.commit()
    assert "already. Nothing was changed." in project.run("rename", "Möhre & Co.").stdout
    assert project.status() == ""
    # A word that stands in many places for itself.
    assert project.run("rename", "Tasks").returncode == 0
    project.commit()
    assert project.run("rename", NAME).returncode == 0
    project.git("reset", "-q", before)
    assert project.status() == ""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "cannot be the name"),
        ("  ", "cannot be the name"),
        ('My "App"', "cannot be the name"),
        ("a\\b", "cannot be the name"),
        ("a{b}", "cannot be the name"),
        ("<b>", "cannot be the name"),
        ("x" * 41, "at most 40 characters"),
        ("料理", "one of the letters a to z"),
        ("3D", "one of the letters a to z"),
        ("Uvicorn", "“uvicorn” is the name of a package that the app needs"),
    ],
)
def test_what_cannot_be_a_name_is_refused_in_one_line(project: Project, name: str, message: str) -> None:
    refused = project.run("rename", name)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert message in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert project.status() == ""


def test_edits_that_are_not_committed_are_not_mixed_with_it(project: Project) -> None:
    (project.root / "README.md").write_text("mine", encoding="utf-8")
    refused = project.run("rename", "Tinder")
    assert refused.returncode == 2
    assert "not committed (README.md)" in refused.stderr
    assert project.status() == " M README.md\n"


def test_the_longest_name_makes_no_line_too_long(project: Project) -> None:
    assert project.run("rename", "A" + "x" * (LONGEST_NAME - 1)).returncode == 0
    for command in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--quiet", "--no-cache"]
        assert subprocess.run(ruff, cwd=project.root, capture_output=True, encoding="utf-8").stdout == ""


@pytest.mark.slow
def test_the_tests_pass_under_another_name(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    assert project.run("rename", "Larder" if NAME == "My App" else "My App").returncode == 0
    project.commit()
    project.test()
    locked = subprocess.run(
        [tool("uv", NO_UV), "lock", "--check", "--offline"], cwd=project.root, capture_output=True, encoding="utf-8"
    )
    assert locked.returncode == 0 or "offline" in locked.stderr, locked.stderr
    assert (ROOT / "uv.lock").read_text(encoding="utf-8") != (project.root / "uv.lock").read_text(encoding="utf-8")


# Words that the files have in other meanings too, as they have letters of every script.
NAMES = st.one_of(
    st.sampled_from(
        ["Git", "Protocol", "The", "Server", "Lib", "Data", "Share", "True", "App", "Python", "SQLite", NAME]
    ),
    st.text(
        st.characters(categories=["L", "N", "M"], include_characters=" _.,&'!+-"), min_size=1, max_size=LONGEST_NAME
    ),
    st.from_regex(r"[A-Za-z][A-Za-z0-9 _.&'!+-]{0,20}", fullmatch=True),
)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the files that say the name."""
    root = tmp_path_factory.mktemp("texts")
    for path in rename._places(ROOT):
        copy = root / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    return root


@given(wanted=st.tuples(NAMES, NAMES))
@settings(max_examples=5, deadline=None)
def test_any_name_after_any_other_and_back_gives_the_same_bytes(texts: Path, wanted: tuple[str, str]) -> None:
    own = Name(NAME, SLUG, PREFIX)
    files: Mapping[Path, str | None] = {}
    now = own
    try:
        names = [*(rename._name(each, texts, own) for each in wanted), own]
    except EditError:
        assume(False)
    for name in names:
        files = {**files, **dict(rename._renamed(texts, files, now, name))} if name != now else files
        now = name
    assert {path: text for path, text in files.items() if text != path.read_text(encoding="utf-8")} == {}


def test_what_is_of_python_or_of_others_is_not_renamed(project: Project) -> None:
    before = project.git("rev-parse", "HEAD").strip()
    root = project.root
    of_others = 'import os\nimport ssl\n\nCHOSEN = ssl.PROTOCOL_TLS_CLIENT, os.environ.get("GIT_' + 'EDITOR")\n'
    (root / "app/chosen.py").write_text(of_others, encoding="utf-8")
    with (root / "docs/running.md").open("a", encoding="utf-8") as page:
        page.write("\nOthers are `GIT_SSH`, `PROTOCOL_ERROR` and `PROTOCOL_TLS_CLIENT`; restart nothing.\n")
    project.commit()
    last = NAME
    for name in ("Protocol", "Git", "Nothing", NAME):
        done = project.run("rename", name)
        assert (done.returncode, done.stderr) == (0, ""), name
        assert ("Left as they are" in done.stdout and "app/chosen.py" in done.stdout) == (last == "Git")
        assert (root / "app/chosen.py").read_text(encoding="utf-8") == of_others
        assert "ssl.PROTOCOL_TLS_CLIENT" in (root / "server/run.py").read_text(encoding="utf-8")
        assert "`GIT_SSH`, `PROTOCOL_ERROR` and" in (root / "docs/running.md").read_text(encoding="utf-8")
        project.commit()
        last = name
    assert project.git("diff", "--stat", before, "--", ".", ":!app/chosen.py", ":!docs/running.md") == ""


def test_a_name_whose_places_are_taken_is_refused(project: Project) -> None:
    with (project.root / "README.md").open("a", encoding="utf-8") as page:
        page.write("\nSet `GIT_" + "EDITOR` for commits.\n")
    project.commit()
    refused = project.run("rename", "Git")
    assert refused.returncode == 2
    assert "README.md says “GIT_" + "EDITOR” already" in refused.stderr
    assert project.status() == ""


def test_an_edit_is_never_lost_where_git_cannot_be_asked(project: Project) -> None:
    before = project.git("rev-parse", "HEAD").strip()
    edited = project.root / "app/main.py"
    text = edited.read_text(encoding="utf-8") + "# An edit.\n"
    edited.write_text(text, encoding="utf-8")
    index = project.root / ".git/index"
    kept = index.read_bytes()
    index.write_bytes(b"broken")
    for command in (("rename", "My App", "--without-example"), ("rename", "My App"), ("new", "recipe", "title:str")):
        refused = project.run(*command)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "Git cannot say whether there are edits" in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
    index.write_bytes(kept)
    assert edited.read_text(encoding="utf-8") == text
    assert project.status() == " M app/main.py\n"
    project.git("reset", "-q", "--hard", before)
