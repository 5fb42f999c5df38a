"""Tasks: their queries and their routes, together.

A fork replaces this file, `templates/tasks.py` and the migrations of the tasks.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from fasthtml.core import APIRouter, parse_form
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app import search
from app.db import Connection, db
from app.pages import answer, back, form_again, page, wants_fragment
from server.fragments import fragment, today, zone
from templates import tasks as show
from templates.tags import Safe
from templates.tasks import SORTS, STATUSES, Summary, Task, TaskInput, TaskList, TaskQuery, TaskRow

AREA = "/tasks"
# One screen of a laptop; the next page comes when the end is in sight.
PAGE_ROWS = 20
CHART_DAYS = 14
# A search that finds more than this says so instead of counting on.
COUNT_LIMIT = 1000
KEPT_DELETIONS = "-30 days"
CHANGED = {"HX-Trigger": "tasks-changed"}
ORDERS = {
    "newest": "id DESC",
    "oldest": "id",
    "due": "due IS NULL, due, id",
    "title": "title COLLATE NOCASE, id",
}
FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data", "application/json")

rt = APIRouter()


@rt("/", methods=["get"])
def index() -> Response:
    """The way in."""
    return RedirectResponse(AREA, 303)


@rt("/tasks", methods=["get"])
@fragment
async def list_tasks(request: Request) -> Safe:
    """The list that the address names."""
    tasks = tasks_of(query_of(request.query_params))
    if wants_fragment(request):
        return show.task_list(tasks)
    deleted = find_deletion(request.query_params.get("deleted", ""))
    return page("Tasks", show.tasks_page(tasks, summary_of(today(), zone()), deleted), AREA)


@rt("/summary", methods=["get"])
@fragment
async def summary(request: Request) -> Safe:
    """The figures beside the list."""
    return answer(request, "At a glance", show.summary_card(summary_of(today(), zone())), AREA)


@rt("/tasks", methods=["post"])
async def add_task(request: Request) -> Any:
    """Make a task of a form."""
    form = await form_of(request)
    given = TaskInput(title=form.get("title", ""), due=form.get("due", ""), notes=form.get("notes", ""))
    try:
        changes = changes_of(form, required=("title",))
    except InputError as error:
        return form_again(request, "Tasks", show.add_form(given._replace(error=str(error))), "#add-task", 422)
    id = await db.write(lambda connection: insert(connection, changes))
    if not wants_fragment(request):
        return RedirectResponse(back(request, AREA), 303)
    tasks = tasks_of(shown_list(request))
    hidden = all(row.id != id for row in tasks.rows)
    parts = (
        show.task_list(tasks),
        show.partial("#add-task", "outerHTML", show.add_form(again=True)),
        show.partial("#toasts", "beforeend", show.added_toast(task_of(id))) if hidden else "",
    )
    return HTMLResponse("".join(parts), 201, CHANGED)


@rt("/tasks/{id:id}", methods=["get"])
@fragment
async def show_task(request: Request, id: int) -> Safe:
    """One task; in its row where `in=list` says so."""
    task = task_of(id)
    if wants_fragment(request) and request.query_params.get("in") == "list":
        return row(task)
    return answer(request, task.title, show.task_detail(task, today(), zone()), AREA)


@rt("/tasks/{id:id}/edit", methods=["get"])
@fragment
async def edit_task(request: Request, id: int) -> Safe:
    """The form for a task."""
    task = task_of(id)
    given = TaskInput(task.title, task.due or "", task.notes, task.updated_at)
    place = "list" if wants_fragment(request) and request.query_params.get("in") == "list" else "detail"
    return answer(request, f"Edit {task.title}", show.edit_form(id, given, place), AREA)


@rt("/tasks/{id:id}/changes", methods=["get"])
@fragment
async def show_changes(request: Request, id: int) -> Safe:
    """What happened to a task since someone began to edit it."""
    found = db.read("SELECT id, title, notes, due, done, created_at, updated_at FROM tasks WHERE id = ?", [id])
    note = show.changes_note(id, request.query_params.get("since", ""), Task(*found[0]) if found else None)
    return answer(request, "Changes", note, AREA)


@rt("/tasks/{id:id}", methods=["post", "patch"])
async def change_task(request: Request, id: int) -> Any:
    """Change what the form names; a plain form can also delete, with `_method=delete`."""
    form = await form_of(request)
    if form.get("_method") == "delete":
        return await delete_task(request, id)
    task = task_of(id)
    place = form.get("in", "detail")
    given = TaskInput(
        form.get("title", task.title), form.get("due", task.due or ""), form.get("notes", task.notes), task.updated_at
    )

    def again(message: str, status: int) -> Response:
        typed = show.edit_form(id, given._replace(error=message), place)
        return form_again(request, f"Edit {task.title}", typed, f"#task-{id}", status)

    try:
        changes = changes_of(form)
    except InputError as error:
        return again(str(error), 422)
    if form.get("updated_at", task.updated_at) != task.updated_at:
        return again(
            f"This task was changed in the meantime; its title is now “{task.title}”. "
            "Save again to put yours in its place.",
            409,
        )
    await db.write(lambda connection: update(connection, id, changes))
    if not wants_fragment(request):
        return RedirectResponse(f"/tasks/{id}" if "title" in form else back(request, AREA), 303)
    task = task_of(id)
    return HTMLResponse(row(task) if place == "list" else show.task_detail(task, today(), zone()), headers=CHANGED)


@rt("/tasks/{id:id}", methods=["delete"])
async def delete_task(request: Request, id: int) -> Any:
    """Delete a task, and offer it back."""
    task = task_of(id)
    await db.write(lambda connection: delete(connection, id))
    if not wants_fragment(request):
        return RedirectResponse(f"{AREA}?deleted={id}", 303)
    offer = show.partial("#toasts", "beforeend", show.undo_toast(task))
    return HTMLResponse(show.deleted_row(id) + offer, headers=CHANGED)


@rt("/tasks/{id:id}/restore", methods=["post"])
async def restore_task(request: Request, id: int) -> Any:
    """Undo a deletion: the task comes back whole."""
    if not await db.write(lambda connection: restore(connection, id)):
        raise HTTPException(404, "This task was not deleted, or too long ago to bring it back.")
    if not wants_fragment(request):
        return RedirectResponse(AREA, 303)
    parts = (
        show.partial(f"#task-{id}", "outerHTML", row(task_of(id))),
        show.partial(f"#deleted-{id}", "delete"),
    )
    return HTMLResponse("".join(parts), headers=CHANGED)


class InputError(ValueError):
    """What was typed cannot be kept; the message says why and what would do."""


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form or of a JSON object, from the body alone."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind and kind not in FORM_TYPES:
        raise HTTPException(415, f"A form or JSON is understood here, not {kind}.")
    fields = await parse_form(request)
    if any(not isinstance(value, str | int | None) for value in fields.values()):
        raise HTTPException(422, "Every field is a text, a number, or null.")
    return {
        name: "" if value is None else str(int(value)) if isinstance(value, bool) else str(value)
        for name, value in fields.items()
    }


def changes_of(form: Mapping[str, str], required: tuple[str, ...] = ()) -> dict[str, Any]:
    """The columns that a form sets, checked. Raises InputError."""
    changes: dict[str, Any] = {}
    if "title" in form or "title" in required:
        changes["title"] = " ".join(form.get("title", "").replace("\0", "").split())
        if not changes["title"]:
            raise InputError("A task needs a title.")
        if len(changes["title"]) > show.TITLE_LENGTH:
            raise InputError(f"A title has at most {show.TITLE_LENGTH} characters; put the rest into the notes.")
    if "notes" in form:
        changes["notes"] = form["notes"].replace("\r\n", "\n").replace("\0", "")
    if "due" in form:
        try:
            changes["due"] = date.fromisoformat(form["due"].strip()).isoformat() if form["due"].strip() else None
        except ValueError:
            raise InputError(f"“{form['due']}” is not a date. Write it as 2026-12-31.") from None
    if "done" in form:
        if form["done"] not in ("0", "1"):
            raise InputError("“done” is 1 or 0.")
        changes["done"] = int(form["done"])
    return changes


def query_of(given: Mapping[str, str]) -> TaskQuery:
    """The list that an address names; 400 for one that it cannot name."""
    q = given.get("q", "").strip()
    status = given.get("status") or "all"
    sort = given.get("sort") or "newest"
    page, pages = given.get("page") or "1", given.get("pages") or "1"
    if len(q) > 1000:
        raise HTTPException(400, "A search has at most 1,000 characters.")
    if status not in STATUSES:
        raise HTTPException(400, f"“status” is one of {', '.join(STATUSES)}, not “{status}”.")
    if sort not in SORTS:
        raise HTTPException(400, f"“sort” is one of {', '.join(SORTS)}, not “{sort}”.")
    for name, number, most in (("page", page, 10**9 - 1), ("pages", pages, show.SHOWN_PAGES)):
        if not (number.isascii() and number.isdigit() and len(number) < 10 and 1 <= int(number) <= most):
            raise HTTPException(400, f"“{name}” is a number from 1 to {most:,}, not “{number}”.")
    return TaskQuery(q, status, sort, int(page), int(pages))


def shown_list(request: Request) -> TaskQuery:
    """The list that the page at hand shows, from its start."""
    address = urlsplit(request.headers.get("hx-current-url", ""))
    try:
        return query_of(dict(parse_qsl(address.query)))._replace(page=1, pages=1)
    except HTTPException:
        return TaskQuery()


def tasks_of(query: TaskQuery) -> TaskList:
    """The pages of a list that are asked for, and the counts above it."""
    shown = PAGE_ROWS * query.pages
    counts = {("done" if row["done"] else "open"): row["tasks"] for row in db.read("SELECT * FROM task_counts")}
    counts["all"] = sum(counts.values())
    conditions, parameters = _conditions(query)
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    # Only the ids are sorted and skipped; the rows are fetched for one page.
    rows = db.read(
        f"SELECT id, title, due, done, notes <> '' AS has_notes FROM tasks WHERE id IN "
        f"(SELECT id FROM tasks {where} ORDER BY {ORDERS[query.sort]} LIMIT ? OFFSET ?) ORDER BY {ORDERS[query.sort]}",
        [*parameters, shown + 1, (query.page - 1) * PAGE_ROWS],
    )
    found = ""
    if query.q:
        sql = f"SELECT count(*) FROM (SELECT 1 FROM tasks {where} LIMIT ?)"
        found = count_in_words(db.read(sql, [*parameters, COUNT_LIMIT + 1])[0][0], "found")
    return TaskList(query, [TaskRow(*row) for row in rows[:shown]], len(rows) > shown, counts, found, today())


def _conditions(query: TaskQuery) -> tuple[list[str], list[Any]]:
    """The conditions of a list in SQL, and their parameters."""
    conditions: list[str] = []
    parameters: list[Any] = []
    if query.status != "all":
        conditions.append("done = ?")
        parameters.append(int(query.status == "done"))
    wanted = search.parse(query.q)
    if wanted.match:
        conditions.append("id IN (SELECT rowid FROM tasks_fts WHERE tasks_fts MATCH ?)")
        parameters.append(wanted.match)
    for literal in wanted.literals:
        conditions.append("instr(title || char(10) || notes, ?)")
        parameters.append(literal)
    return conditions, parameters


def summary_of(day: date, zone: tzinfo | None) -> Summary:
    """The figures beside the list, on `day` in the person's `zone`."""
    counts = {row["done"]: row["tasks"] for row in db.read("SELECT * FROM task_counts")}
    overdue = db.read(
        "SELECT count(*) FROM (SELECT 1 FROM tasks WHERE done = 0 AND due IS NULL = 0 AND due < ? LIMIT ?)",
        [day.isoformat(), COUNT_LIMIT + 1],
    )[0][0]
    days = [day - timedelta(days=ago) for ago in reversed(range(CHART_DAYS))]
    return Summary(counts[0], counts[1], count_in_words(overdue), [(each, _done_on(each, zone)) for each in days])


