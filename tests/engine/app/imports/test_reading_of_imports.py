"""Files as other programs write them, all the way in: what the preview says of them, and the rows that they make."""

import gzip
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.imports.reading.process import messages
from app.imports.reading.text.decoding import UnreadableFile
from app.imports.reading.values.choices import Choices, choices_of
from app.tasks import KIND
from tests.engine.conftest import Server
from tests.engine.subject import ROOT
from tests.importing import settled, until, upload

CASES = ROOT.parent / "shared" / "cases"
JS = "Title,Created,Due Date\n{}\n"
TICKTICK = (
    '"Date: 2026-04-28+0000"\n"Version: 7.1"\n"Status: \n0 Normal\n1 Completed"\n'
    '"Title","Content","Due Date","Status","Created Time","Completed Time","Timezone","Is All Day"\n{}\n'
)
TODOIST = {"DESCRIPTION": None, "PRIORITY": None, "INDENT": None, "AUTHOR": None, "DATE": None, "DATE_LANG": None}
Row = tuple[Any, ...]


def read(
    client: httpx.Client, server: Server, name: str, content: str | bytes, zone: str = "UTC", **choices: str
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What the preview knows of a file, and the rows that its import has made."""
    client.cookies.set("timezone", zone)
    address = upload(client, name, content if isinstance(content, bytes) else content.encode())
    each = until(client, address, settled)
    assert each["state"] == "ready", each
    assert client.get(address).status_code == 200
    if choices:
        answer = client.post(f"{address}/columns", data=choices)
        assert answer.status_code == 303, answer.text
        each = until(client, address, settled)
    assert client.post(f"{address}/start").status_code == 303
    assert until(client, address, settled)["state"] == "done"
    return each, [dict(row) for row in server.sql("SELECT title, notes, due, done, created_at FROM tasks ORDER BY id")]


def rows_of(directory: Path, name: str, content: str | bytes, zone: str = "UTC") -> list[dict[str, Any]]:
    """The rows of a file, read twice as an import does it, in this process: to start the others takes far longer."""
    path = directory / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    understood = [said for said in messages(path, name, KIND, Choices(zone=zone), check=True) if "understood" in said]
    facts = json.loads(json.dumps(understood[-1]["understood"]["facts"]))
    read = messages(path, name, KIND, choices_of({"zone": zone, "facts": facts}), check=False)
    return [dict(zip(said["columns"], row, strict=True)) for said in read for row in said.get("rows", [])]


def dues(rows: list[dict[str, Any]]) -> list[str | None]:
    return [row["due"] for row in rows]


@pytest.mark.parametrize(
    ("name", "content", "zone", "expected"),
    [
        (
            "a.csv",
            'title,due\nOne,"5/1/2026, 9:00:00\u202fAM"\nTwo,"5/2/2026, 9:00:00 AM"\n',
            "UTC",
            ["2026-05-01", "2026-05-02"],
        ),
        (
            "b.csv",
            JS.format("One,,Fri May 01 2026 00:00:00 GMT+0200 (Mitteleuropäische Sommerzeit)"),
            "UTC",
            ["2026-05-01"],
        ),
        (
            "c.csv",
            TICKTICK.format('"One","","2026-05-01T22:00:00+0000","0","","","Europe/Berlin","true"'),
            "UTC",
            ["2026-05-02"],
        ),
        (
            "d.csv",
            TICKTICK.format('"One","","2026-05-02T06:30:00+0000","0","","","America/Los_Angeles","false"'),
            "Asia/Tokyo",
            ["2026-05-01"],
        ),
        (
            "e.json",
            '[{"name": "a", "due": "2026-05-02T01:00:00.000Z", "dueComplete": false}]',
            "America/Los_Angeles",
            ["2026-05-01"],
        ),
        (
            "f.json",
            '[{"name": "a", "due": "2026-05-01T20:00:00.000Z", "dueComplete": false}]',
            "Asia/Tokyo",
            ["2026-05-02"],
        ),
        ("g.json", '[{"title": "a", "due": "2026-05-02T00:00:00.000Z"}]', "America/Los_Angeles", ["2026-05-02"]),
        ("h.csv", "Summary,Status,Due date\nFix,Open,01/May/26 12:00 AM\n", "UTC", ["2026-05-01"]),
        (
            "i.csv",
            'Name,Due\nOne,"December 1, 2026 → December 3, 2026"\nTwo,"December 1, 2026 9:00 AM (GMT+1)"\n',
            "UTC",
            ["2026-12-01", "2026-12-01"],
        ),
        ("j.csv", "Title,Due\nOne,5/1/26\nTwo,5/31/26\n", "UTC", ["2026-05-01", "2026-05-31"]),
        ("k.csv", "Title,Due\nOne,5/1/26\nTwo,46143\n", "UTC", [None, None]),
        (
            "l.json",
            json.dumps(
                {
                    "value": [
                        {"title": "a", "dueDateTime": {"dateTime": "2026-05-01T00:00:00.0000000", "timeZone": "UTC"}}
                    ]
                }
            ),
            "UTC",
            ["2026-05-01"],
        ),
        ("m.csv", "Title,Due\nOne,13/01/2026\nTwo,01/13/2026\nThree,2026-01-15\n", "UTC", [None, None, "2026-01-15"]),
        ("n.csv", "Title,Start,Due\nOne,25/04/2026,03/04/2026\n", "UTC", ["2026-04-03"]),
        (
            "o.csv",
            "Title,Due\nOne,2026-W05\nTwo,1.5\nThree,May 2026\nFour,10/2026\nFive,2026-W18-5\n",
            "UTC",
            [None] * 4 + ["2026-05-01"],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 8 else "",
)
def test_days_are_read(tmp_path: Path, name: str, content: str, zone: str, expected: list[str | None]) -> None:
    rows = rows_of(tmp_path, name, content, zone)
    assert dues(rows) == expected
    for row, line in zip(rows, content.splitlines()[-len(rows) :], strict=True):
        if row["due"] is None:
            assert row["notes"].removeprefix("Due: ") in line, "what is not understood is kept"


def test_moments_keep_the_sign_of_their_zone(client: httpx.Client, server: Server) -> None:
    lines = "\n".join(
        [
            "One,Fri May 01 2026 09:14:03 GMT+0200 (CEST),",
            "Two,Fri May 01 2026 09:14:03 GMT-0600 (MDT),",
            "Three,Fri May 01 2026 09:14:03 GMT+0530 (India Standard Time),",
            "Four,2026-05-01 09:14:03,",
        ]
    )
    _, rows = read(client, server, "js.csv", JS.format(lines), "Europe/Berlin")
    assert [row["created_at"] for row in rows] == [
        "2026-05-01T07:14:03Z",
        "2026-05-01T15:14:03Z",
        "2026-05-01T03:44:03Z",
        "2026-05-01T07:14:03Z",
    ]


def test_a_late_row_tells_the_order_of_all(client: httpx.Client, server: Server) -> None:
    begin = "Title,Due\n" + "".join(f"Task {number},0{number % 9 + 1}/04/2026\n" for number in range(3000))
    each, rows = read(client, server, "late.csv", gzip.compress(f"{begin}Last,25/04/2026\n".encode()))
    assert [date["order"] for date in each["understood"]["dates"]] == ["day"]
    assert each["understood"]["sample"][1]["due"] == "2026-04-02"
    assert (len(rows), {row["due"][:8] for row in rows}) == (3001, {"2026-04-"})
    server.empty()
    each, rows = read(
        client, server, "mixed.csv", gzip.compress(f"{begin}Last,25/04/2026\nOther,04/25/2026\n".encode())
    )
    assert [(date["order"], date["is_mixed"]) for date in each["understood"]["dates"]] == [("", True)]
    # The fourth of April is the same day either way.
    assert {row["due"] for row in rows} == {None, "2026-04-04"}


def test_what_the_file_does_not_tell_is_asked_and_answered(client: httpx.Client, server: Server) -> None:
    address = upload(client, "x.csv", b"Title,Due\nOne,05/01/2026\nTwo,06/02/2026\n")
    until(client, address, settled)
    page = client.get(address).text
    assert "Which number comes first in the dates of “Due”?" in page
    assert "<code>05/01/2026</code>" in page
    for order, expected in (("day", ["2026-01-05", "2026-02-06"]), ("month", ["2026-05-01", "2026-06-02"])):
        assert client.post(f"{address}/columns", data={"_order": order}).status_code == 303
        each = until(client, address, settled)
        assert [row["due"] for row in each["understood"]["sample"]] == expected
        assert "Which number comes first" not in client.get(address).text
    client.post(f"{address}/start")
    until(client, address, settled)
    assert [row["due"] for row in server.sql("SELECT due FROM tasks ORDER BY id")] == expected


@pytest.mark.parametrize(
    ("name", "content", "titles"),
    [
        ("a.csv", "Buy nails,2026-05-01\nPaint the shed,2026-05-02\n", ["Buy nails", "Paint the shed"]),
        ("b.txt", "Buy nails\nPaint the shed\n", ["Buy nails", "Paint the shed"]),
        ("c.txt", "Milk, bread\nTea\nNails, screws, tape\n", ["Milk, bread", "Tea", "Nails, screws, tape"]),
        ("d.csv", "sep=;\r\nBuy nails;01.05.2026\r\n", ["Buy nails"]),
        ("e.csv", "Titel;Fällig;Erledigt\nFegen;01.05.2026;WAHR\n", ["Fegen"]),
        ("f.csv", '"title","due"\n"Say \\"hello, you\\" to Kim","2026-05-01"\n', ['Say "hello, you" to Kim']),
        ("g.csv", '"title","due"\n"C:\\dir\\","2026-05-01"\n"Say ""hi""",\n', ["C:\\dir\\", 'Say "hi"']),
        ("h.csv", '"title","due"\n"Say \\"hi\\" in C:\\new","2026-05-01"\n', ['Say "hi" in C:\\new']),
        ("i.csv", "Title,Due\nOne,\nTitle,Due\nTwo,\n", ["One", "Two"]),
        ("j.csv", b"title,notes\nOne\0 with a zero,x\nTwo,y\n", ["One with a zero", "Two"]),
        ("k.csv", b"title,n\na\0,c\n", ["a"]),
        ("l.txt", "Title\tDue\nFür Zoë\t\n".encode("utf-16-be"), ["Für Zoë"]),
        ("m.csv", "\ufeff\ufeffTitle,Due\nOne,\n".encode(), ["One"]),
        ("n.csv", "Title,Due\nOne,\n".encode("utf-32"), ["One"]),
        ("o.csv", "Zadanie,Title\nx,Kupić masło\ny,éö\n".encode("cp1250"), ["Kupić masło", "éö"]),
        ("p.csv", "Title,x\n" + "Café,y\n" * 3 + "Zażółć gęślą jaźń\n" * 30, ["Café"] * 3 + ["Zażółć gęślą jaźń"] * 30),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 8 else "",
)
def test_tables_are_read(tmp_path: Path, name: str, content: str | bytes, titles: list[str]) -> None:
    rows = rows_of(tmp_path, name, content)
    assert [row["title"] for row in rows] == titles


