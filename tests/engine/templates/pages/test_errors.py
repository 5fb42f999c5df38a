"""Errors in the words of a person."""

import pytest

from templates.pages.errors import (
    TITLES,
    error_page,
    error_toast,
    title,
)


@pytest.mark.parametrize("status", TITLES)
def test_page_and_toast_say_the_same(status: int) -> None:
    for text in (error_page(status, "Do <this>."), error_toast(status, "Do <this>.")):
        assert "Do &lt;this&gt;." in text
        assert title(status) in text


def test_an_unknown_status_has_a_title_too() -> None:
    assert title(418) == "That did not work"