def _done_on(day: date, zone: tzinfo | None) -> int:
    """How many tasks were done on a day of the person's zone."""
    begin, end = (
        datetime(each.year, each.month, each.day).astimezone(zone)
        if zone is None
        else datetime(each.year, each.month, each.day, tzinfo=zone)
        for each in (day, day + timedelta(days=1))
    )
    count: int = db.read(
        "SELECT count(*) FROM completions WHERE completed_at >= ? AND completed_at < ?",
        [f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}" for moment in (begin, end)],
    )[0][0]
    return count


def count_in_words(count: int, noun: str = "") -> str:
    """A count for a person: exact up to COUNT_LIMIT."""
    figure = f"{count:,}" if count <= COUNT_LIMIT else f"{COUNT_LIMIT:,}+"
    return f"{figure} {noun}".strip()


def task_of(id: int) -> Task:
    """A task; 404 where there is none."""
    found = db.read("SELECT id, title, notes, due, done, created_at, updated_at FROM tasks WHERE id = ?", [id])
    if not found:
        raise HTTPException(404, "This task is gone: it was deleted, here or by another program.")
    return Task(*found[0])


def row(task: Task) -> Safe:
    """The row of a task, today."""
    return show.task_row(TaskRow(task.id, task.title, task.due, task.done, int(task.notes != "")), today())


