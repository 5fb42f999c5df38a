"""Odd requests, each to every address that the app has: what cannot be answered is refused in a sentence, never 500.

A table, of which a quick run asks a part, not a fuzzer: each line is a way in which a client may be strange. They are
made of bytes, as no client would send them.
"""

import json
import random
import re
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.engine.conftest import DELETIONS, Server
from tests.engine.faults.routes import routes
from tests.engine.faults.wire import connect

HUGE = "9" * 5000
FORM, MULTIPART, JSON = "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json"

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "PURGE", "LOCK", "SEARCH")
# In the place of what varies in an address: an id, the name of a table.
IDS = (
    *(
        "0",
        "-1",
        "00",
        "1.0",
        "1e3",
        "+1",
        "%31",
        "%20",
        "x",
        "%00",
        "%ff",
        "%ed%a0%80",
        "%c0%ae",
        "..",
        "%2e%2e",
        "%2f",
    ),
    *(
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551616",
        "9" * 18,
        HUGE,
        "%F0%9F%92%A9",
        "٣",
        "null",
    ),
    *("99999-12-31", "1%0d%0aX:1", "{id}", "%25s", "'", '"', "sqlite_master", "tasks_fts", "imports"),
)
VALUES = (
    *("", "%00", "%ff", "%ed%a0%80", "%c3", "%", "%zz", "+", "%0a", "%F0%9F%98%80" * 500, "-1", HUGE, "1e999999999"),
    *(
        "99999-01-01",
        "0000-00-00",
        "9999-12-31",
        "2026-02-30",
        "-0001-01-01",
        "%C3%A4",
        "nan",
        "inf",
        "true",
        "[]",
        "\\",
    ),
    *(
        "a" * 5000,
        "wo+" * 330,
        "+".join(["%F0%9F%98%80"] * 500),
        "a%F0%9F%98%80+" * 300,
        '"',
        "'",
        "*",
        "NEAR(a+b)",
        "-" * 400,
        "%22" * 300,
        "^",
        "(",
        ":",
        "a:b",
        "٣",
        "%E2%80%AE",
    ),
)
NAMES = (
    "q",
    "sort",
    "status",
    "page",
    "pages",
    "deleted",
    "since",
    "in",
    "token",
    "next",
    "kind",
    "_method",
    "id",
    "",
    "%ff",
)
HEADERS = (
    *(("Range", value) for value in ("bytes=0-0", "bytes=5-1", "bytes=99999999-", "bytes=-0", "x", f"bytes={HUGE}-")),
    *(("If-None-Match", value) for value in ("", "*", '"', 'W/"', "," * 500, "\xff", HUGE)),
    *(("If-Modified-Since", value) for value in ("", "yesterday", "Mon, 01 Jan 99999 00:00:00 GMT", HUGE)),
    *(("If-Range", value) for value in ("", '"x"', "Mon, 01 Jan 99999 00:00:00 GMT")),
    *(
        ("Cookie", value)
        for value in ("", "=", ";", "a", "timezone=", "timezone=%ff", "timezone=../../etc", "timezone=Europe", "a=\xff")
    ),
    *(("Cookie", f"timezone={value}") for value in ("\\377", '"\\303"', "a" * 3000, "%00", "posixrules", "localtime")),
    *(("Accept", value) for value in ("", "x", "application/json;q=x", "*/*;q=" + HUGE, "\xff")),
    *(
        ("Accept-Encoding", value)
        for value in ("", "br;q=x", "gzip;q=", "," * 500, "\xff", "br;q=" + HUGE, "identity;q=0")
    ),
    *(
        ("HX-Current-URL", value)
        for value in ("http://[", "http://[::1/", "\xff", "http://a/?q=%ff", "//", f"http://a:{HUGE}/?page={HUGE}", "?")
    ),
    *(("HX-Request", value) for value in ("", "false", "\xff")),
    *(("Referer", value) for value in ("", "http://[", "x", "\xff", "http://localhost/\xff")),
    *(("Content-Length", value) for value in ("0", "1", "-1", "x", HUGE, "1, 1", "+1")),
    *(
        ("Content-Type", value)
        for value in ("", ";", "\xff", "a" * 3000, "multipart/form-data", "application/json;charset=x")
    ),
    *(("Transfer-Encoding", value) for value in ("chunked", "gzip", "chunked, chunked", "identity", "x")),
    *(("Content-Encoding", value) for value in ("gzip", "x", "")),
    *(("Expect", value) for value in ("100-continue", "x")),
    *(("Upgrade", value) for value in ("websocket", "h2c", "x")),
    *(("Host", value) for value in ("", "localhost:99999", "[", "\xff", "localhost:" + HUGE)),
    *(
        ("X-HTTP-Method-Override", "DELETE"),
        ("Authorization", "Basic \xff"),
        ("Sec-Fetch-Site", "\xff"),
        ("Origin", "["),
    ),
    *(
        ("X-Forwarded-For", "\xff"),
        ("X-Forwarded-Proto", "gopher"),
        ("Sec-WebSocket-Key", "x"),
        ("Accept-Language", "\xff"),
    ),
)
FIELDS = (
    "title",
    "due",
    "notes",
    "done",
    "updated_at",
    "_method",
    "in",
    "token",
    "next",
    "kind",
    "file",
    "_charset_",
    "",
)
# With these something is announced that never comes.
ANNOUNCING = {"content-length", "transfer-encoding", "expect", "upgrade"}
PART = 'Content-Disposition: form-data; name="{}"'


