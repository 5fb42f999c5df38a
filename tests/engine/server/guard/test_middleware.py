"""The guard: who may talk to the app, how much they may send, and what every answer carries."""

import asyncio
import json
import re
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from server.app_name import PREFIX
from server.guard.middleware import (
    COOKIE_LIMIT,
    COOKIES,
    Guard,
    Refused,
)
from server.guard.request_bodies import FORM_LIMIT, STRANGER_LIMIT
from server.guard.security_headers import SECURITY_HEADERS
from tests.engine.conftest import DELETIONS, PATIENCE, PROJECT, Server
from tests.engine.server.test_fragments import Headers, scope_of

NAMES = ("localhost", "127.0.0.1", "[::1]")
OWN = "http://localhost:5001"
CHANGES = ("POST", "PUT", "PATCH", "DELETE")
REFUSED_SITES = ("cross-site", "same-site", "", "Same-Origin", "anything")
REFUSED_ORIGINS = (
    "null",
    "",
    "http://evil.example",
    "http://localhost",
    "http://localhost:5002",
    "http://localhost:50010",
    "https://localhost:5001",
    "http://127.0.0.1:5001",
    "http://app.localhost:5001",
    "http://localhost.evil.example:5001",
    "http://localhost:5001.evil.example",
    "http://evil.example/http://localhost:5001",
    "http://localhost:5001/",
    "http://localhost:5001, http://evil.example",
    "ws://localhost:5001",
    "file://",
    "chrome-extension://abcdefgh",
)


class Guarded:
    """A guard around an app that reads the whole body, and whether that app was reached."""

    def __init__(self, **options: Any) -> None:
        self.reached = 0
        self.pulled = 0
        self.guard = Guard(self._app, **{"hosts": NAMES, **options})

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.reached += 1
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            return
        while (await receive()).get("more_body"):
            pass
        await PlainTextResponse("reached")(scope, receive, send)

    def ask(
        self,
        method: str = "GET",
        headers: Headers = {},  # noqa: B006
        path: str = "/",
        body: Iterable[bytes] = (),
        **scope: Any,
    ) -> list[Message]:
        """What the guard sends back; the body is pulled piece by piece, as far as it is wanted."""
        sent: list[Message] = []
        chunks = iter(body)

        async def receive() -> Message:
            chunk = next(chunks, None)
            self.pulled += len(chunk or b"")
            return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

        async def send(message: Message) -> None:
            sent.append(message)

        whole = {"scheme": "http", **scope_of(path, method, headers), **scope}
        asyncio.run(self.guard(whole, receive, send))
        return sent

    def status(self, *request: Any, **more: Any) -> int:
        """The status of the answer; the app is reached if and only if that is its own."""
        before = self.reached
        status: int = self.ask(*request, **more)[0]["status"]
        assert (self.reached > before) == (status == 200)
        return status


@pytest.fixture
def guarded() -> Guarded:
    return Guarded()


# Host


@pytest.mark.parametrize(
    "host",
    [*NAMES, "localhost:5001", "LOCALHOST:80", "LocalHost", "127.0.0.1:1", "[::1]:5001", "localhost:", "[::1]:"],
)
def test_the_names_of_this_machine_are_answered_whatever_the_port(guarded: Guarded, host: str) -> None:
    assert guarded.status(headers={"Host": host}) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:5001",
        "localhost.evil.example",
        "localhost.",
        "app.localhost",
        "127.0.0.1.evil.example",
        "127.0.0.1.",
        "127.000.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0.0.0.0",
        "[::]",
        "[::ffff:127.0.0.1]",
        "192.0.2.1",
    ],
)
def test_any_other_name_is_refused(guarded: Guarded, host: str) -> None:
    """A page of another site can give its own name the address of this machine: the name tells."""
    for method in ("GET", "POST"):
        assert guarded.status(method, {"Host": host}) == 403


