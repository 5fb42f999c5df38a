"""What every page says at its top when the data are lost while the app has them open: what happened, and what to do."""

from functools import lru_cache

from templates.parts.live import live
from templates.parts.tags import (
    H2,
    A,
    Code,
    Div,
    P,
    Safe,
)


@lru_cache(maxsize=8)
def notice(words: str = "", advice: str = "", command: str = "", *, is_whole: bool = True) -> Safe:
    """What happened, what mends it, and the command that brings a copy back; an empty place while all is well.

    Of data that are not whole any more no copy is offered but an older one.
    """
    return live(Div, _said(words, advice, command, is_whole) if words else None, id="notice", url="/notice")


def _way_back(command: str, is_whole: bool) -> tuple[object, ...]:
    if not is_whole:
        return (
            "The newest copy from before is kept. End the server, and bring it back: ",
            Code(command),
        )
    return (
        "A copy of all that was saved before was put aside by itself. Start the server again, and bring it back: ",
        Code(command),
    )


def _said(words: str, advice: str, command: str, is_whole: bool) -> Safe:
    return Div(
        H2("Nothing is saved at this moment"),
        P(words),
        P(advice) if not (command and is_whole) else None,
        P(_way_back(command, is_whole)) if command else None,
        P(
            A("Save a copy of the data", href="/export.db", cls="button primary"),
            " or run ",
            Code("python3 server.py backup FILE"),
            cls="notice-ways",
        )
        if is_whole
        else None,
        cls="notice",
        role="alert",
    )
