"""Sort keys: bytes that are in the order in which people look for titles, that of the Unicode Collation Algorithm.

https://www.unicode.org/reports/tr10/ compares letters first (Äpfel beside Apfel), then accents, then case. The weights
are those of `pyuca`, which takes 0.2 s and 11 MB to load: titles in ASCII do without it, with the same keys.
"""

import re
from functools import cache, lru_cache
from typing import Any, NamedTuple

# What follows in a title decides no order, so that no key is large.
KEY_LETTERS = 200
# What stands after every key.
LAST = b"\xff"
# The characters of ASCII that have a weight in their order (capitals have those of their small letters), and what they
# weigh. That is a part of pyuca's table: a test compares it.
_ASCII = "\t\n\v\f\r _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789abcdefghijklmnopqrstuvwxyz"
_WEIGHTS = """
    0201 0202 0203 0204 0205 0209 020b 020d 0222 0234 0239 0260 0266 0277 0305 030c 0317 0318 0319 031a 031b 031c 038e
    038f 0394 0395 0396 0398 0399 0482 0485 0616 061a 061b 061c 061e 0620 1c12 1c3d 1c3e 1c3f 1c40 1c41 1c42 1c43 1c44
    1c45 1c46 1c47 1c60 1c7a 1c8f 1caa 1ce5 1cf4 1d18 1d32 1d4c 1d65 1d77 1daa 1db9 1ddd 1e0c 1e21 1e33 1e71 1e95 1eb5
    1ee3 1ef5 1eff 1f0b 1f21
"""
# The weights of what has no accent, and of what is no capital: at the end of a level they say nothing.
_PLAIN, _SMALL, _CAPITAL = b"\0\x20", 2, 8
_PRIMARY: dict[int, int | None] = dict.fromkeys(range(128))
_PRIMARY |= {ord(letter): int(weight, 16) for letter, weight in zip(_ASCII, _WEIGHTS.split(), strict=True)}
_CASE: dict[int, int | None] = {number: None if weight is None else _SMALL for number, weight in _PRIMARY.items()}
_CASE |= {ord(letter): _CAPITAL for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
# A part of a title that no contraction goes beyond.
_PART = re.compile(" ?[^ ]+| ")


class Levels(NamedTuple):
    """The weights of letters, accents and case."""

    letters: bytes
    accents: bytes
    case: bytes


def sort_key(title: str) -> bytes:
    """The key that sorts a title."""
    title = title[:KEY_LETTERS]
    parts = [_ascii_levels(title)] if title.isascii() else [_levels(part) for part in _PART.findall(title)]
    letters, accents, case = (b"".join(level) for level in zip(*parts, strict=True)) if parts else (b"", b"", b"")
    # Where all three end alike, what has less comes first, as nothing weighs less than zero.
    while accents.endswith(_PLAIN):
        accents = accents[:-2]
    return b"\0\0".join((letters, accents, case.rstrip(bytes([_SMALL])))).rstrip(b"\0")


def _ascii_levels(text: str) -> Levels:
    letters = text.lower().translate(_PRIMARY).encode("utf-16-be")
    return Levels(letters=letters, accents=b"", case=text.translate(_CASE).encode())


@lru_cache(maxsize=4096)
def _levels(part: str) -> Levels:
    """The weights of a part of a title; words come again and again."""
    from unicodedata import normalize

    weights = _collator().collation_elements(normalize("NFD", part))
    letters, accents, case = ([each[level] for each in weights if each[level]] for level in range(3))
    return Levels(
        letters=b"".join(weight.to_bytes(2, "big") for weight in letters),
        accents=b"".join(weight.to_bytes(2, "big") for weight in accents),
        case=bytes(case),
    )


@cache
def _collator() -> Any:
    """Loaded late: many never need it."""
    from pyuca import Collator

    return Collator()
