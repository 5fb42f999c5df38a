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

from app.imports.reading.values import dates
from app.imports.reading.values.date_forms import REMEMBERED_DATES, written
from app.imports.reading.values.dates import Manner
from app.imports.reading.values.time_zones import zone_named
from app.records.text_cleaning import one_line, storable, without_controls

# Longer titles are cut, and kept whole with the rest.
LONGEST_TITLE = 1000
# The largest id that a restored row may have, and that is carried over as given: the largest that an address can name.
# Beyond it so many are left that no app gives them all. What is imported has a shorter one (`id`), so that rows added
# after it can be restored as well.
LARGEST_ID = 8_999_999_999_999_999_999
# Of what may be a number, a date or one of the words below. Longer texts are neither looked at nor remembered.
LONGEST_WORD = 400

# Words that mean done or open, compared without case, spaces, hyphens and underscores; spreadsheets write yes and no in
# the language of the person.
DONE = {"1", "1.0", "100", "100%", "true", "yes", "y", "x", "[x]", "✓", "✔", "✔️", "☑", "✅"} | {
    "done", "closed", "complete", "completed", "finished", "resolved"
} | {
    "wahr", "ja", "erledigt", "vrai", "oui", "verdadero", "sí", "si", "vero", "sì", "waar", "verdadeiro", "sim",
    "prawda", "tak", "истина", "да", "sant", "sand", "tosi", "igaz", "doğru", "pravda",
}  # fmt: skip
OPEN = {"0", "0.0", "0%", "false", "no", "n", "[]", "☐", "open", "opened", "reopened", "todo", "doing"} | {
    "notstarted", "needsaction", "incomplete", "uncompleted", "pending"
} | {
    "falsch", "nein", "offen", "faux", "non", "falso", "onwaar", "nee", "não", "fałsz", "nie", "ложь", "нет", "falskt",
    "falsk", "epätosi", "hamis", "yanlış", "nepravda",
}  # fmt: skip
# Nobody will do these any more. That they were not done is kept with the rest.
CANCELLED = {"cancelled", "canceled", "abandoned", "wontdo", "won'tdo", "dropped"}


# What holds a date in an object of Microsoft Graph, Google or Notion, and what names its time zone.
DATE_NAMES = ("dateTime", "datetime", "date", "start")
ZONE_NAMES = ("timeZone", "time_zone", "timezone")
UTC_NAMES = {"utc", "etc/utc", "etc/gmt", "gmt", "tzone://microsoft/utc"}
# What holds a text in such an object, and what only says of which sort it is.
TEXT_NAMES = ("content", "plain_text", "text", "name", "displayName")
SORT_NAMES = {"contentType", "content_type", "type"}


def title(value: Any, manner: Manner) -> tuple[str, bool]:
    """One line of text."""
    worded, says_all = wording(value)
    text = without_controls(worded).strip()
    if len(text) > LONGEST_TITLE:
        return text[: LONGEST_TITLE - 1] + "…", False
    return text, says_all


def line(value: Any, manner: Manner) -> tuple[str, bool]:
    """One line of text, of any length."""
    worded, says_all = wording(value)
    return one_line(worded), says_all


def text(value: Any, manner: Manner) -> tuple[str, bool]:
    """Text as it is."""
    worded, says_all = wording(value)
    return storable(worded), says_all


def done(value: Any, manner: Manner) -> tuple[int, bool]:
    """1 or 0."""
    if isinstance(value, dict):
        return done(dated(value)[0], manner)[0] or done(wording(value)[0], manner)[0], False
    text = text_of(value)
    return _done(text) if len(text) <= LONGEST_WORD else (0, False)


def yes_or_no(value: Any, manner: Manner) -> tuple[int | None, bool]:
    """1 or 0, where the value says no more than that."""
    found, says_all = done(value, manner)
    return (found, True) if says_all else (None, False)


def whole_number(value: Any, manner: Manner) -> tuple[int | None, bool]:
    """A number that SQLite holds as an integer."""
    written = text_of(value).strip().removesuffix(".0")
    return (int(written), True) if re.fullmatch(r"[+-]?\d{1,18}", written, re.ASCII) else (None, False)


