"""The process that reads an exported file: `python -m app.reading.rows PATH --name NAME [--columns JSON] [--check]`.

It is a process of its own so that reading a large file neither blocks the server nor grows it, and can be ended at any
moment. It writes JSON to its standard output, one message on each line, and nothing to the database:

    {"understood": {...}}      what the file is, its columns with examples, the first tasks
    {"rows": [[...]], "problems": [{"line", "reason"}], "bytes", "size"}     again and again
    {"end": {"rows", "problems"}}     how many of each there were
    {"error": "..."}           in the place of everything after it, with exit code 1: the file cannot be read

A row is title, notes, due, done, created_at, updated_at, id. With --check the rows are only counted.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from app.reading import dates, todoist
from app.reading.columns import NotATask, Places, Task, matched, task_of
from app.reading.formats import Export, UnreadableFile, opened
from app.reading.values import is_empty, text_of

BATCH_ROWS = 1000
# A thousand rows may be long ones, and the server holds a whole message.
BATCH_LETTERS = 1024**2
# Nobody reads more; the rest is counted.
LISTED_PROBLEMS = 1000
# As many rows as are looked at for examples, and for which number of 01/05/2026 is the day.
SAMPLE_ROWS = 1000
EXAMPLES = 3
EXAMPLE_LETTERS = 60
SHOWN_TASKS = 5
SHOWN_NOTES = 500

Message = dict[str, Any]


class Problem(NamedTuple):
    """Why a row is left out."""

    line: int
    reason: str


def main() -> int:
    options = _options()
    try:
        for message in messages(options.path, options.name, options.columns, options.check):
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


def messages(path: Path, name: str, chosen: Mapping[str, str | None], check: bool) -> Iterator[Message]:
    """What there is to say about a file, in turn. Raises UnreadableFile."""
    export = opened(path, name)
    places = _places(export, chosen)
    yield {"understood": _understood(export, places)}
    rows = problems = 0
    results = _results(export, places)
    batch: list[Task | Problem] | None = None
    # The empty batch at the end says that the file is read to its end.
    while batch != []:
        batch = _batch(results)
        tasks = [each for each in batch if isinstance(each, Task)]
        left_out = [each for each in batch if isinstance(each, Problem)]
        yield {
            "rows": len(tasks) if check else tasks,
            "problems": [each._asdict() for each in left_out[: max(0, LISTED_PROBLEMS - problems)]],
            "bytes": export.text.position,
            "size": export.text.size,
        }
        rows += len(tasks)
        problems += len(left_out)
    yield {"end": {"rows": rows, "problems": problems}}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m app.reading.rows")
    parser.add_argument("path", type=Path, help="the file on the disk")
    parser.add_argument("--name", required=True, help="what the person calls the file")
    parser.add_argument("--columns", type=json.loads, default={}, help="the column of a field, or null: a JSON object")
    parser.add_argument("--check", action="store_true", help="count the rows, do not write them")
    return parser.parse_args()


def _write(message: Message) -> None:
    line = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    sys.stdout.buffer.write(line.encode(errors="replace") + b"\n")
    sys.stdout.buffer.flush()


def _places(export: Export, chosen: Mapping[str, str | None]) -> Places:
    for column in chosen.values():
        if column is not None and column not in export.columns:
            raise UnreadableFile(f"The file has no column “{column}”. Choose one of its columns.")
    known = todoist.COLUMNS if todoist.is_todoist(export.columns) else {}
    fields = matched(export.columns, {**known, **chosen})
    if export.is_own:
        fields["id"] = "id"
    due = next((column for column, field in fields.items() if field == "due"), "")
    return Places(fields, dates.is_day_first(text_of(row.get(due)) for _, row in _sample(export)))


def _understood(export: Export, places: Places) -> Message:
    tasks = (each for each in _results(export, places) if isinstance(each, Task))
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
            task._replace(notes=_short(task.notes, SHOWN_NOTES))._asdict() for task in islice(tasks, SHOWN_TASKS)
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
                example = _short(" ".join(text_of(value).split()), EXAMPLE_LETTERS)
                if example not in found:
                    found.append(example)
    return examples


def _sample(export: Export) -> Iterator[tuple[int, dict[str, Any]]]:
    return islice(export.records(), SAMPLE_ROWS)


def _results(export: Export, places: Places) -> Iterator[Task | Problem]:
    """Each row of the file as a task, or why it is none."""
    rows: Iterable[tuple[int, dict[str, Any] | str]] = export.records()
    if todoist.is_todoist(export.columns):
        rows = todoist.tasks_in(export.records())
    for line, row in rows:
        try:
            if isinstance(row, str):
                raise NotATask(row)
            yield task_of(row, places)
        except NotATask as reason:
            yield Problem(line, str(reason))


def _batch(results: Iterator[Task | Problem]) -> list[Task | Problem]:
    batch: list[Task | Problem] = []
    letters = 0
    for each in islice(results, BATCH_ROWS):
        batch.append(each)
        letters += len(each.notes if isinstance(each, Task) else each.reason)
        if letters > BATCH_LETTERS:
            break
    return batch


def _short(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: letters - 1] + "…"


if __name__ == "__main__":
    sys.exit(main())
