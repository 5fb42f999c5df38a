"""The way in: JSON, as scripts and browsers' reports send it, in and out of what JSON is."""

import random

from tests.engine.faults import grammar
from tests.engine.faults.fuzzing import Input
from tests.engine.faults.ways.forms import FIELDS, fitted
from tests.engine.faults.ways.http import HttpWay

NUMBERS = (
    *(
        "0",
        "-0",
        "1",
        "1.0",
        "1.5",
        "1e999999999",
        "-1e999",
        "1E+2",
        "1e-400",
        "9" * 19,
        "9" * 400,
        "9" * 5000,
        "-" + "9" * 5000,
    ),
    *("NaN", "Infinity", "-Infinity", "01", "+1", ".5", "1.", "0x1", "1_0", "0." + "3" * 5000, "1" + "0" * 100_000),
)
ESCAPES = (
    "\\ud800",
    "\\udfff\\ud800",
    "\\u0000",
    "\\ud83d\\ude00",
    "\\uD83D",
    "\\u00",
    "\\x41",
    "\\",
    "\\u2028",
    "\\/",
)
KINDS = (
    *("application/json",) * 8,
    *(
        "application/json; charset=utf-16",
        "application/json; charset=punycode",
        "application/csp-report",
        "APPLICATION/JSON",
    ),
    *("application/reports+json", "text/json", "application/problem+json", "application/x-ndjson"),
)


class JsonBodies(HttpWay):
    """JSON to every route that takes something."""

    kind = "json"

    def make(self, chance: random.Random) -> Input:
        """An object with the names of fields, most of the time."""
        method = chance.choice(("POST", "POST", "PATCH"))
        line = b"%s %s HTTP/1.1\r\n" % (method.encode(), self.address(chance, method).partition(b"?")[0])
        members = [
            grammar.encoded(f"{', ' if number else ''}{string(chance, chance.choice(FIELDS))}: {value(chance, 3)}")
            for number in range(chance.choice((0, 1, 2, 3, 5)))
        ]
        body = [b"{", *members, b"}"]
        odd = chance.random()
        if odd < 0.05:
            body = [grammar.encoded(value(chance, 3))]
        elif odd < 0.08:
            levels = chance.choice((50, 99, 100, 101, 990, 5000, 100_000))
            body = [chance.choice((b"[", b'{"a":', b'[{"title":')) * levels]
        elif odd < 0.1:
            body = [chance.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\0")), *body]
        elif odd < 0.12:
            body = [part.decode("utf-8", "surrogatepass").encode("utf-16", "surrogatepass") for part in body]
        elif odd < 0.35:
            body = list(grammar.mutated(chance, body))
        head = [line, *self.outside(chance), b"Connection: close\r\n"]
        head.append(f"Content-Type: {chance.choice(KINDS)}\r\n".encode())
        return (*head, b"Content-Length: %d\r\n" % sum(map(len, body)), b"\r\n", *body)

    def judge(self, given: Input) -> str:
        """Send it, with a length that fits also where parts were left out."""
        return super().judge(fitted(given))


def value(chance: random.Random, levels: int) -> str:
    """Any JSON, now and then a little less than JSON."""
    kind = chance.random()
    if kind < 0.5 or levels == 0:
        return string(chance)
    if kind < 0.7:
        return chance.choice(NUMBERS)
    if kind < 0.8:
        return chance.choice(("true", "false", "null", "True", "undefined", ""))
    if kind < 0.9:
        # Many of them are short, or one input would take seconds to make.
        count = chance.choice((0, 1, 2, 50))
        return f"[{', '.join(value(chance, levels - 1) if count < 50 else '[]' for _ in range(count))}]"
    return f"{{{', '.join(f'{string(chance)}: {value(chance, levels - 1)}' for _ in range(chance.choice((0, 1, 3))))}}}"


def string(chance: random.Random, text: str | None = None) -> str:
    """A string with escapes, some of which stand for nothing."""
    said = grammar.text(chance) if text is None else text
    if chance.random() < 0.15:
        said += chance.choice(ESCAPES)
    elif chance.random() < 0.95:
        said = (
            said.replace("\\", "\\\\")
            .replace('"', '\\"')
            .replace("\n", "\\n")
            .replace("\r", "\\r")
            .replace("\0", "\\u0000")
        )
    return f'"{said}"'
