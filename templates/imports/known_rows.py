"""Rows of a file that are in the data already: what an import says of them, what can be chosen, what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from templates.parts.tags import (
    Button,
    Fieldset,
    Form,
    Input,
    Label,
    Legend,
    P,
    Safe,
    Strong,
)

if TYPE_CHECKING:
    from templates.imports.page import Import

SKIP, UPDATE, ADD = CHOICES = ("skip", "update", "add")

# What an import knows of them, by name: how many there are, what was chosen, what was done.
Known = Mapping[str, object]


def note(each: Import) -> Safe | None:
    """Says how many rows are there already, and how many come more than once, before anything is written."""
    there, twice = _there(each), _number(each, "twice")
    if not there and not twice:
        return None
    changed = _number(each, "changed")
    return P(
        (Strong(_how_many(each, there)), _how_many_changed(changed, there), ". ") if there else None,
        f"{each.kind.counted(twice)} of the file {_are(twice)} in it more than once; that is no mistake."
        if twice
        else None,
        cls="known",
        role="status",
    )


def start_form(each: Import) -> Safe:
    """What begins the import, with what to do with the rows that are there already."""
    there, changed, total = _there(each), _number(each, "changed"), each.rows_total
    if not there:
        inner: tuple[Safe | None, ...] = (_button(f"Import {each.kind.counted(total)}"),)
    elif there == total and not changed:
        inner = (
            Input(type="hidden", name="known", value=ADD),
            Button("Import them all the same", cls="button"),
        )
    else:
        new = f"import the other {each.kind.counted(total - there)}" if there < total else "import nothing"
        inner = (
            Fieldset(
                Legend("What is there already"),
                _choice(SKIP, f"Leave {_them(there)} as {'it is' if there == 1 else 'they are'}, and {new}", True),
                _choice(
                    UPDATE,
                    f"Update the {changed:,} with other values to what the file says"
                    + (f", and {new}" if there < total else ""),
                )
                if changed
                else None,
                _choice(ADD, f"Import all {total:,} all the same: {there:,} will be there twice"),
                cls="known-choices",
            ),
            _button("Import"),
        )
    return Form(inner, method="post", action=f"/imports/{each.id}/start", cls="start")


def result(each: Import) -> Safe:
    """What an import that is done has done."""
    updated, skipped = _number(each, "updated"), _number(each, "skipped")
    return P(
        Strong(each.kind.counted(each.rows_done - updated)),
        " imported",
        f", {updated:,} updated" if updated else None,
        f", {skipped:,} that {'was' if skipped == 1 else 'were'} there already left as "
        f"{'it was' if skipped == 1 else 'they were'}"
        if skipped
        else None,
        ".",
    )


def read(each: Import) -> int:
    """How many rows an import that is being written is through with."""
    return each.rows_done + _number(each, "skipped")


def put_back(each: Import) -> str:
    """What taking back does beyond taking out, as a part of a sentence."""
    return ", and each that it had changed is as it was before" if _number(each, "updated") else ""


def _there(each: Import) -> int:
    return _number(each, "same") + _number(each, "changed")


def _number(each: Import, name: str) -> int:
    found = each.known.get(name, 0)
    return found if isinstance(found, int) else 0


def _how_many(each: Import, there: int) -> str:
    if each.rows_total == 1:
        return f"This {each.kind.noun} is there already"
    of_all = f"All {there:,}" if there == each.rows_total else f"{there:,} of these {each.rows_total:,}"
    return f"{of_all} {each.kind.plural} {_are(there)} there already"


def _how_many_changed(changed: int, there: int) -> str:
    if not changed:
        return ""
    return ", with other values" if changed == there else f", {changed:,} of them with other values"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _them(count: int) -> str:
    return "it" if count == 1 else "them"


def _button(words: str) -> Safe:
    return Button(words, cls="button primary", autofocus=True)


def _choice(value: str, words: str, checked: bool = False) -> Safe:
    return Label(Input(type="radio", name="known", value=value, checked=checked), words)
