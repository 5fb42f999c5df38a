"""Rows of imports that other programs have written: told from the rest, shown as failed."""

import pytest

from app.import_rows import UNREADABLE, odd_columns, readable

ROW = {"id": 3, "filename": "a.csv", "state": "ready", "rows_total": 5, "understood": "{}", "problems": "[]"}


def test_a_row_of_ours_is_as_it_is() -> None:
    assert (odd_columns(ROW), readable(ROW)) == ([], ROW)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("state", "weird"),
        ("state", b"ready"),
        ("rows_total", "x"),
        ("filename", None),
        ("understood", "{"),
        ("understood", "[" * 100_000),
        ("understood", b"\xff"),
        ("problems", "{}"),
    ],
)
def test_one_that_makes_no_sense_has_failed(name: str, value: object) -> None:
    odd = {**ROW, name: value}
    assert odd_columns(odd) == [name]
    shown = readable(odd)
    assert (shown["state"], shown["error"], odd_columns(shown)) == ("failed", UNREADABLE, [])
