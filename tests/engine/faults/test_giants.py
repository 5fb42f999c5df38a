"""Bodies, heads and messages of any size cost little memory, and others are served meanwhile.

The limits themselves are held in tests/engine/server: test_guard.py (bodies up to 32 MB by each way in, depth of JSON),
test_bodies.py and test_protocol.py (heads).
"""

import contextlib
import gzip
import os
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

from server.guard.middleware import COOKIES
from server.guard.request_bodies import FORM_LIMIT
from server.protocols.deadlines import HEAD_FIELDS
from tests.engine import reloading
from tests.engine.conftest import Server
from tests.engine.faults.wire import ask, connected
from tests.engine.server.guard.test_middleware import memory_of, pieces
from tests.importing import settled, until

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="Linux says how much memory a process has held"
)
MEGABYTE = 2**20
FORM = "application/x-www-form-urlencoded"
PART = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\ny\r\n'
FILE = b'--x\r\nContent-Disposition: form-data; name="%s"; filename="a.csv"\r\n\r\ntitle\r\n'
MULTIPART = "multipart/form-data; boundary=x"


@pytest.fixture
def bounded(server: Server, client: httpx.Client) -> Iterator[Server]:
    """A server that grows by less than 64 MB meanwhile, and answers afterwards as before.

    A megabyte of JSON may become 20 MB of objects, in a thread whose allocator keeps some of it for the next.
    """
    server.sql("INSERT INTO tasks (id, title) VALUES (1, 'x')")
    client.get("/tasks")
    memory_of(server)
    before = memory_of(server)
    yield server
    grown = memory_of(server) - before
    print(f"\n{grown / MEGABYTE:.1f} MB")
    assert grown < 64 * MEGABYTE
    assert client.get("/healthz").status_code == 200


def parts(part: bytes, count: int) -> Iterator[bytes]:
    """A form of that many parts, a thousand at a time."""
    for begin in range(0, count, 1000):
        yield b"".join(part % b"%d" % number for number in range(begin, begin + 1000))
    yield b"--x--\r\n"


ADDRESSES = ("/tasks", "/tasks/1", "/sign-in", "/imports/1/columns", "/tasks/1/restore")
KINDS = (FORM, MULTIPART, "application/json", "text/plain")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        # Each kind once, each address once; all of them together take their time.
        pytest.param(path, kind, marks=() if path == "/tasks" or kind == FORM else pytest.mark.slow)
        for path in ADDRESSES
        for kind in KINDS
    ],
)
def test_100_mb_to_a_form(bounded: Server, client: httpx.Client, path: str, kind: str) -> None:
    for headers in ({}, {"Content-Length": f"{100 * MEGABYTE}"}):
        try:
            answer = client.post(path, content=pieces(100 * MEGABYTE), headers={"Content-Type": kind, **headers})
        except httpx.WriteError:
            continue  # The door was closed while there was still more to say.
        # What has no boundary in it is a form without fields.
        assert 400 <= answer.status_code < 500 or (answer.status_code, kind) == (303, MULTIPART)


def test_a_form_of_just_the_limit_is_read(bounded: Server, client: httpx.Client) -> None:
    notes = "x" * (FORM_LIMIT - len("title=y&notes="))
    for _ in range(5):
        answer = client.post("/tasks", content=f"title=y&notes={notes}", headers={"Content-Type": FORM})
        assert answer.status_code == 303


def test_ten_thousand_fields_and_a_hundred_thousand_parts(bounded: Server, client: httpx.Client) -> None:
    fields = "&".join(f"field{number}={number}" for number in range(10_000))
    for form in (fields, "&".join(["title=y"] * 100_000), "&" * 1_000_000, "=" * 1_000_000):
        answer = client.post("/tasks", content=form, headers={"Content-Type": FORM})
        assert answer.status_code in (400, 422), answer.text
    for part in (PART, FILE):
        for path in ("/tasks", "/imports"):
            try:
                answer = client.post(path, content=parts(part, 100_000), headers={"Content-Type": MULTIPART})
            except httpx.WriteError:
                continue
            assert answer.status_code in (400, 413, 422), answer.text
            assert "Traceback" not in answer.text


