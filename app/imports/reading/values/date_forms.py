"""The forms in which dates are written: a text is a date where the whole of it is one of these, else it is none.

`FORMS` is the whole grammar. A date may have a weekday before it, which has to be right, and a time of day behind it,
and that a time zone; two of them may make a range. Month names are English, as programs write them whatever the
language of the person. Not a date is what leaves something out (`May 2026`, `2026-W05`, `12`) or names a zone that
means several (`CST`). Spaces may be any of Unicode's, as Intl of browsers writes a narrow one before AM.

Which number is the day in `01/05/2026` is not for a single text to say: see `app/imports/reading/values/day_order.py`.
"""

import re
from datetime import UTC, date, datetime, time, timedelta, timezone
from functools import lru_cache
from typing import NamedTuple

# Two dates with zones in words; longer texts are sentences.
LONGEST_DATE = 150
# One file has few different dates; each is worked out once.
REMEMBERED_DATES = 4096
# Which number comes first in a date of numbers alone.
DAY, MONTH, YEAR = "day", "month", "year"
# Of two digits, as POSIX has it.
LAST_SHORT_YEAR = 68
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
# Signs without width, some of which turn the direction of writing, and the other minus and hyphens.
UNSEEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
HYPHENS = str.maketrans("\u2010\u2011\u2212", "---")

# From 1000 on: programs write `0001-01-01` for no day, and spreadsheets `0026` where a century was cut off.
_YEAR = r"(?P<year>[1-9]\d{3})"
_SHORT = r"(?P<year>[1-9]\d{3}|\d\d)"
_DAY = r"(?P<day>\d\d?)(?:st|nd|rd|th)?"
_MONTH = (
    r"(?P<name>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_WEEKDAY = (
    r"(?P<weekday>mon(?:day)?|tue(?:s(?:day)?)?|wed(?:nesday)?|thu(?:r(?:s(?:day)?)?)?|fri(?:day)?|sat(?:urday)?"
    r"|sun(?:day)?)"
)
_CLOCK = (
    r"(?:(?P<hour>\d\d?):(?P<minute>\d\d)(?::(?P<seconds>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"(?: ?(?P<half>[ap]\.?m\.?))?"
    r"|(?P<hour_alone>\d\d?) ?(?P<half_alone>[ap]\.?m\.?))"
)
_NAMED_OFFSET = r"(?:UTC|GMT|UT)(?: ?[+-]\d\d?(?::?\d\d)?)?"
# What programs add to an offset for people: `(CEST)`, `(Central European Summer Time)`, `[Europe/Berlin]`; in Go, CEST.
_COMMENT = r"(?: ?\([^()\[\]]{1,60}\)| ?\[[\w/+-]{1,60}\])?"
_ZONE = rf"(?P<zone>Z|{_NAMED_OFFSET}|\({_NAMED_OFFSET}\)|[+-]\d\d(?::?\d\d)?(?: [A-Z]{{3,5}})?)"
# After `GMT` the sign says what it says everywhere: +2 is east of Greenwich. In POSIX it would be west.
_OFFSET = re.compile(r"([+-])(\d\d?)(?::?(\d\d))?\)?", re.ASCII)

