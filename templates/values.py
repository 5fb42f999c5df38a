"""How single values look, in lists, on pages of one thing and in notes."""

from calendar import month_name
from datetime import UTC, date, datetime, timedelta, tzinfo

from templates.markdown import is_short, to_html
from templates.tags import H2, Dd, Div, Dt, Fragment, P, Safe, Section, Time, raw

# How much of a text is shown as it was typed, in characters.
SHOWN_TEXT = 200_000
# Looked up, as strftime takes as long as a tag.
MONTHS = list(month_name)


class Cut(str):
    """The begin of a text that is too large to be read whole."""

    __slots__ = ()


def pair(name: str, value: object, cls: str | None = None) -> Safe:
    """A name and its value, in a list of them."""
    return Div(Dt(name), Dd(value), cls=cls)


def number(value: float | None) -> str | None:
    """A number with its thousands set apart."""
    return None if value is None else f"{value:,}"


def yes_or_no(value: int | None) -> str | None:
    """The answer in a word."""
    return None if value is None else "Yes" if value else "No"


def day(text: str | None, today: date) -> Safe | None:
    """An ISO date as a person would say it."""
    return Time(day_in_words(date.fromisoformat(text), today), datetime=text) if text else None


def day_in_words(day: date, today: date) -> str:
    """A date, with its year where that could be another than one thinks."""
    near = abs(day - today) < timedelta(days=180) or day.year == today.year
    month = MONTHS[day.month][:3]
    return f"{day.day} {month}" if near else f"{day.day} {month} {day.year}"


def moment(text: str, zone: tzinfo | None) -> Safe:
    """A UTC moment in the person's own time; one that another program wrote in its own way is shown as it is."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return Time(text)
    moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(zone)
    return Time(f"{moment.day} {moment:%b %Y, %H:%M}", datetime=text)


def text(markdown: str, empty: str = "") -> Safe | None:
    """A longer text, written in Markdown; the words `empty` where there is none.

    One that is not short is drawn beforehand (`app/texts.py`), or shown as it was typed.
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
