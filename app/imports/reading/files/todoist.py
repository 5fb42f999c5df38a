"""A project exported from Todoist: its rows are not all tasks, for comments and sections stand among them.

A comment goes into the notes of the task before it. A section is no task, but its name goes with the tasks after it.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from app.imports.reading.values.values import shortened, text_of
from app.records.kinds import Kind
from templates.parts.text_direction import quoted

# Which column is which of our fields.
COLUMNS = {"title": "CONTENT", "notes": "DESCRIPTION", "due": "DATE"}
# Files may leave out some of the others, or have them in another order.
OTHERS = {"INDENT", "PRIORITY", "AUTHOR", "RESPONSIBLE", "DATE_LANG", "DEADLINE", "TIMEZONE", "VIEW_STYLE"}

# Enough to know a row by.
SHOWN_LETTERS = 60
# Its name is kept with every task in it.
LONGEST_SECTION = 200
# As much as a form takes.
LONGEST_NOTES = 1024**2

Record = dict[str, Any]


def is_todoist(kind: Kind, columns: Collection[str]) -> bool:
    """Whether tasks are wanted, and these are the columns of a project that Todoist has exported."""
    return kind.table == "tasks" and {"TYPE", "CONTENT"} <= set(columns) and not OTHERS.isdisjoint(columns)


class _Task:
    """A task, and the comments on it so far."""

    def __init__(self, line: int, record: Record) -> None:
        self.line = line
        self.record = record
        self._notes = [_text(record, "DESCRIPTION")]
        self._letters = len(self._notes[0])

    def add(self, comment: str) -> bool:
        """One more comment; False where it would be too much."""
        self._letters += len(comment)
        if self._letters > LONGEST_NOTES:
            return False
        self._notes.append(comment)
        return True

    def whole(self) -> tuple[int, Record]:
        """The task with its comments."""
        return self.line, self.record | {"DESCRIPTION": "\n\n".join(filter(None, self._notes))}


def tasks_in(rows: Iterable[tuple[int, Record | str]]) -> Iterator[tuple[int, Record | str]]:
    """The rows that are tasks, with what belongs to them; in the place of any other row, why it is left out."""
    task: _Task | None = None
    section = ""
    for line, row in rows:
        if isinstance(row, str):
            yield line, row
            continue
        kind = _text(row, "TYPE").lower()
        content = _text(row, "CONTENT")
        shown = quoted(content, SHOWN_LETTERS)
        if kind == "note" and task:
            if not task.add(_comment(content, row)):
                yield line, f"{shown} is a comment, and the task above it has more than 1 MB of them already."
            continue
        if task:
            yield task.whole()
            task = None
        if kind == "task" or (content and not kind):
            # A line may end before it says what it is.
            task = _Task(line, _task(row, section))
        elif kind == "section":
            section = shortened(content, LONGEST_SECTION)
            yield line, f"{shown} is a section, not a task; its name is in the notes of the tasks below it."
        elif not kind:
            continue
        elif kind == "note":
            yield line, f"{shown} is a comment, but no task stands above it."
        else:
            yield line, f"{shown} is a setting of Todoist, not a task."
    if task:
        yield task.whole()


def _task(row: Record, section: str) -> Record:
    rest = {name: value for name, value in row.items() if name != "TYPE"}
    # DATE is when to do it, as a date or in words; a task without one is due on its DEADLINE.
    if not _text(row, "DATE"):
        rest["DATE"] = rest.pop("DEADLINE", "")
    return rest | {"Section": section}


def _comment(content: str, row: Record) -> str:
    signature = ", ".join(filter(None, (_text(row, "AUTHOR"), _text(row, "DATE"))))
    return f"{content}\n— {signature}" if signature else content


def _text(row: Record, name: str) -> str:
    """A value as text: a line may end before it, and JSON may have anything there."""
    value = row.get(name)
    return "" if value is None else text_of(value).strip()
