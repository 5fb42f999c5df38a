"""Names that a page of another site could give to this machine (DNS rebinding), as bytes on the wire.

How the guard judges each name is held in tests/engine/server/guard/test_middleware.py; here it is what comes through
the parser.
"""

import pytest

from tests.engine.conftest import Server
from tests.engine.faults.wire import ask

SECRET = "a task that no other site may read"
OWN_PAGES = (b"/tasks", b"/export.json", b"/healthz", b"/static/app.css", b"/nothing")
OWN_HOSTS = (b"localhost", b"LOCALHOST", b"127.0.0.1:%d", b"localhost:%d", b"[::1]:%d", b"localhost:")
NO_HOST = b""
FOREIGN_HEADS = {
    "none": NO_HOST,
    "empty": b"Host:\r\n",
    "blank": b"Host: \t \r\n",
    "two alike": b"Host: localhost\r\nHost: localhost\r\n",
    "two, own first": b"Host: localhost\r\nHost: evil.example\r\n",
    "two, own last": b"Host: evil.example\r\nhost: localhost\r\n",
    "two in one": b"Host: localhost, evil.example\r\n",
    "another": b"Host: evil.example\r\n",
    "another with our port": b"Host: evil.example:%d\r\n",
    "upper case": b"HOST: EVIL.EXAMPLE\r\n",
    "user": b"Host: localhost@evil.example\r\n",
    "user and password": b"Host: localhost:%d@evil.example\r\n",
    "own as user of itself": b"Host: evil.example@localhost\r\n",
    "subdomain": b"Host: app.localhost\r\n",
    "superdomain": b"Host: localhost.evil.example\r\n",
    "trailing dot": b"Host: localhost.\r\n",
    "address with a dot": b"Host: 127.0.0.1.\r\n",
    "address as a name's beginning": b"Host: 127.0.0.1.nip.example\r\n",
    "short address": b"Host: 127.1\r\n",
    "decimal address": b"Host: 2130706433\r\n",
    "hexadecimal address": b"Host: 0x7f.1\r\n",
    "octal address": b"Host: 0177.0.0.1\r\n",
    "any address": b"Host: 0.0.0.0:%d\r\n",
    "any address, IPv6": b"Host: [::]:%d\r\n",
    "IPv6 mapped": b"Host: [::ffff:127.0.0.1]:%d\r\n",
    "IPv6 with a zone": b"Host: [::1%%lo]\r\n",
    "IPv6 without brackets": b"Host: ::1\r\n",
    "IPv6 half open": b"Host: [::1\r\n",
    "IPv6 and more": b"Host: [::1].evil.example\r\n",
    "IPv6 of another": b"Host: [fd00::1]\r\n",
    "not ASCII": "Host: löcalhost\r\n".encode(),
    "Latin-1": "Host: löcalhost\r\n".encode("latin-1"),
    "full width": "Host: ｌｏｃａｌｈｏｓｔ\r\n".encode(),
    "no break space": b"Host: localhost\xa0\r\n",
    "percent": b"Host: local%%68ost\r\n",
    "zero byte": b"Host: localhost\0.evil.example\r\n",
    "zero byte at the end": b"Host: localhost\0\r\n",
    "tab": b"Host: localhost\tevil.example\r\n",
    "folded line": b"Host: localhost\r\n .evil.example\r\n",
    "blank before the colon": b"Host : localhost\r\n",
    "slash": b"Host: localhost/evil.example\r\n",
    "backslash": b"Host: localhost\\evil.example\r\n",
    "hash": b"Host: evil.example#localhost\r\n",
    "scheme": b"Host: http://localhost\r\n",
    "port of no number": b"Host: localhost:http\r\n",
    "port too high": b"Host: localhost:65536\r\n",
    "two ports": b"Host: localhost:%d:%d\r\n",
    "10 kB": b"Host: " + b"a" * 10_000 + b"\r\n",
    "10 kB around ours": b"Host: " + b"a." * 5_000 + b"localhost\r\n",
    "10 kB of ports": b"Host: localhost:" + b"0" * 10_000 + b"\r\n",
    "forwarded": b"Host: evil.example\r\nX-Forwarded-Host: localhost\r\nForwarded: host=localhost\r\n",
}