# Each form of a day, with an example. `first` and `second` are numbers of which one is the day.
FORMS = {
    "2026-05-01": rf"{_YEAR}-(?P<month>\d\d?)-(?P<day>\d\d?)",
    "2026/5/1": rf"{_YEAR}/(?P<month>\d\d?)/(?P<day>\d\d?)",
    "2026. 5. 1.": rf"{_YEAR}\. ?(?P<month>\d\d?)\. ?(?P<day>\d\d?)\.?",
    "20260501": r"(?P<year>(?:19|20|21)\d\d)(?P<month>\d\d)(?P<day>\d\d)",
    "2026-W18-5": rf"{_YEAR}-W(?P<week>\d\d)-(?P<of_week>[1-7])",
    "1. 5. 2026": rf"(?P<day>\d\d?)\. ?(?P<month>\d\d?)\. ?{_SHORT}\.?",
    "1/5/26": rf"(?P<first>\d\d?)(?P<separator>[/-])(?P<second>\d\d?)(?P=separator){_SHORT}",
    "1 May 2026": rf"{_DAY}\.? (?:of )?{_MONTH}\.?,? {_YEAR}",
    "1-May-26": rf"(?P<day>\d\d?)(?P<separator>[-/.]){_MONTH}(?P=separator){_SHORT}",
    "May 1, 2026": rf"{_MONTH}\.? {_DAY},? {_YEAR}",
    "2026-May-01": rf"{_YEAR}(?P<separator>[-/ ]){_MONTH}(?P=separator)(?P<day>\d\d?)",
}
_FLAGS = re.ASCII | re.IGNORECASE
_BEGINNING = re.compile(rf"\d|{'|'.join(MONTHS + WEEKDAYS)}", _FLAGS)
# The one that nearly all programs write is left to Python, which is faster.
_ISO = re.compile(rf"{_YEAR}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{{1,9}})?)?(?:Z|[+-](?:0\d|1[0-5]):?\d\d)?", _FLAGS)
# A form begins a text, perhaps after a weekday; behind it stands nothing, a time of day, or a zone alone.
_BEGINNINGS = [re.compile(rf"(?:{_WEEKDAY}\.?,? )?{form}(?!\d)", _FLAGS) for form in FORMS.values()]
_TIME = re.compile(
    rf"(?:T|,? at |,? ?@ ?|, ?| ){_CLOCK}(?: ?{_ZONE}{_COMMENT})?|(?P<zone_alone>Z|[+-]\d\d:?\d\d)", _FLAGS
)
# The time of the form without hyphens has no colons.
_COMPACT = re.compile(rf"T(?P<hour>\d\d)(?P<minute>\d\d)(?P<seconds>\d\d)?{_ZONE}?", _FLAGS)
_ONLY_TIME = re.compile(rf"{_CLOCK}(?: ?{_ZONE}{_COMMENT})?", _FLAGS)
# As `date`, C's `ctime`, Git and Ruby have it: `Fri May 1 12:00:00 UTC 2026`.
_CTIME = re.compile(
    rf"{_WEEKDAY},? {_MONTH} {_DAY} {_CLOCK}(?: {_ZONE})? {_YEAR}(?: (?P<zone_after>[+-]\d{{4}}))?", _FLAGS
)
# The whole form is left to right what a browser in the United States shows of a moment: its first number is the month.
OF_AMERICAN_BROWSERS = re.compile(r"\d\d?/\d\d?/\d{4}, \d\d?:\d\d:\d\d [AP]M")
BETWEEN = re.compile(r" ?(?:→|->|–|—) ?| (?:-|to|until) |(?<=\d)/(?=\d{4}-\d\d-\d\d)", re.ASCII)


class Written(NamedTuple):
    """What a text says: its day, by which number comes first where that matters; the time; the zone; if there is more.

    `clock` is None without a time of day, `zone` None where no offset was written. In a range it is the first day.
    """

    days: tuple[tuple[str, date], ...]
    clock: time | None = None
    zone: timezone | None = None
    is_range: bool = False
    is_american: bool = False

    def on(self, order: str) -> date | None:
        """The day that is meant where so a number comes first; of an order that is not known the day that all give."""
        if len(self.days) == 1 and not self.days[0][0]:
            return self.days[0][1]
        days = dict(self.days)
        if order:
            return days.get(order)
        return days[DAY] if DAY in days and days[DAY] == days.get(MONTH) else None

    @property
    def orders(self) -> frozenset[str]:
        """Which number may come first; none where that makes no difference."""
        orders = frozenset(order for order, _ in self.days)
        return frozenset() if "" in orders or self.on("") else orders


@lru_cache(REMEMBERED_DATES)
def written(text: str) -> Written | None:
    """What a text says that is a date or a range of two; None for any other."""
    if not 6 <= len(text) <= LONGEST_DATE:
        return None
    plain = text if text.isascii() else UNSEEN.sub("", text).translate(HYPHENS)
    plain = " ".join(plain.split())
    # Nearly every text that is no date is known as such by how it begins.
    return (_one(plain) or _range(plain)) if _BEGINNING.match(plain) else None


