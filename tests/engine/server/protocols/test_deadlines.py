"""Deadlines and counts, tick by tick: no socket and no clock is needed."""

import pytest

from server.protocols.deadlines import (
    CREDIT_SECONDS,
    LIMITS,
    SLOWEST,
    UNREAD_SECONDS,
    Limit,
    Pace,
    Patience,
    Phase,
    Unread,
    Wrapping,
)


def ends_after(patience: Patience, phase: Phase, *totals: int) -> int | None:
    """At which tick the phase ends, if the total is this at each."""
    for number, total in enumerate(totals, 1):
        if patience.tick(phase, 1, total):
            return number
    return None


@pytest.mark.parametrize("phase", [Phase.NEW, Phase.HEAD, Phase.REST, Phase.MESSAGE])
def test_what_has_to_be_whole_has_its_seconds_however_much_comes(phase: Phase) -> None:
    assert ends_after(Patience(30), phase, *range(0, 50_000_000, 1_000_000)) == LIMITS[phase].seconds + 1


@pytest.mark.parametrize(
    ("totals", "ends"),
    [
        ([0] * 30, 11),
        (range(0, 30_000, 999), 11),
        (range(0, 30_000, 1000), None),
        # A burst does not buy more than ten seconds.
        ([1_000_000, *[2_000_000] * 30], 12),
        # What comes once in nine seconds is slow, but comes.
        ([number // 9 * 10_000 for number in range(60)], None),
    ],
    ids=["nothing", "just too slow", "just fast enough", "a burst", "now and then"],
)
def test_a_body_has_a_pace(totals: list[int], ends: int | None) -> None:
    assert ends_after(Patience(30), Phase.BODY, *totals) == ends


def test_a_body_that_the_app_does_not_read_has_all_the_time() -> None:
    patience = Patience(30)
    assert ends_after(patience, Phase.BODY, *[70_000] * 9) is None
    assert ends_after(patience, Phase.APP, *[70_000] * 1000) is None
    assert ends_after(patience, Phase.BODY, *[70_000] * 30) == 11


def test_another_request_begins_anew() -> None:
    patience = Patience(30)
    assert not any(patience.tick(Phase.HEAD, number // 10) for number in range(200))


def test_who_asks_nothing_more_may_stay_as_long_as_was_said() -> None:
    assert ends_after(Patience(5), Phase.IDLE, *[0] * 30) == 6


def test_what_is_not_read_ends_after_its_seconds_and_what_is_read_slowly_does_not() -> None:
    unread, slow, again = Unread(), Unread(), Unread()
    assert [unread.tick(True, 5) for _ in range(UNREAD_SECONDS + 1)] == [False] * UNREAD_SECONDS + [True]
    assert not any(slow.tick(True, number * 1000) for number in range(100))
    # Between answers nothing waits.
    assert not any(again.tick(number % 20 != 0, 5) for number in range(100))


@pytest.mark.parametrize("rate", [1000, 2000, 3000, 64_000])
@pytest.mark.parametrize("step", [1000, 65_483, 400_000])
def test_who_reads_in_bursts_may_rest_as_long_as_the_burst_was_large(rate: int, step: int) -> None:
    """At each rate that is fast enough, however much is taken at once, where the first burst has come."""
    bursts = Unread()
    assert not any(bursts.tick(True, step + number * rate // step * step) for number in range(5000))


@pytest.mark.parametrize(
    ("taken", "seconds"),
    [(0, UNREAD_SECONDS), (100_000, UNREAD_SECONDS + 100), (50_000_000, CREDIT_SECONDS)],
)
def test_what_was_taken_buys_its_time_and_no_more_than_ten_minutes(taken: int, seconds: int) -> None:
    burst, later, slow = Unread(), Unread(), Unread()
    assert [burst.tick(True, taken) for _ in range(seconds + 1)] == [False] * seconds + [True]
    # It was taken while nothing waited, or a moment before.
    assert not later.tick(False, 0)
    assert [later.tick(True, taken) for _ in range(seconds + 1)] == [False] * seconds + [True]
    # Less than the slowest of rates ends some time.
    assert any(slow.tick(True, taken + number * (SLOWEST - 1)) for number in range(CREDIT_SECONDS * SLOWEST + 2))


def test_a_number_that_becomes_smaller_costs_nothing_and_buys_nothing() -> None:
    unread = Unread()
    totals = [-60_000, -5_000_000, *[-5_000_000] * 28]
    assert not any(unread.tick(True, total) for total in totals)
    assert unread.tick(True, -5_000_000)
    reading = Unread()
    assert not any(reading.tick(True, -5_000_000 + number * 1000) for number in range(1000))


def test_a_pace_is_that_of_the_last_seconds() -> None:
    pace = Pace(2, 10)
    assert [pace.falls_short(total) for total in (0, 5, 20, 30, 39, 40)] == [False, False, False, False, True, True]


def test_small_chunks_are_no_offence_and_what_stands_around_them_is() -> None:
    small, padded, late = Wrapping(), Wrapping(), Wrapping()
    assert not any(small.is_too_much(6 * 1000, 1000) for _ in range(10_000))
    assert [padded.is_too_much(30_000, 1) for _ in range(4)] == [False, False, True, True]
    # A large body pays for nothing that comes after it.
    assert not late.is_too_much(100_000_000, 100_000_000)
    assert late.is_too_much(70_000, 0)


def test_every_limit_says_what_was_wrong() -> None:
    assert {phase for phase in Phase if phase not in LIMITS} == {Phase.APP, Phase.IDLE}
    assert all(isinstance(limit, Limit) and limit.words for limit in LIMITS.values())
