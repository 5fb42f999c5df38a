"""How tasks look: the records a page is made from, and pure functions from them to tags."""

from calendar import day_name
from collections.abc import Sequence
from datetime import date, tzinfo
from functools import lru_cache
from typing import NamedTuple

from templates.parts import forms, lists
from templates.parts.bar_chart import done_per_day
from templates.parts.lists import IN_DETAIL, address
from templates.parts.live import live
from templates.parts.tags import (
    H1,
    H2,
    A,
    Article,
    Aside,
    Button,
    Div,
    Dl,
    Form,
    Input,
    Li,
    Nav,
    P,
    Safe,
    Span,
    Time,
    outline,
)
from templates.parts.text_direction import balanced, own
from templates.parts.values import (
    MONTHS,
    day_in_words,
    day_of,
    moment,
    pair,
    text,
)

AREA = "/tasks"
SORTS = {"newest": "Newest first", "oldest": "Oldest first", "due": "Due date", "title": "Title"}
STATUSES = {"all": "All", "open": "Open", "done": "Done"}
# Looked up, as strftime takes as long as a tag.
DAYS = list(day_name)
NEAR_DAYS = {-1: "Yesterday", 0: "Today", 1: "Tomorrow"}
HAS_NOTES = Span(cls="icon note", role="img", aria_label="Has notes")
# Rows are kept as they are drawn; not those with a long title: thousands of them would take hundreds of megabytes.
KEPT_ROWS = 4096
KEPT_TITLE = 200


class Task(NamedTuple):
    """A whole task."""

    id: int
    title: str
    notes: str
    due: str | None
    done: int
    created_at: str
    updated_at: str


class TaskRow(NamedTuple):
    """What a row of the list shows of a task."""

    id: int
    title: str
    due: str | None
    done: int
    has_notes: int


class TaskQuery(NamedTuple):
    """Which tasks a list shows: `pages` pages, from number `page` on."""

    q: str = ""
    status: str = "all"
    sort: str = "newest"
    page: int = 1
    pages: int = 1

    def url(self, **changes: object) -> str:
        """The address of this list, with `changes`."""
        return address(AREA, self, changes)


class TaskList(NamedTuple):
    """A part of a list: its rows, whether more follow, how many there are of each status, how many were found."""

    query: TaskQuery
    rows: Sequence[TaskRow]
    more: bool
    counts: dict[str, int]
    found: str
    today: date


class Summary(NamedTuple):
    """The figures beside the list."""

    open: int
    done: int
    overdue: str
    days: Sequence[tuple[date, int]]


class TaskInput(NamedTuple):
    """What a person has typed into a form, as typed, and what is wrong with it."""

    title: str = ""
    due: str = ""
    notes: str = ""
    version: str = ""
    error: str = ""


def tasks_page(tasks: TaskList, summary: Summary, deleted: Task | None = None) -> tuple[Safe | None, ...]:
    """The main page: add, find, list, and the figures beside it."""
    return (
        Div(
            H1("Tasks", cls="visually-hidden"),
            add_form(),
            lists.filter_form(tasks.query, id="tasks", label="Search tasks", sorts=SORTS),
            task_list(tasks),
            cls="column",
        ),
        summary_card(summary),
        lists.undo_toast(deleted.title, id=f"task-{deleted.id}", address=f"{AREA}/{deleted.id}", fixed=True)
        if deleted
        else None,
    )


def add_form(given: TaskInput = TaskInput(), *, again: bool = False) -> Safe:  # noqa: B008
    """The form for a new task; `again` puts the cursor back into it."""
    return Form(
        forms.form_error(given.error),
        Input(
            name="title",
            id="new-title",
            value=given.title,
            placeholder="What needs doing?",
            aria_label="New task",
            required=True,
            maxlength=forms.LINE_LENGTH,
            autocomplete="off",
            autofocus=again,
            data_key="n",
        ),
        forms.day_input("due", given.due, aria_label="Due date"),
        Button("Add", cls="button primary"),
        id="add-task",
        cls="card add",
        method="post",
        action="/tasks",
        hx_post="/tasks",
        hx_target="#tasks",
        hx_swap="outerHTML",
        hx_disable="find button",
    )


