"""The page of who is signed in, with what has happened at the door, and the page of a new link."""

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from typing import NamedTuple

from templates.parts.tags import (
    H1,
    H2,
    A,
    Button,
    Code,
    Div,
    Form,
    Li,
    Ol,
    P,
    Safe,
    Section,
    Span,
    Strong,
    Ul,
)
from templates.parts.text_direction import isolated, own
from templates.parts.values import moment


class Browser(NamedTuple):
    """A browser that is signed in; moments in seconds since 1970."""

    id: int
    name: str
    address: str
    since: int
    used: float
    is_this: bool


class Event(NamedTuple):
    """An event; its moment in seconds since 1970, and how often it was tried by then."""

    at: int
    what: str
    address: str
    browser: str
    tries: int


def access_page(browsers: Sequence[Browser], events: Sequence[Event], zone: tzinfo | None) -> Safe:
    """Everything at once; this browser is the first in the list."""
    others = sum(not each.is_this for each in browsers)
    return Div(
        Section(
            H1("Who is signed in"),
            Ul([_browser(each, zone) for each in browsers], cls="browsers")
            if browsers
            else P("Nobody: whoever comes here needs no session.", cls="quiet"),
            _action("/access/end-others", "Sign out all others", "button danger") if others > 1 else None,
            cls="card access",
        ),
        Section(
            H2("The sign-in link"),
            P(
                "A new link ends every session but this one, and the old link and token sign nobody in any more. "
                "Make one when somebody may have seen the old one."
            ),
            _action("/access/token", "Make a new link", "button"),
            cls="card access",
        ),
        Section(
            H2("What has happened"),
            Ol([_event(each, zone) for each in events], cls="events") if events else P("Nothing yet.", cls="quiet"),
            cls="card access",
        ),
        cls="column",
    )


def new_link_page(link: str) -> Safe:
    """The link that was just made, to be copied."""
    return Section(
        H1("The new link"),
        P("Whoever has this link can sign in. All other browsers were signed out."),
        Div(
            Code(link, id="new-link"), Button("Copy", type="button", cls="button", data_copy="new-link"), cls="new-link"
        ),
        P(A("Who is signed in", href="/access", cls="button")),
        cls="card error-page",
    )


def _browser(each: Browser, zone: tzinfo | None) -> Safe:
    name, address = each.name or "An unknown browser", each.address or "an unknown address"
    return Li(
        Div(
            P(Strong(own(name)), Span("this one", cls="this-one") if each.is_this else None),
            P(address, cls="quiet"),
            P("Signed in ", _moment(each.since, zone), ", last used ", _moment(each.used, zone), cls="quiet"),
        ),
        Form(
            Button("Sign out", cls="button", aria_label=f"Sign out {isolated(name)}, {isolated(address)}"),
            method="post",
            action=f"/access/{each.id}/end",
        )
        if not each.is_this
        else None,
    )


def _event(each: Event, zone: tzinfo | None) -> Safe:
    where = ", ".join(map(isolated, filter(None, (each.browser, each.address))))
    return Li(
        Span(_moment(each.at, zone), cls="quiet"),
        Div(
            P(own(each.what), f" ({each.tries} tries)" if each.tries > 1 else None),
            P(where, cls="quiet") if where else None,
        ),
    )


def _action(path: str, words: str, cls: str) -> Safe:
    return Form(Button(words, cls=cls), method="post", action=path)


def _moment(seconds: float, zone: tzinfo | None) -> Safe:
    try:
        text = datetime.fromtimestamp(int(seconds), UTC).isoformat()
    except (ValueError, OverflowError, OSError):  # Another program may have put anything there.
        text = str(seconds)
    return moment(text, zone)
