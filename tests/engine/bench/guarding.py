"""What guard and deadlines cost a kept fragment: the app with and without, in short runs one right after the other."""

import random
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tests.engine.bench import report, serving, systems

WHOLE = "this app, kept fragment"
UNCHECKED = "  without its checks"
UNGUARDED = "  without its guard"
UNLIMITED = "  without guard, deadlines"


def measure(directory: Path, plan: serving.Plan) -> str:
    """Ask each in turn; the table."""
    results: dict[str, list[dict[str, Any]]] = {WHOLE: [], UNCHECKED: [], UNGUARDED: [], UNLIMITED: []}
    with serving.started(directory, tuple(results)) as running, serving.load_client(systems.cores()[1]) as client:
        for server, answer in running:
            client.load(server, answer, plan.warm_up, plan.connections)
        for number in range(plan.rounds):
            report.say(f"guard, round {number + 1} of {plan.rounds}, {report.load()}")
            for server, answer in random.sample(running, len(running)):
                results[server.system.name].append(serving.undisturbed(client, server, answer, plan))
    described = (
        f"The guard: the kept fragment, with and without it; {plan.rounds} shuffled rounds of {plan.seconds:g} s; "
        "medians, least–most; ratios are those within a round\n"
        "Least: the cheapest round, in which the machine disturbed it least\n"
        "Checks: Host, Origin, who is signed in. Guard: these, the limits of bodies, 500 bytes of security headers.\n"
        "Deadlines: how long and how much may come, in Uvicorn's protocol (server/protocols/http1.py)"
    )
    return "\n".join([described, "", _table(results)])


def _table(results: dict[str, list[dict[str, Any]]]) -> str:
    rows = []
    for name, rounds in results.items():
        faster = _ratios(rounds, results[WHOLE], "rate")
        cheaper = _ratios(rounds, results[WHOLE], "cost")
        least = min(each["cost"] for each in rounds)
        rows.append(
            (
                name,
                f"{median(each['rate'] for each in rounds):,.0f}",
                f"{median(faster):.3f}",
                report.spread(faster, ".2f"),
                f"{median(each['cost'] for each in rounds):.1f}",
                f"{median(cheaper):.3f}",
                report.spread(cheaper, ".2f"),
                f"{least:.1f}",
                f"{least / min(each['cost'] for each in results[WHOLE]):.3f}",
            )
        )
    heads = ("", "requests/s", "of the app", "least–most", "CPU µs", "of the app", "least–most", "least", "of the app")
    return report.table(heads, rows)


def _ratios(rounds: Sequence[dict[str, Any]], whole: Sequence[dict[str, Any]], figure: str) -> list[float]:
    return [each[figure] / other[figure] for each, other in zip(rounds, whole, strict=True)]
