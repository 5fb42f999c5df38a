"""Imports: their queries and their routes. The work itself is in `app/import_job.py`."""

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any, BinaryIO

from fasthtml.core import APIRouter
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from app import import_job
from app.access.confirm import check_upload
from app.db import Connection, Row, db
from app.kinds import Kind, kinds
from app.pages import answer, form_again, page
from server.fragments import fragment, wants_json
from templates import imports as show
from templates.imports import Import, ImportKind
from templates.tags import Safe

AREA = "/imports"
SHOWN_IMPORTS = 20

rt = APIRouter()
look_back = import_job.look_back
recover = import_job.recover
end_all = import_job.end_all


@rt("/imports", methods=["get"])
@fragment
async def list_imports(request: Request) -> Safe:
    """The way in and out."""
    rows = await db.read("SELECT * FROM imports ORDER BY id DESC LIMIT ?", [SHOWN_IMPORTS])
    imports = [_import(row) for row in rows if row["kind"] in kinds]
    kind = _named_kind(request.query_params.get("kind"))
    return page("Import & export", show.imports_page(imports, _in_words(), kind.table), AREA)


@rt("/imports", methods=["post"])
async def add_import(request: Request) -> Any:
    """Take a file in and begin to read it."""
    check_upload(request)
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise HTTPException(415, "Send the file as multipart/form-data, in a field called “file”.")
    form = await request.form()
    file, kind = form.get("file"), _named_kind(form.get("kind"))
    if not isinstance(file, UploadFile) or not file.filename:
        form_with_error = show.upload_form(_in_words(), kind.table, "Choose a file first.")
        return form_again(request, "Import & export", form_with_error, "#upload", 422)
    name = Path(file.filename).name[:200]
    id = await db.write(lambda connection: _insert(connection, kind, name, file.size or 0))
    try:
        await asyncio.to_thread(_save, file.file, import_job.upload_path(id))
    except OSError:
        # Nothing is left of a file that the disk has no room for.
        import_job.upload_path(id).unlink(missing_ok=True)
        await db.write(lambda connection: connection.execute("DELETE FROM imports WHERE id = ?", [id]).rowcount)
        raise
    import_job.begin(import_job.check(id))
    return RedirectResponse(f"{AREA}/{id}", 303)


@rt("/imports/{id:id}", methods=["get"])
@fragment
async def show_import(request: Request, id: int) -> Any:
    """How far an import has come."""
    each = await import_of(id)
    if wants_json():
        return JSONResponse(each._asdict() | {"kind": each.kind.table})
    return answer(request, each.filename, show.import_card(each), AREA)


@rt("/imports/{id:id}/columns", methods=["post"])
async def change_columns(request: Request, id: int) -> Response:
    """Read the file again with other columns."""
    form = await request.form()
    columns = json.dumps({field: form.get(field) or None for field in (await import_of(id)).kind.labels})
    await _move(id, "ready", "checking", columns=columns, problems="[]", problem_count=0, bytes_read=0)
    import_job.begin(import_job.check(id))
    return RedirectResponse(f"{AREA}/{id}", 303)


@rt("/imports/{id:id}/start", methods=["post"])
async def start_import(request: Request, id: int) -> Response:
    """Write what was read."""
    await _move(id, "ready", "writing", rows_done=0)
    import_job.begin(import_job.write(id))
    return RedirectResponse(f"{AREA}/{id}", 303)


@rt("/imports/{id:id}/cancel", methods=["post"])
async def cancel_import(request: Request, id: int) -> Response:
    """Leave it: nothing was written yet, or what was written is taken out again."""
    state = (await import_of(id)).state
    if state in ("checking", "ready"):
        await _move(id, state, "discarded")
        import_job.upload_path(id).unlink(missing_ok=True)
    else:
        await _move(id, state, "undoing", allowed=("writing", "done"))
        import_job.begin(import_job.undo(id))
    return RedirectResponse(f"{AREA}/{id}", 303)


async def import_of(id: int) -> Import:
    """An import; 404 where there is none."""
    rows = await db.read("SELECT * FROM imports WHERE id = ?", [id])
    if not rows or rows[0]["kind"] not in kinds:
        raise HTTPException(404, "There is no such import.")
    return _import(rows[0])


async def _move(id: int, state: str, next: str, allowed: tuple[str, ...] = (), **columns: Any) -> None:
    """Move an import on, and make this process the one that works on it; 409 where it is elsewhere by now."""
    try:
        if allowed and state not in allowed:
            raise import_job.Stopped
        await db.write(import_job.move(id, state, next, process=os.getpid(), **columns))
    except import_job.Stopped:
        state = (await import_of(id)).state
        raise HTTPException(409, f"This import is already further: {show.STATES[state].lower()}.") from None


def _import(row: Row) -> Import:
    kind = kinds[row["kind"]]
    values = {name: row[name] for name in Import._fields}
    understood = json.loads(row["understood"])
    for each in understood.get("sample", ()):
        each.update({name: bool(each[name]) for name in _switches(kind) if each[name] is not None})
    return Import(**values | {"kind": _words(kind), "understood": understood, "problems": json.loads(row["problems"])})


def _named_kind(name: Any) -> Kind:
    """The kind of that name; the main one where none is named."""
    if not kinds:
        raise HTTPException(404, "There is no feature yet whose rows could be brought or taken out.")
    if not name:
        return next(iter(kinds.values()))
    if name not in kinds:
        raise HTTPException(400, f"“kind” is one of {', '.join(kinds)}, not “{name}”.")
    return kinds[name]


def _in_words() -> list[ImportKind]:
    return [_words(kind) for kind in kinds.values()]


def _words(kind: Kind) -> ImportKind:
    labels = {field.name: field.label for field in kind.fields}
    rest = next((field.label.lower() for field in kind.fields if field.name == kind.rest), "")
    return ImportKind(kind.table, kind.noun, kind.plural, labels, rest, kind.sources)


def _switches(kind: Kind) -> list[str]:
    return [field.name for field in kind.fields if field.reads in ("done", "yes_or_no")]


def _insert(connection: Connection, kind: Kind, filename: str, size: int) -> int:
    cursor = connection.execute(
        "INSERT INTO imports (kind, filename, state, process, bytes_total) VALUES (?, ?, 'checking', ?, ?)",
        [kind.table, filename, os.getpid(), size],
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def _save(upload: BinaryIO, path: Path) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    upload.seek(0)
    with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
        shutil.copyfileobj(upload, file, 1024 * 1024)
