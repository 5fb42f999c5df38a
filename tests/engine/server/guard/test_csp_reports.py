"""What browsers refuse is a line in the log of whoever develops, and of nobody else."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.guard.csp_reports import LIMIT, LINES, PATH
from tests.engine.conftest import Server
from tests.engine.reloading import Checkout, until

REPORT = {
    "document-uri": "http://127.0.0.1:5001/tasks",
    "effective-directive": "script-src-elem",
    "blocked-uri": "inline",
    "source-file": "http://127.0.0.1:5001/tasks",
    "line-number": 12,
    "script-sample": "alert(1)",
}


@pytest.fixture
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A server that has logged no report yet, for tests that count the lines."""
    checkout = Checkout(tmp_path_factory.mktemp("reports")).start()
    yield checkout
    assert checkout.end() == 0
    checkout.end_anyhow()


def send(running: Checkout, content: bytes, **headers: str) -> int:
    """Report something; the status of the answer."""
    with running.client() as client:
        return client.post(
            PATH, content=content, headers={"Content-Type": "application/csp-report", **headers}
        ).status_code


def report(**values: Any) -> bytes:
    return json.dumps({"csp-report": REPORT | values}).encode()


def test_what_was_refused_is_one_line_and_a_flood_is_not(fresh: Checkout) -> None:
    assert send(fresh, report()) == 204
    until(lambda: "The browser refused “inline”" in fresh.printed(), "it is logged")
    (line,) = [line for line in fresh.printed().splitlines() if "The browser refused" in line]
    for word in ("script-src-elem", "/tasks:12", "alert(1)"):
        assert word in line
    assert send(fresh, report(**{"script-sample": "a\n\x1b[31mfake line" + "x" * 5000})) == 204
    for number in range(2 * LINES):
        send(fresh, report(**{"line-number": number}))
    lines = [line for line in fresh.printed().splitlines() if "The browser refused" in line]
    assert len(lines) == LINES
    assert max(map(len, lines)) < 1500
    assert "\x1b" not in fresh.printed()
    assert "\nfake" not in fresh.printed()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"csp-report": 5}',
        b'{"csp-report": null}',
        b"\xff",
        b"[" * 10_000,
        b'{"a":' * 2000,
    ],
)
def test_what_is_no_report_is_refused_and_not_logged(running: Checkout, content: bytes) -> None:
    for path in (1, 2):
        assert send(running, content) == 400, path
    assert send(running, report(**{"script-sample": "x" * LIMIT})) == 413
    assert "The browser refused" not in running.printed()
    assert "Traceback" not in running.printed()


def test_what_an_extension_of_the_browser_wanted_is_not_the_apps(fresh: Checkout) -> None:
    assert send(fresh, report(**{"source-file": "chrome-extension://abc/x.js"})) == 204
    assert send(fresh, report(**{"blocked-uri": "moz-extension://abc/x.css"})) == 204
    assert send(fresh, report()) == 204
    until(lambda: fresh.printed().count("The browser refused") == 1, "the app's own is logged")


def test_who_has_not_signed_in_cannot_report(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path).start("--reload", "--proxy-headers")
    assert send(checkout, report(), **{"X-Forwarded-For": "192.0.2.1"}) == 401
    assert "The browser refused" not in checkout.printed()
    assert checkout.end() == 0


def test_another_site_cannot_report(running: Checkout) -> None:
    assert send(running, report(), **{"Sec-Fetch-Site": "cross-site"}) == 403


def test_nobody_reports_where_nobody_develops(server: Server) -> None:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        assert client.post(PATH, content=report()).status_code == 404
        assert "report" not in client.get("/tasks").headers["content-security-policy"]
