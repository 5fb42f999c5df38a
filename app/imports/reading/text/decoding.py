"""From an uploaded file to its text: unpacked, of known encoding, refused when it is no text at all.

Nothing is held whole: the file is read in pieces, from its beginning, as often as needed. It is decoded to its end once
before anything else, so a file that is cut off, too large or wrongly encoded is known before its first line is used.
Nothing here knows of rows.
"""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# Enough to know a file by; small enough to be held.
SAMPLE_BYTES = 256 * 1024
PIECE_BYTES = 128 * 1024
# charset-normalizer's answer gets no better with more.
GUESS_BYTES = 64 * 1024
GUESS_LINE_BYTES = 4096
BEFORE_A_QUOTE = '\\"'
# This is about ten million rows; a list of anything is far smaller.
UNPACKED_LIMIT = 4 * 1024**3
# A text has none; what has few was a text before something damaged it. UTF-16 has one for each letter of ASCII.
ZEROS_OF_A_TEXT = 4
CONTROLS_OF_A_TEXT = 20
CONTROLS = re.compile("[\x01-\x08\x0e-\x1a\x1c-\x1f]")
# Text packs to a tenth, the same row again and again to a hundredth. What packs still better was made to fill a disk;
# that is looked at only after a size that does no harm.
PACKING_LIMIT = 200
HARMLESS_BYTES = 128 * 1024**2

