"""Tasks: their queries and their routes, together.

The example: `python3 server.py rename "My App" --without-example` takes it out; `server/commands/example/` says what
belongs to it.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any

from fasthtml.core import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.database.db import db
from app.database.sqlite_connections import SIZE, Connection
from app.pages.markdown_texts import with_texts
from app.pages.responses import (
    answer,
    back,
    form_again,
    page,
    wants_fragment,
)
from app.records import forms, lists, rows
from app.records.forms import InputError
from app.records.kinds import Field, Kind
from app.records.list_queries import (
    BY_NAME,
    EVERY,
    NEWEST,
    OLDEST,
    Statement,
)
from app.records.text_cleaning import one_line
from server.fragments import fragment, today, zone
from templates import tasks as show
from templates.parts.forms import LINE_LENGTH
from templates.parts.lists import partial
from templates.parts.tags import Safe
from templates.tasks import AREA, SORTS, STATUSES, Summary, Task, TaskInput, TaskList, TaskQuery, TaskRow

# What a person types into the form of a task.
TYPED = ("title", "due", "notes")
CHART_DAYS = 14
CHANGED = {"HX-Trigger": "tasks-changed"}
ORDERS = {
    "newest": NEWEST,
    "oldest": OLDEST,
    "due": "due IS NULL, due, id",
    "title": BY_NAME,
}
KIND = Kind(
    table="tasks",
    deletions="deletions",
    noun="task",
    plural="tasks",
    rest="notes",
    sources="Todoist, Trello, GitHub, Google Tasks, Asana",
    fields=(
        Field(
            name="title",
            label="Title",
            reads="title",
            names="""name task taskname tasktitle todo todoname todoitem subject summary content headline text item what
            description titel aufgabe bezeichnung betreff titre tâche título tarea""",
            required=True,
        ),
        Field(
            name="notes",
            label="Notes",
            reads="text",
            names="""note description desc body details detail content comments comment memo text notizen notiz
            beschreibung""",
            default="",
        ),
        Field(
            name="due",
            label="Due",
            reads="day",
            names="""duedate dueon dueat dueby duetime duedatetime datedue deadline targetdate date enddate
            fällig fälligam fälligkeit fälligkeitsdatum termin frist échéance vencimiento""",
        ),
        Field(
            name="done",
            label="Done",
            reads="done",
            names="""isdone completed iscompleted complete iscomplete duecomplete checked ischecked finished completedat
            completedtime completedon completeddate datecompleted status state taskstatus closed isclosed closedat
            completiondate completiontime completeddatetime erledigt abgeschlossen fertig terminé hecho""",
            default=0,
        ),
    ),
)

rt = APIRouter()


@rt("/tasks", methods=["get"])
@fragment
async def list_tasks(request: Request) -> Safe:
    """The list that the address names."""
    tasks = await tasks_of(query_of(request.query_params))
    if wants_fragment(request):
        return show.task_list(tasks)
    deleted = await find_deletion(request.query_params.get("deleted", ""))
    return page("Tasks", show.tasks_page(tasks, await summary_of(today(), zone()), deleted), AREA)


@rt("/summary", methods=["get"])
@fragment
async def summary(request: Request) -> Safe:
    """The figures beside the list."""
    return answer(request, "At a glance", show.summary_card(await summary_of(today(), zone())), AREA)


@rt("/tasks", methods=["post"])
async def add_task(request: Request) -> Any:
    """Make a task of a form."""
    form = await forms.form_of(request)
    given = TaskInput(title=form.get("title", ""), due=form.get("due", ""), notes=form.get("notes", ""))
    try:
        changes = forms.changes_of(form, READERS, required=("title",))
    except InputError as error:
        again = show.add_form(given._replace(error=str(error)))
        return form_again(request, "Tasks", again, "#add-task", 422, str(error))
    id = await db.write(lambda connection: rows.insert(connection, "tasks", changes))
    if not wants_fragment(request):
        return RedirectResponse(back(request, AREA), 303)
    tasks = await tasks_of(lists.shown_list(request, query_of))
    hidden = all(row.id != id for row in tasks.rows)
    parts = (
        show.task_list(tasks),
        partial("#add-task", "outerHTML", show.add_form(again=True)),
        partial("#toasts", "beforeend", show.added_toast(await task_of(id))) if hidden else "",
    )
    return HTMLResponse("".join(parts), 201, CHANGED)


@rt("/tasks/{id:id}", methods=["get"])
@fragment
async def show_task(request: Request, id: int) -> Safe:
    """One task; in its row where `in=list` says so."""
    task = await task_of(id)
    if wants_fragment(request) and request.query_params.get("in") == "list":
        return row(task)
    return answer(request, task.title, await detail(task), AREA)


@rt("/tasks/{id:id}/edit", methods=["get"])
@fragment
async def edit_task(request: Request, id: int) -> Safe:
    """The form for a task."""
    version, task = await rows.version("tasks", id), await task_of(id)
    given = as_typed(task, version)
    place = "list" if wants_fragment(request) and request.query_params.get("in") == "list" else "detail"
    return answer(request, f"Edit {task.title}", show.edit_form(id, given, place), AREA)


@rt("/tasks/{id:id}/changes", methods=["get"])
@fragment
async def show_changes(request: Request, id: int) -> Safe:
    """What happened to a task since someone began to edit it."""
    version, now = await rows.version("tasks", id), await rows.find(KIND, Task, id)
    note = show.changes_note(id, request.query_params.get("since", ""), version, now)
    return answer(request, "Changes", note, AREA)


@rt("/tasks/{id:id}", methods=["post", "patch"])
async def change_task(request: Request, id: int) -> Any:
    """Change what the form names; a plain form can also delete, with `_method=delete`."""
    form = await forms.form_of(request)
    if form.get("_method") == "delete":
        return await delete_task(request, id)
    task = await task_of(id)
    place = form.get("in", "detail")

    def again(error: str, status: int, version: str) -> Response:
        given = as_typed(task, version)._replace(error=error, **{name: form[name] for name in TYPED if name in form})
        form_with_error = show.edit_form(id, given, place)
        return form_again(request, f"Edit {task.title}", form_with_error, f"#task-{id}", status, error)

    try:
        changes = forms.changes_of(form, READERS)
        await db.write(lambda connection: rows.update(connection, "tasks", "task", id, changes, form))
    except InputError as error:
        return again(str(error), 422, form.get("_version") or await rows.version("tasks", id))
    except rows.Conflict:
        version, task = await rows.version("tasks", id), await task_of(id)
        return again(forms.conflict("task", "title", task.title), 409, version)
    if not wants_fragment(request):
        return RedirectResponse(f"/tasks/{id}" if "title" in form else back(request, AREA), 303)
    task = await task_of(id)
    return HTMLResponse(row(task) if place == "list" else await detail(task), headers=CHANGED)


@rt("/tasks/{id:id}", methods=["delete"])
async def delete_task(request: Request, id: int) -> Any:
    """Delete a task, and offer it back."""
    task = await task_of(id)
    await db.write(lambda connection: delete(connection, id))
    if not wants_fragment(request):
        return RedirectResponse(f"{AREA}?deleted={id}", 303)
    offer = partial("#toasts", "beforeend", show.undo_toast(task))
    return HTMLResponse(show.deleted_row(id) + offer, headers=CHANGED)


@rt("/tasks/{id:id}/restore", methods=["post"])
async def restore_task(request: Request, id: int) -> Any:
    """Undo a deletion: the task comes back whole."""
    if not await db.write(lambda connection: restore(connection, id)):
        raise rows.cannot_restore("task")
    if not wants_fragment(request):
        return RedirectResponse(AREA, 303)
    parts = (
        partial(f"#task-{id}", "outerHTML", row(await task_of(id))),
        partial(f"#deleted-task-{id}", "delete"),
    )
    return HTMLResponse("".join(parts), headers=CHANGED)


def _title(text: str, label: str) -> str:
    title = one_line(text)
    if not title:
        raise InputError("A task needs a title.")
    if len(title) > LINE_LENGTH:
        raise InputError(f"A title has at most {LINE_LENGTH} characters; put the rest into the notes.")
    return title


# How the fields of a form are read; it may name any of them.
READERS = {
    "title": ("Title", _title),
    "notes": ("Notes", forms.optional_text),
    "due": ("Due", forms.optional(forms.day)),
    "done": ("done", forms.yes_or_no),
}


def query_of(given: Mapping[str, str]) -> TaskQuery:
    """The list that an address names; 400 for one that it cannot name."""
    query = lists.query_of(AREA, given, SORTS)
    status = lists.one_of("status", given.get("status") or "all", STATUSES)
    return TaskQuery(q=query.q, status=status, sort=query.sort, page=query.page, pages=query.pages)


async def tasks_of(query: TaskQuery) -> TaskList:
    """The pages of a list that are asked for, and the counts above it."""
    kept = await counts_of()
    counts = {"open": kept[0], "done": kept[1], "all": sum(kept.values())}
    condition = EVERY
    if query.status != "all":
        # Few are sorted by their titles, many picked out of the order by title (“+” leaves the index of `done` aside).
        is_many = query.sort == "title" and not query.q and counts[query.status] * 20 > counts["all"]
        condition = Statement("+done = ?" if is_many else "done = ?", (int(query.status == "done"),))
    shown, more, words = await lists.rows_of(
        query, KIND, TaskRow, ORDERS[query.sort], condition, {"has_notes": f"{SIZE}(notes) > 0"}
    )
    return TaskList(query=query, rows=shown, more=more, counts=counts, found=words, today=today())


async def counts_of() -> dict[int, int]:
    """How many tasks are open, 0, and done, 1: as triggers count them, or counted where that makes no sense."""
    kept = {row["done"]: row["tasks"] for row in await db.read("SELECT * FROM task_counts WHERE done IN (0, 1)")}
    if len(kept) < 2 or not all(isinstance(count, int) and count >= 0 for count in kept.values()):
        rows = await db.read("SELECT done, count(*) FROM tasks WHERE done IN (0, 1) GROUP BY done", is_long=True)
        kept = {0: 0, 1: 0} | dict(map(tuple, rows))
    return kept


async def summary_of(day: date, zone: tzinfo | None) -> Summary:
    """The figures beside the list, on `day` in the person's `zone`."""
    counts = await counts_of()
    overdue = await db.read(
        "SELECT count(*) FROM (SELECT 1 FROM tasks WHERE done = 0 AND due IS NULL = 0 AND due < ? LIMIT ?)",
        [day.isoformat(), lists.COUNT_LIMIT + 1],
    )
    days = [day - timedelta(days=ago) for ago in reversed(range(CHART_DAYS))]
    chart = [(each, await _done_on(each, zone)) for each in days]
    return Summary(open=counts[0], done=counts[1], overdue=lists.count_in_words(overdue[0][0]), days=chart)


