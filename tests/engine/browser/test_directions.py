"""Titles that run from right to left or turn what follows: the words around them stay where they are, in Chromium."""

from typing import Any

import pytest

from server.app_name import NAME
from tests.engine.conftest import Server

# An override, one that ends the frame first, one that begins frames, and plain Hebrew and Arabic.
HOSTILE = ("\u202eevil", "\u2069\u2069\u202eevil", "\u2067\u2067\u202eevil", "שלום", "مرحبا 12", "a\u202e\u2069\u202eb")
# Where each word of an element stands, in the order of the text.
WORDS = """
    (element) => {
        const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT), found = [];
        for (let node; (node = walker.nextNode()); )
            for (const word of node.data.matchAll(/[A-Za-z]+/g)) {
                const range = document.createRange();
                range.setStart(node, word.index);
                range.setEnd(node, word.index + word[0].length);
                const {left, top} = range.getBoundingClientRect();
                found.push([word[0], Math.round(top), left]);
            }
        return found;
    }
"""


def lefts(page: Any, selector: str, around: tuple[str, ...]) -> list[float]:
    """Where these words stand within an element, each further right than the one before where nothing is turned."""
    found = page.locator(selector).first.evaluate(WORDS)
    places = {word: left for word, _, left in found}
    return [places[word] for word in around]


@pytest.mark.parametrize(
    "title",
    [HOSTILE[0], HOSTILE[3], *(pytest.param(title, marks=pytest.mark.slow) for title in (*HOSTILE[1:3], *HOSTILE[4:]))],
)
def test_the_words_around_a_title_stay_where_they_are(page: Any, server: Server, title: str) -> None:
    server.sql("INSERT INTO tasks (title) VALUES (?)", [title])
    id = server.sql("SELECT max(id) AS id FROM tasks")[0]["id"]
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto("/tasks?q=nothing-is-found")
    page.evaluate("document.querySelector('#toasts').id")
    page.goto(f"/tasks/{id}")
    assert page.title().startswith("\u2068"), "the title of the document has a frame"
    assert page.title().endswith(f"\u2069 · {NAME}")
    note = page.request.get(f"/tasks/{id}/changes?since=other", headers={"HX-Request": "true"}).text()
    page.evaluate("(html) => document.querySelector('main').insertAdjacentHTML('beforeend', html)", note)
    around = ("Changed", "elsewhere", "title", "there", "now", "Your", "text", "kept")
    places = lefts(page, f"#changes-task-{id}", around)
    assert places == sorted(places)
    page.request.post(f"/tasks/{id}", form={"_method": "delete"})
    page.goto(f"/tasks?deleted={id}")
    places = lefts(page, f"#deleted-task-{id}", ("Deleted", "Undo"))
    assert places == sorted(places)
    quotes = page.locator(f"#deleted-task-{id} .toast-name").first
    assert quotes.evaluate(QUOTES), "the quotation marks stand at both ends of the title"


# Whether the first text node (the opening mark) stands left of the last (the closing mark).
QUOTES = """
    (element) => {
        const at = (node) => {
            const range = document.createRange();
            range.selectNodeContents(node);
            return range.getBoundingClientRect().left;
        };
        return at(element.firstChild) < at(element.lastChild);
    }
"""


@pytest.mark.parametrize("value", HOSTILE)
def test_the_words_around_a_value_that_is_refused_stay_where_they_are(page: Any, server: Server, value: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto("/tasks")
    refused = page.request.post("/tasks", form={"title": "x", "due": value}, headers={"HX-Request": "true"})
    page.evaluate("(html) => document.querySelector('main').insertAdjacentHTML('beforeend', html)", refused.text())
    places = lefts(page, ".form-error", ("is", "not", "date", "Write", "it", "as"))
    assert places == sorted(places)
