"""The configurations of nginx and Caddy in docs/running.md, as they stand there, on an odd port and with real https.

Whatever the proxy does to the name and the port, a page, its changes and its socket are judged alike.
"""

import json
import os
import re
import shutil
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from server.sharing.certificate import Certificate, certificate
from tests.engine.conftest import PATIENCE, ROOT, Server
from tests.engine.faults.test_proxies import free_port, running

PAGE = (ROOT / "docs" / "running.md").read_text(encoding="utf-8")
NAME = "app.example.org"
HTTP = """
daemon off; pid {0}/pid; error_log stderr; {1}
events {{}}
http {{
  access_log off;
  client_body_temp_path {0}/body; proxy_temp_path {0}/proxy; fastcgi_temp_path {0}/fastcgi;
  uwsgi_temp_path {0}/uwsgi; scgi_temp_path {0}/scgi;
  {2}
}}
"""
# What people change in it, knowing or not.
CHANGES = {
    "as it stands": ("", ""),
    "the port is lost": ("Host $http_host;", "Host $host;"),
    "the host is another": ("    proxy_set_header Host $http_host;\n", ""),
    "https is not said": ("    proxy_set_header X-Forwarded-Proto $scheme;\n", ""),
}


def text_of(language: str) -> str:
    """The configuration in the page."""
    (text,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(text)


def replaced(text: str, *changes: tuple[str, str]) -> str:
    """A text with other words, each of which it had."""
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


@contextmanager
def nginx(directory: Path, upstream: str, made: Certificate, change: tuple[str, str]) -> Iterator[int]:
    """The port of nginx with the text of the page."""
    port = free_port()
    secured = f"listen 127.0.0.1:{port} ssl; ssl_certificate {made.cert}; ssl_certificate_key {made.key};"
    text = replaced(text_of("nginx"), change, ("listen 443 ssl;", secured), ("127.0.0.1:5001", upstream))
    configuration = directory / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    configuration.write_text(HTTP.format(directory, user, text), encoding="utf-8")
    with running(port, "nginx", "-e", "stderr", "-p", directory, "-c", configuration):
        yield port


@contextmanager
def caddy(directory: Path, upstream: str, made: Certificate, change: tuple[str, str]) -> Iterator[int]:
    """The port of Caddy with the text of the page; the certificate is one that is there."""
    port = free_port()
    secured = f"{NAME}:{port} {{\n  bind 127.0.0.1\n  tls {made.cert} {made.key}"
    text = replaced(text_of("caddyfile"), change, (f"{NAME} {{", secured), ("127.0.0.1:5001", upstream))
    configuration = directory / "Caddyfile"
    configuration.write_text("{\n  admin off\n  auto_https off\n}\n" + text, encoding="utf-8")
    with running(port, "caddy", "run", "--config", configuration, "--adapter", "caddyfile"):
        yield port


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server as the page has it behind a proxy."""
    server = Server(tmp_path_factory.mktemp("told") / "data", "--proxy-headers", "--allow-host", NAME)
    yield server
    server.stop()


class Browser:
    """What a browser sends that shows the app at a port of NAME; one that says nothing by Sec-Fetch-Site."""

    def __init__(self, port: int, ca: Path) -> None:
        self.port = port
        self.origin = f"https://{NAME}:{port}"
        self.trusting = ssl.create_default_context(cafile=ca)
        self.client = httpx.Client(
            verify=self.trusting,
            timeout=PATIENCE,
            base_url=f"https://127.0.0.1:{port}",
            headers={"Host": f"{NAME}:{port}", "User-Agent": "Mozilla/5.0", "Accept": "text/html"},
        )
        self.cookie = ""

    def ask(self, method: str, path: str, origin: str = "", **options: Any) -> httpx.Response:
        headers = {"Cookie": self.cookie, **({"Origin": origin} if origin else {"Referer": f"{self.origin}/tasks"})}
        return self.client.request(
            method, path, headers=headers, extensions={"sni_hostname": NAME}, follow_redirects=False, **options
        )

    def close(self) -> None:
        self.client.close()

    def sign_in(self, token: str) -> None:
        answer = self.ask("POST", "/sign-in", self.origin, data={"token": token})
        assert answer.status_code == 303, answer.text
        self.cookie = answer.headers["set-cookie"].partition(";")[0]

    def watch(self, origin: str) -> Any:
        """A socket, as a page at `origin` opens it."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        return connect(
            f"wss://{NAME}:{self.port}/live",
            sock=plain,
            ssl=self.trusting,
            server_hostname=NAME,
            origin=origin,  # type: ignore[arg-type]
            additional_headers={"Cookie": self.cookie},
        )


Proxy = Callable[..., Any]
CASES = [
    *(pytest.param(nginx, change, id=f"nginx, {name}") for name, change in CHANGES.items()),
    pytest.param(caddy, ("", ""), id="caddy"),
    pytest.param(
        caddy,
        ("127.0.0.1:5001", "127.0.0.1:5001 {\n    header_up Host {upstream_hostport}\n  }"),
        id="caddy, the host is another",
    ),
]


@pytest.mark.parametrize(("proxy", "change"), CASES)
def test_pages_changes_and_sockets_are_judged_alike(
    told: Server, tmp_path: Path, proxy: Proxy, change: tuple[str, str]
) -> None:
    if shutil.which(proxy.__name__) is None:
        pytest.fail(f"{proxy.__name__} is not installed; .ci/run says how")
    made = certificate(tmp_path / "tls", [NAME])
    upstream = told.url.removeprefix("http://")
    with proxy(tmp_path, upstream, made, change) as port, closing(Browser(port, made.ca)) as browser:
        assert browser.ask("GET", "/tasks").status_code == 401
        browser.sign_in((told.data / "token").read_text(encoding="utf-8").strip())
        page = browser.ask("GET", "/tasks")
        assert page.status_code == 200
        (style,) = re.findall(r'href="(/static/app[^"]+css[^"]*)"', page.text)
        assert browser.ask("GET", style).status_code == 200
        title = f"through {proxy.__name__} at {port}"
        (version,) = set(re.findall(r'id="tasks"[^>]*data-version="([^"]+)"', page.text))
        with browser.watch(browser.origin) as page_open:
            page_open.send(json.dumps({"watch": [{"id": "tasks", "url": "/tasks", "version": version}]}))
            assert browser.ask("POST", "/tasks", browser.origin, data={"title": title}).status_code == 303
            while title not in (frame := page_open.recv(timeout=PATIENCE)):
                assert frame
        file = {"file": ("large.csv", b"title\n" + b"a title that is repeated\n" * 100_000)}
        assert browser.ask("POST", "/imports", browser.origin, files=file, data={"kind": "tasks"}).status_code == 303
        not_https = [] if "X-Forwarded-Proto" in change[0] else [f"http://{NAME}:{port}", f"http://{NAME}"]
        for elsewhere in (f"https://evil.example:{port}", f"https://{NAME}.evil.example", "null", *not_https):
            assert browser.ask("POST", "/tasks", elsewhere, data={"title": "evil"}).status_code == 403
            with pytest.raises(InvalidStatus) as refused:
                browser.watch(elsewhere).__enter__()
            assert refused.value.response.status_code == 403
    titles = {row["title"] for row in told.sql("SELECT title FROM tasks")}
    assert title in titles
    assert "evil" not in titles
