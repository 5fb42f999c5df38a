"""The headers of a request by their names."""

from typing import Any

from server.guard.request_headers import HEADERS, cookie_header, headers_by_name


def test_headers_are_read_once_and_the_last_of_a_name_counts() -> None:
    scope: dict[str, Any] = {"headers": [(b"host", b"first"), (b"accept", b"text/html"), (b"host", b"second")]}
    named = headers_by_name(scope)
    assert named == {b"host": b"second", b"accept": b"text/html"}
    scope["headers"].clear()
    assert headers_by_name(scope) is named is scope[HEADERS]


def test_a_cookie_header_in_pieces_is_one() -> None:
    scope = {"headers": [(b"cookie", b"a=1"), (b"host", b"h"), (b"cookie", b"b=2")]}
    assert cookie_header(scope) == b"a=1; b=2"
    assert cookie_header({"headers": []}) == b""