def number(value: Any, manner: Manner) -> tuple[float | None, bool]:
    """A number with a decimal point."""
    written = text_of(value).strip()
    if len(written) > LONGEST_WORD or not re.fullmatch(
        r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?", written, re.ASCII | re.IGNORECASE
    ):
        return None, False
    return (float(written), True) if isfinite(float(written)) else (None, False)


def day(value: Any, manner: Manner) -> tuple[str | None, bool]:
    """An ISO date."""
    if isinstance(value, dict):
        text, is_all, zone = _dated(value)
        found = zone_named(zone)
        day, says_all = dates.day(text, manner._replace(zone=found, in_row=True) if found else manner)
        return day, says_all and is_all and day is not None
    day, says_all = dates.day(text_of(value), manner)
    return day, says_all and day is not None


def own_day(value: Any, manner: Manner) -> tuple[str | None, bool]:
    """An ISO date as an export of ours has it, of whatever year."""
    text = text_of(value)
    return (text, True) if dates.is_own_day(text) else day(value, manner)


def moment(value: Any, manner: Manner) -> tuple[str | None, bool]:
    """A moment in UTC."""
    moment = dates.moment(dated(value)[0], manner)
    return moment, moment is not None


def id(value: Any, manner: Manner) -> tuple[int | None, bool]:
    """A number that SQLite takes for a key."""
    text = text_of(value)
    return (int(text), True) if re.fullmatch(r"[1-9]\d{0,17}", text, re.ASCII) else (None, False)


READERS: dict[str, Callable[[Any, Manner], tuple[Any, bool]]] = {
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


def dated(value: Any) -> tuple[str, bool]:
    """The date that a value holds, as a text, and whether it holds nothing else."""
    return _dated(value)[:2] if isinstance(value, dict) else (text_of(value), True)


def wording(value: Any) -> tuple[str, bool]:
    """The text that a value holds, and whether it holds nothing else."""
    if isinstance(value, dict):
        for name in TEXT_NAMES:
            if isinstance(value.get(name), str):
                others = (each for key, each in value.items() if key != name and key not in SORT_NAMES)
                if all(map(is_empty, others)):
                    return value[name], True
    return text_of(value), True


def is_yes_or_no(text: str) -> bool:
    """Whether a text is a word for done or open, and no other."""
    return len(text) <= LONGEST_WORD and _done(text)[1]


def is_cancelled(value: Any) -> bool:
    """Whether a value says that nobody will do it any more."""
    return _word(wording(value)[0][:LONGEST_WORD]) in CANCELLED


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


def _dated(value: dict[str, Any]) -> tuple[str, bool, str]:
    """The date in an object, whether that is all it holds, and the name of the time zone beside it."""
    for name in DATE_NAMES:
        text = value.get(name)
        if isinstance(text, str) and text.strip():
            zones = [key for key in ZONE_NAMES if isinstance(value.get(key), str)]
            zone = value[zones[0]] if zones else ""
            if zone.lower() in UTC_NAMES:
                found = written(text)
                text = text + "Z" if found and found.clock is not None and found.zone is None else text
                zone = ""
            others = (each for key, each in value.items() if key != name and key not in zones)
            return text, all(map(is_empty, others)), zone
    return text_of(value), True, ""


def _word(text: str) -> str:
    return "".join(text.casefold().translate({ord("_"): " ", ord("-"): " "}).split())


@lru_cache(REMEMBERED_DATES)
def _done(text: str) -> tuple[int, bool]:
    """Whether a text means done. The day on which something was completed means it too, and says more."""
    word = _word(text)
    if word in DONE or word in OPEN:
        return int(word in DONE), True
    return int(word in CANCELLED or written(text) is not None), False


def _number(value: Decimal) -> float | str:
    """A number within a nested value; as a text where no number of JSON's readers is as large."""
    return float(value) if isfinite(float(value)) else str(value)


# The default is asked for numbers with a point only, which are read as Decimal.
_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_number)
