"""The tags write what FastHTML's own tags write, as a browser reads it, and never let text become markup."""

import enum
import json
from collections.abc import Callable, Iterable
from datetime import date
from types import MappingProxyType
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element

import fasthtml.common as core
import fasthtml.components as fasthtml
import html5lib
import pytest
from fasthtml.common import NotStr, to_xml
from fasthtml.common import Safe as FastHTMLSafe
from hypothesis import example, given
from hypothesis import strategies as st

from templates.parts import tags
from templates.parts.tags import (
    Br,
    Button,
    Div,
    Fragment,
    Html,
    HxPartial,
    Input,
    P,
    Safe,
    Span,
    Textarea,
    outline,
    raw,
    tag,
)


class Node(NamedTuple):
    """A tag that both sides can build."""

    name: str
    attributes: dict[str, Any]
    children: list[Any]


class Group(NamedTuple):
    """Several children given as one: a list, a tuple, a generator, a map."""

    kind: Callable[[Iterable[Any]], Iterable[Any]]
    children: list[Any]


class Foreign(NamedTuple):
    """A node built by the other side: FastHTML's tag in ours, ours in FastHTML's."""

    node: Node


class WithFt:
    """What FastHTML calls a component: an object that says which tag it is."""

    def __init__(self, child: Any) -> None:
        self.child = child

    def __ft__(self) -> Any:
        return self.child


class WithHtml:
    """An object that is HTML already."""

    def __init__(self, html: str) -> None:
        self.html = html

    def __html__(self) -> str:
        return self.html

    def __str__(self) -> str:
        return "<b>not this</b>"


class AlwaysEqual:
    """An object that says it is any value it is compared with."""

    def __eq__(self, other: object) -> bool:
        return True

    def __str__(self) -> str:
        return '"><'


# A lone surrogate cannot be sent as UTF-8. Characters that mean something in HTML come up often.
text = st.text(
    st.one_of(st.sampled_from("&<>\"'=/ \n\r\t\0;#-"), st.characters(exclude_categories=["Cs"])), max_size=12
) | st.sampled_from(
    ["<script>alert(1)</script>", "&lt;", "&amp;amp;", '"><img onerror=x>', "' x='", "-->", "</div>", ""]
)
# The parser itself turns \r into \n and drops or replaces \0: where text must come back exactly, they stay out.
exact_text = text.map(lambda value: value.replace("\r", "").replace("\0", ""))
number = st.integers() | st.floats()
value = st.one_of(
    st.none(),
    st.booleans(),
    text,
    number,
    st.lists(text | st.integers(), max_size=3),
    st.lists(text, max_size=3).map(tuple),
    st.dictionaries(text, text | st.none() | st.integers(), max_size=3),
)
keyword = st.one_of(
    st.sampled_from(["id", "name", "cls", "klass", "_class", "fr", "_for", "title", "style", "value", "type"]),
    st.sampled_from(["hx_get", "hx_vals", "hx_target", "hx_headers", "hx_swap_oob"]),
    st.sampled_from(["_", "_at_click", "@click.once", "hx-on:click", "hx_on__after_init", "data-x", "a-b_", "viewBox"]),
    st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,6}", fullmatch=True),
    st.text("abX_1@.-!~:[](){}$%^&*+|?,`", min_size=1, max_size=5),
)
# These are parameters of FastHTML's functions and never become attributes there.
PARAMETERS = {"tag", "c", "void_", "attrmap", "valmap", "ft_cls", "target_id"}


def attribute_name(key: str) -> str:
    """The name that FastHTML gives a keyword."""
    return str(fasthtml.attrmap_x(key.lower()))


def _comparable(given: dict[str, Any]) -> bool:
    names = [attribute_name(key) for key in given]
    return (
        len(set(names)) == len(names)  # ours refuses an attribute in two spellings
        and all(names)  # ours refuses a name of nothing, FastHTML breaks on it
        and PARAMETERS.isdisjoint(given)
        and given.get("id") is not True  # a random id on their side, refused on ours
    )


attributes = st.dictionaries(keyword, value, max_size=4).filter(_comparable)
leaf = text | number | st.none() | st.booleans()
EMPTY = ["Br", "Hr", "Img", "Input", "Link", "Meta", "Script", "Source", "Style"]
# The parser reads no tags inside these: it would show the order of attributes and the quotes as text.
TEXT_ONLY = ["Textarea", "Title"]
INLINE = ["A", "B", "Button", "Label", "Option", "Select", "Span", "Time"]
BLOCK = ["Div", "Fieldset", "Form", "H1", "HxPartial", "Li", "P", "Pre", "Section", "Table", "Td", "Tr", "Ul"]
GROUPS = [list, tuple, iter, lambda children: (child for child in children)]

