"""The way in: forms, as browsers send them (urlencoded and multipart), framed as they should be."""

import random

from tests.engine.faults import grammar
from tests.engine.faults.fuzzing import Input
from tests.engine.faults.ways.http import HttpWay

FIELDS = (
    *(
        "title",
        "title",
        "title",
        "notes",
        "notes",
        "due",
        "done",
        "_method",
        "updated_at",
        "version",
        "in",
        "token",
        "next",
    ),
    *("file", "kind", "columns", "id", "q", "", "_charset_", "title[]", "\0", "created_at", "confirm"),
)
CHARSETS = (
    *(
        "utf-8",
        "punycode",
        "idna",
        "utf-7",
        "utf-16",
        "utf-32",
        "cp037",
        "raw_unicode_escape",
        "unicode_escape",
        "hex",
        "zlib",
    ),
    *(
        "bz2",
        "rot13",
        "base64",
        "uu",
        "quopri",
        "mbcs",
        "undefined",
        "latin-1",
        "ascii",
        "utf-8-sig",
        "x",
        "",
        "\0",
        "a" * 500,
    ),
    *(
        "shift_jis",
        "iso2022_jp_3",
        "hz",
        "big5",
        "gb18030",
        "string_escape",
        "unicode_internal",
        "cp65001",
        "../x",
        "os",
    ),
)
# What is decoded in one of those may be dear: https://docs.python.org/3/library/codecs.html#standard-encodings
DEAR = (b"a-" + b"9" * 60_000, b"xn--" * 20_000, b"+" * 50_000, b"\\u" * 30_000, b"\\N{" * 20_000)
BOUNDARIES = ("x", "x", "x", "", "-" * 70, "a b", "\xff", "x;y", '"x"', "x" * 5000, "é", "'()+_,-./:=?")
METHODS_FIELD = ("delete", "DELETE", "put", "", "\0")


class Forms(HttpWay):
    """Fields of all names, with odd values, encodings and boundaries."""

    kind = "forms"

    def make(self, chance: random.Random) -> Input:
        """A form to a route that takes one, most of them as browsers write them."""
        method = chance.choice(("POST", "POST", "POST", "PATCH"))
        line = b"%s %s HTTP/1.1\r\n" % (method.encode(), self.address(chance, method).partition(b"?")[0])
        if self.watched.mode == "shared" and chance.random() < 0.3:
            line = b"POST /sign-in HTTP/1.1\r\n"
        fields = [
            (chance.choice(FIELDS), chance.choice(METHODS_FIELD) if chance.random() < 0.02 else "")
            for _ in range(chance.choice((1, 2, 3, 4, 5)))
        ]
        if chance.random() < 0.01:
            fields = fields[:1] * chance.choice((20, 199, 201, 1001))
        charset = f"; charset={chance.choice(CHARSETS)}" if chance.random() < 0.3 else ""
        if chance.random() < 0.5:
            kind, body = "application/x-www-form-urlencoded", self._urlencoded(chance, fields)
        else:
            boundary = chance.choice(BOUNDARIES)
            kind = f"multipart/form-data; boundary={boundary}"
            if chance.random() < 0.5:
                kind, charset = f"multipart/form-data{charset}; boundary={boundary}", ""
            body = self._multipart(chance, fields, boundary.strip('"'))
        if chance.random() < 0.2:
            body = list(grammar.mutated(chance, body))
        head = [line, *self.outside(chance), b"Connection: close\r\n"]
        head.append(f"Content-Type: {kind}{charset}\r\n".encode("latin-1", "replace"))
        if chance.random() < 0.2:
            head.append(
                b"HX-Current-URL: http://localhost/tasks?q=%s\r\n" % grammar.quoted(chance, grammar.raw(chance))
            )
        return (*head, b"Content-Length: %d\r\n" % sum(map(len, body)), b"\r\n", *body)

    def judge(self, given: Input) -> str:
        """Send it, with a length that fits also where parts were left out; and look at what was kept."""
        wrong = super().judge(fitted(given))
        if not wrong and given[0].startswith((b"POST /tasks/", b"PATCH /tasks/")):
            path = given[0].split()[1].removesuffix(b"/restore")
            asked = (b"GET %s HTTP/1.1\r\n" % path, b"Host: localhost\r\n", b"Connection: close\r\n", b"\r\n")
            if self.watched.cookie:
                asked = (*asked[:3], b"Cookie: " + self.watched.cookie + b"\r\n", b"\r\n")
            wrong = super().judge(asked)
        return wrong

    def _value(self, chance: random.Random) -> bytes:
        return chance.choice(DEAR) if chance.random() < 0.03 else grammar.raw(chance)

    def _urlencoded(self, chance: random.Random, fields: list[tuple[str, str]]) -> list[bytes]:
        return [
            b"%s%s=%s" % (
                b"&" if number else b"",
                grammar.quoted(chance, grammar.encoded(name)),
                grammar.quoted(chance, value.encode() or self._value(chance)),
            )
            for number, (name, value) in enumerate(fields)
        ]  # fmt: skip

    def _multipart(self, chance: random.Random, fields: list[tuple[str, str]], boundary: str) -> list[bytes]:
        mark = boundary.encode("latin-1", "replace")
        parts = []
        for name, value in fields:
            lines = [b'Content-Disposition: form-data; name="%s"' % grammar.encoded(name)]
            if name == "file" or chance.random() < 0.1:
                lines[0] += b'; filename="%s"' % grammar.raw(chance)[:300]
            if chance.random() < 0.1:
                lines[0] = chance.choice(
                    (b"Content-Disposition: ", b"Content-Disposition: form-data", b"X: y", b":", b"")
                )
            if chance.random() < 0.2:
                lines.append(b"Content-Type: text/plain; charset=%s" % chance.choice(CHARSETS).encode())
            if chance.random() < 0.1:
                lines.append(b"Content-Transfer-Encoding: %s" % chance.choice((b"base64", b"quoted-printable", b"x")))
            body = value.encode() or self._value(chance)
            parts.append(b"--%s\r\n%s\r\n\r\n%s\r\n" % (mark, b"\r\n".join(lines), body))
        return [*parts, b"--%s--\r\n" % mark]


def fitted(given: Input) -> Input:
    """The same request with the length that its body has, where it names one."""
    if b"\r\n" not in given:
        return given
    end = given.index(b"\r\n") + 1
    length = b"Content-Length: %d\r\n" % sum(map(len, given[end:]))
    return tuple(length if part.startswith(b"Content-Length: ") else part for part in given[:end]) + given[end:]