@pytest.mark.parametrize(
    "host",
    [
        "",
        " ",
        " localhost",
        "localhost ",
        "::1",
        "[::1",
        "::1]:80",
        "[]",
        "[:]",
        "[127.0.0.1]",
        "[localhost]",
        "[::1]x",
        "localhost:80:80",
        "localhost:port",
        "localhost:-1",
        "localhost:65536",
        "localhost:000080",
        "localhost:８０",
        "löcalhost",
        "localhost\0",
        "localhost@evil.example",
        "user@localhost",
        "user:secret@localhost:80",
        "localhost/evil",
        "localhost#",
        "localhost\\",
        "localhost evil.example",
        "localhost,evil.example",
        "evil.example\tlocalhost",
        "localhost%00",
        ":5001",
        "http://localhost",
    ],
)
def test_what_is_no_host_is_a_request_that_makes_no_sense(guarded: Guarded, host: str) -> None:
    for method in ("GET", "POST"):
        assert guarded.status(method, [("Host", host.encode().decode("latin-1"))]) == 400


@given(st.one_of(st.binary(), st.text(":[]@/.%abc0189 ").map(str.encode)), st.sampled_from(["", "192.0.2.1", "::1"]))
def test_no_host_is_too_much_for_the_guard(host: bytes, address: str) -> None:
    assert Guarded().status(headers=[("Host", host.decode("latin-1"))], server=(address, 80)) in (200, 400, 403)


def test_a_name_that_was_allowed_is_answered_too() -> None:
    guarded = Guarded(hosts=["tasks.test", "fd00::1", "[fd00::2]"])
    for host in ("tasks.test", "Tasks.Test:80", "[fd00::1]:80", "[FD00:0::2]"):
        assert guarded.status(headers={"Host": host}) == 200
    for host in ("localhost", "a.tasks.test", "[fd00::3]"):
        assert guarded.status(headers={"Host": host}) == 403


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.1:5001", "192.0.2.1"),
        ("192.0.2.1", "::ffff:192.0.2.1"),
        ("[fd00::2]:5001", "fd00::2"),
        ("[FD00:0::2]", "fd00::2"),
        ("[fe80::1]", "fe80::1%eth0"),
    ],
)
def test_the_address_that_a_connection_came_in_on_is_a_name_of_this_machine(
    guarded: Guarded, host: str, address: str
) -> None:
    """A page of another site can only have a name of its own."""
    assert guarded.status(headers={"Host": host}, server=(address, 5001)) == 200
    assert guarded.status(headers={"Host": host}, server=("192.0.2.9", 5001)) == 403
    assert guarded.status(headers={"Host": host}, server=None) == 403


def test_a_name_is_never_an_address_that_a_connection_came_in_on(guarded: Guarded) -> None:
    assert guarded.status(headers={"Host": "evil.example"}, server=("evil.example", 80)) == 403


@given(st.lists(st.sampled_from([*NAMES, "localhost", ":", "80", ".", "@", "[", "]", "evil", "/", "#", "%", " "])))
@example(["localhost", ":", "80"])
def test_a_host_that_is_let_in_is_read_as_this_machine_by_others_too(parts: list[str]) -> None:
    host = "".join(parts)
    if Guarded().status(headers={"Host": host}) == 200:
        assert urlsplit(f"http://{host}").hostname in ("localhost", "127.0.0.1", "::1")


@pytest.mark.parametrize(
    "hosts", [[], ["localhost", "localhost"], ["localhost", "evil.example"], ["evil", "localhost"]]
)
def test_a_request_names_one_host(guarded: Guarded, hosts: list[str]) -> None:
    for method in ("GET", "POST"):
        assert guarded.status(method, [("Host", host) for host in hosts]) == 400


def test_a_hostile_host_is_refused_over_the_wire(client: httpx.Client) -> None:
    answer = client.get("/tasks", headers={"Host": "evil.example"})
    assert answer.status_code == 403
    assert "http://localhost" in answer.text
    assert client.get("/static/app.css", headers={"Host": "evil.example"}).status_code == 403
    for hosts in ("Host: localhost\r\nHost: localhost\r\n", "", "Host: localhost\r\nhOST: evil.example\r\n"):
        answer = sent(client, f"GET /tasks HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"one host" in answer


def sent(client: httpx.Client, request: str) -> bytes:
    """The answer to a request that no client would send."""
    with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=20) as connection:
        connection.sendall(request.encode())
        return b"".join(iter(lambda: connection.recv(65536), b""))


