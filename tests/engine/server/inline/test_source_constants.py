"""What is a constant of the source is known by where it comes from, not by what it says."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import fasthtml.toaster
import pytest

from server.inline import source_constants
from server.inline.source_constants import is_constant

SOURCE = '''
"""A module."""
WHOLE = "go('whole')"
JOINED = "go('" "joined')"
ADDED = "go('" + "added')"
EMPTY_F = f"go('f')"
PUT_TOGETHER = "go('%s')" % WHOLE
FORMATTED = "go({})".format(1)
TABLE = {"a": "go('table')"}
TUPLE = ("go('tuple')", "x y")
NAME = "alert"
LETTER = ";"


def default(text="go('default')"):
    def inner():
        return "go('inner')"

    return text, inner(), (lambda: "go('lambda')")(), f"go('{text}')"


class Holder:
    TEXT = "go('class')"

    def method(self):
        return "go('method')"
'''


@pytest.fixture
def module(tmp_path: Path) -> ModuleType:
    """A module of the project, which was imported as any."""
    path = tmp_path / "written.py"
    path.write_text(SOURCE, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("written", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_whole_text_of_the_source_is_one_wherever_it_went(module: Any) -> None:
    found = [module.WHOLE, module.JOINED, module.ADDED, module.EMPTY_F, module.TABLE["a"], *module.TUPLE]
    found += [*module.default()[:3], module.Holder.TEXT, module.Holder().method()]
    assert [text for text in found if not is_constant(text)] == []
    # What changes nothing gives the same object.
    assert is_constant(module.WHOLE.strip())


def test_what_was_put_together_is_none(module: Any) -> None:
    assert not is_constant(module.PUT_TOGETHER)
    assert not is_constant(module.FORMATTED)
    assert not is_constant(module.default()[3])
    assert not is_constant(module.WHOLE + " ")
    assert not is_constant(module.WHOLE[1:])


def test_a_text_from_elsewhere_is_none_though_it_says_the_same(module: Any) -> None:
    for own in (module.WHOLE, module.TABLE["a"], module.Holder.TEXT, "x y"):
        sent = own.encode().decode()
        assert sent == own
        assert not is_constant(sent)


def test_what_python_has_once_for_all_is_none(module: Any) -> None:
    assert not is_constant(module.NAME)
    assert not is_constant(module.LETTER)
    assert not is_constant("")


def test_fasthtmls_own_components_count_and_other_packages_do_not() -> None:
    assert is_constant(fasthtml.toaster.toast_css)
    assert not is_constant(json_error())


def json_error() -> str:
    """A text of the standard library."""
    import json.decoder

    return next(each for each in json.decoder.JSONDecoder.decode.__code__.co_consts if isinstance(each, str))


def test_following_twice_notes_each_module_once(module: Any) -> None:
    before = source_constants.SourceFileLoader.get_code
    source_constants.follow()
    assert source_constants.SourceFileLoader.get_code is before
