"""Any encoding and compression becomes the same text, and what is no text is refused with a reason."""

import gzip
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from app.imports.reading.text import decoding
from app.imports.reading.text.decoding import TextFile, UnreadableFile

GERMAN = "Aufgabe;Fällig\nReisepass verlängern – 80 €;2026-05-01\n"
POLISH = "Zadanie;Termin\nKupić masło i żółty ser, źle;2026-05-01\n"
RUSSIAN = "Задача;Срок\nКупить молоко и позвонить маме;2026-05-01\n"
JAPANESE = "タスク,期限\n牛乳を買って電話する,2026-05-01\n"


def made(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "upload"
    path.write_bytes(content)
    return path


def read(path: Path) -> str:
    with TextFile(path).open() as stream:
        return stream.read()


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
@pytest.mark.parametrize(
    ("written", "encoding", "name"),
    [
        (GERMAN, "utf-8", "UTF-8"),
        (GERMAN, "utf-8-sig", "UTF-8"),
        (GERMAN, "utf-16", "UTF-16"),
        (GERMAN, "utf-16-le", "UTF-16-LE"),
        (GERMAN, "utf-16-be", "UTF-16-BE"),
        (GERMAN, "cp1252", "Windows-1252"),
        (POLISH, "cp1250", "Windows-1250"),
        (RUSSIAN, "cp1251", "Windows-1251"),
        (JAPANESE, "cp932", "CP932"),
        (JAPANESE, "utf-8", "UTF-8"),
    ],
)
def test_the_encoding_is_found(
    tmp_path: Path, pack: Callable[[bytes], bytes], written: str, encoding: str, name: str
) -> None:
    path = made(tmp_path, pack(written.encode(encoding)))
    assert read(path) == written
    assert TextFile(path).encoding == name
    assert TextFile(path).compressed == (pack is not bytes)


@pytest.mark.parametrize("size", [decoding.SAMPLE_BYTES, decoding.PIECE_BYTES])
@pytest.mark.parametrize("shift", range(4))
def test_a_letter_of_several_bytes_may_lie_anywhere(tmp_path: Path, size: int, shift: int) -> None:
    written = "x" * (size - 3 + shift) + "€ and 🌱\n"
    assert read(made(tmp_path, written.encode())) == written


def test_letters_of_an_old_encoding_may_come_late(tmp_path: Path) -> None:
    written = "title,notes\n" * 100_000 + "Käse,für “Jürgen”\n"
    path = made(tmp_path, written.encode("cp1252"))
    assert read(path) == written
    assert TextFile(path).encoding == "Windows-1252"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("title\nKäse\n".encode() + b"K\xe4se\n", "Line 3 .*UTF-8"),
        (b"a\xc3\xa4\n" * 200_000 + b"\xe4\n", "Line 200,001 .*UTF-8"),
        ("title\n".encode("utf-16") + b"x", "Line 2 .*UTF-16"),
    ],
    ids=["early", "late", "half a letter"],
)
def test_a_mixture_of_encodings_is_refused_with_its_line(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableFile, match=reason):
        TextFile(made(tmp_path, content))


def test_the_text_keeps_its_line_ends(tmp_path: Path) -> None:
    assert read(made(tmp_path, b"a\r\nb\rc\n")) == "a\r\nb\rc\n"


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "a picture"),
        (b"PK\x03\x04" + bytes(range(256)), "Excel.*CSV"),
        (b"SQLite format 3\0" + bytes(100), "SQLite"),
        (b"%PDF-1.7\n", "PDF"),
        (b"\n <!DOCTYPE html>\n<html>", "web page"),
        (gzip.compress(b"title\n"), "gzip file inside a gzip"),
        (bytes(1000), "binary"),
        (random.Random(1).randbytes(10_000), "binary"),
        (bytes(set(range(256)) - {0}) * 100, "binary"),
        (b"", "empty"),
        (b"\xef\xbb\xbf \r\n\n", "empty"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_text_is_refused(
    tmp_path: Path, pack: Callable[[bytes], bytes], content: bytes, reason: str
) -> None:
    if content.startswith(b"\x1f\x8b") and pack is bytes:
        pack = gzip.compress
    with pytest.raises(UnreadableFile, match=reason):
        TextFile(made(tmp_path, pack(content)))


def test_a_damaged_gzip_file_is_refused(tmp_path: Path) -> None:
    packed = gzip.compress(random.Random(1).randbytes(1000).hex().encode())
    with pytest.raises(UnreadableFile, match="ends too early"):
        TextFile(made(tmp_path, packed[:-10]))
    with pytest.raises(UnreadableFile, match="damaged"):
        TextFile(made(tmp_path, packed[:500] + b"----" + packed[504:]))
    with pytest.raises(UnreadableFile, match="damaged"):
        TextFile(made(tmp_path, packed + b"something else"))


def test_a_file_that_unpacks_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "HARMLESS_BYTES", 1024**2)
    with pytest.raises(UnreadableFile, match="200 times"):
        TextFile(made(tmp_path, gzip.compress(b"a" * 4 * 1024**2)))
    monkeypatch.setattr(decoding, "UNPACKED_LIMIT", 1024**2)
    with pytest.raises(UnreadableFile, match="Split it"):
        TextFile(made(tmp_path, random.Random(1).randbytes(1024**2).hex().encode()))


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
def test_the_position_grows_to_the_size_on_the_disk(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    lines = "".join(f"{number},{number * 7919 % 10007}\n" for number in range(80_000))
    file = TextFile(made(tmp_path, pack(lines.encode())))
    assert file.size == (tmp_path / "upload").stat().st_size
    with file.open() as stream:
        positions = [file.position, *(file.position for _ in stream)]
    assert positions == sorted(positions)
    assert len(set(positions)) > 3
    assert (positions[0], positions[-1]) == (0, file.size)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
@pytest.mark.parametrize(
    ("content", "zeros"),
    [
        (b"title,notes\na,b\0c\nd,e\n", 1),
        (b"\xef\xbb\xbftitle,notes\nab,\0c\nd,e\n" + b"f,g\n" * 1000, 1),
        ("title,notes\nä,\0c\n".encode() + b"a long enough line of text,\xc3\0\xa4\n" * 20_000, 20_001),
        (b"title\n" + b"a\n" * 200_000 + bytes(400_000) + b"b\n", 400_000),
    ],
    ids=["one", "behind a mark", "within letters", "many at once"],
)
def test_zero_bytes_in_a_text_are_left_out_and_counted(
    tmp_path: Path, pack: Callable[[bytes], bytes], content: bytes, zeros: int
) -> None:
    file = TextFile(made(tmp_path, pack(content)))
    with file.open() as stream:
        assert stream.read() == content.replace(b"\0", b"").decode("utf-8-sig")
    assert (file.zeros, file.length, file.encoding) == (zeros, len(content), "UTF-8")


def test_zero_bytes_that_are_half_of_a_letter_stay(tmp_path: Path) -> None:
    file = TextFile(made(tmp_path, "title\nä\n".encode("utf-16-le")))
    with file.open() as stream:
        assert (stream.read(), file.zeros) == ("title\nä\n", 0)