# Origin


@pytest.mark.parametrize("method", CHANGES)
def test_a_change_comes_from_the_apps_own_pages_or_from_no_browser(guarded: Guarded, method: str) -> None:
    for headers in (
        {},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": OWN},
        {"Sec-Fetch-Site": "same-origin", "Origin": OWN},
    ):
        assert guarded.status(method, {"Host": "localhost:5001", **headers}) == 200


@pytest.mark.parametrize("method", [*CHANGES, "TRACE", "CONNECT", "MADEUP", "post", "get"])
def test_a_change_from_another_site_is_refused(guarded: Guarded, method: str) -> None:
    for site in REFUSED_SITES:
        assert guarded.status(method, {"Host": "localhost:5001", "Sec-Fetch-Site": site}) == 403
        assert guarded.status(method, {"Host": "localhost:5001", "Sec-Fetch-Site": site, "Origin": OWN}) == 403
    for origin in REFUSED_ORIGINS:
        assert guarded.status(method, {"Host": "localhost:5001", "Origin": origin}) == 403


def test_the_origin_is_compared_with_the_scheme_that_is_spoken(guarded: Guarded) -> None:
    headers = {"Host": "localhost:5001", "Origin": "https://localhost:5001"}
    assert guarded.status("POST", headers, scheme="https") == 200
    assert guarded.status("POST", {**headers, "Origin": OWN}, scheme="https") == 403


# What another site may ask

