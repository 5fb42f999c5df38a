"""Live elements: what they carry, and that the version is of what they show."""

import re

import html5lib
from hypothesis import given
from hypothesis import strategies as st

from server.live.messages import VERSION_LENGTH
from server.live.views import _VERSION
from templates.parts.live import (
    connection,
    link,
    live,
    unknown,
)
from templates.parts.tags import (
    Div,
    Footer,
    P,
    Section,
)


def version(text: str) -> str:
    found = _VERSION.match(text.encode())
    assert found, text
    return found[1].decode()


def test_an_element_says_what_it_is_and_where_it_comes_from() -> None:
    text = live(Section, P("content"), id="tasks", url='/tasks?q="a"&b', cls="card")
    (element,) = html5lib.parseFragment(text, namespaceHTMLElements=False)
    assert element.attrib == {
        "id": "tasks",
        "class": "card",
        "data-live": '/tasks?q="a"&b',
        "data-version": version(text),
    }


def test_the_same_has_the_same_version_and_anything_else_another() -> None:
    one = live(Div, "content", id="a", url="/a")
    assert one == live(Div, "content", id="a", url="/a")
    others = (
        live(Div, "contents", id="a", url="/a"),
        live(Div, "content", id="b", url="/a"),
        live(Div, "content", id="a", url="/b"),
        live(Section, "content", id="a", url="/a"),
        live(Div, "content", id="a", url="/a", cls="done"),
    )
    assert len({version(each) for each in (one, *others)}) == 1 + len(others)


@given(st.text(), st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_no_content_is_taken_for_the_version(content: str, url: str) -> None:
    text = live(Div, P(content, title=content), id="a", url=f"/{url}", aria_label=content)
    assert re.fullmatch("[0-9a-f]{24}", version(text))
    assert len(version(text)) <= VERSION_LENGTH


def test_a_place_that_is_filled_later_has_no_version_yet() -> None:
    (element,) = html5lib.parseFragment(unknown(Footer, id="a", url="/a"), namespaceHTMLElements=False)
    assert element.attrib == {"id": "a", "data-live": "/a", "data-version": ""}


def test_what_comes_over_the_socket_goes_to_the_elements_that_it_names_alone() -> None:
    (element,) = html5lib.parseFragment(link(), namespaceHTMLElements=False)
    assert element.get("hx-ws-connect") == "/live"
    assert element.get("hx-swap") == "none"


def test_a_page_says_that_it_is_live_and_in_how_many_tabs() -> None:
    assert ">Live<" in connection(0)
    assert ">Live<" in connection(1)
    assert "Live in 2 open tabs" in connection(2)
    for words in ("No connection to the server", "Connected again"):
        assert words in connection(1)
