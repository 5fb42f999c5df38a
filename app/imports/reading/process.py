"""Reads an exported file, as a process: `python -m app.imports.reading.process PATH --name NAME --kind JSON [--check]`.

It is a process of its own so that reading a large file neither blocks the server nor grows it, and can be ended at any
moment. It writes JSON to its standard output, one message on each line, and nothing to the database:

    {"reading": pieces}        at most once a second: it is at work, and has read so many pieces of the file
    {"understood": {...}}      what the file is, its columns with examples, the first rows; with --check it comes once
                               more, and the rows with it, where later rows say something else than the first
    {"columns", "rows": [[...]], "problems": [{"line", "reason"}], "bytes", "size"}     again and again; with --known
                               also "known", of each row: null where it is new, "same" where it is in the data already,
                               or {"id", "version", "columns"}: the row of the data that it changes, and in what
    {"end": {"rows", "problems"}}     how many of each there were; with --known also "known": {"same", "changed",
                               "twice"}, how many rows are in the data, the same or not, and were in the file before
    {"error": "..."}           in the place of everything after it, with exit code 1: the file cannot be read; with a
                               "trace" where it is not the file's fault

A row has a value for each of the columns. With --check the rows are only counted, --choices says how the file is to be
read (`app/imports/reading/values/choices.py`), and what a check has found of its dates in all rows; --known is the file
of the data.

What it tells to be written is bounded by what it has read: a row has at most longest_row(kind) bytes, and all together
have at most GROWTH times the bytes of the text. Otherwise names of columns, which are kept with the value of each row,
would make gigabytes of a few packed kilobytes.
"""

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from app.imports.reading.files import todoist
from app.imports.reading.files.column_names import LONGEST_NAME, MOST_COLUMNS
from app.imports.reading.files.formats import Export, UnreadableFile, opened
from app.imports.reading.files.headers import SAMPLE_ROWS, fields_by_values
from app.imports.reading.known_rows import Known, UnreadableData
from app.imports.reading.values.choices import Choices, choices_of
from app.imports.reading.values.columns import (
    Places,
    Row,
    Unusable,
    columns_beside,
    matched,
    row_of,
)
from app.imports.reading.values.dates import Manner
from app.imports.reading.values.day_order import Evidence, Facts
from app.imports.reading.values.time_zones import zone_named
from app.imports.reading.values.values import is_empty, shortened, text_of
from app.records.kinds import TIMES, Kind, from_json
from server.process_limits import LONGEST_TEXT, limit_this_process

BATCH_ROWS = 1000
# A thousand rows may be long ones, and the server holds a whole message.
BATCH_LETTERS = 1024**2
# As much as a form takes for each value that is no text, in which a row is edited (server/guard/request_bodies.py).
LONGEST_VALUE = 4096
# What a row takes beside its text: times, a key, its place in each index.
ROW_BYTES = 100
# The least that all rows of a file may take, in bytes, and how many bytes more for each byte of its text. A survey with
# long questions and short answers takes twelve times its text, a list of single words ten times.
SMALL_BYTES = 2_000_000
GROWTH = 16
# A packed list counts as at most so many times its size on the disk: what packs better holds the same again and again.
PACKED_GROWTH = 50
PULSE_SECONDS = 1
LONGEST_TRACE = 4000
# Nobody reads more; the rest is counted.
LISTED_PROBLEMS = 1000
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
    limit_this_process()
    try:
        return _tell(options)
    except BrokenPipeError:
        # The server listens no more. Python would complain when it closes its output at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _tell(options: argparse.Namespace) -> int:
    """Write every message, and at the end of a file that cannot be read why; the exit code."""
    try:
        choices = choices_of(options.choices)
        for message in messages(
            options.path, options.name, options.kind, choices, options.check, options.known, _pulse()
        ):
            _write(message)
    except BrokenPipeError:
        raise
    except UnreadableFile as error:
        _write({"error": str(error)})
    except UnreadableData as error:
        _write({"error": f"What is there already cannot be looked at: {error}. Try again."})
    except FileNotFoundError:
        _write({"error": "The uploaded file is gone: its import was cancelled."})
    except MemoryError:
        _write({"error": "Reading the file takes more memory than any list does. Split it, and import the parts."})
    except OSError as error:
        _write(
            {"error": f"The uploaded file cannot be read from the disk: {error.strerror or error}. Upload it again."}
        )
    except Exception:
        words = (
            "There is something in the file that this app fails to read; where it failed is in the log. Export the "
            "list in another format (CSV or JSON), and import that file."
        )
        _write({"error": words, "trace": traceback.format_exc()[-LONGEST_TRACE:]})
    else:
        return 0
    return 1


