"""The log: one line a request, as text or JSON, with an id, without secrets or anything that moves a terminal."""

import json
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.log import LINE_LIMIT, TRACE_LIMIT, JsonLine, TextLine, address, shortened
from tests.engine.conftest import Server
from tests.engine.faults.wire import connected


@pytest.fixture
def logging_server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server with the options of the test."""
    server = Server(tmp_path / "data", *request.param)
    yield server
    if server.process.poll() is None:
        server.stop()


def records(server: Server) -> list[dict[str, Any]]:
    """Every line of the log, each one JSON object."""
    return [json.loads(line) for line in server.log.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("logging_server", [["--log-format", "json"]], indirect=True)
def test_json_lines_tell_of_each_request(logging_server: Server) -> None:
    with httpx.Client(base_url=logging_server.url) as client:
        answer = client.get("/tasks?q=milk")
        client.post("/tasks", data={"title": "Milk"}, headers={"Origin": "http://evil.example"})
        client.get("/tasks/999")
    logging_server.stop()
    told = {record["path"]: record for record in records(logging_server) if "path" in record}
    found = told["/tasks?q=milk"]
    assert (found["method"], found["status"], found["client"], found["level"]) == ("GET", 200, "127.0.0.1", "info")
    assert found["request"] == answer.headers["x-request-id"]
    assert 0 < found["ms"] < 10_000
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", found["time"])
    assert told["/tasks"]["status"] == 403, "what the guard refuses is told as well"
    assert told["/tasks/999"]["status"] == 404


@pytest.mark.parametrize("logging_server", [["--reload"]], indirect=True)
def test_in_development_there_is_one_line_a_request(logging_server: Server) -> None:
    with httpx.Client(base_url=logging_server.url) as client:
        id = client.get("/tasks?q=milk").headers["x-request-id"]
        client.get("/tasks?token=abc%0adef&q=%1b[2J")
    logging_server.stop()
    log = logging_server.log.read_text(encoding="utf-8")
    assert re.search(rf"^\d\d:\d\d:\d\d INFO    GET /tasks\?q=milk 200 [\d.]+ ms \[{id}\]$", log, re.MULTILINE), log
    assert "token=…" in log
    assert "abc" not in log
    assert "\x1b" not in log


@pytest.mark.parametrize("logging_server", [[]], indirect=True)
def test_otherwise_a_request_leaves_nothing(logging_server: Server) -> None:
    answer = httpx.get(f"{logging_server.url}/tasks")
    assert "x-request-id" not in answer.headers
    logging_server.stop()
    assert logging_server.log.read_text(encoding="utf-8") == ""


@pytest.mark.parametrize("logging_server", [["--log-format", "json", "--proxy-headers"]], indirect=True)
def test_no_client_makes_a_line_long(logging_server: Server) -> None:
    """Whatever it sends: an address, another one that a proxy would say, who it is, the method, a cookie."""
    forwarded = {"Host": "localhost", "X-Forwarded-Proto": "https"}
    with httpx.Client(base_url=logging_server.url, headers=forwarded) as client:
        client.get(f"/tasks?q={'q' * 50_000}", headers={"X-Forwarded-For": "192.0.2.7"})
        client.get(f"/{'p' * 50_000}", headers={"X-Forwarded-For": "f" * 10_000})
        client.get("/tasks", headers={"X-Forwarded-For": "x" * 60_000})
        client.get("/tasks", headers={"X-Forwarded-For": "192.0.2.8", "User-Agent": "a" * 60_000})
        client.post("/sign-in", data={"token": "t" * 9000}, headers={"User-Agent": "a" * 60_000})
    logging_server.stop()
    lines = logging_server.log.read_text(encoding="utf-8").splitlines()
    told = [json.loads(line) for line in lines]
    assert len([each for each in told if each.get("path", "/healthz") != "/healthz"]) == 5
    assert max(map(len, lines)) < 6000
    assert {each["client"] for each in told if "client" in each} >= {"192.0.2.7", "192.0.2.8"}
    assert any(each.get("client", "").endswith("(60,000 characters)") for each in told)


@pytest.mark.parametrize("formatter", [TextLine(), JsonLine()])
def test_what_is_in_a_message_or_an_exception_is_bounded_too(formatter: logging.Formatter) -> None:
    try:
        raise ValueError("\n" * 9 + "e" * 1_000_000)
    except ValueError as error:
        line = formatter.format(record("m" * 500_000, error))
    assert len(line) < LINE_LIMIT + TRACE_LIMIT + 2000
    assert "(500,000 characters)" in line
    assert "Traceback" in line
    assert "mmm" in line


def test_a_text_keeps_its_begin_and_its_end() -> None:
    assert shortened("abcdef", 6) == "abcdef"
    assert shortened("abcdefg", 6) == "abc…efg (7 characters)"


def record(message: str, error: BaseException | None = None) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("app", logging.ERROR, __file__, 1, "%s", (message,), info)


@given(st.text())
def test_a_message_is_one_printable_line(message: str) -> None:
    line = TextLine().format(record(message))
    assert line.isprintable() or not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in line)
    assert len(line.splitlines()) == 1
    (parsed,) = [json.loads(each) for each in JsonLine().format(record(message)).splitlines()]
    assert parsed.get("message", "") == message


def test_the_trace_of_an_exception_is_kept_and_made_harmless() -> None:
    try:
        raise ValueError("red \x1b[31m\nnext line")
    except ValueError as error:
        text = TextLine().format(record("it broke", error))
        parsed = json.loads(JsonLine().format(record("it broke", error)))
    assert "\x1b" not in text
    assert "it broke\n    Traceback" in text
    assert f'File "{__file__}"' in text
    assert "ValueError: red \x1b[31m\nnext line" in parsed["trace"]


@pytest.mark.parametrize(
    ("path", "query", "shown"),
    [
        ("/tasks", b"", "/tasks"),
        ("/tasks", b"q=milk%20shake&page=2", "/tasks?q=milk shake&page=2"),
        ("/sign-in", b"token=abc", "/sign-in?token=…"),
        ("/sign-in", b"%74oken=abc&next=/", "/sign-in?token=…&next=/"),
        ("/x", b"Password=abc&q=", "/x?Password=…&q="),
        ("/x", b"\xff=%ff", "/x?ÿ=\ufffd"),
    ],
)
def test_an_address_is_told_without_its_secrets(path: str, query: bytes, shown: str) -> None:
    assert address({"path": path, "query_string": query}) == shown


def test_a_log_that_is_read_no_more_ends_nothing() -> None:
    """The formatter itself never raises, whatever a fork's record carries."""
    odd = logging.LogRecord("app", logging.INFO, __file__, 1, "no arguments %s", None, None)
    odd.request = {"object": sys}
    assert json.loads(JsonLine().format(odd))["message"] == "no arguments %s"


def test_what_is_under_way_at_the_end_leaves_no_trace(tmp_path: Path) -> None:
    """A body that has begun is waited for until the server has to end; Uvicorn says of how many that is so."""
    server = Server(tmp_path / "data")
    head = b"POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"
    with connected(server) as connection:
        connection.sendall(head + b"Content-Type: application/x-www-form-urlencoded\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert server.stop() == 0
    log = server.log.read_text(encoding="utf-8")
    assert "Traceback" not in log
    assert "graceful shutdown exceeded" in log
