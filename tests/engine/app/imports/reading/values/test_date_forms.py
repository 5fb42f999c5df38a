"""A text is a date where the whole of it is a known form, in any zone, with any spaces; else it is none."""

import calendar
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.imports.reading.values.date_forms import (
    DAY,
    FORMS,
    MONTH,
    YEAR,
    written,
)

MONTHS = calendar.month_name[1:]
WEEKDAYS = calendar.day_name


def month(day: date) -> str:
    return MONTHS[day.month - 1]


def ordinal(day: date) -> str:
    return f"{day.day}{'th' if 4 <= day.day <= 20 else {1: 'st', 2: 'nd', 3: 'rd'}.get(day.day % 10, 'th')}"


# How programs write a day, by the form that it has.
DAYS: dict[str, list[Callable[[date], str]]] = {
    "2026-05-01": [date.isoformat, lambda day: f"{day.year}-{day.month}-{day.day}"],
    "2026/5/1": [lambda day: f"{day.year}/{day.month}/{day.day}", lambda day: f"{day:%Y/%m/%d}"],
    "2026. 5. 1.": [lambda day: f"{day:%Y.%m.%d}", lambda day: f"{day.year}. {day.month:02}. {day.day:02}."],
    "20260501": [lambda day: f"{day:%Y%m%d}"],
    "2026-W18-5": [lambda day: "{}-W{:02}-{}".format(*day.isocalendar())],
    "1. 5. 2026": [
        lambda day: f"{day:%d.%m.%Y}",
        lambda day: f"{day.day}. {day.month}. {day.year}",
        lambda day: f"{day:%d.%m.%y}",
    ],
    "1/5/26": [],
    "1 May 2026": [
        lambda day: f"{day.day} {month(day)} {day.year}",
        lambda day: f"{day.day:02} {month(day)[:3]} {day.year}",
        lambda day: f"{ordinal(day)} of {month(day)}, {day.year}",
    ],
    "1-May-26": [
        lambda day: f"{day.day:02}-{month(day)[:3]}-{day.year}",
        lambda day: f"{day.day:02}/{month(day)[:3].upper()}/{day:%y}",
    ],
    "May 1, 2026": [
        lambda day: f"{month(day)} {day.day}, {day.year}",
        lambda day: f"{month(day)[:3].lower()} {day.day:02} {day.year}",
        lambda day: f"{month(day)[:3]}. {ordinal(day)}, {day.year}",
    ],
    "2026-May-01": [lambda day: f"{day.year}-{month(day)[:3]}-{day.day:02}"],
}
CLOCKS: list[Callable[[time], str]] = [
    lambda clock: f"{clock:%H:%M:%S}",
    lambda clock: f"{clock:%H:%M:%S}.{clock.microsecond:06}",
    lambda clock: f"{clock:%I:%M:%S} {'AM' if clock.hour < 12 else 'PM'}",
    lambda clock: f"{clock.hour % 12 or 12}:{clock:%M:%S} {'a.m.' if clock.hour < 12 else 'p.m.'}",
]
# Each with whether it can stand for minutes.
ZONES: list[Callable[[str, int, int], str]] = [
    lambda sign, hours, minutes: f"{sign}{hours:02}:{minutes:02}",
    lambda sign, hours, minutes: f" {sign}{hours:02}{minutes:02}",
    lambda sign, hours, minutes: f" GMT{sign}{hours:02}{minutes:02} (Some Summer Time)",
    lambda sign, hours, minutes: f" UTC{sign}{hours}:{minutes:02}",
    lambda sign, hours, minutes: f" (GMT{sign}{hours}:{minutes:02})",
    lambda sign, hours, minutes: f"{sign}{hours:02}:{minutes:02}[Some/Zone]",
    lambda sign, hours, minutes: f" {sign}{hours:02}{minutes:02} XYST",
]
SPACES = [" ", "\u00a0", "\u2009", "\u202f", "\u3000", "  ", "\u2007"]

days = st.dates(date(1970, 1, 1), date(2068, 12, 31))
writers = st.sampled_from([(form, write) for form in FORMS for write in DAYS[form]])
moments = st.tuples(
    days,
    st.times().map(lambda clock: clock.replace(microsecond=0)),
    writers.filter(lambda each: each[0] != "20260501"),
    st.sampled_from(CLOCKS),
    st.sampled_from([" ", ", ", " at "]),
)


