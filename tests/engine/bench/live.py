"""The benchmark of live updates: from a commit to the frame at each open page, beside what people use otherwise.

All systems run, one is asked at a time, in an order shuffled per round. Nothing is measured against a limit here:
figures are for people.
"""

import argparse
import random
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from tests.engine.bench import broadcasts, report, systems
from tests.engine.bench.broadcasts import DEFAULTS, DOCUMENTED, LIMIT, OURS, TWO, Broadcast, Viewers

PACKAGES = ("uvicorn", "uvloop", "websockets", "starlette", "python-fasthtml", "python-socketio")
# Before this a commit has reached every page, or never will.
PATIENCE_SECONDS = 30
STANDSTILL_SECONDS = 5
Key = tuple[str, int, int, str]


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rounds: int = 3
    commits: int = 10
    every: float = 0.2
    pages: tuple[int, ...] = (1, 100, 1000, 5000)
    # So many pages over so many distinct views.
    distinct: tuple[int, int] = (1000, 100)
    # At how many pages the processor time for a frame is counted.
    counted: int = 1000
    writes: int = 1000
    readers: int = 50
    # Nothing happens for so long before that is counted, as a server may look more often after a change.
    settle_seconds: float = 11
    idle_seconds: float = 20


QUICK = Plan(
    rounds=1,
    commits=5,
    every=0.1,
    pages=(1, 100),
    distinct=(100, 10),
    counted=100,
    writes=50,
    settle_seconds=0,
    idle_seconds=2,
)


def main(arguments: Sequence[str]) -> None:
    """Measure, and print the tables."""
    chosen = _options().parse_args(arguments)
    print(report.head("live", arguments, PACKAGES))
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        print("\n" + measure(Path(directory), QUICK if chosen.quick else Plan(rounds=chosen.rounds)))
    print(f"\nAt the end: {report.load()}")


