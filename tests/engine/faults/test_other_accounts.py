"""Other accounts of this machine, against a server for its owner alone: they are strangers, as a phone is.

The server is asked by real processes of another account, however it is served. What the system cannot say is no yes.
"""

import http.client
import json
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from server.sharing.sign_in_token import read
from tests.engine.accounts import ASK, NAMELESS, NOBODY, only_root, run_as, started_as
from tests.engine.conftest import PATIENCE
from tests.engine.server.test_run import Running, until

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux says who has opened a connection"),
    only_root,
]
WAYS: dict[str, tuple[str, ...]] = {
    "run": ("server.py", "run", "--no-reload"),
    "reload": ("server.py", "run", "--reload"),
    "workers": ("server.py", "run", "--no-reload", "--workers", "2"),
    "uvicorn": ("-m", "uvicorn", "app.main:app", "--port", "0"),
    "gunicorn": (
        *("-m", "gunicorn", "-k", "uvicorn_worker.UvicornWorker", "app.main:app"),
        *("-w", "2", "-b", "127.0.0.1:0", "--no-control-socket"),
    ),
    "IPv6": ("server.py", "run", "--no-reload", "--host", "::1"),
}


# How it is handed from one process to another has a quick test of its own, and Gunicorn has several workers too.
ALIKE = ("reload", "workers")


@pytest.fixture(
    scope="module", params=[pytest.param(way, marks=pytest.mark.slow if way in ALIKE else ()) for way in WAYS]
)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The app, served in one of the ways."""
    way = WAYS[request.param]
    if request.param == "IPv6" and not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    running = Running(*way, data=tmp_path_factory.mktemp("private") / "data")
    yield running
    running.end_anyhow()


def ask(
    account: int, running: Running, *asked: str, headers: dict[str, str] | None = None, source: int = 0
) -> tuple[list[int], str]:
    """The statuses that an account is answered with on one connection, and the last body."""
    address = urlsplit(running.url)
    printed = run_as(account, ASK, address.hostname, address.port, json.dumps(headers or {}), source, *asked)
    lines = printed.split("\n", len(asked))
    return [int(each) for each in lines[: len(asked)]], lines[-1]


def test_the_owner_needs_no_session_and_another_account_does(running: Running) -> None:
    assert ask(0, running, "GET /tasks", "GET /tasks")[0] == [200, 200]
    for account in (NAMELESS, NOBODY):
        asked = [f"GET {path}" for path in ("/tasks", "/tasks/export.csv", "/export.db", "/imports", "/access", "/")]
        asked += [*("POST /tasks", "DELETE /tasks/1", "POST /imports", "POST /access/token"), "GET /tasks"]
        statuses, body = ask(account, running, *asked)
        assert statuses == [401] * len(asked)
        assert "python3 server.py token" in body
        assert "--proxy-headers" in body
        assert ask(account, running, "GET /sign-in")[0] == [200]
    assert ask(0, running, "GET /tasks")[0] == [200]


def test_another_account_is_told_only_whether_it_is_well(running: Running) -> None:
    assert json.loads(ask(NAMELESS, running, "GET /healthz")[1]) == {"status": "ok"}
    owner = json.loads(ask(0, running, "GET /healthz")[1])
    assert owner.keys() == {"status", "version", "commit token", "uptime", "clients", "failures"}


def test_another_account_signs_in_with_the_token_as_a_phone_does(running: Running) -> None:
    sign_in = """
import http.client, sys, urllib.parse
connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=60)
form = urllib.parse.urlencode({"token": sys.argv[3], "next": "/tasks"})
connection.request("POST", "/sign-in", form, {"Content-Type": "application/x-www-form-urlencoded"})
answer = connection.getresponse()
answer.read()
cookie = answer.headers["Set-Cookie"].partition(";")[0]
connection.request("GET", "/tasks", headers={"Cookie": cookie})
answer = connection.getresponse()
print(answer.status, "Sign out" in answer.read().decode())
"""
    address = urlsplit(running.url)
    assert run_as(NAMELESS, sign_in, address.hostname, address.port, read(running.data)).split() == ["200", "True"]
    # As others can come in only through this machine, the owner is not listed there for it.
    assert "Account" not in ask(0, running, "GET /tasks")[1]


def test_a_port_that_another_account_takes_over_is_asked_about_anew(running: Running) -> None:
    """The owner's client had this very port a moment ago, and was let in."""
    with socket.socket(socket.AF_INET6 if "[" in running.url else socket.AF_INET) as probe:
        probe.bind((urlsplit(running.url).hostname, 0))
        port = probe.getsockname()[1]
    assert ask(0, running, "GET /tasks", headers={"Connection": "close"}, source=port)[0] == [200]
    until(lambda: _is_free(running, port))
    assert ask(NAMELESS, running, "GET /tasks", source=port)[0] == [401]


