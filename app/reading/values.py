"""What a value of another program means for a field of ours, and whether that is all that it says.

Each reader gives what it has understood, and False where the value says more than that, or something else: then the
value is kept with the rest as well. Nothing is guessed.
"""

import json
import re
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from math import isfinite
from typing import Any

from app.cleaning import one_line, storable, without_controls
from app.reading import dates

# Longer titles are cut, and kept whole with the rest.
LONGEST_TITLE = 1000
# The largest id that a restored row may have, and that is carried over as given: the largest that an address can name.
# Beyond it so many are left that no app gives them all. What is imported has a shorter one (`id`), so that rows added
# after it can be restored as well.
LARGEST_ID = 8_999_999_999_999_999_999
# Of what may be a number, a date or one of the words below. Longer texts are neither looked at nor remembered.
LONGEST_WORD = 400

# Words that mean done or open, compared without case, spaces, hyphens and underscores.
DONE = {"1", "1.0", "100", "100%", "true", "yes", "y", "x", "[x]", "✓", "✔", "✔️", "☑", "✅"} | {
    "done", "closed", "complete", "completed", "finished", "resolved"
}  # fmt: skip
OPEN = {"0", "0.0", "0%", "false", "no", "n", "[]", "☐", "open", "opened", "reopened", "todo", "doing"} | {
    "notstarted", "needsaction", "incomplete", "uncompleted", "pending"
}  # fmt: skip
# Nobody will do these any more. That they were not done is kept with the rest.
CANCELLED = {"cancelled", "canceled", "abandoned", "wontdo", "won'tdo", "dropped"}


def title(value: Any, day_first: bool) -> tuple[str, bool]:
    """One line of text."""
    text = without_controls(text_of(value)).strip()
    if len(text) > LONGEST_TITLE:
        return text[: LONGEST_TITLE - 1] + "…", False
    return text, True


def line(value: Any, day_first: bool) -> tuple[str, bool]:
    """One line of text, of any length."""
    return one_line(text_of(value)), True


def text(value: Any, day_first: bool) -> tuple[str, bool]:
    """Text as it is."""
    return storable(text_of(value)), True


def done(value: Any, day_first: bool) -> tuple[int, bool]:
    """1 or 0."""
    text = text_of(value)
    return _done(text) if len(text) <= LONGEST_WORD else (0, False)


def yes_or_no(value: Any, day_first: bool) -> tuple[int | None, bool]:
    """1 or 0, where the value says no more than that."""
    found, says_all = done(value, day_first)
    return (found, True) if says_all else (None, False)


def whole_number(value: Any, day_first: bool) -> tuple[int | None, bool]:
    """A number that SQLite holds as an integer."""
    written = text_of(value).strip().removesuffix(".0")
    return (int(written), True) if re.fullmatch(r"[+-]?\d{1,18}", written, re.ASCII) else (None, False)


def number(value: Any, day_first: bool) -> tuple[float | None, bool]:
    """A number with a decimal point."""
    written = text_of(value).strip()
    if len(written) > LONGEST_WORD or not re.fullmatch(
        r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?", written, re.ASCII | re.IGNORECASE
    ):
        return None, False
    return (float(written), True) if isfinite(float(written)) else (None, False)


def day(value: Any, day_first: bool) -> tuple[str | None, bool]:
    """An ISO date."""
    day, says_all = dates.day(text_of(value), day_first)
    return day, says_all and day is not None


def own_day(value: Any, day_first: bool) -> tuple[str | None, bool]:
    """An ISO date as an export of ours has it, of whatever year."""
    text = text_of(value)
    return (text, True) if dates.is_own_day(text) else day(value, day_first)


def moment(value: Any, day_first: bool) -> tuple[str | None, bool]:
    """A moment in UTC."""
    moment = dates.moment(text_of(value))
    return moment, moment is not None


def id(value: Any, day_first: bool) -> tuple[int | None, bool]:
    """A number that SQLite takes for a key."""
    text = text_of(value)
    return (int(text), True) if re.fullmatch(r"[1-9]\d{0,17}", text, re.ASCII) else (None, False)


READERS: dict[str, Callable[[Any, bool], tuple[Any, bool]]] = {
    "title": title,
    "line": line,
    "text": text,
    "done": done,
    "yes_or_no": yes_or_no,
    "whole_number": whole_number,
    "number": number,
    "day": day,
    "moment": moment,
    "id": id,
}


def text_of(value: Any) -> str:
    """A value of a file as text; what is nested as compact JSON."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, Decimal) else _COMPACT.encode(value)


def is_empty(value: Any) -> bool:
    """Whether a value says nothing."""
    return not value.strip() if isinstance(value, str) else value is None or value == [] or value == {}


def shortened(text: str, letters: int = 60) -> str:
    """A text of at most so many letters."""
    return text if len(text) <= letters else text[: letters - 1] + "…"


@lru_cache(dates.REMEMBERED_DATES)
def _done(text: str) -> tuple[int, bool]:
    """Whether a text means done. The day on which something was completed means it too, and says more."""
    word = "".join(text.casefold().translate({ord("_"): " ", ord("-"): " "}).split())
    if word in DONE or word in OPEN:
        return int(word in DONE), True
    return int(word in CANCELLED or dates.day(text, False)[0] is not None), False


def _number(value: Decimal) -> float | str:
    """A number within a nested value; as a text where no number of JSON's readers is as large."""
    return float(value) if isfinite(float(value)) else str(value)


# The default is asked for numbers with a point only, which are read as Decimal.
_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_number)