def measure(directory: Path, plan: Plan) -> str:
    """Everything, in one run; the tables."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    with broadcasts.started(directory) as running, broadcasts.viewers(systems.cores()[1]) as viewers:
        idle = _idle(running, viewers, plan)
        results: dict[Key, list[dict[str, Any]]] = defaultdict(list)
        memory: dict[tuple[str, int], float] = {}
        for number in range(plan.rounds):
            report.say(f"live, round {number + 1} of {plan.rounds}, {report.load()}")
            for broadcast in random.sample(running, len(running)):
                _round(broadcast, viewers, plan, results, memory)
        stalled = {each.name: _stalled(each, viewers, plan) for each in running if each.name not in (TWO, LIMIT)}
    tables = (
        _latencies(results, plan),
        _costs(results, memory, plan),
        _idle_table(idle, plan),
        _stalled_table(stalled, plan),
    )
    return "\n\n".join(tables)


def _round(
    broadcast: Broadcast, viewers: Viewers, plan: Plan, results: dict[Key, list[Any]], memory: dict[Any, float]
) -> None:
    """One system, with more and more pages."""
    memory.setdefault((broadcast.name, 0), broadcast.server.megabytes())
    # Compressing for each page of more would take longer than the commits are apart.
    counts = [pages for pages in plan.pages if broadcast.name != DEFAULTS or pages <= plan.counted]
    for pages in counts:
        viewers.open(broadcast, pages)
        memory.setdefault((broadcast.name, pages), broadcast.server.megabytes())
        _commits(broadcast, viewers, plan, (pages, 1), results)
    viewers.do("close")
    if broadcast.is_ours:
        viewers.open(broadcast, *plan.distinct)
        _commits(broadcast, viewers, plan, plan.distinct, results)
        viewers.do("close")


def _commits(
    broadcast: Broadcast, viewers: Viewers, plan: Plan, shape: tuple[int, int], results: dict[Key, list[Any]]
) -> None:
    """Commits of the app itself, and of another program where the system takes notice of these."""
    for kind in ("own", "foreign") if broadcast.is_ours else ("own",):
        before = broadcast.server.processor_seconds()
        result = viewers.do(
            "commit",
            kind=kind,
            database=str(broadcast.database),
            count=plan.commits,
            every=plan.every,
            patience=PATIENCE_SECONDS,
        )
        if "stopped" in result:
            raise RuntimeError(f"{broadcast.name}: commit {result['stopped']} did not reach all of {shape[0]} pages.")
        used = broadcast.server.processor_seconds() - before
        results[broadcast.name, *shape, kind].append(
            {**_percentiles(result["latencies"]), "client": result["client"], "cost": used / len(result["latencies"])}
        )


def _percentiles(latencies: Sequence[float]) -> dict[str, float]:
    ordered = sorted(latencies)
    return {"p50": ordered[len(ordered) // 2], "p99": ordered[len(ordered) * 99 // 100], "most": ordered[-1]}


def _idle(running: Sequence[Broadcast], viewers: Viewers, plan: Plan) -> dict[tuple[str, int], tuple[float, float]]:
    """Share of a core and wake-ups a second of this app, with no page open and with ten that show all of theirs."""
    ours = next(each for each in running if each.name == OURS)
    figures = {(ours.name, 0): _rest(ours, plan)}
    viewers.do(
        "open",
        port=ours.server.port,
        path=ours.path,
        hellos=[broadcasts.watch(*broadcasts.PAGE)],
        awaited=len(broadcasts.PAGE),
        count=10,
    )
    figures[ours.name, 10] = _rest(ours, plan)
    viewers.do("close")
    return figures


def _rest(broadcast: Broadcast, plan: Plan) -> tuple[float, float]:
    process = psutil.Process(broadcast.server.process.pid)
    time.sleep(plan.settle_seconds)
    before, switches = broadcast.server.processor_seconds(), process.num_ctx_switches().voluntary
    time.sleep(plan.idle_seconds)
    used = broadcast.server.processor_seconds() - before
    return used / plan.idle_seconds, (process.num_ctx_switches().voluntary - switches) / plan.idle_seconds


def _stalled(broadcast: Broadcast, viewers: Viewers, plan: Plan) -> dict[str, Any]:
    """One page takes nothing; what the others notice of it."""
    viewers.open(broadcast, plan.readers + 1)
    viewers.do("stall")
    before = broadcast.server.megabytes()
    result = viewers.do(
        "commit",
        kind="own",
        database=str(broadcast.database),
        count=plan.writes,
        every=0.02,
        patience=STANDSTILL_SECONDS,
    )
    grown = broadcast.server.megabytes() - before
    viewers.do("close")
    return {**result, **_percentiles(result["latencies"]), "grown": grown}


def _latencies(results: dict[Key, list[dict[str, Any]]], plan: Plan) -> str:
    core, client_core = systems.cores()
    pinned = (
        f"server on core {core} (two workers on any), all pages on core {client_core}"
        if core is not None
        else "not pinned to cores"
    )
    rows = []
    for (name, pages, views, kind), rounds in sorted(results.items(), key=_order):
        p50s, p99s = [each["p50"] for each in rounds], [each["p99"] for each in rounds]
        rows.append(
            (
                name,
                f"{pages:,}",
                f"{views:,}",
                kind,
                f"{median(p50s):.1f}",
                report.spread(p50s, ".1f"),
                f"{median(p99s):.1f}",
                report.spread(p99s, ".1f"),
                f"{median(each['client'] for each in rounds):.1f}",
            )
        )
    heads = ("", "pages", "views", "commits", "p50 ms", "least–most", "p99 ms", "least–most", "client ms")
    return "\n".join(
        (
            "From a commit to the whole frame at each page, 20 rows of 10,000 tasks, 15 kB; loopback",
            "Own: from a POST that is sent; foreign: from another program's COMMIT that is done",
            f"{plan.rounds} shuffled rounds of {plan.commits} commits, one in {plan.every:g} s; medians, least–most",
            f"{pinned}; client ms: processor time of the pages' process for a commit, part of the latency",
            "",
            report.table(heads, rows),
        )
    )


def _order(item: tuple[Key, Any]) -> tuple[Any, ...]:
    (name, pages, views, kind), _ = item
    return views, pages, kind == "foreign", broadcasts.NAMES.index(name)


def _costs(results: dict[Key, list[dict[str, Any]]], memory: dict[tuple[str, int], float], plan: Plan) -> str:
    rows = []
    wanted = (plan.counted, 1, "own")
    own = {name: rounds for (name, *shape), rounds in results.items() if tuple(shape) == wanted}
    for name, rounds in sorted(own.items(), key=lambda item: broadcasts.NAMES.index(item[0])):
        costs = [each["cost"] * 1e6 for each in rounds]
        ratios = [
            median(each["cost"] / other["cost"] for each, other in zip(rounds, own[documented], strict=True))
            for documented in (DEFAULTS, DOCUMENTED)
        ]
        empty, most = memory[name, 0], max(plan.pages)
        grown = [
            f"{(memory[name, pages] - empty) * 1000 / pages:.1f}" if (name, pages) in memory else ""
            for pages in (plan.counted, most)
        ]
        rows.append(
            (
                name,
                f"{median(costs):.1f}",
                report.spread(costs, ".1f"),
                *(f"{ratio:.2f}" for ratio in ratios),
                f"{empty:.0f}",
                *grown,
            )
        )
    heads = (
        "",
        "CPU ms",
        "least–most",
        "of documented",
        "without compression",
        "RSS MB",
        f"kB a page at {plan.counted:,}",
        f"at {max(plan.pages):,}",
    )
    return "\n".join(
        (
            f"Server's processor time for 1,000 frames, commit and rendering included, at {plan.counted:,} pages; "
            "resident memory without a page, and for each page (the first time that there are so many). Of documented: "
            "loop and await on Uvicorn's defaults, which compress each frame for each page, and without compression",
            "",
            report.table(heads, rows),
        )
    )


def _idle_table(idle: dict[tuple[str, int], tuple[float, float]], plan: Plan) -> str:
    rows = [
        (f"{name}, {pages} pages", f"{share:.2%}", f"{wakes:.0f}") for (name, pages), (share, wakes) in idle.items()
    ]
    heads = ("", "of a core", "wake-ups a second")
    return f"With nothing happening, {plan.idle_seconds:g} s\n\n" + report.table(heads, rows)


def _stalled_table(stalled: dict[str, dict[str, Any]], plan: Plan) -> str:
    rows = [
        (
            name,
            f"{each['p50']:.1f}",
            f"{each['p99']:.1f}",
            f"{each['most']:.1f}",
            f"{each['grown']:.1f}",
            f"stands still at write {each['stopped']}" if "stopped" in each else "all",
        )
        for name, each in stalled.items()
    ]
    heads = ("", "p50 ms", "p99 ms", "most ms", "grown by MB", "writes seen")
    described = (
        f"One page that reads nothing, {plan.readers} others, {plan.writes:,} writes, each when all have the last"
    )
    return f"{described}; own commits\n\n{report.table(heads, rows)}"


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python -m tests.engine.bench live",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("--quick", action="store_true", help="one short round with few pages, to see that all works")
    options.add_argument("--rounds", type=int, default=Plan.rounds, help="how often each system is asked (%(default)s)")
    return options
