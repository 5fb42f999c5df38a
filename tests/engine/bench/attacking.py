"""The attackers, a process of its own: `python -m tests.engine.bench.attacking NAME`, the site as JSON on its input.

It attacks until its input ends, and then says how often it has done what it does. Each attack is a function here; what
it needs of the server stands beside it in ATTACKS.
"""

import contextlib
import gzip
import http.client
import json
import os
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

MEGABYTE = 2**20
PATIENCE_SECONDS = 30
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
# What a browser says of a request that a page of another site makes with <img>.
IMAGE = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
# A proxy says for whom it speaks.
STRANGER = {"X-Forwarded-For": "192.0.2.66"}
NOTE_ID = 1
VIEWS_PER_TAB = 64


class Site:
    """Where it is, as whom it is attacked, and what has been done so far."""

    def __init__(self, port: int, is_tls: bool, headers: dict[str, str]) -> None:
        self.port = port
        self.is_tls = is_tls
        self.headers = headers
        self.over = threading.Event()
        self.done = 0
        self.held = contextlib.ExitStack()

    def connect(self) -> socket.socket:
        """A connection, which is held until the end."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS)
        return self.held.enter_context(contextlib.closing(self.encrypted(plain) if self.is_tls else plain))

    def encrypted(self, plain: socket.socket) -> ssl.SSLSocket:
        """The same, after the handshake."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        return context.wrap_socket(plain)

    def head(self, line: str, **headers: Any) -> bytes:
        """The head of a request."""
        named = {"Host": "localhost", **self.headers, **headers}
        lines = [f"{line} HTTP/1.1", *(f"{name.replace('_', '-')}: {value}" for name, value in named.items())]
        return "\r\n".join([*lines, "", ""]).encode()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes]:
        """A whole request on a connection of its own; status and body of its answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        with contextlib.closing(connection):
            named = {"Host": "localhost", **self.headers, **headers}
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in named.items()})
            answer = connection.getresponse()
            return answer.status, answer.read()

    def crowd(self, count: int, act: Callable[[int], Any]) -> None:
        """So many who do this again and again, until the end; who is thrown out comes again."""

        def again(number: int) -> None:
            while not self.over.is_set():
                with contextlib.suppress(OSError, http.client.HTTPException):
                    act(number)
                    self.done += 1
                # Nobody should be faster than his answers, and a door that is shut be asked a thousand times a second.
                self.over.wait(0.01)

        for number in range(count):
            threading.Thread(target=again, args=(number,), daemon=True).start()


def other_charset(site: Site) -> None:
    """A form whose charset is slow to decode."""
    text = "a-" + "9" * (MEGABYTE - 1000)
    body = f'--x\r\nContent-Disposition: form-data; name="token"\r\n\r\n{text}\r\n--x--\r\n'
    kind = "multipart/form-data; charset=punycode; boundary=x"
    site.crowd(2, lambda _: site.ask("POST", "/sign-in", body.encode(), Content_Type=kind))


def trailers(site: Site) -> None:
    """Chunked bodies whose trailers do not end."""

    def send(_: int) -> None:
        connection = site.connect()
        connection.sendall(site.head("POST /sign-in", Transfer_Encoding="chunked") + b"0\r\n")
        while not site.over.is_set():
            connection.sendall(b"".join(b"X-%d: %s\r\n" % (number, b"x" * 1000) for number in range(60)))

    site.crowd(4, send)


def half_bodies(site: Site) -> None:
    """Hundreds who begin a body and say no more; who is thrown out comes again."""

    def hold(_: int) -> None:
        connection = site.connect()
        connection.sendall(site.head("POST /sign-in", Content_Length=1000, **FORM) + b"token=")
        while connection.recv(65536) and not site.over.is_set():
            pass

    site.crowd(300, hold)


def slow_bodies(site: Site) -> None:
    """A hundred who send a byte every half second."""

    def drip(_: int) -> None:
        connection = site.connect()
        connection.sendall(site.head("POST /sign-in", Content_Length=1000, **FORM))
        while not site.over.wait(0.5):
            connection.sendall(b"x")

    site.crowd(100, drip)


def slow_heads(site: Site) -> None:
    """Three hundred who begin a head and say no more."""

    def hold(_: int) -> None:
        connection = site.connect()
        connection.sendall(site.head("GET /tasks")[:-2])
        while connection.recv(65536) and not site.over.is_set():
            pass

    site.crowd(300, hold)


def handshakes(site: Site) -> None:
    """Three hundred who connect to https and say nothing."""

    def hold(_: int) -> None:
        plain = socket.create_connection(("127.0.0.1", site.port), timeout=PATIENCE_SECONDS)
        with contextlib.closing(plain):
            while plain.recv(65536) and not site.over.is_set():
                pass

    site.crowd(300, hold)


def wrong_tokens(site: Site) -> None:
    """Eight who try tokens."""
    site.crowd(8, lambda number: site.ask("POST", "/sign-in", f"token=guess-{number}-{site.done}", **FORM))


def images(site: Site) -> None:
    """A page of another site with pictures that are dear searches."""
    query = "+".join(["wo"] * 330)
    site.crowd(8, lambda number: site.ask("GET", f"/tasks?q={query}&page={number + 1}&x={site.done}", **IMAGE))


def searches(site: Site) -> None:
    """Four windows in which a person searches for a word that stands in every row, in many ways."""
    query = "+".join(f"wo{letter}" for letter in ["", *"rdsabc"])

    def search(number: int) -> None:
        site.ask("GET", f"/tasks?q={query}+wo&sort=title&page={number + 1}&x={site.done}", HX_Request="true")

    site.crowd(4, search)


def exports(site: Site) -> None:
    """A page of another site with pictures that are copies of the whole file."""
    site.crowd(10, lambda number: site.ask("GET", f"/export.{('db', 'csv', 'json')[number % 3]}", **IMAGE))


def ranges(site: Site) -> None:
    """Copies of the whole file, of which a part is asked for that is not there."""
    site.crowd(4, lambda _: site.ask("GET", "/export.db", Range="bytes=9999999999-"))


def unread(site: Site) -> None:
    """Fifty who ask for large answers and read none of them."""

    def hold(number: int) -> None:
        connection = site.connect()
        connection.sendall(site.head(f"GET /export.{('csv', 'json')[number % 2]}"))
        site.done += 1
        site.over.wait()

    site.crowd(50, hold)


def no_window(site: Site) -> None:
    """An HTTP/2 client that asks for twenty large answers and opens no window for any (RFC 9113, section 5.2)."""

    def hold(_: int) -> None:
        connection = site.connect()
        # SETTINGS_INITIAL_WINDOW_SIZE is 0, then its acknowledgement of the server's settings.
        connection.sendall(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0, struct.pack(">HI", 4, 0)) + _frame(4, 1, 0)
        )
        fields = {b":method": b"GET", b":scheme": b"https", b":authority": b"localhost", b":path": b"/export.csv"}
        # Literals without indexing and without a table (RFC 7541, section 6.2.2).
        block = b"".join(b"\0" + bytes([len(each)]) + each + bytes([len(said)]) + said for each, said in fields.items())
        for stream in range(1, 41, 2):
            connection.sendall(_frame(1, 5, stream, block))
            site.done += 1
        while connection.recv(65536) and not site.over.is_set():
            pass

    site.crowd(1, hold)


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def bombs(site: Site) -> None:
    """A person keeps notes that are dear to render, and looks at them."""
    notes = (
        "[a]: http://a " + "x" * 100 + "\n\n" + "[a] " * 25_000,
        "[" * 1_000_000,
        "*a_ " * 100_000,
        "> " * 50_000 + "a",
        "a" + "<" * 500_000,
        "`" * 200_000,
        "- " * 100_000 + "a",
        "|a" * 100_000 + "\n" + "|-" * 100_000,
    )

    def keep(number: int) -> None:
        note = notes[site.done % len(notes)]
        if number == 0:
            site.ask("PATCH", f"/tasks/{NOTE_ID}", json.dumps({"notes": note}), Content_Type="application/json")
        site.ask("GET", f"/tasks/{NOTE_ID}?x={site.done}")

    site.crowd(3, keep)


def tabs(site: Site) -> None:
    """Six tabs, each of which shows a note of a megabyte at 64 addresses, while somebody writes."""
    from websockets.exceptions import WebSocketException
    from websockets.sync.client import connect

    note = "\n\n".join(["A paragraph of a long note, with *words* in it."] * 20_000)[:1_000_000]
    site.ask("PATCH", f"/tasks/{NOTE_ID}", f"notes={note.replace(' ', '+')}", **FORM)

    def watch(number: int) -> None:
        if number == 6:
            site.ask("POST", "/tasks", f"title=Written+{site.done}&done=0", **FORM)
            site.over.wait(0.25)
            return
        address = f"ws://127.0.0.1:{site.port}/live"
        with contextlib.suppress(WebSocketException), connect(address, proxy=None, max_size=None) as socket:
            watched = [
                {"id": f"v{view}", "url": f"/tasks/{NOTE_ID}?v={number}-{view}", "version": ""}
                for view in range(VIEWS_PER_TAB)
            ]
            socket.send(json.dumps({"watch": watched}))
            while not site.over.is_set():
                with contextlib.suppress(TimeoutError):
                    socket.recv(timeout=0.5)
                    site.done += 1

    site.crowd(7, watch)


def parts(site: Site) -> None:
    """One upload of 700 parts of a megabyte."""

    def upload(_: int) -> None:
        site.ask(
            "POST", "/imports", _pieces(), Content_Type="multipart/form-data; boundary=x", Content_Length=str(_SIZE)
        )

    site.crowd(1, upload)


_PART = b'--x\r\nContent-Disposition: form-data; name="f%03d"; filename="a.csv"\r\n\r\n' + b"x" * MEGABYTE + b"\r\n"
_SIZE = 700 * len(_PART % 1) + 7


def _pieces() -> Iterator[bytes]:
    for number in range(700):
        yield _PART % number
    yield b"--x--\r\n"


def multiplied(site: Site) -> None:
    """A file of a few kB, packed, in which the name of a column is long: it comes again in each of 300 rows."""
    rows = b"title," + b"n" * 900_000 + b"\n" + b"".join(b"Row %d,1\n" % number for number in range(300))
    file = gzip.compress(rows)

    def bring(_: int) -> None:
        address = _upload(site, "a.csv.gz", file)
        _settle(site, address)
        site.ask("POST", f"{address}/start", "", **FORM)
        _settle(site, address)

    site.crowd(1, bring)


def uploads(site: Site) -> None:
    """Thirty who upload a file at the same time."""
    file = b"title,notes\n" + b"A row,with some notes that are not short\n" * 20_000
    site.crowd(30, lambda _: _settle(site, _upload(site, "a.csv", file)))


def columns(site: Site) -> None:
    """A person chooses columns by names of 150 kB."""

    def choose(_: int) -> None:
        address = _upload(site, "a.csv", b"title,notes\na,b\n")
        _settle(site, address)
        site.ask("POST", f"{address}/columns", f"title={'x' * 150_000}&notes=notes", **FORM)
        _settle(site, address)

    site.crowd(2, choose)


def _upload(site: Site, name: str, file: bytes) -> str:
    """Send a file in; the address of its import."""
    head = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=PATIENCE_SECONDS)
    with contextlib.closing(connection):
        named = {"Host": "localhost", **site.headers, "Content-Type": "multipart/form-data; boundary=x"}
        connection.request("POST", "/imports", head + file + b"\r\n--x--\r\n", named)
        return connection.getresponse().headers["location"] or "/imports/0"


def _settle(site: Site, address: str) -> None:
    while not site.over.wait(0.1):
        status, body = site.ask("GET", address, Accept="application/json")
        if status != 200 or json.loads(body)["state"] not in ("waiting", "checking", "writing", "undoing"):
            return


class Attack(NamedTuple):
    """What is attacked: as whom (headers), with which options of the server, on which data."""

    act: Callable[[Site], None]
    words: str
    headers: Mapping[str, str] = MappingProxyType({})
    options: tuple[str, ...] = ()
    data: str = "tasks"


PROXY = ("--proxy-headers",)
TLS = ("--tls",)
ATTACKS = {
    attack.act.__name__: attack
    for attack in (
        Attack(other_charset, "signed out: 1 MB forms in a slow charset", STRANGER, PROXY),
        Attack(trailers, "signed out: trailers without end", STRANGER, PROXY),
        Attack(half_bodies, "signed out: 300 half bodies", STRANGER, PROXY),
        Attack(slow_bodies, "signed out: 100 bodies, a byte each half second", STRANGER, PROXY),
        Attack(slow_heads, "signed out: 300 half heads", STRANGER, PROXY),
        Attack(wrong_tokens, "signed out: 8 guess tokens", STRANGER, PROXY),
        Attack(handshakes, "300 silent TLS handshakes", options=TLS),
        Attack(images, "another site: 8 pictures, a word 330 times", IMAGE, data="many"),
        Attack(exports, "another site: 10 pictures, whole exports", IMAGE, data="large"),
        Attack(searches, "signed in: 4 searches of 100,000 rows", data="many"),
        Attack(bombs, "signed in: Markdown that is dear to render"),
        Attack(tabs, "signed in: 6 tabs, 64 views of a 1 MB note"),
        Attack(ranges, "signed in: exports, impossible ranges", data="large"),
        Attack(unread, "signed in: 50 large answers, unread", data="large"),
        Attack(no_window, "signed in: HTTP/2, 20 answers, no window", options=(*TLS, "--http2"), data="large"),
        Attack(parts, "signed in: one upload, 700 parts of 1 MB"),
        Attack(multiplied, "signed in: gzip, a long name in each row"),
        Attack(uploads, "signed in: 30 uploads at once"),
        Attack(columns, "signed in: column choices of 150 kB"),
    )
}


def main() -> None:
    """Attack until the input ends."""
    # They share a core with whoever measures, and must not be what is measured.
    os.nice(19)
    attack = ATTACKS[sys.argv[1]]
    given = json.loads(sys.stdin.readline())
    site = Site(given["port"], given["tls"], {**attack.headers, **given["headers"]})
    attack.act(site)
    print("begun", flush=True)
    sys.stdin.readline()
    site.over.set()
    print(site.done, flush=True)
    # Whoever still waits for an answer is not waited for.
    os._exit(0)


if __name__ == "__main__":
    main()