def test_a_damaged_row_is_a_problem_and_never_shifted(client: httpx.Client, server: Server) -> None:
    each, rows = read(client, server, "x.csv", 'title,notes,due\n"Say "hi, you" to",a,2026-05-01\nTwo,b,2026-05-02\n')
    assert [(problem["line"], problem["reason"][:19]) for problem in each["problems"]] == [(2, "A quotation mark in")]
    assert [(row["title"], row["due"]) for row in rows] == [("Two", "2026-05-02")]


def test_what_was_given_up_is_not_open(client: httpx.Client, server: Server) -> None:
    content = (
        "Title,Status,Completed,Canceled\nShip,Done,2026-04-20T10:00:00.000Z,\nNever,Canceled,,2026-04-21T10:00:00.000Z\n"
        "Open,Todo,,\nSaid,Done,,\nWon't,Won't do,,\n"
    )
    _, rows = read(client, server, "linear.csv", content)
    assert [row["done"] for row in rows] == [1, 1, 0, 1, 1]
    assert "Status: Canceled" in rows[1]["notes"]


def test_a_project_of_todoist_may_have_any_shape(client: httpx.Client, server: Server) -> None:
    records = [
        TODOIST | {"TYPE": "task", "CONTENT": "Sort", "PRIORITY": 4},
        TODOIST | {"TYPE": "note", "CONTENT": "Two boxes"},
        dict.fromkeys(["TYPE", "CONTENT", *TODOIST]),
        {"TYPE": "task", "CONTENT": {"a": [1]}, "DATE": {"date": "2026-05-01"}, "EXTRA": []},
        {"CONTENT": "Short", "PRIORITY": [None]},
        {"TYPE": ["x"], "CONTENT": 7},
    ]
    _, rows = read(client, server, "todoist.json", json.dumps(records))
    assert [(row["title"], row["due"]) for row in rows] == [
        ("Sort", None),
        ('{"a":[1]}', "2026-05-01"),
        ("Short", None),
    ]
    assert rows[0]["notes"].startswith("Two boxes")


