"""Dates as other programs write them: a day, a moment, and which of two numbers is the day.

Two rules. The day is the one that is written: `2026-05-01T22:30:00Z` is the first of May, wherever it is read.
And nothing is guessed: a date without a year, `next Friday` or `every day` is no date here.
"""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, tzinfo
from functools import lru_cache

from dateutil import parser, tz

# Longer texts are sentences: dateutil would look for a date in them for a long time, and each would be remembered.
LONGEST_DATE = 50
# One file has few different dates; each is worked out once.
REMEMBERED_DATES = 4096

ISO_DAY = re.compile(r"\d{4}-\d\d-\d\d")
OWN_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
YEAR_FIRST = re.compile(r"(\d{4})[/.](\d\d?)[/.](\d\d?)(?:[ ,T]+(.+))?")
YEAR_LAST = re.compile(r"(\d\d?)([./-])(\d\d?)\2(\d{4})(?:[ ,T]+(.+))?")
CLOCK = re.compile(r"\d\d?:\d\d(:\d\d)?( ?[AaPp]\.?[Mm]\.?)?")
MIDNIGHT = re.compile(r"0?0:00(:00)?|12:00(:00)? ?[Aa]\.?[Mm]\.?")
# Two days that share neither year, month nor day: where the answers differ, something was not written.
ONE_DEFAULT = datetime(2000, 1, 1)
OTHER_DEFAULT = datetime(2004, 2, 2)


def day(text: str, day_first: bool) -> tuple[str | None, bool]:
    """The day that a text names, as an ISO date or None, and whether that is all it says: a time of day is more."""
    text = text.strip()
    iso_day = _real_day(text) if ISO_DAY.fullmatch(text) else None
    if iso_day:
        return iso_day, True
    return _other_day(text, day_first) if len(text) <= LONGEST_DATE else (None, False)


def is_own_day(text: str) -> bool:
    """Whether this is a day as our own exports write each, also the first of the calendar."""
    try:
        return ISO_DAY.fullmatch(text) is not None and date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def moment(text: str) -> str | None:
    """The moment that a text names, in UTC; a moment without a time zone is taken as UTC."""
    text = text.strip()
    if len(text) > LONGEST_DATE:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return _worded_moment(text)
    if OWN_MOMENT.fullmatch(text):
        return text
    return _in_utc(found)


def is_day_first(texts: Iterable[str]) -> bool:
    """Whether `01/05/2026` is the first of May in a column: any first number above 12 says so."""
    return any(int(found[1]) > 12 for text in texts if (found := YEAR_LAST.fullmatch(text.strip())))


def _real_day(text: str) -> str | None:
    """The day, unless there is none of that name. Programs written in Go say `0001-01-01` for no day."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day.isoformat() if day.year > 1 else None


@lru_cache(REMEMBERED_DATES)
def _other_day(text: str, day_first: bool) -> tuple[str | None, bool]:
    try:
        # Some programs write `2026-05-01 at 11:00`.
        found = datetime.fromisoformat(text.replace(" at ", " "))
    except ValueError:
        return _numbered_day(text, day_first) or _worded_day(text)
    return _real_day(found.date().isoformat()), found.time() == time()


def _numbered_day(text: str, day_first: bool) -> tuple[str | None, bool] | None:
    if found := YEAR_FIRST.fullmatch(text):
        year, month, day, clock = found.groups()
    elif found := YEAR_LAST.fullmatch(text):
        day, separator, month, year, clock = found.groups()
        # With dots the day is first in every country that writes them.
        if not day_first and separator != ".":
            day, month = month, day
    else:
        return None
    if clock and not CLOCK.fullmatch(clock):
        return None, False
    return _real_day(f"{year}-{month:0>2}-{day:0>2}"), not clock or bool(MIDNIGHT.fullmatch(clock))


def _worded_day(text: str) -> tuple[str | None, bool]:
    one, other = _parsed(text, ONE_DEFAULT), _parsed(text, OTHER_DEFAULT)
    if one is None or other is None or one.date() != other.date():
        return None, False
    return one.date().isoformat(), one.time() == time()


@lru_cache(REMEMBERED_DATES)
def _worded_moment(text: str) -> str | None:
    one, other = _parsed(text, ONE_DEFAULT), _parsed(text, OTHER_DEFAULT)
    if one is None or other is None or one.date() != other.date():
        return None
    return _in_utc(one)


def _parsed(text: str, default: datetime) -> datetime | None:
    """What dateutil makes of a date with the name of its month and a year of four digits."""
    if not re.search(r"\b\d{4}\b", text) or not re.search(r"[^\W\d_]{3}", text):
        return None
    try:
        return parser.parse(text, default=default, tzinfos=_zone)
    # The rest is what dateutil raises at texts that it was not made for.
    except (ValueError, ArithmeticError, IndexError, TypeError, AttributeError):
        return None


def _zone(name: str | None, seconds: int | None) -> tzinfo | None:
    """The zone of a written offset; a mere name, such as CST, means different hours in different countries."""
    if seconds is None and name:
        raise ValueError(f"unknown time zone {name}")
    return None if seconds is None else tz.tzoffset(name, seconds)


def _in_utc(moment: datetime) -> str | None:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
    except OverflowError:
        # The first or the last day that Python knows, written in a zone that puts it outside.
        return None