@pytest.mark.parametrize("path", ["/imports", "/tasks", "/sign-in"])
@pytest.mark.parametrize("part", [PART, FILE], ids=["fields", "files"])
def test_seven_hundred_parts_of_a_megabyte(bounded: Server, client: httpx.Client, path: str, part: bytes) -> None:
    def form() -> Iterator[bytes]:
        head, tail = part % b"file", b"\r\n"
        for _ in range(700):
            yield head.removesuffix(b"\r\n") + b"x" * (MEGABYTE - 16) + tail
        yield b"--x--\r\n"

    try:
        answer = client.post(path, content=form(), headers={"Content-Type": MULTIPART})
    except httpx.WriteError:
        return
    assert answer.status_code in (400, 413), answer.text


def test_a_file_in_a_form_that_takes_none_is_not_kept(bounded: Server, client: httpx.Client) -> None:
    file = FILE % b"title" + b"x" * (MEGABYTE // 2) + b"\r\n--x--\r\n"
    for _ in range(20):
        answer = client.post("/tasks", content=file, headers={"Content-Type": MULTIPART})
        assert (answer.status_code, "Every field is a text" in answer.text) == (422, True)
    # The answer may come a moment before the request has ended.
    reloading.until(lambda: not open_without_name(bounded), "it is gone")


def test_a_file_is_gone_when_its_request_ends_however_it_ends(bounded: Server, client: httpx.Client) -> None:
    """Whether it was taken, refused at its end, cut off, or its client left."""
    begin = FILE % b"file" + b"x,y\r\n" * 200_000
    head = f"POST /imports HTTP/1.1\r\nHost: localhost\r\nContent-Type: {MULTIPART}\r\n".encode()
    ends = [b"--x--\r\n", FILE % b"another" + b"--x--\r\n", PART % b"\xff" + b"--x--\r\n", b"cut off"]
    for end in ends:
        answer = client.post("/imports", content=begin + end, headers={"Content-Type": MULTIPART})
        assert answer.status_code in (303, 400), (answer.text, end)
    with connected(bounded) as connection:
        connection.sendall(head + b"Content-Length: 9999999\r\n\r\n" + begin)
        reloading.until(lambda: open_without_name(bounded), "it waits on disk")
    reloading.until(lambda: not open_without_name(bounded), "it is gone")


def open_without_name(server: Server) -> list[str]:
    """The files of the directory of its data that the server has open and that have no name any more."""
    found = []
    for file in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            target = os.readlink(file)
            if target.startswith(str(server.data)) and target.endswith("(deleted)"):
                found.append(target)
    return found


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (f"{MULTIPART}; charset=punycode", PART % b"token" + b"a-" + b"9" * MEGABYTE),
        (
            MULTIPART,
            b'--x\r\nContent-Disposition: form-data; name="token"\r\nContent-Type: text/plain; charset=punycode',
        ),
        (f"{FORM}; charset=punycode", b"token=a-" + b"9" * 1_000_000),
        ("application/json; charset=punycode", b'{"token":"a-' + b"9" * 1_000_000 + b'"}'),
    ],
    ids=range(4),
)
def test_no_client_chooses_a_codec(bounded: Server, client: httpx.Client, kind: str, body: bytes) -> None:
    """Python's decoder of Punycode takes a minute for a megabyte of digits."""
    if kind == MULTIPART:
        body += b"\r\n\r\na-" + b"9" * 900_000
    began = time.monotonic()
    answer = client.post("/sign-in", content=body + b"\r\n--x--\r\n", headers={"Content-Type": kind})
    assert (answer.status_code, "UTF-8" in answer.text) == (415, True)
    assert time.monotonic() - began < 10


