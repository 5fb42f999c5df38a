"""Imports: their queries and their routes. The work itself is in `import_queue.py` and `job.py`."""

import asyncio
import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from secrets import token_hex
from typing import Any, BinaryIO

from fasthtml.core import APIRouter
from sqlite_utils.utils import sqlite3
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from app.access.confirm import check_upload
from app.database.db import db
from app.database.disk_space import refuse_without_room
from app.database.sqlite_connections import (
    NOW,
    TEXT,
    Connection,
    Row,
)
from app.imports import import_queue, job, sweep
from app.imports.import_queue import queue
from app.imports.import_record import UNREADABLE, odd_columns, readable
from app.imports.reading.values.time_zones import LONGEST_ZONE, zone_named
from app.imports.sweep import TooMany
from app.pages.responses import answer, form_again, page
from app.records.forms import form_of
from app.records.kinds import Kind, kinds
from app.settings import settings
from server.fragments import fragment, wants_json, zone
from templates.imports import page as show
from templates.imports.known_rows import CHOICES, SKIP
from templates.imports.page import Import, ImportKind
from templates.imports.reading_options import OPTIONS
from templates.parts.tags import Safe
from templates.parts.text_direction import quoted

AREA = "/imports"
SHOWN_IMPORTS = 20
LONGEST_FILENAME = 200
# A file from outside that was restored may have bytes there.
FILENAME = f"{TEXT.format('filename')} AS filename"
# What a list of imports shows; the rest of a row may be long.
LISTED = f"id, kind, {FILENAME}, state, process, rows_total"

logger = logging.getLogger(__name__)

rt = APIRouter()
end_all = queue.end


async def recover() -> None:
    """Take up what a stop has left, and let go of what was kept long enough."""
    queue.wake()
    try:
        await sweep.sweep()
    except sqlite3.OperationalError:
        raise
    except Exception:
        # Whoever calls this looks after more than imports.
        logger.exception("Imports that are over could not be swept.")


@rt("/imports", methods=["get"])
@fragment
async def list_imports(request: Request) -> Safe:
    """The way in and out."""
    rows = await db.read(f"SELECT {LISTED} FROM imports ORDER BY id DESC LIMIT ?", [SHOWN_IMPORTS])
    imports = [await _listed(readable(_by_name(row))) for row in rows if row["kind"] in kinds]
    kind = _named_kind(request.query_params.get("kind"))
    with_choices = "choices" in request.query_params
    content = show.imports_page(imports, _in_words(), kind.table, with_choices=with_choices)
    return page("Import & export", content, AREA)


@rt("/imports", methods=["post"])
async def add_import(request: Request) -> Any:
    """Take a file in and begin to read it."""
    check_upload(request)
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise HTTPException(415, "Send the file as multipart/form-data, in a field called “file”.")
    form = await request.form()
    file, kind = form.get("file"), _named_kind(form.get("kind"))
    if not isinstance(file, UploadFile) or not file.filename:
        error = "Choose a file first."
        form_with_error = show.upload_form(_in_words(), kind.table, error)
        return form_again(request, "Import & export", form_with_error, "#upload", 422, error)
    choices = {"zone": _zone_name()} | _choices({name: value for name, value in form.items() if isinstance(value, str)})
    coming = sweep.coming_path(token_hex(8))
    try:
        size = await asyncio.to_thread(_save, file.file, coming)
        id = await db.write(_insert(kind, _name(file.filename), coming, size, choices))
    except TooMany as error:
        raise HTTPException(429, str(error)) from None
    finally:
        # Nothing is left of a file that the disk has no room for.
        coming.unlink(missing_ok=True)
    queue.wake()
    return RedirectResponse(f"{AREA}/{id}", 303)


@rt("/imports/{id:id}", methods=["get"])
@fragment
async def show_import(request: Request, id: int) -> Any:
    """How far an import has come."""
    each = await import_of(id)
    if wants_json():
        return JSONResponse(each._asdict() | {"kind": each.kind.table})
    return answer(request, each.filename, _card(each), AREA)


