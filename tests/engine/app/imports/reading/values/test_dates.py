"""The day is the one that is written, that of an instant the one of its place, and nothing is guessed."""

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.imports.reading.values.dates import Manner, day, moment

DAY_FIRST, MONTH_FIRST = Manner("day"), Manner("month")


@pytest.mark.parametrize(
    "written",
    [
        "2026-05-01",
        " 2026-05-01 ",
        "20260501",
        "2026/5/1",
        "2026-05-01T00:00:00.000Z",
        "2026-05-01T00:00:00+0000",
        "2026-05-01 00:00",
        "1 May 2026",
        "May 1, 2026",
        "may 1st, 2026",
        "Friday, May 1, 2026",
        "01-May-2026",
        "01.05.2026",
        "1.5.2026",
        "05/01/2026",
        "5-1-2026",
        "5/1/2026 12:00:00 AM",
        "2026-W18-5",
    ],
)
def test_a_day_is_understood(written: str) -> None:
    assert day(written, MONTH_FIRST) == ("2026-05-01", True)


@pytest.mark.parametrize(
    "written",
    [
        "2026-05-01T22:30:00.000Z",
        "2026-05-01T23:59:59-11:00",
        "2026-05-01T00:30:00+14:00",
        "2026-05-01 09:30",
        "2026-05-01 at 11:00",
        "20260501T120000Z",
        "5/1/2026 9:30 AM",
        "1.5.2026 09:30",
        "May 1, 2026 9:30 AM",
        "1 May 2026 at 9am",
        "Fri, 01 May 2026 12:00:00 +0200",
    ],
)
def test_with_a_time_the_day_is_the_one_written_and_there_is_more(written: str) -> None:
    assert day(written, MONTH_FIRST) == ("2026-05-01", False)


@pytest.mark.parametrize(
    "written",
    [
        "every day",
        "tomorrow",
        "Friday",
        "next Friday 2026",
        "1 May",
        "May 2026",
        "2026",
        "1 May 26",
        "12:30",
        "10",
        "2026-02-30",
        "31/02/2026",
        "13/13/2026",
        "5/1/2026 or later",
        "Fri May 1 12:00:00 CST 2026",
        "0001-01-01",
        "0001-01-01T00:00:00Z",
        "1777593600",
        "1777593600000",
        "",
        "May 1 2026 " * 20,
    ],
)
def test_what_names_no_day_is_none(written: str) -> None:
    assert day(written, MONTH_FIRST)[0] is None


def test_the_day_may_be_first_but_is_so_only_where_a_column_says_it() -> None:
    assert day("01/05/2026", DAY_FIRST) == ("2026-05-01", True)
    assert day("13/05/2026", MONTH_FIRST)[0] is None
    assert day("01.05.2026", DAY_FIRST) == ("2026-05-01", True)
    for unknown in ("01/05/2026", "13/05/2026", "05/13/2026", "26-05-01"):
        assert day(unknown) == (None, False)
    assert day("05/05/2026") == ("2026-05-05", True)


LOS_ANGELES = ZoneInfo("America/Los_Angeles")
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("written", "manner", "found"),
    [
        ("2026-05-02T01:00:00.000Z", Manner(zone=LOS_ANGELES), ("2026-05-01", False)),
        ("2026-05-01T22:30:00+0000", Manner(zone=BERLIN), ("2026-05-02", False)),
        ("2026-05-01T22:00:00+0000", Manner(zone=BERLIN), ("2026-05-02", True)),
        ("2026-05-02T00:00:00Z", Manner(zone=LOS_ANGELES), ("2026-05-02", True)),
        ("2026-05-02T00:00:00Z", Manner(zone=LOS_ANGELES, has_days=False), ("2026-05-01", False)),
        ("2026-05-02T00:00:00Z", Manner(zone=LOS_ANGELES, in_row=True), ("2026-05-01", False)),
        ("2026-05-01T23:30:00-07:00", Manner(zone=BERLIN), ("2026-05-01", False)),
        ("2026-05-01T23:30:00-07:00", Manner(zone=BERLIN, in_row=True), ("2026-05-02", False)),
        ("2026-05-01 23:30", Manner(zone=BERLIN), ("2026-05-01", False)),
        ("Fri May 01 2026 23:30:00 GMT+0000 (UTC)", Manner(zone=BERLIN), ("2026-05-02", False)),
        ("9999-12-31T23:00:00Z", Manner(zone=BERLIN), (None, False)),
    ],
)
def test_an_instant_in_utc_is_on_the_day_of_the_place(written: str, manner: Manner, found: tuple[str, bool]) -> None:
    assert day(written, manner) == found


def test_a_moment_without_an_offset_is_one_of_the_place() -> None:
    assert moment("2026-05-01 09:00", Manner(zone=BERLIN)) == "2026-05-01T07:00:00Z"
    assert moment("1/5/2026 9:00", Manner("day", LOS_ANGELES)) == "2026-05-01T16:00:00Z"
    assert moment("2026-05-01T09:00:00Z", Manner(zone=BERLIN)) == "2026-05-01T09:00:00Z"


def test_a_number_is_a_day_only_where_that_is_said() -> None:
    assert day("46143") == (None, False)
    assert day(" 46143.0", Manner(has_serials=True)) == ("2026-05-01", True)
    assert day("46143.5", Manner(has_serials=True)) == (None, False)


@pytest.mark.parametrize(
    ("written", "utc"),
    [
        ("2026-05-01T12:00:00Z", "2026-05-01T12:00:00Z"),
        ("2026-05-01T12:00:00.123Z", "2026-05-01T12:00:00.123Z"),
        ("2026-05-01T12:00:00+02:00", "2026-05-01T10:00:00Z"),
        ("2026-05-01 12:00:00", "2026-05-01T12:00:00Z"),
        ("2026-05-01", "2026-05-01T00:00:00Z"),
        ("20260501T120000Z", "2026-05-01T12:00:00Z"),
        ("May 1, 2026 9:12 AM", "2026-05-01T09:12:00Z"),
        ("Fri, 01 May 2026 12:00:00 +0200", "2026-05-01T10:00:00Z"),
        ("Fri May 1 12:00:00 CST 2026", None),
        ("May 1", None),
        ("05/01/2026", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("9999-12-31T23:59:59-14:00", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_a_moment_is_in_utc(written: str, utc: str | None) -> None:
    assert moment(written) == utc


@given(st.dates())
def test_every_iso_date_is_itself(date: object) -> None:
    assert day(str(date)) == ((str(date), True) if str(date) >= "1000" else (None, False))
