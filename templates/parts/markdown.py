"""Markdown as HTML. Raw HTML is shown as text, and so are pictures: one could come from another server.

The time that this takes may grow with the square of a text: `is_short` says which text is drawn in a few milliseconds,
whatever stands in it. What is longer is for `app/pages/markdown_texts.py`, which draws it in another process.
"""

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it import MarkdownIt
    from markdown_it.rules_core import StateCore
    from markdown_it.token import Token

SHORT_TEXT = 2000
SHORT_LINES = 20
# Those that may begin something cost most; of the others each is looked at by itself.
SHORT_SIGNS = 16
SHORT_PUNCTUATION = 120
# A link that is named at each of its uses, or a table whose rows are filled up, is many times as long as its text.
MOST_HTML = 600_000
_SIGN = re.compile(r"[^\w\s.,;:?/'\"%=@+#-]|_")
_PUNCTUATION = re.compile(r"[^\w\s.,]")


class TooLarge(Exception):
    """A text whose HTML would be larger than MOST_HTML."""


def is_short(text: str) -> bool:
    """Whether a text is drawn in a few milliseconds."""
    if len(text) > SHORT_TEXT or text.count("\n") > SHORT_LINES:
        return False
    return len(_SIGN.findall(text)) <= SHORT_SIGNS and len(_PUNCTUATION.findall(text)) <= SHORT_PUNCTUATION


def to_html(text: str) -> str:
    """The HTML of a text. Raises TooLarge."""
    markdown = _markdown()
    tokens = markdown.parse(text)
    if _size(tokens) > MOST_HTML:
        raise TooLarge
    html: str = markdown.renderer.render(tokens, markdown.options, {})
    if len(html) > MOST_HTML:
        raise TooLarge
    return html


def _size(tokens: "Sequence[Token]") -> int:
    """How many characters the texts and attributes of these have, which may be the same ones many times."""
    return sum(
        16 + len(token.content) + sum(len(str(value)) for value in token.attrs.values()) + _size(token.children or ())
        for token in tokens
    )


@cache
def _markdown() -> "MarkdownIt":
    """Loaded when the first text is shown, as it takes a tenth of the time of a start."""
    from markdown_it import MarkdownIt

    markdown = MarkdownIt("commonmark", {"html": False, "breaks": True})
    markdown.core.ruler.push("alignment", _without_style)
    return markdown.enable(["table", "strikethrough"]).disable("image")


def _without_style(state: "StateCore") -> None:
    """A column says how it is aligned, without an inline style: the policy of the page lets none in."""
    for token in state.tokens:
        style = str(token.attrs.pop("style", ""))
        if style:
            token.attrs["align"] = style.removeprefix("text-align:")