def task_list(tasks: TaskList) -> Safe:
    """The list itself: the fragment of `GET /tasks`."""
    query = tasks.query
    return lists.list_section(
        Div(
            Nav(
                [_status_link(query, status, tasks.counts[status]) for status in STATUSES],
                aria_label="Status",
                cls="tabs",
            ),
            P(tasks.found, cls="found", role="status") if query.q else None,
            cls="list-head",
        ),
        Input(type="hidden", name="status", value=query.status, form="filter"),
        query=query,
        id="tasks",
        label="Tasks",
        rows=[
            (task_row if len(row.title) <= KEPT_TITLE else task_row.__wrapped__)(row, tasks.today) for row in tasks.rows
        ],
        more=tasks.more,
        empty=lists.empty(query, id="tasks", label="Tasks", otherwise=_nothing(tasks)),
    )


@lru_cache(maxsize=KEPT_ROWS)
def task_row(task: TaskRow, today: date) -> Safe:
    """One row of the list. The same record on the same day is drawn once."""
    title = balanced(task.title)
    if not task.due:
        return _row(task.id, title, done=task.done, has_notes=task.has_notes)
    words, whole, state = _due_in_words(task.due, task.done, today)
    return _row(task.id, title, task.due, words, whole, done=task.done, has_notes=task.has_notes, due_state=state)


def due_label(due: str | None, done: int, today: date) -> Safe | None:
    """When a task is due, in words near today; an open task that is late is marked."""
    return _due(due, *_due_in_words(due, done, today)) if due else None


def deleted_row(id: int) -> Safe:
    """Holds the place of a deleted task, for its return."""
    return lists.deleted_row(f"task-{id}")


def undo_toast(task: Task) -> Safe:
    """Says that a task is deleted and brings it back."""
    return lists.undo_toast(task.title, id=f"task-{task.id}", address=f"{AREA}/{task.id}")


def added_toast(task: Task) -> Safe:
    """Says that a task was added where the list at hand does not show it."""
    return lists.added_toast(task.title, address=f"{AREA}/{task.id}")


def task_detail(task: Task, today: date, zone: tzinfo | None) -> Safe:
    """One task, whole: the fragment of `GET /tasks/{id}`."""
    address = f"/tasks/{task.id}"
    return live(
        Article,
        P(A("All tasks", href="/tasks"), cls="back"),
        Form(
            _tick(task.id, task.title, task.done),
            H1(own(task.title)),
            cls="detail-head",
            method="post",
            action=address,
            hx_post=address,
        ),
        Dl(
            pair("Due", due_label(task.due, task.done, today) or "No date"),
            pair("Added", moment(task.created_at, zone)),
            pair("Changed", moment(task.updated_at, zone)),
            cls="facts",
        ),
        text(task.notes, "No notes yet."),
        Div(
            A("Edit", href=f"{address}/edit", hx_get=f"{address}/edit", cls="button primary"),
            Form(
                Button("Delete", name="_method", value="delete", cls="button danger"),
                method="post",
                action=address,
            ),
            cls="actions",
        ),
        id=f"task-{task.id}",
        url=address,
        cls="card detail done" if task.done else "card detail",
        **IN_DETAIL,
    )


def edit_form(id: int, given: TaskInput, place: str) -> Safe:
    """The form for a task, in its row (`place` list) or on its page (`place` detail)."""
    return forms.edit_form(
        forms.line("title", "Title", given._asdict(), required=True, focus=True),
        forms.day("due", "Due", given._asdict()),
        forms.text("notes", "Notes", given._asdict()),
        id=f"task-{id}",
        address=f"{AREA}/{id}",
        version=given.version,
        error=given.error,
        place=place,
        heading="Edit task",
    )


