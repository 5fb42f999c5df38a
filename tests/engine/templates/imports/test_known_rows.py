"""What an import says of rows that are there already, and offers to do with them."""

import re

import pytest

from templates.imports.known_rows import (
    note,
    put_back,
    read,
    result,
    start_form,
)
from templates.parts.tags import Fragment
from tests.engine.templates.imports.test_page import each as import_in


def texts(html: object) -> str:
    return re.sub("<[^>]*>", "", Fragment(html))


@pytest.mark.parametrize(
    ("total", "known", "words"),
    [
        (15, {}, ""),
        (15, {"same": 10, "changed": 2}, "12 of these 15 tasks are there already, 2 of them with other values. "),
        (15, {"same": 15}, "All 15 tasks are there already. "),
        (15, {"changed": 15}, "All 15 tasks are there already, with other values. "),
        (1, {"changed": 1}, "This task is there already, with other values. "),
        (15, {"same": 1}, "1 of these 15 tasks is there already. "),
        (1500, {"same": 1200}, "1,200 of these 1,500 tasks are there already. "),
        (3, {"twice": 1}, "1 task of the file is in it more than once; that is no mistake."),
        (3, {"same": [1]}, ""),
    ],
)
def test_how_many_are_there_is_said(total: int, known: dict[str, object], words: str) -> None:
    assert texts(note(import_in("ready", rows_total=total, known=known))) == words


@pytest.mark.parametrize(
    ("total", "known", "choices"),
    [
        (15, {}, []),
        (15, {"same": 15}, []),
        (15, {"same": 12}, ["skip", "add"]),
        (15, {"same": 10, "changed": 2}, ["skip", "update", "add"]),
        (15, {"changed": 15}, ["skip", "update", "add"]),
    ],
)
def test_what_there_is_to_choose(total: int, known: dict[str, object], choices: list[str]) -> None:
    form = start_form(import_in("ready", rows_total=total, known=known))
    assert re.findall('type="radio" name="known" value="([a-z]+)"', form) == choices
    assert form.count(" checked") == bool(choices), "the first, which loses nothing"
    assert form.count("<button") == 1


def test_what_came_of_it_is_said() -> None:
    done = import_in("done", rows_done=5, known={"updated": 2, "skipped": 10})
    assert texts(result(done)) == "3 tasks imported, 2 updated, 10 that were there already left as they were."
    assert read(done) == 15
    assert put_back(done)
    plain = import_in("done", rows_done=1, known={})
    assert (texts(result(plain)), put_back(plain)) == ("1 task imported.", "")
