"""What every answer says to browsers: what its page may do, and whether its name is to be asked over https alone."""

import re
from functools import lru_cache
from ipaddress import ip_address

from starlette.types import Message, Scope, Send

from server.guard.request_headers import headers_by_name

POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS: list[tuple[bytes, bytes]] = [
    (b"content-security-policy", POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
]
# What is wrong now may be right the next time: nobody keeps an answer that says so.
NO_STORE = (b"cache-control", b"no-store")
# A host without its port.
HOST = re.compile(r"\[[^]]*\]|[^:]+")
# For a year (RFC 6797). Not for names below this one, which may be other people's.
ONLY_HTTPS = (b"strict-transport-security", b"max-age=31536000")


def reporting(path: str) -> list[tuple[bytes, bytes]]:
    """The security headers of an app to which browsers report, at `path`, what they have refused, with a sample."""
    policy = POLICY.replace(b"-src 'self';", b"-src 'self' 'report-sample';") + b"; report-uri " + path.encode()
    return [(name, policy if value == POLICY else value) for name, value in SECURITY_HEADERS]


def with_security_headers(scope: Scope, send: Send, headers: list[tuple[bytes, bytes]]) -> Send:
    """`send`, with these headers and what belongs to the request's scheme and name in every answer."""

    async def send_guarded(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            strict = [ONLY_HTTPS] if scope.get("scheme") in ("https", "wss") and _is_strict(scope) else []
            of_error = [NO_STORE] if message["status"] >= 400 and not _says_how_to_keep(message) else []
            message["headers"] = [*message["headers"], *of_error, *headers, *strict]
        await send(message)

    return send_guarded


def _says_how_to_keep(message: Message) -> bool:
    return any(name.lower() == NO_STORE[0] for name, _ in message["headers"])


def _is_strict(scope: Scope) -> bool:
    return _is_name(headers_by_name(scope).get(b"host", b""))


@lru_cache(maxsize=64)
def _is_name(host: bytes) -> bool:
    """Whether a host is a name of its own; “localhost” belongs to every app of a machine, on every port."""
    found = HOST.match(host.decode("latin-1").lower())
    name = found[0].strip("[].") if found else ""
    if name == "localhost" or name.endswith(".localhost"):
        return False
    try:
        ip_address(name)
    except ValueError:
        return bool(name)
    return False