LINK = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_link_of_another_site_leads_to_a_page_and_to_no_download(method: str, site: str) -> None:
    guarded = Guarded(is_download=lambda path: path == "/export.db")
    headers = {"Host": "localhost:5001", **LINK, "Sec-Fetch-Site": site, "Sec-Fetch-User": "?1"}
    assert guarded.status(method, headers) == 200
    assert guarded.status(method, headers, "/export.db") == 403
    for own in ({}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}):
        assert guarded.status(method, {"Host": "localhost:5001", **own}, "/export.db") == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"},
        {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "style"},
        {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Origin": "http://evil.example"},
        {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
        {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "frame"},
        {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "object"},
        {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "embed"},
        {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "fencedframe"},
        {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Purpose": "prefetch;prerender"},
        {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Purpose": "prefetch"},
        {"Sec-Fetch-Mode": "navigate"},
        {"Sec-Fetch-Dest": "document"},
        {},
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_another_site_asks_for_nothing_else(guarded: Guarded, method: str, headers: dict[str, str]) -> None:
    for site in REFUSED_SITES:
        asked = {"Host": "localhost:5001", "Sec-Fetch-Site": site, **headers}
        assert guarded.status(method, asked) == 403
        # What the page itself asked before changes nothing for another one.
        assert guarded.status(method, {"Host": "localhost:5001", "Sec-Fetch-Site": "same-origin"}) == 200
        assert guarded.status(method, asked) == 403


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_browser_that_does_not_say_which_site_asks_is_judged_by_what_it_says(guarded: Guarded, method: str) -> None:
    own, other = {"Host": "localhost:5001", "Referer": f"{OWN}/tasks"}, {"Host": "localhost:5001"}
    for headers in (own, {**own, "Accept": "image/webp,*/*;q=0.8"}, other, {**own, "Origin": OWN}):
        assert guarded.status(method, headers) == 200
    for referer in ("http://evil.example/", "http://localhost:5001.evil.example/", "http://localhost/", "https://a"):
        link = {**other, "Referer": referer, **PAGE}
        assert guarded.status(method, link) == 200
        assert guarded.status(method, {**link, "Accept": "image/webp,*/*;q=0.8"}) == 403
        assert guarded.status(method, {**other, "Referer": referer}) == 403
    for origin in REFUSED_ORIGINS:
        assert guarded.status(method, {**other, "Origin": origin, **PAGE}) == 403
    guarded.guard.is_download = lambda path: True
    assert guarded.status(method, {**other, "Referer": "http://evil.example/", **PAGE}) == 403
    assert guarded.status(method, own) == 200


def test_an_image_on_another_site_is_refused_before_anything_is_read(client: httpx.Client, server: Server) -> None:
    image = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    for address in ("/tasks?q=" + "+".join(["wo"] * 330), "/export.db", "/static/app.css", "/healthz"):
        answer = client.get(address, headers=image)
        assert (answer.status_code, "with a link" in answer.text) == (403, True)
    for address in ("/export.db", "/export.csv", "/tasks/export.json"):
        answer = client.get(address, headers=LINK)
        assert (answer.status_code, "start a download" in answer.text) == (403, True), address
        assert client.head(address, headers=LINK).status_code == 403
    assert not [path for path in server.data.iterdir() if path.name.startswith(".export")]
    assert client.get("/tasks", headers=LINK).status_code == 200
    assert client.get("/", headers=LINK).status_code == 303


# Proxies

PASSED_ON = (
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Forwarded-Server",
    "X-Forwarded-Prefix",
    "X-Real-IP",
    "Forwarded",
    "Via",
    "CF-Connecting-IP",
    "True-Client-IP",
)


@pytest.mark.parametrize("name", PASSED_ON)
def test_what_a_proxy_passes_on_is_refused_where_nobody_named_one(name: str) -> None:
    headers = {"Host": "localhost:5001", name: "203.0.113.7"}
    for guarded in (Guarded(), Guarded(is_private=True)):
        for method in ("GET", "POST"):
            assert guarded.status(method, {"Host": "localhost:5001"}) == 200
            assert guarded.status(method, headers) == 403
        (closed,) = guarded.ask(headers=headers, **SOCKET)
        assert closed["type"] == "websocket.close"
    assert Guarded(behind_proxy=True).status("GET", headers) == 200
    # The name that such a request asks for is not ours either; how to mend both is said at once.
    sent = Guarded().ask("GET", {**headers, "Host": "app.example"})
    assert b"--proxy-headers --allow-host" in sent[1]["body"]


BROWSER = {"Host": "127.0.0.1:5001", "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0.0.0 Safari/537.36"}


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        ({"Host": "127.0.0.1:5001"}, "1.0"),
        ({"Host": "127.0.0.1:5001", "User-Agent": "curl/8.0", "Connection": "close"}, "1.0"),
        ({**BROWSER, "Connection": "close"}, "1.1"),
        (BROWSER, "1.1"),
        (
            {
                **BROWSER,
                "Connection": "keep-alive",
                "Sec-Fetch-Site": "same-origin",
                "Referer": "https://lan.example/tasks",
            },
            "1.1",
        ),
        (
            {**BROWSER, "Connection": "keep-alive", "Sec-Fetch-Site": "same-origin", "Origin": "https://lan.example"},
            "1.1",
        ),
    ],
)
def test_a_proxy_that_says_nothing_gives_itself_away(headers: dict[str, str], version: str) -> None:
    """So speaks nginx to where `proxy_pass` alone leads it; what it adds and leaves out no browser and curl would."""
    guarded = Guarded(is_private=True)
    for method in ("GET", "POST"):
        assert guarded.status(method, headers, http_version=version) == 403
    # Where everybody signs in a proxy opens nothing.
    assert Guarded(behind_proxy=True).status("GET", headers, http_version=version) == 200


def test_browsers_and_programs_are_no_proxies() -> None:
    guarded = Guarded(is_private=True)
    for headers in (
        {},
        {"User-Agent": "curl/8.0"},
        {"User-Agent": "Python-urllib/3.11", "Connection": "close"},
        {**BROWSER, "Connection": "keep-alive"},
        {**BROWSER, "Connection": "Keep-Alive, Upgrade"},
        {**BROWSER, "Connection": "keep-alive", "Sec-Fetch-Site": "same-origin", "Referer": "http://127.0.0.1:5001/x"},
        {**BROWSER, "Connection": "keep-alive", "Referer": "http://another.example/", **PAGE},
    ):
        assert guarded.status("GET", {"Host": "127.0.0.1:5001", **headers}) == 200
    assert guarded.status("GET", BROWSER, http_version="2") == 200


def test_a_foreign_page_changes_nothing_over_the_wire(client: httpx.Client, server: Server) -> None:
    server.sql("INSERT INTO tasks (id, title) VALUES (1, 'Mine')")
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        assert client.post("/tasks", data={"title": "Theirs"}, headers=headers).status_code == 403
        assert client.patch("/tasks/1", data={"title": "Theirs"}, headers=headers).status_code == 403
        assert client.delete("/tasks/1", headers=headers).status_code == 403
    assert [row["title"] for row in server.sql("SELECT title FROM tasks")] == ["Mine"]
    own = {"Origin": str(client.base_url).rstrip("/")}
    assert client.post("/tasks", data={"title": "Mine too"}, headers=own).status_code == 303


# WebSocket

SOCKET = {"type": "websocket", "scheme": "ws"}


def test_a_socket_opens_for_the_apps_own_pages(guarded: Guarded) -> None:
    for headers in ({}, {"Origin": OWN}, {"Sec-Fetch-Site": "same-origin"}):
        sent = guarded.ask(headers={"Host": "localhost:5001", **headers}, **SOCKET)
        assert [message["type"] for message in sent] == ["websocket.accept"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        *({"Host": "localhost:5001", "Origin": origin} for origin in REFUSED_ORIGINS),
        *({"Host": "localhost:5001", "Sec-Fetch-Site": site, "Origin": OWN} for site in REFUSED_SITES),
    ],
)
def test_a_socket_does_not_open_for_another_site(guarded: Guarded, headers: Headers) -> None:
    (closed,) = guarded.ask(headers=headers, **SOCKET)
    assert (closed["type"], closed["code"]) == ("websocket.close", 1008)
    start, _ = guarded.ask(headers=headers, extensions={"websocket.http.response": {}}, **SOCKET)
    assert start["status"] == 403
    assert set(SECURITY_HEADERS) <= set(start["headers"])
    assert guarded.reached == 0


def test_a_secure_socket_belongs_to_a_secure_page(guarded: Guarded) -> None:
    headers = {"Host": "localhost:5001", "Origin": "https://localhost:5001"}
    (opened,) = guarded.ask(headers=headers, **{**SOCKET, "scheme": "wss"})
    assert opened["type"] == "websocket.accept"


def test_a_foreign_handshake_is_refused_over_the_wire(client: httpx.Client) -> None:
    handshake = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
    }
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example"}):
        answer = client.get("/live", headers={**handshake, **headers})
        assert answer.status_code == 403
        assert "only" in answer.text
        assert "nosniff" in answer.headers["x-content-type-options"]


