"""The way in: heads of requests, and how bodies are framed."""

import random

from server.app_name import SLUG
from tests.engine.faults import grammar
from tests.engine.faults.fuzzing import Input
from tests.engine.faults.ways.http import METHODS, PAUSE, HttpWay, chunked

# What the app's own cookies begin with.
OWN = SLUG.encode()
VALUES: dict[bytes, tuple[bytes, ...]] = {
    b"Accept": (b"text/html", b"application/json", b"*/*", b",;q=", b"a/b;q=9e999", b"text/html;" * 500),
    b"Accept-Encoding": (b"gzip", b"br", b"br;q=0", b"identity;q=0, *;q=0", b"gzip;q=nan", b"br;q=1e999", b"x," * 5000),
    b"Accept-Language": (b"en", b"de;q=0.5", b"x" * 500, b"*"),
    b"Authorization": (b"Basic Og==", b"Bearer \xff", b"Basic ====", b"Digest x"),
    b"Connection": (b"close", b"keep-alive", b"Upgrade", b"keep-alive, Upgrade", b"HTTP2-Settings", b"x"),
    b"Content-Encoding": (b"gzip", b"br", b"deflate, gzip"),
    b"Content-Length": (b"0", b"1", b"-1", b"+5", b"5, 5", b"0x10", b"9" * 20, b"1e3", b" 3 ", b"3\xa0"),
    b"Content-Type": (
        *(b"application/x-www-form-urlencoded", b"application/json", b"multipart/form-data; boundary=x", b"text/plain"),
        *(b"multipart/form-data", b"multipart/form-data; boundary=", b"multipart/form-data; boundary=\xff", b";", b"a"),
        *(b"application/json; charset=utf-16", b'multipart/form-data; boundary="x', b"application/json;" * 300),
    ),
    b"Cookie": (
        *(b"a=b", b"=", b";" * 5000, b'a="\\', b"\xff=\xfe", OWN + b"_session=x", (OWN + b"_access_80=x; ") * 200),
        *(OWN + b"_session=" + b"A" * 5000, b"time_zone=Europe/Berlin", b"tz=../../etc/passwd", b"zone=\0"),
    ),
    b"Expect": (b"100-continue", b"200-ok", b""),
    b"Forwarded": (b"for=1.2.3.4", b'for="[::1]";proto=https;host=x', b"for=" + b'"' * 300),
    b"HX-Current-URL": (
        *(
            b"http://localhost/tasks?q=x",
            b"http://[",
            b"http://[::1",
            b"//[x]/?q=%00",
            b"?q=\xff",
            b"http://\xe2\x84\x80/",
        ),
        *(b"?" + b"a&" * 5000, b"http://localhost/tasks?page=9&pages=x&sort=%ff", b"http://a:b@[v1.a]:x/"),
    ),
    b"HX-Request": (b"true", b"false", b""),
    b"HX-History-Restore-Request": (b"true",),
    b"HX-Target": (b"#tasks", b"\xff", b"<"),
    b"Host": (
        *(
            b"localhost",
            b"localhost:80",
            b"127.0.0.1",
            b"[::1]",
            b"",
            b"LOCALHOST.",
            b"localhost:99999",
            b"localhost:" * 50,
        ),
        *(
            b"a@localhost",
            b"[::1%25lo]",
            b"[",
            b"\xff",
            b"0x7f.1",
            b"2130706433",
            b"localhost\0",
            b"\xc2\xb2",
            b"fuzzed.test",
        ),
    ),
    b"If-Match": (b"*", b'"x"'),
    b"If-Modified-Since": (
        b"Thu, 01 Jan 1970 00:00:00 GMT",
        b"Thu, 99 Foo 99999 99:99:99 +9999",
        b"0",
        b"\xff",
        b"x" * 500,
    ),
    b"If-None-Match": (b"*", b'"x"', b'W/"', b'"' * 5000, b"\xff", b'"a", ' * 3000),
    b"If-Range": (b'"x"', b"0", b"\xff"),
    b"Origin": (b"null", b"http://localhost", b"http://evil.example", b"http://[", b"\xff", b""),
    b"Range": (
        *(
            b"bytes=0-",
            b"bytes=9999999999-",
            b"bytes=-0",
            b"bytes=5-1",
            b"bytes=0-0,1-1,2-2",
            b"bytes=" + b"0-," * 5000,
        ),
        *(
            b"bytes=-" + b"9" * 5000,
            b"bytes",
            b"bytes=x-y",
            b"lines=1-2",
            b"bytes=\xb2-",
            b"bytes=0-9999999999999999999",
        ),
    ),
    b"Referer": (b"http://localhost/tasks", b"http://[", b"\xff", b"http://localhost/\\\\evil", b"x" * 5000),
    b"Sec-Fetch-Dest": (b"document", b"image", b"empty", b"", b"\xff"),
    b"Sec-Fetch-Mode": (b"navigate", b"no-cors", b"websocket", b""),
    b"Sec-Fetch-Site": (b"same-origin", b"none", b"cross-site", b"same-site", b"", b"\xff"),
    b"Sec-WebSocket-Extensions": (
        b"permessage-deflate; client_max_window_bits=99",
        b"x;" * 500,
        b"permessage-deflate; a=\xff",
    ),
    b"Sec-WebSocket-Key": (b"dGhlIHNhbXBsZSBub25jZQ==", b"", b"\xff", b"x" * 500),
    b"Sec-WebSocket-Protocol": (b"a", b"", b"\xff", b"a," * 500),
    b"Sec-WebSocket-Version": (b"13", b"8", b"", b"\xff", b"9" * 500),
    b"TE": (b"trailers", b"gzip;q=x"),
    b"Trailer": (b"Host", b"Content-Length", b"X"),
    b"Transfer-Encoding": (
        b"chunked",
        b"gzip, chunked",
        b"identity",
        b"chunked, chunked",
        b"xchunked",
        b"\x0bchunked",
        b"",
    ),
    b"Upgrade": (b"websocket", b"h2c", b"websocket, h2c", b""),
    b"Via": (b"1.1 x", b""),
    b"X-Forwarded-For": (b"1.2.3.4", b"[::1]:80", b"unknown", b"\xff", b"", b"1.2.3.4, " * 500, b"1.2.3.4:x"),
    b"X-Forwarded-Host": (b"evil.example",),
    b"X-Forwarded-Proto": (b"https", b"http", b"wss", b"ws", b"\xff", b"javascript", b""),
    b"X-HTTP-Method-Override": (b"DELETE",),
    b"X-Time-Zone": (b"Europe/Berlin", b"../../etc/passwd", b"\xff", b"A" * 500),
}
BODIES = (
    *(b"", b"title=x", b'{"title": "x"}', b"--x\r\n\r\n\r\n--x--", b"\0" * 100, b"title=" + b"x" * 70_000),
    b'--x\r\nContent-Disposition: form-data; name="title"\r\n\r\ny\r\n--x--\r\n',
)


