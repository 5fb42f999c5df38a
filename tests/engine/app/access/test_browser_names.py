"""Browsers in words: what people use, what programs call themselves, and nothing that breaks a line."""

import pytest

from app.access.browser_names import browser_of, in_words

LIKE = "Mozilla/5.0 ({}) AppleWebKit/537.36 (KHTML, like Gecko) {}"


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        (LIKE.format("Windows NT 10.0; Win64; x64", "Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0"), "Edge on Windows"),
        (LIKE.format("Macintosh; Intel Mac OS X 10_15_7", "Chrome/140.0.0.0 Safari/537.36"), "Chrome on macOS"),
        (LIKE.format("Macintosh; Intel Mac OS X 10_15_7", "Version/19.0 Safari/605.1.15"), "Safari on macOS"),
        (LIKE.format("iPhone; CPU iPhone OS 19_0 like Mac OS X", "Version/19.0 Safari/604.1"), "Safari on iPhone"),
        (LIKE.format("Linux; Android 15; K", "Chrome/140.0.0.0 Mobile Safari/537.36"), "Chrome on Android"),
        ("curl/8.5.0", "curl/8.5.0"),
        ("", ""),
        ("a\r\nb\x1b[2J\u00ff", "a b [2J"),
        ("x" * 500, "x" * 60),
    ],
)
def test_an_agent_is_shortened(agent: str, words: str) -> None:
    assert in_words(agent) == words


def test_it_is_read_from_the_headers() -> None:
    assert browser_of({"headers": [(b"user-agent", b"curl/8.5.0")]}) == "curl/8.5.0"
    assert browser_of({"headers": []}) == ""
    assert len(browser_of({"headers": [(b"user-agent", b"\xff" * 60_000 + b"x")]})) <= 60
