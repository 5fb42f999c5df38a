"""The page shell: what stands around the fragments of every page."""

import json
from collections.abc import Callable
from functools import cache

from templates.parts.live import link, unknown
from templates.parts.tags import (
    A,
    Body,
    Button,
    Div,
    Footer,
    Form,
    Head,
    Header,
    Html,
    Link,
    Main,
    Meta,
    Nav,
    Safe,
    Script,
    Span,
    Title,
)
from templates.parts.text_direction import isolated

NAME = "Kindling"
# The way to each feature, in the order of the navigation; `/` leads to the first.
FEATURES: dict[str, str] = {
    # `python3 server.py new` adds a line at the end.
    "/tasks": "Tasks",
}
# Without a feature there is nothing to bring or to take.
AREAS = {**FEATURES, "/imports": "Import & export"} if FEATURES else {}
# Milliseconds until a page whose socket was closed connects again; a new version of the code is there at once.
RECONNECT, RECONNECT_TO_NEW_CODE = 100, 5

NO_NOTICE = Safe("")

Asset = Callable[[str], str]


def page(
    title: str,
    content: object,
    *,
    head: tuple[Safe, ...],
    area: str = "",
    signed_in: bool = False,
    is_open: bool = False,
    notice: Safe = NO_NOTICE,
) -> Safe:
    """A whole page: `content` in the shell under `head`; `area` is where we are.

    One that `is_open` to those who have to sign in first leads nowhere else, and follows nothing.
    """
    return Html(
        Head(*head, Title(f"{isolated(title)} · {NAME}")),
        Body(*(_closed_shell(content) if is_open else shell(content, area, signed_in, notice))),
        lang="en",
    )


def head(asset: Asset, *, follows_code: bool = False) -> tuple[Safe, ...]:
    """What the head of every page holds, beside its title; `asset` gives the address of a static file."""
    development = (
        Link(rel="stylesheet", href="/development/reload.css"),
        Script(src="/development/reload.js", defer=True),
    )
    return (
        Meta(charset="utf-8"),
        Meta(name="viewport", content="width=device-width, initial-scale=1"),
        Meta(name="color-scheme", content="light dark"),
        Meta(name="htmx-config", content=_htmx(RECONNECT_TO_NEW_CODE if follows_code else RECONNECT)),
        Link(rel="icon", href=asset("icon.svg"), type="image/svg+xml"),
        Link(rel="stylesheet", href=asset("app.css")),
        # Before htmx: they listen for what htmx says at its start.
        Script(src=asset("live.js"), defer=True),
        Script(src=asset("morph.js"), defer=True),
        Script(src=asset("vendor/htmx.min.js"), defer=True),
        Script(src=asset("inline.js"), defer=True),
        Script(src=asset("vendor/hx-ws.min.js"), defer=True),
        Script(src=asset("app.js"), defer=True),
        *(development if follows_code else ()),
    )


def shell(content: object, area: str = "", signed_in: bool = False, notice: Safe = NO_NOTICE) -> tuple[Safe, ...]:
    """Header, main part and the place for toasts, below a notice; who is signed in can sign out."""
    return (
        A("Skip to the content", href="#main", cls="skip"),
        notice,
        Header(
            _brand(),
            Nav(
                [A(name, href=path, aria_current="page" if path == area else None) for path, name in AREAS.items()],
                _session(area) if signed_in else None,
                aria_label="Main",
            )
            if AREAS or signed_in
            else None,
            cls="top",
        ),
        Main(content, id="main", tabindex="-1"),
        Div(id="toasts", role="status", aria_live="polite"),
        link(),
        unknown(Footer, id="connection", url="/connection", cls="connection"),
    )


def _closed_shell(content: object) -> tuple[Safe, ...]:
    """What stands around a page that leads nowhere else."""
    return (
        Header(_brand(), cls="top"),
        Main(content, id="main", tabindex="-1"),
        Div(id="toasts", role="status", aria_live="polite"),
    )


def _brand() -> Safe:
    return A(Span(cls="flame", aria_hidden="true"), NAME, href="/", cls="brand")


def _session(area: str) -> tuple[Safe, ...]:
    """What who is signed in can do about it."""
    return (
        A("Sessions", href="/access", aria_current="page" if area == "/access" else None),
        Form(Button("Sign out", cls="button"), method="post", action="/sign-out"),
    )


@cache
def _htmx(reconnect: int) -> str:
    """What htmx reads, in the first element of this name only.

    Attributes hold for what is below their element, as FastHTML's documentation assumes. What a person has opened stays
    open, what they typed is marked, and styles are those that static/inline.js has set. A page that came back from the
    browser's memory, whose socket was closed as usual (1000), connects again, and none waits long for a server that is
    back.
    """
    config = {
        "metaCharacter": "-",
        "implicitInheritance": True,
        "extensions": "inline,ws,sse",
        "morphIgnore": ["data-htmx-powered", "data-theirs", "open", "style"],
        "ws": {
            "reconnectCodes": [1000, 1001, 1005, 1006, 1011, 1012, 1013, 1014, 4401],
            "reconnectDelay": reconnect,
            "reconnectMaxDelay": 2000,
        },
    }
    return json.dumps(config, separators=(",", ":"))
