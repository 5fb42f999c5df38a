"""How single values look, in lists, on pages of one thing and in notes.

Another program may have put anything into the file: what is no value of its kind is shown as it stands.
"""

from calendar import month_name
from datetime import UTC, date, datetime, timedelta, tzinfo
from math import isfinite

from templates.parts.markdown import is_short, to_html
from templates.parts.tags import (
    H2,
    Dd,
    Div,
    Dt,
    Fragment,
    P,
    Safe,
    Section,
    Span,
    Time,
    raw,
)
from templates.parts.text_direction import own

# How much of a text is shown as it was typed, in characters.
SHOWN_TEXT = 200_000
# Looked up, as strftime takes as long as a tag.
MONTHS = list(month_name)
ANSWERS: dict[float | str, str] = {0: "No", 1: "Yes"}


class Cut(str):
    """The begin of a text that is too large to be read whole."""

    __slots__ = ()


def pair(name: str, value: object, cls: str | None = None) -> Safe:
    """A name and its value, in a list of them."""
    return Div(Dt(name), Dd(value), cls=cls)


def fact(name: str, value: object) -> Safe:
    """A name and its value, in a line of them."""
    return Span(Span(f"{name} ", cls="quiet"), value if isinstance(value, Safe) else own(str(value)))


def number(value: float | str | None) -> str | None:
    """A number with its thousands set apart."""
    return value if value is None or isinstance(value, str) else f"{value:,}"


def is_number(text: str) -> bool:
    """Whether a text is a number, as a field for one takes it."""
    try:
        return isfinite(float(text))
    except ValueError:
        return False


def yes_or_no(value: float | str | None) -> str | None:
    """The answer in a word."""
    return None if value is None else ANSWERS.get(value) or str(value)


def day(text: str | None, today: date) -> Safe | None:
    """An ISO date as a person would say it."""
    if not text:
        return None
    day = day_of(text)
    return Time(day_in_words(day, today), datetime=text) if day else Time(own(text))


def day_of(text: str) -> date | None:
    """The date of an ISO text; None for any other text, and for years that Python has no dates of, as SQLite does."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def day_in_words(day: date, today: date) -> str:
    """A date, with its year where that could be another than one thinks."""
    near = abs(day - today) < timedelta(days=180) or day.year == today.year
    month = MONTHS[day.month][:3]
    return f"{day.day} {month}" if near else f"{day.day} {month} {day.year}"


def moment(text: str, zone: tzinfo | None) -> Safe:
    """A UTC moment in the person's own time."""
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(zone)
    except (ValueError, OverflowError):  # The second in the first and the last hours that there are.
        return Time(own(text))
    return Time(f"{moment.day} {moment:%b %Y, %H:%M}", datetime=text)


def text(markdown: str, empty: str = "") -> Safe | None:
    """A longer text, written in Markdown; the words `empty` where there is none.

    One that is not short is drawn beforehand (`app/pages/markdown_texts.py`), or shown as it was typed.
    """
    if isinstance(markdown, Safe):
        return Div(markdown, cls="notes")
    if markdown.strip():
        return Div(raw(to_html(markdown)) if is_short(markdown) else as_typed(markdown), cls="notes")
    return P(empty, cls="quiet") if empty else None


def section(name: str, markdown: str) -> Safe | None:
    """A longer text under its name; nothing where there is none."""
    shown = text(markdown)
    return Section(H2(name), shown) if shown else None


def as_typed(text: str) -> Safe:
    """A text that is too long, or too involved, to be drawn."""
    shown = text[:SHOWN_TEXT]
    words = "This text is too long or too involved for Markdown: it is shown as it was typed."
    if len(shown) < len(text) or isinstance(text, Cut):
        words = (
            f"This text is too long to be shown whole: here are its first {len(shown):,} characters. An export has all."
        )
    return Fragment(P(words, cls="quiet"), Div(shown, cls="as-typed"))
