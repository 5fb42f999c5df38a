"""Values of another type than a column has: another program may write them, and every page still has an answer."""

import json

import httpx
import pytest

from tests.engine.conftest import Server

ADDRESSES = ("/tasks", "/tasks?q=A", "/tasks/1", "/tasks/1/edit", "/export.csv", "/export.json")
# Half of a letter: no UTF-8.
LARGE = "x'" + "41" * 600_000 + "'"


@pytest.mark.parametrize(
    ("value", "shown"),
    [("x'41'", "A"), ("x'ff41'", "�A"), ("CAST(x'ff41' AS TEXT)", "�A"), ("5", "5"), (LARGE, "A" * 1000)],
    ids=["bytes", "no UTF-8", "a text that is none", "a number", "many bytes"],
)
@pytest.mark.parametrize("column", ["title", "notes", "updated_at"])
def test_every_page_has_an_answer(server: Server, client: httpx.Client, column: str, value: str, shown: str) -> None:
    server.sql("INSERT INTO tasks (id, title, notes) VALUES (1, 'Apple', 'With cream')")
    server.sql(f"UPDATE tasks SET {column} = {value}")
    answers = {address: client.get(address) for address in ADDRESSES}
    assert {address: answer.status_code for address, answer in answers.items()} == dict.fromkeys(ADDRESSES, 200)
    if column != "updated_at":
        assert shown in answers["/tasks/1"].text
        assert column == "notes" or value == LARGE or shown in answers["/tasks"].text
        assert shown in json.loads(answers["/export.json"].text)[0][column]
    assert client.patch("/tasks/1", data={"title": "Pear"}).status_code == 303


def test_an_import_of_a_file_whose_name_is_no_text_is_shown(server: Server, client: httpx.Client) -> None:
    """As it may stand in a file that was restored."""
    server.sql(
        "INSERT INTO imports (id, kind, filename, state, process, bytes_total, rows_total) "
        "VALUES (1, 'tasks', x'ff412e637376', 'done', 1, 5, 0)"
    )
    for address in ("/imports", "/imports/1"):
        answer = client.get(address)
        assert (answer.status_code, "�A.csv" in answer.text) == (200, True)
