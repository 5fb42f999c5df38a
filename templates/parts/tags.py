"""Tags: functions that write HTML, called as FastHTML's are: `Div(P("hi", cls="a"), hx_get="/x")`.

The rule of this file: only what is HTML already goes out unescaped. A tag gives a finished string (`Safe`), not a tree,
and `raw` is the one door for HTML from elsewhere. What a page looks like belongs in the other files of this folder.

Children are text, numbers, tags, and lists, tuples or generators of them, at any depth; `None` is skipped. Attributes
are keywords: `cls` is `class`, `fr` is `for`, `hx_get` is `hx-get`; any other name goes in as `**{"hx-on:click": …}`.
`None` and `False` leave an attribute out, `True` writes it bare, a list is joined by spaces. FastHTML's own tags go
into these as children, and these into FastHTML's; both give the same elements (the tests hold them against each other).

What differs from FastHTML, on purpose:
- refused, with the remedy: a dict, a set or bytes as a child, any child of `<br>` and its like, an attribute name that
  would break out of its tag, an attribute in two spellings, `id=True` (a random id would make two renderings of the
  same data differ);
- in files, or left out (`inline_code.py`): scripts, styles and event handlers, which a page may not hold itself;
- escaped: every attribute value, and the `str()` of whatever else is a child (`NotStr` too: here it is `raw`);
- kept: a line break at the start of `<pre>` and `<textarea>`, which the parser would drop;
- `htmlClass` and `htmlFor` mean `class` and `for`; a set of classes is sorted; `Svg` and its shapes take attributes
  only as keywords and add none of their own, `viewBox` may be written so; `Div(id="x")(child)` is `Div(child, id="x")`.

Measured on Python 3.11, CPU time, medians of interleaved runs: 20 rows of 12 tags and 25 attributes, from plain
records, nothing kept from the run before. Here 235 µs; Jinja2, compiled, with autoescape, 190 µs where the row stands
inside the loop, 255 µs where it is a macro, as it is a function here; FastHTML's own tags 7 ms. Most of the time goes
to the calls themselves and to the attributes, which is why _opening looks as it does. Collecting the pieces in a list,
a %-template for each set of keywords, and map with zip were slower. `outline` draws what stands on a page many times
once and fills it in: the same rows in 75 µs.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache, wraps
from typing import Any, Protocol

from templates.parts import inline_code

# fmt: off
__all__ = [  # noqa: RUF022 (one name a line would be 140 lines)
    "A", "Abbr", "Address", "Area", "Article", "Aside", "Audio", "B", "Base", "Bdi", "Bdo", "Blockquote",
    "Body", "Br", "Button", "Canvas", "Caption", "Circle", "Cite", "Code", "Col", "Colgroup", "Data",
    "Datalist", "Dd", "Del", "Details", "Dfn", "Dialog", "Div", "Dl", "Dt", "Em", "Embed", "Fencedframe",
    "Fieldset", "Figcaption", "Figure", "Footer", "Form", "Fragment", "G", "H1", "H2", "H3", "H4", "H5", "H6",
    "Head", "Header", "Hgroup", "Hr", "Html", "HxPartial", "I", "Iframe", "Img", "Input", "Ins", "Kbd", "Label",
    "Legend", "Li", "Line", "Link", "Main", "Map", "Mark", "Menu", "Meta", "Meter", "Nav", "Noscript", "Object",
    "Ol", "Optgroup", "Option", "Output", "P", "Path", "Picture", "Polyline", "PortalExperimental", "Pre",
    "Progress", "Q", "Rect", "Rp", "Rt", "Ruby", "S", "Safe", "Samp", "Script", "Search", "Section", "Select",
    "Slot", "Small", "Source", "Span", "Strong", "Style", "Sub", "Summary", "Sup", "Svg", "SvgTitle", "Table",
    "Tag", "Tbody", "Td", "Template", "Text", "Textarea", "Tfoot", "Th", "Thead", "Time", "Title", "Tr",
    "Track", "U", "Ul", "Use", "Var", "Video", "Wbr", "outline", "raw", "tag",
]

_VOID = frozenset((
    "area", "base", "br", "col", "command", "embed", "hr", "img", "input", "keygen", "link", "meta", "param",
    "source", "track", "wbr",
))
_NAMED_BY_ID = frozenset((
    "a", "button", "form", "frame", "iframe", "img", "input", "map", "meta", "object", "param", "select",
    "textarea",
))
# fmt: on

_KEPT_IN_FILES = {
    "script": "Put the code in a file and name it: Script(src=…).",
    "style": 'Put the rules in a file and name it: Link(rel="stylesheet", href=…).',
}
_LOSES_FIRST_LINE_BREAK = frozenset({"pre", "listing", "textarea"})
_LEFT_OUT_IF_EMPTY = frozenset({"hx_vals", "hx_target"})
_REFUSED_CHILDREN: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (Mapping, "Give its entries as attributes, Div(**entries), or its text, json.dumps(entries)."),
    ((set, frozenset), "A set has no order of its own: give sorted(…)."),
    ((bytes, bytearray, memoryview), "Give its text: data.decode()."),
)
# What FastHTML takes the values of these for is something else.
_MEANT = frozenset(("target_id", "hx_vals", "hx_target", "id", "name"))
_ALIASES = {
    **dict.fromkeys(("cls", "klass", "_class", "htmlclass"), "class"),
    **dict.fromkeys(("fr", "_for", "htmlfor"), "for"),
    "target_id": "hx-target",
}
# A name that holds one of these is meant literally; the list is FastHTML's.
_LITERAL = frozenset("@.-!~:[](){}$%^&*+=|/?<>,`")
_TAG_NAME = re.compile(r"[a-z][a-z0-9._-]*")
_ATTRIBUTE_NAME = re.compile(r"[^\x00-\x20\x7f-\x9f\"'<>/=]+")
_MARK = re.compile("\ue000([0-9]+)\ue001")
# Keyword to ` name="`, for the keywords that _remember lets in.
_prefixes: dict[str, str] = {}
_PREFIXES_KEPT = 1024


class Safe(str):
    """Finished HTML. Every tag gives it and takes it as it is; joined to other text it is plain text again."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