empty_node = st.builds(Node, st.sampled_from(EMPTY), attributes, st.just([]))
text_node = st.builds(Node, st.sampled_from(TEXT_ONLY), attributes, st.lists(leaf, max_size=3))


def _branches(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(children, max_size=3)
    node = st.builds(Node, st.sampled_from(INLINE + BLOCK), attributes, several)
    return st.one_of(node, node, st.builds(Group, st.sampled_from(GROUPS), several), st.builds(Foreign, node))


tree = st.recursive(leaf | empty_node | text_node, _branches, max_leaves=8)


def ours(model: Any) -> Any:
    """The model, built with our tags."""
    match model:
        case Node(name, attributes, children):
            return getattr(tags, name)(*map(ours, children), **attributes)
        case Group(kind, children):
            return kind(map(ours, children))
        case Foreign(node):
            return theirs(node)
    return model


def theirs(model: Any) -> Any:
    """The model, built with FastHTML's tags."""
    match model:
        case Node(name, attributes, children):
            # Ours keep a line break at the start of these, as the parser drops the first.
            kept = ["\n"] if name in ("Pre", "Textarea") else []
            return getattr(fasthtml, name)(*kept, *map(theirs, children), **attributes)
        case Group(_, children):
            # FastHTML flattens one level only, and generators only where they stand alone.
            return tuple(_flat(children))
        case Foreign(node):
            return ours(node)
    return model


def _flat(children: list[Any]) -> Iterable[Any]:
    for child in children:
        if isinstance(child, Group):
            yield from _flat(child.children)
        else:
            yield theirs(child)


def dom(html: str) -> Any:
    """What a browser makes of a fragment: names, attributes and text, nested."""
    return _normal(html5lib.parseFragment(str(html), namespaceHTMLElements=False))


def _normal(element: Element) -> Any:
    inside: list[Any] = [element.text or ""]
    for child in element:
        inside += [_normal(child), child.tail or ""]
    return element.tag, dict(element.attrib), [each for each in inside if each != ""]


@given(tree)
def test_a_tree_is_the_same_document_as_with_fasthtml(model: Any) -> None:
    """Whatever the tags, attributes, text and nesting: the same elements come out."""
    assert dom(Div(ours(model))) == dom(to_xml(fasthtml.Div(theirs(model)), indent=False))


@given(st.sampled_from(INLINE + BLOCK + EMPTY + TEXT_ONLY), attributes)
def test_attributes_are_the_same_as_with_fasthtml(name: str, given: dict[str, Any]) -> None:
    """Names, None, False, True, numbers, lists and dicts, and the name that a control takes from its id."""
    assert dom(ours(Node(name, given, []))) == dom(to_xml(theirs(Node(name, given, [])), indent=False))


@given(attributes)
@example({"hx_target": "", "hx_vals": 0, "hx_get": "", "cls": '"', "hidden": True, "title": False, "_": "&"})
def test_the_same_attributes_are_the_same_bytes_each_time(given: dict[str, Any]) -> None:
    """Known keywords are written the quick way: it must not show, for the bytes are the version of a fragment."""
    tags._prefixes.clear()
    first = Input(**given)
    Input(**dict.fromkeys(given, "known now"))
    assert Input(**given) == first


@pytest.mark.parametrize("name", [{}, {"name": None}, {"name": False}, {"name": ""}, {"name": "n"}, {"_name": "n"}])
@pytest.mark.parametrize("id", [None, False, "", 0, "i", 7, ["i", "j"]])
def test_a_control_is_named_by_its_id_as_with_fasthtml(name: dict[str, Any], id: Any) -> None:
    """Where it has no name of its own; and no other element is."""
    for each in "Input", "Div":
        node = Node(each, {"id": id, **name}, [])
        assert dom(ours(node)) == dom(to_xml(theirs(node), indent=False))


@pytest.mark.parametrize("name", sorted(fasthtml._all_))
def test_every_tag_of_fasthtml_is_here(name: str) -> None:
    """Each writes the name and the end that FastHTML writes."""
    html = str(getattr(tags, name)(title="x")).replace(">\n", ">")
    assert html == to_xml(getattr(fasthtml, name)(title="x"), indent=False)
    assert name in tags.__all__


def test_a_document_is_the_same_as_with_fasthtml() -> None:
    """With its doctype, or without."""
    head, body = fasthtml.Head(fasthtml.Title("x")), fasthtml.Body("y")
    assert Html(head, body, lang="en") == to_xml(core.Html(head, body, lang="en"), indent=False).replace("\n", "")
    assert Html("x", doctype=False) == "<html>x</html>"


plain_attributes = st.dictionaries(
    st.sampled_from(["id", "title", "cls", "data_x", "hx_confirm", "aria-label", "style"]), exact_text, max_size=3
)
plain_tree = st.recursive(
    exact_text,
    lambda children: st.builds(
        Node, st.sampled_from(["Div", "Span", "Section", "Pre"]), plain_attributes, st.lists(children, max_size=4)
    ),
    max_leaves=8,
)


@given(plain_tree)
def test_text_and_attributes_come_back_exactly(model: Any) -> None:
    """The parser finds the elements, texts and values that went in, and no more."""
    assert dom(Div(ours(model))) == ("DOCUMENT_FRAGMENT", {}, [("div", {}, _joined([_expected(model)]))])


@given(exact_text)
@example("\n\nx")
def test_the_text_of_a_textarea_comes_back_exactly(words: str) -> None:
    """With the line breaks that it begins with, which the parser drops one of."""
    assert dom(Textarea(words)) == ("DOCUMENT_FRAGMENT", {}, [("textarea", {}, _joined([words]))])


def _expected(model: Any) -> Any:
    if isinstance(model, str):
        return model
    given = {attribute_name(key): value for key, value in model.attributes.items()}
    return model.name.lower(), given, _joined(map(_expected, model.children))


def _joined(children: Iterable[Any]) -> list[Any]:
    """Texts that stand side by side as one, as the parser gives them."""
    joined: list[Any] = []
    for child in children:
        if isinstance(child, str) and joined and isinstance(joined[-1], str):
            joined[-1] += child
        elif child != "":
            joined.append(child)
    return joined


def test_our_tags_go_into_fasthtml_unescaped() -> None:
    """As a child, in a tuple, and beside its tags."""
    assert to_xml(fasthtml.Div(P("a & b"), (Span(), "<")), indent=False) == (
        "<div><p>a &amp; b</p><span></span>&lt;</div>"
    )
    assert to_xml((Br(), fasthtml.Hr()), indent=False) == "<br><hr>"


def test_fasthtml_goes_into_our_tags_unescaped() -> None:
    """Its tags, and whatever has __ft__ or __html__; its NotStr has neither, and is text here."""
    assert Div(fasthtml.P("a & b", fasthtml.B("c"))) == "<div><p>a &amp; b<b>c</b></p></div>"
    assert Div(fasthtml.P(id="x"), FastHTMLSafe("<u>")) == '<div><p id="x"></p><u></div>'
    assert Div(NotStr("<i>")) == "<div>&lt;i&gt;</div>"
    assert Div(WithFt(fasthtml.P("<")), WithFt(P("<")), WithFt("<")) == "<div><p>&lt;</p><p>&lt;</p>&lt;</div>"
    assert Div(WithHtml("<hr>")) == "<div><hr></div>"
    assert Div(WithFt((P(), WithFt(None), "x"))) == "<div><p></p>x</div>"


def test_a_fragment_is_tags_without_an_element_around_them() -> None:
    """Strings in it are escaped like anywhere."""
    assert Fragment(P("a"), "<", [Br(), None]) == "<p>a</p>&lt;<br>"
    assert type(Fragment()) is Safe
    assert Fragment() == ""


def test_only_raw_lets_html_through() -> None:
    """What is joined to a finished tag is text again, and is escaped as such."""
    assert Div(raw("<b>x</b>")) == "<div><b>x</b></div>"
    assert Div("<b>" + P()) == "<div>&lt;b&gt;&lt;p&gt;&lt;/p&gt;</div>"
    assert Div(f"{P()}") == "<div>&lt;p&gt;&lt;/p&gt;</div>"


class Shade(str, enum.Enum):  # noqa: UP042 (the older kind, whose str() is Shade.DARK, is the one that could go wrong)
    """A text that is more than a text."""

    DARK = "<dark>"


def test_whatever_else_is_a_child_is_escaped() -> None:
    """Dates, errors, kinds of text: the characters, escaped."""
    assert Div(date(2026, 1, 2), 3, 4.5, True) == "<div>2026-01-0234.5True</div>"
    assert Div(ValueError("<b>")) == "<div>&lt;b&gt;</div>"
    assert Div(Shade.DARK) == Div(Shade.DARK, "") == "<div>&lt;dark&gt;</div>"
    assert Div({"<": 1}.values(), range(2)) == "<div>101</div>"


def test_every_kind_of_attribute_value_is_escaped() -> None:
    """Objects that are HTML, too: a document in a srcdoc is text of the attribute."""
    assert Div(title=WithHtml('<b title="&lt;">')) == '<div title="&lt;b title=&#34;&amp;lt;&#34;&gt;"></div>'
    assert Div(title=AlwaysEqual()) == '<div title="&#34;&gt;&lt;"></div>'
    assert Div(title=P("<")) == '<div title="&lt;p&gt;&amp;lt;&lt;/p&gt;"></div>'
    assert Div(title=Shade.DARK, lang=date(2026, 1, 2)) == '<div title="&lt;dark&gt;" lang="2026-01-02"></div>'
    assert Div(cls=["<", '"'], style={"color": "<"}) == '<div class="&lt; &#34;" style="color:&lt;"></div>'
    assert Div(style=MappingProxyType({"color": "red"}), data_x=(each for each in "ab")) == (
        '<div style="color:red" data-x="a b"></div>'
    )
    assert dom(Div(hx_vals={"a": "</div>'\"&"}))[2][0][1] == {"hx-vals": json.dumps({"a": "</div>'\"&"})}


def test_classes_in_a_set_are_sorted() -> None:
    """A set has another order in another process, and the bytes of a fragment are its version."""
    assert Div(cls={"c", "a", "b"}) == Div(cls=frozenset("abc")) == '<div class="a b c"></div>'


def test_an_element_may_stand_for_its_id_as_in_fasthtml() -> None:
    """FastHTML's tags know their id; ours are strings, and that is said."""
    place = fasthtml.Div(id="place")
    assert Button(hx_target=place, id=place) == '<button hx-target="#place" id="place" name="place"></button>'
    assert Button(target_id="place") == '<button hx-target="#place"></button>'
    with pytest.raises(TypeError, match="hx_target is the id of an element; found HTML, a value of type Safe"):
        Button(hx_target=Div(id="place"))
    with pytest.raises(TypeError, match="Write the id itself"):
        Button(id=fasthtml.Div())


def test_htmlclass_and_htmlfor_mean_class_and_for() -> None:
    """FastHTML means them to, but lowers their case first."""
    assert tags.Label(htmlClass="a", htmlFor="b") == '<label class="a" for="b"></label>'


def test_svg_keeps_its_camel_case() -> None:
    """The parser mends what is written in lower case."""
    picture = tags.Svg(tags.SvgTitle("x"), tags.G(tags.Path(d="M0 0")), viewBox="0 0 1 1")
    (svg,) = html5lib.parseFragment(picture)
    assert svg.tag == "{http://www.w3.org/2000/svg}svg"
    assert svg.attrib == {"viewBox": "0 0 1 1"}
    assert [child.tag.rpartition("}")[2] for child in svg.iter()] == ["svg", "title", "g", "path"]


@pytest.mark.parametrize(
    ("child", "found", "remedy"),
    [
        ({"id": "x"}, "dict", r"Div\(\*\*entries\)"),
        (MappingProxyType({}), "mappingproxy", "json.dumps"),
        ({"a"}, "set", "sorted"),
        (frozenset(), "frozenset", "sorted"),
        (b"<i>", "bytes", "decode"),
        (bytearray(b"<i>"), "bytearray", "decode"),
    ],
)
def test_a_child_that_cannot_be_meant_is_refused(child: Any, found: str, remedy: str) -> None:
    """Alone, beside others, in a list; the error says what was expected, what was found, and what mends it."""
    message = f"A child is text, a number, a tag or a list of them; found a value of type {found}. .*{remedy}"
    for children in [child], ["x", child], [["x", (child,)]], [WithFt(child)]:
        with pytest.raises(TypeError, match=message):
            Div(*children)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("Br", "beside"), ("Input", "beside"), ("Script", r"Script\(src="), ("Style", "Link")],
)
def test_tags_that_hold_nothing_refuse_children(name: str, remedy: str) -> None:
    """No inline script or style comes from here; None is no child."""
    with pytest.raises(TypeError, match=f"<{name.lower()}> takes attributes only; found a child, .*str.*{remedy}"):
        getattr(tags, name)("alert(1)")
    assert "src" in getattr(tags, name)(None, src="x")