def test_every_guess_can_be_contradicted(client: httpx.Client, server: Server) -> None:
    content = "Titre;Date\nDîner;05/01/2026\n".encode("cp1252")
    address = upload(client, "x.csv", content)
    until(client, address, settled)
    page = client.get(address).text
    for name in ("header", "delimiter", "quotes", "encoding"):
        assert f'name="_{name}"' in page

    def after(**choices: str) -> dict[str, Any]:
        assert client.post(f"{address}/columns", data=choices).status_code == 303
        each = until(client, address, settled)
        assert each["state"] == "ready"
        return each

    each = after(_header="no")
    assert [column["name"] for column in each["understood"]["columns"]] == ["Column 1", "Column 2"]
    assert each["rows_total"] == 2
    each = after(title="Column 1", due="Column 2")
    each = after(_encoding="cp1251")
    assert each["understood"]["encoding"] == "Windows-1251"
    assert each["understood"]["choices"]["header"] == "no"
    each = after(_encoding="cp1252", _header="yes")
    each = after(title="Titre", due="Date", _order="day")
    assert each["understood"]["sample"][0]["title"] == "Dîner"
    assert each["understood"]["sample"][0]["due"] == "2026-01-05"
    each = after(_delimiter="none")
    assert (each["understood"]["delimiter"], each["understood"]["choices"]["order"]) == (None, "day")
    each = after(_delimiter="", _quotes="none", title="", notes="")
    assert each["understood"]["quotes"] == "none"


