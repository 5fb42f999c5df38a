"""Rows of imports that other programs have written: told from the rest, shown as failed."""

import json

import pytest

from app.imports.import_record import UNREADABLE, odd_columns, readable

ROW = {"id": 3, "filename": "a.csv", "state": "ready", "rows_total": 5, "understood": "{}", "problems": "[]"}


UNDERSTOOD = {
    "format": "CSV",
    "encoding": None,
    "zeros": 0,
    "delimiter": ",",
    "compressed": False,
    "list": None,
    "other_lists": {"cards": 3},
    "more_lists": 0,
    "columns": [{"name": "Name", "field": None, "examples": ["a"]}],
    "sample": [{"title": "a", "due": None, "done": 0, "weight": 1.5}],
    "own_export": False,
}


@pytest.mark.parametrize("understood", [UNDERSTOOD, {"format": "JSON"}, {**UNDERSTOOD, "new": [1, {}]}])
def test_what_this_version_wrote_or_another_one_is_as_it_is(understood: dict[str, object]) -> None:
    row = {**ROW, "understood": json.dumps(understood), "problems": '[{"line": 2, "reason": "why"}]', "columns": "{}"}
    assert odd_columns(row) == []


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
        ("problems", "[5]"),
        ("problems", '[{"line": "1", "reason": "x"}]'),
        ("problems", '[{"line": 1}]'),
        ("rows_kept", "x"),
        ("columns", "[]"),
        ("known", "[]"),
        ("known", '{"choice": "drop"}'),
        ("known", '{"same": "1"}'),
        ("columns", '{"title": 5}'),
        ("understood", '{"sample": 5}'),
        ("understood", '{"sample": [5]}'),
        ("understood", '{"sample": [{"title": []}]}'),
        ("understood", '{"sample": [{"title": NaN}]}'),
        ("understood", '{"sample": [{"title": 1e999}]}'),
        ("understood", '{"sample": [{"title": "\\ud800"}]}'),
        ("understood", '{"columns": {"name": "a"}}'),
        ("understood", '{"columns": [{"name": 1, "field": null, "examples": []}]}'),
        ("understood", '{"columns": [{"field": null, "examples": []}]}'),
        ("understood", '{"columns": [{"name": "a", "field": [], "examples": []}]}'),
        ("understood", '{"columns": [{"name": "a", "field": null, "examples": 1}]}'),
        ("understood", '{"format": null}'),
        ("understood", '{"zeros": true}'),
        ("understood", '{"delimiter": "x"}'),
        ("understood", '{"delimiter": []}'),
        ("understood", '{"other_lists": {"a": "many"}}'),
        ("understood", '{"more_lists": 1.5}'),
        ("understood", '{"facts": {"orders": []}}'),
        ("understood", '{"dates": [{}]}'),
        ("choices", '{"columns": [[]]}'),
        ("known", '{"choice": []}'),
        ("known", '{"choice": {}}'),
        ("known", '{"same": "many"}'),
    ],
)
def test_one_that_makes_no_sense_has_failed(name: str, value: object) -> None:
    odd = {**ROW, name: value}
    assert odd_columns(odd) == [name]
    shown = readable(odd)
    assert (shown["state"], shown["error"], odd_columns(shown)) == ("failed", UNREADABLE, [])
