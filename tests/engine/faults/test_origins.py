"""Changes that a page of another site tries to make: by every route and method, as bytes and from a real browser.

How the guard judges each header alone is held in tests/engine/server/guard/test_middleware.py.
"""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from tests.engine.conftest import DELETIONS, PATIENCE, Server
from tests.engine.faults.routes import Route, routes

CHANGES = ("POST", "PATCH", "DELETE")
HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
}
REFUSAL = "A change can only come from this app's own pages."


def foreign(own: str) -> list[dict[str, str]]:
    """The headers with which a browser says that a page of another site asks; `own` is our origin."""
    name, _, port = own.partition("://")[2].partition(":")
    origins = [
        "null",
        "http://evil.example",
        f"http://evil.example:{port}",
        f"http://localhost:{port}",
        f"http://app.{name}:{port}",
        f"http://{name}.evil.example:{port}",
        f"http://{name}",
        f"http://{name}:{int(port) + 1}",
        f"https://{name}:{port}",
        f"{own}, http://evil.example",
        "file://",
    ]
    sites = [{"Sec-Fetch-Site": site} for site in ("cross-site", "same-site", "Same-Origin", "")]
    return [*({"Origin": origin} for origin in origins), *sites, {"Origin": own, "Sec-Fetch-Site": "cross-site"}]


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> list[Route]:
    """Every route of the app."""
    return routes(tmp_path_factory.mktemp("walk") / "data")


@pytest.fixture
def filled(server: Server) -> Server:
    """A server that has something to change behind every address, and has made its index of it."""
    server.sql("INSERT INTO tasks (id, title, done) VALUES (1, 'Mine', 1), (3, 'Also mine', 0)")
    server.sql(
        f"INSERT INTO {DELETIONS} (id, title, notes, done, created_at, updated_at) VALUES (2, 'x', '', 0, '', '')"
    )
    server.sql("INSERT INTO imports (id, kind, filename, state, process) VALUES (1, 'tasks', 'a.csv', 'discarded', 0)")
    server.sql("INSERT INTO imports (id, kind, filename, state, process) VALUES (2, 'tasks', 'b.csv', 'ready', 0)")
    end = time.monotonic() + PATIENCE
    while server.sql("SELECT 1 FROM unindexed"):
        assert time.monotonic() < end, "the rows never came into the index"
        time.sleep(0.02)
    return server


@contextlib.contextmanager
def unchanged(server: Server) -> Iterator[None]:
    """The file holds the same afterwards; which pages are open is told in it too, and may differ."""

    def rows() -> list[str]:
        with contextlib.closing(sqlite3.connect(server.data / "app.db")) as file:
            return [line for line in file.iterdump() if not line.startswith('INSERT INTO "presence"')]

    before = rows()
    yield
    assert rows() == before


def test_no_route_takes_a_change_from_a_foreign_page(
    filled: Server, client: httpx.Client, walk: list[Route], subtests: pytest.Subtests
) -> None:
    assert {"/tasks", "/tasks/1", "/tasks/1/restore", "/imports/1/start", "/sign-in"} <= {each.address for each in walk}
    form = {"title": "Theirs", "done": "0", "_method": "delete", "token": "x"}
    for address in sorted({each.address for each in walk} | {"/static/app.css", "/tasks/3", "/tasks/2/restore"}):
        with subtests.test(address), unchanged(filled):
            for method in CHANGES:
                for headers in foreign(filled.url):
                    answer = client.request(
                        method, address, data=form, headers={**headers, "Accept": "application/json"}
                    )
                    assert (answer.status_code, REFUSAL in answer.text) == (403, True), (method, headers)


def test_the_same_changes_reach_the_app_from_its_own_pages(
    filled: Server, client: httpx.Client, walk: list[Route]
) -> None:
    for address in {each.address for each in walk if {"POST", "PATCH", "DELETE"} & set(each.methods)}:
        assert client.post(address, data={"title": "Mine"}, headers={"Origin": filled.url}).status_code != 403, address


def test_no_socket_opens_for_a_foreign_page(filled: Server, client: httpx.Client, walk: list[Route]) -> None:
    for address in {"/live", *(each.address for each in walk if not each.methods)}:
        for headers in foreign(filled.url):
            answer = client.get(address, headers=HANDSHAKE | headers)
            assert (answer.status_code, REFUSAL in answer.text) == (403, True), headers
        with client.stream("GET", address, headers=HANDSHAKE | {"Origin": filled.url}) as own:
            assert own.status_code == 101 or REFUSAL not in own.read().decode()


# From a real browser

