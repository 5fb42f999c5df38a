"""Museum pieces: their queries and their routes, together.

Made with: python3 server.py new MUSEUM PIECE
"""

from collections.abc import Mapping
from typing import Any

from fasthtml.core import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.database.db import db
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
from app.records.list_queries import BY_NAME, NEWEST, OLDEST
from server.fragments import fragment, today, zone
from templates import museum_pieces as show
from templates.parts.lists import ListQuery, partial
from templates.parts.tags import Safe

AREA = "/museum_pieces"
ORDERS = {
    "newest": NEWEST,
    "oldest": OLDEST,
    "short_name": BY_NAME,
    "piece_count": "piece_count, id",
    "floor_number": "floor_number IS NULL, floor_number, id",
    "net_weight": "net_weight, id",
    "full_height": "full_height IS NULL, full_height, id",
    "found_on": "found_on, id",
    "shown_on": "shown_on IS NULL, shown_on, id",
}
# How the fields of a form are read; app/records/forms.py has a reader for each type.
READERS: dict[str, tuple[str, forms.Reader]] = {
    "short_name": ("Short name", forms.line),
    "made_by": ("Made by", forms.line),
    "lent_to": ("Lent to", forms.optional_line),
    "whole_story": ("Whole story", forms.text),
    "side_note": ("Side note", forms.optional_text),
    "piece_count": ("Piece count", forms.whole_number),
    "floor_number": ("Floor number", forms.optional(forms.whole_number)),
    "net_weight": ("Net weight", forms.number),
    "full_height": ("Full height", forms.optional(forms.number)),
    "is_fragile": ("Is fragile", forms.yes_or_no),
    "is_genuine": ("Is genuine", forms.optional(forms.yes_or_no)),
    "found_on": ("Found on", forms.day),
    "shown_on": ("Shown on", forms.optional(forms.day)),
}
# What an import understands, and an export holds.
FIELDS = [
    Field(name="short_name", label="Short name", reads="line", names="title name", required=True),
    Field(name="made_by", label="Made by", reads="line", required=True),
    Field(name="lent_to", label="Lent to", reads="line", default=""),
    Field(name="whole_story", label="Whole story", reads="text", required=True),
    Field(name="side_note", label="Side note", reads="text", default=""),
    Field(name="piece_count", label="Piece count", reads="whole_number", required=True),
    Field(name="floor_number", label="Floor number", reads="whole_number"),
    Field(name="net_weight", label="Net weight", reads="number", required=True),
    Field(name="full_height", label="Full height", reads="number"),
    Field(name="is_fragile", label="Is fragile", reads="yes_or_no", default=0),
    Field(name="is_genuine", label="Is genuine", reads="yes_or_no"),
    Field(name="found_on", label="Found on", reads="day", required=True),
    Field(name="shown_on", label="Shown on", reads="day"),
]
KIND = Kind(
    table="museum_pieces",
    deletions="deleted_museum_pieces",
    noun="museum piece",
    plural="museum pieces",
    fields=tuple(FIELDS),
)

rt = APIRouter()


@rt("/museum_pieces", methods=["get"])
@fragment
async def list_museum_pieces(request: Request) -> Safe:
    """The list that the address names."""
    listed = await museum_pieces_of(query_of(request.query_params))
    if wants_fragment(request):
        return show.museum_piece_list(listed)
    id = request.query_params.get("deleted", "")
    deleted = await rows.find(KIND, show.MuseumPiece, id, is_deleted=True)
    return page("Museum pieces", show.museum_pieces_page(listed, deleted), AREA)


@rt("/museum_pieces", methods=["post"])
async def add_museum_piece(request: Request) -> Any:
    """Make a museum piece of a form."""
    form = await forms.form_of(request)
    try:
        changes = forms.changes_of(form, READERS, required=READERS)
    except InputError as error:
        again = show.add_form(form, str(error))
        return form_again(request, "Museum pieces", again, "#add", 422, str(error))
    id = await db.write(lambda connection: rows.insert(connection, KIND.table, changes))
    if not wants_fragment(request):
        return RedirectResponse(back(request, AREA), 303)
    listed = await museum_pieces_of(lists.shown_list(request, query_of))
    hidden = all(row.id != id for row in listed.rows)
    parts = (
        show.museum_piece_list(listed),
        partial("#add", "outerHTML", show.add_form(opened=True)),
        partial("#toasts", "beforeend", show.added_toast(await museum_piece_of(id))) if hidden else "",
    )
    return HTMLResponse("".join(parts), 201)


@rt("/museum_pieces/{id:id}", methods=["get"])
@fragment
async def show_museum_piece(request: Request, id: int) -> Safe:
    """One museum piece; in its row where `in=list` says so."""
    record = await museum_piece_of(id)
    if wants_fragment(request) and request.query_params.get("in") == "list":
        return show.museum_piece_row(record, today())
    return answer(request, record.short_name, await detail(record), AREA)


