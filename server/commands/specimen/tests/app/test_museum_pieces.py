"""Museum pieces over HTTP: pages, fragments, plain forms, import and export, on the real server."""

import asyncio
import csv
import io
import re
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date, timedelta
from itertools import count
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element

import html5lib
import httpx
import pytest

from app import museum_pieces
from app.records.list_queries import BY_NAME
from tests.conftest import Server
from tests.importing import bring


class Value(NamedTuple):
    """A value as a person types it, as it is kept, and as a page shows it."""

    typed: str
    kept: Any
    shown: str


def words_no(number: int) -> Value:
    """A line of text, another one for each number; so with the others."""
    return Value(typed=f"Words *{number}*", kept=f"Words *{number}*", shown=f"Words *{number}*")


def story_no(number: int) -> Value:
    return Value(typed=f"Long *ago* {number}", kept=f"Long *ago* {number}", shown=f"Long ago {number}")


def count_no(number: int) -> Value:
    return Value(typed=f"{2000 - number}", kept=2000 - number, shown=f"{2000 - number:,}")


def weight_no(number: int) -> Value:
    return Value(typed=f"{number}.5", kept=number + 0.5, shown=f"{number}.5")


def answer_no(number: int) -> Value:
    return Value(typed=f"{number % 2}", kept=number % 2, shown=("No", "Yes")[number % 2])


def day_no(number: int) -> Value:
    day = (date(2030, 1, 31) + timedelta(days=number)).isoformat()
    return Value(typed=day, kept=day, shown=day)


# Every field, with another value than those beside it.
OF_FIELDS: dict[str, Callable[[int], Value]] = {
    "short_name": words_no,
    "made_by": words_no,
    "lent_to": words_no,
    "whole_story": story_no,
    "side_note": story_no,
    "piece_count": count_no,
    "floor_number": count_no,
    "net_weight": weight_no,
    "full_height": weight_no,
    "is_fragile": answer_no,
    "is_genuine": answer_no,
    "found_on": day_no,
    "shown_on": day_no,
}
numbers: dict[Callable[[int], Value], Iterator[int]] = defaultdict(lambda: count(1))
VALUES = {name: make(next(numbers[make])) for name, make in OF_FIELDS.items()}
TYPED = {name: value.typed for name, value in VALUES.items()}
KEPT = {name: value.kept for name, value in VALUES.items()}
LABELS = {field.name: field.label for field in museum_pieces.KIND.fields}
# What may be left empty, and how it is kept then.
EMPTY: dict[str, Any] = {
    "lent_to": "",
    "side_note": "",
    "floor_number": None,
    "full_height": None,
    "is_genuine": None,
    "shown_on": None,
}
# What is no value of a field.
WRONG = [
    ("short_name", " "),
    ("made_by", " "),
    ("lent_to", "x" * 1001),
    ("whole_story", " "),
    ("piece_count", "many"),
    ("floor_number", "1.5"),
    ("net_weight", "heavy"),
    ("full_height", "inf"),
    ("is_fragile", "maybe"),
    ("is_genuine", "perhaps"),
    ("found_on", "soon"),
    ("shown_on", "2030-02-30"),
]


@pytest.fixture(autouse=True)
def _empty(server: Server) -> None:
    server.empty(museum_pieces.KIND.table, museum_pieces.KIND.deletions)


def parsed(answer: httpx.Response) -> Element:
    """The document of an answer."""
    assert answer.status_code == 200, answer.text
    document: Element = html5lib.parse(answer.text, namespaceHTMLElements=False)
    return document


def titles(answer: httpx.Response) -> list[str]:
    """The titles of the rows in an answer, in order."""
    return [text_of(link) for link in parsed(answer).iterfind(".//li//a[@class='title']")]


def text_of(element: Element) -> str:
    """What an element says; a date as the machine reads it."""
    day = element.find(".//time")
    return str(day.get("datetime")) if day is not None else "".join(element.itertext())


def filled_in(answer: httpx.Response) -> dict[str, str]:
    """What the form of an answer would send, by the names of its fields."""
    sent: dict[str, str] = {}
    form = parsed(answer).find(".//form[@class='edit-form']")
    assert form is not None
    for field in form.iter():
        name = field.get("name")
        if name is None or (field.get("type") == "checkbox" and field.get("checked") is None):
            continue
        if field.tag == "select":
            sent[name] = next(str(each.get("value")) for each in field if each.get("selected") is not None)
        else:
            sent[name] = (field.text or "") if field.tag == "textarea" else field.get("value") or ""
    return sent


