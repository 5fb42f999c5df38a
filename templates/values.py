"""How single values look, in lists, on pages of one thing and in notes."""

from calendar import month_name
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cache
from typing import TYPE_CHECKING

from templates.tags import H2, Dd, Div, Dt, P, Safe, Section, Time, raw

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_core import StateCore

# Looked up, as strftime takes as long as a tag.
MONTHS = list(month_name)


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
    """A longer text, written in Markdown; the words `empty` where there is none."""
    if markdown.strip():
        return Div(raw(_markdown().render(markdown)), cls="notes")
    return P(empty, cls="quiet") if empty else None


def section(name: str, markdown: str) -> Safe | None:
    """A longer text under its name; nothing where there is none."""
    return Section(H2(name), text(markdown)) if markdown.strip() else None


@cache
def _markdown() -> "MarkdownIt":
    """Raw HTML is shown as text, and so are pictures: one could come from another server.

    Loaded when the first text is shown, as it takes a tenth of the time of a start.
    """
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
