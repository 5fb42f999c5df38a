"""How museum pieces look: no text becomes a tag, and an empty list says what next."""

from datetime import UTC, date
from typing import Any

from templates import museum_pieces as show
from templates.parts.lists import ListQuery

TODAY = date(2030, 6, 15)
HOSTILE = "<script>\"'><img src=x>"
VALUES: dict[str, Any] = {
    "id": 1,
    "short_name": HOSTILE,
    "made_by": HOSTILE,
    "lent_to": HOSTILE,
    "whole_story": HOSTILE,
    "side_note": HOSTILE,
    "piece_count": 2,
    "floor_number": None,
    "net_weight": 2.5,
    "full_height": None,
    "is_fragile": 1,
    "is_genuine": None,
    "found_on": "2030-01-02",
    "shown_on": None,
    "created_at": "2030-01-01T00:00:00.000Z",
    "updated_at": "odd",
}


def test_no_text_of_a_person_becomes_a_tag() -> None:
    record = show.MuseumPiece(**VALUES)
    typed = {name: str(value) for name, value in VALUES.items()} | {"_version": "1"}
    for text in (
        show.museum_piece_row(record, TODAY),
        show.museum_piece_detail(record, TODAY, UTC),
        show.add_form(typed, HOSTILE),
        show.edit_form(1, typed, "list"),
        show.undo_toast(record),
        show.added_toast(record),
        show.changes_note(1, "1", "2", record),
    ):
        assert "<script" not in text
        assert "<img" not in text


def test_an_empty_list_says_what_next() -> None:
    def words(query: ListQuery) -> str:
        return show.museum_piece_list(show.MuseumPieceList(query, [], False, "", TODAY))

    assert 'href="/imports?kind=museum_pieces"' in words(ListQuery("/museum_pieces"))
    assert "Nothing matches." in words(ListQuery("/museum_pieces", q="x"))
