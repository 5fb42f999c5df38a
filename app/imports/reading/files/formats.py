"""What an exported file is, and its records one after another: CSV, TSV, JSON, or JSON line by line.

The file's content decides; its name only tells damaged JSON from CSV that begins oddly. A record comes with its place
as an editor counts, the line on which it begins, or for JSON its number within its list. What a record means as a row
of ours is for `app/imports/reading/values/columns.py`.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn

from app.imports.reading.files import json_lists
from app.imports.reading.files.column_names import Names, shown
from app.imports.reading.files.csv_rows import CsvFile
from app.imports.reading.files.json_lists import DEEPEST, LONGEST_EXPONENT, LONGEST_NUMBER
from app.imports.reading.text.decoding import TextFile, UnreadableFile
from app.imports.reading.text.lines import LONGEST_RECORD, Lines
from app.imports.reading.values.choices import NONE, Choices
from app.imports.reading.values.columns import is_own
from app.imports.reading.values.values import shortened
from app.records.kinds import Kind

__all__ = ["Export", "UnreadableFile", "opened"]

# As far into the file as its first letter may be.
SAMPLE_LETTERS = 64 * 1024
# A file of other lists may have a thousand of them; the person is told of the longest.
TOLD_LISTS = 20
LONGEST_LIST_NAME = 100

Record = dict[str, Any]


@dataclass(frozen=True)
class Export:
    """A file that was understood. `records` begins at the first record each time that it is called.

    In the place of a record there may be a sentence that says why it is none.
    """

    text: TextFile
    format: str
    columns: tuple[str, ...]
    records: Callable[[], Iterator[tuple[int, Record | str]]]
    is_own: bool
    delimiter: str | None = None
    quotes: str | None = None
    has_header: bool | None = None
    list_name: str | None = None
    other_lists: Mapping[str, int] = field(default_factory=dict)
    more_lists: int = 0


def opened(
    path: Path,
    name: str,
    kind: Kind,
    choices: Choices = NONE,
    on_read: Callable[[], None] = lambda: None,
) -> Export:
    """The export of a kind in a file that the person calls `name`. Raises UnreadableFile.

    `on_read` is called after each piece that was read.
    """
    text = TextFile(path, on_read, choices.encoding)
    with text.open() as stream:
        beginning = stream.read(SAMPLE_LETTERS).lstrip()
    if not beginning.startswith(("{", "[")) and not name.lower().removesuffix(".gz").endswith(".json"):
        return _csv(text, kind, choices)
    return _json_lines(text, kind) if _is_json_lines(text) else _json(text, kind)


def _csv(text: TextFile, kind: Kind, choices: Choices) -> Export:
    file = CsvFile(text, kind, choices)
    format = "TSV" if file.delimiter == "\t" else "CSV"
    return Export(
        text,
        format,
        file.columns,
        file.records,
        file.is_own,
        file.delimiter,
        file.quotes,
        file.has_header,
    )


def _json(text: TextFile, kind: Kind) -> Export:
    best, *others = json_lists.lists_in(text.open, kind)
    columns = shown(tuple(best.names))
    renamed = _renamed(columns)

    def records() -> Iterator[tuple[int, Record]]:
        for number, value in enumerate(json_lists.objects_of(text.open, best.path), 1):
            yield number, _record(value, renamed)

    other_lists = {
        shortened(each.name, LONGEST_LIST_NAME): each.rows
        for each in sorted(others, key=lambda each: -each.rows)[:TOLD_LISTS]
        if each.name
    }
    return Export(
        text,
        "JSON",
        tuple(columns.values()),
        records,
        is_own(kind, best.names),
        list_name=shortened(best.name, LONGEST_LIST_NAME) if best.name else None,
        other_lists=other_lists,
        more_lists=max(0, len(others) - TOLD_LISTS),
    )


def _is_json_lines(text: TextFile) -> bool:
    """Whether the first line is a whole object and another one begins after it."""
    with text.open() as stream:
        lines = (line for line in iter(lambda: stream.readline(LONGEST_RECORD), "") if not line.isspace())
        first, second = next(lines, ""), next(lines, "")
    try:
        return isinstance(json.loads(first), dict) and second.lstrip().startswith("{")
    except (ValueError, RecursionError):
        return False


def _json_lines(text: TextFile, kind: Kind) -> Export:
    renamed: dict[str, str] = {}

    def records() -> Iterator[tuple[int, Record]]:
        with text.open() as stream:
            lines = Lines(stream)
            for line in lines:
                if not line.isspace():
                    yield lines.first, _record(_parsed(line, lines.first), renamed)
                lines.next_record()

    # Every line is read once before any is used: a name that comes late is a column too, and a late mistake is known.
    names = Names(kind.plural)
    for line, record in records():
        names.add(record, line)
    columns = shown(tuple(names.found))
    renamed |= _renamed(columns)
    return Export(text, "newline JSON", tuple(columns.values()), records, is_own(kind, names.found))


def _renamed(columns: Mapping[str, str]) -> dict[str, str]:
    return {name: shown for name, shown in columns.items() if shown != name}


def _record(value: Any, renamed: Mapping[str, str]) -> Record:
    """An object by its names as they are shown; a bare value has none, and will be reported as having no title."""
    if not isinstance(value, dict):
        return {"": value}
    return {renamed.get(name, name): each for name, each in value.items()} if renamed else value


def _parsed(line: str, number: int) -> Any:
    try:
        value = _JSON.decode(line)
    except RecursionError:
        raise _too_deep(number) from None
    except ValueError as error:
        # The other mistakes are numbers: NaN, Infinity, and those that are too long.
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise UnreadableFile(
            f"Line {number:,} is not valid JSON: {reason}. Expected one object on each line; export the file again, or "
            "mend that line in a text editor."
        ) from None
    # Counting the signs is fast, and hardly any line has so many.
    if line.count("[") + line.count("{") > DEEPEST and _is_too_deep(value):
        raise _too_deep(number)
    return value


def _too_deep(number: int) -> UnreadableFile:
    return UnreadableFile(
        f"The JSON on line {number:,} is nested more than {DEEPEST} deep, which is no list. Expected one object on "
        "each line, with a few named values."
    )


def _is_too_deep(value: Any) -> bool:
    """Level by level, as a value may be nested deeper than calls can be."""
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for each in level for inner in _inner(each)]
    return bool(level)


def _inner(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _decimal(written: str) -> Decimal:
    """A number with a point or an exponent, as it is written."""
    if len(written) > LONGEST_NUMBER or len(written.lower().partition("e")[2].lstrip("+-")) > LONGEST_EXPONENT:
        raise ValueError("a number in it is too long")
    return Decimal(written)


def _whole(written: str) -> int:
    if len(written) > LONGEST_NUMBER:
        raise ValueError("a number in it is too long")
    return int(written)


_JSON = json.JSONDecoder(parse_constant=_refuse, parse_float=_decimal, parse_int=_whole)
