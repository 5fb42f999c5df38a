"""How museum pieces look: the records a page is made from, and pure functions from them to tags."""

from collections.abc import Mapping, Sequence
from datetime import date, tzinfo
from typing import NamedTuple

from templates import forms, lists, values
from templates.lists import IN_DETAIL, ListQuery
from templates.live import live
from templates.tags import H1, A, Article, Button, Div, Dl, Form, Li, P, Safe, Span

AREA = "/museum_pieces"
SORTS = {
    "newest": "Newest first",
    "oldest": "Oldest first",
    "short_name": "Short name",
    "piece_count": "Piece count",
    "floor_number": "Floor number",
    "net_weight": "Net weight",
    "full_height": "Full height",
    "found_on": "Found on",
    "shown_on": "Shown on",
}


class MuseumPiece(NamedTuple):
    """A museum piece, as the table has it."""

    id: int
    short_name: str
    made_by: str
    lent_to: str
    whole_story: str
    side_note: str
    piece_count: int
    floor_number: int | None
    net_weight: float
    full_height: float | None
    is_fragile: int
    is_genuine: int | None
    found_on: str
    shown_on: str | None
    created_at: str
    updated_at: str


class MuseumPieceList(NamedTuple):
    """A part of a list: its rows, whether more follow, and how many a search has found."""

    query: ListQuery
    rows: Sequence[MuseumPiece]
    more: bool
    found: str
    today: date


def museum_pieces_page(listed: MuseumPieceList, deleted: MuseumPiece | None = None) -> Safe:
    """The main page: add, find, list."""
    undo = undo_toast(deleted, fixed=True) if deleted else None
    return Div(
        H1("Museum pieces", cls="visually-hidden"),
        add_form(),
        lists.filter_form(listed.query, id="museum_pieces", label="Search museum pieces", sorts=SORTS),
        museum_piece_list(listed),
        undo,
        cls="column alone",
    )


def add_form(given: Mapping[str, str] = {}, error: str = "", *, opened: bool = False) -> Safe:
    """The form for a new museum piece; `opened` puts the cursor into it."""
    return forms.add_form(
        _fields(given, focus=opened),
        area=AREA,
        heading="New museum piece",
        error=error,
        opened=opened,
    )


def edit_form(id: int, given: Mapping[str, str], place: str, error: str = "") -> Safe:
    """The form for a museum piece, in its row (`place` list) or on its page (`place` detail)."""
    return forms.edit_form(
        _fields(given, focus=True),
        id=f"museum_piece-{id}",
        address=f"{AREA}/{id}",
        since=given["updated_at"],
        error=error,
        place=place,
        heading="Edit museum piece",
    )


def museum_piece_list(listed: MuseumPieceList) -> Safe:
    """The list itself: the fragment of `GET /museum_pieces`."""
    otherwise = (
        P("No museum pieces yet.", cls="empty-title"),
        P("Add the first one above, or ", A("bring them from a file", href="/imports?kind=museum_pieces"), "."),
    )
    return lists.list_section(
        Div(P(listed.found, cls="found", role="status"), cls="list-head") if listed.found else None,
        query=listed.query,
        id="museum_pieces",
        label="Museum pieces",
        rows=[museum_piece_row(row, listed.today) for row in listed.rows],
        more=listed.more,
        empty=lists.empty(listed.query, id="museum_pieces", label="Museum pieces", otherwise=otherwise),
    )


def museum_piece_row(museum_piece: MuseumPiece, today: date) -> Safe:
    """One row of the list; texts are on the page of the museum piece."""
    name, address = museum_piece.short_name, f"{AREA}/{museum_piece.id}"
    facts: list[tuple[str, object]] = [
        ("Made by", museum_piece.made_by),
        ("Lent to", museum_piece.lent_to),
        ("Piece count", values.number(museum_piece.piece_count)),
        ("Floor number", values.number(museum_piece.floor_number)),
        ("Net weight", values.number(museum_piece.net_weight)),
        ("Full height", values.number(museum_piece.full_height)),
        ("Is fragile", values.yes_or_no(museum_piece.is_fragile)),
        ("Is genuine", values.yes_or_no(museum_piece.is_genuine)),
        ("Found on", values.day(museum_piece.found_on, today)),
        ("Shown on", values.day(museum_piece.shown_on, today)),
    ]
    return Li(
        Form(
            A(name, href=address, cls="title"),
            Span([Span(Span(f"{label} ", cls="quiet"), value) for label, value in facts if value], cls="row-facts"),
            A(href=f"{address}/edit", hx_get=f"{address}/edit", cls="icon-button edit", aria_label=f"Edit {name}"),
            Button(name="_method", value="delete", cls="icon-button delete", aria_label=f"Delete {name}"),
            method="post",
            action=address,
            hx_post=address,
        ),
        id=f"museum_piece-{museum_piece.id}",
        cls="record",
    )


