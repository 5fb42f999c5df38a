"""The list in FastHTML's own tags, by themselves for the build benchmark."""

from collections.abc import Sequence
from datetime import date

from fasthtml.common import FT, A, Button, Div, Form, Input, Li, Nav, Ol, P, Section, Span, Time

from tests.engine.bench.peers.tasks import STATUSES, Task, due_label

IN_LIST = {
    "hx_target": "closest li",
    "hx_swap": "outerHTML",
    "hx_vals": "in:list",
    "hx_sync": "drop",
}


def task_list(tasks: Sequence[Task], more: bool, counts: dict[str, int]) -> FT:
    """The list."""
    today = date.today()
    return Section(
        Div(
            Nav(*[status_link(status, counts[status]) for status in STATUSES], aria_label="Status", cls="tabs"),
            cls="list-head",
        ),
        Input(type="hidden", name="status", value="all", form="filter"),
        Ol(*[task_row(task, today) for task in tasks], id="tasks-page-1", cls="rows", **IN_LIST),
        next_page() if more else None,
        id="tasks",
        data_live="/tasks",
        data_version="",
        cls="card list",
        aria_label="Tasks",
    )


def status_link(status: str, count: int) -> FT:
    """A tab."""
    url = "/tasks" if status == "all" else f"/tasks?status={status}"
    return A(
        STATUSES[status],
        " ",
        Span(f"{count:,}", cls="count"),
        href=url,
        hx_get=url,
        hx_target="#tasks",
        hx_swap="outerMorph",
        hx_push_url="true",
        aria_current="true" if status == "all" else None,
    )


def task_row(task: Task, today: date) -> FT:
    """A row. `enctype` is switched off, which FastHTML would add."""
    address = f"/tasks/{task.id}"
    return Li(
        Form(
            Button(
                name="done",
                value="0" if task.done else "1",
                id=f"tick-{task.id}",
                cls="check",
                role="checkbox",
                aria_checked="true" if task.done else "false",
                aria_label=f"Done: {task.title}",
            ),
            A(task.title, href=address, cls="title"),
            Span(cls="icon note", role="img", aria_label="Has notes") if task.has_notes else None,
            due_time(task, today) if task.due else None,
            A(
                href=f"{address}/edit",
                hx_get=f"{address}/edit",
                cls="icon-button edit",
                aria_label=f"Edit {task.title}",
            ),
            Button(name="_method", value="delete", cls="icon-button delete", aria_label=f"Delete {task.title}"),
            method="post",
            action=address,
            hx_post=address,
            enctype=None,
        ),
        id=f"task-{task.id}",
        cls="record done" if task.done else "record",
    )


def due_time(task: Task, today: date) -> FT:
    """When a task is due."""
    due = due_label(task.due or "", task.done, today)
    return Time(
        Span("Overdue: ", cls="visually-hidden") if due.late else None,
        due.words,
        datetime=task.due,
        title=due.title,
        cls=due.kind,
    )


def next_page() -> FT:
    """What fetches the next page."""
    return P(
        A("More tasks", href="/tasks?page=2", rel="next"),
        id="more-2",
        cls="more",
        hx_get="/tasks?pages=2",
        hx_trigger="revealed",
        hx_target="#tasks",
        hx_swap="outerMorph",
    )
