"""Timing of plain calls, several of them side by side."""

import random
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any


def side_by_side(
    calls: Mapping[str, Callable[[], Any]], rounds: int, repeats: int, before: Mapping[str, Callable[[], Any]]
) -> dict[str, list[float]]:
    """The median time of each call in milliseconds, one figure for each round; rounds are shuffled.

    `before` names what is done ahead of a call and not counted.
    """
    figures: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name in random.sample(list(calls), len(calls)):
            figures[name].append(_time(calls[name], repeats, before.get(name)))
    return figures


def _time(call: Callable[[], Any], repeats: int, before: Callable[[], Any] | None) -> float:
    taken = []
    for _ in range(repeats):
        if before is not None:
            before()
        began = time.perf_counter_ns()
        call()
        taken.append(time.perf_counter_ns() - began)
    return median(taken) / 1e6
