"""The list that holds the tasks is found wherever it lies in a JSON text, and a text that would do harm is refused."""

import io
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.imports.reading.files.column_names import MOST_COLUMNS
from app.imports.reading.files.json_lists import (
    DEEPEST,
    LARGEST_PIECE,
    MOST_LISTS,
    PIECE,
    lists_in,
    objects_of,
)
from app.imports.reading.text.decoding import UnreadableFile
from app.imports.reading.text.lines import LONGEST_RECORD
from tests.engine.app.imports.reading.kind import KIND

TEXTS = f'"{"x" * 1000}",'
TASK = {"title": "Milk", "done": False, "due": None}
TEXT = st.text(st.characters(codec="utf-8"), max_size=10)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


def opener(content: Any) -> Callable[[], io.TextIOBase]:
    return lambda: io.StringIO(content if isinstance(content, str) else json.dumps(content), newline="")


def found(content: Any) -> tuple[str | None, int, dict[str | None, int]]:
    best, *others = lists_in(opener(content), KIND)
    return best.name, best.rows, {each.name: each.rows for each in others}


@given(
    st.lists(st.fixed_dictionaries({"title": TEXT, "due": TEXT, "done": st.booleans(), "x": VALUES}), min_size=1),
    st.lists(st.sampled_from(["tasks", "a b", "items"]) | st.none(), max_size=4),
    st.sampled_from([None, 2]),
)
def test_a_list_at_any_depth_is_found_and_comes_back(
    rows: list[dict[str, Any]], steps: list[str | None], indent: int | None
) -> None:
    content: Any = rows
    for step in steps:
        content = [[], content] if step is None else {"kind": "list", step: content, "count": 7}
    opened = opener(json.dumps(content, indent=indent))
    best = lists_in(opened, KIND)[0]
    assert (best.rows, set(best.names)) == (len(rows), {"title", "due", "done", "x"})
    assert list(objects_of(opened, best.path)) == rows


@pytest.mark.parametrize(
    ("content", "name", "others"),
    [
        ([TASK], None, {}),
        ({"cards": [TASK], "lists": [{"name": "Doing", "closed": False}] * 3, "pins": [1, 2]}, "cards", {"lists": 3}),
        (
            {"lists": [{"title": "Home", "items": [TASK] * 2}, {"title": "Work", "items": [TASK]}]},
            "lists.items",
            {"lists": 2},
        ),
        ({"a": [TASK], "b": [TASK] * 2}, "b", {"a": 1}),
        ({"a": [{"task": "x"}], "b": [{"task": "x", "notes": "y"}]}, "b", {"a": 1}),
        ({"a": [{"done": 1, "due": 2}] * 9, "b": [{"task": "x"}]}, "b", {"a": 9}),
        ({"a": [{"x": 1}] * 9, "b": [{"task": "x"}]}, "b", {"a": 9}),
        ([{"title": "x", "state": "open", "labels": [{"name": "bug", "description": "y"}]}], None, {}),
        ({"cards": [TASK | {"items": [TASK] * 5}]}, "cards", {}),
        ({"name": "List", "tasks": [TASK]}, "tasks", {}),
        ({"name": "List", "rows": [{"x": 1}]}, "rows", {}),
        (TASK, None, {}),
        (TASK | {"labels": [{"name": "bug"}]}, None, {}),
        ({"x": 1, "y": "2"}, None, {}),
    ],
)
def test_the_likeliest_list_is_chosen_and_the_others_are_told(
    content: Any, name: str | None, others: dict[str, int]
) -> None:
    chosen, _, left = found(content)
    assert (chosen, left) == (name, others)


def test_every_name_in_the_list_is_known_however_late_it_comes() -> None:
    rows = [{"title": "x"}] * 5000 + [{"title": "y", "due": "2026-05-01"}]
    assert list(lists_in(opener(rows), KIND)[0].names) == ["title", "due"]


