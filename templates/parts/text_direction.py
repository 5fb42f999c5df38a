"""A person's text inside other text: whatever direction it is written in, the words around it stay where they are.

Arabic and Hebrew run from right to left, and controls that nobody sees (U+202E and its like) turn what follows them.
`own` is for a text among tags, `isolated` for one inside a sentence, a title or an attribute. Both are only a frame: a
text that ends the frame itself, by a control of its own too many, is mended first.
(Unicode Standard Annex 9, https://www.unicode.org/reports/tr9/.)
"""

import re

from templates.parts.tags import Bdi, Safe

FIRST_STRONG, END = "\u2068", "\u2069"
# What begins a frame of its own, what ends one, and what ends every one, as the end of a line does.
BEGINS = "\u2066\u2067\u2068"
LINES = "\n\r\x1c\x1d\x1e\x85\u2028\u2029"
_MENDED = re.compile(f"[{BEGINS}{END}{LINES}]")
# Letters that run from right to left, and the marks and controls of direction.
_TURNS = re.compile(
    "[\u0590-\u08ff\u200e\u200f\u202a-\u202e\u2066-\u2069\ufb1d-\ufdff\ufe70-\ufeff"
    "\U00010800-\U00010fff\U0001e800-\U0001efff]"
)
_SPACES = str.maketrans(dict.fromkeys(LINES, " "))


def own(text: str) -> Safe:
    """A person's text among tags."""
    return Bdi(balanced(text))


def isolated(text: str) -> str:
    """A person's text within a sentence; most texts need nothing for it."""
    if text.isascii() or not _TURNS.search(text):
        return text
    return f"{FIRST_STRONG}{balanced(text)}{END}"


def quoted(text: str, longest: int = 60) -> str:
    """A person's text as a sentence names it, shortened."""
    return f"“{isolated(text if len(text) <= longest else f'{text[:longest]}…')}”"


def balanced(text: str) -> str:
    """A text on one line that ends what it begins, and nothing that it has not begun."""
    if not _MENDED.search(text):
        return text
    kept: list[str] = []
    depth = 0
    for letter in text.translate(_SPACES):
        if letter in BEGINS:
            depth += 1
        elif letter == END:
            if not depth:
                continue
            depth -= 1
        kept.append(letter)
    return "".join(kept) + END * depth