# Who has to sign in


def test_who_has_to_sign_in_first_does_not_reach_the_app() -> None:
    def admit(scope: Scope) -> None:
        if b"x-in" not in dict(scope["headers"]):
            raise Refused(401, "Sign in first.")

    guarded = Guarded(admit=admit)
    for method in ("GET", "POST"):
        assert guarded.status(method, {"Host": "localhost"}) == 401
        assert guarded.status(method, {"Host": "localhost", "X-In": "yes"}) == 200
    start, _ = guarded.ask(headers={"Host": "localhost"}, extensions={"websocket.http.response": {}}, **SOCKET)
    assert start["status"] == 401
    assert guarded.status("POST", {"Host": "localhost", "Origin": "http://evil.example"}) == 403


# Headers

WANTED = {
    "content-security-policy",
    "x-content-type-options",
    "referrer-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "permissions-policy",
}


def test_every_answer_is_guarded(client: httpx.Client) -> None:
    page = client.get("/tasks")
    style = client.get(re.findall(r"/static/app\.[^\"]*css", page.text)[0])
    answers = {
        200: [page, style, client.get("/healthz"), client.get("/export.csv"), client.head("/tasks")],
        303: [client.get("/"), client.post("/tasks", data={"title": "x"})],
        304: [
            client.get("/static/app.css", headers={"If-None-Match": style.headers["etag"]}),
            client.get("/imports", headers={"If-None-Match": client.get("/imports").headers["etag"]}),
        ],
        400: [client.get("/tasks?page=x")],
        403: [client.get("/", headers={"Host": "evil.example"}), client.post("/tasks", headers={"Origin": "null"})],
        404: [client.get("/nothing"), client.get("/static/nothing"), client.get("/tasks/999")],
        405: [client.put("/tasks"), client.post("/static/app.css")],
        413: [client.post("/tasks", content=b"x" * (FORM_LIMIT + 1))],
        415: [client.post("/tasks", content=b"x", headers={"Content-Type": "text/plain"})],
        422: [client.post("/tasks", data={"title": ""})],
    }
    for status, each in answers.items():
        for answer in each:
            assert answer.status_code == status, answer.url
            assert set(answer.headers) >= WANTED, answer.url
            for name in WANTED:
                assert len(answer.headers.get_list(name)) == 1