def test_every_form_is_tried() -> None:
    assert set(DAYS) == set(FORMS)
    for form in FORMS:
        assert written(form if form != "1/5/26" else "13/5/26"), form


@given(
    days, writers, st.sampled_from(["", "{}, ", "{} "]), st.sampled_from(SPACES), st.sampled_from(["", "\u200e", " "])
)
def test_a_day_in_any_form_is_read_back(
    day: date, writer: tuple[str, Callable[[date], str]], weekday: str, space: str, around: str
) -> None:
    text = weekday.format(WEEKDAYS[day.weekday()][:3]) + writer[1](day)
    found = written(around + text.replace(" ", space) + around)
    assert found
    assert (found.on(""), found.clock, found.zone) == (day, None, None)
    other = WEEKDAYS[(day.weekday() + 3) % 7]
    assert written(f"{other}, {writer[1](day)}") is None


@given(moments, st.sampled_from(ZONES), st.sampled_from("+-"), st.integers(0, 14), st.sampled_from([0, 30, 45]))
def test_a_moment_in_any_form_and_zone_is_read_back(
    moment: tuple[date, time, tuple[str, Callable[[date], str]], Callable[[time], str], str],
    zone: Callable[[str, int, int], str],
    sign: str,
    hours: int,
    minutes: int,
) -> None:
    day, clock, (_, write), tick, between = moment
    text = f"{write(day)}{between}{tick(clock)}"
    local = written(text)
    assert local
    assert (local.on(""), local.clock, local.zone) == (day, clock, None)
    found = written(text + zone(sign, hours, minutes))
    assert found
    offset = timedelta(hours=hours, minutes=minutes)
    expected = datetime.combine(day, clock, timezone(-offset if sign == "-" else offset))
    assert found.clock is not None
    assert datetime.combine(found.on("") or date.min, found.clock, found.zone) == expected
    for utc in ("Z", " UTC", " GMT", "+0000", "-00:00", " +0000 (UTC)"):
        named = written(text + utc)
        assert named
        assert named.zone is UTC


@given(moments, st.data())
def test_a_strange_sign_anywhere_makes_it_no_date(moment: object, data: st.DataObject) -> None:
    day, clock, (_, write), tick, between = moment  # type: ignore[misc]
    text = f"{write(day)}{between}{tick(clock)}"
    at = data.draw(st.integers(0, len(text)))
    sign = data.draw(st.sampled_from("xq?#~;=_|%$1234567890"))
    mutated = text[:at] + sign + text[at:]
    found = written(mutated)
    if sign.isdigit():
        # Another digit may make another date; then it has still each part of one.
        assert found is None or found.on("") or found.orders
    else:
        assert found is None, mutated


@given(
    days,
    writers,
    st.sampled_from(["due ", "not before ", "c. ", "~", "(", "by "]),
    st.sampled_from([" or later", "?", " ±1", " x", ")"]),
)
def test_words_around_a_date_make_it_no_date(day: date, writer: object, before: str, behind: str) -> None:
    text = writer[1](day)  # type: ignore[index]
    assert written(before + text) is None
    assert written(text + behind) is None


@pytest.mark.parametrize("order", ["day", "month"])
@given(days, st.sampled_from(["/", "-"]), st.sampled_from(["%d{0}%m{0}%Y", "%d{0}%m{0}%y"]), st.booleans())
def test_numbers_are_read_in_the_order_that_is_given(
    order: str, day: date, separator: str, form: str, padded: bool
) -> None:
    first, second = (day.day, day.month) if order == "day" else (day.month, day.day)
    width = 2 if padded else 1
    year = f"{day:%y}" if form.endswith("y") else str(day.year)
    found = written(f"{first:0{width}}{separator}{second:0{width}}{separator}{year}")
    assert found
    assert found.on(order) == day
    if day.day > 12:
        assert order in found.orders
        assert ("month" if order == "day" else "day") not in found.orders
        assert found.on("") is None, "one number does not tell how those of others are meant"
    assert (found.on("") == day) == (day.day == day.month)


def test_a_short_year_may_be_first_between_hyphens_alone() -> None:
    found = written("26-05-01")
    assert found
    assert found.orders == {DAY, YEAR}
    assert found.on(YEAR) == date(2026, 5, 1)
    slashes = written("26/05/01")
    assert slashes
    assert slashes.orders == {DAY}
    five = written("11-10-09")
    assert five
    assert five.orders == {DAY, MONTH, YEAR}


