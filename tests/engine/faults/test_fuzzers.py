"""The fuzzers themselves: they find what is planted, and make it small."""

import shutil
from pathlib import Path

import pytest

from tests.engine.conftest import PROJECT
from tests.engine.faults.fuzzing import fuzz, shrunk
from tests.engine.faults.routes import Route
from tests.engine.faults.watched import Watched
from tests.engine.faults.ways.forms import Forms
from tests.engine.server.test_run import PARTS

READ = "form = await forms.form_of(request)\n"
SIGN = "9999"
ADD = [Route("/tasks", ["POST", "PATCH"])]


def test_what_fails_is_made_small() -> None:
    given = (b"GET", b"needless", b"some needle here", b"needless too")
    assert shrunk(given, lambda smaller: b"needle h" in b"".join(smaller)) == (b"needle h",)
    assert shrunk(("a", ("b", 1)), lambda smaller: ("b", 1) in smaller) == (("b", 1),)


def planted(tmp_path: Path, act: str) -> Forms:
    """Forms to a copy of the project that does this where a title has some digits in it."""
    copy = tmp_path / "project"
    copy.mkdir()
    for part in PARTS:
        shutil.copytree(PROJECT / part, copy / part) if (PROJECT / part).is_dir() else shutil.copy(PROJECT / part, copy)
    tasks = copy / "app" / "tasks.py"
    lines = f'    if "{SIGN}" in form.get("title", ""):\n        {act}\n'
    tasks.write_text(tasks.read_text(encoding="utf-8").replace(READ, READ + lines, 1), encoding="utf-8")
    return Forms(Watched(tmp_path, "private", copy), ADD)


@pytest.mark.slow
def test_an_exception_is_found(tmp_path: Path) -> None:
    way = planted(tmp_path, "raise KeyError")
    found = next(each for each in fuzz(way, 8, 1).findings if "KeyError" in each.wrong)
    assert "through tasks.py" in found.wrong
    assert found.given is not None
    assert len(found.given) < 8
    way.watched.stop()


@pytest.mark.slow
def test_a_loop_that_stands_is_found(tmp_path: Path) -> None:
    way = planted(tmp_path, "sum(range(80_000_000))")
    assert any(each.wrong.startswith("slow") and each.given is not None for each in fuzz(way, 8, 1).findings)
    way.watched.stop()


@pytest.mark.slow
def test_what_is_acknowledged_and_not_kept_is_found(tmp_path: Path) -> None:
    way = planted(tmp_path, "return RedirectResponse(AREA, 303)")
    kind = b"Content-Type: application/x-www-form-urlencoded\r\n"
    head = (b"POST /tasks HTTP/1.1\r\n", b"Host: localhost\r\n", b"Connection: close\r\n", kind)
    for title in (b"title=Kept", b"title=" + SIGN.encode()):
        assert way.judge((*head, b"Content-Length: %d\r\n" % len(title), b"\r\n", title)) == ""
    assert way.watched.stop() == "lost: 2 added tasks were acknowledged, 1 are in the file"
