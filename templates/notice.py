"""What every page says at its top when the data are lost while the app has them open: what happened, and what to do."""

from functools import lru_cache

from templates.live import live
from templates.tags import H2, A, Code, Div, P, Safe


@lru_cache(maxsize=8)
def notice(words: str = "", advice: str = "", saved: str = "") -> Safe:
    """What happened, what mends it, and where a copy was saved; an empty place while all is well."""
    return live(Div, _said(words, advice, saved) if words else None, id="notice", url="/notice")


def _way_back(saved: str) -> tuple[object, ...]:
    return (
        "A copy of all that was saved before was put aside by itself. Start the server again, and bring it back: ",
        Code(f"python3 server.py restore {saved}"),
    )


def _said(words: str, advice: str, saved: str) -> Safe:
    return Div(
        H2("Nothing is saved at this moment"),
        P(words),
        P(_way_back(saved) if saved else advice),
        P(
            A("Save a copy of the data", href="/export.db", cls="button primary"),
            " or run ",
            Code("python3 server.py backup FILE"),
            cls="notice-ways",
        ),
        cls="notice",
        role="alert",
    )