def test_a_choice_with_which_the_file_cannot_be_read_changes_nothing(client: httpx.Client, server: Server) -> None:
    address = upload(client, "x.csv", "Title,Due\nKäse,\n".encode())
    before = until(client, address, settled)
    client.post(f"{address}/columns", data={"_encoding": "utf-16"})
    each = until(client, address, settled)
    assert (each["state"], each["rows_total"]) == ("ready", 1)
    assert "It could not be read so" in client.get(address).text
    assert each["understood"] == before["understood"]
    client.post(f"{address}/columns", data={"_encoding": "utf-8"})
    assert until(client, address, settled)["error"] == ""
    client.post(f"{address}/start")
    until(client, address, settled)
    assert [row["title"] for row in server.sql("SELECT title FROM tasks")] == ["Käse"]


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"_encoding": "rot13"}, "nothing to choose for “encoding”"),
        ({"_delimiter": "x"}, "nothing to choose for “delimiter”"),
        ({"_order": "<b>"}, "“&lt;b&gt;” is nothing to choose"),
        ({"_zone": "Nowhere/Else"}, "no time zone called “Nowhere/Else”"),
        ({"_zone": "../" * 50}, "no time zone called"),
        ({"title": "Gone"}, "no such column for “Title”"),
    ],
)
def test_what_there_is_not_to_choose_is_refused(client: httpx.Client, choices: dict[str, str], words: str) -> None:
    address = upload(client, "x.csv", b"title\nOne\n")
    before = until(client, address, settled)
    answer = client.post(f"{address}/columns", data=choices)
    assert answer.status_code == 422
    assert words in answer.text
    assert client.get(address, headers={"accept": "application/json"}).json() == before


