"""Texts as they are kept, whether a form or a file brings them: so an export comes in again as it went out."""

import re

NOT_OF_A_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# Half of a character: JSON can write it, but no database holds it.
HALF_CHARACTER = re.compile("[\ud800-\udfff]")
# What looks like a date, with a year of too few or too many digits.
ODD_YEAR = re.compile(
    r"(?P<year>0\d{2,7}|[1-9]\d\d|[1-9]\d{4,7})([-/.])(?P<month>\d\d?)\2(?P<day>\d\d?)([T ].*)?", re.ASCII
)


def storable(text: str) -> str:
    """A text without what SQLite and UTF-8 have no place for."""
    return text if text.isprintable() else HALF_CHARACTER.sub("\ufffd", text.replace("\0", ""))


def without_controls(text: str) -> str:
    """A text with spaces for what is no part of a line: ends of lines, and signs that nobody sees."""
    return text if text.isprintable() else NOT_OF_A_LINE.sub(" ", storable(text))


def one_line(text: str) -> str:
    """A text on one line, with single spaces."""
    return " ".join(without_controls(text).split())


def odd_year(text: str) -> str:
    """Why a text that looks like a date has a year that is none, and what to write; empty for any other text.

    Years are those from 1000 to 9999: old things are as old, and 0026 is 2026 mistyped.
    """
    found = ODD_YEAR.fullmatch(text.strip())
    if not found:
        return ""
    year = int(found["year"])
    meant = year + 2000 if 0 < year < 100 else year
    said = f"{meant}-{found['month']:0>2}-{found['day']:0>2}" if 1000 <= meant <= 9999 else "2026-12-31"
    written = text.strip()[: found.end("day")]
    return f"The year of “{written}” is not one from 1000 to 9999. Write its four digits, as in {said}."