def said(answer: httpx.Response) -> dict[str, str]:
    """What the page of a row, or its row in a list, says under each label."""
    page = parsed(answer)
    pairs = [(pair[0], pair[1]) for pair in page.iterfind(".//dl/div")]
    pairs += [(section[0], section[1]) for section in page.iterfind(".//article/section")]
    facts = {text_of(name): text_of(value).strip() for name, value in pairs}
    for fact in page.iterfind(".//span[@class='row-facts']/span"):
        label = text_of(fact[0])
        facts[label.strip()] = text_of(fact).removeprefix(label)
    return facts


def add(server: Server, rows: int = 1, /, **columns: Any) -> None:
    """Add rows called “Row 1” and so on, as another program would."""
    named = ({**KEPT, "short_name": f"Row {number}", **columns} for number in range(1, rows + 1))
    server.insert("museum_pieces", named)


def all_rows(server: Server) -> list[tuple[Any, ...]]:
    """What the table holds."""
    return [tuple(row) for row in server.sql("SELECT * FROM museum_pieces ORDER BY id")]


def only(server: Server) -> sqlite3.Row:
    """The one row there is."""
    (row,) = server.sql("SELECT * FROM museum_pieces")
    return row


def test_one_address_answers_page_and_fragment(client: httpx.Client, htmx: httpx.Client) -> None:
    page, fragment = client.get("/museum_pieces"), htmx.get("/museum_pieces")
    assert re.fullmatch(r'<section id="museum_pieces".*</section>', fragment.text, re.S)
    assert fragment.text in page.text
    assert re.search(r'<a [^>]*href="/museum_pieces"[^>]*aria-current="page"', page.text)


def test_a_form_makes_a_row_and_a_page_shows_it(client: httpx.Client, server: Server) -> None:
    answer = client.post("/museum_pieces", data=TYPED)
    assert (answer.status_code, answer.headers["location"]) == (303, "/museum_pieces")
    row = only(server)
    assert {name: row[name] for name in KEPT} == KEPT
    assert titles(client.get("/museum_pieces")) == [TYPED["short_name"]]
    for path in (f"/museum_pieces/{row['id']}", f"/museum_pieces/{row['id']}/edit"):
        assert TYPED["short_name"] in client.get(path).text


def test_what_is_optional_may_be_left_out(htmx: httpx.Client, server: Server) -> None:
    given = {name: value for name, value in TYPED.items() if name not in EMPTY}
    assert htmx.post("/museum_pieces", json=given).status_code == 201
    row = only(server)
    assert {name: row[name] for name in KEPT} == KEPT | EMPTY
    assert htmx.get(f"/museum_pieces/{row['id']}").status_code == 200


def test_each_value_stands_in_its_own_field_wherever_it_is_shown(htmx: httpx.Client, server: Server) -> None:
    htmx.post("/museum_pieces", data=TYPED)
    before = dict(only(server))
    address = f"/museum_pieces/{before['id']}"
    form = filled_in(htmx.get(f"{address}/edit"))
    assert {name: form[name] for name in TYPED} == TYPED
    assert htmx.patch(address, data=form).status_code == 200
    assert dict(only(server)) == before | {"updated_at": only(server)["updated_at"]}
    shown = {LABELS[name]: value.shown for name, value in VALUES.items() if name != "short_name"}
    page, row = said(htmx.get(address)), said(htmx.get("/museum_pieces"))
    assert {label: page[label] for label in shown} == shown
    assert row == {label: value for label, value in shown.items() if label in row}
    assert (page["Added"], page["Changed"]) == (before["created_at"], only(server)["updated_at"])


def test_each_value_stands_in_its_own_column_of_an_export(client: httpx.Client, server: Server) -> None:
    add(server, created_at="2026-01-02T03:04:05Z", updated_at="2027-01-02T03:04:05Z", short_name="Row 1")
    row = dict(only(server))
    (in_json,) = client.get("/museum_pieces/export.json").json()
    assert in_json == row
    (in_csv,) = csv.DictReader(io.StringIO(client.get("/museum_pieces/export.csv").content.decode("utf-8-sig")))
    assert in_csv == {name: "" if value is None else str(value) for name, value in row.items()}