def test_an_upload_may_say_how_it_is_to_be_read(client: httpx.Client, server: Server) -> None:
    files = {"file": ("x.csv", "Title\nŻółć\n".encode("cp1250"))}
    failed = client.post("/imports", files=files, data={"_encoding": "utf-8"})
    each = until(client, failed.headers["location"], settled)
    assert each["state"] == "failed"
    assert "Line 2 is not written in UTF-8. Choose another encoding" in each["error"]
    assert "say how it is to be read" in client.get(failed.headers["location"]).text
    assert 'name="_encoding"' in client.get("/imports?choices=yes").text
    again = client.post("/imports", files=files, data={"_encoding": "cp1250"})
    each = until(client, again.headers["location"], settled)
    assert each["understood"]["sample"][0]["title"] == "Żółć"
    assert client.post("/imports", files=files, data={"_encoding": "x"}).status_code == 422


def test_the_zone_of_the_browser_can_be_contradicted(client: httpx.Client, server: Server) -> None:
    content = '[{"name": "a", "due": "2026-05-02T01:00:00.000Z"}]'
    _, rows = read(client, server, "x.json", content, "America/Los_Angeles", _zone="Europe/Berlin")
    assert dues(rows) == ["2026-05-02"]


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are only there beside the project")
def test_no_case_is_read_wrongly(tmp_path: Path) -> None:
    expected: dict[str, Any] = {
        "02-narrow-space.csv": ["2026-05-01", "2026-05-02"],
        "03-js-date-string.csv": ["2026-05-01"] * 3,
        "04-todoist-null.json": [None],
        "04-todoist-order.csv": ["2026-05-01", None],
        "05-no-header.csv": ["2026-05-01", "2026-05-02", "2026-05-03"],
        "05-no-header.txt": [None] * 3,
        "06-backslash.csv": ["2026-05-01", "2026-05-02"],
        "07-all-day-zone.csv": ["2026-05-02"],
        "08-trello-evening.json": ["2026-05-01"],
        "09-formula-dates.csv": [None] * 3,
        "09-german-booleans.csv": ["2026-05-01", "2026-05-02"],
        "09-sep.csv": ["2026-05-01"],
        "09-utf16.txt": ["2026-05-01"],
        "10-notion.csv": ["2026-12-01"] * 3,
        "11-jira.csv": ["2026-05-01"],
        "12-linear.csv": [None, "2026-05-01"],
        "13-mixed.csv": [None, None],
        "13-two-dates.csv": [None, None],
        "14-graph.json": ["2026-05-01"],
        "15-lines.csv": [None] * 3,
        "15-lone-surrogate.json": [None],
        "15-nul.csv": [None, None],
        "16-by-id.json": ["2026-05-01", "2026-05-02"],
        "begins-with-a-dash.csv": [None],
    }
    found = {
        name: dues(rows_of(tmp_path, name, (CASES / name).read_bytes(), "America/Los_Angeles")) for name in expected
    }
    assert found == expected
    for name, words in (("17-book.xlsx", "ZIP or Excel"), ("17-empty.csv", "empty")):
        with pytest.raises(UnreadableFile, match=words):
            rows_of(tmp_path, name, (CASES / name).read_bytes())
