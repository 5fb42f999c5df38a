"""A branch with fewer migrations is checked out: what is newer is said, and what can be done about it is done."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database, Migrations

from app.database.newer_schema import copy_before, missing, offers
from app.database.preparation import prepare
from tests.engine.reloading import Checkout, until

MIGRATIONS = "app/migrations.py"
NEWER = """

@migrations()
def keep_colours(db: Database) -> None:
    db.execute("CREATE TABLE colours (name TEXT)")
    db.execute("INSERT INTO colours VALUES ('red')")


@migrations()
def add_shade(db: Database) -> None:
    db.execute("ALTER TABLE colours ADD COLUMN shade TEXT")
"""


class Branches:
    """A checkout with two branches: `older`, and `newer`, which has two migrations more."""

    def __init__(self, checkout: Checkout) -> None:
        self.checkout = checkout
        self._path = checkout.path(MIGRATIONS)
        self._older = self._path.read_text(encoding="utf-8")

    def older(self) -> None:
        self._path.write_text(self._older, encoding="utf-8")

    def newer(self) -> None:
        self._path.write_text(self._older + NEWER, encoding="utf-8")

    def add(self, title: str) -> None:
        with self.checkout.client() as client:
            assert client.post("/tasks", data={"title": title}).status_code == 303

    def choose(self, choice: str) -> int:
        with self.checkout.client() as client:
            return client.post("/development/choose", data={"choice": choice}).status_code

    def tables(self) -> set[str]:
        with closing(sqlite3.connect(self.checkout.data / "app.db")) as file:
            return {row[0] for row in file.execute("SELECT name FROM sqlite_schema")}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of the newer branch, with a task from before its migrations and one from after them."""
    checkout = Checkout(tmp_path_factory.mktemp("newer"))
    branches = Branches(checkout)
    try:
        checkout.start()
        branches.add("From before")
        assert checkout.end() == 0
        branches.newer()
        checkout.start()
        branches.add("From after")
        assert checkout.end() == 0
    finally:
        checkout.end_anyhow()
    return checkout.data


@pytest.fixture
def branches(tmp_path: Path, data: Path) -> Iterator[Branches]:
    """The newer branch with a copy of its data; nothing runs."""
    checkout = Checkout(tmp_path)
    git = checkout.root / ".git"
    git.mkdir()
    (git / "HEAD").write_text("ref: refs/heads/feature/colours\n", encoding="utf-8")
    shutil.copytree(data, checkout.data)
    branches = Branches(checkout)
    branches.newer()
    yield branches
    checkout.end_anyhow()


SAID = "has “keep_colours”, “add_shade”, which this version does not know."


def said(branches: Branches) -> str:
    """Check the older branch out while the newer one is served; what is said then."""
    branches.checkout.start()
    at = len(branches.checkout.printed())
    branches.older()
    until(lambda: SAID in branches.checkout.printed()[at:], "what is newer is said")
    until(lambda: "Or check out the newer version again" in branches.checkout.printed()[at:], "and what can be done")
    return branches.checkout.printed()[at:]


def test_what_is_newer_is_said_edits_are_followed_and_the_branch_that_comes_back_mends_it(branches: Branches) -> None:
    checkout = branches.checkout
    words = said(branches)
    assert "The last version that worked goes on serving." in words
    copy = re.search(r"Go back to the copy from before: (\S+-before-keep_colours\.db)\.", words)
    assert copy
    assert Path(copy[1]).exists()
    assert "python3 server.py --data data/feature-colours" in words
    assert "Go on with the data as they are" in words
    assert "Traceback" not in words
    branches.add("Meanwhile")
    # The newer one serves on; what is edited meanwhile counts when it can start.
    main = checkout.path("app/main.py")
    main.write_text(main.read_text(encoding="utf-8").replace("edition 1", "edition 7"), encoding="utf-8")
    at = len(checkout.printed())
    branches.newer()
    until(lambda: "Mended." in checkout.printed()[at:], "it is mended by itself")
    assert checkout.edition() == "edition 7"
    assert "Meanwhile" in checkout.get("/tasks").text
    # Nothing was offered, so nothing can be chosen.
    starts = len(checkout.starts())
    assert branches.choose("restore") == 204
    assert checkout.publish()
    assert len(checkout.starts()) == starts + 1
    assert checkout.end() == 0


