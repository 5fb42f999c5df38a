"""From the columns of another program to a row of ours: which column is which field, and what a value means.

The rule: nothing is dropped silently. What has no field, and what has one but is not understood, is kept at the end of
the field for the rest, one `Name: value` after another; where the kind has no such field, the person is told what is
left out. Only an export of our own comes back without that. Nothing here reads files.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from app.imports.reading.values.dates import PLAIN, Manner
from app.imports.reading.values.time_zones import zone_named
from app.imports.reading.values.values import (
    READERS,
    is_cancelled,
    is_empty,
    own_day,
    text_of,
)
from app.records.kinds import TIMES, Field, Kind
from app.records.text_cleaning import odd_year, storable
from templates.parts.text_direction import quoted

# What databases and programs write where there is no day.
NO_DAYS = ("0000-00-00", "0001-01-01")
# How a spreadsheet program recognises a formula, which it would run.
FORMULA = re.compile(r"'*[=+\-@\t\r]")
# Columns that tell the time zone of their row, that something was given up, and how far it is; compared as names are.
ZONES = {"timezone", "timezonename", "timezoneid", "tz", "zone"}
GIVEN_UP = {
    "cancelled",
    "canceled",
    "cancelledat",
    "canceledat",
    "cancelleddate",
    "canceleddate",
    "abandoned",
    "abandonedat",
}
STATES = {"status", "state", "taskstatus"}


class Unusable(Exception):
    """Why a row of a file cannot become one of ours, in a sentence for the person."""


Row = dict[str, Any]


@dataclass(frozen=True)
class Places:
    """Where each column goes: its field, or the rest; and whether the file is an export of our own.

    `manners` says how the dates of a column are read, where not as usual; `zone` is the column with the time zone of
    each row, `states` are columns without a field that may say that something is over, each with whether it is for what
    was given up.
    """

    fields: Mapping[str, str]
    manners: Mapping[str, Manner] = dataclasses.field(default_factory=dict)
    is_own: bool = False
    zone: str = ""
    states: tuple[tuple[str, bool], ...] = ()


def columns_beside(fields: Mapping[str, str], names: Iterable[str]) -> tuple[str, tuple[tuple[str, bool], ...]]:
    """The column with the time zone of each row, if there is one, and those that may say that something is over."""
    spare = {name: _plain(name) for name in names if name not in fields}
    zone = next((name for name, plain in spare.items() if plain in ZONES), "")
    return zone, tuple(
        (name, plain in GIVEN_UP) for name, plain in spare.items() if plain in GIVEN_UP or plain in STATES
    )


def matched(kind: Kind, names: Iterable[str], chosen: Mapping[str, str | None] = {}) -> dict[str, str]:
    """The field of each column that has one: as chosen (None: no column), and by its name for every other field.

    Names are compared without case, spaces and punctuation. A column goes to the field of its
    name, else to the first that wants it.
    """
    columns = {name: _plain(name) for name in names}
    fields: dict[str, str] = {}
    for field, name in chosen.items():
        if name in columns:
            fields.setdefault(name, field)
    for name in (each.name for each in (*kind.fields, *TIMES) if each.name not in chosen):
        _take(fields, columns, name, [_plain(name)])
    for each in (*kind.fields, *TIMES):
        if each.name not in chosen and each.name not in fields.values():
            _take(fields, columns, each.name, each.names.split())
    return fields


def is_own(kind: Kind, names: Iterable[str]) -> bool:
    """Whether these are the columns of our own export."""
    return sorted(names) == sorted(kind.columns)


def row_of(kind: Kind, record: Mapping[str, Any], places: Places) -> Row:
    """The row that a record of the file is: the values of all columns. Raises Unusable."""
    reads = _reads(kind)
    values: Row = dict.fromkeys(kind.columns)
    kept: list[tuple[str, Any]] = []
    zone = zone_named(text_of(record.get(places.zone)).strip()) if places.zone else None
    for name, value in record.items():
        if is_empty(value):
            continue
        field = places.fields.get(name)
        if field is None:
            kept.append((name, value))
            continue
        manner = places.manners.get(name, PLAIN)
        if zone:
            manner = manner._replace(zone=zone, in_row=True)
        read = own_day if places.is_own and reads[field] == "day" else READERS[reads[field]]
        values[field], says_all = read(value, manner)
        if not says_all:
            if reads[field] == "day" and values[field] is None:
                _refuse_odd_year(text_of(value))
            kept.append((name, value))
    if places.states:
        _end_what_is_over(values, reads, record, places)
    for each in kind.fields:
        if values[each.name] in (None, ""):
            if not kind.rest:
                _refuse_what_was_not_understood(each, record, places)
            if each.required:
                raise Unusable(_missing(each, places))
            values[each.name] = each.default
    if kind.rest:
        values[kind.rest] = _with_kept(values[kind.rest], kept)
    return values


def harmless(cell: str) -> str:
    """A cell that no spreadsheet program takes for a formula: an apostrophe goes before one, and before its like."""
    return "'" + cell if FORMULA.match(cell) else cell


def restored(cell: str) -> str:
    """The cell that `harmless` was given."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def _take(fields: dict[str, str], columns: Mapping[str, str], field: str, wanted: Iterable[str]) -> None:
    """Give a field the first column of a wanted name that no other field has."""
    for word in wanted:
        column = next((name for name, plain in columns.items() if plain == word and name not in fields), None)
        if column is not None:
            fields[column] = field
            return


@cache
def _reads(kind: Kind) -> dict[str, str]:
    """How the values of each column are read."""
    return {"id": "id"} | {field.name: field.reads for field in (*kind.fields, *TIMES)}


def _end_what_is_over(values: Row, reads: Mapping[str, str], record: Mapping[str, Any], places: Places) -> None:
    """What was given up is not open, whichever column says so; nor what is done by its state alone."""
    for field, read in reads.items():
        if read == "done" and not values[field]:
            is_said = any(places.fields.get(name) == field and not is_empty(value) for name, value in record.items())
            if any(_is_over(record.get(name), is_given_up or not is_said) for name, is_given_up in places.states):
                values[field] = 1


def _is_over(value: Any, counts: bool) -> bool:
    """Whether a value says that it was given up or, where that counts, that it is done."""
    return not is_empty(value) and (is_cancelled(value) or (counts and bool(READERS["done"](value, PLAIN)[0])))


def _refuse_odd_year(text: str) -> None:
    """Raises Unusable for a day that is mistyped; what programs write for no day is kept like any other word."""
    if not text.strip().startswith(NO_DAYS) and (error := odd_year(text)):
        raise Unusable(error)


def _refuse_what_was_not_understood(field: Field, record: Mapping[str, Any], places: Places) -> None:
    for name, value in record.items():
        if places.fields.get(name) == field.name and not is_empty(value):
            raise Unusable(f"{quoted(text_of(value))} is not understood as “{field.label}”.")


def _missing(field: Field, places: Places) -> str:
    label = field.label.lower()
    if field.name in places.fields.values():
        return f"It has no {label}."
    return f"No column is taken for the {label}: choose one."


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _with_kept(text: str, kept: list[tuple[str, Any]]) -> str:
    """A text, and after a blank line what has no other place."""
    if kept:
        lines = "\n".join(f"{' '.join(name.split())}: {text_of(value).strip()}" for name, value in kept)
        text = f"{text.rstrip()}\n\n{lines}" if text else lines
    return storable(text)
