"""A project exported from Todoist: its rows are not all tasks, for comments and sections stand among them.

A comment goes into the notes of the task before it. A section is no task, but its name goes with the tasks after it.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from app.kinds import Kind
from app.reading.lines import LONGEST_RECORD

# Which column is which of our fields.
COLUMNS = {"title": "CONTENT", "notes": "DESCRIPTION", "due": "DATE"}

# Enough to know a row by.
SHOWN_LETTERS = 60

Record = dict[str, Any]


def is_todoist(kind: Kind, columns: Collection[str]) -> bool:
    """Whether tasks are wanted, and these are the columns of a project that Todoist has exported."""
    return kind.table == "tasks" and {"TYPE", "CONTENT", "INDENT"} <= set(columns)


def tasks_in(rows: Iterable[tuple[int, Record]]) -> Iterator[tuple[int, Record | str]]:
    """The rows that are tasks, with what belongs to them; in the place of any other row, why it is left out."""
    task: tuple[int, Record] | None = None
    section = ""
    for line, row in rows:
        kind = row.pop("TYPE").strip().lower()
        content = row.get("CONTENT", "").strip()
        shown = content[:SHOWN_LETTERS]
        if kind == "note" and task and len(task[1].get("DESCRIPTION", "")) < LONGEST_RECORD:
            _add_comment(task[1], content, row)
            continue
        if task:
            yield task
            task = None
        if kind == "task":
            task = line, _task(row, section)
        elif kind == "section":
            section = content
            yield line, f"“{shown}” is a section, not a task; its name is in the notes of the tasks below it."
        elif kind == "note":
            yield line, f"“{shown}” is a comment, but no task stands above it."
        else:
            yield line, f"“{shown}” is a setting of Todoist, not a task."
    if task:
        yield task


def _task(row: Record, section: str) -> Record:
    # DATE is when to do it, as a date or in words; a task without one is due on its DEADLINE.
    if not row.get("DATE", "").strip():
        row["DATE"] = row.pop("DEADLINE", "")
    return row | {"Section": section}


def _add_comment(task: Record, content: str, row: Record) -> None:
    signature = ", ".join(filter(None, (row.get("AUTHOR", ""), row.get("DATE", ""))))
    comment = f"{content}\n— {signature}" if signature else content
    task["DESCRIPTION"] = "\n\n".join(filter(None, (task.get("DESCRIPTION", ""), comment)))