def find_deletion(id: str) -> Task | None:
    """A deleted task that can be brought back."""
    found = db.read("SELECT id, title, notes, due, done, created_at, updated_at FROM deletions WHERE id = ?", [id])
    return Task(*found[0]) if found else None


def insert(connection: Connection, columns: Mapping[str, Any]) -> int:
    """Add a task; its id."""
    names = ", ".join(columns)
    marks = ", ".join("?" * len(columns))
    cursor = connection.execute(f"INSERT INTO tasks ({names}) VALUES ({marks})", list(columns.values()))
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def update(connection: Connection, id: int, columns: Mapping[str, Any]) -> None:
    """Change columns of a task; 404 where it has gone meanwhile."""
    settings = ", ".join([*(f"{name} = ?" for name in columns), "updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"])
    if not connection.execute(f"UPDATE tasks SET {settings} WHERE id = ?", [*columns.values(), id]).rowcount:
        raise HTTPException(404, "This task is gone: it was deleted, here or by another program.")


def delete(connection: Connection, id: int) -> None:
    """Delete a task and keep it aside, whole; what was set aside long ago goes for good."""
    connection.execute(
        "INSERT OR REPLACE INTO deletions (id, title, notes, due, done, created_at, updated_at, completed_at) "
        "SELECT id, title, notes, due, done, created_at, updated_at, completed_at "
        "FROM tasks LEFT JOIN completions ON task_id = id WHERE id = ?",
        [id],
    )
    connection.execute("DELETE FROM tasks WHERE id = ?", [id])
    connection.execute(
        "DELETE FROM deletions WHERE deleted_at < strftime('%Y-%m-%dT%H:%M:%fZ', 'now', ?)", [KEPT_DELETIONS]
    )


def restore(connection: Connection, id: int) -> bool:
    """Bring a deleted task back as it was; whether there was one."""
    restored = connection.execute(
        "INSERT INTO tasks (id, title, notes, due, done, created_at, updated_at) "
        "SELECT id, title, notes, due, done, created_at, updated_at FROM deletions WHERE id = ? RETURNING id",
        [id],
    ).fetchall()
    connection.execute(
        "UPDATE completions SET completed_at = deletions.completed_at FROM deletions "
        "WHERE task_id = deletions.id AND deletions.completed_at IS NOT NULL AND task_id = ?",
        [id],
    )
    connection.execute("DELETE FROM deletions WHERE id = ?", [id])
    return bool(restored)