class Tag(Protocol):
    """What a tag is: a function from children and attributes to finished HTML."""

    def __call__(self, *children: object, **attributes: object) -> Safe: ...


def raw(html: str) -> Safe:
    """HTML that is known to be safe, such as rendered Markdown. The one way past the escaping: mind what goes in."""
    return Safe(html)


def Fragment(*children: object) -> Safe:
    """Several tags as one string, with no element around them."""
    return Safe(_render(children))


def Html(*children: object, doctype: bool = True, **attributes: object) -> Safe:
    """A whole document, with its doctype."""
    document = _html(*children, **attributes)
    return Safe("<!doctype html>" + document) if doctype else document


def outline(draw: Callable[..., Safe]) -> Callable[..., Safe]:
    """Draw once, fill in often: for a row that stands on a page many times.

    `draw` runs once for each combination of its keyword arguments, with marks in the place of its positional ones.
    After that the texts are escaped and filled in where their marks came out. So `draw` may put a positional argument
    into children and attribute values, whole or inside an f-string, but not look into it; what it decides, it decides
    by keyword.
    """
    drawn: dict[tuple[object, ...], str] = {}

    @wraps(draw)
    def fill(*texts: object, **shape: object) -> Safe:
        key = (len(texts), *shape.items())
        form = drawn.get(key)
        if form is None:
            form = draw(*[f"\ue000{place}\ue001" for place in range(len(texts))], **shape)
            form = drawn[key] = _MARK.sub(r"{\1}", form.replace("{", "{{").replace("}", "}}"))
        return Safe(form.format(*[_escaped_everywhere(text) for text in texts]))

    return fill


