"""The file that every system reads: 10,000 tasks, made with the app's own migrations."""

import sqlite3
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

TASKS = 10_000
# Text as people write it: short and long, with the characters that HTML escapes, and not only ASCII.
TITLES = (
    "Renew the passport",
    "Call Zoë about the flat",
    "Bread & butter, 2 × milk",
    'Read "The Left Hand of Darkness"',
    "Compare offers: a < b < c?",
    "Write to the landlord about the heating, which has been cold since Tuesday",
    "Pay the dentist's bill",
    "Backup",
)


def make(directory: Path) -> Path:
    """Make the file in `directory`; its path. The first page has every kind of row: late, today, done, with notes."""
    from app.database.preparation import prepare
    from app.migrations import migrations

    path = prepare(directory, migrations)
    today = date.today()
    rows = [
        (
            f"{TITLES[number % len(TITLES)]} ({number})",
            "Ask for the *small* one." if number % 3 == 0 else "",
            None if number % 4 == 0 else (today + timedelta(days=number % 11 - 4)).isoformat(),
            int(number % 5 == 0),
        )
        for number in range(TASKS)
    ]
    with closing(sqlite3.connect(path)) as connection:
        connection.executemany("INSERT INTO tasks (title, notes, due, done) VALUES (?, ?, ?, ?)", rows)
        connection.commit()
        connection.execute("ANALYZE")
    return path
