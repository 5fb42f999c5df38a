"""Lists: what an address names, what it cannot name, and how many were found. The rows are held by the lists' own."""

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from app.records.lists import (
    COUNT_LIMIT,
    ListQuery,
    count_in_words,
    query_of,
    shown_list,
)

SORTS = {"newest": "Newest first", "title": "Title"}


def test_an_address_names_a_part_of_a_list() -> None:
    assert query_of("/books", {}, SORTS) == ListQuery("/books")
    given = {"q": " a b ", "sort": "title", "page": "3", "pages": "2"}
    assert query_of("/books", given, SORTS) == ListQuery("/books", "a b", "title", 3, 2)
    assert query_of("/books", {"q": "", "sort": "", "page": ""}, SORTS) == ListQuery("/books")


@pytest.mark.parametrize(
    "given", [{"q": "x" * 1001}, {"sort": "colour"}, {"page": "0"}, {"page": "²"}, {"pages": "51"}], ids=repr
)
def test_what_it_cannot_name_is_400(given: dict[str, str]) -> None:
    with pytest.raises(HTTPException) as refused:
        query_of("/books", given, SORTS)
    assert refused.value.status_code == 400


@pytest.mark.parametrize(
    ("address", "query"),
    [
        ("http://localhost/books?q=a&sort=title&page=7&pages=3", ListQuery("/books", "a", "title")),
        ("http://localhost/books?sort=colour", ListQuery("/books")),
        ("", ListQuery("/books")),
    ],
)
def test_the_list_of_the_page_at_hand_is_shown_from_its_start(address: str, query: ListQuery) -> None:
    request = Request({"type": "http", "headers": [(b"hx-current-url", address.encode())]})
    assert shown_list(request, lambda given: query_of("/books", given, SORTS)) == query


def test_a_count_is_exact_up_to_a_limit() -> None:
    assert count_in_words(COUNT_LIMIT, "found") == "1,000 found"
    assert count_in_words(COUNT_LIMIT + 1) == "1,000+"
