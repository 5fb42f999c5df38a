"""Imports over HTTP: take a file in, look, start, cancel, and what is refused."""

import gzip
import json

import httpx
import pytest

from tests.engine.conftest import HAS_EXAMPLE, Server
from tests.importing import JSON, bring, settled, until, upload


def test_the_file_is_looked_at_before_anything_is_written(client: httpx.Client, server: Server) -> None:
    address = upload(client, "x.csv", b"Title,Due\nOne,2030-01-01\n,\nTwo,\n")
    each = until(client, address, settled)
    assert (each["state"], each["rows_total"], each["rows_done"]) == ("ready", 2, 0)
    assert server.sql("SELECT * FROM tasks") == []
    page = client.get(address)
    assert "Import 2 tasks" in page.text
    assert "2030-01-01" in page.text


def test_a_rejected_row_is_reported_with_its_line(client: httpx.Client) -> None:
    each = until(client, upload(client, "x.csv", b"title,notes\nOne,\n,orphan\nTwo,\n"), settled)
    assert each["problem_count"] == 1
    assert each["problems"][0]["line"] == 3


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.csv", b""),
        ("picture.png", b"\x89PNG\r\n\x1a\n" + bytes(range(256))),
        ("header.csv", b"title,notes\n"),
        ("cut.json", b'[{"title": "a"}, {"title":'),
        ("cut.csv.gz", gzip.compress(b"title\n" + b"row\n" * 5000)[:-20]),
        ("line.csv", b"title\n" + b"x" * 20_000_000),
        ("columns.csv", ",".join(f"c{number}" for number in range(20_000)).encode() + b"\n1\n"),
        ("zeros.gz", gzip.compress(bytes(100_000_000), 1) * 10),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input_is_a_clear_sentence_and_the_data_is_as_before(
    client: httpx.Client, server: Server, name: str, content: bytes
) -> None:
    server.add(1)
    address = upload(client, name, content)
    each = until(client, address, settled)
    assert each["state"] == "failed", each
    assert len(each["error"]) > 20
    assert "Traceback" not in each["error"]
    assert each["error"].rstrip().endswith((".", ")"))
    assert client.post(f"{address}/start").status_code == 409
    assert [row["title"] for row in server.sql("SELECT title FROM tasks")] == ["Task 1"]
    until(client, address, lambda _: not list((server.data / "uploads").iterdir()))


def test_what_is_no_upload_is_refused(client: httpx.Client) -> None:
    assert client.post("/imports", data={"file": "x"}).status_code == 415
    missing = client.post("/imports", files={"other": ("x.csv", b"title\na\n")})
    assert missing.status_code == 422
    assert "Choose a file first." in missing.text
    assert client.get("/imports/999").status_code == 404


def test_an_import_goes_only_where_it_can(client: httpx.Client, server: Server) -> None:
    address = upload(client, "x.csv", b"title\nOne\n")
    until(client, address, settled)
    assert client.post(f"{address}/cancel").status_code == 303
    assert until(client, address, settled)["state"] == "discarded"
    for act in ("start", "cancel", "columns"):
        answer = client.post(f"{address}/{act}")
        assert answer.status_code == 409
        assert "already further: discarded" in answer.text
    assert server.sql("SELECT * FROM tasks") == []


def test_two_starts_import_once(client: httpx.Client, server: Server) -> None:
    address = upload(client, "x.csv", b"title\n" + b"row\n" * 3000)
    until(client, address, settled)
    assert {client.post(f"{address}/start").status_code for _ in range(3)} == {303, 409}
    until(client, address, settled)
    assert len(server.sql("SELECT id FROM tasks")) == 3000


def test_an_export_comes_back_as_the_same_rows(client: httpx.Client, server: Server) -> None:
    server.add(1500, notes="=1+1\r\nnext ' line", due="2030-01-01", done=1)
    server.sql("DELETE FROM tasks WHERE id % 7 = 0")
    before = [tuple(row) for row in server.sql("SELECT * FROM tasks ORDER BY id")]
    for name in ("export.csv", "export.json"):
        content = client.get(f"/{name}").content
        server.sql("DELETE FROM tasks")
        assert bring(client, name, content)["state"] == "done"
        assert [tuple(row) for row in server.sql("SELECT * FROM tasks ORDER BY id")] == before, name


def test_whatever_the_form_takes_comes_back_from_an_export(client: httpx.Client, server: Server) -> None:
    for title, notes, due in (
        ("tab\x01x", "", ""),
        ("a\x7f", "n", ""),
        ("blank notes", "  ", ""),
        ("old due", "", "1000-01-01"),
        ("escape", "\x1b[1m", ""),
        ("big", "z" * 1_040_000, ""),
    ):
        form = {"title": title, "notes": notes, "due": due}
        assert client.post("/tasks", data=form).status_code == 303
    assert client.post("/tasks", data={"title": "\x7f"}).status_code == 422, "nobody would see it"
    # No form takes such a year; another program may have written it.
    server.sql("INSERT INTO tasks (title, due) VALUES ('older due', '0001-01-01')")
    before = [tuple(row) for row in server.sql("SELECT * FROM tasks ORDER BY id")]
    assert len(before) == 7
    for name in ("export.csv", "export.json"):
        content = client.get(f"/{name}").content
        server.sql("DELETE FROM tasks")
        assert bring(client, name, content)["problem_count"] == 0
        assert [tuple(row) for row in server.sql("SELECT * FROM tasks ORDER BY id")] == before, name