ATTACK = """<!doctype html><title>Hello</title><body><script>
const opened = [];
const hidden = (name, frame = document.createElement("iframe")) => {
    frame.name = name;
    frame.hidden = true;
    document.body.append(frame);
    return frame;
};
function form(address, fields, enctype) {
    const name = `frame-${document.forms.length}`;
    const form = document.createElement("form");
    Object.assign(form, {action: address, method: "post", enctype, target: name});
    for (const [name, value] of Object.entries(fields))
        form.append(Object.assign(document.createElement("input"), {name, value}));
    const frame = hidden(name);
    document.body.append(form);
    HTMLFormElement.prototype.submit.call(form);
    return new Promise(resolve => frame.addEventListener("load", resolve));
}
const image = address => new Promise(resolve => {
    Object.assign(new Image, {onload: resolve, onerror: resolve, src: address});
});
const element = (tag, values) => new Promise(resolve =>
    document.body.append(Object.assign(document.createElement(tag), {onload: resolve, onerror: resolve, ...values})));
const socket = address => new Promise(resolve => {
    const socket = new WebSocket(address);
    socket.onopen = () => { opened.push(address); resolve(); };
    socket.onerror = resolve;
});
async function attack(origin) {
    const title = new URLSearchParams({title: "Theirs"});
    const parts = new FormData;
    parts.append("file", new File(["title\\nTheirs"], "theirs.csv"));
    const json = {headers: {"Content-Type": "application/json"}, body: JSON.stringify({title: "Theirs"})};
    const quiet = (path, options) =>
        fetch(origin + path, {method: "POST", mode: "no-cors", credentials: "include", ...options});
    const loud = (path, options) => fetch(origin + path, {credentials: "include", ...options});
    const tries = [
        form(`${origin}/tasks`, {title: "Theirs"}, "application/x-www-form-urlencoded"),
        form(`${origin}/tasks`, {title: "Theirs"}, "multipart/form-data"),
        form(`${origin}/tasks`, {'{"title":"Theirs","x":"': '"}'}, "text/plain"),
        form(`${origin}/tasks/1`, {_method: "delete"}, "application/x-www-form-urlencoded"),
        form(`${origin}/tasks/1`, {done: "0"}, "multipart/form-data"),
        form(`${origin}/tasks/2/restore`, {}, "application/x-www-form-urlencoded"),
        form(`${origin}/imports/2/cancel`, {}, "application/x-www-form-urlencoded"),
        quiet("/tasks", {body: title}),
        quiet("/tasks", {body: JSON.stringify({title: "Theirs"})}),
        quiet("/tasks", {body: new Blob([JSON.stringify({title: "Theirs"})])}),
        quiet("/tasks/1", {body: new URLSearchParams({_method: "delete"})}),
        quiet("/tasks", {body: title, keepalive: true, referrerPolicy: "no-referrer"}),
        quiet("/imports", {body: parts}),
        quiet("/sign-out", {}),
        loud("/tasks", {method: "POST", body: title}),
        loud("/tasks", {method: "POST", ...json}),
        loud("/tasks/1", {method: "PATCH", ...json}),
        loud("/tasks/1", {method: "DELETE"}),
        loud("/tasks", {method: "POST", body: title, headers: {"HX-Request": "true"}}),
        image(`${origin}/tasks/1?_method=delete&done=0`),
        image(`${origin}/tasks/1/restore`),
        element("script", {src: `${origin}/tasks/1?_method=delete`}),
        element("link", {rel: "stylesheet", href: `${origin}/imports/2/cancel`}),
        element("iframe", {src: `${origin}/tasks/1?_method=delete`}),
        element("object", {data: `${origin}/tasks/1?_method=delete`}),
        socket(origin.replace("http", "ws") + "/live"),
    ];
    navigator.sendBeacon(`${origin}/tasks`, title);
    const read = await Promise.allSettled(tries);
    return {opened, sent: read.length, statuses: read.map(each => each.value?.status).filter(Boolean)};
}
</script>"""


