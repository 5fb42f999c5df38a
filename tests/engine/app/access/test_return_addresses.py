"""Where a request may lead on to: to paths of this app, whatever it names."""

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.access.return_addresses import path_of_this_app


@pytest.mark.parametrize("address", ["/", "/tasks", "/tasks?q=a%20b&x=//evil", "/ä"])
def test_a_path_of_this_app_is_gone_to(address: str) -> None:
    assert path_of_this_app(address) == address


@pytest.mark.parametrize(
    "address",
    [
        "",
        "tasks",
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "https://evil.example",
        "javascript:x",
        "/a\nb",
    ],
)
def test_any_other_address_is_not(address: str) -> None:
    assert path_of_this_app(address) == "/"


@given(st.text(st.sampled_from("/\\:@.?#ehtvil\t\n \0")))
def test_nobody_is_led_elsewhere(address: str) -> None:
    to = urlsplit(urljoin("http://localhost:5001/sign-in", path_of_this_app(address)))
    assert (to.scheme, to.netloc) == ("http", "localhost:5001")
