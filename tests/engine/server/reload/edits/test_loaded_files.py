"""What is followed is what the app uses, wherever it is, and no file that it writes itself."""

import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from server.reload.edits.loaded_files import (
    Used,
    digest,
    is_own,
    top_of,
)
from tests.engine.reloading import MAIN, Checkout, until

_numbers = itertools.count(1)


def words() -> str:
    """Words that were never there."""
    return f"words {next(_numbers)}"


def use(running: Checkout, source: str, expression: str, before: str = "") -> None:
    """Have the app use something when it is imported."""
    line = f"{before}\nEDITION = {expression}\nunused = " if before else f"EDITION = {expression}\nunused = "
    running.path(MAIN).write_text(source.replace("EDITION = ", line, 1), encoding="utf-8")


def put(path: Path, text: str) -> str:
    """Write a file; the text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return text


def follows(running: Checkout, path: Path, form: str = "{}") -> None:
    """Edits of a file are served: as editors move a new file over it, and then written in place."""
    for is_moved in (True, False):
        text = words()
        if is_moved:
            new = path.with_name(f"{path.name}.new")
            new.write_text(form.format(text), encoding="utf-8")
            new.replace(path)
        else:
            path.write_text(form.format(text), encoding="utf-8")
        until(lambda text=text: running.edition() == text, f"{text} of {path.name} is served")


READ = "__import__('pathlib').Path({!r}).read_text()"
FILES = ["app/words.json", "data_files/deep/words.yaml", ".env"]
MORE_FILES = [
    pytest.param(name, marks=pytest.mark.slow) for name in ("words.txt", "app/more/words.md", "tests/words.txt")
]


@pytest.mark.parametrize("name", [*FILES, *MORE_FILES])
def test_a_file_that_was_read_is_followed(running: Checkout, source: str, name: str) -> None:
    text = put(running.path(name), words())
    use(running, source, READ.format(name))
    until(lambda: running.edition() == text, "it is read")
    follows(running, running.path(name))


MODULE = "WORDS = {!r}\n"


@pytest.mark.parametrize(
    "name",
    ["packages/inner/deep.py", *(pytest.param(name, marks=pytest.mark.slow) for name in ("lib/here.py", "alone.py"))],
)
def test_a_module_outside_the_rooms_is_followed(running: Checkout, source: str, name: str) -> None:
    text = words()
    put(running.path(name), MODULE.format(text))
    module = name.removesuffix(".py").replace("/", ".")
    use(running, source, "WORDS", f"from {module} import WORDS")
    until(lambda: running.edition() == text, "it is imported")
    follows(running, running.path(name), "WORDS = '{}'\n")
    at = len(running.printed())
    put(running.path(name), "WORDS = (\n")
    until(lambda: f"in {name}:1" in running.printed()[at:], "what is wrong in it is said")
    text = words()
    put(running.path(name), MODULE.format(text))
    until(lambda: running.edition() == text, "it is mended")


def test_a_module_elsewhere_is_followed(running: Checkout, source: str, tmp_path: Path) -> None:
    text = words()
    put(tmp_path / "elsewhere_here.py", MODULE.format(text))
    use(running, source, "WORDS", f"sys.path.append({str(tmp_path)!r})\nfrom elsewhere_here import WORDS")
    until(lambda: running.edition() == text, "it is imported")
    follows(running, tmp_path / "elsewhere_here.py", "WORDS = '{}'\n")


def test_a_module_that_was_missing_is_followed_with_its_directory(running: Checkout, source: str) -> None:
    at, text = len(running.printed()), words()
    use(running, source, "WORDS", "from later.inner.late import WORDS")
    until(lambda: "No module named 'later'" in running.printed()[at:], "it is missing")
    put(running.path("later/inner/late.py"), MODULE.format(text))
    until(lambda: running.edition() == text, "it came")
    follows(running, running.path("later/inner/late.py"), "WORDS = '{}'\n")
    # A directory of another name takes its place.
    text = words()
    put(running.path("newer/inner/late.py"), MODULE.format(text))
    running.path("later").rename(running.path("gone"))
    running.path("newer").rename(running.path("later"))
    until(lambda: running.edition() == text, "it is the other one")
    follows(running, running.path("later/inner/late.py"), "WORDS = '{}'\n")


def test_a_file_that_was_missing_is_followed(running: Checkout, source: str) -> None:
    at, text = len(running.printed()), words()
    use(running, source, READ.format("config/late/words.toml"))
    until(lambda: "FileNotFoundError" in running.printed()[at:], "it is missing")
    put(running.path("config/late/words.toml"), text)
    until(lambda: running.edition() == text, "it came")


def test_what_a_template_has_read_is_followed_although_templates_are_shared(running: Checkout) -> None:
    file, layout = running.path("templates/words.csv"), running.path("templates/layout.py")
    before = layout.read_text(encoding="utf-8")
    text = put(file, words())
    reads = 'import pathlib\n\nTEXT = (pathlib.Path(__file__).parent / "words.csv").read_text()\n'
    lines = before.replace('Main(content, id="main"', 'Main(content, title=TEXT, id="main"', 1)
    head, marker, rest = lines.partition("\nfrom ")
    layout.write_text(f"{head}\n{reads}{marker}{rest}", encoding="utf-8")
    for _ in range(2):
        until(lambda text=text: text in running.get("/tasks").text, "it is shown")
        time.sleep(0.3)
        text = put(file, words())
    layout.write_text(before, encoding="utf-8")
    until(lambda: "title=" not in running.get("/tasks").text.partition('id="main"')[0][-60:], "as before")


@pytest.mark.parametrize("kind", [pytest.param("file", marks=pytest.mark.slow), "two links", "directory"])
def test_where_a_link_leads_to_is_followed(running: Checkout, source: str, tmp_path: Path, kind: str) -> None:
    text, name = words(), f"linked_{next(_numbers)}"
    target = tmp_path / "shared" / f"{name}.py"
    put(target, MODULE.format(text))
    if kind == "directory":
        running.path(f"app/{name}_all").symlink_to(target.parent, target_is_directory=True)
        (target.parent / "circle").symlink_to(target.parent, target_is_directory=True)
        module = f"app.{name}_all.{name}"
    else:
        if kind == "two links":
            (tmp_path / "between.py").symlink_to(target)
        running.path(f"app/{name}.py").symlink_to(target if kind == "file" else tmp_path / "between.py")
        module = f"app.{name}"
    use(running, source, "WORDS", f"from {module} import WORDS")
    until(lambda: running.edition() == text, "it is imported")
    follows(running, target, "WORDS = '{}'\n")
    if kind == "two links":
        text = words()
        put(tmp_path / "other.py", MODULE.format(text))
        (tmp_path / "new").symlink_to(tmp_path / "other.py")
        (tmp_path / "new").replace(tmp_path / "between.py")
        until(lambda: running.edition() == text, "the link leads elsewhere")


def test_what_the_app_writes_itself_is_no_edit(running: Checkout, source: str) -> None:
    write = (
        "import json, pathlib\n"
        "for each in ('app/cache.json', 'logs/app.log', 'state.json', 'static/made.css'):\n"
        "    pathlib.Path(each).parent.mkdir(exist_ok=True)\n"
        "    before = pathlib.Path(each).read_text() if pathlib.Path(each).exists() else ''\n"
        "    pathlib.Path(each + '.new').write_text(f'/* {time.time_ns()} {before[:20]} */')\n"
        "    os.replace(each + '.new', each)\n"
    )
    at = len(running.starts())
    text = words()
    use(running, source, f'"{text}"', write)
    until(lambda: running.edition() == text, "it is served")
    running.publish()
    quiet = time.monotonic()
    starts = len(running.starts())
    while time.monotonic() - quiet < 1:
        time.sleep(0.05)
        assert len(running.starts()) <= starts + 1
    assert starts <= at + 4


def test_a_file_that_changes_all_the_time_is_left_out(running: Checkout, source: str) -> None:
    """As one that a program does which the app starts."""
    file = running.path("clock.txt")
    put(file, "0")
    text = words()
    write = (
        "import subprocess\nopen('clock.txt').close()\n"
        "subprocess.run(['/bin/sh', '-c', 'date +%s%N > clock.txt'], check=True)"
    )
    use(running, source, f'"{text}"', write)
    until(lambda: running.edition() == text, "it is served")
    running.publish()
    until(lambda: "clock.txt changes all the time: it is not followed any more." in running.printed(), "it is said")
    assert running.publish()


def test_a_file_that_a_request_has_read_is_followed(running: Checkout, source: str) -> None:
    text = put(running.path("notice.txt"), words())
    reads = "PlainTextResponse(f\"{open('notice.txt').read()} {os.getpid()}\")"
    main = source.replace('PlainTextResponse(f"{EDITION} {os.getpid()}")', reads, 1)
    running.path(MAIN).write_text(main, encoding="utf-8")
    until(lambda: running.edition() == text, "it is read")
    before = len(running.starts())
    time.sleep(1.5)  # Once a second it is said what came.
    put(running.path("notice.txt"), words())
    until(lambda: len(running.starts()) > before, "the app begins anew, and so do pages")


@pytest.mark.parametrize("place", ["a folder of a larger one", "no git at all"])
def test_without_an_option_a_project_is_followed_wherever_it_is(tmp_path: Path, place: str) -> None:
    checkout = Checkout(tmp_path)
    if place != "no git at all":
        subprocess.run(["git", "init", "-q", tmp_path], check=True)
    try:
        checkout.start("--log-level", "warning")
        checkout.publish()
        if place != "no git at all":
            # What git writes there is one edit too.
            lock = tmp_path / ".git" / "index.lock"
            lock.touch()
            main = checkout.path(MAIN)
            edition = checkout.edition()
            main.write_text(main.read_text(encoding="utf-8").replace(edition, "held"), encoding="utf-8")
            time.sleep(0.5)
            assert checkout.edition() == edition
            lock.unlink()
            until(lambda: checkout.edition() == "held", "it is served when git has done")
        assert checkout.end() == 0
    finally:
        checkout.end_anyhow()


def test_what_is_noted_and_what_is_not(tmp_path: Path) -> None:
    """In a process of its own, as what is told of opened files is so for all its life."""
    code = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).resolve().parents[5])!r})
from pathlib import Path
from server.reload.edits.loaded_files import Used
root = Path({str(tmp_path)!r})
names = ("read.txt", "data/app.txt", ".git/config", "x/.hidden/file", "static/app.css", "pyproject.toml")
for name in (*names, "written.txt"):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("text")
used = Used(root, root / "data")
for name in names:
    (root / name).read_text()
(root / "written.txt").write_text("more")
os.chdir(root)
open("relative.txt", "a").close()
os.rename("relative.txt", "renamed.txt")
news = used.news()
print(sorted(path for path in news.files if path.startswith(str(root))), sorted(news.written))
print(used.news())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    files, rest = done.stdout.splitlines()
    root = str(tmp_path)
    written = [f"{root}/{name}" for name in ("relative.txt", "renamed.txt", "written.txt")]
    assert files == f"{[f'{root}/read.txt']} {written}"
    assert rest == "None"


def test_whose_a_module_is_and_where_a_repository_begins(tmp_path: Path) -> None:
    assert is_own(__file__)
    assert not is_own(os.__file__)
    assert not is_own(pytest.__file__)
    (tmp_path / ".git").mkdir()
    (tmp_path / "one" / "two").mkdir(parents=True)
    assert top_of(tmp_path / "one" / "two") == tmp_path
    assert digest(tmp_path) is None
    assert Used.__doc__
