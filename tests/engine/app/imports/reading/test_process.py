"""The process that reads a file: its messages, its exit, and that no file makes it large or slow."""

import contextlib
import csv
import gzip
import io
import json
import random
import subprocess
import sys
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.imports.reading import process as rows_module
from app.imports.reading.process import BATCH_ROWS, LISTED_PROBLEMS, messages
from app.imports.reading.values.choices import NONE, Choices, choices_of
from app.imports.reading.values.columns import harmless
from app.records.kinds import Field, Kind, to_json
from tests.engine.app.imports.reading.kind import COLUMNS, KIND
from tests.engine.conftest import ROOT

Task = namedtuple("Task", COLUMNS)  # type: ignore[misc]
AS_TASKS = ("--kind", to_json(KIND))
# Reads one file after another, each in a process of its own: a fork, for which nothing is started or imported again. It
# stands between the test and the reader, as Linux counts the memory of a parent to its children.
READERS = """
import json, os, sys
from app.imports.reading import process as rows
for line in sys.stdin:
    arguments, output = json.loads(line)
    child = os.fork()
    if child == 0:
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT), sys.stdout.fileno())
        sys.argv = ["rows", *arguments]
        sys.exit(rows.main())
    _, status, usage = os.wait4(child, 0)
    size = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(os.waitstatus_to_exitcode(status), size, int(usage.ru_utime + usage.ru_stime), flush=True)
"""
LARGEST = 60 * 1024**2
Readers = subprocess.Popen[str]


def read(path: Path, *options: str, kind: Kind = KIND) -> tuple[int, list[dict[str, Any]]]:
    """The exit code and the messages of the process."""
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "app.imports.reading.process",
        path,
        "--name",
        path.name,
        "--kind",
        to_json(kind),
        *options,
    ]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60)
    assert process.stderr == b""
    return process.returncode, [json.loads(line) for line in process.stdout.splitlines()]