def test_several_texts_after_another_are_one() -> None:
    pages = json.dumps([TASK]) + "\n" + json.dumps([TASK, TASK])
    assert found(pages) == (None, 3, {})
    assert list(objects_of(opener(pages), "item")) == [TASK] * 3


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('[\n{"title": "a"},\n{"title": NaN}]', "line 3, column 11 there is “NaN}]”"),
        ('[\n{"title": "a"},\n{"x": -Infinity}]', "line 3, column 8 there is “Infinity}]”"),
        ('[{"title": "a",}]', "line 1, column 16 there is “}]”"),
        ('[{"title": "a"}] x', "line 1, column 18 there is “x”"),
        ("[" + " " * PIECE + "\n{'title': 1}]", "line 2, column 2 there is “'title': 1}]”"),
        ('[\n{"title": "a"},\n{"tit', "ends too early, after line 3"),
        ('[{"title": "a"}', "ends too early, after line 1"),
        ("[]", "no list of objects"),
        ("{}", "no list of objects"),
        ('["milk", "bread"]', "no list of objects"),
        ("null", "no list of objects"),
    ],
)
def test_what_is_no_list_of_objects_is_refused_with_its_place(content: str, reason: str) -> None:
    with pytest.raises(UnreadableFile, match=reason):
        lists_in(opener(content), KIND)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('[{"title": "' + "x" * (LONGEST_RECORD + 2 * LARGEST_PIECE) + '"}]', "single value of more than 8 MB"),
        ('[{"title": "' + r"\"" * (LONGEST_RECORD // 2 + LARGEST_PIECE) + '"}]', "single value of more than 8 MB"),
        pytest.param(
            '[{"' + "x" * (LONGEST_RECORD + 2 * LARGEST_PIECE) + '": 1}]',
            "single value of more than 8 MB",
            marks=pytest.mark.slow,
        ),
        ('[{"title": ' + "1" * 2 * 1024**2 + "}]", "line 1 there is a number that is too long"),
        pytest.param(
            '[{"title": 1},' + " " * (LONGEST_RECORD + 2 * LARGEST_PIECE) + "]",
            "single value of more than 8 MB",
            marks=pytest.mark.slow,
        ),
        ('[{"title": "x", "all": [' + TEXTS * (2 * LONGEST_RECORD // len(TEXTS)) + '""]}]', "too large"),
        ("[{" + ",".join(f'"c{number}": 1' for number in range(MOST_COLUMNS + 1)) + "}]", "too large.*1,000"),
        ("[" * 100_000, f"more than {DEEPEST} deep"),
        ('{"a":' * 100_000, f"more than {DEEPEST} deep"),
        ('[\n{"title": ' + "9" * 5000 + "}]", "line 2 there is a number that is too long"),
    ],
    ids=range(10),
)
def test_what_would_take_endless_memory_is_refused(content: str, reason: str) -> None:
    with pytest.raises(UnreadableFile, match=reason):
        lists_in(opener(content), KIND)


def test_a_backslash_before_a_quotation_mark_is_followed_across_pieces() -> None:
    for shift in range(2):
        text = "x" * shift + "\\\\" * (LONGEST_RECORD // 2 + LARGEST_PIECE)
        with pytest.raises(UnreadableFile, match="single value"):
            lists_in(opener('[{"title": "' + text.replace("\\\\", '\\"') + '"}]'), KIND)
        rows = [{"title": "x" * shift + "\\" * (PIECE // 2)}] * 20
        assert lists_in(opener(rows), KIND)[0].rows == 20


@pytest.mark.parametrize(("letters", "end"), [("x", '"}]'), (r"\"", ""), (r"\u0001", '"}]')])
def test_a_mistake_within_a_long_text_is_found_soon(letters: str, end: str) -> None:
    """The parser begins the text again with each piece: letter by letter that would take hours."""
    text = letters * (500_000 // len(letters))
    begun = time.monotonic()
    with pytest.raises(UnreadableFile, match="within a long text, near line 2, column"):
        lists_in(opener('[\n{"title": "' + text + r"\x" + end), KIND)
    assert time.monotonic() - begun < 20


def test_lists_without_number_are_counted_only_so_far() -> None:
    content = {"tasks": [TASK], "all": {f"k{number}": [TASK] for number in range(MOST_LISTS + 5)}}
    assert len(found(content)[2]) < MOST_LISTS


def test_the_largest_record_is_read() -> None:
    rows = [{"title": "x", "notes": "y" * (LONGEST_RECORD - 1000)}, {"title": "z", "notes": "y"}]
    opened = opener(rows)
    assert list(objects_of(opened, lists_in(opened, KIND)[0].path)) == rows


@pytest.mark.parametrize(
    ("content", "name", "titles"),
    [
        ({"tasks": {"k1": {"title": "a"}, "k2": {"title": "b"}}}, "tasks", ["a", "b"]),
        ({"k1": {"title": "a", "tags": ["x"]}, "k2": {"title": "b", "owner": {"name": "Kim"}}}, None, ["a", "b"]),
        ({"v": 1, "data": {"tasks": {"k1": {"title": "a", "steps": {"s1": {"title": "s"}}}}}}, "data.tasks", ["a"]),
    ],
)
def test_objects_under_their_keys_are_a_list(content: Any, name: str | None, titles: list[str]) -> None:
    best, *_ = lists_in(opener(content), KIND)
    assert best.name == name
    records = list(objects_of(opener(content), best.path))
    assert [record["title"] for record in records] == titles
    assert records[0]["key"] == "k1"
    assert set(best.names) == {name for record in records for name in record}


@pytest.mark.parametrize(
    "content",
    [
        {"title": "a", "owner": {"name": "Kim"}, "due": "2026-05-01"},
        [{"title": "a", "people": {"k1": {"name": "Kim", "title": "Dr"}, "k2": {"name": "Max", "title": "Dr"}}}],
        {"tasks": [{"title": "a", "due": None}], "users": {"u1": {"name": "Kim"}, "u2": {"name": "Max"}}},
    ],
)
def test_objects_within_a_record_are_none(content: Any) -> None:
    best, *_ = lists_in(opener(content), KIND)
    assert [record["title"] for record in objects_of(opener(content), best.path)] == ["a"]
