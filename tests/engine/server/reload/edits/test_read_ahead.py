"""Code that was read ahead is never that of another file than there is."""

import importlib
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from server.reload.edits.read_ahead import Ahead

_rooms = (f"room_{number}" for number in itertools.count())


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package that nobody has imported, with a module and a package in it."""
    room = tmp_path / next(_rooms)
    (room / "inner").mkdir(parents=True)
    for name in ("__init__", "module", "inner/__init__", "inner/module"):
        (room / f"{name}.py").write_text(f"VALUE = {name!r}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    finders = list(sys.meta_path)
    yield room
    assert sys.meta_path == finders
    for name in [name for name in sys.modules if name.partition(".")[0] == room.name]:
        del sys.modules[name]


@pytest.fixture
def ahead(room: Path) -> Iterator[Ahead]:
    """All of the room, read ahead."""
    ahead = Ahead(room.parent, room.name)
    ahead.read(lambda: False)
    yield ahead
    ahead.end()


def value(room: Path, name: str) -> Any:
    """What a module of the room has."""
    return importlib.import_module(f"{room.name}{name}").VALUE


def is_ahead(room: Path, name: str) -> bool:
    """Whether a module was imported from what was read ahead."""
    spec = sys.modules[f"{room.name}{name}"].__spec__
    assert spec is not None
    return type(spec.loader).__module__ == "server.reload.edits.read_ahead"


def test_modules_are_as_python_makes_them(room: Path, ahead: Ahead) -> None:
    ahead.serve(())
    assert [value(room, name) for name in ("", ".module", ".inner", ".inner.module")] == [
        "__init__", "module", "inner/__init__", "inner/module",
    ]  # fmt: skip
    served: dict[str, Any] = {}
    for name in ("", ".module", ".inner", ".inner.module"):
        assert is_ahead(room, name)
        module = sys.modules.pop(f"{room.name}{name}")
        served[name] = (module.__file__, module.__cached__, module.__package__, getattr(module, "__path__", None))
    ahead.end()
    for name, told in served.items():
        module = importlib.import_module(f"{room.name}{name}")
        assert told == (module.__file__, module.__cached__, module.__package__, getattr(module, "__path__", None))
        assert not is_ahead(room, name)


def edit(path: Path) -> None:
    """Save something else."""
    path.write_text("VALUE = 'another'\n", encoding="utf-8")


def replace(path: Path) -> None:
    """Save something else of the same length and the same moment, as another file."""
    before, beside = path.stat(), path.with_suffix(".new")
    beside.write_text(path.read_text(encoding="utf-8").replace("mod", "dom"), encoding="utf-8")
    os.replace(beside, path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(("change", "expected"), [(edit, "another"), (replace, "domule")])
def test_a_file_that_is_another_by_now_is_read_anew(
    room: Path, ahead: Ahead, change: Callable[[Path], None], expected: str
) -> None:
    change(room / "module.py")
    # Python itself goes by second and length.
    for path in room.glob("__pycache__/*"):
        path.unlink()
    ahead.serve(())
    assert value(room, ".module") == expected
    assert not is_ahead(room, ".module")
    assert value(room, ".inner.module") == "inner/module"
    assert is_ahead(room, ".inner.module")


def test_what_is_gone_or_was_edited_is_pythons_to_find(room: Path, ahead: Ahead) -> None:
    (room / "inner" / "module.py").unlink()
    ahead.serve([f"{room.name}.module"])
    with pytest.raises(ModuleNotFoundError):
        value(room, ".inner.module")
    assert value(room, ".module") == "module"
    assert not is_ahead(room, ".module")


def test_a_second_import_reads_the_file(room: Path, ahead: Ahead) -> None:
    ahead.serve(())
    module = importlib.import_module(f"{room.name}.module")
    edit(room / "module.py")
    assert importlib.reload(module).VALUE == "another"


def test_it_stops_when_it_is_wanted_and_leaves_what_cannot_be_read(room: Path) -> None:
    (room / "broken.py").write_text("def (\n", encoding="utf-8")
    (room / "new_file.py").write_text("VALUE = 7\n", encoding="utf-8")
    ahead = Ahead(room.parent, room.name)
    turns = iter([False] * 3 + [True])
    ahead.read(lambda: next(turns))
    ahead.serve(())
    with pytest.raises(SyntaxError):
        value(room, ".broken")
    assert value(room, ".new_file") == 7
    assert not is_ahead(room, ".new_file")
    ahead.end()
