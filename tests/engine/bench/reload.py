"""The benchmark of hot reload: from a save to what is served and to what is painted, beside what people use otherwise.

All systems run, each with a page open in a real Chromium. An edit is made in one after the other, in an order shuffled
per round. A save counts from before it is written.
"""

import argparse
import asyncio
import itertools
import math
import random
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tests.engine.bench import data, following, reloaders, report
from tests.engine.bench.following import Crowd, Page
from tests.engine.bench.reloaders import HAS_HMR, HMR, OURS, ROUTE, SMALL, STYLE, TEMPLATE, UVICORN, Project

PACKAGES = ("uvicorn", "watchfiles", "starlette", "python-fasthtml", "playwright")
BREAK, MEND, CROWDED = "a syntax error", "mended", "template, 200 requests/s"
KINDS = (TEMPLATE, ROUTE, STYLE, BREAK, MEND)
# What is not there by then does not come.
PATIENCE_SECONDS = 5
TRIES = 2
# A person does not save again before this; a page that has been loaded anew has its socket by then.
REST_SECONDS = 0.3


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    edits: int = 30
    names: tuple[str, ...] = (OURS, UVICORN, SMALL, HMR) if HAS_HMR else (OURS, UVICORN, SMALL)


QUICK = Plan(edits=3)


@dataclass
class Followed:
    """A project, the page that shows it, and what was measured: milliseconds, by the kind of the edit."""

    project: Project
    page: Page
    crowd: Crowd
    served: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    painted: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    away: list[float] = field(default_factory=list)
    # How often an edit did not show, and what it cannot do at all, found at the first edits of that kind.
    missed: Counter[str] = field(default_factory=Counter)
    cannot: dict[str, str] = field(default_factory=dict)


def main(arguments: Sequence[str]) -> None:
    """Measure, and print the tables."""
    options = argparse.ArgumentParser(prog="python -m tests.engine.bench reload", description=__doc__)
    options.add_argument("--quick", action="store_true", help="three edits of each kind, to see that all works")
    chosen = options.parse_args(arguments)
    print(report.head("reload", arguments, (*PACKAGES, "uvicorn-hmr") if HAS_HMR else PACKAGES))
    if not HAS_HMR:
        print("uvicorn-hmr needs Python 3.12 or newer, and is left out here")
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        print("\n" + measure(Path(directory), QUICK if chosen.quick else Plan()))
    print(f"\nAt the end: {report.load()}")


def measure(directory: Path, plan: Plan) -> str:
    """Everything, in one run; the tables."""
    with reloaders.started(directory, plan.names) as projects:
        all_followed = asyncio.run(_follow(projects, plan))
    return "\n\n".join((_times(all_followed, plan), _crowds(all_followed, plan)))


async def _follow(projects: Sequence[Project], plan: Plan) -> list[Followed]:
    async with following.chromium() as browser:
        all_followed = []
        for project in projects:
            page = await following.open_page(browser, f"http://127.0.0.1:{project.port}/tasks")
            all_followed.append(Followed(project, page, Crowd(project.port, project.steady)))
        await asyncio.sleep(REST_SECONDS)
        numbers = itertools.count(1)
        for done in range(plan.edits):
            report.say(f"reload, round {done + 1} of {plan.edits}, {report.load()}")
            for kind in KINDS:
                number = next(numbers)
                for followed in random.sample(all_followed, len(all_followed)):
                    await _edit(followed, kind, number)
        for done in range(plan.edits):
            report.say(f"reload, crowded round {done + 1} of {plan.edits}, {report.load()}")
            number = next(numbers)
            for followed in random.sample(all_followed, len(all_followed)):
                async with followed.crowd.asking():
                    await asyncio.sleep(REST_SECONDS)
                    await _edit(followed, CROWDED, number)
        return all_followed


