"""Answers and errors: a page, a fragment or JSON, whichever was asked for, in words for a person."""

import sqlite3
import threading
from contextlib import closing

import httpx
import pytest

from tests.conftest import Server

REFUSED = [
    ("GET", "/tasks?page=x", {}, 400),
    ("GET", "/nothing", {}, 404),
    ("PUT", "/tasks", {}, 405),
    ("POST", "/imports/1/start", {}, 404),
    ("POST", "/tasks", {"content": b"x" * (1024 * 1024 + 1), "headers": {"content-type": "text/html"}}, 413),
    ("POST", "/tasks", {"content": b"x", "headers": {"content-type": "text/html"}}, 415),
    ("POST", "/tasks", {"json": {"title": [1]}}, 422),
]


@pytest.mark.parametrize(("method", "path", "body", "status"), REFUSED)
def test_an_error_comes_in_the_form_that_was_asked_for(
    client: httpx.Client, method: str, path: str, body: dict[str, object], status: int
) -> None:
    headers = body.get("headers", {})
    assert isinstance(headers, dict)

    def ask(**more: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in more.items()}
        answer = client.request(method, path, **(body | {"headers": headers | named}))  # type: ignore[arg-type]
        assert answer.status_code == status, answer.text
        assert "Traceback" not in answer.text
        return answer

    page = ask()
    assert page.text.startswith("<!doctype html>")
    assert str(status) in page.text
    fragment = ask(HX_Request="true")
    assert fragment.headers["hx-retarget"] == "#toasts"
    assert "<html" not in fragment.text
    told = ask(Accept="application/json").json()
    assert told["status"] == status
    assert told["message"] in page.text.replace("&amp;", "&")


def test_no_error_is_kept(client: httpx.Client) -> None:
    answer = client.get("/nothing")
    assert answer.headers["cache-control"] == "no-store"
    assert "etag" not in answer.headers


def test_a_file_that_another_program_holds_is_said_and_nothing_is_lost(client: httpx.Client, server: Server) -> None:
    server.add(1)
    with closing(sqlite3.connect(server.data / "app.db", isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert client.get("/tasks").status_code == 200
        answer = client.post("/tasks", data={"title": "Too late"})
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "2"
        assert "Another program is writing" in answer.text
        release = threading.Timer(0.5, lambda: other.execute("COMMIT"))
        release.start()
        assert client.post("/tasks", data={"title": "In time"}).status_code == 303
        release.join()
    assert [row["title"] for row in server.sql("SELECT title FROM tasks ORDER BY id")] == ["Task 1", "In time"]
