"""Sort keys: their order is that of the Unicode Collation Algorithm, and those of ASCII need no table for it."""

import subprocess
import sys
import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyuca import Collator

from app.records.sort_keys import KEY_LETTERS, LAST, sort_key
from tests.engine.conftest import ROOT

LETTERS = st.sampled_from("aAbBzZäÄéÉßſøıİ .,-_10\u0301\u0308l·Ł東京あいアяЯй한\u1100\u1161\tﬁﷺ½²🎂\0")
TEXTS = st.text(LETTERS, max_size=8) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@pytest.fixture(scope="module")
def collator() -> Collator:
    return Collator()


def weights(collator: Collator, text: str) -> list[list[int]]:
    """The three levels of a text, as pyuca has them."""
    elements = collator.collation_elements(unicodedata.normalize("NFD", text))
    return [[each[level] for each in elements if each[level]] for level in range(3)]


def sorted_by_key(titles: list[str]) -> list[str]:
    return sorted(titles, key=sort_key)


@given(st.lists(TEXTS, min_size=2))
def test_keys_are_in_the_order_of_the_algorithm(collator: Collator, texts: list[str]) -> None:
    for first, second in pairwise(sorted_by_key(texts)):
        assert weights(collator, first) <= weights(collator, second)


@given(st.text(st.characters(max_codepoint=127)))
def test_keys_of_ascii_are_those_of_the_table(collator: Collator, text: str) -> None:
    # With a letter that is not ASCII the table is used, and says the same of what stands before.
    letters = sort_key(f"{text}\u00df")
    assert letters.startswith(b"".join(weight.to_bytes(2, "big") for weight in weights(collator, text)[0]))
    assert sort_key(text).startswith(b"".join(weight.to_bytes(2, "big") for weight in weights(collator, text)[0]))


@pytest.mark.parametrize(
    "titles",
    [
        ["10", "2", "apfel", "Apfel", "Äpfel", "Apfelmus", "éclair", "zebra", "Zebra"],
        ["cote", "coté", "côte", "côté", "cotes"],
        ["Lodz", "Łódź", "Lot", "Luz"],
        ["resume", "Resume", "résumé", "resumes"],
        ["de luge", "deluge", "demark"],
        ["strasse", "straße", "Strassen"],
        ["zoo", "αβγ", "абв", "אבג", "あ", "日本"],
        ["", " ", "!", "1", "a"],
    ],
)
def test_titles_are_in_the_order_in_which_people_look_for_them(titles: list[str]) -> None:
    assert sorted_by_key(titles[::-1]) == titles


def test_no_key_is_large_and_none_stands_behind_the_last() -> None:
    for letter in ("a", "é", "日", "🎂", "\U000e0100", "\u0301"):
        assert len(sort_key(letter * 10**6)) < 20 * KEY_LETTERS
        assert sort_key(letter) < LAST


def test_the_table_is_loaded_only_for_titles_that_need_it() -> None:
    code = "import sys; from app.records.sort_keys import sort_key; sort_key('Milk'); print('pyuca' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    assert loaded.stdout == "False\n"
