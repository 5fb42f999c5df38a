"""The commands that edit the project return when the servers that follow it have done so."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.reload import server_state as states
from tests.engine.reloading import Checkout, until
from tests.engine.subject import ROOT

if shutil.which("git") is None:
    pytest.skip("no git on this machine: install it to run the tests of the commands", allow_module_level=True)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A clone in which a server follows the code."""
    checkout = Checkout(tmp_path_factory.mktemp("running"))
    for name in ("tests", "docs", "flake.nix", "AGENTS.md", "CHANGELOG.md", ".gitignore"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, checkout.root / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, checkout.root / name)
    git(checkout, "init", "-q")
    commit(checkout)
    yield checkout.start()
    checkout.end_anyhow()


def git(checkout: Checkout, *command: str) -> None:
    identity = ["-c", "user.name=A person", "-c", "user.email=person@example.org"]
    subprocess.run(["git", *identity, *command], cwd=checkout.root, check=True, capture_output=True)


def commit(checkout: Checkout) -> None:
    """Have nothing to commit."""
    git(checkout, "add", "-A")
    git(checkout, "commit", "-qm", "As it is", "--allow-empty")


def run(checkout: Checkout, *command: object) -> subprocess.CompletedProcess[str]:
    """A command, to its end."""
    done = subprocess.run(
        [sys.executable, "server.py", *map(str, command)],
        cwd=checkout.root,
        capture_output=True,
        encoding="utf-8",
        timeout=90,
    )
    commit(checkout)
    return done


def test_new_returns_when_the_page_is_served_and_drop_when_it_is_gone(checkout: Checkout) -> None:
    for singular in ("recipe", "book", "animal"):
        done = run(checkout, "new", singular, "title:str")
        assert checkout.get(f"/{singular}s").status_code == 200
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith(f"It is served: {checkout.url}/{singular}s\n")
    done = run(checkout, "drop", "animal", "--data", checkout.data)
    assert checkout.get("/animals").status_code == 404
    assert (done.returncode, done.stderr) == (0, "")


def test_what_cannot_be_served_is_said(checkout: Checkout) -> None:
    main = checkout.path("app/main.py")
    source = main.read_text(encoding="utf-8")
    main.write_text(source + "\n1 / 0\n", encoding="utf-8")
    until(lambda: "ZeroDivisionError" in checkout.printed(), "it is broken")
    commit(checkout)
    done = run(checkout, "new", "pencil", "title:str")
    assert done.returncode == 0
    assert done.stdout.endswith(
        f"The server at {checkout.url} cannot start with it: ZeroDivisionError: division by zero\n"
    )
    main.write_text(main.read_text(encoding="utf-8").replace("\n1 / 0\n", ""), encoding="utf-8")
    until(lambda: checkout.get("/pencils").status_code == 200, "it is mended")
    commit(checkout)


def test_where_no_server_runs_that_is_said_and_nothing_is_waited_for(tmp_path: Path, checkout: Checkout) -> None:
    copy = tmp_path / "copy"
    git(checkout, "clone", "-q", str(checkout.root), str(copy))
    # One that was killed has left its file.
    place = copy / states.PLACE
    place.mkdir(exist_ok=True)
    left = place / states.NAMES.replace("*", "1")
    left.write_text("{}", encoding="utf-8")
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "server.py", "new", "flower", "title:str"], cwd=copy, capture_output=True, encoding="utf-8"
    )
    assert done.stdout.endswith("No server follows the code at this moment: python3 server.py shows it at /flowers.\n")
    assert time.monotonic() - began < states.FOLLOW_SECONDS
    assert not left.exists()


def test_at_its_end_a_server_takes_its_file_with_it(checkout: Checkout) -> None:
    assert list((checkout.root / states.PLACE).glob(states.NAMES))
    assert checkout.end() == 0
    assert not list((checkout.root / states.PLACE).glob(states.NAMES))