def request(target: bytes, head: bytes, server: Server, version: bytes = b"1.1", method: bytes = b"GET") -> bytes:
    """A request with this head; `%d` is the port that the server has."""
    port = int(server.url.rpartition(":")[2])
    head = head % ((port,) * head.count(b"%d"))
    return b"%s %s HTTP/%s\r\n%sConnection: close\r\nContent-Length: 0\r\n\r\n" % (method, target, version, head)


@pytest.fixture
def kept(server: Server) -> Server:
    """The server, with a task in it."""
    server.sql("INSERT INTO tasks (id, title) VALUES (1, ?)", [SECRET])
    return server


@pytest.mark.parametrize("head", FOREIGN_HEADS.values(), ids=FOREIGN_HEADS)
def test_another_name_is_told_nothing_and_changes_nothing(kept: Server, head: bytes) -> None:
    for version in (b"1.1", b"1.0"):
        for target in OWN_PAGES:
            answer = ask(kept, request(target, head, kept, version))
            assert answer.status in (400, 403), (target, answer.text[:80])
            assert SECRET not in answer.text
            assert "content-security-policy" in answer.text
        answer = ask(kept, request(b"/tasks/1", head, kept, version, b"DELETE"))
        assert answer.status in (400, 403)
    assert [row["title"] for row in kept.sql("SELECT title FROM tasks")] == [SECRET]


def test_a_request_without_a_version_has_no_host_and_is_told_nothing(kept: Server) -> None:
    assert SECRET not in ask(kept, b"GET /tasks\r\n\r\n").text


@pytest.mark.parametrize("host", OWN_HOSTS)
def test_our_own_names_are_answered(kept: Server, host: bytes) -> None:
    answer = ask(kept, request(b"/tasks", b"Host: " + host + b"\r\n", kept))
    assert (answer.status, SECRET in answer.text) == (200, True)


@pytest.mark.parametrize(
    "host",
    [b"evil.example", b"evil.example:%d", b"localhost@evil.example", b"localhost.evil.example", b"0.0.0.0", b"[::]"],
)
@pytest.mark.parametrize("scheme", [b"http", b"https", b"HTTP", b"ws"])
def test_the_host_of_the_request_line_counts_before_the_header(kept: Server, scheme: bytes, host: bytes) -> None:
    """RFC 9112, section 3.2.2: with an absolute address the Host header says nothing."""
    port = int(kept.url.rpartition(":")[2])
    target = scheme + b"://" + host % ((port,) * host.count(b"%d")) + b"/tasks"
    answer = ask(kept, request(target, b"Host: localhost\r\n", kept))
    assert answer.status in (400, 403)
    assert SECRET not in answer.text


def test_an_absolute_address_of_our_own_is_answered(kept: Server) -> None:
    for target in (
        b"http://localhost/tasks",
        b"http://LOCALHOST/tasks?q=task",
        b"http://localhost/tasks?q=task&next=a://task",
    ):
        answer = ask(kept, request(target, b"Host: localhost\r\n", kept))
        assert (answer.status, SECRET in answer.text) == (200, True), target
    for head in (b"", b"Host: localhost\r\nHost: localhost\r\n", b"Host: evil.example\r\n"):
        assert ask(kept, request(b"http://localhost/tasks", head, kept)).status in (400, 403)


def test_an_address_without_a_path_of_ours_leads_nowhere(kept: Server) -> None:
    for target in (b"//evil.example/tasks", b"*", b"evil.example/tasks", b"evil.example:80", b"http:///tasks"):
        answer = ask(kept, request(target, b"Host: localhost\r\n", kept))
        assert answer.status in (400, 404)
        assert SECRET not in answer.text