@pytest.fixture(scope="module")
def evil() -> Iterator[int]:
    """The port of another site on this machine, whose pages attack."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(ATTACK.encode())

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as site:
        thread = threading.Thread(target=site.serve_forever)
        thread.start()
        yield site.server_address[1]
        site.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "localhost"),
        pytest.param("localhost", "127.0.0.1", marks=pytest.mark.slow),
        pytest.param("localhost", "localhost", marks=pytest.mark.slow),
    ],
)
def test_a_page_of_another_site_changes_and_learns_nothing(
    chromium: Any, filled: Server, evil: int, theirs: str, ours: str
) -> None:
    """From another port (the same site, for a browser) and from another name."""
    with contextlib.closing(chromium.new_context()) as context, unchanged(filled):
        page = context.new_page()
        page.goto(f"http://{theirs}:{evil}/")
        target = filled.url.replace("127.0.0.1", ours)
        tried = page.evaluate("origin => attack(origin)", target)
        assert tried["opened"] == []
        assert tried["sent"] == 26
        assert set(tried["statuses"]) <= {0, 403}, "0 is an answer that the page cannot look into"
        # The whole window may go to the app, with what the page has filled in.
        with page.expect_navigation(wait_until="load") as gone:
            page.evaluate("form => document.body.innerHTML = form", f"<form method=post action={target}/tasks>")
            page.evaluate("document.forms[0].innerHTML = '<input name=title value=Theirs>'; document.forms[0].submit()")
        assert gone.value.status == 403


def test_a_name_that_was_given_our_address_shows_and_changes_nothing(chromium: Any, filled: Server) -> None:
    """DNS rebinding: the browser takes the page for one of rebound.example, and all it asks for as same-origin."""
    origin = filled.url.replace("127.0.0.1", "rebound.example")
    with contextlib.closing(chromium.new_context()) as context, unchanged(filled):
        page = context.new_page()
        for path in ("/tasks", "/tasks/1", "/export.json", "/static/app.js", "/"):
            answer = page.goto(origin + path)
            assert answer.status == 403
            assert "Mine" not in page.content()
        statuses = page.evaluate(
            """async () => Promise.all([["/export.json"], ["/tasks", {method: "POST", body: "title=Theirs"}],
                ["/tasks/1", {method: "DELETE"}]].map(async each => (await fetch(...each)).status))"""
        )
        assert statuses == [403] * 3


QUESTIONS = """origin => {
    const asked = (tag, values) => document.body.append(Object.assign(document.createElement(tag), values));
    const search = "/tasks?q=" + Array(330).fill("wo").join("+");
    const paths = [search, "/export.db", "/tasks/export.csv", "/healthz", "/static/app.css"];
    for (const path of paths) {
        asked("img", {src: origin + path});
        asked("script", {src: origin + path});
        asked("link", {rel: "stylesheet", href: origin + path});
        asked("iframe", {src: origin + path});
        asked("object", {data: origin + path});
        asked("embed", {src: origin + path});
        fetch(origin + path, {mode: "no-cors", credentials: "include"}).catch(() => {});
        fetch(origin + path, {credentials: "include"}).catch(() => {});
    }
}"""


@pytest.mark.parametrize("theirs", ["127.0.0.1", "localhost"])
def test_another_site_leads_to_a_page_and_asks_for_nothing_else(
    chromium: Any, filled: Server, evil: int, theirs: str
) -> None:
    with contextlib.closing(chromium.new_context()) as context, unchanged(filled):
        answers: list[tuple[int, str]] = []
        downloads: list[Any] = []
        page = context.new_page()
        context.on("response", lambda answer: answers.append((answer.status, answer.url)))
        page.goto(f"http://{theirs}:{evil}/")
        page.evaluate(QUESTIONS, filled.url)
        # Not each kind of element says when it is done.
        end = time.monotonic() + PATIENCE
        while len([address for _, address in answers if address.startswith(filled.url)]) < 5 * 2:
            page.wait_for_timeout(20)
            assert time.monotonic() < end, len(answers)
        assert {status for status, address in answers if address.startswith(filled.url)} == {403}
        page.close()
        # The whole window: a file is refused with a page that says so, a page is shown, and whatever belongs to it.
        page = context.new_page()
        page.on("download", lambda download: downloads.append(download))
        for path, status in (("/export.db", 403), ("/tasks/export.csv", 403), ("/tasks", 200)):
            page.goto(f"http://{theirs}:{evil}/")
            answers.clear()
            page.evaluate("address => document.body.innerHTML = `<a href=${address}>See</a>`", filled.url + path)
            with page.expect_response(filled.url + path) as answer:
                page.click("a", no_wait_after=True)
            assert answer.value.status == status
            page.wait_for_selector("text=start a download" if status == 403 else "text=Also mine")
        assert {status for status, _ in answers} <= {200, 304}
        with page.expect_download() as started:
            page.evaluate("document.body.innerHTML = '<a href=/tasks/export.csv>Export</a>'")
            page.click("a", no_wait_after=True)
        assert started.value.suggested_filename == "tasks.csv"
        assert len(downloads) == 1
