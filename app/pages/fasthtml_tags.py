"""FastHTML's own tags: their inline scripts and styles become files, as those of our tags do.

fastcore asks an element that is being written for what it is to be, by its method `__ft__`; FastHTML's elements have
none of their own, so they are given one. It changes nothing of an element without inline code.
"""

import re
from collections.abc import Iterable
from typing import Any

from fasthtml.core import FT, NotStr

from templates.parts import inline_code


def follow() -> None:
    """Have the inline code of FastHTML's elements kept in files from now on."""
    FT.__ft__ = _as_sent


def within(content: Iterable[object]) -> list[object]:
    """What a route puts on a page, to stand in the main part of the shell: `Titled` brings one of its own."""
    return [
        FT("div", each.children, each.attrs) if isinstance(each, FT) and each.tag == "main" else each
        for each in content
    ]


def _as_sent(element: FT) -> Any:
    """The element as the page may have it; the same object where nothing has to change."""
    if not inline_code.is_used():
        return element
    if element.tag in ("script", "style") and element.children and not element.attrs.get("src"):
        return _code(element)
    if not any(map(inline_code.concerns, element.attrs)):
        return element
    if "hx-on-transitionend" in element.attrs and str(element.attrs.get("class")).startswith("fh-toast "):
        return _as_sent(_toast(element))
    names = {name: value for name, value in element.attrs.items() if value is not None and value is not False}
    concerned = {
        name: value for name, value in names.items() if inline_code.concerns(name) and inline_code.is_code(name, value)
    }
    others = {name: value for name, value in names.items() if name not in concerned}
    attributes = others | inline_code.lifted(element.tag, concerned)
    return FT(element.tag, element.children, attributes, void_=element.void_)


def _code(element: FT) -> Any:
    """An element whose children are code."""
    texts = [child.s if isinstance(child, NotStr) else child for child in element.children]
    if not any(texts):
        return element
    if not all(isinstance(text, str) for text in texts):
        texts = [str(text) for text in texts]
    refused = FT("template", (), {inline_code.REFUSED: element.tag})
    if element.tag == "style":
        attributes = inline_code.style(element.attrs, texts)
        return refused if attributes is None else FT("link", (), attributes, void_=True)
    if not inline_code.is_run(element.attrs):
        return element
    attributes = inline_code.script(element.attrs, texts)
    return refused if attributes is None else FT("script", (), attributes)


def _toast(element: FT) -> FT:
    """A toast of FastHTML, whose own handlers are put together at run time, and written for htmx 2."""
    seconds = re.search(r"\d+", element.attrs.pop("hx-on-transitionend"))
    for child in element.children:
        if getattr(child, "tag", "") == "button":
            child.attrs["onclick"] = "this.parentElement.remove()"
    element.attrs["data-duration"] = seconds[0] if seconds else "5000"
    element.attrs["ontransitionend"] = "setTimeout(() => this.remove(), this.dataset.duration)"
    return element
