"""From what a person types into the search field to what SQLite's full-text search understands."""

import re
from functools import lru_cache
from typing import NamedTuple

from app.records.search_words import sought

# Each word costs a walk over all that it finds, and so does each part of one (there are four words in `a-b.c_d`).
MOST_WORDS = 16
MOST_PARTS = 64
TOO_MANY = f"A search has at most {MOST_WORDS} different words. Leave out those that matter least."
# What the index knows is three characters each; of a long word so many of them are asked for.
GRAM = 3
MOST_GRAMS = 8
_PART = re.compile(r"[^\W_]+")


class Search(NamedTuple):
    """What is looked for.

    `match` is a query for FTS5, empty where there is none; `within` what the words that it finds must have in them, as
    three characters each may stand anywhere; `keys` is what the words of any row must have in them. `words` are the
    same words as they were typed, for rows whose words are not kept yet; `literals` those without letters (emoji).
    """

    match: str = ""
    within: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    literals: tuple[str, ...] = ()


class TooManyWords(ValueError):
    """A search that would take too long; the message says what to do."""


# Each list asks twice: once to refuse what is too much, once to search.
@lru_cache(maxsize=64)
def parse(text: str) -> Search:
    """Every word must occur, one of a letter or two as the begin of a word; any text is safe. Raises TooManyWords.

    Each part is quoted, so that `AND`, `*`, `"` and `-` mean themselves (https://www.sqlite.org/fts5.html, section 3).
    A word that another one implies is left out.
    """
    typed = dict.fromkeys(text.replace("\0", " ").split())
    if len(typed) > MOST_PARTS:
        raise TooManyWords(TOO_MANY)
    words = {sought(word): word for word in reversed(typed)}
    literals = _needed([word for word in typed if not sought(word)])
    keys = _needed([key for key in reversed(words) if key])
    if len(keys) + len(literals) > MOST_WORDS or sum(len(_PART.findall(words[key])) for key in keys) > MOST_PARTS:
        raise TooManyWords(TOO_MANY)
    grams = dict.fromkeys(gram for key in keys for gram in _grams(key))
    return Search(
        " ".join(f'"{gram}"' for gram in grams),
        tuple(key for key in keys if len(key) > GRAM),
        tuple(keys),
        tuple(words[key] for key in keys),
        tuple(literals),
    )


def _needed(texts: list[str]) -> list[str]:
    """The texts without those that are within others."""
    return [text for text in texts if not any(text in other for other in texts if other != text)]


def _grams(text: str) -> list[str]:
    """Three characters each that cover a text, or the begin of a long one."""
    covered = text[: GRAM * MOST_GRAMS]
    return [covered[at : at + GRAM] for at in (*range(0, len(covered) - GRAM, GRAM), len(covered) - GRAM)]
