"""Who makes room for others, how the table looks after connections, and what the log says of it."""

import asyncio
import logging
from itertools import count

import pytest

from server.protocols import connection_table
from server.protocols.connection_table import (
    Bounds,
    Connections,
    Cuts,
    Doing,
    Standing,
    bounds,
    group_of,
    who_goes,
)
from tests.engine.ticking import until

MOST = Bounds(all=80, of_one=40, strangers=40, strangers_of_one=16)


def stranger(group: str, is_busy: bool = False) -> Standing:
    return Standing(group, False, Doing.BUSY if is_busy else Doing.IDLE)


def admitted(group: str, is_busy: bool = False) -> Standing:
    return Standing(group, True, Doing.BUSY if is_busy else Doing.IDLE)


def test_files_are_kept_for_what_is_not_a_connection() -> None:
    assert bounds(200) == Bounds(136, 68, 68, 34)
    assert bounds(10240) == Bounds(9600, 4800, 500, 250)
    assert bounds(20) == Bounds(10, 5, 5, 2)


def test_nobody_goes_while_there_is_room() -> None:
    few = [stranger("a") for _ in range(16)] + [stranger("b") for _ in range(16)] + [stranger("")] * 8
    assert who_goes([*few, *[admitted("c") for _ in range(40)]], MOST) == []


def test_the_oldest_stranger_that_is_idle_goes_first() -> None:
    everyone = [stranger("", True), admitted(""), *[stranger("") for _ in range(40)]]
    assert who_goes(everyone, MOST) == [2, 3, 4, 5, 6, 7]


def test_who_is_slow_goes_before_who_is_idle() -> None:
    everyone = [*[stranger("") for _ in range(20)], *[Standing("", False, Doing.SLOW) for _ in range(21)]]
    assert who_goes(everyone, MOST) == [20, 21, 22, 23, 24, 25]


def test_the_address_that_has_the_most_makes_room() -> None:
    everyone = [*[stranger(f"{number}") for number in range(26)], *[stranger("x") for _ in range(15)]]
    assert who_goes(everyone, MOST) == [26, 27, 28, 29, 30, 31]


def test_one_address_has_fewer_places_than_all_and_a_proxy_as_many() -> None:
    assert who_goes([stranger("x") for _ in range(17)], MOST) == [0, 1, 2]
    assert who_goes([stranger("") for _ in range(17)], MOST) == []


def test_strangers_make_room_for_the_admitted_and_these_only_where_they_are_idle() -> None:
    pages = [admitted("", True) for _ in range(70)]
    idle = [admitted("") for _ in range(5)]
    assert who_goes([*idle, *pages, *[stranger("x") for _ in range(6)]], MOST) == [75, 76, 77, 78, 79, 80]
    assert who_goes([*idle, *pages, *[admitted("", True) for _ in range(6)]], MOST) == [0, 1, 2, 3, 4]
    assert who_goes([*pages, *[admitted("", True) for _ in range(11)]], MOST) == []


def test_who_is_being_answered_goes_last_of_the_strangers() -> None:
    assert who_goes([*[stranger("", True) for _ in range(81)]], MOST) == list(range(11))
    assert who_goes([*[stranger("", True) for _ in range(60)]], MOST) == []
    both = [*[admitted("") for _ in range(76)], *[stranger("", True) for _ in range(5)]]
    assert who_goes(both, MOST) == [76, 77, 78, 79, 80, 0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("127.0.0.1", ""),
        ("127.3.2.1", ""),
        ("::1", ""),
        ("::ffff:127.0.0.1", ""),
        ("", ""),
        ("/run/app.sock", ""),
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
    ],
)
def test_an_address_stands_for_a_household(address: str, group: str) -> None:
    assert group_of(address) == group