def test_the_copy_from_before_is_restored_and_what_was_there_is_kept(branches: Branches) -> None:
    checkout = branches.checkout
    said(branches)
    assert branches.choose("restore") == 204
    until(lambda: "Mended." in checkout.printed(), "it serves")
    page = checkout.get("/tasks").text
    assert "From before" in page
    assert "From after" not in page
    assert "colours" not in branches.tables()
    kept = re.search(r"What was there before is kept in (\S+\.db)\.", checkout.printed())
    assert kept
    with closing(sqlite3.connect(kept[1])) as file:
        assert file.execute("SELECT count(*) FROM tasks").fetchone() == (2,)
    assert checkout.publish(), "edits are followed"
    # The newer branch is migrated to once more.
    branches.newer()
    until(lambda: "colours" in branches.tables(), "it is migrated")
    assert checkout.end() == 0


def test_to_go_on_with_the_data_as_they_are_holds_until_the_end(branches: Branches) -> None:
    checkout = branches.checkout
    said(branches)
    assert branches.choose("keep") == 204
    until(lambda: "Mended." in checkout.printed(), "it serves")
    for _ in range(2):
        page = checkout.get("/tasks").text
        assert "From before" in page
        assert "From after" in page
        checkout.publish()
    branches.add("With the older code")
    assert "colours" in branches.tables()
    assert checkout.end() == 0


def test_a_start_in_that_state_is_a_page_that_says_so_and_offers_the_same(branches: Branches) -> None:
    checkout = branches.checkout
    branches.older()
    checkout.start(wait=False)
    until(lambda: "The data are newer than the code" in checkout.get("/tasks").text, "the page says it")
    page = checkout.get("/tasks")
    assert page.status_code == 500
    for words in ("keep_colours", "add_shade", 'value="restore"', 'value="keep"', "data/feature-colours"):
        assert words in page.text
    assert branches.choose("nothing that is offered") == 204
    assert branches.choose("keep") == 204
    until(lambda: checkout.get("/tasks").status_code == 200, "it serves")
    assert checkout.end() == 0


@pytest.mark.parametrize(
    "options",
    [pytest.param(("--no-reload",), id="one"), pytest.param(("--workers", "2"), id="two", marks=pytest.mark.slow)],
)
def test_in_production_it_is_a_line_and_the_exit_code_and_the_command_mends_it(
    branches: Branches, options: tuple[str, ...]
) -> None:
    checkout = branches.checkout
    branches.older()
    server = [sys.executable, str(checkout.path("server.py"))]
    environment = {**os.environ, "PROBE": os.devnull}
    command = [*server, "run", "--no-open", "--port", "0", "--data", str(checkout.data), *options]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60, env=environment)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert "written by a newer version of this app (it has “keep_colours”, “add_shade”" in line
    copy = re.search(r"python3 server\.py restore --data \S+ (\S+)$", line)
    assert copy
    restored = [*server, "restore", "--data", str(checkout.data), copy[1]]
    subprocess.run(restored, check=True, capture_output=True, timeout=60)
    checkout.start(*options)
    assert "From before" in checkout.get("/tasks").text
    assert checkout.end() == 0


Step = Callable[[Database], Any]


def made(*steps: Step) -> Migrations:
    """Migrations of these steps."""
    migrations = Migrations("of a test")
    for step in steps:
        migrations(name=step.__name__)(step)
    return migrations


def notes(db: Database) -> None:
    db.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL, old TEXT)")


def more(db: Database) -> None:
    db.execute("CREATE TABLE more (id INTEGER PRIMARY KEY)")
    db.execute("ALTER TABLE notes ADD COLUMN colour TEXT")
    db.execute("ALTER TABLE notes ADD COLUMN size INTEGER NOT NULL DEFAULT 1")


def less(db: Database) -> None:
    db.execute("ALTER TABLE notes DROP COLUMN old")


def needed(db: Database) -> None:
    db.execute("DROP TABLE notes")
    db.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL, old TEXT, owner TEXT NOT NULL)")


def gone(db: Database) -> None:
    db.execute("DROP TABLE notes")


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (more, []),
        (less, ["notes has no old any more"]),
        (needed, ["notes wants a owner in each row"]),
        (gone, ["the table notes is gone"]),
    ],
)
def test_to_go_on_is_offered_where_the_older_code_finds_all_that_it_needs(
    tmp_path: Path, step: Step, words: list[str]
) -> None:
    older = made(notes)
    prepare(tmp_path / "data", older)
    path = prepare(tmp_path / "data", made(notes, step))
    assert missing(path, older) == words
    copy = copy_before(path, older)
    assert copy is not None
    assert copy.name.endswith(f"-before-{step.__name__}.db")
    found = offers(path, older, tmp_path)
    assert [offer.choice for offer in found] == ["restore", "" if words else "keep", "", ""]
    copy.unlink()
    assert copy_before(path, older) is None
    assert "restore" not in [offer.choice for offer in offers(path, older, tmp_path)]