def tag(name: str) -> Tag:
    """The function that writes an element; for one of your own, `RecipeCard = tag("recipe-card")`."""
    name = name.lower()
    if not _TAG_NAME.fullmatch(name):
        raise ValueError(f"The name of a tag is a letter, then letters, digits, '-', '_' or '.'; found {name!r}.")
    if name in _KEPT_IN_FILES:
        return _code(name)
    if name in _VOID:
        return _childless(name)
    # Here the parser drops one line break, so that the text may begin on a line of its own: give it one to drop.
    after = ">\n" if name in _LOSES_FIRST_LINE_BREAK else ">"
    end = f"</{name}>"

    # The first child stands apart because most tags have one at most and are quicker so. A Safe is joined, and not put
    # into an f-string, which would ask it for its __format__.
    def element(child: object = None, /, *children: object, **attributes: object) -> Safe:
        opening = _opening(name, attributes) if attributes else name
        if type(child) is str:
            inner = _escaped(child) if "&" in child or "<" in child or ">" in child else child
            if not children:
                return Safe(f"<{opening}{after}{inner}{end}")
        else:
            inner = child if type(child) is Safe else _render(child)
        if not children:
            return Safe("".join(("<", opening, after, inner, end)))
        pieces = ["<", opening, after, inner]
        for each in children:
            pieces.append(each if type(each) is Safe else _render(each))
        pieces.append(end)
        return Safe("".join(pieces))

    return element


def _childless(name: str) -> Tag:
    end = "" if name in _VOID else f"</{name}>"
    remedy = _KEPT_IN_FILES.get(name, "Put it beside the tag, or give it as an attribute.")

    def element(*children: object, **attributes: object) -> Safe:
        for child in children:
            if child is not None:
                raise TypeError(f"<{name}> takes attributes only; found a child, {_kind(child)}. {remedy}")
        return Safe(f"<{_opening(name, attributes)}>{end}")

    return element


def _code(name: str) -> Tag:
    """A script or style: its text, a constant of the source, is in a file where the page is served."""
    empty = _childless(name)
    refused = {inline_code.REFUSED: name}

    def element(*children: object, **attributes: object) -> Safe:
        texts = [child for child in children if isinstance(child, str)]
        if not texts or len(texts) < len(children) or not inline_code.is_used():
            return empty(*children, **attributes)
        if name == "style":
            named = inline_code.style(attributes, texts)
            return Template(**refused) if named is None else Link(**named)
        if not inline_code.is_run(attributes):
            return empty(*children, **attributes)
        named = inline_code.script(attributes, texts)
        return Template(**refused) if named is None else empty(**named)

    return element


def _render(child: Any) -> str:
    """One child of any kind, as HTML; the common kinds first."""
    kind = type(child)
    if kind is str:
        if "&" in child or "<" in child or ">" in child:
            return _escaped(child)
        return child
    if child is None:
        return ""
    if kind is Safe:
        return child
    if kind is list or kind is tuple:
        return "".join(map(_render, child))
    return _render_uncommon(child)


def _render_uncommon(child: Any) -> str:
    if hasattr(child, "__html__"):
        return str(child.__html__())
    if hasattr(child, "__ft__"):
        return _render(child.__ft__())
    if isinstance(child, str):
        return _escaped(str.__str__(child))
    for kinds, remedy in _REFUSED_CHILDREN:
        if isinstance(child, kinds):
            raise TypeError(f"A child is text, a number, a tag or a list of them; found {_kind(child)}. {remedy}")
    if isinstance(child, Iterable):
        return "".join(map(_render, child))
    return _escaped(str(child))


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _escaped_everywhere(text: Any) -> object:
    """A text that may stand between tags and between double quotes; a number needs no escaping."""
    kind = type(text)
    if kind is int:
        return text
    plain = text if kind is str else str.__str__(text) if isinstance(text, str) else str(text)
    if "&" in plain or "<" in plain or ">" in plain or '"' in plain:
        return _escaped(plain).replace('"', "&quot;")
    return plain


def _kind(found: object) -> str:
    return f"a value of type {type(found).__name__}"


def _opening(name: str, attributes: dict[str, Any]) -> str:
    """The start tag between its angle brackets, `a href="/x"`, written the quick way where all is as usual."""
    if "id" in attributes and name in _NAMED_BY_ID and attributes.get("name") is None:
        attributes = _with_name(attributes)
    text = name
    try:
        for keyword in attributes:
            value = attributes[keyword]
            kind = type(value)
            if kind is str and value and '"' not in value:
                text = f'{text}{_prefixes[keyword]}{value}"'
            elif value is None or value is False:
                continue
            elif value is True and keyword != "id":
                text = f"{text}{_prefixes[keyword][:-2]}"
            elif (kind is int or kind is float or (kind is str and not value)) and keyword not in _LEFT_OUT_IF_EMPTY:
                text = f'{text}{_prefixes[keyword]}{value}"'
            else:
                return _careful_opening(name, attributes)
    except KeyError:
        return _careful_opening(name, attributes)
    # One look at the whole is cheaper than one at each value, and only values can hold these: _remember sees to that.
    if "&" in text or "<" in text or ">" in text:
        return _escaped(text)
    return text


