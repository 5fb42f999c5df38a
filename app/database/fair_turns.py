"""Fair scheduling of a limited number of places: people take turns, however much one of them asks.

Nothing waits or runs here: whoever has the places asks what comes next, and says when it has ended.
"""

from collections import Counter, deque
from collections.abc import Hashable
from contextvars import ContextVar
from typing import Generic, NamedTuple, TypeVar

Thing = TypeVar("Thing")
# The person of the current request (the value of guard.ADMITTED); None for work of the app itself.
present_person: ContextVar[Hashable] = ContextVar("present_person", default=None)


class Turn(NamedTuple, Generic[Thing]):
    """What comes next, and whose it is."""

    person: Hashable
    thing: Thing


class Turns(Generic[Thing]):
    """What waits and what runs. `places` is how many run at once, `of_one` how many of them one person may have."""

    def __init__(self, places: int, of_one: int) -> None:
        self.places = places
        self.of_one = of_one
        # In the order of their turns; who has had one is behind all others.
        self._waiting: dict[Hashable, deque[Thing]] = {}
        self._running: Counter[Hashable] = Counter()

    def __len__(self) -> int:
        """How many wait, of all people."""
        return sum(map(len, self._waiting.values()))

    def of(self, person: Hashable) -> int:
        """How many of one person wait or run."""
        return len(self._waiting.get(person, ())) + self._running[person]

    def add(self, person: Hashable, thing: Thing) -> None:
        """Have something wait."""
        self._waiting.setdefault(person, deque()).append(thing)

    def leave(self, person: Hashable, thing: Thing) -> bool:
        """Have something not wait any more; whether it did."""
        waiting = self._waiting.get(person, deque())
        if thing not in waiting:
            return False
        waiting.remove(thing)
        if not waiting:
            del self._waiting[person]
        return True

    def next(self) -> Turn[Thing] | None:
        """What is to run now, if there is a place for it: the oldest of the person who has the fewest places."""
        free = [person for person in self._waiting if self._running[person] < self.of_one]
        if not free or self._running.total() >= self.places:
            return None
        person = min(free, key=self._running.__getitem__)
        waiting = self._waiting.pop(person)
        thing = waiting.popleft()
        if waiting:
            self._waiting[person] = waiting
        self._running[person] += 1
        return Turn(person, thing)

    def end(self, person: Hashable) -> None:
        """Give a place back."""
        self._running[person] -= 1
        if not self._running[person]:
            del self._running[person]
