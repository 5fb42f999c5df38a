"""How a route answers: page or fragment, and every error as whichever was asked for."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import html5lib
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlite_utils.utils import sqlite3
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.pages.responses import back, database_failed, wants_fragment
from app.records.kinds import Kind, kinds
from server.guard.request_bodies import FORM_LIMIT
from templates.pages import errors
from tests.engine.conftest import Server
from tests.engine.server.test_fragments import scope_of

Ask = Callable[..., httpx.Response]

# Each leads to an error: a request, its status, and words that say what was wrong or what to do.
ERRORS: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("GET", "/tasks?page=x", {}, 400, "“page” is a number"),
    ("GET", "/tasks?sort=<script>alert(1)</script>", {}, 400, "<script>alert(1)</script>"),
    ("POST", "/tasks", {"content": b"{", "headers": {"Content-Type": "application/json"}}, 400, "JSON"),
    ("POST", "/tasks", {"data": {"title": "x"}, "headers": {"Origin": "http://evil.example"}}, 403, "own pages"),
    ("GET", "/tasks", {"headers": {"Host": "evil.example"}}, 403, "http://localhost"),
    ("GET", "/tasks/999", {}, 404, "deleted"),
    ("GET", "/tasks/nonsense", {}, 404, "The address is wrong"),
    ("GET", "/nothing/at/all", {}, 404, "The address is wrong"),
    ("GET", "/static/nothing.css", {}, 404, "The address is wrong"),
    ("POST", "/tasks/1/restore", {}, 404, "not deleted"),
    ("PUT", "/tasks", {}, 405, "PUT is not something"),
    ("POST", "/static/app.css", {}, 405, "POST is not something"),
    ("POST", "/imports/1/start", {}, 409, "already further"),
    ("POST", "/tasks", {"content": b"x" * (FORM_LIMIT + 1)}, 413, "1 MiB"),
    ("POST", "/tasks", {"content": b"x", "headers": {"Content-Type": "text/plain"}}, 415, "A form or JSON"),
    ("POST", "/imports", {"data": {"file": "x"}}, 415, "multipart/form-data"),
    ("POST", "/tasks", {"json": {"title": ["x"]}}, 422, "Every field"),
]
EACH_ERROR = pytest.mark.parametrize(
    ("method", "path", "request_", "status", "words"), ERRORS, ids=[f"{each[3]} {each[0]} {each[1]}" for each in ERRORS]
)


@pytest.fixture
def ask(client: httpx.Client, server: Server) -> Ask:
    """Sends one of these requests, with more headers."""
    server.sql("INSERT INTO imports (id, kind, filename, state, process) VALUES (1, 'tasks', 'a.csv', 'discarded', 0)")

    def ask(method: str, path: str, request: dict[str, Any], **more: str) -> httpx.Response:
        headers = request.get("headers", {}) | {name.replace("_", "-"): value for name, value in more.items()}
        answer = client.request(method, path, **request | {"headers": headers})
        for trace in ("Traceback", ".py", "line "):
            assert trace not in answer.text
        assert answer.headers["cache-control"] == "no-store"
        assert "etag" not in answer.headers
        return answer

    return ask


def shown(html: str) -> str:
    """The text of a page or a fragment as a person reads it."""
    document = html5lib.parse(html, namespaceHTMLElements=False)
    return " ".join("".join(document.itertext()).split())


@EACH_ERROR
def test_an_error_is_a_page_that_says_what_was_wrong_and_where_to_go(
    ask: Ask, method: str, path: str, request_: dict[str, Any], status: int, words: str
) -> None:
    for headers in ({}, {"HX_Request": "true", "HX_History_Restore_Request": "true"}):
        answer = ask(method, path, request_, Accept="text/html,*/*;q=0.8", **headers)
        assert answer.status_code == status
        assert answer.text.startswith("<!doctype html>")
        document = html5lib.parse(answer.text, namespaceHTMLElements=False)
        assert [title.text for title in document.iter("h1")] == [errors.TITLES[status]]
        assert document.find(".//title").text.startswith(errors.TITLES[status])
        assert words in shown(answer.text)
        assert document.find(".//section//a[@href='/']") is not None
        assert "hx-retarget" not in answer.headers


@EACH_ERROR
def test_an_error_is_a_toast_where_a_fragment_was_asked_for(
    ask: Ask, method: str, path: str, request_: dict[str, Any], status: int, words: str
) -> None:
    answer = ask(method, path, request_, HX_Request="true")
    assert answer.status_code == status
    assert answer.text.startswith('<div class="toast error">')
    assert (answer.headers["hx-retarget"], answer.headers["hx-reswap"]) == ("#toasts", "beforeend")
    assert errors.TITLES[status] in shown(answer.text)
    assert words in shown(answer.text)


@EACH_ERROR
def test_an_error_is_json_where_json_was_asked_for(
    ask: Ask, method: str, path: str, request_: dict[str, Any], status: int, words: str
) -> None:
    for headers in ({}, {"HX_Request": "true"}):
        answer = ask(method, path, request_, Accept="application/json", **headers)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/json"
        said = json.loads(answer.text)
        assert said["status"] == status
        assert said["error"] == errors.TITLES[status]
        assert words in said["message"]


@pytest.mark.parametrize(
    ("method", "path", "request_", "status", "words"),
    [
        ("POST", "/tasks", {"data": {"due": "2026-07-09"}}, 422, "itle"),
        ("PATCH", "/tasks/{id}", {"data": {"due": "2026-13-45"}}, 422, "“2026-13-45” is not a date"),
        ("PATCH", "/tasks/{id}", {"json": {"title": "Mine", "_version": "1"}}, 409, "changed in the meantime"),
        ("POST", "/imports", {"files": {"kind": (None, "tasks")}}, 422, "Choose a file"),
    ],
)
def test_where_a_form_would_come_again_json_says_why(
    ask: Ask, server: Server, method: str, path: str, request_: dict[str, Any], status: int, words: str
) -> None:
    server.add(1)
    path = path.format(id=server.sql("SELECT max(id) FROM tasks")[0][0])
    answer = ask(method, path, request_, Accept="application/json")
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert words in answer.json()["message"]
    assert ask(method, path, request_).headers["content-type"].startswith("text/html")


def test_what_may_be_done_here_is_said_where_something_may_not(ask: Ask) -> None:
    assert {method.strip() for method in ask("PUT", "/connection", {}).headers["allow"].split(",")} == {"GET", "HEAD"}


def test_what_was_typed_stands_in_an_error_as_text(ask: Ask) -> None:
    for headers in ({}, {"HX_Request": "true"}):
        assert "<script>alert" not in ask("GET", "/tasks?sort=<script>alert(1)</script>", {}, **headers).text


@pytest.mark.parametrize(
    ("headers", "fragment"),
    [
        ({}, False),
        ({"HX-Request": "true"}, True),
        ({"hx-request": "1"}, True),
        ({"HX-Request": "true", "HX-History-Restore-Request": "true"}, False),
        ({"HX-History-Restore-Request": "true"}, False),
    ],
)
def test_htmx_gets_fragments_except_to_restore_a_page(headers: dict[str, str], fragment: bool) -> None:
    assert wants_fragment(Request(scope_of(headers=headers))) == fragment


def came_from(referer: str) -> str:
    scope = scope_of(headers={"Host": "localhost:5001", "Referer": referer})
    return back(Request({**scope, "scheme": "http", "server": ("localhost", 5001), "root_path": ""}), "/otherwise")


@pytest.mark.parametrize(
    ("referer", "address"),
    [
        ("http://localhost:5001/tasks?q=milk&page=2", "/tasks?q=milk&page=2"),
        ("http://localhost:5001/", "/"),
        ("", "/otherwise"),
        ("http://evil.example/tasks", "/otherwise"),
        ("http://localhost:5002/tasks", "/otherwise"),
        ("https://localhost:5001/tasks", "/otherwise"),
        ("http://localhost:5001.evil.example/tasks", "/otherwise"),
        ("http://localhost:5001", "/otherwise"),
    ],
)
def test_the_way_back_after_a_form_is_the_page_it_stood_on(referer: str, address: str) -> None:
    assert came_from(referer) == address


@given(st.text(st.sampled_from("/\\@:?#.evil\t ")))
def test_the_way_back_never_leaves_the_app(path: str) -> None:
    """Two slashes, or a slash and a backslash, begin the address of another server."""
    location = RedirectResponse(came_from(f"http://localhost:5001/{path}")).headers["location"]
    assert location.startswith("/")
    assert not location.startswith(("//", "/\\"))
    assert not set(location) & set("\t\n\r"), "browsers leave these out"


def test_after_a_plain_form_a_person_is_back_on_the_list_they_saw(client: httpx.Client, server: Server) -> None:
    answer = client.post("/tasks", data={"title": "x"}, headers={"Referer": f"{server.url}/tasks?status=open"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/tasks?status=open")


def answer_where_sqlite_says(words: str) -> Response:
    request = Request({"type": "http", "method": "GET", "path": "/books", "headers": [], "query_string": b""})
    return asyncio.run(database_failed(request, sqlite3.OperationalError(words)))


def test_a_feature_whose_table_is_gone_says_so_and_any_other_missing_table_is_a_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(kinds, "books", Kind("books", "deleted_books", "book", "books", ()))
    for table in ("books", "books_fts", "deleted_books"):
        answer = answer_where_sqlite_says(f"no such table: {table}")
        assert (answer.status_code, f"no table “{table}”" in bytes(answer.body).decode()) == (404, True)
    with pytest.raises(sqlite3.OperationalError):
        answer_where_sqlite_says("no such table: boks")
