"""A real proxy before a server that was not told of one, in the plainest configurations there are: it opens nothing.

Such a server asks nobody of this machine to sign in, and to it everybody comes from this machine.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.engine.conftest import PATIENCE, PLAIN, Server

SECRET = "a task that nobody in the network may read"
BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537",
    "Accept": "text/html,application/xhtml+xml,*/*;q=0.8",
}
PROGRAM = {"User-Agent": "curl/8.5.0", "Accept": "*/*"}

NGINX = """
daemon off; pid {directory}/pid; error_log stderr; {user}
events {{}}
http {{
  access_log off;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://{upstream}; {options} }} }}
}}
"""
CADDY = """
{{
  admin off
  auto_https off
}}
http://:{port} {{
  bind 127.0.0.1
  reverse_proxy {upstream} {options}
}}
"""
# What tutorials say, from nothing to everything.
NGINX_OPTIONS = {
    "bare": "",
    "HTTP/1.1": "proxy_http_version 1.1;",
    "kept open": 'proxy_http_version 1.1; proxy_set_header Connection "";',
    "Host": "proxy_set_header Host localhost;",
    "WebSocket": "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;",
    "X-Forwarded-For": "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_http_version 1.1;",
    "X-Real-IP": "proxy_set_header X-Real-IP $remote_addr; proxy_http_version 1.1;",
}
CADDY_OPTIONS = {
    "bare": "{\n header_up Host {upstream_hostport}\n }",
    "nothing added": "{\n header_up Host localhost\n header_up -X-Forwarded-*\n header_up -Via\n }",
}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@contextlib.contextmanager
def running(port: int, *command: object) -> Iterator[str]:
    """A proxy on a port, from when it listens on; its address."""
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, encoding="utf-8")
    try:
        end = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            assert time.monotonic() < end
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)


@contextlib.contextmanager
def nginx(directory: Path, upstream: str, options: str = "", user: str = "root") -> Iterator[str]:
    """nginx; its workers are of this account, or of another where root runs it."""
    port, configuration = free_port(), directory / "nginx.conf"
    values = {"directory": directory, "port": port, "upstream": upstream, "options": options}
    configuration.write_text(
        NGINX.format(**values, user=f"user {user};" if os.geteuid() == 0 else ""), encoding="utf-8"
    )
    with running(port, "nginx", "-e", "stderr", "-p", directory, "-c", configuration) as address:
        yield address


@contextlib.contextmanager
def caddy(directory: Path, upstream: str, options: str = "") -> Iterator[str]:
    """Caddy, run by this account: the owner of the server and of its connections are one."""
    port, configuration = free_port(), directory / "Caddyfile"
    configuration.write_text(CADDY.format(port=port, upstream=upstream, options=options), encoding="utf-8")
    with running(port, "caddy", "run", "--config", configuration, "--adapter", "caddyfile") as address:
        yield address


Proxy = Callable[..., contextlib.AbstractContextManager[str]]
PROXIES = [
    *(pytest.param(nginx, options, id=f"nginx, {name}") for name, options in NGINX_OPTIONS.items()),
    *(pytest.param(caddy, options, id=f"caddy, {name}") for name, options in CADDY_OPTIONS.items()),
]


@pytest.fixture
def kept(server: Server) -> Server:
    """The server, with a task in it."""
    server.sql("INSERT INTO tasks (id, title) VALUES (1, ?)", [SECRET])
    return server


def needs(proxy: Proxy) -> None:
    if shutil.which(proxy.__name__) is None:
        pytest.fail(f"{proxy.__name__} is not installed; .ci/run says how")


@pytest.mark.parametrize(("proxy", "options"), PROXIES)
def test_no_browser_comes_in_through_a_proxy_that_was_not_named(
    kept: Server, tmp_path: Path, proxy: Proxy, options: str
) -> None:
    """The proxy is of the same account as the server, so that nothing but what it passes on gives it away."""
    needs(proxy)
    upstream = kept.url.removeprefix("http://")
    with proxy(tmp_path, upstream, options) as address, httpx.Client(base_url=address, **PLAIN) as client:
        # What a browser says of a page that it has from https, as through a proxy, and from http.
        page = {"Origin": address, "Referer": f"{address}/tasks"}
        for headers in (BROWSER, {**BROWSER, **page}, {**BROWSER, **page, "Sec-Fetch-Site": "same-origin"}):
            for path in ("/tasks", "/export.db", "/tasks/1"):
                answer = client.get(path, headers=headers)
                assert (answer.status_code, SECRET in answer.text) == (403, False), (path, headers)
                assert "--proxy-headers --allow-host" in answer.text
            assert client.delete("/tasks/1", headers=headers).status_code == 403
    assert [row["title"] for row in kept.sql("SELECT title FROM tasks")] == [SECRET]


# A program says of itself only what it wants to. What shows it then is the account that the proxy runs as.
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run nginx as another account")
@pytest.mark.parametrize("options", NGINX_OPTIONS.values(), ids=NGINX_OPTIONS)
def test_no_program_comes_in_through_nginx(kept: Server, tmp_path: Path, options: str) -> None:
    needs(nginx)
    tmp_path.chmod(0o755)
    upstream = kept.url.removeprefix("http://")
    own = {"Host": "localhost", "Origin": kept.url, "Referer": f"{kept.url}/tasks", "Sec-Fetch-Site": "same-origin"}
    with nginx(tmp_path, upstream, options, "www-data") as address, httpx.Client(base_url=address, **PLAIN) as client:
        for headers in (PROGRAM, {**PROGRAM, **own}, {**BROWSER, **own}, {**PROGRAM, "Connection": "keep-alive"}):
            for path in ("/tasks", "/export.db", "/tasks/1"):
                answer = client.get(path, headers=headers)
                assert (answer.status_code, SECRET in answer.text) in ((403, False), (401, False)), (path, headers)
            assert client.delete("/tasks/1", headers=headers).status_code in (401, 403)
        with pytest.raises(InvalidStatus) as refused:
            connect(f"ws{address.removeprefix('http')}/live").__enter__()
        assert refused.value.response.status_code in (401, 403, 404)
    assert [row["title"] for row in kept.sql("SELECT title FROM tasks")] == [SECRET]


def test_a_program_comes_not_in_through_nginx_of_the_same_account_that_was_told_nothing(
    kept: Server, tmp_path: Path
) -> None:
    needs(nginx)
    with nginx(tmp_path, kept.url.removeprefix("http://")) as address:
        for headers in (PROGRAM, {"User-Agent": "", "Host": "localhost"}):
            answer = httpx.get(f"{address}/tasks", headers=headers, **PLAIN)
            assert (answer.status_code, "--proxy-headers --allow-host" in answer.text) == (403, True)


def test_what_the_refusal_says_is_what_mends_it(tmp_path: Path) -> None:
    """Caddy as the documentation has it: refused at first, and with what the refusal says everybody signs in."""
    needs(caddy)
    with contextlib.ExitStack() as stack:
        server = Server(tmp_path / "plain")
        stack.callback(server.stop)
        client = stack.enter_context(httpx.Client(headers={**BROWSER, "Host": "tasks.test"}, **PLAIN))
        (tmp_path / "one").mkdir()
        address = stack.enter_context(caddy(tmp_path / "one", server.url.removeprefix("http://")))
        answer = client.get(f"{address}/tasks")
        assert answer.status_code == 403
        assert "--proxy-headers --allow-host" in answer.text

        told = Server(tmp_path / "told", "--proxy-headers", "--allow-host", "tasks.test")
        stack.callback(told.stop)
        (tmp_path / "two").mkdir()
        address = stack.enter_context(caddy(tmp_path / "two", told.url.removeprefix("http://")))
        assert client.get(f"{address}/tasks").status_code == 401
        token = (told.data / "token").read_text(encoding="utf-8").strip()
        assert client.post(f"{address}/sign-in", data={"token": token}).status_code == 303
        assert client.get(f"{address}/tasks").status_code == 200
