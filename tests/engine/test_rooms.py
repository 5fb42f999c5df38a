"""The rooms: what stands in one imports from lower floors only, so that a room can be read without those above it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.conftest import ROOT
from tests.test_sources import imports, sources

# From the lowest floor up. On one floor nothing imports anything of another room or file beside it.
FLOORS = {
    "server": (
        {"app_name", "assets", "background_work", "guard", "private_files", "process_limits", "standard_streams"},
        {"log", "protocols", "settings"},
        {"fragments", "sharing"},
        {"live", "workers"},
        {"reload"},
        {"inline", "run"},
        {"commands"},
    ),
    # Features, which are the modules beside these, stand beside `access`.
    "app": (
        {"settings"},
        {"database"},
        {"records"},
        {"migrations", "pages"},
        {"access"},
        {"imports"},
        {"backup", "exports"},
        {"main"},
    ),
    # Features stand beside `pages`.
    "templates": ({"parts"}, {"imports", "layout", "pages"}),
}
OF_FEATURES = {"app": 4, "templates": 1}
MOST_FILES = 13


@pytest.mark.parametrize("room", FLOORS)
def test_imports_lead_down(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in sources(room)
        if (own := within(room, path)) != "__init__"
        for line, module in taken(path)
        if module.startswith(f"{room}.")
        and (other := module.split(".")[1]) != own
        and floor(room, other) >= floor(room, own)
    ]
    assert wrong == []


@pytest.mark.parametrize("room", FLOORS)
def test_every_room_has_a_floor_and_no_floor_is_of_a_room_that_is_gone(room: str) -> None:
    there = {within(room, path) for path in sources(room)} - {"__init__"}
    named = set().union(*FLOORS[room])
    assert named <= there
    if room not in OF_FEATURES:
        assert there == named


def test_no_room_is_too_full() -> None:
    rooms = {path.parent for top in FLOORS for path in sources(top)}
    full = {room.relative_to(ROOT): len(list(room.glob("[!_]*.py"))) for room in rooms}
    assert {room: count for room, count in full.items() if count > MOST_FILES} == {}


def within(room: str, path: Path) -> str:
    """The room or file of a source right below the top one."""
    return path.relative_to(ROOT / room).parts[0].removesuffix(".py")


def floor(room: str, name: str) -> int:
    """On which floor a room or file stands; features have one of their own."""
    return next((n for n, floor in enumerate(FLOORS[room]) if name in floor), OF_FEATURES.get(room, 0))


def taken(path: Path) -> Iterator[tuple[int, str]]:
    """The modules that a source imports, with their lines; `from server import log` is `server.log`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            for each in node.names:
                yield node.lineno, f"{node.module}.{each.name}"
    yield from imports(path)
