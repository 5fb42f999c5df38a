"""Tasks as other programs export them: every one comes in, packed or not, with all that it says."""

import gzip
from typing import Any

import httpx
import pytest

from app.imports.reading.files.formats import opened
from app.imports.reading.process import messages
from app.imports.reading.values.choices import NONE
from app.tasks import KIND
from templates.tasks import Task
from tests.engine.app.imports.reading.test_process import problems, read
from tests.engine.conftest import ROOT, Server
from tests.importing import bring

EXPORTS = ROOT / "tests/engine/exports"
NAMES = sorted(path.name for path in EXPORTS.iterdir())


def told_of(name: str) -> list[dict[str, Any]]:
    """The messages about an export."""
    return list(messages(EXPORTS / name, name, KIND, NONE, False))


def tasks(found: list[dict[str, Any]]) -> list[Task]:
    return [Task(*row) for message in found for row in message.get("rows", [])]


@pytest.mark.parametrize(
    ("name", "format", "count"),
    [
        ("asana.csv", "CSV", 3),
        ("github-api.json", "JSON", 2),
        ("github-issues.json", "JSON", 2),
        ("github-projects.tsv", "TSV", 3),
        ("google-tasks.json", "JSON", 3),
        ("own.csv", "CSV", 3),
        ("own.json", "JSON", 3),
        ("notion.csv", "CSV", 2),
        ("outlook.csv", "CSV", 2),
        ("ticktick.csv", "CSV", 2),
        ("todo.ndjson", "newline JSON", 2),
        ("todoist.csv", "CSV", 7),
        ("trello-board.json", "JSON", 3),
    ],
)
def test_every_program_is_read(name: str, format: str, count: int) -> None:
    file = opened(EXPORTS / name, name, KIND)
    assert (file.format, len(list(file.records()))) == (format, count)
    assert file.is_own == name.startswith("own")
    assert list(file.records()) == list(file.records())


def test_a_board_of_github_is_understood_as_tasks() -> None:
    code, (understood, batch, *_, end) = read(EXPORTS / "github-projects.tsv", kind=KIND)
    assert code == 0
    assert understood["understood"]["columns"][3] == {
        "name": "Status",
        "field": "done",
        "examples": ["In Progress", "Todo", "Done"],
    }
    assert understood["understood"]["columns"][4] == {"name": "Labels", "field": None, "examples": ["bug"]}
    notes = "URL: https://github.com/ada/lists/issues/42\nAssignees: ada\nStatus: In Progress\nLabels: bug"
    first = [None, "Keep the scroll position", notes, "2026-05-01", 0, None, None]
    assert batch["rows"][0] == first
    assert understood["understood"]["sample"][0] == dict(zip(KIND.columns, first, strict=True))
    assert end == {"end": {"rows": 3, "problems": 0}}


def test_a_check_counts_the_rows_and_says_the_rest_alike() -> None:
    for name in ("todoist.csv", "trello-board.json"):
        _, (understood, batch, *_, end) = read(EXPORTS / name, kind=KIND)
        _, (understood_by_check, checked, *_, end_of_check) = read(EXPORTS / name, "--check", kind=KIND)
        assert (understood_by_check, end_of_check) == (understood, end)
        assert checked == batch | {"rows": len(batch["rows"])}


def test_todoist_comes_with_its_comments_and_sections() -> None:
    found = told_of("todoist.csv")
    assert [(task.title, task.due) for task in tasks(found)] == [
        ("Renew the passport @errands", "2026-05-01"),
        ("Find the birth certificate", "2026-04-20"),
        ("Water the tomatoes", None),
        ("Order “Black Cherry” seeds 🌱", "2026-03-31"),
    ]
    passport, certificate, tomatoes, seeds = tasks(found)
    assert "The office opens at nine\n— Ada (1842613), 2026-04-02T07:02:05" in passport.notes
    assert "INDENT: 2" in certificate.notes
    assert "DATE: every day" in tomatoes.notes
    assert "Section: Garden" in tomatoes.notes
    assert "DATE: 2026-03-31 at 11:00" in seeds.notes
    assert [problem["line"] for problem in problems(found)] == [2, 9]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("asana.csv", [("Launch the site", "2026-05-01", 0), ("Write the copy", "2026-04-19", 1)]),
        ("github-api.json", [("Keep the scroll position", None, 0), ("Typo in the README", None, 1)]),
        ("google-tasks.json", [("Renew the passport", "2026-05-01", 0), ("Post the form", None, 1)]),
        ("notion.csv", [("Plan the trip", "2026-05-01", 0), ("Book the hotel", "2026-04-20", 1)]),
        ("outlook.csv", [("Reisepass verlängern", "2026-05-01", 0), ("Rechnung über 80 € bezahlen", "2026-04-20", 1)]),
        ("ticktick.csv", [("Buy boots", "2026-05-01", 0), ("Stretch", None, 1)]),
        ("todo.ndjson", [("Buy milk", None, 0), ("Pay the rent", "2026-05-01", 1)]),
        ("trello-board.json", [("Paint the fence", "2026-05-01", 0), ("Mend the gate", "2026-04-20", 1)]),
    ],
)
def test_tasks_of_other_programs_come_in(name: str, expected: list[Any]) -> None:
    found = told_of(name)
    assert [(task.title, task.due, task.done) for task in tasks(found)[:2]] == expected
    assert problems(found) == []


def test_which_list_was_taken_is_told_and_which_were_not() -> None:
    understood = told_of("trello-board.json")[0]["understood"]
    assert understood["list"] == "cards"
    assert understood["other_lists"].items() >= {"actions": 6, "lists": 3, "checklists.checkItems": 4}.items()


@pytest.mark.parametrize("name", NAMES)
def test_exports_of_other_programs_come_in_whole(client: httpx.Client, server: Server, name: str) -> None:
    content = (EXPORTS / name).read_bytes()
    done = bring(client, name, content)
    assert done["state"] == "done"
    assert done["rows_done"] == done["rows_total"] > 0
    assert len(server.sql("SELECT id FROM tasks")) == done["rows_total"]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in ("todoist.csv", "trello-board.json") else pytest.mark.slow)
        for name in NAMES
    ],
)
def test_they_come_in_alike_when_they_are_packed(client: httpx.Client, server: Server, name: str) -> None:
    def found(name: str, content: bytes) -> list[tuple[Any, ...]]:
        server.sql("DELETE FROM tasks")
        assert bring(client, name, content)["state"] == "done"
        return [tuple(row)[1:5] for row in server.sql("SELECT * FROM tasks ORDER BY id")]

    content = (EXPORTS / name).read_bytes()
    assert found(f"{name}.gz", gzip.compress(content)) == found(name, content)
