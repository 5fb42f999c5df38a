"""What may be chosen is known by name; anything else is refused in a sentence."""

import pytest

from app.imports.reading.text.decoding import UnreadableFile
from app.imports.reading.values.choices import NONE, choices_of, is_choice
from app.imports.reading.values.day_order import Facts
from templates.imports.reading_options import OPTIONS


def test_nothing_chosen_is_found_out() -> None:
    assert choices_of({}) == NONE
    assert choices_of({"encoding": "", "columns": {}, "facts": None}) == NONE


def test_choices_and_facts_come_through() -> None:
    found = choices_of(
        {
            "columns": {"title": "Name", "due": None},
            "order": "day",
            "zone": "Europe/Berlin",
            "facts": {"mixed": ["Due"]},
        }
    )
    assert (found.columns, found.order, found.zone) == ({"title": "Name", "due": None}, "day", "Europe/Berlin")
    assert found.facts == Facts(mixed=["Due"])  # type: ignore[arg-type]


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_can_be_chosen(name: str) -> None:
    for value in OPTIONS[name]:
        assert is_choice(name, value)
        assert getattr(choices_of({name: value}), name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("encoding", "rot13"),
        ("encoding", "../x"),
        ("delimiter", ","),
        ("order", 7),
        ("zone", "Nowhere"),
        ("header", ["yes"]),
    ],
)
def test_what_there_is_not_to_choose_is_refused(name: str, value: object) -> None:
    with pytest.raises(UnreadableFile, match="nothing to choose"):
        choices_of({name: value})
