"""Fuzzing: inputs made from a seed, judged one after another, and made small where one fails.

An input is a tuple of parts. What makes inputs of one way in, and judges what comes of them, stands in `ways/`; the
loop, the seed and the time are here, for all of them. `FUZZ_SEED` repeats a run, `FUZZ_SECONDS` gives each way another
time.
"""

import os
import random
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

Input = tuple[Any, ...]
# The time of each way, in seconds: ten minutes in all with -m slow, and what the quick run has for it.
SLOW_SECONDS = {"heads": 110, "forms": 110, "json": 90, "live": 90, "imports": 80, "restore": 60, "new": 60}
QUICK_SECONDS = 0.4
# What goes wrong shows a little later now and then: so many of the last inputs may be what did it.
RECENT = 25
# A slow answer counts where the input is slow alone, so many times out of so many.
REPEATS = 3
SHRINK_SECONDS = 15


class Way(Protocol):
    """A way in."""

    name: str

    def make(self, chance: random.Random) -> Input:
        """The next input."""

    def judge(self, given: Input) -> str:
        """Give an input to the server; what is wrong now, empty where nothing is."""

    def judge_alone(self, given: Input) -> str:
        """The same, waiting until all of its effects can be seen."""


class Finding(NamedTuple):
    """An input that fails, as small as it was made, and what is seen. No input where none of the last does it alone."""

    wrong: str
    given: Input | None

    def __str__(self) -> str:
        return f"{self.wrong}\n    input: {self.given!r}"[:4000]


class Report(NamedTuple):
    """What a run has found."""

    way: str
    seed: int
    inputs: int
    seconds: float
    findings: list[Finding]
    # How often something was slow that was not slow alone: the machine has much else to do.
    doubtful: int

    def __str__(self) -> str:
        found = "".join(f"\n  {finding}" for finding in self.findings) or ", nothing found"
        doubtful = f" ({self.doubtful} slow, but not alone)" if self.doubtful else ""
        return f"{self.way}: {self.inputs:,} inputs in {self.seconds:.0f} s, seed {self.seed}{doubtful}{found}"


def seed(otherwise: int) -> int:
    """The seed of this run."""
    return int(os.environ.get("FUZZ_SEED") or otherwise)


def seconds(otherwise: float) -> float:
    """For how long this run fuzzes one way."""
    return float(os.environ.get("FUZZ_SECONDS") or otherwise)


def fuzz(way: Way, seconds: float, seed: int) -> Report:
    """Give a way inputs for so long; each kind of fault is reported once."""
    chance = random.Random(f"{way.name} {seed}")
    recent: deque[Input] = deque(maxlen=RECENT)
    findings: dict[str, Finding] = {}
    spent = 0.0
    count = doubtful = 0
    while spent < seconds:
        began = time.monotonic()
        given = way.make(chance)
        recent.append(given)
        count += 1
        wrong = way.judge(given)
        # To look into what was found has its own time.
        spent += time.monotonic() - began
        if wrong and wrong not in findings:
            found = _found(way, wrong, list(recent))
            if found is None:
                doubtful += 1
            else:
                findings[wrong] = found
            recent.clear()
    return Report(way.name, seed, count, spent, list(findings.values()), doubtful)


def _found(way: Way, wrong: str, recent: list[Input]) -> Finding | None:
    """Which of the last inputs it was, and the least of it that still does it; None for what is slow and not alone."""
    for given in [*reversed(recent)] * REPEATS:
        seen = way.judge_alone(given)
        if not seen:
            continue
        if _is_slow(seen):
            if all(_is_slow(way.judge_alone(given)) for _ in range(REPEATS - 1)):
                return Finding(seen, shrunk(given, lambda smaller: _is_slow(way.judge_alone(smaller))))
            continue
        return Finding(seen, shrunk(given, lambda smaller, seen=seen: way.judge_alone(smaller) == seen))  # type: ignore[misc]
    return None if _is_slow(wrong) else Finding(wrong, None)


def _is_slow(wrong: str) -> bool:
    return wrong.startswith("slow")


def shrunk(given: Input, fails: Callable[[Input], bool]) -> Input:
    """An input with as many parts left out as can be while it still fails, and each part as short as can be."""
    end = time.monotonic() + SHRINK_SECONDS
    size = len(given)
    while size and time.monotonic() < end:
        at = 0
        while at < len(given) and time.monotonic() < end:
            smaller = given[:at] + given[at + size :]
            if smaller and fails(smaller):
                given = smaller
            else:
                at += size
        size //= 2
    for number in range(len(given)):
        given = _shorter(given, number, fails, end)
    return given


def _shorter(given: Input, number: int, fails: Callable[[Input], bool], end: float) -> Input:
    """The same with one part cut, in halves, then quarters and so on."""
    size = len(given[number]) // 2 if isinstance(given[number], bytes | str) else 0
    while size and time.monotonic() < end:
        at = 0
        while at < len(given[number]) and time.monotonic() < end:
            part = given[number]
            smaller = (*given[:number], part[:at] + part[at + size :], *given[number + 1 :])
            if fails(smaller):
                given = smaller
            else:
                at += size
        size //= 2
    return given