async def _done_on(day: date, zone: tzinfo | None) -> int:
    """How many tasks were done on a day of the person's zone."""
    begin, end = (
        datetime(each.year, each.month, each.day).astimezone(zone)
        if zone is None
        else datetime(each.year, each.month, each.day, tzinfo=zone)
        for each in (day, day + timedelta(days=1))
    )
    counted = await db.read(
        "SELECT count(*) FROM completions WHERE completed_at >= ? AND completed_at < ?",
        [f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}" for moment in (begin, end)],
    )
    count: int = counted[0][0]
    return count


async def task_of(id: int) -> Task:
    """A task; 404 where there is none."""
    task = await rows.find(KIND, Task, id)
    if task is None:
        raise rows.gone("task")
    return task


def as_typed(task: Task, version: str) -> TaskInput:
    """What a form that changes it begins with."""
    return TaskInput(title=task.title, due=task.due or "", notes=task.notes, version=version)


async def detail(task: Task) -> Safe:
    """A task, whole, with its notes drawn."""
    return show.task_detail(await with_texts(KIND, task), today(), zone())


def row(task: Task) -> Safe:
    """The row of a task, today."""
    shown = TaskRow(id=task.id, title=task.title, due=task.due, done=task.done, has_notes=int(task.notes != ""))
    return show.task_row(shown, today())


async def find_deletion(id: str) -> Task | None:
    """A deleted task that can be brought back."""
    return await rows.find(KIND, Task, id, is_deleted=True)


def delete(connection: Connection, id: int) -> None:
    """Delete a task and keep it aside, whole, with the moment when it was done."""
    completed = connection.execute("SELECT completed_at FROM completions WHERE task_id = ?", [id]).fetchone()
    rows.set_aside(connection, KIND, id)
    if completed:
        connection.execute("UPDATE deletions SET completed_at = ? WHERE id = ?", [completed[0], id])


def restore(connection: Connection, id: int) -> bool:
    """Bring a deleted task back as it was; whether there was one."""
    deleted = connection.execute("SELECT completed_at FROM deletions WHERE id = ?", [id]).fetchone()
    restored = rows.bring_back(connection, KIND, id)
    if deleted and deleted[0]:
        connection.execute("UPDATE completions SET completed_at = ? WHERE task_id = ?", [deleted[0], id])
    return restored
