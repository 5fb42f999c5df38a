"""Every way in is given odd inputs for a while: no 500, no trace, no loop that stands, little memory, nothing lost.

A moment each in the quick run, from one seed; with -m slow ten minutes together, from a new one each time.
"""

import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.app_name import PREFIX
from tests.engine.conftest import PROJECT
from tests.engine.faults import fuzzing
from tests.engine.faults.forking import Forking
from tests.engine.faults.fuzzing import QUICK_SECONDS, SLOW_SECONDS, Way
from tests.engine.faults.routes import Route, routes
from tests.engine.faults.watched import Watched
from tests.engine.faults.ways.forms import Forms
from tests.engine.faults.ways.heads import Heads
from tests.engine.faults.ways.imports import Imports
from tests.engine.faults.ways.json_bodies import JsonBodies
from tests.engine.faults.ways.live import Live
from tests.engine.faults.ways.new import New
from tests.engine.faults.ways.restore import Restore
from tests.engine.project import Project

OVER_HTTP = {way.kind: way for way in (Heads, Forms, JsonBodies, Live)}
# A proxy speaks for others: who is signed out, and who is signed in.
MODES = ("private", "shared")
KIND = "from app.main import kinds; from app.records.kinds import to_json; print(to_json(kinds['tasks']))"


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> list[Route]:
    """Every route of the app that is asked over HTTP."""
    return [route for route in routes(tmp_path_factory.mktemp("routes")) if route.methods]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Watched]:
    """A server in the mode that the test names."""
    watched = Watched(tmp_path_factory.mktemp("fuzzed"), request.param)
    yield watched
    assert watched.stop() == ""


@pytest.fixture(params=["quick", pytest.param("long", marks=pytest.mark.slow)])
def length(request: pytest.FixtureRequest) -> str:
    """How long it is fuzzed."""
    return str(request.param)


def run(way: Way, length: str, parts: int = 1) -> None:
    """Fuzz one of so many parts of a way in, and say what was found."""
    kind = way.name.split()[0]
    seconds, seed = (QUICK_SECONDS, 1) if length == "quick" else (SLOW_SECONDS[kind], secrets.randbelow(10**9))
    report = fuzzing.fuzz(way, fuzzing.seconds(seconds / parts), fuzzing.seed(seed))
    print(f"\n{report}")
    assert not report.findings, f"{report}\nThe same inputs come again with FUZZ_SEED={report.seed}"


@pytest.mark.parametrize("watched", MODES, indirect=True)
@pytest.mark.parametrize("kind", OVER_HTTP)
def test_over_http(watched: Watched, asked: list[Route], kind: str, length: str) -> None:
    run(OVER_HTTP[kind](watched, asked), length, len(MODES))


@pytest.mark.parametrize("watched", MODES[:1], indirect=True)
def test_files_for_import(watched: Watched, length: str, tmp_path: Path) -> None:
    described = subprocess.run(
        [sys.executable, "-c", KIND],
        env={f"{PREFIX}DATA": str(tmp_path / "kind")},
        cwd=PROJECT,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    with Forking("app.imports.reading.process", cwd=PROJECT) as reader:
        run(Imports(watched, reader, described.stdout.strip(), PROJECT / "tests/engine/exports", tmp_path), length)


@pytest.mark.parametrize("watched", MODES[:1], indirect=True)
def test_files_for_restore(watched: Watched, length: str, tmp_path: Path) -> None:
    with Forking("server.commands.cli", "app.backup.backups", cwd=PROJECT) as commands:
        run(Restore(watched, commands, tmp_path), length)


def test_names_of_features(length: str, tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    with Forking("server.commands.cli", "server.commands.features", cwd=project.root) as commands:
        run(New(project, commands, tmp_path), length)
