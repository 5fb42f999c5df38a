"""The page of who is signed in: all of it as text, and a button for each session but one's own."""

from typing import Any
from zoneinfo import ZoneInfo

import html5lib

from templates.pages.sessions import (
    Browser,
    Event,
    access_page,
    new_link_page,
)

OWN = Browser(3, "Firefox on Linux", "192.0.2.7", 1_000_000_000, 1_000_000_100.5, True)
OTHER = Browser(4, "<b>", "2001:db8::/64", 1_000_000_000, 1_000_000_200, False)
THIRD = Browser(5, "", "", 1_000_000_000, 1_000_000_200, False)


def parsed(page: str) -> Any:
    return html5lib.parseFragment(page, namespaceHTMLElements=False)


def actions(page: Any) -> list[tuple[str, str]]:
    return [(form.get("method"), form.get("action")) for form in page.iter("form")]


def test_each_session_but_ones_own_has_a_button() -> None:
    page = parsed(access_page([OWN, OTHER, THIRD], [], None))
    assert actions(page) == [
        *(
            ("post", "/access/4/end"),
            ("post", "/access/5/end"),
            ("post", "/access/end-others"),
            ("post", "/access/token"),
        )
    ]
    labels = [button.get("aria-label") for button in page.findall(".//ul//button")]
    assert labels == ["Sign out <b>, 2001:db8::/64", "Sign out An unknown browser, an unknown address"]


def test_with_one_other_one_button_is_enough() -> None:
    assert ("post", "/access/end-others") not in actions(parsed(access_page([OWN, OTHER], [], None)))


def test_moments_are_those_of_the_person() -> None:
    page = parsed(access_page([OWN], [Event(1_000_000_000, "Signed out", "a", "b", 1)], ZoneInfo("Asia/Tokyo")))
    assert [each.text for each in page.iter("time")] == [
        *["9 Sep 2001, 10:46"],
        "9 Sep 2001, 10:48",
        "9 Sep 2001, 10:46",
    ]


def test_events_say_where_and_how_often() -> None:
    events = [Event(1, "Tried a wrong token", "192.0.2.7", "<i>", 8), Event(1, "A new token", "", "", 1)]
    items = parsed(access_page([], events, None)).findall(".//ol/li/div")
    assert ["".join(each.itertext()) for each in items] == [
        "Tried a wrong token (8 tries)<i>, 192.0.2.7",
        "A new token",
    ]


def test_where_there_is_nothing_it_says_so() -> None:
    words = "".join(parsed(access_page([], [], None)).itertext())
    assert "Nobody" in words
    assert "Nothing yet." in words


def test_the_new_link_can_be_copied() -> None:
    page = parsed(new_link_page("http://192.0.2.7:5001/sign-in?token=<x>"))
    assert page.find(".//code").text == "http://192.0.2.7:5001/sign-in?token=<x>"
    assert page.find(".//button").get("data-copy") == page.find(".//code").get("id")