class Heads(HttpWay):
    """Request lines, headers, lengths, chunks, trailers, pipelines."""

    kind = "heads"

    def make(self, chance: random.Random) -> Input:
        """One or more requests, most of them nearly right."""
        parts = [part for _ in range(chance.choice((1, 1, 1, 1, 2, 3))) for part in self._request(chance)]
        if chance.random() < 0.4:
            parts = list(grammar.mutated(chance, parts))
        if chance.random() < 0.1:
            parts.insert(chance.randrange(len(parts) + 1), PAUSE)
        if chance.random() < 0.05:
            del parts[chance.randrange(len(parts)) :]
        return tuple(parts) or (b"",)

    def _request(self, chance: random.Random) -> list[bytes]:
        method = chance.choice(METHODS[: chance.choice((1, 1, 3, 6, len(METHODS)))])
        target = self.address(chance)
        if chance.random() < 0.05:
            target = chance.choice(
                (b"*", b"http://localhost" + target, b"http://evil.example/", b"//" + target, b"", b"\xff")
            )
        version = chance.choice((b"1.1", b"1.1", b"1.1", b"1.1", b"1.0", b"0.9", b"2.0", b"9.9", b"1.2"))
        lines = [b"%s %s HTTP/%s\r\n" % (method, target, version), *self.outside(chance)]
        for _ in range(chance.choice((0, 1, 1, 2, 3, 5))):
            lines.append(b"%s: %s\r\n" % self._header(chance))
        if chance.random() < 0.02:
            lines += [
                b"X-%d: %s\r\n" % (number, grammar.raw(chance)[:100]) for number in range(chance.choice((50, 500)))
            ]
        if chance.random() < 0.9:
            lines.append(b"Connection: close\r\n")
        if method in (b"GET", b"HEAD", b"get") and chance.random() < 0.8:
            return [*lines, b"\r\n"]
        body = chance.choice(BODIES)
        if chance.random() < 0.3:
            return [*lines, b"Transfer-Encoding: chunked\r\n", b"\r\n", *chunked(chance, body)]
        length = len(body) if chance.random() < 0.9 else chance.choice((0, 1, len(body) + 1, 10**9))
        return [*lines, b"Content-Length: %d\r\n" % length, b"\r\n", body]

    def _header(self, chance: random.Random) -> tuple[bytes, bytes]:
        name = chance.choice(list(VALUES))
        if chance.random() < 0.2:
            return name, grammar.raw(chance).replace(b"\n", b"")
        return name, chance.choice(VALUES[name])
