"""Who asks: what is no whole request. What is refused is in test_guard.py, proxies in tests/engine/faults."""

import pytest

from server.guard.request_origin import (
    FORWARDED,
    TELLING,
    host_of,
    is_own_page,
    keeps_open,
)


@pytest.mark.parametrize(
    ("address", "host"),
    [
        (b"http://localhost:5001/tasks?q=a/b", b"localhost:5001"),
        (b"https://localhost", b"localhost"),
        (b"http://[::1]:5001/", b"[::1]:5001"),
        (b"about:blank", b""),
        (b"null", b""),
        (b"", b""),
    ],
)
def test_the_host_of_a_page(address: bytes, host: bytes) -> None:
    assert host_of(address) == host


def test_a_page_of_another_host_is_not_our_own() -> None:
    for referer in (None, b"", b"http://localhost:5001/", b"https://localhost:5001/tasks"):
        assert is_own_page(referer, b"localhost:5001")
    for referer in (b"http://localhost/", b"http://evil.example/http://localhost:5001/", b"about:client", b"x"):
        assert not is_own_page(referer, b"localhost:5001")


@pytest.mark.parametrize(
    ("agent", "connection", "keeps"),
    [
        (b"Mozilla/5.0", b"keep-alive", True),
        (b"Mozilla/5.0", b"Keep-Alive", True),
        (b"Mozilla/5.0", b"keep-alive, Upgrade", True),
        (b"Mozilla/5.0", b"close", False),
        (b"Mozilla/5.0", None, False),
        (b"curl/8.5.0", None, True),
        (b"Python-urllib/3.11", b"close", True),
        (None, b"close", True),
    ],
)
def test_browsers_keep_their_connections_open(agent: bytes | None, connection: bytes | None, keeps: bool) -> None:
    named = {b"user-agent": agent, b"connection": connection}
    assert keeps_open({name: value for name, value in named.items() if value is not None}) == keeps


def test_what_tells_of_a_proxy_is_looked_at_more_closely() -> None:
    assert FORWARDED < TELLING
    assert all(name == name.lower() for name in TELLING), "as a scope has them"
