"""Fields and forms hold what was typed, and say what is wrong."""

import html5lib
import pytest

from templates.parts import forms
from templates.parts.tags import Safe


def fields(form: Safe) -> dict[str, str | None]:
    """The names of the fields and what a browser would send, the last of a name counting."""
    document = html5lib.parseFragment(form, namespaceHTMLElements=False)
    sent: dict[str, str | None] = {}
    for field in document.iter():
        name = field.get("name")
        if field.tag == "textarea":
            sent[str(name)] = field.text or ""
        elif field.tag == "select":
            sent[str(name)] = next(each.get("value") for each in field if each.get("selected") is not None)
        elif name and (field.get("type") != "checkbox" or field.get("checked") is not None):
            sent[name] = field.get("value")
    return sent


@pytest.mark.parametrize("ticked", ["1", "0"])
def test_every_field_sends_what_it_was_given(ticked: str) -> None:
    given = {"a": 'x "y"', "b": "<b>\n", "c": "3", "d": "0.5", "e": "2030-01-01", "f": ticked, "g": ""}
    form = forms.add_form(
        forms.line("a", "A", given),
        forms.text("b", "B", given),
        forms.whole_number("c", "C", given),
        forms.number("d", "D", given),
        forms.day("e", "E", given),
        forms.tick("f", "F", given),
        forms.answer("g", "G", given),
        area="/books",
        heading="New book",
    )
    assert fields(form) == given


def test_what_was_wrong_is_said_in_a_form_that_is_open() -> None:
    form = forms.add_form(area="/books", heading="New book", error="“A” is <missing>.")
    assert '<p class="form-error" role="alert">“A” is &lt;missing&gt;.</p>' in form
    assert " open" in form.partition(">")[0]
    assert " open" not in forms.add_form(area="/books", heading="New book").partition(">")[0]


@pytest.mark.parametrize(("place", "tag"), [("list", "<li"), ("detail", "<article")])
def test_a_change_is_made_in_its_row_or_on_its_page(place: str, tag: str) -> None:
    form = forms.edit_form(
        forms.line("a", "A", {"a": "x"}),
        id="book-3",
        address="/books/3",
        version="3",
        error="",
        place=place,
        heading="Edit book",
    )
    assert form.startswith(tag)
    assert fields(form) == {"_version": "3", "a": "x"}
    assert 'data-live="/books/3/changes?since=3"' in form


def test_what_happened_elsewhere_is_said() -> None:
    assert forms.changes_in_words("book", "title", "then", ("then", "Dune")) == ""
    assert "its title there is now “Dune”" in forms.changes_in_words("book", "title", "then", ("now", "Dune"))
    assert "This book was deleted elsewhere" in forms.changes_in_words("book", "title", "then", None)
