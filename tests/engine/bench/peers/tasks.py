"""What the peers share: the two queries of the list, and the words for a due date."""

import os
import sqlite3
from calendar import day_name, month_name
from datetime import date, timedelta
from typing import NamedTuple

# In development a view is tried without the benchmark:
# BENCH_DATABASE=data/app.db uvicorn tests.engine.bench.peers.…:app
DATABASE = os.environ.get("BENCH_DATABASE", "data/app.db")
PAGE_ROWS = 20
STATUSES = {"all": "All", "open": "Open", "done": "Done"}
# Looked up, as strftime takes long.
DAYS = list(day_name)
MONTHS = list(month_name)


class Task(NamedTuple):
    """What a row of the list shows of a task."""

    id: int
    title: str
    due: str | None
    done: int
    has_notes: int


class Due(NamedTuple):
    """How a due date is shown."""

    words: str
    title: str
    kind: str
    late: bool


def connect(path: str = DATABASE) -> sqlite3.Connection:
    """A connection to read with."""
    connection = sqlite3.connect(path, check_same_thread=False)
    connection.execute("PRAGMA query_only = ON")
    return connection


def first_page(connection: sqlite3.Connection) -> tuple[list[Task], bool]:
    """The newest tasks, and whether more follow."""
    rows = connection.execute(
        "SELECT id, title, due, done, notes <> '' AS has_notes FROM tasks ORDER BY id DESC LIMIT ?", [PAGE_ROWS + 1]
    ).fetchall()
    return [Task(*row) for row in rows[:PAGE_ROWS]], len(rows) > PAGE_ROWS


def count_tasks(connection: sqlite3.Connection) -> dict[str, int]:
    """How many tasks there are of each status."""
    counts = dict(connection.execute("SELECT done, tasks FROM task_counts"))
    return {"all": counts[0] + counts[1], "open": counts[0], "done": counts[1]}


def due_label(due: date | str, done: int, today: date) -> Due:
    """When a task is due, in words near today."""
    day = due if isinstance(due, date) else date.fromisoformat(due)
    days = (day - today).days
    near = abs(day - today) < timedelta(days=180) or day.year == today.year
    month = MONTHS[day.month][:3]
    words = {-1: "Yesterday", 0: "Today", 1: "Tomorrow"}.get(days)
    late = days < 0 and not done
    return Due(
        words or (f"{day.day} {month}" if near else f"{day.day} {month} {day.year}"),
        f"{DAYS[day.weekday()]} {day.day} {MONTHS[day.month]} {day.year}",
        "due overdue" if late else "due today" if days == 0 and not done else "due",
        late,
    )
