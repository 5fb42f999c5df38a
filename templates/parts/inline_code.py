"""Inline scripts and styles of tags: what stands whole in the source is moved into files, anything else is left out.

The policy of every page (Content-Security-Policy) allows no script and no style on the page itself, so that text of a
person that got into a page as markup could not run. What the developer wrote is moved to where the policy allows it:

- `Script("…")` is sent as `<script src="/inline/HASH.js" defer>`, `Style("…")` as `<link rel="stylesheet" href=…>`;
- `onclick="…"`, as every `on…`, is sent as `data-inline="onclick:HASH"`; `static/inline.js` loads `/inline/HASH.js`;
- code in attributes of htmx (`hx_on_…="…"`, `hx_vals="js:…"`, `hx_trigger="click[…]"`) is sent as `@HASH` there; htmx
  asks `static/inline.js` for the function, where it would use `eval` otherwise;
- `style="…"` is sent as `data-inline-style="…"`; `static/inline.js` applies it through `element.style` (CSSOM), which
  the policy allows.

Only a constant of the source is moved: the keeper that the app has set says what one is
(`server/inline/source_constants.py`). A text that was put together at run time may hold code of whoever has sent a part
of it, as in `onclick=f"go('{title}')"`; it is left out, and the keeper says so in the terminal. That holds for scripts
and styles alike: a style can hide a page behind itself. What differs from row to row is given as `data_…` and read by
the constant script. A property of a style that differs is `data_style_…`: its value alone is set, so that it can bring
no other property.

Without a keeper, where the templates are used alone, attributes are written as they are.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

# An element is marked with what it needs, for the script that looks for it.
MARK, STYLE, PROPERTIES, REFUSED = "data-inline", "data-inline-style", "data-inline-properties", "data-refused"
PROPERTY = "data-style-"
# Of these every value may hold code, and of other attributes of htmx none.
EVALUATED = frozenset(("hx-trigger", "hx-vals", "hx-headers", "hx-confirm"))
# The type of a script that is run; others are data, which the policy does not concern.
MODULE, RUN = "module", frozenset(("", "module", "text/javascript", "application/javascript"))
_HANDLER = re.compile(r"on[a-z]+")
_JS = re.compile(r"\s*(?:js|javascript):(.*)", re.DOTALL)
# The condition of a trigger, as htmx finds it: in brackets at the end of the first word, or after the time of `every`.
_CONDITION = re.compile(r"((?:^|,)\s*(?:every\s+\S+?\s*)?[^\s,\[\]]*)\[([^\]]*)\]")

# What a file holds, with the code in place of CODE: an event handler of HTML, which sees the page, its form and its
# element as HTML's own do; the same of htmx; a value that htmx asks for.
HANDLER = "function (event) { with (document) with (this.form ?? {}) with (this) {\nCODE\n} }"
STATEMENTS = "async function (scope) { with (scope) with (scope.event?.detail ?? {}) {\nCODE\n} }"
EXPRESSION = "function (scope) { with (scope) return (\nCODE\n); }"


class Keeper(Protocol):
    """Who knows the source, keeps the files and speaks to the developer."""

    def is_constant(self, text: str) -> bool:
        """Whether this very object is a constant of the source."""

    def keep(self, content: str, kind: str) -> str:
        """Keep a file of this kind, `js` or `css`; the hash by which it is asked for."""

    def address(self, hash: str, kind: str) -> str:
        """Where the browser finds a file."""

    def refuse(self, what: str, text: str, remedy: str) -> None:
        """Say that something was left out, and how it is written instead."""


_keeper: Keeper | None = None


def use(keeper: Keeper | None) -> None:
    """Have inline code kept by this one from now on."""
    global _keeper
    _keeper = keeper


def is_used() -> bool:
    """Whether there is somebody who keeps inline code."""
    return _keeper is not None


@lru_cache(maxsize=1024)
def concerns(attribute: str) -> bool:
    """Whether the policy may concern a value of this attribute."""
    return attribute in EVALUATED or attribute == "style" or attribute.startswith(("on", "hx-on", PROPERTY))


def is_code(attribute: str, value: object) -> bool:
    """Whether this value of an attribute that `concerns` is about has to be looked at."""
    if _keeper is None:
        return False
    if attribute not in EVALUATED:
        return True
    return ("[" if attribute == "hx-trigger" else ":") in value if isinstance(value, str) else False


def lifted(tag: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """These attributes of an element, which the policy concerns, as the page may have them."""
    if _keeper is None:
        return dict(attributes)
    result: dict[str, Any] = {}
    needs: list[str] = []
    refused: list[str] = []
    properties: list[str] = []
    for name, value in attributes.items():
        if name.startswith(PROPERTY):
            properties.append(name.removeprefix(PROPERTY))
            result[name] = value
        elif value is True or value is None or value == "":
            result[name] = value
        elif (code := _lift(_keeper, tag, name, value if isinstance(value, str) else str(value), needs)) is None:
            refused.append(name)
        else:
            result |= code
    if needs:
        result[MARK] = " ".join(needs)
    if properties:
        result[PROPERTIES] = " ".join(properties)
    if refused:
        result[REFUSED] = " ".join(refused)
    return result


def script(attributes: Mapping[str, Any], texts: Sequence[str]) -> dict[str, Any] | None:
    """The attributes of `<script src>` for a script with this text; None where it is left out.

    One that is no module runs when the page is parsed, after htmx, as a module does.
    """
    content = _joined("script", "", texts, 'Script("…"), and what differs in data_… of an element')
    if content is None or _keeper is None:
        return None
    address = _keeper.address(_keeper.keep(content, "js"), "js")
    waits = {} if attributes.get("type") == MODULE or attributes.get("async") else {"defer": True}
    return {**waits, **attributes, "src": address}


def style(attributes: Mapping[str, Any], texts: Sequence[str]) -> dict[str, Any] | None:
    """The attributes of `<link>` for a style with this text; None where it is left out."""
    content = _joined("style", "", texts, 'Style("…"), or classes in static/app.css')
    if content is None or _keeper is None:
        return None
    return {**attributes, "rel": "stylesheet", "href": _keeper.address(_keeper.keep(content, "css"), "css")}


def is_run(attributes: Mapping[str, Any]) -> bool:
    """Whether a browser would run the text of a script with these attributes."""
    return str(attributes.get("type") or "").strip().lower() in RUN


def _joined(tag: str, attribute: str, texts: Sequence[str], remedy: str) -> str | None:
    """Texts that are constants, as one; None where one of them is none, which is said."""
    if _keeper is None:
        return None
    for text in texts:
        if not (_keeper.is_constant(text) or not text.strip()):
            _keeper.refuse(f"{attribute} of <{tag}>" if attribute else f"<{tag}>", text, remedy)
            return None
    return "\n".join(texts)


def _lift(keeper: Keeper, tag: str, name: str, value: str, needs: list[str]) -> dict[str, str] | None:
    """The attributes in place of one; None where it is left out."""
    name = name.lower()
    if name == "style":
        remedy = 'style="…" whole, classes, or of what differs data_style_width=f"{percent}%"'
        return None if _joined(tag, name, [value], remedy) is None else {STYLE: value}
    if _HANDLER.fullmatch(name):
        code = _joined(tag, name, [value], f'{name}="go(this.dataset.title)" with data_title=title')
        if code is None:
            return None
        needs.append(f"{name}:{keeper.keep(_taken(HANDLER, code), 'js')}")
        return {}
    if name.startswith("hx-on"):
        keyword = re.sub("[^a-z]", "_", name)
        code = _joined(tag, name, [value], f'{keyword}="go(this.dataset.title)" with data_title=title')
        return None if code is None else {name.replace(":", "-"): _reference(keeper, STATEMENTS, code, needs)}
    return _lift_evaluated(keeper, tag, name, value, needs)


def _lift_evaluated(keeper: Keeper, tag: str, name: str, value: str, needs: list[str]) -> dict[str, str] | None:
    """The same for an attribute that may hold code, of which most hold none."""
    if name == "hx-trigger":
        if not _CONDITION.search(value):
            return {name: value}
        if _joined(tag, name, [value], "the condition as a constant, and values in data_…") is None:
            return None

        def condition(found: re.Match[str]) -> str:
            return f"{found[1]}[{_reference(keeper, EXPRESSION, found[2], needs)}]"

        return {name: _CONDITION.sub(condition, value)}
    js = _JS.fullmatch(value)
    if js is None:
        return {name: value}
    if _joined(tag, name, [value], f'{name}="js:…" whole, or a dict of the values, without code') is None:
        return None
    code = js[1].strip()
    if name != "hx-confirm" and not code.startswith("{"):
        code = f"{{{code}}}"
    return {name: f"js:{_reference(keeper, EXPRESSION, code, needs)}"}


def _reference(keeper: Keeper, form: str, code: str, needs: list[str]) -> str:
    """What stands for code in an attribute of htmx."""
    hash = keeper.keep(_taken(form, code), "js")
    needs.append(hash)
    return f"@{hash}"


def _taken(form: str, code: str) -> str:
    return f"inlineCode.take(document.currentScript, {form.replace('CODE', code, 1)});\n"