def _with_name(attributes: dict[str, Any]) -> dict[str, Any]:
    """FastHTML's rule: what can have a name is named by its id if it has no name of its own."""
    names = {_attribute_name(keyword) for keyword, value in attributes.items() if value is not None}
    return attributes if "name" in names or not attributes["id"] else {**attributes, "name": attributes["id"]}


def _careful_opening(name: str, attributes: dict[str, Any]) -> str:
    """What _opening does, for every name and value. The same attributes always come out as the same bytes."""
    text = name
    spelled: dict[str, str] = {}
    code: dict[str, Any] = {}
    for keyword, value in attributes.items():
        if keyword in _MEANT:
            value = _meant(keyword, value)
        if value is None or value is False:
            continue
        attribute = _attribute_name(keyword)
        if attribute in spelled:
            raise TypeError(f"The attribute {attribute} came twice, as {spelled[attribute]} and {keyword}: keep one.")
        spelled[attribute] = keyword
        if keyword not in _prefixes:
            if not inline_code.concerns(attribute):
                _remember(keyword, attribute)
            # Never remembered, so that every value comes by here.
            elif inline_code.is_code(attribute, value):
                code[attribute] = True if value is True else _text(value)
                continue
        text += _attribute(attribute, value)
    for attribute, value in inline_code.lifted(name, code).items() if code else ():
        if value is not None:
            text += _attribute(attribute, value)
    return text


def _meant(keyword: str, value: Any) -> Any:
    """What FastHTML takes the value of these keywords for."""
    if keyword == "target_id":
        return f"#{value}" if value else None
    if keyword in _LEFT_OUT_IF_EMPTY and not value:
        return None
    if keyword == "hx_vals" and isinstance(value, dict):
        return json.dumps(value)
    if keyword == "id" and value is True:
        raise ValueError('id=True would be another id at every rendering: write one, such as id="list".')
    if keyword in ("id", "name", "hx_target") and hasattr(value, "__html__"):
        return _reference(keyword, value)
    return value


def _reference(keyword: str, element: Any) -> str:
    """FastHTML's tags may stand where their id is meant; ours are strings and know no id."""
    identifier = None if isinstance(element, str) else getattr(element, "id", None)
    if not identifier:
        raise TypeError(f"{keyword} is the id of an element; found HTML, {_kind(element)}. Write the id itself.")
    return f"#{identifier}" if keyword == "hx_target" else str(identifier)


@lru_cache(maxsize=1024)
def _attribute_name(keyword: str) -> str:
    """The attribute that a keyword means; the steps are those of FastHTML's attrmap."""
    name = keyword.lower()
    if name.startswith("_at_"):
        name = "@" + name.removeprefix("_at_")
    if name != "_" and _LITERAL.isdisjoint(name):
        name = _ALIASES.get(name) or name.lstrip("_").replace("_", "-")
    if not _ATTRIBUTE_NAME.fullmatch(name):
        raise ValueError(
            f"The name of an attribute is not empty and holds no space, quote, <, >, = or /; found {keyword!r}. "
            "Names belong in the code, data in the values."
        )
    return name


def _attribute(name: str, value: Any) -> str:
    text = value if type(value) is str else _text(value)
    if text is None or (name.endswith("_") and name != "_"):
        return ""
    if value is True:
        return f" {name}"
    quoted = _escaped(text).replace('"', "&#34;")
    return f' {name}="{quoted}"'


