"""The lines of a text, each with its number, and never one too long: a record may span lines, but not without end."""

import io
from collections.abc import Iterator

from app.imports.reading.text.decoding import UnreadableFile

# A record must be held whole. What a form takes is a text of a megabyte (a book): an export has two of it where it is
# all quotation marks, JSON six where each of its characters has to be escaped. Whatever is longer is a quotation mark
# that never closes, or no list at all.
LONGEST_RECORD = 8 * 1024**2
RECORD_MEGABYTES = f"{LONGEST_RECORD >> 20} MB"
# A file of nothing else would take an hour.
MOST_EMPTY_LINES = 1_000_000
# A row whose quotation marks are damaged is read again, which takes its lines: as many short lines take much memory,
# they are put together now and then, and of a very long row none is kept.
LINES_OF_A_PIECE = 1000
LONGEST_KEPT = 1024**2
EMPTY = frozenset(("\n", "\r\n", "\r"))


class Lines:
    """An iterator over the lines of a text, counted as an editor counts them. Raises UnreadableFile."""

    def __init__(self, text: io.TextIOBase, passed: int = 0) -> None:
        self._text = text
        self._length = 0
        self._number = passed
        self._empty = 0
        # The line on which the present record begins; 0 while there is none.
        self.first = 0
        # What was read of it: the last lines, and those before in pieces.
        self._lines: list[str] = []
        self._pieces: list[str] = []
        self.ended = False

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        line = self._text.readline(LONGEST_RECORD + 1)
        if not line:
            self.ended = True
            raise StopIteration
        self._number += 1
        # Within a record an empty line is part of a text, whose length is looked at.
        self._empty = self._empty + 1 if line in EMPTY and not self.first else 0
        if self._empty > MOST_EMPTY_LINES:
            raise UnreadableFile(
                f"There are more than {MOST_EMPTY_LINES:,} empty lines before line {self._number:,}. Delete them in a "
                "text editor, or export the file again."
            )
        self.first = self.first or self._number
        self._length += len(line)
        if self._length > LONGEST_RECORD:
            raise UnreadableFile(
                f"What begins on line {self.first:,} goes on for more than {RECORD_MEGABYTES}, which is no list: "
                "perhaps a quotation mark is opened there and never closed, or the file is no list at all. Mend that "
                "line in a text editor, or export the file again."
            )
        self._lines.append(line)
        if len(self._lines) == LINES_OF_A_PIECE:
            self._pieces.append("".join(self._lines) if self._length <= LONGEST_KEPT else "")
            self._lines = []
        return line

    def next_record(self) -> None:
        """The next line begins a record."""
        self.first = 0
        self._length = 0
        self._lines = []
        if self._pieces:
            self._pieces = []

    def record(self) -> Iterator[str]:
        """The lines of the present record, as far as it was read. Raises UnreadableFile for a very long one."""
        if self._length > LONGEST_KEPT:
            raise UnreadableFile(
                f"In what begins on line {self.first:,}, which is very long, a quotation mark ends a value and is "
                "followed by more. Mend that line in a text editor, or export the file again."
            )
        yield from io.StringIO("".join([*self._pieces, *self._lines]), newline="")
