"""The sign-in form: it works without JavaScript, and holds what the link brought, as text."""

from typing import Any

import html5lib

from templates.pages.sign_in import confirm_page, confirmed_page, sign_in_page


def parsed(page: str) -> Any:
    return html5lib.parseFragment(page, namespaceHTMLElements=False)


def fields(page: Any) -> dict[str, tuple[str, str]]:
    return {field.get("name"): (field.get("type"), field.get("value")) for field in page.findall(".//form//input")}


def test_the_form_holds_the_token_and_where_to_go() -> None:
    page = parsed(sign_in_page('a"<b>', "", "/tasks?q=<x>"))
    form = page.find(".//form")
    assert (form.get("method"), form.get("action")) == ("post", "/sign-in")
    assert fields(page) == {"token": ("password", 'a"<b>'), "next": ("hidden", "/tasks?q=<x>")}
    assert form.find(".//label/input").get("name") == "token"
    assert "data-sent-at-once" not in form.attrib
    assert page.find(".//*[@role='alert']") is None


def test_a_link_for_once_needs_nothing_typed_and_without_javascript_a_click() -> None:
    page = parsed(sign_in_page("", 'c"<d>', "/"))
    assert fields(page) == {"code": ("hidden", 'c"<d>'), "next": ("hidden", "/")}
    assert "data-sent-at-once" in page.find(".//form").attrib
    assert page.find(".//button").text == "Sign in"


def test_what_was_wrong_is_said_aloud() -> None:
    page = parsed(sign_in_page("", "", "/", "That is <not> it."))
    assert page.find(".//*[@role='alert']").text == "That is <not> it."


def test_how_to_sign_in_may_be_said_otherwise() -> None:
    assert parsed(sign_in_page("", "", "/", how="Open <it>.")).find(".//p").text == "Open <it>."


def test_the_token_is_asked_for_again_and_leads_on() -> None:
    page = parsed(confirm_page("/export.csv?kind=<x>", "That is not it."))
    assert page.find(".//form").get("action") == "/sign-in/confirm"
    assert fields(page) == {"token": ("password", ""), "next": ("hidden", "/export.csv?kind=<x>")}
    assert page.find(".//*[@role='alert']").text == "That is not it."
    assert parsed(confirmed_page('/a"b')).find(".//a").get("href") == '/a"b'
