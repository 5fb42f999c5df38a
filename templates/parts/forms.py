"""What forms are made of: a field for each type of value, the frame of an edit form, and what is said in it."""

from collections.abc import Mapping
from urllib.parse import urlencode

from templates.parts.lists import IN_DETAIL
from templates.parts.live import live, unknown
from templates.parts.tags import (
    H1,
    A,
    Article,
    Button,
    Details,
    Div,
    Form,
    Input,
    Label,
    Li,
    Option,
    P,
    Safe,
    Select,
    Span,
    Summary,
    Textarea,
)
from templates.parts.text_direction import quoted
from templates.parts.values import Cut, day_of, is_number

LINE_LENGTH = 1000
# The first and the last day that a field for one takes: a browser says so before the form is sent.
DAYS = {"min": "1000-01-01", "max": "9999-12-31"}

# What was typed into the fields of a form, or is to stand in them.
Given = Mapping[str, str]


def line(name: str, label: str, given: Given, *, required: bool = False, focus: bool = False) -> Safe:
    """A field for one line of text."""
    value = given.get(name, "")
    if isinstance(value, Cut):
        return Label(label, _too_large(), Input(value=value, disabled=True), cls="line")
    field = Input(
        name=name,
        value=value,
        required=required,
        maxlength=LINE_LENGTH,
        autocomplete="off",
        autofocus=focus,
    )
    return Label(label, field, cls="line")


def text(name: str, label: str, given: Given, *, required: bool = False) -> Safe:
    """A field for a text in Markdown."""
    value = given.get(name, "")
    if isinstance(value, Cut):
        return Label(Span(label, " ", _too_large()), Textarea(value, rows=6, disabled=True), cls="wide")
    hint = Span("Markdown works here", cls="quiet")
    return Label(Span(label, " ", hint), Textarea(value, name=name, rows=6, required=required), cls="wide")


def whole_number(name: str, label: str, given: Given, *, required: bool = False) -> Safe:
    """A field for a whole number."""
    return _number(name, label, given, required, step="1", inputmode="numeric")


def number(name: str, label: str, given: Given, *, required: bool = False) -> Safe:
    """A field for a number with a decimal point."""
    return _number(name, label, given, required, step="any", inputmode="decimal")


def day(name: str, label: str, given: Given, *, required: bool = False) -> Safe:
    """A field for a date."""
    return Label(label, day_input(name, given.get(name, ""), required=required))


def day_input(name: str, value: str, **attributes: object) -> Safe:
    """The field itself. A browser would leave out what is no date, and the next save would empty it: that is text."""
    is_day = not value or day_of(value)
    return Input(type="date" if is_day else "text", name=name, value=value, **attributes, **(DAYS if is_day else {}))


def tick(name: str, label: str, given: Given) -> Safe:
    """A field that is yes or no."""
    # A browser sends no box that is not ticked: then the hidden field says no.
    return Label(
        Input(type="hidden", name=name, value="0"),
        Input(type="checkbox", name=name, value="1", checked=given.get(name) == "1"),
        label,
        cls="tick",
    )


def answer(name: str, label: str, given: Given) -> Safe:
    """A field that is yes, no, or not known."""
    answers = {"": "–", "1": "Yes", "0": "No"}
    value = given.get(name, "")
    answers.setdefault(value, value)  # What another program has put there stays until somebody mends it.
    options = [Option(words, value=each, selected=each == value) for each, words in answers.items()]
    return Label(label, Select(options, name=name))


def add_form(*fields: object, area: str, heading: str, error: str = "", opened: bool = False) -> Safe:
    """The form for something new, folded away until someone asks for it."""
    form = Form(
        form_error(error),
        fields,
        Div(Button("Add", cls="button primary"), cls="actions"),
        cls="edit-form",
        method="post",
        action=area,
        hx_post=area,
        hx_target=f"#{area.strip('/')}",
        hx_swap="outerHTML",
        hx_disable="find button",
    )
    return Details(Summary(heading, data_key="n"), form, id="add", cls="card add-more", open=opened or bool(error))


def edit_form(*fields: object, id: str, address: str, version: str, error: str, place: str, heading: str) -> Safe:
    """The form that changes what is at `address`, in its row (`place` list) or on its page (`place` detail).

    `version` is the one that it had when the form was opened.
    """
    form = Form(
        form_error(error),
        unknown(P, id=f"changes-{id}", url=f"{address}/changes?{urlencode({'since': version})}", role="status"),
        Input(type="hidden", name="_version", value=version),
        fields,
        Div(
            Button("Save", cls="button primary"),
            A("Cancel", href=address, hx_get=address, cls="button", data_key="Escape"),
            cls="actions",
        ),
        cls="edit-form",
        method="post",
        action=address,
        hx_patch=address,
        hx_disable="find button",
    )
    if place == "list":
        # What a person is writing here stays, whatever happens to the list.
        return Li(form, id=id, cls="record editing", hx_morph_skip=True)
    return Article(H1(heading), form, id=id, cls="card detail", **IN_DETAIL)


def changes_note(words: str, *, id: str, address: str, since: str) -> Safe:
    """Says in an open form what has happened elsewhere to what it changes; nothing where nothing has."""
    url = f"{address}/changes?{urlencode({'since': since})}"
    return live(P, words, id=f"changes-{id}", url=url, role="status", cls="form-note" if words else None)


def changes_in_words(noun: str, label: str, since: str, now: tuple[str, str] | None) -> str:
    """What has happened since a version; `now` is the version that there is, and what is in its field `label`."""
    if now is None:
        return f"This {noun} was deleted elsewhere. Copy what you want to keep."
    version, name = now
    if version != since:
        return f"Changed elsewhere in the meantime; its {label} there is now {quoted(name)}. Your text is kept."
    return ""


def form_error(message: str) -> Safe | None:
    """What was wrong with what was typed."""
    return P(message, cls="form-error", role="alert") if message else None


def _too_large() -> Safe:
    """Says why a field cannot be changed: a form would put its begin in place of the whole."""
    return Span("Too large to be changed here: this is its begin", cls="quiet")


def _number(name: str, label: str, given: Given, required: bool, **attributes: str) -> Safe:
    value = given.get(name, "")
    kind = "number" if not value or is_number(value) else "text"
    return Label(label, Input(type=kind, name=name, value=value, required=required, **attributes))
