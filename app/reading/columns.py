"""From the columns of another program to a task: which column is which of our fields, and what a value means.

The rule: nothing is dropped silently. What has no field, and what has one but is not understood, is kept at the end of
the notes, one `Name: value` after another. Only an export of our own comes back without that. Nothing here reads files.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from app.reading.values import READERS, is_empty, storable, text_of

OWN_COLUMNS = ("id", "title", "notes", "due", "done", "created_at", "updated_at")
# What other programs call our fields, the surest name first, compared without case, spaces and punctuation.
# A column goes to the first field that wants it.
NAMES = {
    "title": """title name task taskname tasktitle todo todoname todoitem subject summary content headline text item
        what description""",
    "done": """done isdone completed iscompleted complete iscomplete duecomplete checked ischecked finished completedat
        completedtime completedon completeddate datecompleted status state taskstatus closed isclosed closedat
        completiondate completiontime""",
    "due": "due duedate dueon dueat dueby duetime duedatetime datedue deadline targetdate date enddate",
    "notes": "notes note description desc body details detail content comments comment memo text",
    "created_at": """createdat created createdon createddate createdtime datecreated dateadded added addedat addedon
        creationdate creationtime entry""",
    "updated_at": """updatedat updated updatedon updateddate updatedtime dateupdated modified modifiedat lastmodified
        datemodified lastmodifieddate modifieddate lastupdated lastedited lasteditedtime datelastactivity""",
}
FIELDS = tuple(NAMES)

# How a spreadsheet program recognises a formula, which it would run.
FORMULA = re.compile(r"'*[=+\-@\t\r]")


class NotATask(Exception):
    """Why a row cannot become a task, in a sentence for the person."""


class Task(NamedTuple):
    """A task as the table has it. What the file does not say is None."""

    title: str
    notes: str
    due: str | None
    done: int
    created_at: str | None
    updated_at: str | None
    id: int | None


@dataclass(frozen=True)
class Places:
    """Where each column goes: its field, or the notes."""

    fields: Mapping[str, str]
    day_first: bool = False


def matched(names: Iterable[str], chosen: Mapping[str, str | None] = {}) -> dict[str, str]:
    """The field of each column that has one: as chosen (None: no column), and by its name for every other field."""
    columns = {name: _plain(name) for name in names}
    fields: dict[str, str] = {}
    for field, name in chosen.items():
        if name in columns:
            fields.setdefault(name, field)
    for field in FIELDS:
        if field in chosen:
            continue
        for wanted in NAMES[field].split():
            column = next((name for name, plain in columns.items() if plain == wanted and name not in fields), None)
            if column is not None:
                fields[column] = field
                break
    return fields


def is_own(names: Iterable[str]) -> bool:
    """Whether these are the columns of our own export."""
    return sorted(names) == sorted(OWN_COLUMNS)


def task_of(record: Mapping[str, Any], places: Places) -> Task:
    """The task that a row of the file is. Raises NotATask."""
    values: dict[str, Any] = {}
    kept: list[tuple[str, Any]] = []
    for name, value in record.items():
        if is_empty(value):
            continue
        field = places.fields.get(name)
        if field is None:
            kept.append((name, value))
            continue
        values[field], says_all = READERS[field](value, places.day_first)
        if not says_all:
            kept.append((name, value))
    if not values.get("title"):
        raise NotATask(
            "It has no title." if "title" in places.fields.values() else "No column is taken for the title: choose one."
        )
    return Task(
        values["title"],
        _with_kept(values.get("notes", ""), kept),
        values.get("due"),
        values.get("done", 0),
        values.get("created_at"),
        values.get("updated_at"),
        values.get("id"),
    )


def harmless(cell: str) -> str:
    """A cell that no spreadsheet program takes for a formula: an apostrophe goes before one, and before its like."""
    return "'" + cell if FORMULA.match(cell) else cell


def restored(cell: str) -> str:
    """The cell that `harmless` was given."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _with_kept(notes: str, kept: list[tuple[str, Any]]) -> str:
    """The notes, and after a blank line what has no other place."""
    if kept:
        lines = "\n".join(f"{' '.join(name.split())}: {text_of(value).strip()}" for name, value in kept)
        notes = f"{notes.rstrip()}\n\n{lines}" if notes else lines
    return storable(notes)