@rt("/imports/{id:id}/columns", methods=["post"])
async def change_columns(request: Request, id: int) -> Response:
    """Read the file again, with other columns or in another way; what the form does not name stays as it is."""
    each = await import_of(id)
    form = await form_of(request)
    row = (await db.read("SELECT columns, choices FROM imports WHERE id = ?", [id]))[0]
    if odd_columns({name: row[name] for name in ("columns", "choices")}):
        raise HTTPException(409, UNREADABLE)
    columns = _chosen(each, form, json.loads(row["columns"]))
    choices = json.loads(row["choices"]) | _choices(form)
    changed = json.dumps(columns), json.dumps(choices)
    await _move(id, "ready", "checking", columns=changed[0], choices=changed[1], bytes_read=0, error="")
    return RedirectResponse(f"{AREA}/{id}", 303)


@rt("/imports/{id:id}/start", methods=["post"])
async def start_import(request: Request, id: int) -> Response:
    """Write what was read; the form may say what to do with the rows that are there already."""
    choice = (await form_of(request)).get("known") or SKIP
    if choice not in CHOICES:
        raise HTTPException(422, f"“known” is one of {', '.join(CHOICES)}.")
    refuse_without_room()
    known = json.dumps({**(await import_of(id)).known, "choice": choice})
    await _move(id, "ready", "writing", rows_done=0, known=known)
    return RedirectResponse(f"{AREA}/{id}", 303)


@rt("/imports/{id:id}/cancel", methods=["post"])
async def cancel_import(request: Request, id: int) -> Response:
    """Leave it: nothing was written yet, or what was written is taken out again."""
    state = (await import_of(id)).state
    if state in ("checking", "ready"):
        await _move(id, state, "discarded")
        job.upload_path(id).unlink(missing_ok=True)
    else:
        await _move(id, state, "undoing", allowed=("writing", "done"), error="")
    return RedirectResponse(f"{AREA}/{id}", 303)


async def import_of(id: int) -> Import:
    """An import; 404 where there is none."""
    # Of two columns of one name the first is found by it.
    rows = await db.read(f"SELECT {FILENAME}, * FROM imports WHERE id = ?", [id])
    if not rows or rows[0]["kind"] not in kinds:
        raise HTTPException(404, "There is no such import.")
    return await _import(rows[0])


async def _move(id: int, state: str, next: str, allowed: tuple[str, ...] = (), **columns: Any) -> None:
    """Move an import on, and into the queue; 409 where it is elsewhere by now."""
    try:
        if allowed and state not in allowed:
            raise job.Stopped
        await db.write(job.move(id, state, next, process=0, **columns))
        queue.wake()
    except job.Stopped:
        state = (await import_of(id)).state
        raise HTTPException(409, f"This import is already further: {show.STATES[state].lower()}.") from None


def _by_name(row: Row) -> dict[str, Any]:
    """A row by its columns; of two of one name the first."""
    return {name: row[name] for name in row.keys()}  # noqa: SIM118 - a row is no dict


def _card(each: Import) -> Safe:
    """How an import looks; as one that has failed where what is kept of it makes no sense."""
    try:
        return show.import_card(each)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        logger.error("Import %s cannot be shown: %r.", each.id, error)
        return show.import_card(each._replace(state="failed", error=UNREADABLE))


async def _import(found: Row) -> Import:
    row = readable(_by_name(found))
    kind = kinds[row["kind"]]
    values = {name: value for name, value in row.items() if name in Import._fields}
    understood = json.loads(row["understood"])
    for each in understood.get("sample", ()):
        each.update({name: bool(each[name]) for name in _switches(kind) if each.get(name) is not None})
    values |= {name: json.loads(row[name]) for name in ("problems", "known")}
    values |= {"kind": _words(kind), "understood": understood}
    return Import(**values, before=await import_queue.before(row["id"]) if row["state"] in show.RUNNING else 0)


async def _listed(row: Mapping[str, Any]) -> show.ListedImport:
    before = await import_queue.before(row["id"]) if row["state"] in show.RUNNING else 0
    return show.ListedImport(
        id=row["id"],
        kind=_words(kinds[row["kind"]]),
        filename=row["filename"],
        state=row["state"],
        rows_total=row["rows_total"],
        before=before,
    )