async def _edit(followed: Followed, kind: str, number: int) -> None:
    """One save, and what comes of it."""
    project, page = followed.project, followed.page
    room = kind if kind in (ROUTE, STYLE) else TEMPLATE
    if kind in followed.cannot:
        await _save_in_vain(project, kind, room, number)
        return
    shown = {ROUTE: f"{data.TASKS + number:,}", STYLE: f"{number}px"}.get(room, f"edit-{number}")
    wanted = [(room, shown)]
    if kind == BREAK:
        wanted = [("failure", "shown")]
    elif kind == MEND and not followed.missed[BREAK]:
        wanted.append(("failure", "gone"))
    page.said.clear()
    asking = asyncio.to_thread(following.served, project.port, shown.encode(), PATIENCE_SECONDS)
    answer = None if kind in (STYLE, BREAK) else asyncio.create_task(asking)
    if answer is None:
        asking.close()
    await asyncio.sleep(REST_SECONDS / 4)
    began = time.time()
    project.save(room, number, reloaders.BROKEN if kind == BREAK else "")
    painted = await page.wait(wanted, PATIENCE_SECONDS)
    served = await answer if answer else None
    if painted is None:
        followed.missed[kind] += 1
        if not followed.painted[kind] and followed.missed[kind] == TRIES:
            followed.cannot[kind] = await _what_happens(project, kind)
    else:
        followed.painted[kind].append((painted - began) * 1000)
    if served is not None:
        followed.served[kind].append((served - began) * 1000)
    await asyncio.sleep(REST_SECONDS)
    closed = page.when("socket", "closed")
    opened = closed and page.when("socket", "open", closed)
    if opened and closed and kind in (TEMPLATE, ROUTE):
        followed.away.append((opened - closed) * 1000)


async def _save_in_vain(project: Project, kind: str, room: str, number: int) -> None:
    """What does not show need not be waited for; but what is broken will be mended, and the crowd goes on."""
    if kind != STYLE:
        project.save(room, number, reloaders.BROKEN if kind == BREAK else "")
        await asyncio.sleep(REST_SECONDS * 4)


async def _what_happens(project: Project, kind: str) -> str:
    """In which way it fails to show an edit."""
    if kind != BREAK:
        return "does not follow"
    answers = await asyncio.to_thread(following.served, project.port, b"", 2)
    return "no word; the old page stays" if answers else "no word; requests hang"


def _times(all_followed: Sequence[Followed], plan: Plan) -> str:
    rows = []
    ours = next(each for each in all_followed if each.project.name == OURS)
    for kind in (*KINDS, CROWDED):
        for followed in all_followed:
            painted = followed.painted[kind]
            times = f"{median(painted) / median(ours.painted[kind]):.1f}" if painted else ""
            shown = (*_figures(painted), times, f"{followed.missed[kind] or ''}")
            if kind in followed.cannot:
                shown = (followed.cannot[kind], "", "", "", "")
            rows.append((f"{kind}: {followed.project.name}", *_figures(followed.served[kind]), *shown))
    heads = ("", "HTML ms", "p95", "least–most", "painted ms", "p95", "least–most", "of ours", "missed")
    described = (
        "From a save to the new HTML for a client that asks without end, and to its paint in an open page",
        f"{plan.edits} edits of each kind, in shuffled rounds; medians. Style: the computed style. A syntax error: its",
        "overlay; mended: the overlay is gone and the new text is there. uvicorn with --reload-delay 0 and FastHTML's",
        "live reload; the small app is FastHTML alone, with the same list",
    )
    return "\n".join((*described, "", report.table(heads, rows)))


def _crowds(all_followed: Sequence[Followed], plan: Plan) -> str:
    rows = []
    for followed in all_followed:
        taken = [seconds * 1000 for seconds in followed.crowd.taken]
        failed = len(followed.crowd.failures)
        asked = f"{len(taken) + failed:,}"
        answered = f"{median(taken):.1f}", f"{_percentile(taken, 0.99):.0f}", f"{max(taken):.0f}"
        rows.append((followed.project.name, asked, f"{failed:,}", *answered, *_figures(followed.away)))
    heads = ("", "requests", "failed", "p50 ms", "p99", "slowest", "socket away ms", "p95", "least–most")
    reasons = Counter((each.project.name, why) for each in all_followed for why in each.crowd.failures)
    described = (
        f"{following.CROWD_PER_SECOND} requests/s, half on new connections, during {plan.edits} edits of a template;",
        "the list, of the small app its lightest, as its list takes 5 ms. Failed: not 200, or nothing within 10 s.",
        "Socket away: the page's WebSocket, closed to open again; – where it was never closed",
    )
    failures = (f"{name}: {count:,} × {why}" for (name, why), count in reasons.most_common())
    return "\n".join((*described, "", report.table(heads, rows), *failures))


def _figures(values: Sequence[float]) -> tuple[str, str, str]:
    """Median, p95, least and most."""
    if not values:
        return "–", "", ""
    return f"{median(values):.0f}", f"{_percentile(values, 0.95):.0f}", report.spread(values, ".0f")


def _percentile(values: Sequence[float], part: float) -> float:
    return sorted(values)[max(0, math.ceil(len(values) * part) - 1)]
