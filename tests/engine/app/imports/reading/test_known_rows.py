"""Which rows of a file are in the data already, told beside a real file of SQLite's."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.imports.reading.known_rows import Known, UnreadableData
from tests.engine.app.imports.reading.kind import COLUMNS, KIND

MOMENT, LATER = "2026-01-02T03:04:05Z", "2026-02-03T04:05:06Z"
TITLE_ONLY, WITH_MOMENTS, ALL = {"title"}, {"title", "due", "created_at"}, {*COLUMNS}
EMPTY: dict[str, Any] = {"notes": "", "due": None, "done": 0, "created_at": MOMENT, "updated_at": MOMENT}


def row(title: str, **values: Any) -> dict[str, Any]:
    """A row of a file."""
    return dict.fromkeys(COLUMNS) | {"notes": "", "done": 0, "title": title} | values


class Data:
    """A file with tasks."""

    def __init__(self, path: Path) -> None:
        self.path = path / "app.db"
        path.mkdir(exist_ok=True)
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute("DROP TABLE IF EXISTS tasks")
            connection.execute("DROP TABLE IF EXISTS row_versions")
            connection.execute(
                "CREATE TABLE tasks (id INTEGER PRIMARY KEY, title, notes, due, done, created_at, updated_at)"
            )
            connection.execute("CREATE TABLE row_versions (table_name, id, version)")

    def add(self, *rows: dict[str, Any]) -> None:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            for each in rows:
                values = EMPTY | each
                marks = ", ".join("?" * len(values))
                connection.execute(f"INSERT INTO tasks ({', '.join(values)}) VALUES ({marks})", [*values.values()])
            connection.execute("INSERT INTO row_versions SELECT 'tasks', id, 70 + id FROM tasks WHERE id % 2")

    def known(self, given: set[str], is_own: bool = False) -> Known:
        return Known(self.path, self.path.with_name("1"), KIND, given, is_own, lambda: None)


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Data]:
    yield Data(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"app.db"}, "what is noted is gone"


def test_the_same_row_is_one_that_is_equal_in_what_the_file_says(data: Data) -> None:
    data.add({"title": "Dune", "due": "2026-05-01", "done": 1}, {"title": "Emma", "notes": "mine"})
    files = (
        (TITLE_ONLY, [row("Dune"), row("Emma"), row("Dune!")]),
        (
            {"title", "due"},
            [row("Dune", due="2026-05-01"), row("Dune", due="2026-05-02"), row("Emma")],
        ),
    )
    assert data.known(files[0][0]).met(files[0][1]) == ["same", "same", None]
    assert data.known(files[1][0]).met(files[1][1]) == ["same", None, "same"]


def test_what_a_row_keeps_at_the_end_of_its_notes_counts_where_it_keeps_something(data: Data) -> None:
    data.add({"title": "Dune"}, {"title": "Emma", "notes": "Time: 11:00"})
    rows = [row("Dune", notes="Time: 11:00"), row("Dune"), row("Emma", notes="Time: 11:00")]
    assert data.known(TITLE_ONLY).met(rows) == [None, "same", "same"]
    assert data.known({"title", "notes"}).met([row("Emma")]) == [None]


def test_each_row_of_the_data_is_met_once(data: Data) -> None:
    data.add({"title": "Dune"}, {"title": "Dune"})
    known = data.known(TITLE_ONLY)
    assert known.met([row("Dune")] * 3, is_counted=True) == ["same", "same", None]
    assert known.counts == {"same": 2, "changed": 0, "twice": 2}


def test_of_one_name_and_moment_is_the_same_record_changed(data: Data) -> None:
    data.add(*({"title": "Dune", "due": "2026-05-01", "created_at": each} for each in (MOMENT, LATER)))
    known = data.known(WITH_MOMENTS)
    changed = row("Dune", due="2026-06-01", created_at=LATER)
    same, other, without = (
        row("Dune", due="2026-05-01", created_at=MOMENT),
        row("Dune", due="2026-06-01", created_at="2027-01-01T00:00:00Z"),
        row("Dune", due="2026-06-01"),
    )
    met = [{"id": 2, "version": 0, "columns": ["title", "due"]}, "same", None, None]
    assert known.met([changed, same, other, without]) == met
    assert known.counts == {"same": 1, "changed": 1, "twice": 0}
    assert data.known(WITH_MOMENTS).met([row("Dune", due="2026-05-01")]) == ["same"], "it says no moment"


def test_of_an_export_of_our_own_the_id_says_which_record_it_is(data: Data) -> None:
    data.add({"title": "Dune", "created_at": MOMENT}, {"title": "Emma", "created_at": MOMENT})
    rows = [
        row("Dune, again", id=1, created_at=MOMENT),
        row("Emma", id=2, created_at=LATER),
        row("Emma", id=9, created_at=MOMENT),
        row("Lost", id=3, created_at=MOMENT),
    ]
    columns = ["title", "due", "done", "notes"]
    met = [{"id": 1, "version": 71, "columns": columns}, None, "same", None]
    assert data.known(ALL, is_own=True).met(rows) == met


def test_what_only_other_programs_write_meets_nothing(data: Data) -> None:
    data.add({"title": b"\xff"}, {"title": "x" * 2_000_000}, {"title": None}, {"title": 5})
    assert data.known(TITLE_ONLY).met([row("x"), row("5"), row("\ufffd")]) == [None] * 3


def test_data_that_cannot_be_read_is_said(data: Data) -> None:
    with closing(sqlite3.connect(data.path)) as connection, connection:
        connection.execute("DROP TABLE tasks")
    with pytest.raises(UnreadableData, match="no such table: tasks"):
        data.known(TITLE_ONLY)
    data.path.with_name("1.known").unlink(missing_ok=True)


TITLES = st.lists(st.sampled_from("abc"), max_size=8)


@given(TITLES, TITLES)
def test_as_many_are_there_already_as_both_have(tmp_path_factory: Any, there: list[str], file: list[str]) -> None:
    data = Data(tmp_path_factory.getbasetemp() / "known")
    data.add(*({"title": title} for title in there))
    known = data.known(TITLE_ONLY)
    known.met([row(title) for title in file], is_counted=True)
    assert known.counts == {
        "same": sum(min(there.count(title), file.count(title)) for title in set(file)),
        "changed": 0,
        "twice": len(file) - len(set(file)),
    }
