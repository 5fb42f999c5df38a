"""What a date of another program means here: a day as ISO has it, or a moment in UTC.

Which texts are dates is for `app/imports/reading/values/date_forms.py`; nothing else is one. Which day an instant falls
on depends on where: an offset that is written, such as +02:00, says where, and so the day is the one that is written;
an instant in UTC says nothing of it, and its day is that of the row's own time zone, if the file has one, else of the
person's.
"""

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple

from app.imports.reading.values.date_forms import REMEMBERED_DATES, written

ISO_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
OWN_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", re.ASCII)
# Days as spreadsheet programs count them, from 1927 to 2173: what a date becomes in a cell that is shown as a number.
SERIAL = re.compile(r"[1-9]\d{4}(\.0+)?", re.ASCII)
SERIALS_BEGIN = date(1899, 12, 30)
MIDNIGHT = time()


class Manner(NamedTuple):
    """How the dates of a column, or of one row of it, are to be read.

    `order` says which number of `01/05/2026` comes first, empty where that is not known. `zone` is the time zone in
    which the days are counted, None for the machine's own; `in_row` says that the row names it. `has_days` says that
    each instant of the column is a midnight in UTC, and stands for a day. `has_serials`: that a number is a day.
    """

    order: str = ""
    zone: tzinfo | None = UTC
    in_row: bool = False
    has_days: bool = True
    has_serials: bool = False


PLAIN = Manner()


def day(text: str, manner: Manner = PLAIN) -> tuple[str | None, bool]:
    """The day that a text names, as an ISO date or None, and whether that is all it says: a time of day is more."""
    # Nearly every date is one that needs no work.
    if len(text) == 10 and (found := _real_day(text)):
        return found, True
    return _other_day(text, manner)


def is_own_day(text: str) -> bool:
    """Whether this is a day as our own exports write each, also the first of the calendar."""
    try:
        return ISO_DAY.fullmatch(text) is not None and date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def moment(text: str, manner: Manner = PLAIN) -> str | None:
    """The moment that a text names, in UTC; without an offset it is one of the manner's time zone."""
    text = text.strip()
    found = written(text)
    on = found.on(manner.order) if found and not found.is_range else None
    if not found or not on:
        return None
    if OWN_MOMENT.fullmatch(text):
        return text
    local = datetime.combine(on, found.clock or MIDNIGHT)
    try:
        at = local.replace(tzinfo=found.zone or manner.zone) if found.zone or manner.zone else local
        return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
    except (OverflowError, ValueError):
        # The first or the last day that Python knows, written in a zone that puts it outside.
        return None


def instant(text: str) -> time | None:
    """The time of day in UTC of a text that names an instant in UTC; None for any other text."""
    found = written(text) if len(text) > len("2026-05-01") else None
    return found.clock if found and found.zone is UTC else None


@lru_cache(REMEMBERED_DATES)
def _real_day(text: str) -> str | None:
    if not ISO_DAY.fullmatch(text):
        return None
    found = written(text)
    return found.days[0][1].isoformat() if found else None


@lru_cache(REMEMBERED_DATES)
def _other_day(text: str, manner: Manner) -> tuple[str | None, bool]:
    found = written(text)
    if found is None:
        return _serial(text) if manner.has_serials and SERIAL.fullmatch(text.strip()) else (None, False)
    on = found.on(manner.order)
    if on is None:
        return None, False
    clock = found.clock or MIDNIGHT
    if found.clock is not None and found.zone is not None and (found.zone is UTC or manner.in_row):
        stands_for_day = manner.has_days and clock == MIDNIGHT and not manner.in_row
        if not stands_for_day:
            try:
                there = datetime.combine(on, clock, found.zone).astimezone(manner.zone)
            except (OverflowError, ValueError):
                return None, False
            on, clock = there.date(), there.time()
    return on.isoformat(), clock == MIDNIGHT and not found.is_range


def _serial(text: str) -> tuple[str, bool]:
    return (SERIALS_BEGIN + timedelta(days=int(text.strip()[:5]))).isoformat(), True
