"""Which browser a request comes from, in the few words by which a person knows it again."""

import re
from functools import lru_cache

from starlette.types import Scope

from server.guard.request_headers import headers_by_name

# In this order: most say that they are several others too.
BROWSERS = {
    "Edg": "Edge",
    "OPR/": "Opera",
    "SamsungBrowser": "Samsung Internet",
    "Vivaldi": "Vivaldi",
    "Firefox": "Firefox",
    "FxiOS": "Firefox",
    "CriOS": "Chrome",
    "Chrome": "Chrome",
    "Safari": "Safari",
}
SYSTEMS = {
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Android": "Android",
    "Windows": "Windows",
    "CrOS": "ChromeOS",
    "Mac OS X": "macOS",
    "Linux": "Linux",
}
LONGEST = 60


def browser_of(scope: Scope) -> str:
    """Browser and system of a request, or how another program calls itself; empty where it does not say."""
    return in_words(headers_by_name(scope).get(b"user-agent", b"").decode("latin-1")[:1024])


@lru_cache(maxsize=128)
def in_words(agent: str) -> str:
    """A User-Agent header, shortened."""
    browser = next((name for sign, name in BROWSERS.items() if sign in agent), "")
    system = next((name for sign, name in SYSTEMS.items() if sign in agent), "")
    if browser:
        return f"{browser} on {system}" if system else browser
    return re.sub(r"[^\x21-\x7e]+", " ", agent).strip()[:LONGEST]
