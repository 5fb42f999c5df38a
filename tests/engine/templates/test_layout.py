"""The shell: whole, on its own origin, without inline script or style."""

import html5lib
import pytest

from templates import layout
from templates.layout import NAME, head, page
from templates.parts.tags import P


def test_a_page_is_a_whole_document_in_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "AREAS", {"/books": "Books", "/imports": "Import & export"})
    text = page("Title <b>", P("content"), head=head(lambda name: f"/static/{name}"), area="/books")
    document = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(text)
    assert document.get("lang") == "en"
    assert document.findtext("head/title") == f"Title <b> · {NAME}"
    assert document.findtext("body/main/p") == "content"
    current = [link.get("href") for link in document.iterfind("body/header/nav/a[@aria-current]")]
    assert current == ["/books"]


def test_a_page_needs_nothing_from_elsewhere_and_nothing_inline() -> None:
    text = page("Title", P("content"), head=head(lambda name: f"/static/{name}"))
    document = html5lib.parse(text, namespaceHTMLElements=False)
    assert list(document.iter("style")) == []
    for element in document.iter():
        assert "style" not in element.attrib
        assert not [name for name in element.attrib if name.startswith("on")]
        for name in ("src", "href"):
            assert element.get(name, "/").startswith(("/", "#"))
    assert all(script.text is None for script in document.iter("script"))


def test_who_is_signed_in_can_sign_out() -> None:
    def forms(**options: bool) -> list[tuple[str | None, str | None]]:
        text = page("Title", P("content"), head=head(lambda name: f"/static/{name}"), **options)
        document = html5lib.parse(text, namespaceHTMLElements=False)
        return [(form.get("method"), form.get("action")) for form in document.iterfind("body/header//form")]

    assert forms() == []
    assert forms(signed_in=True) == [("post", "/sign-out")]


def test_where_nothing_leads_anywhere_there_is_no_navigation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "AREAS", {})
    assert "<nav" not in page("Title", P("content"), head=())
    assert "Sign out" in page("Title", P("content"), head=(), signed_in=True)
