"""FastHTML's tags are sent as ours are: the same constants in the same files, and nothing that was put together."""

from collections.abc import Iterator
from typing import Any

import pytest
from fasthtml import common as fh
from fasthtml.toaster import Toast

from app.pages import fasthtml_tags
from templates.parts import inline_code, tags
from tests.engine.templates.parts.test_inline_code import GO, Keeper


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    keeper = Keeper()
    fasthtml_tags.follow()
    inline_code.use(keeper)
    yield keeper
    inline_code.use(None)


def written(*elements: Any) -> str:
    return str(fh.to_xml(elements, indent=False)).strip()


@pytest.mark.parametrize(
    ("name", "children", "attributes"),
    [
        ("Button", ("Go",), {"onclick": GO, "cls": "x"}),
        ("Button", (), {"hx_on_click": GO}),
        ("Div", ("x",), {"style": "color: red"}),
        ("Div", ("x",), {"style": "color: steal", "data_style_width": "3%"}),
        ("Script", (GO,), {"type": "module"}),
        ("Script", (GO,), {}),
        ("Style", ("a { color: red }",), {}),
        ("Style", ("a { color: steal }",), {}),
        ("Script", ("steal()",), {}),
    ],
)
def test_both_kinds_of_tags_say_the_same(
    name: str, children: tuple[str, ...], attributes: dict[str, Any], keeper: Keeper
) -> None:
    theirs = written(getattr(fh, name)(*children, **attributes))
    kept, keeper.kept = keeper.kept, []
    ours = getattr(tags, name)(*children, **attributes)
    assert keeper.kept == kept
    assert "steal" not in theirs + ours

    def words(html: str) -> list[str]:
        return sorted(html.replace('"', "'").replace("&#34;", "&#39;").replace(">", " >").replace("=''", "").split())

    assert words(theirs) == words(ours)


def test_what_is_set_later_and_what_stands_deep_inside_counts(keeper: Keeper) -> None:
    button = fh.Button("Go")
    button.onclick = GO
    page = fh.Html(fh.Body(fh.Div([fh.Ul(fh.Li(button)), fh.Fragment(fh.P(style="color: red"))])))
    assert written(page).count("data-inline") == 2
    # The element itself stays as it was, and can be written again.
    assert button.onclick == GO
    assert written(page) == written(page)
    # And inside our own tags, and the other way round.
    assert "data-inline=" in tags.Div(button)
    assert "data-inline=" in written(fh.Div(tags.Button(onclick=GO)))


def test_a_toast_goes_by_itself_and_by_its_button(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "is_constant", lambda text: "this" in text)
    html = written(Toast("It is <done>", dismiss=True, duration=1234))
    assert 'data-duration="1234"' in html
    assert html.count("data-inline=") == 2
    assert "&lt;done&gt;" in html
    assert keeper.refused == []


def test_a_page_has_one_main_part(keeper: Keeper) -> None:
    _, main = fh.Titled("Title", fh.P("a"), id="x")
    assert written(*fasthtml_tags.within([main, "text", None])) == (
        '<div id="x" class="container"><h1>Title</h1><p>a</p></div>text'
    )


def test_data_in_a_script_is_no_script(keeper: Keeper) -> None:
    assert '{"a": 1}' in written(fh.Script('{"a": 1}', type="application/json"))
    assert keeper.refused == []


def test_a_frame_of_a_socket_and_a_message_of_a_stream_are_written_alike(keeper: Keeper) -> None:
    assert "data-inline=" in fh.sse_message(fh.Button("Go", onclick=GO))


def test_without_a_keeper_they_are_fasthtmls() -> None:
    fasthtml_tags.follow()
    assert written(fh.Button("Go", onclick=GO, style="x")) == f'<button onclick="{GO}" style="x">Go</button>'
    assert written(fh.Script(GO)) == f"<script>{GO}</script>"