@pytest.mark.parametrize("name", ["", "a b", "a>b", "a<b", "a/b", "a=b", 'a"b', "a'b", "a\tb", "a\0b", "a\x85b"])
def test_attribute_names_that_would_break_out_are_refused(name: str) -> None:
    """Whatever the value; a name of underscores only is empty."""
    for value in ("x", True, 1, ["x"]):
        with pytest.raises(ValueError, match="Names belong in the code"):
            Div(**{name: value})


def test_a_name_of_underscores_is_hyperscript_or_refused() -> None:
    """One is hyperscript's attribute, as in FastHTML; of more nothing is left."""
    assert Div(_="on click") == '<div _="on click"></div>'
    with pytest.raises(ValueError, match="'__'"):
        Div(__="x")


def test_names_that_only_look_odd_pass_through() -> None:
    """Alpine's, Vue's, htmx's."""
    odd = {"@click.once": 1, ":key": 2, "x-on:a[b]": 3, "hx-on::after-init": 4, "a&b": 5}
    assert Div(**odd) == "<div " + " ".join(f'{name}="{value}"' for name, value in odd.items()) + "></div>"


def test_an_attribute_in_two_spellings_is_refused() -> None:
    """The browser would take the first and drop the second without a word."""
    for twice in (
        {"cls": "a", "klass": "b"},
        {"cls": "a", "class": "b"},
        {"data_x": 1, "data-x": 1},
        {"hx_target": "a", "target_id": "b"},
    ):
        for keyword in twice:
            Div(**{keyword: "known"})
        with pytest.raises(TypeError, match=r"came twice, as .* keep one"):
            Div(**twice)
    assert Div(cls="a", klass=None, _class=False) == '<div class="a"></div>'


