"""From what a person types into the search field to what SQLite's full-text search understands."""

from typing import NamedTuple


class Search(NamedTuple):
    """A query for FTS5, empty where there is none, and the terms that FTS5 has no words for (emoji, signs)."""

    match: str
    literals: list[str]


def parse(text: str) -> Search:
    """Every word must occur, as the begin of a word; any text is safe.

    Each word is quoted, so that `AND`, `*`, `"` and `-` mean themselves (https://www.sqlite.org/fts5.html, section 3).
    """
    words = text.replace("\0", " ").split()
    quoted = ['"' + word.replace('"', '""') + '"*' for word in words if _has_word(word)]
    return Search(" ".join(quoted), [word for word in words if not _has_word(word)])


def _has_word(text: str) -> bool:
    return any(character.isalnum() for character in text)