def _is_free(running: Running, port: int) -> bool:
    try:
        return ask(NAMELESS, running, "GET /healthz", source=port)[0] == [200]
    except AssertionError:
        return False  # The system keeps the port of a connection for a while after its end.


def test_a_peer_that_goes_before_the_answer_is_not_taken_for_root(running: Running) -> None:
    """The kernel gives a connection without a process to account 0; here each request is gone as soon as it is sent."""
    hit_and_run = """
import socket, sys
for number in range(40):
    connection = socket.create_connection((sys.argv[1], int(sys.argv[2])))
    body = f"title=Planted+{number}"
    head = f"POST /tasks HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Length: {len(body)}\\r\\n"
    connection.sendall(f"{head}Content-Type: application/x-www-form-urlencoded\\r\\n\\r\\n{body}".encode())
    connection.close()
"""
    address = urlsplit(running.url)
    run_as(NAMELESS, hit_and_run, address.hostname, address.port)
    assert "Planted" not in ask(0, running, "GET /tasks?q=Planted")[1].replace("q=Planted", "").replace(
        'value="Planted"', ""
    )


def test_what_a_header_says_of_a_connection_does_not_count(running: Running) -> None:
    """Plain Uvicorn would put the address and port of a connection of the owner in the place of the peer."""
    address = urlsplit(running.url)
    owner = http.client.HTTPConnection(address.hostname or "", address.port, timeout=PATIENCE)
    owner.request("GET", "/healthz")
    assert owner.getresponse().read()
    port = owner.sock.getsockname()[1]
    for said in (f"{address.hostname}:{port}", f"[{address.hostname}]:{port}", "127.0.0.1"):
        assert ask(NAMELESS, running, "GET /tasks", headers={"X-Forwarded-For": said})[0] != [200]
    owner.close()


def test_its_open_page_is_refused(running: Running) -> None:
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version": "13",
    }
    assert ask(NAMELESS, running, "GET /live", headers=headers)[0] == [401]


@pytest.fixture
def path() -> Iterator[Path]:
    """Of the file of a socket, where every account may go."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        yield Path(directory, "app.sock")


def test_at_the_file_of_a_socket_it_is_the_same(path: Path, tmp_path: Path) -> None:
    """Uvicorn lets every account connect to it. Without the connection itself, nobody knows whose it is."""
    for protocol, owner in ((("--http", "server.protocols.http1:HttpProtocol"), 200), ((), 401)):
        running = Running("-c", SERVED_AT, path, *protocol, data=tmp_path / "data")
        try:
            until(path.exists)
            for account, status in ((0, owner), (NAMELESS, 401)):
                printed = run_as(account, ASK, path, 0, "{}", 0, "GET /tasks", "GET /tasks")
                assert printed.split("\n")[:2] == [str(status)] * 2
        finally:
            running.end_anyhow()
            path.unlink(missing_ok=True)


# Prints an address first, as everything that the tests start does.
SERVED_AT = """
import sys, uvicorn.main
print("http://localhost", flush=True)
sys.argv[1:2] = ["app.main:app", "--uds", sys.argv[1]]
uvicorn.main.main()
"""


def test_in_a_hot_reload_the_connection_stays_that_of_its_account(tmp_path: Path) -> None:
    """What one process found out of it, the next finds out again."""
    from tests.engine.project import Project

    project = Project(tmp_path / "project")
    running = Running("server.py", "run", "--reload", data=tmp_path / "data", cwd=project.root)
    try:
        address = urlsplit(running.url)
        with (
            httpx.Client(base_url=running.url, timeout=PATIENCE) as owner,
            started_as(NAMELESS, ON_A_LINE, address.hostname, address.port) as other,
        ):
            assert other.stdin is not None
            assert other.stdout is not None

            def other_is_told() -> str:
                other.stdin.write("\n")
                other.stdin.flush()
                return other.stdout.readline().strip()

            assert owner.get("/access").status_code == 200
            assert other_is_told() == "401"
            layout = project.root / "templates/layout.py"
            layout.write_text(
                layout.read_text(encoding="utf-8").replace("Skip to the content", "Skip to what is new"),
                encoding="utf-8",
            )
            until(lambda: "Skip to what is new" in owner.get("/access").text)
            assert other_is_told() == "401"
            other.stdin.close()
    finally:
        running.end_anyhow()


ON_A_LINE = """
import http.client, sys
connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=60)
for line in sys.stdin:
    connection.request("GET", "/access")
    answer = connection.getresponse()
    answer.read()
    print(answer.status, flush=True)
"""
