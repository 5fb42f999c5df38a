"""Turns: each person in turn, however much one asks for; nothing is lost, and no place is given twice."""

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.database.fair_turns import Turns


def taken(turns: Turns[Any]) -> list[Any]:
    """All that may run now."""
    found = []
    while (turn := turns.next()) is not None:
        found.append(turn.thing)
    return found


def test_whoever_asks_more_waits_no_less_than_who_comes_later() -> None:
    turns: Turns[str] = Turns(places=1, of_one=1)
    for number in range(4):
        turns.add("a", f"a{number}")
    assert taken(turns) == ["a0"]
    turns.add("b", "b0")
    turns.add("c", "c0")
    turns.add("b", "b1")
    order = []
    for _ in range(6):
        turns.end(order[-1][0] if order else "a")
        order += taken(turns)
    assert order == ["a1", "b0", "c0", "a2", "b1", "a3"]


def test_one_person_leaves_a_place_for_the_others() -> None:
    turns: Turns[str] = Turns(places=3, of_one=2)
    for number in range(5):
        turns.add("a", f"a{number}")
    assert taken(turns) == ["a0", "a1"]
    turns.add("b", "b0")
    turns.add("b", "b1")
    assert taken(turns) == ["b0"]
    turns.end("a")
    assert taken(turns) == ["a2"], "each has one, and a has waited longer"
    turns.end("a")
    turns.end("a")
    assert taken(turns) == ["a3", "b1"], "who has fewer places comes first"


def test_what_leaves_does_not_come_any_more() -> None:
    turns: Turns[str] = Turns(places=1, of_one=1)
    turns.add("a", "a0")
    turns.add("a", "a1")
    assert (turns.leave("a", "a0"), turns.leave("a", "a0"), turns.leave("b", "a1")) == (True, False, False)
    assert (len(turns), turns.of("a"), taken(turns)) == (1, 1, ["a1"])
    assert (len(turns), turns.of("a"), turns.leave("a", "a1")) == (0, 1, False)
    turns.end("a")
    assert turns.of("a") == 0


PEOPLE = st.sampled_from("abcd")


@given(st.lists(st.one_of(PEOPLE.map(lambda who: ("add", who)), st.just(("end", ""))), max_size=80))
def test_nobody_is_passed_over_twice_by_the_same_person(steps: list[tuple[str, str]]) -> None:
    """Between the moment in which a person begins to wait and the next turn of theirs, each other has one at most."""
    turns: Turns[tuple[str, int]] = Turns(places=2, of_one=1)
    running: list[str] = []
    added, run = 0, 0
    # For each person who waits: how often others have had a turn since.
    passed: dict[str, Counter[str]] = {}
    for step, who in steps:
        if step == "add":
            turns.add(who, (who, added))
            added += 1
            passed.setdefault(who, Counter())
        elif running:
            turns.end(running.pop(0))
        while (turn := turns.next()) is not None:
            person = str(turn.person)
            run += 1
            running.append(person)
            assert len(running) <= 2
            assert running.count(person) == 1
            del passed[person]
            for other, count in passed.items():
                if other not in running:
                    count[person] += 1
                    assert count[person] <= 1
            if turns.of(person) > 1:
                passed[person] = Counter()
    assert added == run + len(turns)