def bodies() -> Iterator[tuple[str, bytes]]:
    """A kind, and a body that may be of it."""
    for value in VALUES:
        yield FORM, "&".join(f"{name}={value}" for name in FIELDS if name != "_method").encode()
        yield FORM, f"title=x&due={value}&done={value}&updated_at={value}".encode()
        yield MULTIPART, parts(PART.format("title"), value.encode()) + b"--x--\r\n"
    for name in FIELDS:
        yield FORM, f"{name}".encode()
        yield JSON, json.dumps({name: HUGE}).encode()
        for odd in (None, True, 1.5, [], {}, "\ud800", 10**18, 10**300, -1, "\0", "x" * 5000):
            yield JSON, json.dumps({"title": "x", name: odd}).encode()
    for number in (HUGE, "-" + HUGE, "1e999999999", "-1e400", "1." + HUGE, "NaN", "-Infinity", "01", "1e", "0x1"):
        yield JSON, b'{"title":"x","done":%s,"due":%s}' % (number.encode(), number.encode())
    for text in (
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"\xff",
        b"\xef\xbb\xbf{}",
        b'{"title":"\xed\xa0\x80"}',
        b"[" * 5000,
    ):
        yield JSON, text
        yield FORM, text
        yield MULTIPART, text
        yield "", text
    for encoding in ("utf-16", "utf-32", "utf-7", "cp037"):
        yield JSON, '{"title":"x"}'.encode(encoding)
        yield f"{JSON}; charset={encoding}", '{"title":"x"}'.encode(encoding)
    for charset in ("punycode", "idna", "rot13", "utf-16", "unicode_escape", "\xff", "'", "utf-8; charset=punycode"):
        for kind in (FORM, MULTIPART, JSON, "text/plain"):
            yield f"{kind}; charset={charset}", b"title=a-999"
        yield (
            MULTIPART,
            parts(f"{PART.format('title')}\r\nContent-Type: text/plain; charset={charset}", b"a-99") + b"--x--",
        )
        yield MULTIPART, parts(PART.format("_charset_"), charset.encode("latin-1")) + b"--x--\r\n"
        yield MULTIPART, parts(f"{PART.format('file')}; filename*={charset}''a-9.csv", b"a") + b"--x--\r\n"
    for head in (
        "",
        "x",
        ":",
        "Content-Disposition: form-data",
        "Content-Disposition: " + ";" * 3000,
        "\0: x",
        "a: b\r\n" * 50,
    ):
        yield MULTIPART, parts(head, b"x") + b"--x--\r\n"
    for name in (
        "",
        "..",
        "../../x",
        "\xff",
        "a" * 3000,
        "a\0b",
        "CON",
        '"',
        "\\",
        "a\r\nb",
        "x.csv",
        "x.gz",
        "x.json",
    ):
        file = parts(f'{PART.format("file")}; filename="{name}"', b"title\r\nx\r\n")
        yield MULTIPART, file + b"--x--\r\n"
        yield MULTIPART, file


def parts(head: str, value: bytes) -> bytes:
    return b"--x\r\n" + head.encode("latin-1", "replace") + b"\r\n\r\n" + value + b"\r\n"


class Odd(bytes):
    """The bytes of a request; after one that `is_last` nothing else is sent on its connection."""

    is_last = False