def test_the_columns_of_a_file_may_come_in_any_order(client: httpx.Client, server: Server) -> None:
    content = io.StringIO()
    writer = csv.DictWriter(content, [*reversed(TYPED)])
    writer.writeheader()
    writer.writerow(TYPED)
    assert bring(client, "pieces.csv", content.getvalue().encode(), kind="museum_pieces")["rows_done"] == 1
    row = only(server)
    assert {name: row[name] for name in KEPT} == KEPT


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_bad_form_is_refused_with_what_was_typed(
    client: httpx.Client,
    htmx: httpx.Client,
    server: Server,
    name: str,
    value: str,
) -> None:
    for way in (client, htmx):
        answer = way.post("/museum_pieces", data=TYPED | {name: value})
        assert answer.status_code == 422
        assert 'class="form-error"' in answer.text
    add(server)
    before = all_rows(server)
    assert htmx.patch(f"/museum_pieces/{only(server)['id']}", data={name: value}).status_code == 422
    assert all_rows(server) == before


def version_in(form: str) -> str:
    """Which version a form says that it has."""
    found = re.search(r'name="_version" value="(-?\d+)"', form)
    assert found, form
    return found[1]


def test_a_change_is_refused_once_where_it_was_changed_meanwhile(htmx: httpx.Client, server: Server) -> None:
    add(server)
    row = only(server)
    address = f"/museum_pieces/{row['id']}"
    version = version_in(htmx.get(f"{address}/edit").text)
    form = {"short_name": "Mine", "_version": version, "in": "list"}
    assert htmx.patch(address, data=form).text.startswith("<li")
    refused = htmx.patch(address, data=form | {"short_name": "Yours"})
    assert refused.status_code == 409
    assert 'value="Yours"' in refused.text
    assert only(server)["short_name"] == "Mine"
    assert "there is now “Mine”" in htmx.get(f"{address}/changes?since={version}").text
    again = form | {"short_name": "Yours", "_version": version_in(refused.text)}
    assert htmx.patch(address, data=again).status_code == 200


def test_what_another_program_changes_is_a_conflict_too(htmx: httpx.Client, server: Server) -> None:
    add(server)
    row = only(server)
    address = f"/museum_pieces/{row['id']}"
    names = ", ".join(museum_pieces.KIND.columns)
    for change in (
        "UPDATE museum_pieces SET short_name = 'Theirs'",
        f"REPLACE INTO museum_pieces ({names}) SELECT {names} FROM museum_pieces",
        "UPDATE OR IGNORE museum_pieces SET short_name = short_name",
    ):
        version = version_in(htmx.get(f"{address}/edit").text)
        server.sql(change)
        assert only(server)["updated_at"] == row["updated_at"]
        assert htmx.patch(address, data={"short_name": "Mine", "_version": version}).status_code == 409


def test_of_eight_who_save_the_same_version_at_once_one_is_told_yes(server: Server) -> None:
    add(server)
    address = f"{server.url}/museum_pieces/{only(server)['id']}"

    async def save(client: httpx.AsyncClient) -> list[int]:
        form = {"_version": version_in((await client.get(f"{address}/edit")).text)}
        saves = [client.patch(address, data=form | {"short_name": f"{number}"}) for number in range(8)]
        return sorted([answer.status_code for answer in await asyncio.gather(*saves)])

    async def rounds() -> list[list[int]]:
        async with httpx.AsyncClient(headers={"HX-Request": "true"}, timeout=60) as client:
            return [await save(client) for _ in range(10)]

    assert asyncio.run(rounds()) == [[200, *[409] * 7]] * 10


def test_deleting_and_restoring_gives_the_same_row(client: httpx.Client, server: Server) -> None:
    add(server, 2)
    before = all_rows(server)
    path = f"/museum_pieces/{before[0][0]}"
    answer = client.post(path, data={"_method": "delete"})
    assert "Undo" in client.get(answer.headers["location"]).text
    assert len(all_rows(server)) == 1
    assert client.get(path).status_code == 404
    assert client.post(f"{path}/restore").status_code == 303
    assert all_rows(server) == before
    assert client.post(f"{path}/restore").status_code == 404


@pytest.mark.parametrize("sort", museum_pieces.ORDERS)
def test_no_order_needs_all_rows_sorted_for_a_page(server: Server, sort: str) -> None:
    order = museum_pieces.ORDERS[sort]
    table = "museum_pieces_sort" if order == BY_NAME else "museum_pieces"
    plan = server.sql(f"EXPLAIN QUERY PLAN SELECT id FROM {table} ORDER BY {order} LIMIT 20")
    assert "TEMP B-TREE" not in str([tuple(step) for step in plan])