MAGIC_OF_GZIP = b"\x1f\x8b"
# The longer ones first, as some begin like others.
BYTE_ORDER_MARKS = {
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
# How files begin that are no list, what they are, and what mends it.
ASK_THE_PROGRAM = "Export the list as CSV or JSON in the program that made it."
NOT_SIGNED_IN = "Perhaps you were not signed in when you downloaded it: open the link in the browser."
OTHER_KINDS = {
    b"PK\x03\x04": ("a ZIP or Excel file", "Save the sheet as CSV in the spreadsheet program, or unpack the archive."),
    b"\xd0\xcf\x11\xe0": ("an Excel or other Office file", "Save the sheet as CSV in the spreadsheet program."),
    b"SQLite format 3\0": ("a SQLite database", "Export its rows as CSV or JSON."),
    b"%PDF": ("a PDF document", ASK_THE_PROGRAM),
    b"\x89PNG": ("a picture", ASK_THE_PROGRAM),
    b"\xff\xd8\xff": ("a picture", ASK_THE_PROGRAM),
    b"GIF8": ("a picture", ASK_THE_PROGRAM),
    MAGIC_OF_GZIP: ("a gzip file inside a gzip file", "Unpack it once, and import what comes out."),
    b"BZh": ("a bzip2 archive", "Unpack it, and import what comes out."),
    b"\xfd7zXZ": ("an xz archive", "Unpack it, and import what comes out."),
    b"7z\xbc\xaf": ("a 7z archive", "Unpack it, and import what comes out."),
    b"Rar!": ("a RAR archive", "Unpack it, and import what comes out."),
    b"\x28\xb5\x2f\xfd": ("a zstd archive", "Unpack it, and import what comes out."),
    b"{\\rtf": ("a rich text document", "Save it as plain CSV text."),
    b"<!DOCTYPE": ("a web page", NOT_SIGNED_IN),
    b"<!doctype": ("a web page", NOT_SIGNED_IN),
    b"<html": ("a web page", NOT_SIGNED_IN),
    b"<?xml": ("an XML file", ASK_THE_PROGRAM),
    b"BEGIN:VCALENDAR": ("a calendar file", ASK_THE_PROGRAM),
}
# The encodings that old exports of a language are really in. charset-normalizer chooses among them: asked without a
# list, it takes short Western texts for encodings that nobody has used for thirty years.
OLD_ENCODINGS = ["cp1250", "cp1251", "cp1253", "cp932", "gb18030", "big5", "cp949", "mac_roman"]
# In Windows-1252 a sign or a capital inside a word means that the bytes stood for letters of another encoding.
UNLIKELY_IN_A_WORD = re.compile(r"[a-zà-ÿ](?:[^\w\s!-~’‘´·–—…]|[²³¹ºª]|[À-ÞŠŒŽŸ])[a-zà-ÿ]")


class UnreadableFile(Exception):
    """What was expected, what was found and what to do: whole sentences for the person who chose the file."""


class TextFile:
    """A text on the disk: `size` bytes there, `length` of them unpacked. `on_read` is called after each piece.

    `encoding` is the one that a person has chosen; it is found out where that is empty. `zeros` zero bytes are left
    out, which no text has; `has_backslashes` says that a backslash stands before a quotation mark somewhere.
    """

    def __init__(self, path: Path, on_read: Callable[[], None] = lambda: None, encoding: str = "") -> None:
        self._path = path
        self._on_read = on_read
        self._bytes = self._unpacked()
        self.compressed = self._bytes.compressed
        with io.BufferedReader(self._bytes) as data:
            sample = data.read(SAMPLE_BYTES)
        _refuse_other_kinds(sample)
        self._codec, whole = _encoding(self._unpacked, sample, encoding)
        self.length, self.zeros, self.has_backslashes = whole
        self.size = path.stat().st_size

    @property
    def encoding(self) -> str:
        """The name of the encoding as people write it."""
        return _named(self._codec)

    @property
    def position(self) -> int:
        """How far the file on the disk has been read since it was last opened."""
        return self._bytes.position

    def open(self) -> io.TextIOWrapper:
        """The text from its beginning, its line ends as they are in the file."""
        self._bytes = self._unpacked(without_zeros=_has_no_zeros(self._codec))
        return io.TextIOWrapper(io.BufferedReader(self._bytes, PIECE_BYTES), encoding=self._codec, newline="")

    def _unpacked(self, *, without_zeros: bool = False) -> _Bytes:
        return _Bytes(self._path.open("rb"), self._on_read, without_zeros)


class _Bytes(io.RawIOBase):
    """The bytes of an open file, unpacked, but never more than the limit; it is closed with this.

    `given` and `zeros` count them and, where zero bytes are left out, those.
    """

    def __init__(self, disk: io.BufferedReader, on_read: Callable[[], None], without_zeros: bool) -> None:
        self._disk = disk
        self._on_read = on_read
        self._without_zeros = without_zeros
        self.compressed = self._disk.read(2) == MAGIC_OF_GZIP
        self._disk.seek(0)
        self._source = gzip.GzipFile(fileobj=self._disk) if self.compressed else self._disk
        self.given = 0
        self.zeros = 0
        self.position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        while count := self._read_into(view):
            if not self._without_zeros or b"\0" not in (piece := view[:count].tobytes()):
                return count
            rest = piece.replace(b"\0", b"")
            self.zeros += count - len(rest)
            # No byte at all would be the end.
            if rest:
                view[: len(rest)] = rest
                return len(rest)
        return 0

    def _read_into(self, buffer: memoryview) -> int:
        try:
            count = self._source.readinto(buffer)
        except EOFError:
            raise UnreadableFile(
                "The file is cut off: its gzip compression ends too early. Download or export it again."
            ) from None
        except (gzip.BadGzipFile, zlib.error):
            raise UnreadableFile("The gzip compression of the file is damaged. Download or export it again.") from None
        self.given += count
        self.position = self._disk.tell()
        if self.given > UNPACKED_LIMIT:
            raise UnreadableFile(
                f"The file holds more than {UNPACKED_LIMIT // 1024**3} GB of text, which is too much. "
                "Split it, and import the parts one by one."
            )
        if self.given > max(HARMLESS_BYTES, PACKING_LIMIT * self.position):
            raise UnreadableFile(
                f"The file unpacks to more than {PACKING_LIMIT} times its size, which no list does. "
                "Unpack it yourself, look at it, and import what comes out."
            )
        self._on_read()
        return count

    def close(self) -> None:
        self._source.close()
        self._disk.close()
        super().close()


class _Failure(NamedTuple):
    """Where a file is not in an encoding."""

    line: int
    ascii_before: bool


class _Whole(NamedTuple):
    """A whole file: how many bytes it has, how many of them are zeros that are left out, whether it has `\\"`."""

    length: int
    zeros: int
    has_backslashes: bool


def _refuse_other_kinds(sample: bytes) -> None:
    beginning = sample.removeprefix(b"\xef\xbb\xbf").lstrip()
    for magic, (kind, advice) in OTHER_KINDS.items():
        if beginning.startswith(magic):
            raise UnreadableFile(f"This is {kind}, not a list as CSV or JSON. {advice}")
    if not beginning.strip(b"\xff\xfe"):
        raise UnreadableFile("The file is empty. Export the list again, and import that file.")


def _encoding(unpacked: Callable[..., _Bytes], sample: bytes, chosen: str) -> tuple[str, _Whole]:
    """The encoding of the whole file, and what the whole file is in it."""
    codec = _with_mark(chosen, sample) if chosen else _found(sample)
    if not chosen and _has_no_zeros(codec) and b"\0" in sample and not _is_damaged_text(sample):
        raise _no_text()
    read = _read(unpacked, codec)
    if isinstance(read, _Failure) and codec == "utf-8" and read.ascii_before and not chosen:
        codec = _guess(_strange_lines(unpacked))
        read = _read(unpacked, codec)
    if isinstance(read, _Failure) and chosen:
        raise UnreadableFile(
            f"Line {read.line:,} is not written in {_named(codec)}. Choose another encoding, or have it found out."
        )
    if isinstance(read, _Failure):
        raise UnreadableFile(
            f"Line {read.line:,} is not written in the encoding of the lines before it, {_named(codec)}. "
            "Choose the encoding of the file where you upload it, or open it in a text editor, save it as UTF-8, and "
            "import it again."
        )
    return codec, read


def _found(sample: bytes) -> str:
    """The encoding of a text by how it begins."""
    if marked := _marked(sample):
        return marked
    return "utf-8" if _is_damaged_text(sample) else _unmarked_utf16(sample) or "utf-8"


def _with_mark(codec: str, sample: bytes) -> str:
    """An encoding in the manner of Python that takes off the mark at the beginning, where there is one."""
    marked = _marked(sample)
    if marked and marked.startswith(codec[:6]):
        return marked
    return _unmarked_utf16(sample) or "utf-16-le" if codec == "utf-16" else codec


def _named(codec: str) -> str:
    if codec.startswith("cp125"):
        return codec.replace("cp", "Windows-")
    return codec.removesuffix("-sig").upper()


def _marked(sample: bytes) -> str | None:
    return next((codec for mark, codec in BYTE_ORDER_MARKS.items() if sample.startswith(mark)), None)


def _has_no_zeros(codec: str) -> bool:
    """Whether a zero byte is no part of a letter."""
    return not codec.startswith(("utf-16", "utf-32"))


def _unmarked_utf16(sample: bytes) -> str | None:
    """The encoding of texts in which every second byte is mostly zero, on one side only, at the ends of lines too."""
    pairs = len(sample) // 2
    first, second = sample[0::2].count(0), sample[1::2].count(0)
    if second > pairs / 20 and first < second / 10:
        return "utf-16-le" if _has_lines(sample, "utf-16-le") else None
    if first > pairs / 20 and second < first / 10:
        return "utf-16-be" if _has_lines(sample, "utf-16-be") else None
    return None


def _has_lines(sample: bytes, codec: str) -> bool:
    """Whether what is a line in the bytes is one in the text too: a few zero bytes in UTF-8 make no UTF-16.

    JSON may be a single line, in which that byte is half of a letter.
    """
    text = sample.decode(codec, errors="replace")
    return b"\n" not in sample or "\n" in text or text.startswith(("[", "{"))


def _read(unpacked: Callable[..., _Bytes], codec: str) -> _Failure | _Whole:
    """What the whole file is, or the first place that the codec cannot read."""
    decoder = codecs.getincrementaldecoder(codec)()
    line = 1
    ascii_only = True
    has_backslashes = False
    last = ""
    with unpacked(without_zeros=_has_no_zeros(codec)) as data:
        while True:
            piece = data.read(PIECE_BYTES)
            try:
                text = decoder.decode(piece, final=not piece)
            except UnicodeDecodeError as error:
                good = error.object[: error.start]
                return _Failure(line + good.count(b"\n"), ascii_only and good.isascii())
            if not piece:
                return _Whole(data.given, data.zeros, has_backslashes)
            line += text.count("\n")
            ascii_only = ascii_only and text.isascii()
            has_backslashes = has_backslashes or BEFORE_A_QUOTE in text or (last == "\\" and text[:1] == '"')
            last = text[-1:]


def _strange_lines(unpacked: Callable[..., _Bytes]) -> bytes:
    """Lines with bytes that are not of ASCII, from all over the file: the first of them may look like any language."""
    lines: list[bytes] = []
    cut = b""
    length = number = 0
    every = 1
    with unpacked(without_zeros=True) as data, io.BufferedReader(data, PIECE_BYTES) as stream:
        while line := stream.readline(GUESS_LINE_BYTES):
            if line.isascii():
                continue
            if len(line) == GUESS_LINE_BYTES:
                # It may end within a letter of several bytes, which would mislead.
                cut = cut or line
                continue
            number += 1
            if number % every == 0:
                lines.append(line)
                length += len(line)
                if length > GUESS_BYTES:
                    lines, every = lines[::2], every * 2
                    length = sum(map(len, lines))
    return b"".join(lines) or cut


def _guess(near: bytes) -> str:
    if _reads_as_western(near):
        return "cp1252"
    # Imported here because nearly every file is UTF-8, and the import alone costs a fifth of the process's memory.
    from charset_normalizer import from_bytes

    best = from_bytes(near, cp_isolation=OLD_ENCODINGS).best()
    if best is None:
        raise _no_text()
    return best.encoding


def _reads_as_western(near: bytes) -> bool:
    """Whether the bytes are plausible Windows-1252: mostly ASCII letters, and hardly a strange sign inside a word."""
    try:
        text = near.decode("cp1252")
    except UnicodeDecodeError:
        return False
    letters = [letter for letter in text if letter.isalpha()]
    ascii_letters = sum(letter.isascii() for letter in letters)
    others = sum(not letter.isascii() for letter in text)
    return ascii_letters * 2 > len(letters) and len(UNLIKELY_IN_A_WORD.findall(text)) * 10 < others


def _is_damaged_text(sample: bytes) -> bool:
    """Whether a few zero bytes are all that is wrong: what is left is UTF-8, and nothing that no text has."""
    rest = sample.replace(b"\0", b"")
    if (len(sample) - len(rest)) * ZEROS_OF_A_TEXT > len(sample):
        return False
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(rest)
    except UnicodeDecodeError:
        return False
    return len(rest) < len(sample) and len(CONTROLS.findall(text)) * CONTROLS_OF_A_TEXT <= len(text)


def _no_text() -> UnreadableFile:
    return UnreadableFile(
        "This is a binary file, not a text. Export the list as CSV or JSON in the program that made it, "
        "and import that file."
    )
