"""How tasks look: the records a page is made from, and pure functions from them to tags."""

from calendar import day_name, month_name
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from templates.chart import done_per_day
from templates.errors import toast
from templates.live import live, unknown
from templates.tags import (
    H1,
    H2,
    A,
    Article,
    Aside,
    Button,
    Dd,
    Div,
    Dl,
    Dt,
    Form,
    HxPartial,
    Input,
    Label,
    Li,
    Nav,
    Ol,
    Option,
    P,
    Safe,
    Section,
    Select,
    Span,
    Textarea,
    Time,
    outline,
    raw,
)

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_core import StateCore

SORTS = {"newest": "Newest first", "oldest": "Oldest first", "due": "Due date", "title": "Title"}
STATUSES = {"all": "All", "open": "Open", "done": "Done"}
TITLE_LENGTH = 1000
# A browser takes 150 ms to put a thousand rows in their place.
SHOWN_PAGES = 50
# Looked up, as strftime takes as long as a tag.
DAYS = list(day_name)
MONTHS = list(month_name)
NEAR_DAYS = {-1: "Yesterday", 0: "Today", 1: "Tomorrow"}
# What every row says to htmx, said once around them: an answer takes the row's place, and is a row again.
IN_LIST = {
    "hx_target_inherited": "closest li",
    "hx_swap_inherited": "outerHTML",
    "hx_vals_inherited": "in:list",
    "hx_sync_inherited": "drop",
}
IN_DETAIL = {"hx_target_inherited": "closest article", "hx_swap_inherited": "outerHTML", "hx_sync_inherited": "drop"}
HAS_NOTES = Span(cls="icon note", role="img", aria_label="Has notes")


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
        """The address of this list, with `changes`; from its first page where anything but the page changes."""
        query = self._replace(**({"page": 1, "pages": 1} | changes))  # type: ignore[arg-type]
        given = {name: value for name, value in query._asdict().items() if value != TaskQuery._field_defaults[name]}
        return f"/tasks?{urlencode(given)}" if given else "/tasks"


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
    updated_at: str = ""
    error: str = ""


def tasks_page(tasks: TaskList, summary: Summary, deleted: Task | None = None) -> tuple[Safe | None, ...]:
    """The main page: add, find, list, and the figures beside it."""
    return (
        Div(
            H1("Tasks", cls="visually-hidden"),
            add_form(),
            filter_form(tasks.query),
            task_list(tasks),
            cls="column",
        ),
        summary_card(summary),
        undo_toast(deleted, fixed=True) if deleted else None,
    )


