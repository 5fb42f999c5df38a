"""Comments and sections of Todoist go with their tasks, and every other row says why it is left out."""

from typing import Any

from app.imports.reading.files.todoist import LONGEST_NOTES, is_todoist, tasks_in
from app.tasks import KIND

COLUMNS = ["TYPE", "CONTENT", "DESCRIPTION", "INDENT", "AUTHOR", "DATE", "DEADLINE"]


def told(*rows: str) -> list[tuple[int, Any]]:
    return list(tasks_in((line, dict(zip(COLUMNS, row.split(","), strict=False))) for line, row in enumerate(rows, 2)))


def test_todoist_is_known_by_its_columns() -> None:
    assert is_todoist(KIND, COLUMNS)
    assert not is_todoist(KIND._replace(table="books"), COLUMNS)
    assert not is_todoist(KIND, ["type", "content"])


def test_a_comment_goes_into_the_notes_of_the_task_before_it() -> None:
    ((line, task),) = told("task,Milk,Oat,1", "note,Two litres,,,Ada (1),2026-04-02", "note,Or three,,")
    assert (line, task["DESCRIPTION"]) == (2, "Oat\n\nTwo litres\n— Ada (1), 2026-04-02\n\nOr three")
    ((_, task),) = told("task,Milk,,1", "note,Two litres,,")
    assert task["DESCRIPTION"] == "Two litres"


def test_a_section_goes_with_the_tasks_after_it() -> None:
    rows = told("task,Milk,,1", "section,Garden,,", "task,Tomatoes,,1", "task,Beans,,2")
    assert [(line, row["Section"]) for line, row in rows if isinstance(row, dict)] == [
        (2, ""),
        (4, "Garden"),
        (5, "Garden"),
    ]
    assert rows[1] == (3, "“Garden” is a section, not a task; its name is in the notes of the tasks below it.")


def test_what_is_no_task_says_why() -> None:
    rows = told("meta,view_style=list", "note,Hello,,", "section,A,,", "note,Again,,")
    assert [line for line, _ in rows] == [2, 3, 4, 5]
    assert [reason.split(" is ")[1] for _, reason in rows] == [
        "a setting of Todoist, not a task.",
        "a comment, but no task stands above it.",
        "a section, not a task; its name",
        "a comment, but no task stands above it.",
    ]


def test_a_task_without_a_date_is_due_on_its_deadline() -> None:
    rows = told("task,Milk,,1,,,2026-05-01", "task,Bread,,1,,every day,2026-05-01")
    assert [(row["DATE"], row.get("DEADLINE")) for _, row in rows] == [
        ("2026-05-01", None),
        ("every day", "2026-05-01"),
    ]


def test_comments_without_end_are_left_out() -> None:
    long = "x" * (LONGEST_NOTES // 2)
    *problems, (_, task) = told("task,Milk,,1", *[f"note,{long},,"] * 4)
    assert LONGEST_NOTES // 2 <= len(task["DESCRIPTION"]) < 2 * LONGEST_NOTES
    assert len(problems) > 1


def test_many_comments_take_no_longer_than_few() -> None:
    rows = told("task,Milk,,1", *["note,abcdefgh,,"] * 100_000)
    assert len(rows[-1][1]["DESCRIPTION"]) == 100_000 * 10 - 2


def test_what_a_row_does_not_say_is_empty() -> None:
    rows: list[dict[str, Any] | str] = [
        {"CONTENT": "Milk", "TYPE": "task", "DESCRIPTION": None, "DATE": None},
        {"CONTENT": "Oat", "TYPE": "note", "AUTHOR": None, "DATE": None},
        {"CONTENT": "Two lines", "INDENT": 1},
        dict.fromkeys(COLUMNS),
        {"CONTENT": ["a"], "TYPE": 7},
    ]
    found = list(tasks_in(enumerate(rows, 1)))
    assert [each if isinstance(each, str) else (each["CONTENT"], each["DESCRIPTION"]) for _, each in found] == [
        ("Milk", "Oat"),
        ("Two lines", ""),
        '“["a"]” is a setting of Todoist, not a task.',
    ]
