"""Lines are counted as an editor counts them, and none is read without end."""

import io
from collections import deque

import pytest

from app.imports.reading.text.decoding import UnreadableFile
from app.imports.reading.text.lines import LONGEST_RECORD, MOST_EMPTY_LINES, Lines


def lines_of(text: str) -> Lines:
    return Lines(io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8", newline=""))


def test_every_kind_of_line_end_counts_once() -> None:
    lines = lines_of("a\r\nb\rc\n\nlast")
    found = []
    for line in lines:
        found.append((lines.first, line))
        lines.next_record()
    assert found == [(1, "a\r\n"), (2, "b\r"), (3, "c\n"), (4, "\n"), (5, "last")]
    assert lines.ended


def test_a_record_of_several_lines_begins_on_its_first() -> None:
    lines = lines_of("a\nb\nc\n")
    assert [next(lines), next(lines)] == ["a\n", "b\n"]
    assert lines.first == 1
    lines.next_record()
    assert lines.first == 0
    next(lines)
    assert lines.first == 3


def test_the_longest_record_is_read_and_a_longer_one_is_refused() -> None:
    longest = "x" * (LONGEST_RECORD - 1) + "\n"
    lines = lines_of(longest + longest + "x" + longest)
    for _ in range(2):
        assert next(lines) == longest
        lines.next_record()
    with pytest.raises(UnreadableFile, match="line 3 goes on for more than 8 MB"):
        next(lines)


def test_a_record_of_many_lines_is_refused_when_it_is_too_long() -> None:
    with pytest.raises(UnreadableFile, match="line 1 goes on"):
        list(lines_of("0123456789\n" * (LONGEST_RECORD // 10)))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_empty_lines_without_end_are_refused(end: str) -> None:
    lines = lines_of("a" + end * MOST_EMPTY_LINES + "b" + end * (MOST_EMPTY_LINES + 2))
    records = (lines.next_record() for _ in lines)
    with pytest.raises(UnreadableFile, match="more than 1,000,000 empty lines before line 2,000,002"):
        deque(records, maxlen=0)