def _text(value: Any) -> str | None:
    """The value of an attribute as text, or None where the attribute is left out."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes | bytearray | memoryview):
        raise TypeError(f"The value of an attribute is text; found {_kind(value)}. Give its text: value.decode().")
    if isinstance(value, Mapping):
        return "; ".join(f"{key}:{each}" for key, each in value.items()) if value else None
    if isinstance(value, list | tuple | set | frozenset | Iterator):
        words = [str(each) for each in value]
        if isinstance(value, set | frozenset):
            words.sort()
        return " ".join(words) if words else None
    if hasattr(value, "__html__"):
        return str(value.__html__())
    return str(value)


def _remember(keyword: str, attribute: str) -> None:
    """Lets _opening write this keyword, if spelled as usual: so no attribute can come twice, and no name holds an &."""
    usual = keyword.isidentifier() and keyword.replace("_", "-") == attribute and attribute not in ("class", "for")
    if usual or keyword in ("cls", "fr"):
        if len(_prefixes) >= _PREFIXES_KEPT:
            _prefixes.clear()
        _prefixes[keyword] = f' {attribute}="'


A = tag("a")
Abbr = tag("abbr")
Address = tag("address")
Area = tag("area")
Article = tag("article")
Aside = tag("aside")
Audio = tag("audio")
B = tag("b")
Base = tag("base")
Bdi = tag("bdi")
Bdo = tag("bdo")
Blockquote = tag("blockquote")
Body = tag("body")
Br = tag("br")
Button = tag("button")
Canvas = tag("canvas")
Caption = tag("caption")
Cite = tag("cite")
Code = tag("code")
Col = tag("col")
Colgroup = tag("colgroup")
Data = tag("data")
Datalist = tag("datalist")
Dd = tag("dd")
Del = tag("del")
Details = tag("details")
Dfn = tag("dfn")
Dialog = tag("dialog")
Div = tag("div")
Dl = tag("dl")
Dt = tag("dt")
Em = tag("em")
Embed = tag("embed")
Fencedframe = tag("fencedframe")
Fieldset = tag("fieldset")
Figcaption = tag("figcaption")
Figure = tag("figure")
Footer = tag("footer")
Form = tag("form")
H1 = tag("h1")
H2 = tag("h2")
H3 = tag("h3")
H4 = tag("h4")
H5 = tag("h5")
H6 = tag("h6")
Head = tag("head")
Header = tag("header")
Hgroup = tag("hgroup")
Hr = tag("hr")
I = tag("i")  # noqa: E741
Iframe = tag("iframe")
Img = tag("img")
Input = tag("input")
Ins = tag("ins")
Kbd = tag("kbd")
Label = tag("label")
Legend = tag("legend")
Li = tag("li")
Link = tag("link")
Main = tag("main")
Map = tag("map")
Mark = tag("mark")
Menu = tag("menu")
Meta = tag("meta")
Meter = tag("meter")
Nav = tag("nav")
Noscript = tag("noscript")
Object = tag("object")
Ol = tag("ol")
Optgroup = tag("optgroup")
Option = tag("option")
Output = tag("output")
P = tag("p")
Picture = tag("picture")
PortalExperimental = tag("portalexperimental")
Pre = tag("pre")
Progress = tag("progress")
Q = tag("q")
Rp = tag("rp")
Rt = tag("rt")
Ruby = tag("ruby")
S = tag("s")
Samp = tag("samp")
Script = tag("script")
Search = tag("search")
Section = tag("section")
Select = tag("select")
Slot = tag("slot")
Small = tag("small")
Source = tag("source")
Span = tag("span")
Strong = tag("strong")
Style = tag("style")
Sub = tag("sub")
Summary = tag("summary")
Sup = tag("sup")
Table = tag("table")
Tbody = tag("tbody")
Td = tag("td")
Template = tag("template")
Textarea = tag("textarea")
Tfoot = tag("tfoot")
Th = tag("th")
Thead = tag("thead")
Time = tag("time")
Title = tag("title")
Tr = tag("tr")
Track = tag("track")
U = tag("u")
Ul = tag("ul")
Var = tag("var")
Video = tag("video")
Wbr = tag("wbr")

# htmx 4: a part of an answer that goes to its own place.
HxPartial = tag("hx-partial")

Circle = tag("circle")
G = tag("g")
Line = tag("line")
Path = tag("path")
Polyline = tag("polyline")
Rect = tag("rect")
Svg = tag("svg")
SvgTitle = Title
Text = tag("text")
Use = tag("use")

_html = tag("html")
