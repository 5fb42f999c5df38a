"""Validates rows of the table `imports`, which other programs may have written."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from server.guard.utf8 import has_half_a_pair
from templates.imports.known_rows import CHOICES
from templates.imports.page import STATES
from templates.imports.reading_options import OPTIONS

UNREADABLE = "Another program has changed what is kept of this import, and it cannot be read. Import the file again."
NUMBERS = ("process", "attempts", "problem_count", "bytes_read", "bytes_total", "rows_done", "rows_total", "rows_kept")
TEXTS = ("filename", "error", "created_at")
EMPTY = {"columns": "{}", "choices": "{}", "understood": "{}", "problems": "[]", "known": "{}"}

Check = Callable[[Any], bool]


def odd_columns(row: Mapping[str, Any]) -> list[str]:
    """The columns of a row, as far as it has them, that hold nothing which this app would write there."""
    return [name for name, value in row.items() if not _is_readable(name, value)]


def readable(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row that can be shown: one that makes no sense as an import that has failed."""
    odd = odd_columns(row)
    if not odd:
        return dict(row)
    empty: dict[str, Any] = dict.fromkeys(NUMBERS, 0) | dict.fromkeys(TEXTS, "?") | EMPTY
    return {**row, **{name: empty.get(name, "") for name in odd}, "state": "failed", "error": UNREADABLE}


def _is_readable(name: str, value: Any) -> bool:
    if name == "state":
        return isinstance(value, str) and value in STATES
    if name in NUMBERS:
        return isinstance(value, int)
    if name in _KEPT:
        return isinstance(value, str) and _holds(value, _KEPT[name])
    return name not in TEXTS or isinstance(value, str)


def _holds(text: str, check: Check) -> bool:
    """Whether a text is JSON that can be read, shown and written again, and passes a check."""
    try:
        found = json.loads(text)
        json.dumps(found, allow_nan=False)
    except (ValueError, RecursionError):
        return False
    return check(found) and not has_half_a_pair(text.encode(errors="replace"))


def _is(*types: type) -> Check:
    # True is no number here, though Python has it as one.
    return lambda value: type(value) in types


def _list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _object_of(check: Check) -> Check:
    """An object of which each value passes the check."""
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


def _object_with(*required: str, **checks: Check) -> Check:
    """An object that has the required names; what it has of the others passes their checks, too."""
    return lambda value: (
        isinstance(value, dict)
        and all(name in value for name in required)
        and all(check(value[name]) for name, check in checks.items() if name in value)
    )


_is_text, _is_number, _is_name = _is(str), _is(int), _is(str, type(None))
_texts = _list_of(_is_text)
# How a file is to be read (app/imports/reading/values/choices.py), and what all rows of it have said of its dates.
_CHOICES = _object_with(columns=_object_of(_is_name), **dict.fromkeys((*OPTIONS, "zone"), _is_text))
_FACTS = _object_with(
    orders=_object_of(_is_text), examples=_object_of(_texts), mixed=_texts, instants=_texts, serials=_texts
)
# What the process that reads files says of one (app/imports/reading/process.py): nothing yet, or what it knew to say at
# that time.
_UNDERSTOOD = _object_with(
    format=_is_text,
    encoding=_is_name,
    zeros=_is_number,
    delimiter=lambda value: value is None or (isinstance(value, str) and len(value) == 1 and not value.isalnum()),
    quotes=_is_name,
    header=_is(bool, type(None)),
    choices=_CHOICES,
    facts=_FACTS,
    dates=_list_of(
        _object_with(
            "column",
            "order",
            "examples",
            column=_is_text,
            order=_is_name,
            examples=_texts,
            is_mixed=_is(bool),
            has_times=_is(bool),
            has_serials=_is(bool),
        )
    ),
    compressed=_is(bool),
    list=_is_name,
    other_lists=_object_of(_is_number),
    more_lists=_is_number,
    columns=_list_of(_object_with("name", "field", "examples", name=_is_text, field=_is_name, examples=_texts)),
    sample=_list_of(_object_of(_is(str, int, float, bool, type(None)))),
    own_export=_is(bool),
)
_KEPT: dict[str, Check] = {
    "columns": _object_of(_is_name),
    "choices": _CHOICES,
    "understood": _UNDERSTOOD,
    "problems": _list_of(_object_with("line", "reason", line=_is_number, reason=_is_text)),
    # What it knows of the rows that are in the data already, and has done with them (templates/imports/known_rows.py).
    "known": _object_with(
        choice=lambda value: isinstance(value, str) and value in CHOICES,
        **dict.fromkeys(("same", "changed", "twice", "updated", "skipped"), _is_number),
    ),
}
