"""The rows of a CSV file: where its header is, which sign separates its columns, and each row by the header's names.

Files differ in more than the delimiter: lines before the header, columns without a name or of the same name, rows
shorter or longer than the header. All of that is read, and nothing of it is lost; only a header of a thousand columns
and a quotation mark that never closes are refused.

The parser is Python's own. sqlite-utils' `rows_from_file` wraps the same one, but tells no line numbers, keeps only
the last of columns with the same name, and reads a line of any length.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

from app.cleaning import storable
from app.kinds import Kind
from app.reading.columns import matched, restored
from app.reading.lines import LONGEST_RECORD, Lines
from app.reading.names import MOST_COLUMNS, shown, unused
from app.reading.text import TextFile, UnreadableFile

DELIMITERS = ",;\t|"
# A file with a single column has no delimiter: a sign that no text holds.
NO_DELIMITER = "\x1f"
# Enough to see which delimiter it is.
SAMPLE_LETTERS = 64 * 1024
SAMPLE_ROWS = 100
# TickTick writes three rows before the header, Excel one, Asana's sheets four.
ROWS_BEFORE_HEADER = 20


class CsvFile:
    """A text that is CSV. Raises UnreadableFile."""

    def __init__(self, text: TextFile, kind: Kind) -> None:
        self._text = text
        self._delimiter = _delimiter(text, kind)
        first = [cells for _, cells in islice(self._rows(), ROWS_BEFORE_HEADER + 1)]
        self._header = _header_at(first, kind)
        self.columns = _names(first[self._header], kind) if first else ()
        self.is_own = self.columns == kind.columns
        if len(first) < self._header + 2:
            raise UnreadableFile(
                "The file has no row of values: at most a line with the names of the columns. Export the "
                f"{kind.plural} again, and import that file."
            )

    @property
    def delimiter(self) -> str | None:
        """The sign between the columns; None where there is only one column."""
        return None if self._delimiter == NO_DELIMITER else self._delimiter

    def records(self) -> Iterator[tuple[int, dict[str, str] | str]]:
        """Each row by the names of the columns, with the line on which it begins; or why it is none."""
        for line, cells in islice(self._rows(), self._header + 1, None):
            if self.is_own:
                cells = [restored(cell) for cell in cells]
            if len(cells) > MOST_COLUMNS:
                yield line, f"It has {len(cells):,} values, more than the {MOST_COLUMNS:,} that a row may have."
                continue
            record = dict(zip(self.columns, cells, strict=False))
            for number in range(len(self.columns), len(cells)):
                record[unused(f"Column {number + 1}", record)] = cells[number]
            yield line, record

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """The rows that are not blank, each with the line on which it begins."""
        csv.field_size_limit(LONGEST_RECORD)
        with self._text.open() as stream:
            lines = Lines(stream)
            # The blank line at the end is ours: it comes back inside a row if a quotation mark was never closed.
            for cells in csv.reader(chain(lines, ["\n"]), delimiter=self._delimiter):
                line = lines.first
                if lines.ended and line:
                    raise UnreadableFile(
                        f"A quotation mark that is opened in the row on line {line:,} is never closed. Mend that line "
                        "in a text editor, or export the file again."
                    )
                lines.next_record()
                if any(map(str.strip, cells)):
                    yield line, cells


def _delimiter(text: TextFile, kind: Kind) -> str:
    with text.open() as stream:
        sample = stream.read(SAMPLE_LETTERS)
    if len(sample) == SAMPLE_LETTERS and "\n" in sample:
        sample = sample[: sample.rindex("\n")]
    fitness = {delimiter: _fitness(_sample_rows(sample, delimiter), kind) for delimiter in DELIMITERS}
    best = max(DELIMITERS, key=lambda delimiter: fitness[delimiter])
    return NO_DELIMITER if fitness[best].columns == 1 else best


def _sample_rows(sample: str, delimiter: str) -> list[list[str]]:
    rows = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
    return [cells for cells in islice(rows, SAMPLE_ROWS) if any(map(str.strip, cells))]


class _Fitness(NamedTuple):
    """How well a delimiter fits, the weightiest first."""

    known_names: int
    splits: bool
    header_is_first: bool
    rows_alike: float
    columns: int


def _fitness(rows: list[list[str]], kind: Kind) -> _Fitness:
    if not rows:
        return _Fitness(0, False, False, 0, 0)
    at = _header_at(rows, kind)
    header, *others = rows[at:]
    alike = sum(len(cells) == len(header) for cells in others)
    return _Fitness(len(matched(kind, header)), len(header) > 1, at == 0, alike / max(1, len(others)), len(header))


def _header_at(rows: Sequence[list[str]], kind: Kind) -> int:
    """Which row is the header: the first that names the first field or has two cells filled. Before it are remarks."""
    for number, cells in enumerate(rows[: ROWS_BEFORE_HEADER + 1]):
        if sum(map(bool, map(str.strip, cells))) > 1 or kind.fields[0].name in matched(kind, cells).values():
            return number
    return 0


def _names(header: list[str], kind: Kind) -> tuple[str, ...]:
    """A name for each column, no two the same."""
    if len(header) > MOST_COLUMNS:
        raise UnreadableFile(
            f"The file has {len(header):,} columns, and a list of {kind.plural} has at most {MOST_COLUMNS:,}. Leave "
            f"out the columns that do not belong to the {kind.plural}, and import it again."
        )
    names: dict[str, None] = {}
    for number, cell in enumerate(header, 1):
        names[unused(storable(" ".join(cell.split())) or f"Column {number}", names)] = None
    return tuple(shown(tuple(names)).values())
