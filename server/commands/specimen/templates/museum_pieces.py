"""How museum pieces look: the records a page is made from, and pure functions from them to tags."""

from collections.abc import Mapping, Sequence
from datetime import date, tzinfo
from typing import NamedTuple

from templates.parts import forms, lists, values
from templates.parts.lists import IN_DETAIL, ListQuery
from templates.parts.live import live
from templates.parts.tags import (
    H1,
    A,
    Article,
    Button,
    Div,
    Dl,
    Form,
    Li,
    P,
    Safe,
    Span,
)
from templates.parts.text_direction import own

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


def museum_pieces_page(listed: MuseumPieceList, deleted: MuseumPiece | None) -> Safe:
    """The main page: add, find, list."""
    undo = undo_toast(deleted, fixed=True) if deleted else None
    return Div(
        H1("Museum pieces", cls="visually-hidden"),
        add_form(),
        lists.filter_form(listed.query, id="museum_pieces", label="Search", sorts=SORTS),
        museum_piece_list(listed),
        undo,
        cls="column",
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
        version=given["_version"],
        error=error,
        place=place,
        heading="Edit museum piece",
    )


def museum_piece_list(listed: MuseumPieceList) -> Safe:
    """The list itself: the fragment of `GET /museum_pieces`."""
    otherwise = (
        P("No museum pieces yet.", cls="empty-title"),
        P("Add the first one above, or ", A("bring a file", href="/imports?kind=museum_pieces"), "."),
    )
    return lists.list_section(
        Div(P(listed.found, cls="found", role="status"), cls="list-head") if listed.found else None,
        query=listed.query,
        id="museum_pieces",
        label="Museum pieces",
        rows=[museum_piece_row(row, listed.today) for row in listed.rows],
        more=listed.more,
        empty=lists.empty(
            listed.query,
            id="museum_pieces",
            label="Museum pieces",
            otherwise=otherwise,
        ),
    )


def museum_piece_row(record: MuseumPiece, today: date) -> Safe:
    """One row of the list; texts are on the page of the museum piece."""
    name, address = record.short_name, f"{AREA}/{record.id}"
    facts: list[tuple[str, object]] = [
        ("Made by", record.made_by),
        ("Lent to", record.lent_to),
        ("Piece count", values.number(record.piece_count)),
        ("Floor number", values.number(record.floor_number)),
        ("Net weight", values.number(record.net_weight)),
        ("Full height", values.number(record.full_height)),
        ("Is fragile", values.yes_or_no(record.is_fragile)),
        ("Is genuine", values.yes_or_no(record.is_genuine)),
        ("Found on", values.day(record.found_on, today)),
        ("Shown on", values.day(record.shown_on, today)),
    ]
    return Li(
        Form(
            A(own(name), href=address, cls="title"),
            Span([values.fact(label, value) for label, value in facts if value], cls="row-facts"),
            A(href=f"{address}/edit", hx_get=f"{address}/edit", cls="icon-button edit", aria_label=f"Edit {name}"),
            Button(name="_method", value="delete", cls="icon-button delete", aria_label=f"Delete {name}"),
            method="post",
            action=address,
            hx_post=address,
        ),
        id=f"museum_piece-{record.id}",
        cls="record",
    )


def museum_piece_detail(record: MuseumPiece, today: date, zone: tzinfo | None) -> Safe:
    """One museum piece, whole: the fragment of `GET /museum_pieces/{id}`."""
    address = f"{AREA}/{record.id}"
    return live(
        Article,
        P(A("All museum pieces", href=AREA), cls="back"),
        H1(own(record.short_name)),
        Dl(
            values.pair("Made by", record.made_by),
            values.pair("Lent to", record.lent_to or "–"),
            values.pair("Piece count", values.number(record.piece_count)),
            values.pair("Floor number", values.number(record.floor_number) or "–"),
            values.pair("Net weight", values.number(record.net_weight)),
            values.pair("Full height", values.number(record.full_height) or "–"),
            values.pair("Is fragile", values.yes_or_no(record.is_fragile)),
            values.pair("Is genuine", values.yes_or_no(record.is_genuine) or "–"),
            values.pair("Found on", values.day(record.found_on, today)),
            values.pair("Shown on", values.day(record.shown_on, today) or "–"),
            values.pair("Added", values.moment(record.created_at, zone)),
            values.pair("Changed", values.moment(record.updated_at, zone)),
            cls="facts",
        ),
        values.section("Whole story", record.whole_story),
        values.section("Side note", record.side_note),
        Div(
            A("Edit", href=f"{address}/edit", hx_get=f"{address}/edit", cls="button primary"),
            Form(
                Button("Delete", name="_method", value="delete", cls="button danger"),
                method="post",
                action=address,
            ),
            cls="actions",
        ),
        id=f"museum_piece-{record.id}",
        url=address,
        cls="card detail",
        **IN_DETAIL,
    )


def changes_note(id: int, since: str, version: str, now: MuseumPiece | None) -> Safe:
    """Says in an open form that its museum piece was changed or deleted elsewhere."""
    known = (version, now.short_name) if now else None
    words = forms.changes_in_words("museum piece", "short name", since, known)
    return forms.changes_note(words, id=f"museum_piece-{id}", address=f"{AREA}/{id}", since=since)


def deleted_row(id: int) -> Safe:
    """Holds the place of a deleted museum piece, for its return."""
    return lists.deleted_row(f"museum_piece-{id}")


def undo_toast(record: MuseumPiece, *, fixed: bool = False) -> Safe:
    """Says that a museum piece is deleted and brings it back."""
    id, address = f"museum_piece-{record.id}", f"{AREA}/{record.id}"
    return lists.undo_toast(record.short_name, id=id, address=address, fixed=fixed)


def added_toast(record: MuseumPiece) -> Safe:
    """Says that a museum piece was added where the list at hand does not show it."""
    return lists.added_toast(record.short_name, address=f"{AREA}/{record.id}")


def _fields(given: Mapping[str, str], *, focus: bool) -> list[Safe]:
    """The fields of both forms, with what was typed or is there."""
    return [
        forms.line("short_name", "Short name", given, required=True, focus=focus),
        forms.line("made_by", "Made by", given, required=True),
        forms.line("lent_to", "Lent to", given),
        forms.text("whole_story", "Whole story", given, required=True),
        forms.text("side_note", "Side note", given),
        forms.whole_number("piece_count", "Piece count", given, required=True),
        forms.whole_number("floor_number", "Floor number", given),
        forms.number("net_weight", "Net weight", given, required=True),
        forms.number("full_height", "Full height", given),
        forms.tick("is_fragile", "Is fragile", given),
        forms.answer("is_genuine", "Is genuine", given),
        forms.day("found_on", "Found on", given, required=True),
        forms.day("shown_on", "Shown on", given),
    ]
