"""What every list has: its address, search and order, one page after another, and the places of what was deleted."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlencode

from templates.parts.live import live
from templates.parts.tags import (
    A,
    Button,
    Div,
    Form,
    HxPartial,
    Input,
    Li,
    Ol,
    Option,
    P,
    Safe,
    Section,
    Select,
    Span,
)
from templates.parts.text_direction import own
from templates.parts.toast import toast

# A browser takes 150 ms to put a thousand rows in their place.
SHOWN_PAGES = 50
SEARCH_LENGTH = 200
# What every row says to htmx, said once around them: an answer takes the row's place, and is a row again.
IN_LIST = {
    "hx_target": "closest li",
    "hx_swap": "outerHTML",
    "hx_vals": "in:list",
    "hx_sync": "drop",
}
IN_DETAIL = {"hx_target": "closest article", "hx_swap": "outerHTML", "hx_sync": "drop"}


class Query(Protocol):
    """Which part of a list is shown: `pages` pages, from number `page` on, of what was searched for."""

    @property
    def q(self) -> str: ...
    @property
    def sort(self) -> str: ...
    @property
    def page(self) -> int: ...
    @property
    def pages(self) -> int: ...
    def url(self, **changes: object) -> str: ...


class ListQuery(NamedTuple):
    """The query of a list without filters of its own."""

    area: str
    q: str = ""
    sort: str = "newest"
    page: int = 1
    pages: int = 1

    def url(self, **changes: object) -> str:
        """The address of this list, with `changes`."""
        return address(self.area, self, changes)


def address(area: str, query: Any, changes: Mapping[str, object]) -> str:
    """The address of a list with `changes`; from its first page where anything but the page changes."""
    query = query._replace(**{"page": 1, "pages": 1, **changes})
    usual = query._field_defaults
    given = {name: value for name, value in query._asdict().items() if name in usual and value != usual[name]}
    return f"{area}?{urlencode(given)}" if given else area


def filter_form(query: Query, *, id: str, label: str, sorts: Mapping[str, str]) -> Safe:
    """Search and order of the list `id`. What else it is filtered by, the list itself holds, as it changes with it."""
    area = f"/{id}"
    return Form(
        Span(cls="icon search", aria_hidden="true"),
        Input(
            type="search",
            name="q",
            id="search",
            value=query.q,
            placeholder="Search",
            aria_label=label,
            autocomplete="off",
            maxlength=SEARCH_LENGTH,
            data_key="/",
        ),
        Select(
            [Option(name, value=sort, selected=sort == query.sort) for sort, name in sorts.items()],
            name="sort",
            id="order",
            aria_label="Order",
        ),
        Button("Search", cls="button no-script"),
        id="filter",
        cls="filter",
        role="search",
        method="get",
        action=area,
        hx_get=area,
        hx_trigger="input delay:120ms from:#search, change from:#order, submit",
        hx_target=f"#{id}",
        hx_swap="outerMorph",
        hx_replace_url="true",
        hx_sync="this:replace",
    )


def list_section(
    *head: object, query: Query, id: str, label: str, rows: Sequence[Safe], more: bool, empty: Safe
) -> Safe:
    """The list itself, live: what stands above it, its rows, and the ways to what is before and after them."""
    return live(
        Section,
        head,
        P(A(f"Earlier {label.lower()}", href=query.url(page=query.page - 1), rel="prev"), cls="more")
        if query.page > 1
        else None,
        Ol(rows, id=f"{id}-page-{query.page}", cls="rows", **IN_LIST) if rows else empty,
        _more(query, id, label) if more else None,
        id=id,
        url=query.url(page=query.page, pages=query.pages),
        cls="card list",
        aria_label=label,
    )


def empty(query: Query, *, id: str, label: str, otherwise: Sequence[Safe]) -> Safe:
    """What stands where no row does: why, and what next; `otherwise` where nothing keeps rows out."""
    words: Sequence[Safe] = otherwise
    if query.q:
        words = (
            P("Nothing matches.", cls="empty-title"),
            P("Try fewer or shorter words, or ", A(f"show all {label.lower()}", href=f"/{id}"), "."),
        )
    elif query.page > 1:
        words = (
            P("The list ends before this page.", cls="empty-title"),
            P(A("Go to its start", href=query.url()), "."),
        )
    return Div(Span(cls="flame", aria_hidden="true"), words, cls="empty")


def deleted_row(id: str) -> Safe:
    """Holds the place of what was deleted, for its return."""
    return Li(id=id, hidden=True)


def undo_toast(name: str, *, id: str, address: str, fixed: bool = False) -> Safe:
    """Says what is deleted and brings it back; `fixed` where the page was asked for without a fragment."""
    message = toast(
        P("Deleted ", Span("“", own(name), "”", cls="toast-name")),
        Form(
            Button("Undo", cls="button", autofocus=not fixed),
            method="post",
            action=f"{address}/restore",
            hx_post=None if fixed else f"{address}/restore",
            hx_swap=None if fixed else "none",
        ),
        id=f"deleted-{id}",
        kind="note",
    )
    return Div(message, cls="toasts") if fixed else message


def added_toast(name: str, *, address: str) -> Safe:
    """Says that something was added where the list at hand does not show it."""
    return toast(P("Added ", A("“", own(name), "”", href=address, cls="toast-name"), ". This list does not show it."))


def partial(target: str, swap: str, *content: object) -> Safe:
    """A part of an answer that goes to a place of its own."""
    return HxPartial(content, hx_target=target, hx_swap=swap)


def _more(query: Query, id: str, label: str) -> Safe:
    """What asks for one page more when it comes into sight; a link where there is no script, or enough is shown."""
    following = query.page + query.pages
    link = A(f"More {label.lower()}", href=query.url(page=following), rel="next")
    if query.pages >= SHOWN_PAGES:
        return P(link, cls="more")
    return P(
        link,
        id=f"more-{following}",
        cls="more",
        hx_get=query.url(page=query.page, pages=query.pages + 1),
        hx_trigger="revealed",
        hx_target=f"#{id}",
        hx_swap="outerMorph",
    )
