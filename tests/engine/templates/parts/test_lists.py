"""Lists: their addresses, their ends, and what stands where there is nothing."""

from urllib.parse import parse_qsl, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from templates.parts import lists
from templates.parts.lists import SHOWN_PAGES, ListQuery
from templates.parts.tags import Li, P, Safe


def section(query: ListQuery, *rows: Safe, more: bool = False) -> Safe:
    """A list of books."""
    empty = lists.empty(query, id="books", label="Books", otherwise=[P("No books yet.")])
    return lists.list_section(query=query, id="books", label="Books", rows=rows, more=more, empty=empty)


@given(st.text(max_size=30), st.sampled_from(["newest", "title"]), st.integers(1, 10**6))
def test_the_address_of_a_list_names_it_wholly(q: str, sort: str, page: int) -> None:
    query = ListQuery("/books", q, sort, page)
    given = dict(parse_qsl(urlsplit(query.url(page=page)).query))
    named = ListQuery("/books", given.get("q", ""), given.get("sort", "newest"), int(given.get("page", 1)))
    assert named == query
    assert "page" not in query.url(sort="other")


def test_a_list_leads_to_what_is_before_and_after_it() -> None:
    shown = section(ListQuery("/books", page=3), Li("row"), more=True)
    assert 'href="/books?page=2" rel="prev">Earlier books' in shown
    assert 'href="/books?page=4" rel="next">More books' in shown
    assert 'hx-get="/books?page=3&amp;pages=2"' in shown
    assert "hx-trigger" not in section(ListQuery("/books", pages=SHOWN_PAGES), Li("row"), more=True)


def test_an_empty_list_says_why() -> None:
    assert "No books yet." in section(ListQuery("/books"))
    assert "Nothing matches." in section(ListQuery("/books", q="x"))
    assert "The list ends before this page." in section(ListQuery("/books", page=2))


def test_what_is_deleted_can_be_brought_back() -> None:
    toast = lists.undo_toast("<b>", id="book-3", address="/books/3")
    assert 'action="/books/3/restore"' in toast
    assert "“<bdi>&lt;b&gt;</bdi>”" in toast
    assert "hx-post" not in lists.undo_toast("x", id="book-3", address="/books/3", fixed=True)
