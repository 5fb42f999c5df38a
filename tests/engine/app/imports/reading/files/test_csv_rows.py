"""CSV as any program writes it: the header and the delimiter are found, no cell is lost, every row knows its line."""

import csv
import gzip
import io
import re
import string
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.imports.reading.files.csv_rows import MOST_COLUMNS, CsvFile
from app.imports.reading.text.decoding import TextFile, UnreadableFile
from app.imports.reading.text.lines import LONGEST_RECORD
from app.imports.reading.values.columns import harmless
from tests.engine.app.imports.reading.kind import KIND

# Python's own writer does not quote a lone carriage return.
CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=20) | st.just("one\r\ntwo")
ROWS = st.lists(st.tuples(CELLS, CELLS, CELLS).filter(lambda row: any(map(str.strip, row))), min_size=1, max_size=20)
COLUMNS = ("Title", "Due date", "Something")
OWN = "id,title,notes,due,done,created_at,updated_at"


def opened(directory: Path, content: str | bytes) -> CsvFile:
    path = directory / "upload.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return CsvFile(TextFile(path), KIND)


@given(
    ROWS,
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    st.sampled_from([bytes, gzip.compress]),
)
def test_what_is_written_comes_back(
    rows: list[tuple[str, str, str]],
    delimiter: str,
    line_end: str,
    encoding: str,
    quoting: int,
    pack: Callable[[bytes], bytes],
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=line_end, quoting=quoting)  # type: ignore[arg-type]
    writer.writerow(COLUMNS)
    expected = []
    for row in rows:
        expected.append((len(re.findall("\r\n|\r|\n", text.getvalue())) + 1, dict(zip(COLUMNS, row, strict=True))))
        writer.writerow(row)
    with TemporaryDirectory() as directory:
        file = opened(Path(directory), pack(text.getvalue().encode(encoding)))
        assert (file.columns, file.delimiter) == (COLUMNS, delimiter)
        assert list(file.records()) == expected


@pytest.mark.parametrize(
    ("content", "delimiter", "columns"),
    [
        ("Aufgabe;Notiz, lang\nMilch, Brot;2,50\n", ";", ("Aufgabe", "Notiz, lang")),
        ("Task;Notes, all, of it\nMilk;a, b, c\n", ";", ("Task", "Notes, all, of it")),
        ("One|Two\n1|2,3;4\n5|6,7;8\n", "|", ("One", "Two")),
        ("sep=;\r\nTitle;Due\r\nMilk;\r\n", ";", ("Title", "Due")),
        ("Task\nMilk, bread\nEggs; butter\n", None, ("Task",)),
        ('"Title"\n"Milk, bread"\n', None, ("Title",)),
    ],
)
def test_the_delimiter_is_found(tmp_path: Path, content: str, delimiter: str | None, columns: tuple[str, ...]) -> None:
    file = opened(tmp_path, content)
    assert (file.delimiter, file.columns) == (delimiter, columns)


def test_a_file_of_one_column_keeps_its_texts_whole(tmp_path: Path) -> None:
    rows = opened(tmp_path, "Task\nMilk, bread; eggs\n").records()
    assert list(rows) == [(2, {"Task": "Milk, bread; eggs"})]


@pytest.mark.parametrize(
    "before",
    [
        "",
        "\n\n",
        ",,\n,,https://example.com/export\n,,\n",
        '"Date: 2026-04-28+0000"\n"Version: 7.1"\n"Status: \n0 Normal\n1 Completed\n2 Archived"\n',
    ],
)
def test_lines_before_the_header_are_passed_over_and_counted(tmp_path: Path, before: str) -> None:
    file = opened(tmp_path, before + "Folder,Title,Due\nHome,Milk,\n")
    assert list(file.records()) == [(before.count("\n") + 2, {"Folder": "Home", "Title": "Milk", "Due": ""})]


@pytest.mark.parametrize("header", ["Title", "Uno,Dos"])
def test_the_header_names_a_title_or_has_two_cells(tmp_path: Path, header: str) -> None:
    file = opened(tmp_path, f"A remark\n{header}\nMilk,x\n")
    assert file.columns == tuple(header.split(","))


def test_every_column_has_a_name_of_its_own(tmp_path: Path) -> None:
    file = opened(tmp_path, "Title,,Label, Label ,Label (2),\nMilk,a,b,c,d,e\n")
    assert file.columns == ("Title", "Column 2", "Label", "Label (2)", "Label (2) (2)", "Column 6")
    assert list(file.records()) == [(2, dict(zip(file.columns, ["Milk", *"abcde"], strict=True)))]


def test_a_row_may_be_shorter_or_longer_than_the_header_or_blank(tmp_path: Path) -> None:
    file = opened(tmp_path, "Title,Due,Column 4\nMilk\n,,\n\nBread,,x,extra,,more\n")
    bread = {"Title": "Bread", "Due": "", "Column 4": "x", "Column 4 (2)": "extra", "Column 5": "", "Column 6": "more"}
    assert list(file.records()) == [(2, {"Title": "Milk"}), (5, bread)]


def test_lines_may_end_as_on_an_old_macintosh(tmp_path: Path) -> None:
    rows = opened(tmp_path, 'Title,Due\r"Milk\rand bread",\rEggs,\r').records()
    assert [(line, row["Title"]) for line, row in rows] == [(2, "Milk\rand bread"), (4, "Eggs")]


def test_apostrophes_are_taken_off_in_an_export_of_ours_only(tmp_path: Path) -> None:
    cells = ["1", harmless("=1+1"), harmless("'=x"), "", "0", "", ""]
    ours = opened(tmp_path, f"{OWN}\n{','.join(cells)}\n")
    assert ours.is_own
    assert [(row["title"], row["notes"]) for _, row in ours.records()] == [("=1+1", "'=x")]
    foreign = opened(tmp_path, f"{OWN.replace('id', 'key')}\n{','.join(cells)}\n")
    assert not foreign.is_own
    assert [(row["title"], row["notes"]) for _, row in foreign.records()] == [("'=1+1", "''=x")]


@pytest.mark.parametrize("content", ["Title,Due\n", "Title,Due\n,\n \n", "Title"])
def test_a_header_alone_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(UnreadableFile, match="no row of values"):
        opened(tmp_path, content)


def test_a_quotation_mark_that_never_closes_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="line 4 is never closed"):
        opened(tmp_path, 'Title,Notes\n"ok\n2",b\nc,"never closed\n' + "a,b\n" * 100)
    with pytest.raises(UnreadableFile, match="line 2 goes on for more than 8 MB"):
        opened(tmp_path, 'Title,Notes\nc,"never closed\n' + "a,b\n" * (LONGEST_RECORD // 3))


def test_a_quotation_mark_within_a_cell_is_a_letter(tmp_path: Path) -> None:
    assert list(opened(tmp_path, 'Title,Due\n5" nails,\n').records()) == [(2, {"Title": '5" nails', "Due": ""})]


def test_too_many_columns_are_refused(tmp_path: Path) -> None:
    names = [f"{letter}{number}" for letter in string.ascii_letters for number in range(MOST_COLUMNS // 50)]
    many = ",".join(names[:MOST_COLUMNS])
    assert len(opened(tmp_path, f"{many}\n1\n").columns) == MOST_COLUMNS
    with pytest.raises(UnreadableFile, match="has 1,001 columns"):
        opened(tmp_path, f"{many},one more\n1\n")
