"""The content of a file decides what it is, and each record comes with its place."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.imports.reading.files.formats import Export, UnreadableFile, opened
from app.imports.reading.files.json_lists import DEEPEST
from app.imports.reading.text.lines import LONGEST_RECORD
from tests.engine.app.imports.reading.kind import KIND

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
ROWS = st.lists(
    st.fixed_dictionaries({"title": TEXT}, optional={"notes": TEXT, "tags": st.lists(TEXT), "n": st.integers()}),
    min_size=2,
)
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
OWN = {"id": 1, "title": "x", "notes": "", "due": None, "done": 0, "created_at": "", "updated_at": ""}


def export(directory: Path, content: str | bytes, name: str = "upload") -> Export:
    path = directory / "upload"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return opened(path, name, KIND)


# In UTF-16 one half of this letter is the byte of a line break.
@example([{"title": "Ȋ"}], "utf-16-le", None, False, bytes)
@given(ROWS, ENCODINGS, st.sampled_from([None, 1]), st.booleans(), st.sampled_from([bytes, gzip.compress]))
def test_json_that_is_written_comes_back(
    rows: list[Any], encoding: str, indent: int | None, ascii: bool, pack: Callable[[bytes], bytes]
) -> None:
    text = json.dumps(rows, ensure_ascii=ascii, indent=indent)
    with TemporaryDirectory() as directory:
        file = export(Path(directory), pack(text.encode(encoding)))
        assert file.format == "JSON"
        assert list(file.records()) == list(enumerate(rows, 1))


@given(ROWS, ENCODINGS, st.booleans(), st.sampled_from([1, 2]), st.sampled_from([bytes, gzip.compress]))
def test_newline_json_that_is_written_comes_back(
    rows: list[Any], encoding: str, ascii: bool, distance: int, pack: Callable[[bytes], bytes]
) -> None:
    text = ("\n" * distance).join(json.dumps(row, ensure_ascii=ascii) for row in rows)
    with TemporaryDirectory() as directory:
        file = export(Path(directory), pack(text.encode(encoding)))
        assert file.format == "newline JSON"
        assert list(file.records()) == [(1 + distance * number, row) for number, row in enumerate(rows)]
        assert set(file.columns) == {name for row in rows for name in row}


def test_content_decides_before_the_name(tmp_path: Path) -> None:
    assert export(tmp_path, '[{"title": "x"}]', "tasks.csv").format == "JSON"
    assert export(tmp_path, "title\nx\n", "tasks.txt").format == "CSV"
    with pytest.raises(UnreadableFile, match="not valid JSON: at line 1"):
        export(tmp_path, "title\nx\n", "tasks.json")
    with pytest.raises(UnreadableFile, match="not valid JSON: at line 1"):
        export(tmp_path, gzip.compress(b"title\nx\n"), "Tasks.JSON.gz")


def test_an_object_alone_is_one_record(tmp_path: Path) -> None:
    for text in ('{"title": "x"}', '{\n "title": "x"\n}\n'):
        assert list(export(tmp_path, text).records()) == [(1, {"title": "x"})]


def test_a_bare_value_among_objects_keeps_its_place(tmp_path: Path) -> None:
    expected = [{"title": "x"}, {"": None}, {"": 7}, {"title": "y"}]
    assert [row for _, row in export(tmp_path, '[{"title": "x"}, null, 7, {"title": "y"}]').records()] == expected
    lines = export(tmp_path, '{"title": "x"}\n{"title": "y"}\n7\n')
    assert list(lines.records()) == [(1, {"title": "x"}), (2, {"title": "y"}), (3, {"": 7})]


def test_an_export_of_ours_is_known_by_its_names(tmp_path: Path) -> None:
    assert export(tmp_path, json.dumps([OWN])).is_own
    assert export(tmp_path, f"{json.dumps(OWN)}\n{json.dumps(OWN)}").is_own
    assert not export(tmp_path, json.dumps([OWN, OWN | {"more": 1}])).is_own
    assert not export(tmp_path, json.dumps([{"id": 1, "title": "x"}])).is_own
    assert not export(tmp_path, "title,id,notes,due,done,created_at,updated_at\nx,1,,,0,,\n").is_own


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        ('{"title": ', "Line 2 is not valid JSON: Expecting value"),
        ('{"title": NaN}', "Line 2 is not valid JSON: NaN is no number"),
        ('{"title": ' + "9" * 5000 + "}", "Line 2 is not valid JSON: a number"),
        ('{"title": ' + "[" * DEEPEST + "]" * DEEPEST + "}", f"line 2 is nested more than {DEEPEST} deep"),
        ('{"title": ' + "[" * 5000 + "]" * 5000 + "}", f"line 2 is nested more than {DEEPEST} deep"),
        ('{"title": "' + "x" * LONGEST_RECORD + '"}', "line 2 goes on for more than 8 MB"),
        ("{" + ",".join(f'"c{number}": 1' for number in range(1001)) + "}", "line 2 .* more than 1,000"),
    ],
    ids=range(7),
)
def test_a_bad_line_is_refused_with_its_number(tmp_path: Path, second: str, reason: str) -> None:
    with pytest.raises(UnreadableFile, match=reason):
        export(tmp_path, f'{{"title": "x"}}\n{second}\n{{"title": "y"}}\n')


def test_a_line_of_many_flat_lists_is_not_deep(tmp_path: Path) -> None:
    line = json.dumps({"title": "x", "tags": [[]] * 2 * DEEPEST})
    assert len(list(export(tmp_path, f"{line}\n{line}\n").records())) == 2