def _chosen(each: Import, form: Mapping[str, str], before: dict[str, str | None]) -> dict[str, str | None]:
    """The column of each field, None where there is to be none; 422 for one that the file does not have.

    Where the form says that the columns themselves become others, fields without one look for it anew.
    """
    known = {column["name"] for column in each.understood.get("columns", ())}
    for field, label in each.kind.labels.items():
        if form.get(field) and form[field] not in known:
            raise HTTPException(
                422,
                f"The file has no such column for “{label}”. Open {AREA}/{each.id} again, and choose one of its own.",
            )
    is_said = any(field in form for field in each.kind.labels)
    columns = {field: form.get(field) or None for field in each.kind.labels} if is_said else before
    if _changes_columns(each, form):
        return {field: column for field, column in columns.items() if column}
    return columns


def _changes_columns(each: Import, form: Mapping[str, str]) -> bool:
    """Whether the names of the columns will be others than those which the form was made of."""
    before = each.understood.get("choices", {})
    return any(
        f"_{name}" in form and form[f"_{name}"] != before.get(name, "") for name in ("encoding", "delimiter", "header")
    )


def _choices(form: Mapping[str, str]) -> dict[str, str]:
    """How the file is to be read, as far as a form says it; 422 for what there is not to choose."""
    found = {name: form[f"_{name}"].strip() for name in (*OPTIONS, "zone") if f"_{name}" in form}
    for name, value in found.items():
        if name == "zone" and value and (len(value) > LONGEST_ZONE or zone_named(value) is None):
            raise HTTPException(
                422,
                f"There is no time zone called {quoted(value)}. Write one such as Europe/Berlin.",
            )
        if name != "zone" and value and value not in OPTIONS[name]:
            raise HTTPException(
                422,
                f"{quoted(value)} is nothing to choose for “{name}”. It may be {', '.join(OPTIONS[name])}.",
            )
    return found


def _zone_name() -> str:
    """The name of the person's time zone; empty for the machine's own."""
    return getattr(zone(), "key", "")


def _named_kind(name: Any) -> Kind:
    """The kind of that name; the main one where none is named."""
    if not kinds:
        raise HTTPException(404, "There is no feature yet whose rows could be brought or taken out.")
    if not name:
        return next(iter(kinds.values()))
    if name not in kinds:
        raise HTTPException(400, f"“kind” is one of {', '.join(kinds)}, not {quoted(str(name))}.")
    return kinds[name]


def _in_words() -> list[ImportKind]:
    return [_words(kind) for kind in kinds.values()]


def _words(kind: Kind) -> ImportKind:
    labels = {field.name: field.label for field in kind.fields}
    rest = next((field.label.lower() for field in kind.fields if field.name == kind.rest), "")
    return ImportKind(
        table=kind.table, noun=kind.noun, plural=kind.plural, labels=labels, rest=rest, sources=kind.sources
    )


def _switches(kind: Kind) -> list[str]:
    return [field.name for field in kind.fields if field.reads in ("done", "yes_or_no")]


def _name(filename: str) -> str:
    """What a person calls the file: one line that any program can print."""
    name = Path(filename).name.encode(errors="replace").decode()
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in name)[:LONGEST_FILENAME]


def _insert(
    kind: Kind, filename: str, coming: Path, size: int, choices: Mapping[str, str]
) -> Callable[[Connection], int]:
    """A change that puts an import into the queue, and its file in its place. Raises TooMany."""

    def change(connection: Connection) -> int:
        sweep.refuse_too_many(connection, size, settings.max_upload)
        cursor = connection.execute(
            f"""
            INSERT INTO imports (kind, filename, state, process, bytes_total, choices, moved_at)
            VALUES (?, ?, 'checking', 0, ?, ?, {NOW})
            """,
            [kind.table, filename, size, json.dumps(choices)],
        )
        assert cursor.lastrowid is not None
        os.replace(coming, job.upload_path(cursor.lastrowid))
        return cursor.lastrowid

    return change


def _save(upload: BinaryIO, path: Path) -> int:
    """Keep what has come in; how many bytes it has. Raises OSError where the disk has no room for it."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    size = upload.seek(0, os.SEEK_END)
    refuse_without_room(size)
    upload.seek(0)
    with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "wb") as file:
        shutil.copyfileobj(upload, file, 1024 * 1024)
    return size