def test_a_search_is_ordered_as_the_list_is(client: httpx.Client, server: Server) -> None:
    for title in ("Buttermilk", "bread", "Milk", "milk"):
        add(server, short_name=title)
    server.until_indexed()
    for sort in museum_pieces.ORDERS:
        listed = titles(client.get(f"/museum_pieces?sort={sort}"))
        found = titles(client.get(f"/museum_pieces?q=milk&sort={sort}"))
        assert found == [title for title in listed if title != "bread"], sort


def test_lists_are_searched_ordered_and_paged(client: httpx.Client, server: Server) -> None:
    for title in ("b", "C", "a"):
        add(server, short_name=title)
    server.until_indexed()  # Until then the order by name is that in which the keys are made.
    for sort in museum_pieces.ORDERS:
        assert sorted(titles(client.get(f"/museum_pieces?sort={sort}"))) == ["C", "a", "b"]
    assert titles(client.get("/museum_pieces?sort=short_name")) == ["a", "b", "C"]
    assert titles(client.get("/museum_pieces?q=c")) == ["C"]
    for title in ("Äpfel", "éclair"):
        assert client.post("/museum_pieces", data=TYPED | {"short_name": title}).status_code == 303
    # What another program wrote comes to its place among these within a second.
    end = time.monotonic() + 60
    while titles(client.get("/museum_pieces?sort=short_name")) != ["a", "Äpfel", "b", "C", "éclair"]:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert titles(client.get("/museum_pieces?q=CLAIR")) == ["éclair"]
    server.sql("DELETE FROM museum_pieces WHERE short_name > 'd'")
    assert client.get("/museum_pieces?sort=colour").status_code == 400
    add(server, 40)
    pages = [client.get(f"/museum_pieces?sort=oldest&page={page}") for page in (1, 2, 3)]
    assert [title for page in pages for title in titles(page)] == [
        "b",
        "C",
        "a",
        *[f"Row {number}" for number in range(1, 41)],
    ]


@pytest.mark.parametrize("ending", ["csv", "json"])
def test_an_export_comes_back_as_the_same_rows(client: httpx.Client, server: Server, ending: str) -> None:
    add(server, 3, **EMPTY)
    add(server, 2)
    before = all_rows(server)
    content = client.get(f"/museum_pieces/export.{ending}").content
    server.sql("DELETE FROM museum_pieces")
    done = bring(client, f"export.{ending}", content, kind="museum_pieces")
    assert (done["state"], done["rows_done"]) == ("done", 5)
    assert all_rows(server) == before


def test_foreign_writes_show_at_once_and_what_is_wrong_is_refused(htmx: httpx.Client, server: Server) -> None:
    assert titles(htmx.get("/museum_pieces")) == []
    add(server)
    assert titles(htmx.get("/museum_pieces")) == ["Row 1"]
    with pytest.raises(sqlite3.IntegrityError):
        add(server, short_name="")


@pytest.mark.parametrize(
    ("name", "value"), [*WRONG, ("created_at", "long ago"), ("updated_at", "0001-01-01T00:00:00Z")]
)
def test_a_value_that_is_none_of_its_kind_takes_no_page_away(
    client: httpx.Client, server: Server, name: str, value: str
) -> None:
    """Another program can tell SQLite to look at no rule."""
    add(server, 2)
    id = server.sql("SELECT max(id) FROM museum_pieces")[0][0]
    for written in (value, value.encode(), "0000-01-01"):
        with closing(sqlite3.connect(server.data / "app.db")) as other, other:
            other.execute("PRAGMA ignore_check_constraints = ON")
            other.execute(f"UPDATE museum_pieces SET {name} = ? WHERE id = ?", [written, id])
        assert len(titles(client.get("/museum_pieces"))) == 2
        assert client.get(f"/museum_pieces/{id}").status_code == 200
        assert client.get(f"/museum_pieces/{id}/edit").status_code == 200
        assert client.get("/export.json?kind=museum_pieces").status_code == 200


@pytest.mark.parametrize("form", [{}, {"colour_of_it": "red"}, {**KEPT, "colour_of_it": "red"}])
def test_a_form_that_changes_nothing_or_names_an_unknown_field_is_refused(
    client: httpx.Client, server: Server, form: dict[str, Any]
) -> None:
    add(server)
    before = all_rows(server)
    answer = client.patch(f"/museum_pieces/{only(server)['id']}", json=form)
    assert answer.status_code == 422
    assert "nothing to change" in answer.text or "no field “colour_of_it” here" in answer.text
    assert all_rows(server) == before