def add_form(given: TaskInput = TaskInput(), *, again: bool = False) -> Safe:  # noqa: B008
    """The form for a new task; `again` puts the cursor back into it."""
    return Form(
        _error(given.error),
        Input(
            name="title",
            id="new-title",
            value=given.title,
            placeholder="What needs doing?",
            aria_label="New task",
            required=True,
            maxlength=TITLE_LENGTH,
            autocomplete="off",
            autofocus=again,
            data_key="n",
        ),
        Input(type="date", name="due", value=given.due, aria_label="Due date"),
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


def filter_form(query: TaskQuery) -> Safe:
    """Search and order. The status belongs to it too: the list holds it, as it changes with the list."""
    return Form(
        Span(cls="icon search", aria_hidden="true"),
        Input(
            type="search",
            name="q",
            id="search",
            value=query.q,
            placeholder="Search",
            aria_label="Search tasks",
            autocomplete="off",
            maxlength=200,
            data_key="/",
        ),
        Select(
            [Option(name, value=sort, selected=sort == query.sort) for sort, name in SORTS.items()],
            name="sort",
            id="order",
            aria_label="Order",
        ),
        Button("Search", cls="button no-script"),
        id="filter",
        cls="filter",
        role="search",
        method="get",
        action="/tasks",
        hx_get="/tasks",
        hx_trigger="input delay:120ms from:#search, change from:#order, submit",
        hx_target="#tasks",
        hx_swap="outerMorph",
        hx_replace_url="true",
        hx_sync="this:replace",
    )


def task_list(tasks: TaskList) -> Safe:
    """The list itself: the fragment of `GET /tasks`."""
    query = tasks.query
    return live(
        Section,
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
        P(A("Earlier tasks", href=query.url(page=query.page - 1), rel="prev"), cls="more") if query.page > 1 else None,
        Ol([task_row(row, tasks.today) for row in tasks.rows], id=f"tasks-page-{query.page}", cls="rows", **IN_LIST)
        if tasks.rows
        else _empty(tasks),
        _more(query) if tasks.more else None,
        id="tasks",
        url=query.url(page=query.page, pages=query.pages),
        cls="card list",
        aria_label="Tasks",
    )


@lru_cache(maxsize=4096)
def task_row(task: TaskRow, today: date) -> Safe:
    """One row of the list. The same record on the same day is drawn once."""
    id, title, due, done, has_notes = task
    if due is None:
        return _row(id, title, done=done, has_notes=has_notes)
    words, whole, state = _due_in_words(due, done, today)
    return _row(id, title, due, words, whole, done=done, has_notes=has_notes, due_state=state)


def due_label(due: str | None, done: int, today: date) -> Safe | None:
    """When a task is due, in words near today; an open task that is late is marked."""
    return _due(due, *_due_in_words(due, done, today)) if due else None


def deleted_row(id: int) -> Safe:
    """Holds the place of a deleted task, for its return."""
    return Li(id=f"task-{id}", hidden=True)


def undo_toast(task: Task, *, fixed: bool = False) -> Safe:
    """Says that a task is deleted and brings it back; `fixed` where the page was asked for without a fragment."""
    message = toast(
        P("Deleted ", Span(f"“{task.title}”", cls="toast-name")),
        Form(
            Button("Undo", cls="button", autofocus=not fixed),
            method="post",
            action=f"/tasks/{task.id}/restore",
            hx_post=None if fixed else f"/tasks/{task.id}/restore",
            hx_swap=None if fixed else "none",
        ),
        id=f"deleted-{task.id}",
        kind="note",
    )
    return Div(message, cls="toasts") if fixed else message


def added_toast(task: Task) -> Safe:
    """Says that a task was added where the list at hand does not show it."""
    return toast(
        P("Added ", A(f"“{task.title}”", href=f"/tasks/{task.id}", cls="toast-name"), ". This list does not show it.")
    )


def partial(target: str, swap: str, *content: object) -> Safe:
    """A part of an answer that goes to a place of its own."""
    return HxPartial(content, hx_target=target, hx_swap=swap)


def task_detail(task: Task, today: date, zone: tzinfo | None) -> Safe:
    """One task, whole: the fragment of `GET /tasks/{id}`."""
    address = f"/tasks/{task.id}"
    return live(
        Article,
        P(A("All tasks", href="/tasks"), cls="back"),
        Form(
            _tick(task.id, task.title, task.done),
            H1(task.title),
            cls="detail-head",
            method="post",
            action=address,
            hx_post=address,
        ),
        Dl(
            _pair("Due", due_label(task.due, task.done, today) or "No date"),
            _pair("Added", _moment(task.created_at, zone)),
            _pair("Changed", _moment(task.updated_at, zone)),
            cls="facts",
        ),
        Div(raw(_markdown().render(task.notes)), cls="notes")
        if task.notes.strip()
        else P("No notes yet.", cls="quiet"),
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
    address = f"/tasks/{id}"
    form = Form(
        _error(given.error),
        unknown(
            P, id=f"changes-{id}", url=f"{address}/changes?{urlencode({'since': given.updated_at})}", role="status"
        ),
        Input(type="hidden", name="updated_at", value=given.updated_at),
        Label(
            "Title",
            Input(
                name="title",
                value=given.title,
                required=True,
                maxlength=TITLE_LENGTH,
                autocomplete="off",
                autofocus=True,
            ),
        ),
        Label("Due", Input(type="date", name="due", value=given.due)),
        Label(
            "Notes ", Span("Markdown works here", cls="quiet"), Textarea(given.notes, name="notes", rows=6), cls="wide"
        ),
        Div(
            Button("Save", cls="button primary"),
            A("Cancel", href=address, hx_get=address, cls="button", data_key="Escape"),
            cls="actions",
        ),
        cls="edit-form",
        method="post",
        action=address,
        hx_patch=address,
        hx_disable="find button",
    )
    if place == "list":
        # What a person is writing here stays, whatever happens to the list.
        return Li(form, id=f"task-{id}", cls="task editing", hx_morph_skip=True)
    return Article(H1("Edit task"), form, id=f"task-{id}", cls="card detail", **IN_DETAIL)


def changes_note(id: int, since: str, task: Task | None) -> Safe:
    """Says in an open form that its task was changed or deleted elsewhere."""
    url = f"/tasks/{id}/changes?{urlencode({'since': since})}"
    if task is None:
        words = "This task was deleted elsewhere. Copy what you want to keep."
    elif task.updated_at != since:
        words = f"Changed elsewhere in the meantime; its title there is now “{task.title}”. Your text is kept."
    else:
        words = ""
    return live(P, words, id=f"changes-{id}", url=url, role="status", cls="form-note" if words else None)


def summary_card(summary: Summary) -> Safe:
    """The figures and the chart: the fragment of `GET /summary`."""
    return live(
        Aside,
        H2("At a glance", cls="visually-hidden"),
        Dl(
            _pair("Open", f"{summary.open:,}"),
            _pair("Overdue", summary.overdue, cls="overdue" if summary.overdue != "0" else None),
            _pair("Done", f"{summary.done:,}"),
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


@cache
def _markdown() -> "MarkdownIt":
    """Raw HTML is shown as text, and so are pictures: one could come from another server.

    Loaded when the first notes are shown, as it takes a tenth of the time of a start.
    """
    from markdown_it import MarkdownIt

    markdown = MarkdownIt("commonmark", {"html": False, "breaks": True})
    markdown.core.ruler.push("alignment", _without_style)
    return markdown.enable(["table", "strikethrough"]).disable("image")


def _without_style(state: "StateCore") -> None:
    """A column says how it is aligned, without an inline style: the policy of the page lets none in."""
    for token in state.tokens:
        style = str(token.attrs.pop("style", ""))
        if style:
            token.attrs["align"] = style.removeprefix("text-align:")


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
        cls="task done" if done else "task",
    )


def _due(due: str, words: str, whole: str, state: str) -> Safe:
    late = Span("Overdue: ", cls="visually-hidden") if state == "due overdue" else None
    return Time(late, words, datetime=due, title=whole, cls=state)


def _due_in_words(due: str, done: int, today: date) -> tuple[str, str, str]:
    """A date in words, the same in full, and its class: late, today, or just a date."""
    day = date.fromisoformat(due)
    days = (day - today).days
    words = NEAR_DAYS.get(days) or _day(day, today)
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


def _more(query: TaskQuery) -> Safe:
    """What asks for one page more when it comes into sight; a link where there is no script, or enough is shown."""
    following = query.page + query.pages
    link = A("More tasks", href=query.url(page=following), rel="next")
    if query.pages >= SHOWN_PAGES:
        return P(link, cls="more")
    return P(
        link,
        id=f"more-{following}",
        cls="more",
        hx_get=query.url(page=query.page, pages=query.pages + 1),
        hx_trigger="revealed",
        hx_target="#tasks",
        hx_swap="outerMorph",
    )


def _empty(tasks: TaskList) -> Safe:
    query = tasks.query
    if query.q:
        words = (
            P("Nothing matches.", cls="empty-title"),
            P("Try fewer or shorter words, or ", A("show all tasks", href="/tasks"), "."),
        )
    elif query.page > 1:
        words = (
            P("The list ends before this page.", cls="empty-title"),
            P(A("Go to its start", href=query.url()), "."),
        )
    elif query.status == "done" and tasks.counts["all"]:
        words = (P("Nothing done yet.", cls="empty-title"), P("Tick a task and it will stand here."))
    elif query.status == "open" and tasks.counts["all"]:
        words = (P("All done.", cls="empty-title"), P("Enjoy the quiet."))
    else:
        words = (
            P("No tasks yet.", cls="empty-title"),
            P("Add the first one above, or ", A("bring them from another app", href="/imports"), "."),
        )
    return Div(Span(cls="flame", aria_hidden="true"), words, cls="empty")


def _pair(name: str, value: object, cls: str | None = None) -> Safe:
    return Div(Dt(name), Dd(value), cls=cls)


def _error(message: str) -> Safe | None:
    return P(message, cls="form-error", role="alert") if message else None


def _moment(text: str, zone: tzinfo | None) -> Safe:
    """A UTC moment in the person's own time; one that another program wrote in its own way is shown as it is."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return Time(text)
    moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(zone)
    return Time(f"{moment.day} {moment:%b %Y, %H:%M}", datetime=text)


def _day(day: date, today: date) -> str:
    near = abs(day - today) < timedelta(days=180) or day.year == today.year
    month = MONTHS[day.month][:3]
    return f"{day.day} {month}" if near else f"{day.day} {month} {day.year}"
