"""What an exported file is, and its records one after another: CSV, TSV, JSON, or JSON line by line.

The file's content decides; its name only tells damaged JSON from CSV that begins oddly. A record comes with its place
as an editor counts, the line on which it begins, or for JSON its number within its list. What a record means as a row
of ours is for `app/reading/columns.py`.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from app.kinds import Kind
from app.reading import json_lists
from app.reading.columns import is_own
from app.reading.csv_rows import MOST_COLUMNS, CsvFile
from app.reading.json_lists import DEEPEST
from app.reading.lines import LONGEST_RECORD, Lines
from app.reading.text import TextFile, UnreadableFile

__all__ = ["Export", "UnreadableFile", "opened"]

# As far into the file as its first letter may be.
SAMPLE_LETTERS = 64 * 1024

Record = dict[str, Any]


@dataclass(frozen=True)
class Export:
    """A file that was understood. `records` begins at the first record each time that it is called."""

    text: TextFile
    format: str
    columns: tuple[str, ...]
    records: Callable[[], Iterator[tuple[int, Record]]]
    is_own: bool
    delimiter: str | None = None
    list_name: str | None = None
    other_lists: Mapping[str, int] = field(default_factory=dict)


def opened(path: Path, name: str, kind: Kind) -> Export:
    """The export of a kind in a file that the person calls `name`. Raises UnreadableFile."""
    text = TextFile(path)
    with text.open() as stream:
        beginning = stream.read(SAMPLE_LETTERS).lstrip()
    if not beginning.startswith(("{", "[")) and not name.lower().removesuffix(".gz").endswith(".json"):
        return _csv(text, kind)
    return _json_lines(text, kind) if _is_json_lines(text) else _json(text, kind)


def _csv(text: TextFile, kind: Kind) -> Export:
    file = CsvFile(text, kind)
    format = "TSV" if file.delimiter == "\t" else "CSV"
    return Export(text, format, file.columns, file.records, file.is_own, file.delimiter)


def _json(text: TextFile, kind: Kind) -> Export:
    best, *others = json_lists.lists_in(text.open, kind)

    def records() -> Iterator[tuple[int, Record]]:
        for number, value in enumerate(json_lists.objects_of(text.open, best.path), 1):
            yield number, _record(value)

    other_lists = {each.name: each.rows for each in others if each.name}
    return Export(
        text, "JSON", tuple(best.names), records, is_own(kind, best.names), list_name=best.name, other_lists=other_lists
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
    def records() -> Iterator[tuple[int, Record]]:
        with text.open() as stream:
            lines = Lines(stream)
            for line in lines:
                if not line.isspace():
                    yield lines.first, _record(_parsed(line, lines.first))
                lines.next_record()

    # Every line is read once before any is used: a name that comes late is a column too, and a late mistake is known.
    columns: dict[str, None] = {}
    for line, record in records():
        columns.update(dict.fromkeys(record))
        if len(columns) > MOST_COLUMNS:
            raise UnreadableFile(
                f"Up to line {line:,} the file has more than {MOST_COLUMNS:,} different names. Expected "
                f"{kind.plural}, each with a few named values."
            )
    return Export(text, "newline JSON", tuple(columns), records, is_own(kind, columns))


def _record(value: Any) -> Record:
    """An object as it is; a bare value between objects has no name, and will be reported as having no title."""
    return value if isinstance(value, dict) else {"": value}


def _parsed(line: str, number: int) -> Any:
    try:
        value = _JSON.decode(line)
    except RecursionError:
        raise _too_deep(number) from None
    except ValueError as error:
        # The other mistakes are numbers: NaN, Infinity, and those of thousands of digits.
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "a number in it is none"
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
    raise ValueError(constant)


_JSON = json.JSONDecoder(parse_constant=_refuse)
