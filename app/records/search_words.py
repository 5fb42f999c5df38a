"""Texts as the search compares them: the same words, however they are written, come to the same letters.

What is folded: case (ß is ss), accents, ligatures and widths (NFKC), signs that only say how a word is read. A word
begins after two spaces, so that its begin can be looked for. Where a script puts no spaces between words, each letter
is set apart by one: so one or two of them are found as well as many.

    Donaudampfschiff, 東京tower  →  "  donaudampfschiff  東 京   tower "
"""

import re
from collections.abc import Iterator
from functools import cache
from unicodedata import normalize

# What is folded at once: other threads get their turn in between.
PIECE_LETTERS = 32_768
# Marks above, below and around letters of Latin, Greek and Cyrillic; points of Hebrew; signs of Arabic for short
# vowels, and its line that only makes a word longer. In other scripts marks are letters.
_MARKS = re.compile(
    "[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"
    "\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed]+"
)
# Letters that Unicode does not take apart, and people do.
_LETTERS = str.maketrans(
    {"ı": "i", "ø": "o", "ł": "l", "đ": "d", "ħ": "h", "ŧ": "t", "æ": "ae", "œ": "oe", "ð": "d", "þ": "th"}
)
# Thai, Lao, Tibetan, Burmese, Khmer, kana, Han, Hangul (which has spaces, and long compounds). Their marks are letters.
_UNSPACED = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u0edc-\u0edf\u0f40-\u0fbc\u1000-\u1049\u1050-\u109d\u1780-\u17d3"
    "\u3005-\u3007\u3041-\u3096\u3099\u309a\u309d\u309e\u30a1-\u30fa\u30fc-\u30fe\u3105-\u312f\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97c\uaa60-\uaa7f\uac00-\ud7a3\uf900-\ufaff\U0001b000-\U0001b16f"
    "\U00020000-\U0003ffff"
)
# Marks of other scripts, which Python does not count as parts of a word.
_WORD_MARKS = "\u0900-\u0963\u0981-\u09e3\u0a01-\u0dff\u1712-\u1734\u180b-\u180d\u1900-\u1cff\ua8e0-\ua8f1\ua980-\uabff"
_ASCII_WORD = re.compile("[a-z0-9]+")


def folded(text: str) -> str:
    """The words of a text, as the search keeps them; what is looked for in them is `sought`."""
    return "".join([_folded(piece) for piece in _pieces(text)])


def sought(word: str) -> str:
    """What to look for in folded texts to find a word: within any word, or of one or two letters at the begin of one.

    At least three characters; none where there is no letter to look for.
    """
    found = _folded(word)
    letters = found.strip()
    if not letters:
        return ""
    if _runs().match(letters)[1]:  # type: ignore[index]
        return letters if len(letters) >= 3 else f" {letters} "
    first = len(letters.split(maxsplit=1)[0])
    return letters if first >= 3 else f" {letters}" if first == 2 else f"  {letters}"


@cache
def _runs() -> re.Pattern[str]:
    """What finds letters without spaces between them, and words; made late, as that takes 8 ms of every start."""
    return re.compile(f"([{_UNSPACED}]+)|(?:[^\\W_{_UNSPACED}]|[{_WORD_MARKS}])+")


def _pieces(text: str) -> Iterator[str]:
    """A text in pieces that end between words, if it has spaces."""
    begin = 0
    while len(text) - begin > PIECE_LETTERS:
        end = text.rfind(" ", begin, begin + PIECE_LETTERS) + 1 or begin + PIECE_LETTERS
        yield text[begin:end]
        begin = end
    yield text[begin:]


def _folded(text: str) -> str:
    if text.isascii():
        return f"  {'  '.join(_ASCII_WORD.findall(text.lower()))} "
    apart = normalize("NFKD", normalize("NFKD", text).casefold())
    letters = normalize("NFC", _MARKS.sub("", apart)).translate(_LETTERS)
    return "".join([_run(found) for found in _runs().finditer(letters)]) + " "


def _run(found: re.Match[str]) -> str:
    return f"  {' '.join(found[0])} " if found[1] else f"  {found[0]}"