def messages(
    path: Path,
    name: str,
    kind: Kind,
    choices: Choices,
    check: bool,
    data: Path | None = None,
    on_read: Callable[[], None] = lambda: None,
) -> Iterator[Message]:
    """What there is to say about a file, in turn, beside the rows of `data`. Raises UnreadableFile, UnreadableData."""
    export = opened(path, name, kind, choices, on_read)
    fields = _fields(export, kind, choices)
    days = [column for column, field in fields.items() if field in _fields_of(kind, "day")]
    facts = choices.facts or _facts(export, days, None if not check else SAMPLE_ROWS)
    while True:
        places = _places(export, kind, choices, fields, facts)
        yield {"understood": _understood(export, kind, choices, places, facts)}
        evidence = Evidence(export.columns, days) if check else None
        known = Known(data, path, kind, _given(export, kind, places), export.is_own, on_read) if data else None
        counts = yield from _told(export, kind, places, evidence, known)
        found = evidence.facts() if evidence else facts
        if found == facts:
            yield {"end": counts | ({"known": known.counts} if known else {})}
            return
        facts = found


def _told(
    export: Export, kind: Kind, places: Places, evidence: Evidence | None, known: Known | None
) -> Generator[Message, None, dict[str, Any]]:
    """The rows of a file, those that cannot be used, and how many of each; with evidence the rows are only counted."""
    rows = problems = 0
    results = _results(export, kind, places, evidence)
    batch: list[Row | Problem] | None = None
    # The empty batch at the end says that the file is read to its end.
    while batch != []:
        batch = _batch(results)
        usable = [each for each in batch if isinstance(each, dict)]
        left_out = [each for each in batch if isinstance(each, Problem)]
        met = known.met(usable, is_counted=evidence is not None) if known else []
        yield {
            "columns": kind.columns,
            "rows": len(usable) if evidence else [[each[name] for name in kind.columns] for each in usable],
            **({"known": met} if known and not evidence else {}),
            "problems": [each._asdict() for each in left_out[: max(0, LISTED_PROBLEMS - problems)]],
            "bytes": export.text.position,
            "size": export.text.size,
        }
        rows += len(usable)
        problems += len(left_out)
    return {"rows": rows, "problems": problems}


def longest_row(kind: Kind) -> int:
    """How many bytes the values of a row have together at most: as many as forms can give it."""
    texts = sum(field.reads == "text" for field in kind.fields)
    return max(1, texts) * LONGEST_TEXT + len(kind.columns) * LONGEST_VALUE


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m app.imports.reading.process")
    parser.add_argument("path", type=Path, help="the file on the disk")
    parser.add_argument("--name", required=True, help="what the person calls the file")
    parser.add_argument("--kind", type=from_json, required=True, help="what the rows should become: a kind as JSON")
    parser.add_argument(
        "--choices",
        type=lambda text: json.loads(sys.stdin.readline() if text == "-" else text),
        default={},
        help="how the file is to be read: a JSON object; - for one on the first line of standard input",
    )
    parser.add_argument("--check", action="store_true", help="count the rows, do not write them")
    parser.add_argument("--known", type=Path, help="the file of the data, to say which rows are there already")
    return parser.parse_args()


def _write(message: Message) -> None:
    line = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    sys.stdout.buffer.write(line.encode(errors="replace") + b"\n")
    sys.stdout.buffer.flush()


def _pulse() -> Callable[[], None]:
    """What says now and then that the process is at work."""
    last = time.monotonic()
    pieces = 0

    def beat() -> None:
        nonlocal last, pieces
        pieces += 1
        if time.monotonic() - last >= PULSE_SECONDS:
            last = time.monotonic()
            _write({"reading": pieces})

    return beat


def _fields(export: Export, kind: Kind, choices: Choices) -> dict[str, str]:
    """The field of each column that has one."""
    # With another header or encoding some of the columns that were chosen may be gone.
    chosen = {field: name for field, name in choices.columns.items() if name is None or name in export.columns}
    known: dict[str, str | None] = {}
    if todoist.is_todoist(kind, export.columns):
        known = {field: name for field, name in todoist.COLUMNS.items() if name in export.columns}
    elif export.has_header is False:
        records = [record for _, record in _sample(export)]
        known = {field: name for name, field in fields_by_values(kind, records, chosen).items()}
    fields = matched(kind, export.columns, {**known, **chosen})
    if export.is_own:
        fields["id"] = "id"
    return fields


def _given(export: Export, kind: Kind, places: Places) -> set[str]:
    """The columns that the file says something of in each row."""
    given = {field for name, field in places.fields.items() if name in export.columns}
    return given | ({kind.rest} if kind.rest and len(places.fields) < len(export.columns) else set())


def _facts(export: Export, days: list[str], most: int | None) -> Facts:
    """What the records of a file say of its dates, all of them or so many."""
    evidence = Evidence(export.columns, days)
    for _ in islice(evidence.watched(export.records()), most):
        pass
    return evidence.facts()


