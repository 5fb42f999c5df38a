"""The rows of a CSV file: which sign separates its columns, how a value has quotation marks, each row by names.

Files differ in more than the delimiter: lines before the header, or none, columns without a name or of the same name,
rows shorter or longer than the header, a backslash before a quotation mark where others double it. All of that is read,
and nothing of it is lost or put into another column: a row whose values cannot be told apart says so.

The parser is Python's own. sqlite-utils' `rows_from_file` wraps the same one, but tells no line numbers, keeps only
the last of columns with the same name, and reads a line of any length.
"""

import contextlib
import csv
import io
import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any, NamedTuple

from app.imports.reading.files.column_names import MOST_COLUMNS, shown, unused
from app.imports.reading.files.headers import ROWS_BEFORE_HEADER, header_at, is_header
from app.imports.reading.text.decoding import TextFile, UnreadableFile
from app.imports.reading.text.lines import LONGEST_RECORD, Lines
from app.imports.reading.values.choices import NONE, Choices
from app.imports.reading.values.columns import matched, restored
from app.records.kinds import Kind
from app.records.text_cleaning import storable

# A file with a single column has no delimiter: a sign that no text holds.
NO_DELIMITER = "\x1f"
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|", "colon": ":", "caret": "^", "none": NO_DELIMITER}
FOUND_OUT = ",;\t|"
DOUBLED, BACKSLASH, NO_QUOTES = "doubled", "backslash", "none"
# A first line that says nothing else: spreadsheets write it for each other.
SAYS_DELIMITER = re.compile(r'\ufeff?"?sep=([^"\w\r\n])"?[^\S\r\n]*\1*[\r\n]*', re.IGNORECASE)
# Enough to see which delimiter it is.
SAMPLE_LETTERS = 64 * 1024
SAMPLE_ROWS = 100
# Of a table without known names so many rows have as many columns as the first. Else, where a space stands behind each
# sign, they are sentences.
ROWS_ALIKE = 0.8
# A backslash before anything that it does not stand for stands for itself.
PLAIN_BACKSLASH = {
    delimiter: re.compile(rf'(\\["\\\r\n{re.escape(delimiter)}])|\\') for delimiter in DELIMITERS.values()
}
DAMAGED = (
    "A quotation mark in it ends a value and is followed by more, so its values cannot be told apart. Mend that line "
    "in a text editor, or choose how quotation marks within a value are written."
)


class CsvFile:
    """A text that is CSV. Raises UnreadableFile."""

    def __init__(self, text: TextFile, kind: Kind, choices: Choices = NONE) -> None:
        self._text = text
        said = _said_delimiter(text)
        self._begin = 1 if said else 0
        self._delimiter = DELIMITERS[choices.delimiter] if choices.delimiter else said or _delimiter(text, kind)
        self.quotes = choices.quotes or self._found_quotes()
        first = [cells for _, cells, _ in islice(self._rows(self.quotes), ROWS_BEFORE_HEADER + 1)]
        at = header_at(first, kind) if first else 0
        self.has_header = choices.header != "no" and (
            choices.header == "yes" or not first or is_header(first[at], first[at + 1 :], kind)
        )
        self._header = at if self.has_header else -1
        self._names = first[at] if self.has_header and first else []
        names = self._names if self.has_header else [""] * max(map(len, first), default=0)
        self.columns = _names(names, kind) if names else ()
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
        for line, cells, is_damaged in islice(self._rows(self.quotes), self._header + 1, None):
            if is_damaged:
                yield line, DAMAGED
                continue
            if self.is_own:
                cells = [restored(cell) for cell in cells]
            if len(cells) > MOST_COLUMNS:
                yield line, f"It has {len(cells):,} values, more than the {MOST_COLUMNS:,} that a row may have."
                continue
            if cells == self._names and len(cells) > 1:
                yield line, "It is the line with the names of the columns once more."
                continue
            record = dict(zip(self.columns, cells, strict=False))
            for number in range(len(self.columns), len(cells)):
                record[unused(f"Column {number + 1}", record)] = cells[number]
            yield line, record

    def _found_quotes(self) -> str:
        """How quotation marks stand in a value: so that the fewest rows of the whole file are damaged."""
        if not self._text.has_backslashes:
            return DOUBLED
        return min((DOUBLED, BACKSLASH), key=self._damage)

    def _damage(self, quotes: str) -> float:
        """How many rows are damaged, or have more values than the first."""
        damage = width = 0
        try:
            for _, cells, is_damaged in self._rows(quotes):
                width = width or len(cells)
                damage += is_damaged or len(cells) > width
        except UnreadableFile:
            return float("inf")
        return damage

    def _rows(self, quotes: str) -> Iterator[tuple[int, list[str], bool]]:
        """The rows that are not blank, each with the line on which it begins, and whether it is damaged."""
        csv.field_size_limit(LONGEST_RECORD)
        with self._text.open() as stream:
            for _ in range(self._begin):
                stream.readline(LONGEST_RECORD)
            lines = Lines(stream, self._begin)
            # The blank line at the end is ours: it comes back inside a row if a quotation mark was never closed.
            source = self._read_as(chain(lines, ["\n"]), quotes)
            reader = self._reader(source, quotes, is_strict=True)
            while True:
                is_damaged = False
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error:
                    cells, is_damaged = self._damaged(lines, source, quotes)
                line = lines.first
                if lines.ended and line:
                    raise UnreadableFile(
                        f"A quotation mark that is opened in the row on line {line:,} is never closed. Mend that line "
                        "in a text editor, or export the file again."
                    )
                lines.next_record()
                if any(map(str.strip, cells)):
                    yield line, cells, is_damaged

    def _damaged(self, lines: Lines, source: Iterator[str], quotes: str) -> tuple[list[str], bool]:
        """A row that breaks the rules, read to its end; nothing is wrong where it is only spaces behind a value."""
        begun = self._read_as(lines.record(), quotes)
        cells = next(self._reader(chain(begun, ["\n"] if lines.ended else source), quotes, is_strict=False))
        spaces = re.compile(rf'" +(?=[{re.escape(self._delimiter)}\r\n])')
        mended = (spaces.sub('"', line) for line in self._read_as(lines.record(), quotes))
        try:
            return next(self._reader(mended, quotes, is_strict=True)), False
        except (csv.Error, StopIteration):
            return cells, True

    def _read_as(self, lines: Iterable[str], quotes: str) -> Iterator[str]:
        """The lines as the parser understands them, which takes off every backslash where it takes off any."""
        if quotes != BACKSLASH:
            return iter(lines)
        pattern = PLAIN_BACKSLASH[self._delimiter]
        return (pattern.sub(_kept_backslash, line) if "\\" in line else line for line in lines)

    def _reader(self, lines: Iterator[str], quotes: str, *, is_strict: bool) -> Any:
        return csv.reader(
            lines,
            delimiter=self._delimiter,
            strict=is_strict,
            escapechar="\\" if quotes == BACKSLASH else None,
            quoting=csv.QUOTE_NONE if quotes == NO_QUOTES else csv.QUOTE_MINIMAL,
        )