def told(path: Path, content: str | bytes, check: bool = False, **columns: str | None) -> list[dict[str, Any]]:
    """The messages about some content, without a process."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(messages(path, path.name, KIND, Choices(columns), check))


def tasks(found: list[dict[str, Any]]) -> list[Any]:
    return [Task(*row) for message in found for row in message.get("rows", [])]


def problems(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [problem for message in found for problem in message.get("problems", [])]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "upload.csv"


@pytest.fixture(scope="module")
def readers() -> Iterator[Readers]:
    """The process that reads one file after another."""
    command = [sys.executable, "-c", READERS]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    ) as process:
        yield process


def test_the_process_says_what_the_file_is_then_its_rows_then_how_many(path: Path) -> None:
    path.write_text("Title;Status;Labels\nScroll;In Progress;bug\nRead;Done;\n;Todo;\n", encoding="utf-8")
    code, (understood, batch, last, end) = read(path)
    size = path.stat().st_size
    assert code == 0
    assert understood["understood"] | {"columns": [], "sample": []} == {
        "format": "CSV",
        "encoding": "UTF-8",
        "zeros": 0,
        "delimiter": ";",
        "quotes": "doubled",
        "header": True,
        "compressed": False,
        "list": None,
        "other_lists": {},
        "more_lists": 0,
        "columns": [],
        "sample": [],
        "own_export": False,
        "choices": Choices().as_json(),
        "dates": [],
        "facts": {"orders": {}, "examples": {}, "mixed": [], "instants": [], "serials": []},
    }
    status, labels = understood["understood"]["columns"][1:]
    assert status == {"name": "Status", "field": "done", "examples": ["In Progress", "Done", "Todo"]}
    assert labels == {"name": "Labels", "field": None, "examples": ["bug"]}
    first = [None, "Scroll", "Status: In Progress\nLabels: bug", None, 0, None, None]
    assert batch["rows"] == [first, [None, "Read", "", None, 1, None, None]]
    assert understood["understood"]["sample"][0] == dict(zip(COLUMNS, first, strict=True))
    assert (batch["bytes"], batch["size"]) == (size, size)
    assert [problem["line"] for problem in batch["problems"]] == [4]
    assert last == {"columns": [*COLUMNS], "rows": [], "problems": [], "bytes": size, "size": size}
    assert end == {"end": {"rows": 2, "problems": 1}}
    _, (understood_by_check, checked, *_, end_of_check) = read(path, "--check")
    assert (understood_by_check, end_of_check) == (understood, end)
    assert checked == batch | {"rows": 2}


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
    path.write_text("title,notes\n" + "a,b\n" * 2500 + 'c,"d\n', encoding="utf-8")
    code, found = read(path, "--choices", '{"facts": {}}')
    assert code == 1
    assert len(tasks(found)) >= 2000
    assert "line 2,502 is never closed" in found[-1]["error"]


def test_it_ends_quietly_when_nobody_listens(path: Path) -> None:
    path.write_text("title\n" + "row\n" * 50_000, encoding="utf-8")
    command: list[str | Path] = [sys.executable, "-m", "app.imports.reading.process", path, "--name", "x", *AS_TASKS]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_a_person_may_choose_the_columns(path: Path) -> None:
    content = "Name,Headline,When,Due\na,b,2026-05-01,2026-06-01\n"
    path.write_text(content, encoding="utf-8")
    _, found = read(path, "--choices", '{"columns": {"title": "Headline", "due": null}}')
    assert [column["field"] for column in found[0]["understood"]["columns"]] == [None, "title", None, None]
    assert list(map(list, tasks(found))) == [
        [None, "b", "Name: a\nWhen: 2026-05-01\nDue: 2026-06-01", None, 0, None, None]
    ]
    assert tasks(told(path, content, title="Gone"))[0].title == "a", "one that is gone is looked for anew"


def test_our_own_exports_come_back_as_they_were(path: Path) -> None:
    notes = "'quoted'\n- first\n- second"
    expected = [
        [1, "Buy milk", "", "2026-05-01", 0, "2026-04-01T08:00:00.123Z", "2026-04-01T08:00:00.123Z"],
        [7, "=1+1 is two", notes, None, 1, "2026-04-02T08:00:00.000Z", "2026-04-20T16:00:00.500Z"],
        [8, "'=kept", "-", None, 0, "2026-04-03T08:00:00.000Z", "2026-04-03T08:00:00.000Z"],
    ]
    as_json = json.dumps([dict(zip(COLUMNS, row, strict=True)) for row in expected])
    as_csv = io.StringIO()
    cells = [["" if cell is None else harmless(str(cell)) for cell in row] for row in expected]
    csv.writer(as_csv).writerows([COLUMNS, *cells])
    for content in (as_json, as_csv.getvalue()):
        found = told(path, content)
        assert found[0]["understood"]["own_export"]
        assert [list(task) for task in tasks(found)] == expected


TRIPS = Kind(
    "trips",
    "deleted_trips",
    "trip",
    "trips",
    (Field("name", "Name", "line", required=True), Field("start", "Start", "day"), Field("finish", "Finish", "day")),
)


def test_columns_of_one_file_agree_on_the_order_of_dates(path: Path) -> None:
    path.write_text("Name,Start,Finish\nSea,03/04/2026,25/04/2026\nHills,05/06/2026,07/06/2026\n", encoding="utf-8")
    found = list(messages(path, path.name, TRIPS, NONE, check=False))
    assert [row[1:4] for message in found for row in message.get("rows", [])] == [
        ["Sea", "2026-04-03", "2026-04-25"],
        ["Hills", "2026-06-05", "2026-06-07"],
    ]


def test_what_a_check_has_found_is_what_is_written(path: Path) -> None:
    content = "title,due\n" + "a,01/05/2026\n" * 1500 + "b,13/05/2026\n"
    checked = told(path, content, check=True)
    first, last = (message["understood"] for message in checked if "understood" in message)
    assert [each["sample"][0]["due"] for each in (first, last)] == [None, "2026-05-01"]
    assert [message["end"] for message in checked if "end" in message] == [{"rows": 1501, "problems": 0}]
    choices = choices_of({"facts": json.loads(json.dumps(last["facts"]))})
    rows = tasks(list(messages(path, path.name, KIND, choices, check=False)))
    assert {row.due for row in rows} == {"2026-05-01", "2026-05-13"}


ROWS = [
    {"title": "One", "due": "13/05/2026", "notes": "x", "place": "Kiel", "done": "yes"},
    {"title": "Two", "due": "01/05/2026", "notes": "", "place": "", "done": "no"},
    {"title": 'Say "hi", you', "due": "", "notes": "a\nb", "place": "Bonn", "done": ""},
    {"title": "Four", "due": "02/03/2026", "notes": "y", "place": "Ulm", "done": "maybe"},
]


@given(st.permutations(ROWS), st.permutations(list(ROWS[0])), st.sampled_from(["doubled", "backslash"]))
def test_rows_and_columns_in_another_order_are_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str]], columns: list[str], quotes: str
) -> None:
    text = io.StringIO(newline="")
    escape: dict[str, Any] = {"doublequote": False, "escapechar": "\\"} if quotes == "backslash" else {}
    writer = csv.DictWriter(text, columns, quoting=csv.QUOTE_ALL, **escape)
    writer.writeheader()
    writer.writerows(rows)
    path = tmp_path_factory.mktemp("shuffled") / "a.csv"
    found = {
        (row.title, row.due, row.done, frozenset(row.notes.splitlines())) for row in tasks(told(path, text.getvalue()))
    }
    assert found == {
        ("One", "2026-05-13", 1, frozenset({"x", "", "place: Kiel"})),
        ("Two", "2026-05-01", 0, frozenset()),
        ('Say "hi", you', None, 0, frozenset({"a", "b", "", "place: Bonn"})),
        ("Four", "2026-03-02", 0, frozenset({"y", "", "place: Ulm", "done: maybe"})),
    }


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
    path.write_text('{"title": "a\\ud800", "\\udfff": "b\\ud800\\u0000c"}\n{"title": "d"}\n', encoding="utf-8")
    _, found = read(path)
    assert tasks(found)[0][1:3] == ("a�", "�: b�c")


def kept_bytes(found: list[dict[str, Any]]) -> int:
    """How many bytes of text would be written."""
    return sum(len(str(cell).encode()) for task in tasks(found) for cell in task if cell is not None)


def wide(columns: int, name: int, rows: int) -> bytes:
    """A table whose long names come again in each row that is kept."""
    names = ",".join(f"{number:04}{'x' * name}" for number in range(columns))
    return f"title,{names}\n".encode() + (b"a" + b",1" * columns + b"\n") * rows


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(
    ("columns", "name", "rows"),
    [(999, 1000, 300), (999, 20, 200), pytest.param(300, 3000, 1000, marks=pytest.mark.slow)],
)
def test_names_of_columns_do_not_make_much_of_little(path: Path, pack: Any, columns: int, name: int, rows: int) -> None:
    text = wide(columns, name, rows)
    content = pack(text)
    most = 2_000_000 + 16 * min(len(text), 50 * len(content))
    expected: Any = (
        contextlib.nullcontext() if pack is bytes else pytest.raises(rows_module.UnreadableFile, match="names")
    )
    with expected:
        assert kept_bytes(told(path, content)) <= most


def test_rows_of_a_letter_do_not_make_much_of_little(path: Path) -> None:
    with pytest.raises(rows_module.UnreadableFile, match="rows that say the same"):
        told(path, gzip.compress(b"title\n" + b"a\n" * 1_000_000), check=True)


def test_a_survey_with_long_questions_is_kept(path: Path) -> None:
    questions = ",".join(f"How much do you agree with the statement of number {number}?" for number in range(30))
    found = told(path, f"title,{questions}\n" + ("Someone" + ",Yes" * 30 + "\n") * 3000, check=True)
    assert found[-1] == {"end": {"rows": 3000, "problems": 0}}


@pytest.mark.parametrize(
    "content",
    [
        "title,notes\na," + "é" * 600_000 + "\nb,short\n",
        json.dumps([{"title": "a", "notes": "é" * 600_000}, {"title": "b", "notes": "short"}], ensure_ascii=False),
    ],
    ids=["csv", "json"],
)
def test_a_row_that_is_too_long_is_a_problem_and_the_others_come_in(path: Path, content: str) -> None:
    found = told(path, content)
    assert [task.title for task in tasks(found)] == ["b"]
    (problem,) = problems(found)
    assert problem["reason"] == "It has 1.2 MB of text, and a task has at most 1 MB: shorten it, or split it."


def test_a_row_of_far_too_many_values_is_a_problem(path: Path) -> None:
    found = told(path, "title,notes\na" + ",b" * 200_000 + "\nc,d\n")
    assert [task.title for task in tasks(found)] == ["c"]
    assert problems(found) == [{"line": 2, "reason": "It has 200,001 values, more than the 1,000 that a row may have."}]


def test_what_is_said_of_a_file_is_bounded(path: Path) -> None:
    lists = {f"list {number} {'x' * 900}": [{"y": 1}] * (number // 50 + 2) for number in range(500)}
    wide_list = [{f"{number:04}{'z' * 600}": "v" * 100 for number in range(900)} | {"title": "a"}]
    for content in (json.dumps(lists | {"tasks": wide_list}), wide(999, 900, 2), json.dumps(wide_list[0])):
        (message,) = told(path, content)[:1]
        assert len(json.dumps(message)) < 350_000
        names = [column["name"] for column in message["understood"]["columns"]]
        assert len(set(names)) == len(names) >= 900
        assert sum(map(len, names)) < 25_000


def test_columns_with_shortened_names_can_be_chosen(path: Path) -> None:
    names = [f"{'question ' * 20}{number}" for number in range(3)]
    (first, second, third) = (
        column["name"] for column in told(path, json.dumps([dict.fromkeys(names, "x")]))[0]["understood"]["columns"]
    )
    assert len({first, second, third}) == 3
    values = dict(zip(names, ("one", "two", "three"), strict=True))
    for content in (json.dumps([values]), json.dumps(values) + "\n" + json.dumps(values)):
        found = told(path, content, title=second)
        assert tasks(found)[0].title == "two"
        assert tasks(found)[0].notes == f"{first}: one\n{third}: three"


ODD: dict[str, str | bytes] = {
    "digits.json": '[{"title": "a", "n": ' + "9" * 5000 + "}]",
    "digits.ndjson": '{"title": "a"}\n{"title": "a", "n": ' + "9" * 5000 + "}\n",
    "digits-fit.json": '[{"title": "a", "n": ' + "9" * 300 + "}]",
    "exponent.json": '[{"title": "a", "n": 1e999999999, "done": 1e999999999, "due": -1e-999999999}]',
    "exponents.json": '[{"title": "a", "n": 1E+99999999999999999999}]',
    "exponent.ndjson": '{"title": "a"}\n{"title": 1e999999999}\n',
    "exponent-fits.json": '[{"title": "a", "n": [1e9999, -1e999], "done": 1e400}]',
    "exponent-fits.ndjson": '{"title": "a", "n": [1e9999]}\n{"title": "b"}\n',
    "digits in a text.json": '[{"title": "a", "n": "' + "9" * 5000 + ' 1e999999999 \\" 1e99999"}]',
    "digits.csv": "title,due,done,created_at\n" + ",".join(["9" * 100_000] * 4) + "\n",
    "surrogate.json": '[{"title": "\\ud800", "\\udfff": "\\udc00\\ud800"}]',
    "surrogate.ndjson": '{"\\ud800": 1}\n{"title": "\\ud800"}\n',
    "zeros.json": '[{"title": "a\\u0000b", "\\u0000": "c"}]',
    "twice.json": '[{"title": "a", "title": "b", "": 1, "": 2}]',
    "names.json": '[{"' + "x" * 900_000 + '": 1, "title": "a"}]',
    "paths.json": json.dumps({"y" * 200_000: {f"l{number}": [{"a": 1}] for number in range(900)}}),
    "infinity.json": '[{"title": "a", "n": Infinity}]',
    "infinity.csv": "title,due,done\ninf,nan,-Infinity\n",
    "dates.csv": "title,due,created_at\na,9999-12-31,99999-01-01\nb,0000-00-00,0001-01-01T00:00:00+14:00\n",
    "xml.csv": '<?xml version="1.0"?><a/>',
    "zip.csv": b"PK\x03\x04" + bytes(100),
    "png.csv": b"\x89PNG\r\n\x1a\n",
    "newlines.csv": "\n" * 500_000,
    "header and newlines.csv": "title\n" + "\n" * 500_000,
    "carriage returns.csv": "title,notes\ra\rb\r\r\n\rc",
    "bad.csv": b"title\n\xff\xfe\x00\xc3\x28\n",
    "bad utf-8.csv": b"title\n\xc3\x28\n\xed\xa0\x80\n",
    "odd utf-16.csv": "title\na\n".encode("utf-16") + b"\x00",
    "half utf-16.csv": b"\xff\xfe\x00\xd8\n\x00a\x00",
    "backslashes.json": '[{"title": "' + "\\\\" * 200_000 + '"}]',
    "cut.json": '[{"title": tru',
    "closed.json": "]" * 1000,
    "word.json": "nul",
    "null.json": '[{"TYPE": null, "CONTENT": null, "INDENT": {}}, {"TYPE": [], "CONTENT": 7, "INDENT": 1e99}]',
    "todoist.csv": "CONTENT,INDENT,TYPE\nA line that ends early\n,,\n,,task\n",
    "empty lists.json": '[{"title": [], "notes": {}, "due": [[]]}, [], {}, null, 1, "x"]',
    "members.gz": gzip.compress(b"title\n") + gzip.compress(b"") * 1000 + gzip.compress(b"a\n"),
    "nested.gz": gzip.compress(gzip.compress(gzip.compress(b"title\na\n"))),
    "trailing.gz": gzip.compress(b"title\na\n") + b"no gzip",
}


@pytest.mark.parametrize("name", ODD)
def test_no_odd_file_ends_the_process(readers: Readers, tmp_path: Path, name: str) -> None:
    content = ODD[name]
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    code, lines, size, _ = measured(readers, path)
    *_, last = map(json.loads, lines)
    assert "trace" not in last
    if "error" in last:
        assert code == 1
        assert 20 < len(last["error"]) < 600
        assert last["error"].endswith(".")
    else:
        assert (code, list(last)) == (0, ["end"])
    assert size < 2 * LARGEST


def test_what_nobody_thought_of_is_a_sentence_and_a_trace(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text("title\na\n", encoding="utf-8")
    for error, words, has_trace in (
        (KeyError("odd"), "fails to read", True),
        (MemoryError(), "more memory", False),
        (OSError(5, "Input/output error"), "cannot be read from the disk: Input/output error", False),
    ):
        monkeypatch.setattr(rows_module, "opened", raising(error))
        written: list[dict[str, Any]] = []
        monkeypatch.setattr(rows_module, "_write", written.append)
        monkeypatch.setattr(sys, "argv", ["rows", str(path), "--name", "a.csv", "--kind", to_json(KIND)])
        monkeypatch.setattr(rows_module, "limit_this_process", lambda: None)
        assert rows_module.main() == 1
        (message,) = written
        assert words in message["error"]
        assert ("trace" in message) == has_trace


def raising(error: Exception) -> Any:
    def opened(*arguments: Any) -> Any:
        raise error

    return opened


BAD = {
    "zeros.csv.gz": lambda: gzip.compress(bytes(100 * 1024**2), 1) * 100,
    "one_letter.csv.gz": lambda: gzip.compress(b"title\n") + gzip.compress(b"a" * 100 * 1024**2, 1) * 100,
    "line.csv": lambda: b"title\n" + b"x" * 50 * 1024**2,
    "quote.csv": lambda: b'title,notes\n"' + b"a,b\n" * 10 * 1024**2,
    "columns.csv": lambda: ",".join(f"c{number}" for number in range(40_000)).encode() + b"\n1\n",
    "text.json": lambda: b'[{"title": "' + b"x" * 40 * 1024**2 + b'"}]',
    "deep.json": lambda: b"[" * 10 * 1024**2,
    "picture.png": lambda: b"\x89PNG\r\n\x1a\n" + bytes(1000),
}


@pytest.mark.parametrize("name", BAD)
def test_no_bad_file_makes_the_process_large_or_slow(readers: Readers, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(BAD[name]())
    code, lines, size, seconds = measured(readers, path)
    assert (code, len(lines)) == (1, 1)
    assert len(json.loads(lines[0])["error"]) > 20
    assert size < LARGEST
    assert seconds < 10


@pytest.mark.slow
@pytest.mark.parametrize("name", ["million.csv", "million.json", "million.ndjson"])
def test_a_million_rows_leave_the_process_small(readers: Readers, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with path.open("w", encoding="utf-8", newline="") as file:
        write_million(file, name)
    code, lines, size, _ = measured(readers, path)
    assert code == 0
    assert json.loads(lines[-1]) == {"end": {"rows": 1_000_000, "problems": 0}}
    assert size < LARGEST


def measured(readers: Readers, path: Path) -> tuple[int, list[bytes], int, int]:
    """The exit code of a check, its messages, and how many bytes and seconds of a processor it took."""
    output = path.with_name("messages")
    arguments = [str(path), "--name", path.name, *AS_TASKS, "--check"]
    assert readers.stdin is not None
    assert readers.stdout is not None
    readers.stdin.write(json.dumps([arguments, str(output)]) + "\n")
    readers.stdin.flush()
    code, size, seconds = map(int, readers.stdout.readline().split())
    lines = output.read_bytes().splitlines()
    return code, [line for line in lines if not line.startswith(b'{"reading"')], size, seconds


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
