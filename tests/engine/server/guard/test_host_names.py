"""Names of hosts: what `--allow-host` takes is what the guard lets in, and nothing else."""

import re
from ipaddress import ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.guard.host_names import (
    Host,
    of_header,
    of_option,
    of_page,
    written,
)
from server.settings import Settings, SettingsError
from tests.engine.server.guard.test_middleware import Guarded

LETTERS = st.characters(max_codepoint=0x2FF) | st.sampled_from("ß.:[]-_*%/@ ０。")
TEXTS = st.one_of(
    st.text(LETTERS, min_size=1, max_size=20),
    st.from_regex(r"[a-zA-Z0-9._-]{1,70}", fullmatch=True),
    st.from_regex(r"\[?[0-9a-f:.]{2,20}\]?(:[0-9]{0,6})?", fullmatch=True),
    st.ip_addresses().map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address.exploded.upper()}]"),
)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("app.example.org", "app.example.org"),
        ("App.Example.ORG.", "app.example.org"),
        ("app_1.lan", "app_1.lan"),
        ("10.0.0.7", ip_address("10.0.0.7")),
        ("::1", ip_address("::1")),
        ("[FD00:0::2]", ip_address("fd00::2")),
        ("xn--mller-kva.example", "xn--mller-kva.example"),
        ("Müller.example", "xn--mller-kva.example"),
        ("straße.example", "xn--strae-oqa.example"),
        ("例え。jp", "xn--r8jz45g.jp"),
    ],
)
def test_a_host_is_read_as_browsers_write_it(text: str, host: Host) -> None:
    assert of_option(text) == host
    assert of_header(written(host).encode()) == host
    assert of_page(f"https://{written(host)}:8443/tasks".encode()) == host


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("*.example.org", "stands for itself alone"),
        ("*", "stands for itself alone"),
        ("https://app.example.org", "without scheme and port"),
        ("app.example.org/tasks", "leave out scheme and path"),
        ("app.example.org:8443", "leave out the port"),
        ("[::1]:8443", "leave out the port"),
        ("[app.example.org]", "make a name"),
        ("a..b", "make a name"),
        (".", "make a name"),
        ("a" * 64, "at most 63"),
        ("a b", "make a name"),
        ("fe80::1%eth0", "make a name"),
        ("me@example.org", "make a name"),
    ],
)
def test_what_no_browser_asks_for_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(SettingsError, match="--allow-host") as refused:
        Settings(allow_host=(text,))
    assert words in str(refused.value)
    assert f"“{text}”" in str(refused.value)


def is_host(text: str) -> bool:
    try:
        of_header(text.encode())
    except ValueError:
        return False
    return True


@given(TEXTS)
@example("app.example.org.")
@example("-")
@example("1.2.3.4.")
@example("::ffff:1.2.3.4")
def test_the_option_takes_exactly_what_the_guard_lets_in(text: str) -> None:
    try:
        hosts = Settings(allow_host=(text,)).hosts
    except SettingsError:
        assert not is_host(text) or re.search(r":\d*$", text), "only the port is too much for the option"
        return
    guarded = Guarded(hosts=hosts)
    asked = written(of_option(text))
    assert guarded.status(headers={"Host": asked}) == 200
    assert guarded.status(headers={"Host": f"{asked.upper()}:8443"}) == 200
    if text.isascii() and (text.startswith("[") or ":" not in text):
        assert guarded.status(headers={"Host": text}) == 200
    assert guarded.status(headers={"Host": f"x{asked}" if not asked.startswith("[") else "[::9]"}) == 403


def test_the_page_of_an_address_that_is_none_has_no_host() -> None:
    for address in (b"", b"null", b"http://", b"about:blank", b"http://a b/", b"http://[::1/", b"http://\xff/"):
        assert of_page(address) is None
