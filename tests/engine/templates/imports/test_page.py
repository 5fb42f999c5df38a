"""How an import looks in each of its states."""

import pytest

from templates.imports.page import (
    RUNNING,
    STATES,
    Import,
    ImportKind,
    import_card,
    imports_page,
)

TASKS = ImportKind(
    "tasks", "task", "tasks", {"title": "Title", "notes": "Notes", "due": "Due", "done": "Done"}, "notes", "Todoist"
)
BOOKS = ImportKind("books", "book", "books", {"name": "Name"}, "", "")
UNDERSTOOD = {
    "format": "CSV",
    "encoding": "UTF-8",
    "delimiter": "\t",
    "compressed": True,
    "list": "cards",
    "other_lists": {"lists": 3},
    "columns": [
        {"name": "Name", "field": "title", "examples": ["One"]},
        {"name": "<b>", "field": None, "examples": ["<i>"]},
    ],
    "sample": [{"title": "<u>", "notes": "n" * 200, "due": None, "done": True}],
    "own_export": False,
}


def each(state: str, **changes: object) -> Import:
    """An import in a state."""
    values = Import(
        7,
        TASKS,
        "a<b>.csv",
        state,
        UNDERSTOOD,
        [{"line": 3, "reason": "No <title>."}],
        2,
        "",
        50,
        200,
        250,
        1000,
        "",
        {},
    )
    return values._replace(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("state", STATES)
def test_every_state_is_shown_and_is_live(state: str) -> None:
    card = import_card(each(state, error="It broke."))
    assert STATES[state] in card
    assert 'id="import" data-live="/imports/7"' in card
    assert ('class="unless-live"' in card) == (state in RUNNING)
    for hostile in ("<b>", "<i>", "<u>", "<title>"):
        assert hostile not in card


def test_the_bars_are_right() -> None:
    assert '<progress value="50" max="200"' in import_card(each("checking"))
    assert "25 %" in import_card(each("checking"))
    assert '<progress value="250" max="1000"' in import_card(each("writing"))
    assert '<progress value="750" max="1000"' in import_card(each("undoing"))


def test_what_was_understood_is_said() -> None:
    card = import_card(each("ready"))
    for words in (
        "1,000 tasks",
        "CSV",
        "UTF-8",
        "separated by tabs",
        "gzipped",
        "<strong><bdi>cards</bdi></strong>",
        "lists (3)",
    ):
        assert words in card
    assert "2 rows cannot be used" in card
    assert "Line 3: No &lt;title&gt;." in card
    assert "and 1 more" in card


def test_an_import_without_rows_offers_nothing_to_start() -> None:
    card = import_card(each("ready", rows_total=0))
    assert "There is nothing to import." in card
    assert "/start" not in card


def test_the_page_lists_the_imports() -> None:
    assert "Imports so far" not in "".join(map(str, imports_page([], [TASKS], "tasks")))
    assert 'href="/imports/7"' in "".join(map(str, imports_page([each("done")], [TASKS], "tasks")))


def test_the_page_asks_what_is_in_a_file_where_there_are_several_kinds() -> None:
    alone = "".join(map(str, imports_page([], [TASKS], "tasks")))
    assert "Bring your tasks" in alone
    assert "<select" not in alone
    several = "".join(map(str, imports_page([], [TASKS, BOOKS], "books")))
    assert '<option value="books" selected>Books</option>' in several
    for path in ("/tasks/export.csv", "/books/export.csv", "/books/export.json", "/export.db"):
        assert f'href="{path}"' in several


def test_what_has_no_column_is_said_to_be_kept_or_left_out() -> None:
    assert "is kept at the end of the notes:" in import_card(each("ready"))
    columns = [{"name": "<b>", "field": None, "examples": []}]
    left_out = import_card(each("ready", kind=BOOKS, understood=UNDERSTOOD | {"columns": columns, "sample": []}))
    assert "Left out, as no field fits: <strong>&lt;b&gt;</strong>" in left_out


@pytest.mark.parametrize("state", RUNNING)
def test_who_waits_for_a_turn_is_told_so(state: str) -> None:
    one, more = import_card(each(state, before=1)), import_card(each(state, before=1200))
    assert ">Waiting</p>" in one
    assert "1 import comes before it. It begins by itself." in one
    assert "1,200 imports come before it." in more
    assert "<progress" not in one
    assert "Waiting" not in import_card(each(state))


def test_many_other_lists_are_counted() -> None:
    assert "lists (3) and 7 more" in import_card(each("ready", understood=UNDERSTOOD | {"more_lists": 7}))


def test_what_could_not_be_taken_back_is_said() -> None:
    assert "It was not taken back whole. It broke." in import_card(each("done", error="It broke."))