def changes_note(id: int, since: str, version: str, task: Task | None) -> Safe:
    """Says in an open form that its task was changed or deleted elsewhere."""
    words = forms.changes_in_words("task", "title", since, (version, task.title) if task else None)
    return forms.changes_note(words, id=f"task-{id}", address=f"{AREA}/{id}", since=since)


def summary_card(summary: Summary) -> Safe:
    """The figures and the chart: the fragment of `GET /summary`."""
    return live(
        Aside,
        H2("At a glance", cls="visually-hidden"),
        Dl(
            pair("Open", f"{summary.open:,}"),
            pair("Overdue", summary.overdue, cls="overdue" if summary.overdue != "0" else None),
            pair("Done", f"{summary.done:,}"),
            cls="figures",
        ),
        done_per_day(summary.days),
        id="summary",
        url="/summary",
        cls="card summary",
        aria_label="At a glance",
        hx_get="/summary",
        hx_trigger="tasks-changed from:body",
        hx_swap="outerMorph",
    )


@outline
def _row(
    id: str,
    title: str,
    due: str = "",
    words: str = "",
    whole: str = "",
    *,
    done: int,
    has_notes: int,
    due_state: str | None = None,
) -> Safe:
    address = f"/tasks/{id}"
    return Li(
        Form(
            _tick(id, title, done),
            A(title, href=address, cls="title"),
            HAS_NOTES if has_notes else None,
            _due(due, words, whole, due_state) if due_state else None,
            A(
                href=f"{address}/edit",
                hx_get=f"{address}/edit",
                cls="icon-button edit",
                aria_label=f"Edit {title}",
            ),
            Button(name="_method", value="delete", cls="icon-button delete", aria_label=f"Delete {title}"),
            method="post",
            action=address,
            hx_post=address,
        ),
        id=f"task-{id}",
        cls="record done" if done else "record",
    )


def _due(due: str, words: str, whole: str, state: str) -> Safe:
    late = Span("Overdue: ", cls="visually-hidden") if state == "due overdue" else None
    return Time(late, words, datetime=due, title=whole, cls=state)


def _due_in_words(due: str, done: int, today: date) -> tuple[str, str, str]:
    """A date in words, the same in full, and its class: late, today, or just a date; any other text as it stands."""
    day = day_of(due)
    if day is None:
        return due, due, "due"
    days = (day - today).days
    words = NEAR_DAYS.get(days) or day_in_words(day, today)
    state = "due" if done or days > 0 else "due overdue" if days else "due today"
    return words, f"{DAYS[day.weekday()]} {day.day} {MONTHS[day.month]} {day.year}", state


def _status_link(query: TaskQuery, status: str, count: int) -> Safe:
    return A(
        STATUSES[status],
        " ",
        Span(f"{count:,}", cls="count"),
        href=query.url(status=status),
        hx_get=query.url(status=status),
        hx_target="#tasks",
        hx_swap="outerMorph",
        hx_push_url="true",
        aria_current="true" if status == query.status else None,
    )


def _tick(id: int | str, title: str, done: int) -> Safe:
    """The button that marks a task done or open; the form around it says of which task."""
    return Button(
        name="done",
        value=0 if done else 1,
        id=f"tick-{id}",
        cls="check",
        role="checkbox",
        aria_checked="true" if done else "false",
        aria_label=f"Done: {title}",
    )


def _nothing(tasks: TaskList) -> tuple[Safe, Safe]:
    """What stands in an empty list that is not searched."""
    status = tasks.query.status
    if status == "done" and tasks.counts["all"]:
        return P("Nothing done yet.", cls="empty-title"), P("Tick a task and it will stand here.")
    if status == "open" and tasks.counts["all"]:
        return P("All done.", cls="empty-title"), P("Enjoy the quiet.")
    return (
        P("No tasks yet.", cls="empty-title"),
        P("Add the first one above, or ", A("bring them from another app", href="/imports"), "."),
    )