def test_an_export_beside_other_rows_overwrites_none(client: httpx.Client, server: Server) -> None:
    server.add(3)
    content = client.get("/export.json").content
    id = server.sql("SELECT min(id) AS id FROM tasks")[0]["id"]
    client.delete(f"/tasks/{id}")
    assert bring(client, "tasks.json", content, known="add")["rows_done"] == 3
    assert len(server.sql("SELECT * FROM tasks")) == 5
    assert client.post(f"/tasks/{id}/restore").status_code == 303
    assert len(server.sql("SELECT * FROM tasks")) == 6


def test_progress_is_what_is_in_the_file(client: httpx.Client, server: Server) -> None:
    content = json.dumps([{"title": f"Row {number}"} for number in range(8_000)]).encode()
    address = upload(client, "rows.json", content)
    until(client, address, settled)
    client.post(f"{address}/start")
    seen = []
    while True:
        each = client.get(address, headers=JSON).json()
        written = server.sql("SELECT count(*) AS tasks FROM tasks")[0]["tasks"]
        assert each["rows_done"] <= written
        seen.append(each["rows_done"])
        if settled(each):
            break
    assert seen == sorted(seen)
    assert len(set(seen)) > 2
    assert all(rows % 1000 == 0 for rows in seen)
    assert seen[-1] == 8_000


def test_the_upload_is_private_and_goes_when_it_is_done_with(client: httpx.Client, server: Server) -> None:
    address = upload(client, "../../odd name.csv", b"title\nOne\n")
    each = until(client, address, settled)
    assert each["filename"] == "odd name.csv"
    (file,) = (server.data / "uploads").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    client.post(f"{address}/start")
    until(client, address, lambda each: settled(each) and not file.exists())


def test_an_export_with_a_zero_byte_comes_back(client: httpx.Client, server: Server) -> None:
    server.sql("INSERT INTO tasks (title, notes) VALUES ('zero', 'x' || char(0) || 'y')")
    server.sql("INSERT INTO tasks (title, notes) VALUES ('other', 'z')")
    for format in ("csv", "json"):
        content = client.get(f"/export.{format}").content
        server.sql("DELETE FROM tasks")
        address = upload(client, f"tasks.{format}", content)
        each = until(client, address, lambda each: each["state"] == "ready")
        assert each["understood"]["zeros"] == (1 if format == "csv" else 0)
        page = client.get(address).text
        assert ("zero bytes (1)" in page) == (format == "csv")
        client.post(f"{address}/start")
        until(client, address, lambda each: each["state"] == "done")
        found = server.sql("SELECT title, notes FROM tasks ORDER BY id")
        assert [tuple(row) for row in found] == [("zero", "xy"), ("other", "z")]
        server.sql("UPDATE tasks SET notes = 'x' || char(0) || 'y' WHERE title = 'zero'")


def test_a_row_after_the_sample_says_how_the_dates_before_it_are_read(client: httpx.Client, server: Server) -> None:
    rows = [f"Task {number},0{number % 9 + 1}/02/2026" for number in range(1500)]
    content = "\n".join(["Title,Due", *rows, "Last,25/02/2026"]).encode()
    each = bring(client, "dates.csv", content)
    assert (each["rows_done"], each["problem_count"]) == (1501, 0)
    found = {row["due"][:7] for row in server.sql("SELECT due FROM tasks")}
    assert found == {"2026-02"}, "the last row has the day first, so all have"


def test_a_mistyped_year_is_refused_in_a_file_as_in_the_form(client: httpx.Client, server: Server) -> None:
    # The example takes the first of all days, as other programs write it, for none.
    none = {"None": None} if HAS_EXAMPLE else {}
    rows = ["Good,2026-05-01", "Bad,0026-05-01", "Bad too,20260-05-01", "Old,1000-01-01"]
    content = "\n".join(["Title,Due", *rows, *(f"{title},0001-01-01" for title in none)]).encode()
    each = bring(client, "dates.csv", content)
    words = "The year of “0026-05-01” is not one from 1000 to 9999. Write its four digits, as in 2026-05-01."
    assert (each["problems"][0]["line"], each["problems"][0]["reason"]) == (3, words)
    assert each["problem_count"] == 2
    found = {row["title"]: row["due"] for row in server.sql("SELECT title, due FROM tasks")}
    assert found == {"Good": "2026-05-01", "Old": "1000-01-01"} | none
    for due in ("0026-05-01", "20260-05-01", "0000-05-01"):
        for form in ({"data": {"title": "x", "due": due}}, {"json": {"title": "x", "due": due}}):
            refused = client.post("/tasks", **form, headers=JSON)
            assert refused.status_code == 422
            assert "is not one from 1000 to 9999" in refused.text
