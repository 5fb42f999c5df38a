"""Museum pieces: their queries and their routes, together.

Made with: python server.py new MUSEUM PIECE
"""

from collections.abc import Mapping
from typing import Any

from fasthtml.core import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app import forms, lists, rows
from app.db import db
from app.forms import InputError
from app.kinds import Field, Kind
from app.pages import answer, back, form_again, page, wants_fragment
from app.texts import with_texts
from server.fragments import fragment, today, zone
from templates import museum_pieces as show
from templates.lists import ListQuery, partial
from templates.tags import Safe

AREA = "/museum_pieces"
COLUMNS = (
    "id",
    "short_name",
    "made_by",
    "lent_to",
    "whole_story",
    "side_note",
    "piece_count",
    "floor_number",
    "net_weight",
    "full_height",
    "is_fragile",
    "is_genuine",
    "found_on",
    "shown_on",
    "created_at",
    "updated_at",
)
# What the search looks into.
SEARCHED = [
    "short_name",
    "made_by",
    "lent_to",
    "whole_story",
    "side_note",
]
ORDERS = {
    "newest": "id DESC",
    "oldest": "id",
    "short_name": "short_name COLLATE NOCASE, id",
    "piece_count": "piece_count, id",
    "floor_number": "floor_number IS NULL, floor_number, id",
    "net_weight": "net_weight, id",
    "full_height": "full_height IS NULL, full_height, id",
    "found_on": "found_on, id",
    "shown_on": "shown_on IS NULL, shown_on, id",
}
# How the fields of a form are read; app/forms.py has a reader for each type.
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
    Field("short_name", "Short name", "line", "title name", required=True),
    Field("made_by", "Made by", "line", required=True),
    Field("lent_to", "Lent to", "line", default=""),
    Field("whole_story", "Whole story", "text", required=True),
    Field("side_note", "Side note", "text", default=""),
    Field("piece_count", "Piece count", "whole_number", required=True),
    Field("floor_number", "Floor number", "whole_number"),
    Field("net_weight", "Net weight", "number", required=True),
    Field("full_height", "Full height", "number"),
    Field("is_fragile", "Is fragile", "yes_or_no", default=0),
    Field("is_genuine", "Is genuine", "yes_or_no"),
    Field("found_on", "Found on", "day", required=True),
    Field("shown_on", "Shown on", "day"),
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
    deleted = await rows.find(KIND, request.query_params.get("deleted", ""), is_deleted=True)
    undo = show.MuseumPiece(*deleted) if deleted else None
    return page("Museum pieces", show.museum_pieces_page(listed, undo), AREA)


@rt("/museum_pieces", methods=["post"])
async def add_museum_piece(request: Request) -> Any:
    """Make a museum piece of a form."""
    form = await forms.form_of(request)
    try:
        changes = forms.changes_of(form, READERS, required=READERS)
    except InputError as error:
        return form_again(request, "Museum pieces", show.add_form(form, str(error)), "#add", 422)
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
    version, found = await rows.version(KIND.table, id), await rows.find(KIND, id)
    since, now = request.query_params.get("since", ""), show.MuseumPiece(*found) if found else None
    return answer(request, "Changes", show.changes_note(id, since, version, now), AREA)


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
        return form_again(request, f"Edit {record.short_name}", typed, f"#museum_piece-{id}", status)

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
    await db.write(lambda connection: rows.set_aside(connection, KIND.table, KIND.deletions, COLUMNS, id))
    if not wants_fragment(request):
        return RedirectResponse(f"{AREA}?deleted={id}", 303)
    offer = partial("#toasts", "beforeend", show.undo_toast(record))
    return HTMLResponse(show.deleted_row(id) + offer)


@rt("/museum_pieces/{id:id}/restore", methods=["post"])
async def restore_museum_piece(request: Request, id: int) -> Any:
    """Undo a deletion: the museum piece comes back whole."""
    if not await db.write(lambda connection: rows.bring_back(connection, KIND.table, KIND.deletions, COLUMNS, id)):
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
    conditions, parameters = lists.matching(KIND.table, SEARCHED, query.q)
    columns, order = [lists.short(name) for name in COLUMNS], ORDERS[query.sort]
    found, more, words = await lists.rows_of(query, KIND.table, columns, conditions, parameters, order)
    records = [show.MuseumPiece(*row) for row in found]
    return show.MuseumPieceList(query, records, more, words, today())


async def museum_piece_of(id: int) -> show.MuseumPiece:
    """A museum piece; 404 where there is none."""
    found = await rows.find(KIND, id)
    if not found:
        raise rows.gone(KIND.noun)
    return show.MuseumPiece(*found)


async def detail(record: show.MuseumPiece) -> Safe:
    """A museum piece, whole, with its texts drawn."""
    return show.museum_piece_detail(await with_texts(KIND, record), today(), zone())


def as_typed(record: show.MuseumPiece, version: str) -> dict[str, str]:
    """What a form that changes it begins with."""
    typed = {name: forms.as_typed(value) for name, value in record._asdict().items()}
    return typed | {"_version": version}