class Guest:
    """A connection that is what the test says."""

    _numbers = count()

    def __init__(self, table: Connections, address: str = "", is_admitted: bool = False, is_busy: bool = False) -> None:
        self.table = table
        self.facts = is_admitted, Doing.BUSY if is_busy else Doing.IDLE
        self.looks = 0
        self.is_gone = False
        self.fails = False
        table.enter(self, address)

    def is_admitted(self) -> bool:
        return self.facts[0]

    def doing(self) -> Doing:
        return self.facts[1]

    def look(self) -> None:
        self.looks += 1
        if self.fails:
            raise LookupError("cannot be looked at")

    def make_way(self) -> None:
        self.is_gone = True
        self.table.leave(self)


def test_a_newcomer_finds_room_and_the_oldest_goes() -> None:
    async def run() -> None:
        table = Connections(MOST)
        guests = []
        for _ in range(100):
            assert table.has_room("127.0.0.1")
            guests.append(Guest(table))
            assert len(table) <= MOST.strangers
        assert guests[0].is_gone
        assert not any(guest.is_gone for guest in guests[-30:])

    asyncio.run(run())


def test_hundreds_of_tabs_that_are_let_in_stay_beside_a_crowd_of_strangers() -> None:
    async def run() -> None:
        table = Connections(MOST)
        pages = [Guest(table, is_admitted=True, is_busy=True) for _ in range(60) if table.has_room("127.0.0.1")]
        for _ in range(1000):
            assert table.has_room("192.0.2.1")
            Guest(table, "192.0.2.1")
        assert len(pages) == 60
        assert not any(page.is_gone for page in pages)

    asyncio.run(run())


def test_a_newcomer_is_turned_away_where_nobody_can_go() -> None:
    async def run() -> None:
        table = Connections(MOST)
        for _ in range(80):
            assert table.has_room("")
            Guest(table, is_admitted=True, is_busy=True)
        assert not table.has_room("")
        Guest(table, is_admitted=True).make_way()
        assert not table.has_room("192.0.2.1")

    asyncio.run(run())


def test_one_who_is_signed_in_does_not_take_the_places_of_all() -> None:
    async def run() -> None:
        table = Connections(MOST)
        while table.has_room("192.0.2.1"):
            Guest(table, "192.0.2.1", is_admitted=True, is_busy=True)
        assert len(table) == MOST.of_one
        assert table.has_room("192.0.2.2")

    asyncio.run(run())


def test_each_is_looked_at_and_one_that_cannot_be_is_ended(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        table = Connections(MOST)
        guests = [Guest(table) for _ in range(3)]
        guests[1].fails = True
        for _ in range(2):
            table.tick()
        assert [guest.looks for guest in guests] == [2, 1, 2]
        assert [guest.is_gone for guest in guests] == [False, True, False]

    asyncio.run(run())
    assert "cannot be looked at" in caplog.text


def test_nothing_wakes_up_while_nobody_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_table, "TICK_SECONDS", 0.001)

    async def run() -> None:
        table = Connections(MOST)
        guest = Guest(table)
        await until(lambda: guest.looks > 2)
        guest.make_way()
        await until(lambda: table._timer is None)
        again = Guest(table)
        await until(lambda: again.looks > 2)

    asyncio.run(run())


def test_the_log_has_a_line_for_each_kind_and_counts_the_others(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(connection_table.time, "monotonic", lambda: now)
    caplog.set_level(logging.WARNING)
    cuts = Cuts()
    for number in range(1000):
        cuts.note("it was slow", f"192.0.2.{number % 250}")
        cuts.note("it was large", "192.0.2.251")
    cuts.tick()
    assert caplog.messages == [
        "A connection from 192.0.2.0 was ended: it was slow",
        "A connection from 192.0.2.251 was ended: it was large",
    ]
    now += connection_table.LOG_SECONDS
    cuts.tick()
    assert caplog.messages[2:] == [
        "999 more connections were ended, the last from 192.0.2.249: it was slow",
        "999 more connections were ended, the last from 192.0.2.251: it was large",
    ]
    assert not cuts.are_waiting
