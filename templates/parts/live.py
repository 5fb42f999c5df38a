"""Live elements: what they carry, so that an open page follows every change.

An element with `id`, `data-live` (its own address) and `data-version` (the hash of what it shows) is live; nothing else
is needed. `live` makes one: the element that `GET url` answers with `HX-Request`, wherever it stands.
"""

from hashlib import blake2b

from templates.parts.tags import (
    Div,
    Footer,
    P,
    Safe,
    Tag,
)

# Stands for the version while the element is drawn, as the version is the hash of the rest.
_MARK = "\ue002"


def live(element: Tag, *children: object, id: str, url: str, **attributes: object) -> Safe:
    """An element that is kept up to date; `url` is the address that answers it, with everything that it shows."""
    drawn = element(*children, id=id, data_live=url, data_version=_MARK, **attributes)
    version = blake2b(drawn.encode(), digest_size=12).hexdigest()
    return Safe(drawn.replace(_MARK, version, 1))


def unknown(element: Tag, *, id: str, url: str, **attributes: object) -> Safe:
    """The empty place of a live element, which is filled over the socket once the page is open."""
    return element(id=id, data_live=url, data_version="", **attributes)


def link() -> Safe:
    """The socket of a page. What comes goes to the elements that it names."""
    return Div(id="live", hx_ws_connect="/live", hx_swap="none", hidden=True)


def connection(tabs: int) -> Safe:
    """What a page says of its connection: how many tabs follow; the other words are shown when it is lost or back."""
    words = f"Live in {tabs} open tabs" if tabs > 1 else "Live"
    return live(
        Footer,
        P(words, cls="now"),
        P("No connection to the server. Trying again…", cls="lost", role="status"),
        P("Connected again, and up to date.", cls="back", role="status"),
        id="connection",
        url="/connection",
        cls="connection",
    )