def _range(text: str) -> Written | None:
    parts = BETWEEN.split(text)
    if len(parts) != 2:
        return None
    begin, end = _one(parts[0]), _one(parts[1])
    if begin is None or (end is None and not (begin.clock and _ONLY_TIME.fullmatch(parts[1]))):
        return None
    if end is not None:
        days = dict(end.days)
        kept = tuple((order, day) for order, day in begin.days if order in days and day <= days[order])
        if not kept and len(begin.days) == len(end.days):
            return None
        begin = begin._replace(days=kept or begin.days)
    return begin._replace(is_range=True)


def _one(text: str) -> Written | None:
    if _ISO.fullmatch(text):
        return _iso(text)
    for form in _BEGINNINGS:
        if begin := form.match(text):
            end = begin.end()
            if end == len(text):
                return _read(begin.groupdict(), text)
            behind = _COMPACT if text[:end].isdigit() else _TIME
            if (time := behind.fullmatch(text, end)) and (
                form is _BEGINNINGS[0] or not time.groupdict().get("zone_alone")
            ):
                return _read(begin.groupdict() | time.groupdict(), text)
    found = _CTIME.fullmatch(text)
    return _read(found.groupdict(), text) if found else None


def _iso(text: str) -> Written | None:
    try:
        at = datetime.fromisoformat(text.upper())
    except ValueError:
        return None
    zone = at.tzinfo
    assert zone is None or isinstance(zone, timezone)
    return Written((("", at.date()),), at.time(), zone)


def _read(found: dict[str, str | None], text: str) -> Written | None:
    try:
        days = _days(found)
        if found.get("weekday"):
            weekday = WEEKDAYS.index(str(found["weekday"])[:3].lower())
            days = tuple(each for each in days if each[1].weekday() == weekday)
        clock = _clock(found)
        zone = _zone(found.get("zone") or found.get("zone_alone") or found.get("zone_after"))
    except ValueError:
        return None
    is_american = OF_AMERICAN_BROWSERS.fullmatch(text) is not None
    return Written(days, clock, zone, is_american=is_american) if days else None


def _days(found: dict[str, str | None]) -> tuple[tuple[str, date], ...]:
    """The day by each order in which the numbers may stand. Raises ValueError for a day that there is not."""
    year = _year(str(found["year"]))
    if found.get("week"):
        return (("", date.fromisocalendar(year, int(str(found["week"])), int(str(found["of_week"])))),)
    if not found.get("first"):
        name = found.get("name")
        month = MONTHS.index(name[:3].lower()) + 1 if name else int(str(found["month"]))
        return (("", date(year, month, int(str(found["day"])))),)
    first, second, last = str(found["first"]), str(found["second"]), str(found["year"])
    orders = [(DAY, year, second, first), (MONTH, year, first, second)]
    if found["separator"] == "-" and len(first) == len(second) == len(last) == 2:
        orders.append((YEAR, _year(first), second, last))
    return tuple((order, date(*numbers)) for order, *numbers in _real(orders))


def _real(orders: list[tuple[str, int, str, str]]) -> list[tuple[str, int, int, int]]:
    """Those of the orders by which there is such a day."""
    found = []
    for order, year, month, day in orders:
        try:
            date(year, int(month), int(day))
        except ValueError:
            continue
        found.append((order, year, int(month), int(day)))
    return found


def _year(digits: str) -> int:
    year = int(digits)
    return year if len(digits) == 4 else year + (2000 if year <= LAST_SHORT_YEAR else 1900)


def _clock(found: dict[str, str | None]) -> time | None:
    hour = found.get("hour") or found.get("hour_alone")
    if not hour:
        return None
    half = found.get("half") or found.get("half_alone")
    number = int(hour)
    if half:
        if number > 12:
            raise ValueError("no such hour")
        number = number % 12 + (12 if half[0] in "pP" else 0)
    fraction = int((found.get("fraction") or "0").ljust(6, "0")[:6])
    return time(number, int(found.get("minute") or 0), int(found.get("seconds") or 0), fraction)


def _zone(name: str | None) -> timezone | None:
    if name is None:
        return None
    found = _OFFSET.search(name)
    if not found:
        return UTC
    hours, minutes = int(found[2]), int(found[3] or 0)
    if hours > 15 or minutes > 59:
        raise ValueError("no such offset")
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if found[1] == "-" else offset) if offset else UTC