def museum_piece_detail(museum_piece: MuseumPiece, today: date, zone: tzinfo | None) -> Safe:
    """One museum piece, whole: the fragment of `GET /museum_pieces/{id}`."""
    address = f"{AREA}/{museum_piece.id}"
    return live(
        Article,
        P(A("All museum pieces", href=AREA), cls="back"),
        H1(museum_piece.short_name),
        Dl(
            values.pair("Made by", museum_piece.made_by),
            values.pair("Lent to", museum_piece.lent_to or "–"),
            values.pair("Piece count", values.number(museum_piece.piece_count)),
            values.pair("Floor number", values.number(museum_piece.floor_number) or "–"),
            values.pair("Net weight", values.number(museum_piece.net_weight)),
            values.pair("Full height", values.number(museum_piece.full_height) or "–"),
            values.pair("Is fragile", values.yes_or_no(museum_piece.is_fragile)),
            values.pair("Is genuine", values.yes_or_no(museum_piece.is_genuine) or "–"),
            values.pair("Found on", values.day(museum_piece.found_on, today)),
            values.pair("Shown on", values.day(museum_piece.shown_on, today) or "–"),
            values.pair("Added", values.moment(museum_piece.created_at, zone)),
            values.pair("Changed", values.moment(museum_piece.updated_at, zone)),
            cls="facts",
        ),
        values.section("Whole story", museum_piece.whole_story),
        values.section("Side note", museum_piece.side_note),
        Div(
            A("Edit", href=f"{address}/edit", hx_get=f"{address}/edit", cls="button primary"),
            Form(
                Button("Delete", name="_method", value="delete", cls="button danger"),
                method="post",
                action=address,
            ),
            cls="actions",
        ),
        id=f"museum_piece-{museum_piece.id}",
        url=address,
        cls="card detail",
        **IN_DETAIL,
    )


def changes_note(id: int, since: str, now: MuseumPiece | None) -> Safe:
    """Says in an open form that its museum piece was changed or deleted elsewhere."""
    known = (now.updated_at, now.short_name) if now else None
    words = forms.changes_in_words("museum piece", "short name", since, known)
    return forms.changes_note(words, id=f"museum_piece-{id}", address=f"{AREA}/{id}", since=since)


def deleted_row(id: int) -> Safe:
    """Holds the place of a deleted museum piece, for its return."""
    return lists.deleted_row(f"museum_piece-{id}")


def undo_toast(museum_piece: MuseumPiece, *, fixed: bool = False) -> Safe:
    """Says that a museum piece is deleted and brings it back."""
    id, address = f"museum_piece-{museum_piece.id}", f"{AREA}/{museum_piece.id}"
    return lists.undo_toast(museum_piece.short_name, id=id, address=address, fixed=fixed)


def added_toast(museum_piece: MuseumPiece) -> Safe:
    """Says that a museum piece was added where the list at hand does not show it."""
    return lists.added_toast(museum_piece.short_name, address=f"{AREA}/{museum_piece.id}")


def _fields(given: Mapping[str, str], *, focus: bool) -> list[Safe]:
    """The fields of both forms, with what was typed or is there."""
    return [
        forms.line("short_name", "Short name", given.get("short_name", ""), required=True, focus=focus),
        forms.line("made_by", "Made by", given.get("made_by", ""), required=True),
        forms.line("lent_to", "Lent to", given.get("lent_to", "")),
        forms.text("whole_story", "Whole story", given.get("whole_story", ""), required=True),
        forms.text("side_note", "Side note", given.get("side_note", "")),
        forms.whole_number("piece_count", "Piece count", given.get("piece_count", ""), required=True),
        forms.whole_number("floor_number", "Floor number", given.get("floor_number", "")),
        forms.number("net_weight", "Net weight", given.get("net_weight", ""), required=True),
        forms.number("full_height", "Full height", given.get("full_height", "")),
        forms.tick("is_fragile", "Is fragile", given.get("is_fragile", "")),
        forms.answer("is_genuine", "Is genuine", given.get("is_genuine", "")),
        forms.day("found_on", "Found on", given.get("found_on", ""), required=True),
        forms.day("shown_on", "Shown on", given.get("shown_on", "")),
    ]
