"""Each guess is said and can be contradicted; what the file does not tell is asked."""

from typing import Any

from templates.imports.reading_controls import (
    findings,
    how_it_was_read,
    question,
    upload_choices,
)

DATES = {
    "column": "Due",
    "order": "day",
    "examples": ["25/04/2026"],
    "is_mixed": False,
    "has_times": False,
    "has_serials": False,
}
UNDERSTOOD: dict[str, Any] = {
    "encoding": "Windows-1252",
    "delimiter": ";",
    "quotes": "doubled",
    "header": True,
    "choices": {"columns": {}},
    "dates": [DATES],
}


def test_a_table_has_a_control_for_each_guess() -> None:
    card = how_it_was_read(UNDERSTOOD)
    for name in ("header", "delimiter", "quotes", "encoding", "order"):
        assert f'name="_{name}"' in card
    for words in ("Windows-1252 (found out)", "semicolons (found out)", "names of columns (found out)"):
        assert words in card
    assert "_serials" not in card
    assert "_zone" not in card


def test_a_choice_that_was_made_is_selected() -> None:
    card = how_it_was_read(UNDERSTOOD | {"choices": {"encoding": "cp1250", "order": "month"}})
    assert '<option value="cp1250" selected>' in card
    assert '<option value="month" selected>' in card
    assert "Windows-1252 (found" not in card


def test_json_has_no_header_and_no_delimiter() -> None:
    card = how_it_was_read({"encoding": "UTF-8", "header": None, "delimiter": None, "quotes": None})
    assert 'name="_encoding"' in card
    assert "_header" not in card
    assert "_delimiter" not in card


def test_times_have_a_zone_and_numbers_may_be_days() -> None:
    card = how_it_was_read(
        UNDERSTOOD | {"dates": [DATES | {"has_times": True, "has_serials": True}], "choices": {"zone": "Europe/Berlin"}}
    )
    assert 'name="_zone" value="Europe/Berlin"' in card
    assert 'name="_serials"' in card


def test_what_the_file_does_not_tell_is_asked() -> None:
    assert question(UNDERSTOOD) is None
    asked = str(question(UNDERSTOOD | {"dates": [DATES | {"order": "", "examples": ["<05/01/2026>"]}]}))
    assert "The file does not tell: <code>&lt;05/01/2026&gt;</code>." in asked
    assert 'type="radio" name="_order" value="day"' in asked
    assert 'value="year"' not in asked
    mixed = {"order": "", "is_mixed": True, "examples": ["13-01-26", "01-13-26"]}
    both = str(question(UNDERSTOOD | {"dates": [DATES | mixed]}))
    assert "some with the day first and some with the month first" in both
    assert 'value="year"' in both


def test_what_was_found_is_said() -> None:
    said = "".join(findings(UNDERSTOOD | {"header": False, "quotes": "backslash"}))
    for words in (
        "no line with the names",
        "backslash",
        "“Due” <strong>the day comes first</strong>, as in 25/04/2026.",
    ):
        assert words in said
    assert "".join(findings(UNDERSTOOD | {"dates": []})) == ""


def test_an_upload_may_say_how_it_is_to_be_read() -> None:
    assert all(f'name="_{name}"' in upload_choices() for name in ("encoding", "header", "delimiter", "quotes"))
