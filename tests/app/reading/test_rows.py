"""The process that reads a file: its messages, its exit, and that no file makes it large or slow."""

import csv
import gzip
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.kinds import to_json
from app.reading import rows
from app.reading.rows import BATCH_ROWS, LISTED_PROBLEMS, messages
from app.tasks import COLUMNS, KIND
from templates.tasks import Task
from tests.conftest import ROOT

EXPORTS = ROOT / "tests/exports"
AS_TASKS = ("--kind", to_json(KIND))
# A process of its own between the test and the reader: Linux counts the memory of a parent to its children.
MEASURED = """
import resource, subprocess, sys
code = subprocess.call([sys.executable, "-m", "app.reading.rows", *sys.argv[1:]])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
sys.exit(code)
"""
LARGEST = 60 * 1024**2


def read(path: Path, *options: str) -> tuple[int, list[dict[str, Any]]]:
    """The exit code and the messages of the process."""
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "app.reading.rows",
        path,
        "--name",
        path.name,
        *AS_TASKS,
        *options,
    ]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60)
    assert process.stderr == b""
    return process.returncode, [json.loads(line) for line in process.stdout.splitlines()]


def told(path: Path, content: str | bytes, check: bool = False, **columns: str | None) -> list[dict[str, Any]]:
    """The messages about some content, without a process."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(messages(path, path.name, KIND, columns, check))


def tasks(found: list[dict[str, Any]]) -> list[Any]:
    return [Task(*row) for message in found for row in message.get("rows", [])]


def problems(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [problem for message in found for problem in message.get("problems", [])]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "upload.csv"


def test_the_process_says_what_the_file_is_then_its_rows_then_how_many() -> None:
    path = EXPORTS / "github-projects.tsv"
    code, (understood, batch, last, end) = read(path)
    size = path.stat().st_size
    assert code == 0
    assert understood["understood"] | {"columns": [], "sample": []} == {
        "format": "TSV",
        "encoding": "UTF-8",
        "delimiter": "\t",
        "compressed": False,
        "list": None,
        "other_lists": {},
        "columns": [],
        "sample": [],
        "own_export": False,
    }
    assert understood["understood"]["columns"][3] == {
        "name": "Status",
        "field": "done",
        "examples": ["In Progress", "Todo", "Done"],
    }
    assert understood["understood"]["columns"][4] == {"name": "Labels", "field": None, "examples": ["bug"]}
    notes = "URL: https://github.com/ada/lists/issues/42\nAssignees: ada\nStatus: In Progress\nLabels: bug"
    first = [None, "Keep the scroll position", notes, "2026-05-01", 0, None, None]
    assert batch["rows"][0] == first
    assert understood["understood"]["sample"][0] == dict(zip(COLUMNS, first, strict=True))
    assert (batch["bytes"], batch["size"]) == (size, size)
    assert last == {"rows": [], "problems": [], "bytes": size, "size": size}
    assert end == {"end": {"rows": 3, "problems": 0}}


def test_a_check_counts_the_rows_and_says_the_rest_alike() -> None:
    for name in ("todoist.csv", "trello-board.json"):
        _, (understood, batch, *_, end) = read(EXPORTS / name)
        _, (understood_by_check, checked, *_, end_of_check) = read(EXPORTS / name, "--check")
        assert (understood_by_check, end_of_check) == (understood, end)
        assert checked == batch | {"rows": len(batch["rows"])}


def test_a_file_that_cannot_be_read_is_one_sentence_and_exit_code_1(path: Path) -> None:
    path.write_bytes(b"\x89PNG\r\n\x1a\n")
    code, (message,) = read(path)
    assert code == 1
    assert message["error"].startswith("This is a picture")


def test_a_file_that_is_gone_is_one_sentence_and_exit_code_1(path: Path) -> None:
    code, found = read(path.with_name("gone.csv"))
    assert code == 1
    assert [list(message) for message in found] == [["error"]]


def test_a_mistake_late_in_a_file_comes_after_its_rows(path: Path) -> None:
    path.write_text("title,notes\n" + "a,b\n" * 2500 + 'c,"d\n')
    code, found = read(path)
    assert code == 1
    assert len(tasks(found)) >= 2000
    assert "line 2,502 is never closed" in found[-1]["error"]


def test_it_ends_quietly_when_nobody_listens(path: Path) -> None:
    path.write_text("title\n" + "row\n" * 200_000)
    command: list[str | Path] = [sys.executable, "-m", "app.reading.rows", path, "--name", "x", *AS_TASKS]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_a_person_may_choose_the_columns(path: Path) -> None:
    content = "Name,Headline,When,Due\na,b,2026-05-01,2026-06-01\n"
    path.write_text(content)
    _, found = read(path, "--columns", '{"title": "Headline", "due": null}')
    assert [column["field"] for column in found[0]["understood"]["columns"]] == [None, "title", None, None]
    assert list(map(list, tasks(found))) == [
        [None, "b", "Name: a\nWhen: 2026-05-01\nDue: 2026-06-01", None, 0, None, None]
    ]
    with pytest.raises(rows.UnreadableFile, match="no column “Gone”"):
        told(path, content, title="Gone")


def test_our_own_exports_come_back_as_they_were(path: Path) -> None:
    notes = "'quoted'\n- first\n- second"
    expected = [
        [1, "Buy milk", "", "2026-05-01", 0, "2026-04-01T08:00:00.123Z", "2026-04-01T08:00:00.123Z"],
        [7, "=1+1 is two", notes, None, 1, "2026-04-02T08:00:00.000Z", "2026-04-20T16:00:00.500Z"],
        [8, "'=kept", "-", None, 0, "2026-04-03T08:00:00.000Z", "2026-04-03T08:00:00.000Z"],
    ]
    for name in ("own.csv", "own.json"):
        found = told(path, (EXPORTS / name).read_bytes())
        assert found[0]["understood"]["own_export"]
        assert [list(task) for task in tasks(found)] == expected


def test_todoist_comes_with_its_comments_and_sections(path: Path) -> None:
    found = told(path, (EXPORTS / "todoist.csv").read_bytes())
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
        ("notion.csv", [("Plan the trip", "2026-05-01", 0), ("Book the hotel", None, 1)]),
        ("outlook.csv", [("Reisepass verlängern", "2026-05-01", 0), ("Rechnung über 80 € bezahlen", "2026-04-20", 1)]),
        ("ticktick.csv", [("Buy boots", "2026-05-01", 0), ("Stretch", None, 1)]),
        ("todo.ndjson", [("Buy milk", None, 0), ("Pay the rent", "2026-05-01", 1)]),
        ("trello-board.json", [("Paint the fence", "2026-05-01", 0), ("Mend the gate", "2026-04-20", 1)]),
    ],
)
def test_tasks_of_other_programs_come_in(path: Path, name: str, expected: list[Any]) -> None:
    found = told(path, (EXPORTS / name).read_bytes())
    assert [(task.title, task.due, task.done) for task in tasks(found)[:2]] == expected
    assert problems(found) == []


def test_which_list_was_taken_is_told_and_which_were_not(path: Path) -> None:
    understood = told(path, (EXPORTS / "trello-board.json").read_bytes())[0]["understood"]
    assert understood["list"] == "cards"
    assert understood["other_lists"].items() >= {"actions": 6, "lists": 3, "checklists.checkItems": 4}.items()


def test_the_day_is_first_where_the_first_rows_say_so(path: Path) -> None:
    rows = "title,due\na,01/05/2026\nb,02/05/2026\n"
    assert [task.due for task in tasks(told(path, rows))] == ["2026-01-05", "2026-02-05"]
    assert [task.due for task in tasks(told(path, rows + "c,13/05/2026\n"))] == [
        "2026-05-01",
        "2026-05-02",
        "2026-05-13",
    ]


def test_batches_are_bounded_and_progress_only_grows(path: Path) -> None:
    short = "".join(f"row {number},{random.Random(number).random()}\n" for number in range(3 * BATCH_ROWS))
    found = told(path, gzip.compress(f"title,x\n{short}".encode()))
    sizes = [len(message["rows"]) for message in found if "rows" in message]
    assert sizes == [BATCH_ROWS, BATCH_ROWS, BATCH_ROWS, 0]
    progress = [message["bytes"] for message in found if "bytes" in message]
    assert progress == sorted(progress)
    assert progress[-1] == path.stat().st_size == found[-2]["size"]
    long = f"row,{'x' * 500_000}\n" * 10
    assert max(len(message["rows"]) for message in told(path, f"title,notes\n{long}") if "rows" in message) == 3


def test_problems_are_listed_only_so_far_and_counted_all(path: Path) -> None:
    found = told(path, "title,notes\n" + ",lost\n" * 2500 + "a,b\n", check=True)
    assert [problem["line"] for problem in problems(found)] == list(range(2, LISTED_PROBLEMS + 2))
    assert found[-1] == {"end": {"rows": 1, "problems": 2500}}


def test_examples_and_samples_are_few_short_and_different(path: Path) -> None:
    content = "title,notes\n" + f'a,"b\n {"x" * 1000}"\n' * 3 + "a,c\nd,e\nf,g\nh,i\nj,k\n"
    understood = told(path, content)[0]["understood"]
    assert understood["columns"][0]["examples"] == ["a", "d", "f"]
    assert [len(example) for example in understood["columns"][1]["examples"]] == [60, 1, 1]
    assert understood["columns"][1]["examples"][0].startswith("b xxx")
    assert [len(task["notes"]) for task in understood["sample"]] == [500, 500, 500, 1, 1]


def test_letters_that_no_database_holds_are_replaced(path: Path) -> None:
    path.write_text('{"title": "a\\ud800", "\\udfff": "b\\ud800\\u0000c"}\n{"title": "d"}\n')
    _, found = read(path)
    assert tasks(found)[0][1:3] == ("a�", "�: b�c")


BAD = {
    "zeros.csv.gz": lambda: gzip.compress(bytes(100 * 1024**2), 1) * 100,
    "one_letter.csv.gz": lambda: gzip.compress(b"title\n") + gzip.compress(b"a" * 100 * 1024**2, 1) * 100,
    "line.csv": lambda: b"title\n" + b"x" * 50 * 1024**2,
    "quote.csv": lambda: b'title,notes\n"' + b"a,b\n" * 10 * 1024**2,
    "columns.csv": lambda: ",".join(f"c{number}" for number in range(100_000)).encode() + b"\n1\n",
    "text.json": lambda: b'[{"title": "' + b"x" * 50 * 1024**2 + b'"}]',
    "deep.json": lambda: b"[" * 10 * 1024**2,
    "picture.png": lambda: b"\x89PNG\r\n\x1a\n" + bytes(1000),
}


@pytest.mark.parametrize("name", BAD)
def test_no_bad_file_makes_the_process_large_or_slow(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(BAD[name]())
    begin = time.monotonic()
    code, lines, size = measured(path)
    assert (code, len(lines)) == (1, 1)
    assert len(json.loads(lines[0])["error"]) > 20
    assert size < LARGEST
    # Far more than it takes, for machines that are busy.
    assert time.monotonic() - begin < 10


@pytest.mark.slow
@pytest.mark.parametrize("name", ["million.csv", "million.json", "million.ndjson"])
def test_a_million_rows_leave_the_process_small(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with path.open("w", encoding="utf-8", newline="") as file:
        write_million(file, name)
    code, lines, size = measured(path)
    assert code == 0
    assert json.loads(lines[-1]) == {"end": {"rows": 1_000_000, "problems": 0}}
    assert size < LARGEST


def measured(path: Path) -> tuple[int, list[bytes], int]:
    """The exit code of a check, its messages, and the most memory that it took."""
    command: list[str | Path] = [sys.executable, "-c", MEASURED, path, "--name", path.name, *AS_TASKS, "--check"]
    process = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)})
    *lines, size = process.stdout.splitlines()
    return process.returncode, lines, int(size)


def write_million(file: Any, name: str) -> None:
    rows = million()
    if name.endswith(".csv"):
        writer = csv.DictWriter(file, ["Title", "Notes", "Due", "Done", "Priority"])
        writer.writeheader()
        writer.writerows(rows)
        return
    is_list = name.endswith(".json")
    file.write("[" if is_list else "")
    for number, row in enumerate(rows):
        file.write(("," if is_list and number else "") + json.dumps(row, ensure_ascii=False) + "\n")
    file.write("]" if is_list else "")


def million() -> Iterator[dict[str, str]]:
    for number in range(1_000_000):
        yield {
            "Title": f"Task {number} — buy milk",
            "Notes": "some notes\nand a second line" if number % 3 else "",
            "Due": f"2026-{number % 12 + 1:02}-{number % 28 + 1:02}",
            "Done": "yes" if number % 2 else "no",
            "Priority": str(number % 4),
        }
