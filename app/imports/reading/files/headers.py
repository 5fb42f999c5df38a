"""Whether a file of rows says what its columns are: the line with their names, or that there is none.

A line that names a field of the kind is the header, and one with a value in it, such as a date, is none. Where neither
tells, a table has a header and a list of one column has none. A person sees which, and may say otherwise.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from app.imports.reading.values.columns import matched
from app.imports.reading.values.date_forms import written
from app.imports.reading.values.dates import PLAIN
from app.imports.reading.values.values import (
    READERS,
    is_empty,
    is_yes_or_no,
    text_of,
)
from app.records.kinds import Field, Kind

# TickTick writes three rows before the header, Excel one, Asana's sheets four.
ROWS_BEFORE_HEADER = 20
# As many rows as are looked at for what a column without a name holds.
SAMPLE_ROWS = 1000
# Numbers, addresses of pages, of mail, and what programs give as keys: none is the name of a column.
VALUE = re.compile(r"[-+]?[\d.,:%€$£ ]*\d[\d.,:%€$£ ]*|https?://\S+|\S+@\S+\.\S+", re.ASCII)
# What spreadsheets write in a cell that is ticked or not.
YES_OR_NO = {
    "true",
    "false",
    "yes",
    "no",
    "wahr",
    "falsch",
    "ja",
    "nein",
    "vrai",
    "faux",
    "oui",
    "non",
    "verdadero",
    "falso",
}


def header_at(rows: Sequence[list[str]], kind: Kind) -> int:
    """Which row is the header: the first that names the first field or has two cells filled. Before it are remarks."""
    for number, cells in enumerate(rows[: ROWS_BEFORE_HEADER + 1]):
        if sum(map(bool, map(str.strip, cells))) > 1 or kind.fields[0].name in matched(kind, cells).values():
            return number
    return 0


def is_header(cells: Sequence[str], rows: Sequence[Sequence[str]], kind: Kind) -> bool:
    """Whether these cells are names; `rows` are those that come next."""
    fields = matched(kind, cells)
    if kind.fields[0].name in fields.values() or any(not is_yes_or_no(cell) for cell in fields):
        return True
    if any(_is_value(cell) or _comes_again(number, cell, rows) for number, cell in enumerate(cells)):
        return False
    return max(map(len, (cells, *rows))) > 1


def fields_by_values(
    kind: Kind, records: Sequence[Mapping[str, Any]], taken: Mapping[str, str | None]
) -> dict[str, str]:
    """The field of each column of a file without a header, by what is in it: days, yes or no, the first text."""
    columns: dict[str, list[str]] = {}
    for record in islice(records, SAMPLE_ROWS):
        for name, value in record.items():
            if not is_empty(value):
                columns.setdefault(name, []).append(text_of(value))
    spare = [field for field in kind.fields if field.name not in taken]
    fields: dict[str, str] = {}
    for name, values in columns.items():
        if name in taken.values():
            continue
        field = _fitting(spare, values, is_first=kind.fields[0] in spare)
        if field:
            spare.remove(field)
            fields[name] = field.name
    return fields


def _fitting(spare: Sequence[Field], values: Sequence[str], *, is_first: bool) -> Field | None:
    """The field that takes such values: one of their type, or the field that names a row, where it takes anything."""
    for field in spare:
        if field.reads == "day" and all(written(value) for value in values):
            return field
        if field.reads in ("done", "yes_or_no") and all(map(is_yes_or_no, values)):
            return field
        if field.reads in ("whole_number", "number") and all(READERS[field.reads](each, PLAIN)[1] for each in values):
            return field
    is_text = not all(map(_is_value, values))
    return spare[0] if is_text and is_first and spare[0].reads in ("title", "line", "text") else None


def _is_value(cell: str) -> bool:
    """Whether a cell holds what no column is called; one may be called `Done`."""
    cell = cell.strip()
    is_word = cell.casefold() in YES_OR_NO
    return bool(cell) and (is_word or VALUE.fullmatch(cell) is not None or written(cell) is not None)


def _comes_again(number: int, cell: str, rows: Sequence[Sequence[str]]) -> bool:
    return bool(cell.strip()) and any(number < len(row) and row[number] == cell for row in rows)