def _places(export: Export, kind: Kind, choices: Choices, fields: Mapping[str, str], facts: Facts) -> Places:
    zone = zone_named(choices.zone)
    dated = _fields_of(kind, "day") | _fields_of(kind, "moment")
    manners = {
        column: Manner(
            order=choices.order or facts.orders.get(column, ""),
            zone=zone,
            has_days=column not in facts.instants,
            has_serials=choices.serials == "yes",
        )
        for column, field in fields.items()
        if field in dated
    }
    zone_column, states = columns_beside(fields, export.columns)
    return Places(fields, manners, export.is_own, zone_column, states)


def _fields_of(kind: Kind, reads: str) -> set[str]:
    return {field.name for field in (*kind.fields, *TIMES) if field.reads == reads}


def _understood(export: Export, kind: Kind, choices: Choices, places: Places, facts: Facts) -> Message:
    rows = (each for each in _results(export, kind, places) if isinstance(each, dict))
    examples = _examples(export)
    return {
        "format": export.format,
        "encoding": export.text.encoding,
        "zeros": export.text.zeros,
        "delimiter": export.delimiter,
        "quotes": export.quotes,
        "header": export.has_header,
        "compressed": export.text.compressed,
        "list": export.list_name,
        "other_lists": export.other_lists,
        "more_lists": export.more_lists,
        "columns": [
            {"name": name, "field": places.fields.get(name), "examples": shown} for name, shown in examples.items()
        ],
        "sample": [
            {name: shortened(value, SHOWN_LETTERS) if isinstance(value, str) else value for name, value in row.items()}
            for row in islice(rows, SHOWN_ROWS)
        ],
        "own_export": export.is_own,
        "choices": choices.as_json(),
        "dates": _dates(choices, places, facts, examples),
        "facts": facts._asdict(),
    }


def _dates(choices: Choices, places: Places, facts: Facts, examples: Mapping[str, list[str]]) -> list[Message]:
    """Of each column of dates what a person may have to say of them: their order, where the file does not tell it."""
    return [
        {
            "column": column,
            "order": manner.order if column in facts.orders else None,
            "examples": facts.examples.get(column, []),
            "is_mixed": column in facts.mixed,
            "has_times": any(":" in example for example in examples.get(column, [])),
            "has_serials": column in facts.serials,
        }
        for column, manner in places.manners.items()
    ]


def _examples(export: Export) -> dict[str, list[str]]:
    """A few different values of each column, shortened."""
    examples: dict[str, list[str]] = {name: [] for name in export.columns}
    for _, row in _sample(export):
        for name, value in row.items():
            found = examples.get(name)
            if found is None:
                # Of a row that is longer than the header.
                if len(examples) >= MOST_COLUMNS or len(name) > LONGEST_NAME:
                    continue
                found = examples[name] = []
            if len(found) < EXAMPLES and not is_empty(value):
                example = shortened(" ".join(text_of(value).split()), EXAMPLE_LETTERS)
                if example not in found:
                    found.append(example)
    return examples


def _sample(export: Export) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, record in islice(export.records(), SAMPLE_ROWS):
        if isinstance(record, dict):
            yield line, record


def _results(export: Export, kind: Kind, places: Places, evidence: Evidence | None = None) -> Iterator[Row | Problem]:
    """Each record of the file as a row, or why it is none. Raises UnreadableFile where all of them take too much."""
    room = SMALL_BYTES + GROWTH * _text_bytes(export)
    most = longest_row(kind)
    records = evidence.watched(export.records()) if evidence else export.records()
    if todoist.is_todoist(kind, export.columns):
        records = todoist.tasks_in(records)
    for line, record in records:
        try:
            if isinstance(record, str):
                raise Unusable(record)
            row = row_of(kind, record, places)
            size = _size(row)
            if size > most:
                raise Unusable(
                    f"It has {size / 1e6:.1f} MB of text, and a {kind.noun} has at most {most / 1e6:.0f} MB: shorten "
                    "it, or split it."
                )
        except Unusable as reason:
            yield Problem(line, str(reason))
            continue
        room -= ROW_BYTES + size
        if room < 0:
            raise _too_much(export, kind)
        yield row


def _text_bytes(export: Export) -> int:
    return min(export.text.length, PACKED_GROWTH * export.text.size)


def _too_much(export: Export, kind: Kind) -> UnreadableFile:
    most = SMALL_BYTES + GROWTH * _text_bytes(export)
    return UnreadableFile(
        f"What would be kept of the file takes more than {most / 1e6:,.0f} MB, too much for a file of "
        f"{export.text.size / 1000:,.0f} kB: a column without a field is kept with its name in each of the "
        f"{kind.plural}. Leave out the columns that you do not need or give them shorter names, and take out rows that "
        "say the same again and again; then import it again."
    )


def _size(row: Row) -> int:
    """How many bytes the texts of a row take."""
    return sum(
        len(value) if value.isascii() else len(value.encode(errors="replace"))
        for value in row.values()
        if isinstance(value, str)
    )


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
