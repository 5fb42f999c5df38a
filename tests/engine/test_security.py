"""The audit that SECURITY.md names: what it says of a known vulnerability, of none, and where nobody could be asked."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from tests.engine.conftest import ROOT

PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
KNOWN = {
    "id": "GHSA-test",
    "modified": "2026-01-01T00:00:00Z",
    "summary": "Something is known",
    "affected": [{"package": {"name": "starlette", "ecosystem": "PyPI"}}],
}


class Database(BaseHTTPRequestHandler):
    """A stand-in for the database of OSV, which knows something of one package."""

    asked: ClassVar[set[str]] = set()
    vulnerable = ""

    def do_POST(self) -> None:
        queries = json.loads(self.rfile.read(int(self.headers["content-length"])))["queries"]
        names = [query["package"]["name"] for query in queries]
        self.asked.update(names)
        known = {"vulns": [{"id": KNOWN["id"], "modified": KNOWN["modified"]}]}
        self.answer({"results": [known if name == self.vulnerable else {} for name in names]})

    def do_GET(self) -> None:
        self.answer(KNOWN)

    def answer(self, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def database() -> Iterator[str]:
    """The address of that stand-in."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Database) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def audit(address: str) -> subprocess.CompletedProcess[str]:
    """The command of the page, with another database."""
    (command,) = re.findall(r"^    (uv audit .*)$", PAGE, re.MULTILINE)
    uv = shutil.which("uv") or shutil.which("uv", path=os.path.dirname(sys.executable))
    if uv is None:
        pytest.skip("no uv here")
    words = [uv, *shlex.split(command)[1:], "--service-url", address]
    environment = {**os.environ, "UV_HTTP_RETRIES": "0", "NO_PROXY": "127.0.0.1"}
    ended = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", timeout=120)
    if "unrecognized subcommand" in ended.stderr:
        pytest.skip("this uv is older than `uv audit`")
    return ended


def test_every_locked_package_is_asked_for_and_what_is_known_fails_the_audit(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = audit(database)
    assert clean.returncode == 0, clean.stderr
    locked = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]
    assert Database.asked == {package["name"] for package in locked if "registry" in package["source"]}
    monkeypatch.setattr(Database, "vulnerable", "starlette")
    found = audit(database)
    assert found.returncode == 1
    assert "GHSA-test" in found.stdout + found.stderr


def test_an_audit_that_could_not_be_made_is_not_passed() -> None:
    failed = audit("http://127.0.0.1:9")
    assert failed.returncode == 2
    assert "No known vulnerabilities" not in failed.stdout + failed.stderr
