"""What odd inputs are made of: texts, bytes and numbers that were too much for somebody; and how inputs are mutated."""

import random
from collections.abc import Sequence
from urllib.parse import quote_from_bytes

WORDS = (
    "", " ", "0", "1", "-1", "x", "Task 1", "Some *notes*", "\0", "a\0b", "\r\n", "\n", "\t", "\x7f", "\x1b[31m",
    "\ufeff",
    "é", "ß", "İ", "ŉ", "\u2028", "\u202e", "\ud800", "\udfff", "\udcff", "😀", "👨‍👩‍👧‍👦", "e\u0301" * 20, "﷽",
    "NaN", "Infinity", "-0", "1e999", "1e-999", "1e999999999", "0x10", "1_000", "١٢", "²", "½", "9" * 18, "9" * 19,
    "9" * 5000,
    "-9223372036854775809", "18446744073709551616", "2147483648", "1.5", ".5", "5.", "+5", "--5", "1,5", "1.0",
    "true",
    "null", "None", "undefined", "2026-12-31", "2026-02-30", "0000-00-00", "0001-01-01", "9999-12-31", "10000-01-01",
    "2026-W01-1", "20261231", "2026-366", "2026-12-31T24:00:00Z", "٢٠٢٦-١٢-٣١", '"', "'", "\\", "%", "%00", "%zz",
    "_", "*", "^",
    "AND", "OR", "NOT", "NEAR(a b)", "a*", '"a', 'a"b"c', "title:x", "-x", "(", ")", "{", "}", "[", "]", "<", ">",
    "&amp;",
    "<script>alert(1)</script>", "javascript:alert(1)", "//evil.example", "/\\evil.example", "../" * 20,
    "file:///etc/passwd",
    "http://localhost/", "http://[::1", "http://[v1.x]/", "https://user:pass@x:99999/", "[", "![", "[a](",
    "[a]: x\n", "> ",
    "- ", "1. ", "# ", "`", "```\n", "~~~", "*a_ ", "**", "_", "<a", "<!--", "&#", "&#x110000;", "&#0;",
    "|a|b|\n|-|-|\n",
    "\\[", "    x\n", "\n\n", "a@b.c", "www.a.b", "http://a", "<http://a>", "![a](data:x)",
)  # fmt: skip
BYTES = (
    b"\xff", b"\xfe\xff", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80",
    b"\xe2\x28\xa1",
    b"\x80", b"\0", b"\x1f\x8b", b"\x1f\x8b\x08\0\0\0\0\0", b"\r", b"\n", b"\r\n\r\n", b":", b";", b",", b"=", b"&",
    b"%", b"%f",
    b"+", b'"', b"'", b"\\", b"/", b"?", b"#", b"[", b"{", b"\x7f", b"--", b"\t", b" ", b"0", b"-1",
    b"99999999999999999999",
)  # fmt: skip
# How often something is repeated; what is large is rare, and counts as one.
TIMES = (2, 3, 5, 8, 20, 64, 100, 257, 500, 1000, 5000, 20_000, 70_000)


def text(chance: random.Random, large: float = 0.02) -> str:
    """A text that may be too much for somebody; some of them are large."""
    kind = chance.random()
    if kind < large:
        return "".join(chance.choices(WORDS, k=chance.randint(1, 2))) * chance.choice(TIMES)
    if kind < 0.6:
        return chance.choice(WORDS)
    return "".join(chance.choices(WORDS, k=chance.randint(2, 6)))


def raw(chance: random.Random) -> bytes:
    """The bytes of a text; some are no UTF-8."""
    return encoded(text(chance)) if chance.random() < 0.8 else chance.choice(BYTES)


def encoded(text: str) -> bytes:
    """UTF-8, of lone surrogates too."""
    return text.encode("utf-8", "surrogatepass")


def quoted(chance: random.Random, value: bytes) -> bytes:
    """A value as it stands in an address or a form, mostly as it should."""
    return value if chance.random() < 0.1 else quote_from_bytes(value, safe="").encode()


def mutated(chance: random.Random, parts: Sequence[bytes]) -> tuple[bytes, ...]:
    """The parts with one to four small changes, as bytes are changed by no one who knows what they mean."""
    changed = list(parts)
    for _ in range(chance.randint(1, 4)):
        number = chance.randrange(len(changed))
        changed[number] = _mutated(chance, changed, changed[number])
        if chance.random() < 0.1:
            del changed[chance.randrange(len(changed))]
        elif chance.random() < 0.1:
            changed.insert(number, chance.choice(changed))
        if not changed:
            return tuple(parts)
    return tuple(changed)


def _mutated(chance: random.Random, parts: Sequence[bytes], part: bytes) -> bytes:
    at = chance.randint(0, len(part))
    length = chance.choice((1, 1, 2, 4, 16))
    match chance.randrange(7):
        case 0:
            return part[:at] + chance.choice(BYTES) + part[at:]
        case 1:
            return part[:at] + part[at + length :]
        case 2:
            return part[:at] + bytes([chance.randrange(256)]) + part[at + 1 :]
        case 3:
            return part[:at] + part[at : at + length] * chance.choice(TIMES[:8]) + part[at + length :]
        case 4:
            return part[:at] + raw(chance) + part[at + length :]
        case 5:
            other = chance.choice(parts)
            return part[:at] + other[chance.randint(0, len(other)) :]
        case _:
            return part[:at] + chance.choice(BYTES) + part[at + length :]
