"""The day is the one that is written, and nothing is guessed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.reading.dates import day, is_day_first, moment


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
    assert day(written, day_first=False) == ("2026-05-01", True)


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
    assert day(written, day_first=False) == ("2026-05-01", False)


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
        "05/01/26",
        "12:30",
        "10",
        "2026-02-30",
        "31/02/2026",
        "13/13/2026",
        "5/1/2026 or later",
        "May 1, 2026 → May 3, 2026",
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
    assert day(written, day_first=False)[0] is None


def test_the_day_may_be_first_but_is_so_only_where_a_column_says_it() -> None:
    assert day("01/05/2026", day_first=True) == ("2026-05-01", True)
    assert day("13/05/2026", day_first=False)[0] is None
    assert day("01.05.2026", day_first=True) == ("2026-05-01", True)
    assert is_day_first(["01/05/2026", "13/05/2026 10:00"])
    assert not is_day_first(["01/05/2026", "05/13/2026", "2026-13-01", "", "soon"])


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


PIECES = ["may", "1", "2026", "12:30", "am", "utc", "+02:00", "-", "/", ".", ",", " ", "friday", "nan", "99", "٣", "²"]


@given(st.dates(), st.lists(st.sampled_from(PIECES), max_size=7).map("".join) | st.text(max_size=40))
def test_no_text_breaks_it_and_every_iso_date_is_itself(date: object, text: str) -> None:
    for written in (text, f"{text} may 2026"):
        for found in (day(written, True)[0], day(written, False)[0], moment(written)):
            assert found is None or found[4] == "-"
    if str(date) > "0002":
        assert day(str(date), False) == (str(date), True)