def test_a_weekday_tells_the_order() -> None:
    found = written("Fri 01/05/2026")
    assert found
    assert found.orders == {DAY}


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("December 1, 2026 → December 3, 2026", "2026-12-01"),
        ("2026-12-01 → 2026-12-03", "2026-12-01"),
        ("2026-12-01/2026-12-03", "2026-12-01"),
        ("1 Dec 2026 – 3 Dec 2026", "2026-12-01"),
        ("1.12.2026 - 3.12.2026", "2026-12-01"),
        ("Dec 1, 2026 to Dec 3, 2026", "2026-12-01"),
        ("December 1, 2026 9:00 AM → 10:00 AM", "2026-12-01"),
        ("December 1, 2026 9:00 AM (GMT+1) → December 2, 2026 10:00 AM (GMT+1)", "2026-12-01"),
    ],
)
def test_of_a_range_the_first_day_counts(text: str, first: str) -> None:
    found = written(text)
    assert found
    assert (str(found.on("")), found.is_range) == (first, True)


@pytest.mark.parametrize(
    "text",
    [
        "December 3, 2026 → December 1, 2026",
        "December 1, 2026 → soon",
        "→ December 1, 2026",
        "December 1, 2026 → 10:00 AM",
        "2026-12-01/2026",
        "1 Dec 2026 – 2 Dec 2026 – 3 Dec 2026",
    ],
)
def test_what_is_no_range_is_no_date(text: str) -> None:
    assert written(text) is None


def test_the_end_of_a_range_tells_the_order_of_its_beginning() -> None:
    found = written("03/04/2026 → 25/04/2026")
    assert found
    assert found.orders == {DAY}


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("Fri May 01 2026 09:14:03 GMT+0200 (CEST)", "07:14:03"),
        ("Fri May 01 2026 09:14:03 GMT-0600 (MDT)", "15:14:03"),
        ("Fri May 01 2026 09:14:03 GMT+0530 (India Standard Time)", "03:44:03"),
        ("Fri, 01 May 2026 09:14:03 +0200", "07:14:03"),
        ("Fri, 1 May 2026 09:14:03 GMT", "09:14:03"),
        ("Fri May  1 09:14:03 UTC 2026", "09:14:03"),
        ("Fri May  1 09:14:03 2026 +0200", "07:14:03"),
        ("2026-05-01T09:14:03+02:00[Europe/Berlin]", "07:14:03"),
        ("2026-05-01 09:14:03 +0200 CEST", "07:14:03"),
        ("2026-05-01 09:14:03 \u22120600", "15:14:03"),
        ("20260501T091403Z", "09:14:03"),
        ("2026-05-01T09:14:03.1234567Z", "09:14:03.123456"),
        ("2026-05-01t09:14:03z", "09:14:03"),
    ],
)
def test_what_languages_and_programs_write_of_a_moment(text: str, utc: str) -> None:
    found = written(text)
    assert found
    assert found.clock
    assert found.zone
    at = datetime.combine(found.on("") or date.min, found.clock, found.zone).astimezone(UTC)
    assert (at.date(), at.time()) == (date(2026, 5, 1), time.fromisoformat(utc))


@pytest.mark.parametrize(
    "text",
    """2026-W05|2026W185|2026-05|2026|1.5|12|May|10/2026|May 2026|1 May|1 May 26|May 1, 26|12:30|1777593600|2026-02-30
    31/02/2026|13/13/2026|0001-01-01|0026-05-01|Fri May 1 12:00:00 CST 2026|2026-05-01T25:00|2026-05-01T10:60|2026/05-01
    2026-05-01 13:00 PM|2026-05-01T10:00+99:00|2026-05-01 10:00 PST|20260501Z|202605011|1/5.2026|Thu May 1 2026|2026-5-
    2026-05-01T|2026-05-01 10|May 32, 2026|2026-13-01|20261301|Smay 1, 2026|1 Mayor 2026|2026-05-01 T 10:00
    2026-W54-1|2026-W18-8|\u0661/\u0665/\u0662\u0660\u0662\u0666|2026-05-01T10:00:00+2|tomorrow|every day""".replace(
        "\n", "|"
    ).split("|"),
)
def test_what_leaves_something_out_or_adds_it_is_no_date(text: str) -> None:
    assert written(text.strip()) is None


@given(st.text(max_size=160) | st.text("0123456789-/.:,TZ+ AMPmay→", max_size=60))
def test_no_text_breaks_it(text: str) -> None:
    found = written(text)
    assert found is None or found.days