def request(method: str, target: str, *headers: tuple[str, str], body: bytes | None = None, kind: str = "") -> Odd:
    """A request; of a header that comes twice the latter stands."""
    lines = {"host": ("Host", "localhost")}
    if body is not None:
        lines["content-length"] = "Content-Length", str(len(body))
    if kind:
        lines["content-type"] = "Content-Type", kind
    lines |= {name.lower(): (name, value) for name, value in headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.values())
    odd = Odd(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1", "xmlcharrefreplace") + (body or b""))
    odd.is_last = any(name.lower() in ANNOUNCING for name, _ in headers)
    return odd


def statuses(server: Server, asked: list[Odd]) -> Iterator[tuple[Odd, int, bytes]]:
    """Each request with its status and answer: all on one connection, or on a new one where the server closes."""
    connection = connect(server)
    try:
        for each in asked:
            for attempt in range(2):
                try:
                    connection.sendall(each)
                    if each.is_last:
                        connection.shutdown(socket.SHUT_WR)
                    status, answer, is_open = read_one(connection, is_head=each.startswith(b"HEAD "))
                except OSError:
                    status, answer, is_open = 0, b"", False
                if not is_open or each.is_last:
                    connection.close()
                    connection = connect(server)
                if status or attempt or each.is_last:
                    break
            yield each, status, answer
    finally:
        connection.close()


def read_one(connection: socket.socket, is_head: bool) -> tuple[int, bytes, bool]:
    """Status and body of an answer, and whether another request may follow; status 0 where none came."""
    with connection.makefile("rb") as reader:
        line = reader.readline()
        if not line.startswith(b"HTTP/1.1 "):
            return 0, line, False
        status = int(line.split()[1])
        head = b"".join(iter(reader.readline, b"\r\n")).lower()
        if status == 101:
            return status, b"", False
        length = re.search(rb"content-length: (\d+)", head)
        if is_head or status == 304:
            return status, b"", b"connection: close" not in head
        if length:
            return status, reader.read(int(length[1])), b"connection: close" not in head
        if b"chunked" in head:
            body = b""
            while size := int(reader.readline(), 16):
                body += reader.read(size)
                reader.readline()
            reader.readline()
            return status, body, True
        return status, reader.read(), False


@pytest.fixture
def addresses(server: Server, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Every address, with something behind it."""
    server.sql("INSERT INTO tasks (id, title, done) VALUES (1, 'x', 1), (3, 'y', 0)")
    server.sql(
        f"INSERT INTO {DELETIONS} (id, title, notes, done, created_at, updated_at) VALUES (2, 'x', '', 0, '', '')"
    )
    server.sql("INSERT INTO imports (id, kind, filename, state, process) VALUES (1, 'tasks', 'a.csv', 'discarded', 0)")
    found = {each.address for each in routes(tmp_path_factory.mktemp("odd") / "data")}
    return sorted(found | {"/tasks/2/restore", "/static/app.css", "/nothing", "/tasks/export.csv", "/tasks/3"})


def wrongly_answered(server: Server, asked: list[Odd], share: float) -> list[str]:
    """Of a share of these requests, those that were answered with 500 or without a sentence."""
    wrong = []
    some = random.Random(share).sample(asked, int(share * len(asked)))
    for each, status, answer in statuses(server, some):
        # That a range is not there needs no words.
        is_silent = status >= 400 and status != 416 and not answer and not each.startswith(b"HEAD ")
        if status >= 500 or is_silent:
            wrong.append(f"{status} {each[:200]!r} {answer[:80]!r}")
    return wrong


SHARES = pytest.mark.parametrize("share", [0.05, pytest.param(1, marks=pytest.mark.slow)])


@SHARES
def test_odd_methods_and_addresses(server: Server, addresses: list[str], share: float) -> None:
    asked = [request(method, address) for method in METHODS for address in addresses]
    for address in addresses:
        asked += [request("GET", address.replace("1", id, 1)) for id in IDS if "1" in address]
        asked += [
            request("GET", f"{address}{tail}") for tail in ("/", "//", "%2f", "%00", "%ff", "/..", ";x", "?", "?&&=")
        ]
    asked += [request("DELETE", f"/tasks/{id}") for id in IDS]
    asked += [request("POST", f"/{id}/restore", body=b"") for id in IDS]
    asked += [request("GET", f"/{id}/export.csv") for id in IDS]
    assert not wrongly_answered(server, asked, share)


@SHARES
def test_odd_queries(server: Server, addresses: list[str], share: float) -> None:
    pages = [address for address in addresses if not address.endswith((".db", ".css"))]
    asked = [request("GET", f"{address}?{name}={value}") for address in pages for name in NAMES for value in VALUES]
    asked += [
        request("GET", f"{address}?{'&'.join(f'{name}={value}' for name in NAMES)}", ("HX-Request", "true"))
        for address in pages
        for value in VALUES
    ]
    asked += [request("GET", f"{address}?{'a&' * 20_000}") for address in pages]
    assert not wrongly_answered(server, asked, share)


@SHARES
def test_odd_headers(server: Server, addresses: list[str], share: float) -> None:
    asked = []
    for address in addresses:
        asked += [request("GET", address, header) for header in HEADERS]
        asked += [request("GET", address, ("HX-Request", "true"), header) for header in HEADERS if address != "/live"]
    asked += [request("POST", "/tasks", ("HX-Request", "true"), each, body=b"title=x", kind=FORM) for each in HEADERS]
    assert not wrongly_answered(server, asked, share)


@SHARES
def test_odd_bodies(server: Server, addresses: list[str], share: float) -> None:
    forms = [each for each in addresses if not each.startswith(("/export", "/static", "/live", "/development"))]
    asked = []
    for kind, body in bodies():
        asked += [request("POST", address, kind=kind, body=body) for address in forms if address != "/sign-in"]
        asked += [request("PATCH", "/tasks/1", ("HX-Request", "true"), kind=kind, body=body)]
        asked += [request("DELETE", "/tasks/999", kind=kind, body=body), request("GET", "/tasks", kind=kind, body=body)]
    assert not wrongly_answered(server, asked, share)
    with closing(connect(server)) as connection:
        connection.sendall(request("GET", "/healthz"))
        assert read_one(connection, is_head=False)[0] == 200
