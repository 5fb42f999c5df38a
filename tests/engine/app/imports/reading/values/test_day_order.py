"""All rows of a file tell how its dates are meant, in whatever order they stand; what they leave open stays open."""

import random
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.imports.reading.values.day_order import Evidence, Facts

COLUMNS = ("title", "start", "due")


def facts(*records: dict[str, Any], columns: tuple[str, ...] = COLUMNS) -> Facts:
    evidence = Evidence(columns, ["due"])
    for record in records:
        evidence.add(record)
    return evidence.facts()


def order(*dates: str) -> str:
    """The order of a column with these dates; it has to be known at all."""
    return facts(*({"title": "x", "due": each} for each in dates)).orders["due"]


@pytest.mark.parametrize(
    ("dates", "first"),
    [
        (["01/05/2026", "13/05/2026 10:00"], "day"),
        (["01/05/2026", "05/13/2026"], "month"),
        (["5/1/26", "5/31/26"], "month"),
        (["1-5-2026", "31-5-2026"], "day"),
        (["01/05/2026", "Fri 01/05/2026"], "day"),
        (["03/04/2026 → 25/04/2026"], "day"),
        (["5/1/2026, 9:00:00\u202fAM"], "month"),
        (["5/1/2026, 9:00:00 AM", "13/1/2026, 9:00:00 AM"], "day"),
        (["01/05/2026"], ""),
        (["26-05-01"], ""),
        (["26-05-01", "26-05-32", "99-12-31", "26-05-15", "31-05-32"], ""),
        (["40-05-01", "26-05-15"], "year"),
        (["01/05/2026", "13/05/2026", "05/13/2026"], ""),
        (["5/1/2026 9:00:00 AM"], ""),
    ],
)
def test_a_column_proves_its_order_or_has_none(dates: list[str], first: str) -> None:
    assert order(*dates) == first
    assert order(*reversed(dates)) == first


def test_dates_that_are_the_same_both_ways_or_are_none_prove_nothing() -> None:
    assert facts({"due": "05/05/2026"}, {"due": "13/13/2026"}, {"due": "2026-05-13"}, {"due": "13.05.2026"}) == Facts()


def test_a_column_that_proves_its_order_tells_the_others() -> None:
    found = facts({"start": "03/04/2026", "due": "05/06/2026"}, {"start": "25/04/2026"}, {"title": "07/08/2026"})
    assert found.orders == {"start": "day", "due": "day", "title": "day"}


def test_columns_that_prove_different_orders_tell_the_others_nothing() -> None:
    found = facts({"start": "25/04/2026", "title": "04/25/2026", "due": "05/06/2026"})
    assert found.orders == {"start": "day", "title": "month", "due": ""}


def test_a_form_that_is_american_tells_only_where_nothing_contradicts_it() -> None:
    american = "5/1/2026, 9:00:00 AM"
    assert facts({"start": american, "due": "5/2/2026"}).orders == {"start": "month", "due": "month"}
    assert facts({"start": american, "due": "25/2/2026"}).orders == {"start": "", "due": "day"}


def test_what_contradicts_is_shown() -> None:
    found = facts({"due": "13/01/2026"}, {"due": "14/01/2026"}, {"due": "01/13/2026"})
    assert found.mixed == ("due",)
    assert found.examples["due"] == ["13/01/2026", "01/13/2026", "14/01/2026"]


@given(
    st.lists(st.dates(date(1970, 1, 1), date(2060, 1, 1)), min_size=1, max_size=30),
    st.sampled_from(["day", "month"]),
    st.randoms(),
)
def test_one_late_row_tells_the_order_of_all(days: list[date], first: str, shuffled: random.Random) -> None:
    form = "%d/%m/%Y" if first == "day" else "%m/%d/%Y"
    ambiguous = [day.replace(day=day.month % 12 + 1) for day in days]
    texts = [f"{day:{form}}" for day in ambiguous] * 20
    assert order(*texts) == ""
    proof = date(2026, 5, 13) + timedelta(days=len(days) % 15)
    texts.insert(shuffled.randrange(len(texts) + 1), f"{proof:{form}}")
    assert order(*texts) == first
    contradiction = f"{proof:{'%m/%d/%Y' if first == 'day' else '%d/%m/%Y'}}"
    texts.insert(shuffled.randrange(len(texts) + 1), contradiction)
    assert order(*texts) == ""


def test_instants_that_are_all_midnights_stand_for_days_until_one_is_not() -> None:
    midnights = [{"due": "2026-05-01T00:00:00Z"}, {"due": "2026-05-02T00:00:00.000Z"}, {"due": "2026-05-03"}]
    assert facts(*midnights).instants == ()
    assert facts(*midnights, {"due": "2026-05-02T01:00:00.000Z"}).instants == ("due",)
    assert facts(*midnights, {"start": "2026-05-02T01:00:00.000Z"}).instants == ()
    assert facts(*midnights, {"due": {"dateTime": "2026-05-01T22:00:00", "timeZone": "UTC"}}).instants == ("due",)
    assert facts(*midnights, columns=("name", "due", "dueComplete")).instants == ("due",)


def test_numbers_that_may_be_days_are_known() -> None:
    assert facts({"due": "46143"}, {"start": "46144"}).serials == ("due",)
    assert facts({"due": 46143}).serials == ("due",)
    assert facts({"due": "4614"}).serials == ()


@given(st.dictionaries(st.sampled_from(COLUMNS), st.text() | st.none() | st.integers() | st.lists(st.text())))
def test_no_record_breaks_it(record: dict[str, Any]) -> None:
    facts(record)