def test_an_answer_to_an_exception_is_guarded_too() -> None:
    async def fail(request: Request) -> Response:
        raise RuntimeError("unforeseen")

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    guard = Guard(Starlette(routes=[Route("/", fail)]), hosts=NAMES)
    with pytest.raises(RuntimeError):
        asyncio.run(guard(scope_of(headers={"Host": "localhost"}), receive, send))
    assert sent[0]["status"] == 500
    assert {name.decode() for name, _ in sent[0]["headers"]} >= WANTED


def test_the_policy_forbids_what_comes_from_elsewhere(client: httpx.Client) -> None:
    policy = dict(
        each.strip().split(" ", 1) for each in client.get("/tasks").headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == policy["form-action"] == "'self'"
    assert not any("unsafe" in sources or "http" in sources or "*" in sources for sources in policy.values())


# Bodies


def pieces(size: int, piece: int = 65536) -> Iterator[bytes]:
    """A body of that many bytes that does not say its size beforehand."""
    while size > 0:
        yield b"x" * min(size, piece)
        size -= piece


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", *CHANGES])
def test_a_body_is_read_up_to_its_limit_and_no_further(guarded: Guarded, method: str) -> None:
    """A question may have a body too, and FastHTML reads it."""
    headers = {"Host": "localhost"}
    assert guarded.status(method, headers, body=pieces(FORM_LIMIT)) == 200
    guarded.pulled = 0
    with pytest.raises(HTTPException) as refusal:
        guarded.ask(method, headers, body=pieces(10**12))
    assert refusal.value.status_code == 413
    assert "1 MiB" in refusal.value.detail
    assert guarded.pulled <= FORM_LIMIT + 65536


def test_only_a_file_may_be_larger_and_only_where_files_are_taken() -> None:
    guarded = Guarded(uploads={"/imports"}, max_upload=2 * FORM_LIMIT)
    form, text = (
        {"Host": "localhost", "Content-Type": kind} for kind in ("multipart/form-data; boundary=x", "text/csv")
    )
    assert guarded.status("POST", form, "/imports", pieces(FORM_LIMIT + 1)) == 200
    for headers, path in ((text, "/imports"), (form, "/tasks"), (form, "/imports/"), (form, "/imports/1")):
        with pytest.raises(HTTPException, match="1 MiB"):
            guarded.ask("POST", headers, path, pieces(FORM_LIMIT + 1))
    with pytest.raises(HTTPException, match="2 MiB"):
        guarded.ask("POST", form, "/imports", pieces(2 * FORM_LIMIT + 1))


COOKIE = "c=" + "x" * (COOKIE_LIMIT - 2)


@pytest.mark.parametrize("version", ["1.1", "2"])
@pytest.mark.parametrize(
    ("cookies", "status"),
    [
        ([COOKIE], 200),
        (["; ".join(f"c{number}=1" for number in range(COOKIES))], 200),
        ([f"c{number}=1" for number in range(COOKIES)], 200),
        ([COOKIE + "x"], 431),
        (["a=1", COOKIE], 431),
        ([COOKIE, "a=1"], 431),
        (["; ".join(f"c{number}=1" for number in range(COOKIES + 1))], 431),
        ([";".join("a" * (COOKIES + 1))], 431),
        ([f"c{number}=1" for number in range(COOKIES + 1)], 431),
        ([f"{COOKIE[:4000]}{number}" for number in range(15)], 431),
    ],
    ids=range(10),
)
def test_cookies_are_few_before_anything_parses_them(version: str, cookies: list[str], status: int) -> None:
    admitted: list[Scope] = []
    guarded = Guarded(admit=admitted.append)
    assert guarded.status(headers={"Host": "localhost"}) == 200, "the host is known from now on"
    headers = [("Host", "localhost"), *(("Cookie", cookie) for cookie in cookies)]
    sent = guarded.ask(headers=headers, http_version=version)
    assert sent[0]["status"] == status
    if status == 431:
        assert b"Delete the cookies of this site" in sent[1]["body"]
    assert len(admitted) == 1 + (status == 200)


def test_who_is_not_let_in_may_send_little() -> None:
    form, text = (
        {"Host": "localhost", "Content-Type": kind} for kind in ("multipart/form-data; boundary=x", "text/csv")
    )
    guarded = Guarded(uploads={"/imports"}, max_upload=2 * FORM_LIMIT, admit=lambda scope: None)
    assert guarded.status("POST", text, "/sign-in", pieces(STRANGER_LIMIT)) == 200
    for headers, path in ((text, "/sign-in"), (form, "/sign-in"), (form, "/imports")):
        guarded.pulled = 0
        with pytest.raises(HTTPException, match="larger than the 16 KiB") as refusal:
            guarded.ask("POST", headers, path, pieces(FORM_LIMIT, 4096))
        assert refusal.value.status_code == 413
        assert guarded.pulled <= STRANGER_LIMIT + 4096


def memory_of(server: Server) -> int:
    """The most memory that the server's process has held since the last time, in bytes."""
    process = Path(f"/proc/{server.process.pid}")
    peak = int(re.findall(r"VmHWM:\s+(\d+) kB", (process / "status").read_text(encoding="utf-8"))[0]) * 1024
    (process / "clear_refs").write_text("5", encoding="utf-8")
    return peak


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux says how much memory a process has held")
@pytest.mark.parametrize(
    ("method", "path", "kind", "statuses"),
    [
        ("POST", "/tasks", "application/x-www-form-urlencoded", {413}),
        ("PATCH", "/tasks/1", "application/json", {413}),
        ("DELETE", "/tasks/1", "text/plain", {413}),
        ("POST", "/imports", "text/plain", {413}),
        ("POST", "/imports", "application/json", {413}),
        ("GET", "/healthz", "application/json", {413}),
        # Nobody reads these.
        ("GET", "/tasks", "text/plain", {200, 413}),
        ("POST", "/nothing", "text/plain", {404}),
        ("POST", "/tasks", "multipart/form-data; boundary=x", {413, 422}),
    ],
)
def test_a_body_of_any_size_costs_bounded_memory(
    client: httpx.Client, server: Server, method: str, path: str, kind: str, statuses: set[int]
) -> None:
    server.sql("INSERT INTO tasks (id, title) VALUES (1, 'x')")
    client.get("/tasks")
    memory_of(server)
    before = memory_of(server)
    answer = client.request(method, path, content=pieces(32 * 2**20), headers={"Content-Type": kind})
    assert answer.status_code in statuses
    assert ("larger than the 1 MiB" in answer.text) == (answer.status_code == 413)
    assert memory_of(server) - before < 12 * 2**20
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("kind", ["application/json", "APPLICATION/JSON; charset=utf-8", "application/x+json", ""])
def test_json_goes_only_so_deep(guarded: Guarded, kind: str) -> None:
    headers = {"Host": "localhost", "Content-Type": kind} if kind else {"Host": "localhost"}
    assert guarded.status("POST", headers, body=[b"[" * 100, b"]" * 100]) == 200
    with pytest.raises(HTTPException, match="100 levels"):
        guarded.ask("POST", headers, body=[b"[" * 101])


def test_a_form_may_hold_brackets(guarded: Guarded) -> None:
    headers = {"Host": "localhost", "Content-Type": "application/x-www-form-urlencoded"}
    assert guarded.status("POST", headers, body=[b"notes=" + b"[" * 1000]) == 200


def test_deep_json_is_answered_with_a_sentence(client: httpx.Client) -> None:
    for depth in (101, 500_000):
        answer = client.post("/tasks", content=b"[" * depth, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400
        assert "100 levels" in answer.text


def test_a_field_beside_a_file_costs_bounded_memory(client: httpx.Client) -> None:
    answer = client.post("/imports", data={"field": "x" * (FORM_LIMIT + 1)}, files={"file": ("a.csv", b"title\nx")})
    assert answer.status_code in (400, 413)


def test_a_file_may_be_larger_than_a_form(client: httpx.Client) -> None:
    rows = b"title,notes\n" + (b"A row of a large file," + b"x" * 2_000 + b"\n") * 1_200
    assert len(rows) > 2 * FORM_LIMIT
    answer = client.post("/imports", files={"file": ("large.csv", rows)})
    assert answer.status_code == 303
    # It is read in the background: done before the next test takes the file away.
    deadline = time.monotonic() + 20
    while (reading := client.get(answer.headers["location"], headers={"Accept": "application/json"}).json())[
        "state"
    ] == "checking":
        assert time.monotonic() < deadline
    assert (reading["state"], reading["rows_total"]) == ("ready", 1_200)


# Questions change nothing


ROUTES = """
import json
from app.main import app
print(json.dumps([[route.path, sorted(route.methods or [])] for route in app.routes if hasattr(route, "methods")]))
"""


def held(connection: sqlite3.Connection) -> dict[str, list[Any]]:
    """All rows there are, but for how many tabs are open."""
    asked = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'shadow')"
    names = [name for (name,) in connection.execute(asked) if name != "presence"]
    return {name: connection.execute(f'SELECT * FROM "{name}"').fetchall() for name in names}


def settled(connection: sqlite3.Connection) -> dict[str, list[Any]]:
    """All rows, once the app has noted what it notes of the rows that another program has written, as their words."""
    before: dict[str, list[Any]] = {}
    end = time.monotonic() + PATIENCE
    while (now := held(connection)) != before:
        assert time.monotonic() < end
        before = now
        time.sleep(0.5)
    return now


def test_no_question_changes_the_data(client: httpx.Client, server: Server, tmp_path: Path) -> None:
    """What may come from any site, and is fetched ahead by browsers, must be harmless on every route there is."""
    found = subprocess.run(
        [sys.executable, "-c", ROUTES],
        env={f"{PREFIX}DATA": str(tmp_path / "data")},
        cwd=PROJECT,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    paths = [path.replace("{table}", "tasks") for path, methods in json.loads(found.stdout) if "GET" in methods]
    addresses = {re.sub(r"\{[^}]*\}", "1", path) for path in paths}
    assert {"/", "/tasks", "/tasks/1", "/tasks/1/edit", "/imports/1", "/export.db", "/healthz", "/sign-in"} <= addresses

    server.sql("INSERT INTO tasks (id, title, done) VALUES (1, 'x', 1)")
    server.sql(
        f"INSERT INTO {DELETIONS} (id, title, notes, done, created_at, updated_at) VALUES (2, 'x', '', 0, '', '')"
    )
    server.sql("INSERT INTO imports (id, kind, filename, state, process) VALUES (1, 'tasks', 'a.csv', 'discarded', 0)")
    with closing(sqlite3.connect(server.data / "app.db")) as watching:
        before = settled(watching)
        for address in sorted(addresses):
            for query in ("", "?deleted=2&_method=delete&done=0&title=y&state=done&q=x"):
                for headers in ({}, {"HX-Request": "true"}, {"X-HTTP-Method-Override": "DELETE"}):
                    for method in ("GET", "HEAD"):
                        answer = client.request(method, address + query, headers=headers)
                        # Who is to be told of a hole is not known of every project.
                        is_there = answer.status_code in (200, 303) or address.startswith("/.well-known/")
                        assert is_there, (method, address, answer.text)
            client.options(address)
        assert held(watching) == before