def test_wide_and_deep_json(bounded: Server, client: httpx.Client) -> None:
    bodies = {
        b"[" * MEGABYTE: (400, 413),
        b'{"a":' * 100_000: (400,),
        b'{"title":' + b"[" * 99 + b"]" * 99 + b"}": (400, 422),
        b'{"title":"x","n":' + b"9" * 900_000 + b"}": (303, 400, 422),
        b'{"title":"x",' + b",".join(b'"%d":0' % number for number in range(60_000)) + b"}": (303, 422),
        b"[" + b"{}," * 300_000 + b"{}]": (400, 422),
    }
    for body, statuses in [*bodies.items()] * 3:
        answer = client.post("/tasks", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in statuses, (body[:20], answer.status_code, answer.text)


def test_heads_without_end(bounded: Server) -> None:
    floods = {
        "many": b"".join(b"a%d:\r\n" % number for number in range(100_000)),
        "long": b"X: " + b"a" * 10 * MEGABYTE,
        "cookies": b"Cookie: " + b"a=b; " * 2 * MEGABYTE,
        "folds": b"X: a\r\n" + b" b\r\n" * MEGABYTE,
    }
    for flood in floods.values():
        answer = ask(bounded, b"GET /tasks HTTP/1.1\r\nHost: localhost\r\n", flood, b"\r\n\r\n")
        assert answer.status in (0, 400, 431)


def test_just_small_enough_a_head_is_answered_quickly(bounded: Server) -> None:
    head = b"a:\r\n" * (HEAD_FIELDS - 2)
    cookies = b"Cookie: " + b"; ".join(b"c%d=" % number for number in range(COOKIES)) + b"\r\n"
    for each, more in ((head, head[:8]), (cookies, b"Cookie: another=1\r\n")):
        request = b"GET /tasks HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + each + b"\r\n"
        assert ask(bounded, request).status == 200
        assert ask(bounded, request[:-2], more, b"\r\n").status == 431


def bomb(megabytes: int, text: bytes) -> bytes:
    """That much of one text again and again, packed."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    piece = (text * (MEGABYTE // len(text) + 1))[:MEGABYTE]
    return b"".join([packer.compress(b"title\n"), *(packer.compress(piece) for _ in range(megabytes)), packer.flush()])


@pytest.mark.parametrize(
    ("megabytes", "text"),
    [
        (128, b"a,"),
        *(pytest.param(2048, text, marks=pytest.mark.slow) for text in (b"x", b"a\n", b"\n", b'"', b"a,", b"\0")),
    ],
)
def test_a_packed_file_that_unpacks_to_far_more_is_refused(
    bounded: Server, client: httpx.Client, megabytes: int, text: bytes
) -> None:
    """The process that reads it is small too, and leaves nothing on the disk."""
    largest = 0
    ended = threading.Event()

    def watch() -> None:
        nonlocal largest
        server = psutil.Process(bounded.process.pid)
        while not ended.wait(0.01):
            for reader in server.children():
                try:
                    largest = max(largest, reader.memory_info().rss)
                except psutil.NoSuchProcess:
                    continue

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        answer = client.post("/imports", files={"file": ("a.csv.gz", bomb(megabytes, text))})
        each = until(client, answer.headers["location"], settled)
    finally:
        ended.set()
        watching.join()
    print(f"\nreader of {megabytes} MB of {text!r}: {largest / MEGABYTE:.0f} MB, {each['error']}")
    assert each["state"] == "failed"
    assert largest < 100 * MEGABYTE
    assert not [path for path in (bounded.data / "uploads").iterdir() if path.name == str(each["id"])]


def test_a_packed_body_is_not_unpacked(bounded: Server, client: httpx.Client) -> None:
    """What a browser never sends is read as it came."""
    packed = gzip.compress(b"title=" + b"x" * 100 * MEGABYTE, 1)
    headers = {"Content-Type": FORM, "Content-Encoding": "gzip"}
    assert client.post("/tasks", content=packed, headers=headers).status_code in (400, 415, 422)


@pytest.mark.parametrize(
    "message", ["x" * 10 * MEGABYTE, b"x" * 10 * MEGABYTE, "[" * 60_000], ids=["text", "bytes", "deep"]
)
def test_a_giant_message_ends_its_socket(bounded: Server, message: Any) -> None:
    address = bounded.url.replace("http:", "ws:") + "/live"
    with connect(address, origin=bounded.url, proxy=None, compression=None) as socket:
        with contextlib.suppress(ConnectionClosedError):  # The door was closed while there was still more to say.
            socket.send(message)
        with pytest.raises(ConnectionClosedError) as closed:
            socket.recv(timeout=20)
    assert closed.value.rcvd is None or closed.value.rcvd.code in (1003, 1007, 1008, 1009)


def test_a_packed_message_is_unpacked_up_to_its_limit(bounded: Server) -> None:
    """50 kB that unpack to 50 MB: few enough to be read, too many to be kept."""
    with connect(bounded.url.replace("http:", "ws:") + "/live", origin=bounded.url, proxy=None) as socket:
        assert socket.protocol.extensions, "the server takes no packed messages"
        socket.send("x" * 50 * MEGABYTE)
        with pytest.raises(ConnectionClosedError) as closed:
            socket.recv(timeout=20)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009
