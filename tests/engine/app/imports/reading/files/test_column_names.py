"""Names of columns stay different however they are shortened, and there are only so many."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.imports.reading.files.column_names import (
    LONGEST_NAME,
    MOST_COLUMNS,
    NAMES_LETTERS,
    READ_LETTERS,
    Names,
    shown,
    unused,
)
from app.imports.reading.text.decoding import UnreadableFile


@given(st.lists(st.text("ab ", min_size=1, max_size=3 * LONGEST_NAME), unique=True, max_size=30))
def test_names_are_short_and_still_different(names: list[str]) -> None:
    found = shown(names)
    assert list(found) == names
    assert len(set(found.values())) == len(names)
    for name, short in found.items():
        assert len(short) <= LONGEST_NAME + len(" (30)")
        assert short == name or len(name) > LONGEST_NAME


def test_all_names_together_have_a_bound() -> None:
    for letters in (10, 40, 400):
        found = shown([f"{'x' * letters}{number}" for number in range(MOST_COLUMNS)])
        assert len(set(found.values())) == MOST_COLUMNS
        assert sum(map(len, found.values())) <= NAMES_LETTERS + MOST_COLUMNS * len(" (1000)")


def test_a_name_that_is_taken_gets_a_number() -> None:
    assert unused("a", {"b"}) == "a"
    assert unused("a", {"a", "a (2)"}) == "a (3)"


@pytest.mark.parametrize("names", [[str(number) for number in range(MOST_COLUMNS + 1)], ["x" * (READ_LETTERS + 1)]])
def test_too_many_names_are_refused(names: list[str]) -> None:
    found = Names("tasks")
    found.add(["title"], 1)
    with pytest.raises(UnreadableFile, match="Up to line 2 the file has more than 1,000 different names"):
        found.add(names, 2)
