"""Inline code of tags: constants go into files, what was put together is left out and said, the rest stays as it is."""

from collections.abc import Iterator
from typing import Any

import pytest

from templates.parts import inline_code
from templates.parts.tags import (
    Button,
    Div,
    Input,
    Link,
    Script,
    Span,
    Style,
)

GO = "go('x')"
CONSTANTS = {GO: None, "color: red": None, "a { color: red }": None, "js:{a: 1}": None, "js:a: 1": None}
TRIGGER = "keyup[key=='Enter'] delay:1s, every 2s [ready()], click from:[name=x]"


class Keeper:
    """One that knows these constants, and remembers what it is asked."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, str]] = []
        self.refused: list[tuple[str, str]] = []

    def is_constant(self, text: str) -> bool:
        """By what it says, as this is about what follows from it."""
        return text in CONSTANTS or text == TRIGGER

    def keep(self, content: str, kind: str) -> str:
        if (content, kind) not in self.kept:
            self.kept.append((content, kind))
        return f"{self.kept.index((content, kind)) + 1:024x}"

    def address(self, hash: str, kind: str) -> str:
        return f"/inline/{hash[-1]}.{kind}"

    def refuse(self, what: str, text: str, remedy: str) -> None:
        self.refused.append((what, remedy))


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    keeper = Keeper()
    inline_code.use(keeper)
    yield keeper
    inline_code.use(None)


ONE = f"{1:024x}"


def test_an_event_handler_is_a_function_in_a_file(keeper: Keeper) -> None:
    assert Button("Go", onclick=GO, cls="x") == f'<button class="x" data-inline="onclick:{ONE}">Go</button>'
    ((content, kind),) = keeper.kept
    assert kind == "js"
    assert content.startswith("inlineCode.take(document.currentScript, function (event) {")
    assert f"\n{GO}\n" in content
    assert Button(onclick=GO, onfocus=GO).count("data-inline=") == 1
    assert inline_code.lifted("button", {"onClick": GO}) == {"data-inline": f"onclick:{ONE}"}


def test_what_htmx_would_evaluate_is_a_reference(keeper: Keeper) -> None:
    assert Button(hx_on_click=GO) == f'<button hx-on-click="@{ONE}" data-inline="{ONE}"></button>'
    assert f'hx-on--after-request="@{ONE}"' in Button(**{"hx-on::after-request": GO})
    assert "scope.event?.detail" in keeper.kept[0][0]
    assert Input(hx_trigger=TRIGGER).startswith(
        f'<input hx-trigger="keyup[@{2:024x}] delay:1s, every 2s [@{3:024x}], click from:[name=x]"'
    )
    assert [content.splitlines()[1] for content, _ in keeper.kept[1:3]] == ["key=='Enter'", "ready()"]
    assert f'hx-vals="js:@{4:024x}"' in Div(hx_vals="js:a: 1")
    assert "\n{a: 1}\n" in keeper.kept[3][0]


def test_what_holds_no_code_stays_as_it_is(keeper: Keeper) -> None:
    assert Div(hx_vals={"a": "js:x"}, hx_confirm="Sure?", hx_trigger="click delay:1s", data_on="x", title="on") == (
        '<div hx-confirm="Sure?" hx-trigger="click delay:1s" data-on="x" title="on" '
        'hx-vals="{&#34;a&#34;: &#34;js:x&#34;}"></div>'
    )
    assert Button(onclick=None, style=False, onfocus="") == '<button onfocus=""></button>'
    assert keeper.kept == keeper.refused == []


def test_a_style_is_applied_by_script(keeper: Keeper) -> None:
    assert Div(style="color: red") == '<div data-inline-style="color: red"></div>'
    assert Div(data_style_width="3%", data_style___hue='"') == (
        '<div data-style-width="3%" data-style---hue="&#34;" data-inline-properties="width --hue"></div>'
    )


def test_scripts_and_styles_are_files_with_their_other_attributes(keeper: Keeper) -> None:
    assert Script(GO) == '<script defer src="/inline/1.js"></script>'
    assert Script(GO, type="module", id="x") == '<script type="module" id="x" src="/inline/1.js"></script>'
    assert Style("a { color: red }", media="print") == '<link media="print" rel="stylesheet" href="/inline/2.css">'
    assert Script(src="/x.js") == '<script src="/x.js"></script>'
    with pytest.raises(TypeError, match="takes attributes only"):
        Script("{}", type="application/json")


@pytest.mark.parametrize(
    ("draw", "what"),
    [
        (lambda text: Button(onclick=text), "onclick of <button>"),
        (lambda text: Button(onClick=text), "onclick of <button>"),
        (lambda text: Div(style=text), "style of <div>"),
        (lambda text: Div(style={"color": text}), "style of <div>"),
        (lambda text: Div(hx_on__after_swap=text), "hx-on--after-swap of <div>"),
        (lambda text: Div(hx_trigger=f"click[{text}]"), "hx-trigger of <div>"),
        (lambda text: Div(hx_vals=f"js:{{a: {text}}}"), "hx-vals of <div>"),
        (lambda text: Div(hx_headers=f" javascript:{text}"), "hx-headers of <div>"),
        (Script, "<script>"),
        (lambda text: Script(GO, text), "<script>"),
        (Style, "<style>"),
    ],
)
def test_what_was_put_together_is_left_out_and_said(draw: Any, what: str, keeper: Keeper) -> None:
    drawn = draw("steal('x')")
    assert "steal" not in drawn
    assert [each for each, _ in keeper.refused] == [what]
    assert not any("steal" in content for content, _ in keeper.kept)
    assert f'data-refused="{what.split()[0].strip("<>")}"' in drawn


def test_every_value_of_such_an_attribute_is_looked_at(keeper: Keeper) -> None:
    """The quick way of the tags, which knows a keyword from before, is not taken."""
    for _ in range(3):
        Span(onclick=GO, style="color: red", hx_vals="js:{a: 1}")
        assert "steal" not in Span(onclick="steal()", style="steal", hx_vals="js:steal()", hx_trigger="click[steal()]")


def test_without_a_keeper_all_stays_as_it_is() -> None:
    assert Button(onclick="x()", style="a") == '<button onclick="x()" style="a"></button>'
    with pytest.raises(TypeError, match="takes attributes only"):
        Script("x()")
    assert Link(rel="x") == '<link rel="x">'
