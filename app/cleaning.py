"""Texts as they are kept, whether a form or a file brings them: so an export comes in again as it went out."""

import re

NOT_OF_A_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# Half of a character: JSON can write it, but no database holds it.
HALF_CHARACTER = re.compile("[\ud800-\udfff]")


def storable(text: str) -> str:
    """A text without what SQLite and UTF-8 have no place for."""
    return text if text.isprintable() else HALF_CHARACTER.sub("\ufffd", text.replace("\0", ""))


def without_controls(text: str) -> str:
    """A text with spaces for what is no part of a line: ends of lines, and signs that nobody sees."""
    return text if text.isprintable() else NOT_OF_A_LINE.sub(" ", storable(text))


def one_line(text: str) -> str:
    """A text on one line, with single spaces."""
    return " ".join(without_controls(text).split())
