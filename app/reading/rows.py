"""The process that reads an exported file: `python -m app.reading.rows PATH --name NAME --kind JSON [--check]`.

It is a process of its own so that reading a large file neither blocks the server nor grows it, and can be ended at any
moment. It writes JSON to its standard output, one message on each line, and nothing to the database:

    {"understood": {...}}      what the file is, its columns with examples, the first rows
    {"rows": [[...]], "problems": [{"line", "reason"}], "bytes", "size"}     again and again
    {"end": {"rows", "problems"}}     how many of each there were
    {"error": "..."}           in the place of everything after it, with exit code 1: the file cannot be read

A row has a value for each column of the kind. With --check the rows are only counted, --columns says which column is
which field.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from app.kinds import Kind, from_json
from app.reading import dates, todoist
from app.reading.columns import Places, Row, Unusable, matched, row_of
from app.reading.formats import Export, UnreadableFile, opened
from app.reading.values import is_empty, shortened, text_of

BATCH_ROWS = 1000
# A thousand rows may be long ones, and the server holds a whole message.
BATCH_LETTERS = 1024**2
# Nobody reads more; the rest is counted.
LISTED_PROBLEMS = 1000
# As many rows as are looked at for examples, and for which number of 01/05/2026 is the day.
SAMPLE_ROWS = 1000
EXAMPLES = 3
EXAMPLE_LETTERS = 60
SHOWN_ROWS = 5
SHOWN_LETTERS = 500

Message = dict[str, Any]


class Problem(NamedTuple):
    """Why a row is left out."""

    line: int
    reason: str


def main() -> int:
    options = _options()
    try:
        for message in messages(options.path, options.name, options.kind, options.columns, options.check):
            _write(message)
    except UnreadableFile as error:
        _write({"error": str(error)})
        return 1
    except FileNotFoundError:
        _write({"error": "The uploaded file is gone: its import was cancelled."})
        return 1
    except BrokenPipeError:
        # The server listens no more. Python would complain when it closes its output at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def messages(path: Path, name: str, kind: Kind, chosen: Mapping[str, str | None], check: bool) -> Iterator[Message]:
    """What there is to say about a file, in turn. Raises UnreadableFile."""
    export = opened(path, name, kind)
    places = _places(export, kind, chosen)
    yield {"understood": _understood(export, kind, places)}
    rows = problems = 0
    results = _results(export, kind, places)
    batch: list[Row | Problem] | None = None
    # The empty batch at the end says that the file is read to its end.
    while batch != []:
        batch = _batch(results)
        usable = [list(each.values()) for each in batch if isinstance(each, dict)]
        left_out = [each for each in batch if isinstance(each, Problem)]
        yield {
            "rows": len(usable) if check else usable,
            "problems": [each._asdict() for each in left_out[: max(0, LISTED_PROBLEMS - problems)]],
            "bytes": export.text.position,
            "size": export.text.size,
        }
        rows += len(usable)
        problems += len(left_out)
    yield {"end": {"rows": rows, "problems": problems}}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m app.reading.rows")
    parser.add_argument("path", type=Path, help="the file on the disk")
    parser.add_argument("--name", required=True, help="what the person calls the file")
    parser.add_argument("--kind", type=from_json, required=True, help="what the rows should become: a kind as JSON")
    parser.add_argument("--columns", type=json.loads, default={}, help="the column of a field, or null: a JSON object")
    parser.add_argument("--check", action="store_true", help="count the rows, do not write them")
    return parser.parse_args()


def _write(message: Message) -> None:
    line = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    sys.stdout.buffer.write(line.encode(errors="replace") + b"\n")
    sys.stdout.buffer.flush()


def _places(export: Export, kind: Kind, chosen: Mapping[str, str | None]) -> Places:
    for column in chosen.values():
        if column is not None and column not in export.columns:
            raise UnreadableFile(f"The file has no column “{column}”. Choose one of its columns.")
    known = todoist.COLUMNS if todoist.is_todoist(kind, export.columns) else {}
    fields = matched(kind, export.columns, {**known, **chosen})
    if export.is_own:
        fields["id"] = "id"
    days = {field.name for field in kind.fields if field.reads == "day"}
    day = next((column for column, field in fields.items() if field in days), "")
    return Places(fields, dates.is_day_first(text_of(row.get(day)) for _, row in _sample(export)))


def _understood(export: Export, kind: Kind, places: Places) -> Message:
    rows = (each for each in _results(export, kind, places) if isinstance(each, dict))
    return {
        "format": export.format,
        "encoding": export.text.encoding,
        "delimiter": export.delimiter,
        "compressed": export.text.compressed,
        "list": export.list_name,
        "other_lists": export.other_lists,
        "columns": [
            {"name": name, "field": places.fields.get(name), "examples": examples}
            for name, examples in _examples(export).items()
        ],
        "sample": [
            {name: shortened(value, SHOWN_LETTERS) if isinstance(value, str) else value for name, value in row.items()}
            for row in islice(rows, SHOWN_ROWS)
        ],
        "own_export": export.is_own,
    }


def _examples(export: Export) -> dict[str, list[str]]:
    """A few different values of each column, shortened."""
    examples: dict[str, list[str]] = {name: [] for name in export.columns}
    for _, row in _sample(export):
        for name, value in row.items():
            found = examples.setdefault(name, [])
            if len(found) < EXAMPLES and not is_empty(value):
                example = shortened(" ".join(text_of(value).split()), EXAMPLE_LETTERS)
                if example not in found:
                    found.append(example)
    return examples


def _sample(export: Export) -> Iterator[tuple[int, dict[str, Any]]]:
    return islice(export.records(), SAMPLE_ROWS)


def _results(export: Export, kind: Kind, places: Places) -> Iterator[Row | Problem]:
    """Each record of the file as a row, or why it is none."""
    records: Iterable[tuple[int, dict[str, Any] | str]] = export.records()
    if todoist.is_todoist(kind, export.columns):
        records = todoist.tasks_in(export.records())
    for line, record in records:
        try:
            if isinstance(record, str):
                raise Unusable(record)
            yield row_of(kind, record, places)
        except Unusable as reason:
            yield Problem(line, str(reason))


def _batch(results: Iterator[Row | Problem]) -> list[Row | Problem]:
    batch: list[Row | Problem] = []
    letters = 0
    for each in islice(results, BATCH_ROWS):
        batch.append(each)
        letters += sum(len(value) for value in each.values() if isinstance(value, str)) if isinstance(each, dict) else 0
        if letters > BATCH_LETTERS:
            break
    return batch


if __name__ == "__main__":
    sys.exit(main())
