"""From what a person types into the search field to what SQLite's full-text search understands."""

import re
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

# Each word costs a walk over all that it finds, and so does each part of one (FTS5 has four words in `a-b.c_d`).
MOST_WORDS = 16
MOST_PARTS = 64
TOO_MANY = f"A search has at most {MOST_WORDS} different words. Leave out those that matter least."
_PART = re.compile(r"[^\W_]+")


class Search(NamedTuple):
    """A query for FTS5, empty where there is none, and the terms that FTS5 has no words for (emoji, signs)."""

    match: str
    literals: tuple[str, ...]


class TooManyWords(ValueError):
    """A search that would take too long; the message says what to do."""


# Each list asks twice: once to refuse what is too much, once to search.
@lru_cache(maxsize=64)
def parse(text: str) -> Search:
    """Every word must occur, as the begin of a word; any text is safe. Raises TooManyWords.

    Each word is quoted, so that `AND`, `*`, `"` and `-` mean themselves (https://www.sqlite.org/fts5.html, section 3).
    A word that another one implies is left out.
    """
    typed = dict.fromkeys(text.replace("\0", " ").split())
    if len(typed) > MOST_PARTS:
        raise TooManyWords(TOO_MANY)
    words = _needed_words([word for word in typed if _has_word(word)])
    literals = _needed_literals([word for word in typed if not _has_word(word)])
    if len(words) + len(literals) > MOST_WORDS or sum(len(_PART.findall(word)) for word in words) > MOST_PARTS:
        raise TooManyWords(TOO_MANY)
    return Search(" ".join('"' + word.replace('"', '""') + '"*' for word in words), literals)


def _needed_words(words: list[str]) -> list[str]:
    """The words without those that are the begin of another one, however they are written."""
    folded = {word.lower(): word for word in reversed(words)}
    inner = sorted(folded)
    implied = {word for word, next in pairwise(inner) if next.startswith(word) and word.isalnum()}
    return [word for word in words if folded.get(word.lower()) == word and word.lower() not in implied]


def _needed_literals(literals: list[str]) -> tuple[str, ...]:
    """The signs without those that are within others."""
    return tuple(literal for literal in literals if not any(literal in other for other in literals if other != literal))


def _has_word(text: str) -> bool:
    return any(character.isalnum() for character in text)
