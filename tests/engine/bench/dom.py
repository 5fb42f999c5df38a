"""Whether two pieces of HTML are the same document: parsed as browsers do, every node and attribute compared."""

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

import html5lib


class Different(AssertionError):
    """Two pieces of HTML are not the same; the message shows the first difference."""


def assert_same(name: str, ours: str, theirs: str) -> None:
    """Raises Different where `theirs`, the answer of the system called `name`, parses to another DOM than `ours`."""
    # What stands around the element, the end of a template's last line, is no part of it.
    for expected, found in zip_longest(_nodes(ours.strip()), _nodes(theirs.strip())):
        if expected != found:
            raise Different(f"{name} does not answer the same HTML: expected {expected}, found {found}")


def _nodes(html: str) -> Iterator[tuple[str, Any]]:
    """Everything in a fragment, in the order of the document."""
    yield from _walk(html5lib.parseFragment(html, treebuilder="etree", namespaceHTMLElements=False))


def _walk(element: Any) -> Iterator[tuple[str, Any]]:
    attributes = {**element.attrib}
    # The hash of the bytes themselves, which the peers leave empty: it differs where the same is spelled otherwise.
    if "data-version" in attributes:
        attributes["data-version"] = ""
    yield str(element.tag), sorted(attributes.items())
    yield "text", element.text or ""
    for child in element:
        yield from _walk(child)
        yield "text", child.tail or ""
    yield "end", str(element.tag)