def test_attribute_values_that_cannot_be_meant_are_refused() -> None:
    """A random id would give the same data another version at each rendering; bytes are not text."""
    with pytest.raises(ValueError, match="id=True would be another id at every rendering"):
        Div(id=True)
    with pytest.raises(TypeError, match=r"value of type bytes.*decode"):
        Div(title=b"x")


def test_a_tag_of_ones_own() -> None:
    """By its name, which must be one."""
    assert tag("Task-Card")("x", open=True) == "<task-card open>x</task-card>"
    assert HxPartial(P(), hx_target="#a") == '<hx-partial hx-target="#a"><p></p></hx-partial>'
    for name in "", "a b", "a>", "1a", "<a", "a/":
        with pytest.raises(ValueError, match="The name of a tag"):
            tag(name)


def test_the_names_that_are_remembered_are_bounded() -> None:
    """Names can come from data: however many there are, the memory is not, and all are written right."""
    for number in range(3000):
        assert Div(**{f"data_{number}": "x"}) == f'<div data-{number}="x"></div>'
        assert len(tags._prefixes) <= tags._PREFIXES_KEPT
    assert Div(cls="a") == '<div class="a"></div>'


HOSTILE = st.text(st.sampled_from("ab &<>\"'{}%\ue000\ue0010")) | st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])
)


@given(HOSTILE, HOSTILE, st.booleans())
def test_an_outline_is_the_same_document_as_what_it_was_drawn_from(first: str, second: str, flag: bool) -> None:
    def draw(first: str, second: str, *, flag: bool) -> Safe:
        inner = Span(f"{second} {first}", title=second) if flag else None
        return Div(P(first, cls="a"), inner, id=f"x-{second}", hidden=flag)

    drawn = draw(first, second, flag=flag)
    filled = outline(draw)(first, second, flag=flag)
    assert html5lib.serialize(html5lib.parseFragment(filled)) == html5lib.serialize(html5lib.parseFragment(drawn))


def test_an_outline_draws_once_for_each_shape_and_escapes_every_kind_of_text() -> None:
    calls = []

    @outline
    def draw(text: object, *, flag: int) -> Safe:
        calls.append(flag)
        return P(text, title=text)

    class Text(str):
        __slots__ = ()

    assert draw(Text('<"'), flag=1) == draw('<"', flag=1) == '<p title="&lt;&quot;">&lt;&quot;</p>'
    assert draw(5, flag=1) == '<p title="5">5</p>'
    assert draw(None, flag=0) == '<p title="None">None</p>'
    assert calls == [1, 0]
