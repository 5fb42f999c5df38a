"""The time to build the fragment from rows that are fetched already, without any server."""

import asyncio
from itertools import count
from pathlib import Path
from statistics import median

from fasthtml.common import to_xml

from app.database.db import db
from app.tasks import tasks_of
from templates import tasks as show
from templates.parts.tags import Safe
from templates.tasks import TaskList, TaskQuery, task_list, task_row
from tests.engine.bench import data, dom, report, timing
from tests.engine.bench.peers import fasthtml_tags
from tests.engine.bench.peers.jinja import environment

JINJA = "Jinja2, compiled, autoescape"
COLD = "this app, every row new"
PLAIN = "this app, every row new, no outline"
CHANGED = "this app, one row changed"
SAME = "this app, no row changed"
FASTHTML = "FastHTML's own tags"


def measure(directory: Path, rounds: int, repeats: int) -> str:
    """Build the fragment in each way; the table."""
    tasks = _fetched(directory)
    template = environment.get_template("tasks.html")
    changed = _one_row_changed(tasks)
    calls = {
        JINJA: lambda: template.render(tasks=tasks.rows, more=tasks.more, counts=tasks.counts, today=tasks.today),
        COLD: lambda: task_list(tasks),
        PLAIN: lambda: _without_outline(tasks),
        CHANGED: lambda: task_list(changed[0]),
        SAME: lambda: task_list(tasks),
        FASTHTML: lambda: to_xml(fasthtml_tags.task_list(tasks.rows, tasks.more, tasks.counts), indent=False),
    }
    for name in (JINJA, PLAIN, FASTHTML):
        dom.assert_same(name, task_list(tasks), calls[name]())
    changes = count()
    before = {
        COLD: task_row.cache_clear,
        PLAIN: task_row.cache_clear,
        CHANGED: lambda: changed.__setitem__(0, _one_row_changed(tasks, next(changes))[0]),
    }
    report.say("building")
    figures = timing.side_by_side(calls, rounds, repeats, before)
    return "\n".join([_described(rounds, repeats), "", _table(figures)])


def _fetched(directory: Path) -> TaskList:
    """The first page of the list, as the app reads it."""
    db.open(data.make(directory / "building"))
    try:
        return asyncio.run(tasks_of(TaskQuery()))
    finally:
        db.close()


def _without_outline(tasks: TaskList) -> Safe:
    """The list with every row drawn by calls of tags, as a template without `outline` is."""
    filled = show._row
    show._row = filled.__wrapped__  # type: ignore[attr-defined]
    try:
        return task_list(tasks)
    finally:
        show._row = filled


def _one_row_changed(tasks: TaskList, number: int = -1) -> list[TaskList]:
    """The same list, with a title in its middle that it never had."""
    middle = len(tasks.rows) // 2
    rows = [*tasks.rows]
    rows[middle] = rows[middle]._replace(title=f"{rows[middle].title} {number}")
    return [tasks._replace(rows=rows)]


def _described(rounds: int, repeats: int) -> str:
    return (
        "Building: the same fragment as a string from fetched rows, in one process, the same DOM (checked); "
        f"{rounds} shuffled rounds of {repeats} calls; medians, least–most\n"
        "Every row new: nothing kept of any row; the outline of rows is drawn already, as Jinja2's template is compiled"
    )


def _table(figures: dict[str, list[float]]) -> str:
    jinja = figures[JINJA]
    rows = [
        (
            name,
            f"{median(times):.3f}",
            report.spread(times, ".3f"),
            f"{median(each / peer for each, peer in zip(times, jinja, strict=True)):.2f}",
        )
        for name, times in figures.items()
    ]
    return report.table(("", "ms", "least–most", "of Jinja2"), rows)
