"""How tasks look: addresses, dates, escaping, and what is drawn once."""

from datetime import UTC, date
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from templates.tasks import (
    KEPT_TITLE,
    SORTS,
    STATUSES,
    Task,
    TaskInput,
    TaskList,
    TaskQuery,
    TaskRow,
    due_label,
    edit_form,
    task_detail,
    task_list,
    task_row,
)

TODAY = date(2030, 6, 15)


@given(st.text(max_size=30), st.sampled_from(list(STATUSES)), st.sampled_from(list(SORTS)), st.integers(1, 10**6))
def test_the_address_of_a_list_names_it_wholly(q: str, status: str, sort: str, page: int) -> None:
    query = TaskQuery(q, status, sort, page)
    given = dict(parse_qsl(urlsplit(query.url(page=page)).query))
    back = TaskQuery(
        given.get("q", ""), given.get("status", "all"), given.get("sort", "newest"), int(given.get("page", 1))
    )
    assert back == query
    assert "page" not in query.url(status="all")


@pytest.mark.parametrize(
    ("due", "done", "words", "cls"),
    [
        ("2030-06-14", 0, "Yesterday", "due overdue"),
        ("2030-06-15", 0, "Today", "due today"),
        ("2030-06-16", 0, "Tomorrow", "due"),
        ("2030-06-01", 0, "1 Jun", "due overdue"),
        ("2030-06-01", 1, "1 Jun", "due"),
        ("2030-06-15", 1, "Today", "due"),
        ("2031-12-24", 0, "24 Dec 2031", "due"),
        ("1999-01-02", 0, "2 Jan 1999", "due overdue"),
    ],
)
def test_a_due_date_is_said_as_a_person_would(due: str, done: int, words: str, cls: str) -> None:
    label = str(due_label(due, done, TODAY))
    assert f'class="{cls}"' in label
    assert f"{words}</time>" in label
    assert ("Overdue: " in label) == ("overdue" in cls)


def test_a_row_is_drawn_once_a_day() -> None:
    row = TaskRow(1, "Title", "2030-06-15", 0, 1)
    assert task_row(row, TODAY) is task_row(TaskRow(*row), TODAY)
    assert task_row(row, TODAY) != task_row(row, date(2030, 6, 16))


@given(st.text(min_size=1), st.text())
def test_no_text_of_a_person_becomes_a_tag(title: str, notes: str) -> None:
    hostile = f"<script>{title}</script>\"'><img src=x onerror=y>"
    task = Task(1, hostile, f"{notes}\n\n{hostile}", None, 0, "2030-01-01T00:00:00.000Z", "odd")
    for text in (
        task_row(TaskRow(1, hostile, None, 0, 0), TODAY),
        task_detail(task, TODAY, UTC),
        edit_form(1, TaskInput(hostile, "", notes + hostile), "list"),
    ):
        assert "<script" not in text
        assert "<img" not in text


def test_an_empty_list_says_why_and_what_next() -> None:
    def words(query: TaskQuery, **counts: int) -> str:
        return task_list(TaskList(query, [], False, {"all": 0, "open": 0, "done": 0} | counts, "0 found", TODAY))

    assert "No tasks yet." in words(TaskQuery())
    assert "Nothing matches." in words(TaskQuery(q="x"))
    assert "All done." in words(TaskQuery(status="open"), all=3, done=3)
    assert "Nothing done yet." in words(TaskQuery(status="done"), all=3, open=3)
    assert "ends before this page" in words(TaskQuery(page=9), all=3)


def test_a_column_of_notes_is_aligned_without_an_inline_style() -> None:
    """The policy of the page would not let it in."""
    shown = task_detail(Task(1, "x", "|a|b|c|\n|:-:|--:|-|\n|1|2|3|", None, 0, "", ""), TODAY, UTC)
    assert '<td align="center">1</td>' in shown
    assert '<td align="right">2</td>' in shown
    assert "<td>3</td>" in shown
    assert "style" not in shown


def test_no_more_is_kept_of_rows_than_fits_into_memory() -> None:
    before = task_row.cache_info().currsize
    long = [TaskRow(10_000 + number, "x" * (KEPT_TITLE + 1), None, 0, 0) for number in range(20)]
    drawn = task_list(TaskList(TaskQuery(), long, False, {"all": 20, "open": 20, "done": 0}, "", TODAY))
    assert drawn.count("<li") == 20
    assert task_row.cache_info().currsize == before
