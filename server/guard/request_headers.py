"""The headers of a request by their names, kept in its scope for every layer that asks for them."""

from starlette.types import Scope

# Where a scope keeps its headers by their names.
HEADERS = "server.headers"


def headers_by_name(scope: Scope) -> dict[bytes, bytes]:
    """The headers of a request by their names, made once for all who ask; of several with one name the last."""
    named: dict[bytes, bytes] | None = scope.get(HEADERS)
    if named is None:
        named = scope[HEADERS] = dict(scope["headers"])
    return named


def cookie_header(scope: Scope) -> bytes:
    """What a browser says of its cookies; the header may come in several pieces."""
    return b"; ".join([value for name, value in scope["headers"] if name == b"cookie"])
