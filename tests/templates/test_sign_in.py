"""The sign-in form: it works without JavaScript, and holds what the link brought, as text."""

import html5lib

from templates.sign_in import sign_in_page


def test_the_form_holds_the_token_and_where_to_go() -> None:
    page = html5lib.parseFragment(sign_in_page('a"<b>', "/tasks?q=<x>"), namespaceHTMLElements=False)
    form = page.find(".//form")
    assert (form.get("method"), form.get("action")) == ("post", "/sign-in")
    fields = {field.get("name"): (field.get("type"), field.get("value")) for field in form.findall(".//input")}
    assert fields == {"token": ("password", 'a"<b>'), "next": ("hidden", "/tasks?q=<x>")}
    assert form.find(".//label/input").get("name") == "token"
    assert page.find(".//*[@role='alert']") is None


def test_what_was_wrong_is_said_aloud() -> None:
    page = html5lib.parseFragment(sign_in_page("", "/", "That is <not> it."), namespaceHTMLElements=False)
    assert page.find(".//*[@role='alert']").text == "That is <not> it."