@rt("/museum_pieces/{id:id}/edit", methods=["get"])
@fragment
async def edit_museum_piece(request: Request, id: int) -> Safe:
    """The form for a museum piece."""
    version, record = await rows.version(KIND.table, id), await museum_piece_of(id)
    place = "list" if wants_fragment(request) and request.query_params.get("in") == "list" else "detail"
    form = show.edit_form(id, as_typed(record, version), place)
    return answer(request, f"Edit {record.short_name}", form, AREA)


@rt("/museum_pieces/{id:id}/changes", methods=["get"])
@fragment
async def show_changes(request: Request, id: int) -> Safe:
    """What happened to a museum piece since someone began to edit it."""
    version, now = await rows.version(KIND.table, id), await rows.find(KIND, show.MuseumPiece, id)
    note = show.changes_note(id, request.query_params.get("since", ""), version, now)
    return answer(request, "Changes", note, AREA)


@rt("/museum_pieces/{id:id}", methods=["post", "patch"])
async def change_museum_piece(request: Request, id: int) -> Any:
    """Change what the form names; a plain form can also delete, with `_method=delete`."""
    form = await forms.form_of(request)
    if form.get("_method") == "delete":
        return await delete_museum_piece(request, id)
    record = await museum_piece_of(id)
    place = form.get("in", "detail")

    def again(message: str, status: int, version: str) -> Response:
        typed = show.edit_form(id, as_typed(record, version) | form | {"_version": version}, place, message)
        title = f"Edit {record.short_name}"
        return form_again(request, title, typed, f"#museum_piece-{id}", status, message)

    try:
        changes = forms.changes_of(form, READERS)
        await db.write(lambda connection: rows.update(connection, KIND.table, KIND.noun, id, changes, form))
    except InputError as error:
        return again(str(error), 422, form.get("_version") or await rows.version(KIND.table, id))
    except rows.Conflict:
        version, record = await rows.version(KIND.table, id), await museum_piece_of(id)
        return again(forms.conflict(KIND.noun, "short name", record.short_name), 409, version)
    if not wants_fragment(request):
        return RedirectResponse(f"{AREA}/{id}", 303)
    after = await museum_piece_of(id)
    if place == "list":
        return show.museum_piece_row(after, today())
    return await detail(after)


@rt("/museum_pieces/{id:id}", methods=["delete"])
async def delete_museum_piece(request: Request, id: int) -> Any:
    """Delete a museum piece, and offer it back."""
    record = await museum_piece_of(id)
    await db.write(lambda connection: rows.set_aside(connection, KIND, id))
    if not wants_fragment(request):
        return RedirectResponse(f"{AREA}?deleted={id}", 303)
    offer = partial("#toasts", "beforeend", show.undo_toast(record))
    return HTMLResponse(show.deleted_row(id) + offer)


@rt("/museum_pieces/{id:id}/restore", methods=["post"])
async def restore_museum_piece(request: Request, id: int) -> Any:
    """Undo a deletion: the museum piece comes back whole."""
    if not await db.write(lambda connection: rows.bring_back(connection, KIND, id)):
        raise rows.cannot_restore(KIND.noun)
    if not wants_fragment(request):
        return RedirectResponse(AREA, 303)
    row = show.museum_piece_row(await museum_piece_of(id), today())
    parts = (
        partial(f"#museum_piece-{id}", "outerHTML", row),
        partial(f"#deleted-museum_piece-{id}", "delete"),
    )
    return HTMLResponse("".join(parts))


def query_of(given: Mapping[str, str]) -> ListQuery:
    """The list that an address names; 400 for one that it cannot name."""
    return lists.query_of(AREA, given, show.SORTS)


async def museum_pieces_of(query: ListQuery) -> show.MuseumPieceList:
    """The pages of a list that are asked for."""
    records, more, words = await lists.rows_of(query, KIND, show.MuseumPiece, ORDERS[query.sort])
    return show.MuseumPieceList(query=query, rows=records, more=more, found=words, today=today())


async def museum_piece_of(id: int) -> show.MuseumPiece:
    """A museum piece; 404 where there is none."""
    record = await rows.find(KIND, show.MuseumPiece, id)
    if record is None:
        raise rows.gone(KIND.noun)
    return record


async def detail(record: show.MuseumPiece) -> Safe:
    """A museum piece, whole, with its texts drawn."""
    return show.museum_piece_detail(await with_texts(KIND, record), today(), zone())


def as_typed(record: show.MuseumPiece, version: str) -> dict[str, str]:
    """What a form that changes it begins with."""
    typed = {name: forms.as_typed(value) for name, value in record._asdict().items()}
    return typed | {"_version": version}