def _kept_backslash(found: re.Match[str]) -> str:
    return found[0] if found[1] else "\\\\"


def _said_delimiter(text: TextFile) -> str | None:
    """The delimiter that the first line names, where it says nothing else."""
    with text.open() as stream:
        found = SAYS_DELIMITER.fullmatch(stream.readline(100))
    return found[1] if found else None


def _delimiter(text: TextFile, kind: Kind) -> str:
    """The sign that separates the columns. Names that are known tell it; where there are none, all rows are asked."""
    with text.open() as stream:
        sample = stream.read(SAMPLE_LETTERS)
    is_whole = len(sample) < SAMPLE_LETTERS
    if not is_whole and "\n" in sample:
        sample = sample[: sample.rindex("\n")]
    fitness = {
        sign: _fitness(islice(_rows_of(io.StringIO(sample, newline=""), sign), SAMPLE_ROWS), kind) for sign in FOUND_OUT
    }
    if not any(each.known_names for each in fitness.values()):
        for sign in FOUND_OUT:
            with text.open() as stream:
                fitness[sign] = _fitness(_rows_of(stream, sign), kind)
    best = max(FOUND_OUT, key=lambda sign: fitness[sign])
    is_prose = not fitness[best].known_names and fitness[best].is_spaced and fitness[best].rows_alike < ROWS_ALIKE
    return NO_DELIMITER if fitness[best].columns == 1 or is_prose else best


def _rows_of(stream: io.TextIOBase, delimiter: str) -> Iterator[list[str]]:
    """The rows that are not blank, as far as they can be read."""
    csv.field_size_limit(LONGEST_RECORD)
    lines = Lines(stream)
    with contextlib.suppress(UnreadableFile, csv.Error):
        for cells in csv.reader(lines, delimiter=delimiter):
            lines.next_record()
            if any(map(str.strip, cells)):
                yield cells


class _Fitness(NamedTuple):
    """How well a delimiter fits, the weightiest first."""

    known_names: int
    splits: bool
    header_is_first: bool
    rows_alike: float
    columns: int
    is_spaced: bool


def _fitness(rows: Iterator[list[str]], kind: Kind) -> _Fitness:
    first = list(islice(rows, ROWS_BEFORE_HEADER + 1))
    if not first:
        return _Fitness(0, False, False, 0, 0, False)
    at = header_at(first, kind)
    header, *others = first[at:]
    is_spaced = all(cell.startswith(" ") for cell in header[1:])
    count = alike = 0
    for cells in chain(others, rows):
        count += 1
        alike += len(cells) == len(header)
    return _Fitness(
        len(matched(kind, header)), len(header) > 1, at == 0, alike / count if count else 1, len(header), is_spaced
    )


def _names(header: list[str], kind: Kind) -> tuple[str, ...]:
    """A name for each column, no two the same."""
    if len(header) > MOST_COLUMNS:
        raise UnreadableFile(
            f"The file has {len(header):,} columns, and a list of {kind.plural} has at most {MOST_COLUMNS:,}. Leave "
            f"out the columns that do not belong to the {kind.plural}, and import it again."
        )
    names: dict[str, None] = {}
    for number, cell in enumerate(header, 1):
        cell = cell.replace("\ufeff", "")
        names[unused(storable(" ".join(cell.split())) or f"Column {number}", names)] = None
    return tuple(shown(tuple(names)).values())
