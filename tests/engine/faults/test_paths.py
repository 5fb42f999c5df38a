"""Secrets beside what may be read: none comes out of the real server, whatever the spelling of the path.

The rules of one directory are held in tests/engine/server/test_assets.py, which has the spellings too.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.conftest import PROJECT
from tests.engine.faults.wire import ask
from tests.engine.server.test_assets import SPELLINGS
from tests.engine.server.test_run import PARTS, Running

SECRET = "planted, not to be read"
RAW = (
    "..\x00/{}",
    "\x00../{}",
    "..\x7f/{}",
    "\xc0\xae\xc0\xae/{}",
    "..\xff/{}",
    "..\t/{}",
    "..%zz/{}",
    "%/{}",
    "..%2/{}",
)
PREFIXES = ("/static/", "/", "/static/vendor/../", "/tasks/")


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server on a copy of the project, with secrets in its data, beside its static files, and links to them."""
    copy = tmp_path_factory.mktemp("planted") / "project"
    copy.mkdir()
    for part in PARTS:
        shutil.copytree(PROJECT / part, copy / part) if (PROJECT / part).is_dir() else shutil.copy(PROJECT / part, copy)
    (copy / "static-private").mkdir()
    (copy / "data").mkdir()
    for place in ("", "static-private", "data"):
        (copy / place / "secret.txt").write_text(SECRET, encoding="utf-8")
    (copy / "static" / "link.txt").symlink_to(copy / "secret.txt")
    (copy / "static" / "way-out").symlink_to(copy)
    (copy / "static" / "data").symlink_to(copy / "data")
    (copy / "static" / "link.db").symlink_to(copy / "data" / "app.db")
    running = Running("server.py", data=copy / "data", cwd=copy)
    with running.client() as client:
        assert client.post("/tasks", data={"title": SECRET}).status_code == 303
    yield running
    running.end_anyhow()


def secrets(data: Path) -> dict[str, list[str]]:
    """Each file that must not be read, by the way to it from the static files' parent, with what it holds."""
    key = (data / "session.key").read_text(encoding="utf-8").strip()
    planted = (
        "secret.txt",
        "data/secret.txt",
        "data/uploads/secret.txt",
        "app/secret.txt",
        "static-private/secret.txt",
    )
    return {
        **{name: [SECRET] for name in planted},
        "data/session.key": [key],
        "data/app.db": ["SQLite format", SECRET],
        "data/app.db-wal": [SECRET],
        "server.py": ["#!/usr/bin/env", "import "],
        "link.db": ["SQLite format"],
    }


@pytest.mark.parametrize(
    "prefix", [PREFIXES[0], *(pytest.param(prefix, marks=pytest.mark.slow) for prefix in PREFIXES[1:])]
)
def test_no_spelling_of_a_path_brings_a_secret_out(planted: Running, prefix: str) -> None:
    for name, contents in secrets(planted.data).items():
        absolute = str(planted.data.parent / name)
        deep = ("../" * depth + "{absolute}" for depth in (1, 3, 9, 99))
        for spelling in (*SPELLINGS, *RAW, *deep, "{}", "../{}", "data/{}", name.rpartition("/")[2]):
            path = prefix + spelling.format(name, absolute=absolute)
            target = path.replace(" ", "%20").encode("latin-1")
            answer = ask(planted, b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert answer.status in (400, 404), path
            assert not [content for content in contents if content in answer.text], path


def test_what_may_be_read_is_read(planted: Running) -> None:
    answer = ask(planted, b"GET /static/app.css HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert (answer.status, "color" in answer.text) == (200, True)
