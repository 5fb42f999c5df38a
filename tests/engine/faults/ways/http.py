"""What the ways in over HTTP share: requests of parts, an answer's judgement, and a proper change now and then."""

import random
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import groupby

from tests.engine.faults import grammar
from tests.engine.faults.fuzzing import Input
from tests.engine.faults.routes import Route
from tests.engine.faults.watched import STATUS, Watched

# Between two proper changes, which have to be in the file at the end.
PROPER_EVERY = 25
# What comes after it is sent by itself, a moment later.
PAUSE = b""
METHODS = (
    b"GET",
    b"HEAD",
    b"POST",
    b"PUT",
    b"PATCH",
    b"DELETE",
    b"OPTIONS",
    b"TRACE",
    b"CONNECT",
    b"get",
    b"QUERY",
    b"PRI",
)
FAILED = (500, 502)


class HttpWay(ABC):
    """A way in over HTTP; each input is the parts of what is sent on one connection."""

    kind = ""

    def __init__(self, watched: Watched, routes: list[Route]) -> None:
        self.watched = watched
        self.routes = routes
        self.name = f"{self.kind} {watched.mode}"
        self.inputs = 0

    @abstractmethod
    def make(self, chance: random.Random) -> Input:
        """The next input."""

    def judge(self, given: Input) -> str:
        """Send an input; what is wrong now."""
        self.inputs += 1
        wrong = self._proper_change() if self.inputs % PROPER_EVERY == 0 else ""
        answer = self.watched.exchange(list(pieces(given)))
        statuses = [int(status) for status in STATUS.findall(answer)]
        if statuses == [303] and b"\r\nlocation: /tasks\r\n" in answer.lower() and given[0].startswith(b"POST /tasks "):
            self.watched.added += 1
        wrong = wrong or self.watched.look()
        if not wrong and any(status in statuses for status in FAILED):
            self.watched.settle()
            wrong = self.watched.look() or f"answered {statuses} without a word in the log"
        return wrong

    def judge_alone(self, given: Input) -> str:
        """Send an input and wait until the server answers others again."""
        wrong = self.judge(given)
        if not wrong:
            self.watched.settle()
            wrong = self.watched.look()
        return wrong

    def _proper_change(self) -> str:
        watched = self.watched
        for id in (1, 2, 3):
            watched.server.sql("INSERT OR IGNORE INTO tasks (id, title, notes) VALUES (?, 'Back again', '')", [id])
        watched.come_in()
        answer = watched.ask("POST", "/tasks", f"title=Proper+{self.inputs}&notes=&done=0")
        if answer.status != 303:
            return f"a proper change is answered {answer.status}"
        watched.added += 1
        return ""

    # Pieces of a request.

    def address(self, chance: random.Random, method: str = "") -> bytes:
        """The address of a route, with an odd id and query now and then."""
        routes = [route for route in self.routes if not method or method in route.methods]
        path = chance.choice(routes).address
        path = re.sub(r"(?<=/)1(?=/|$)", lambda _: chance.choice(("1", "2", "3", "1", "0", "01", "9" * 18, "x")), path)
        query = b""
        if chance.random() < 0.4:
            names = (
                *(
                    "q",
                    "status",
                    "sort",
                    "page",
                    "pages",
                    "deleted",
                    "in",
                    "since",
                    "kind",
                    "token",
                    "next",
                    "due",
                    "x",
                ),
                *("tz", "limit", "id", "f", "pages"),
            )
            fields = [
                chance.choice(names).encode() + b"=" + grammar.quoted(chance, grammar.raw(chance))
                for _ in range(chance.randint(1, 3))
            ]
            query = b"?" + b"&".join(fields)
        return path.encode() + query

    def outside(self, chance: random.Random) -> list[bytes]:
        """What a proxy, a browser and a session add to a request."""
        lines = [b"Host: localhost\r\n"]
        if self.watched.mode == "shared":
            lines.append(b"X-Forwarded-For: 192.0.%d.%d\r\n" % (chance.randrange(250), chance.randrange(250)))
            if chance.random() < 0.5:
                lines.append(b"Cookie: " + self.watched.cookie + b"\r\n")
        if chance.random() < 0.5:
            lines.append(b"HX-Request: true\r\n")
        if chance.random() < 0.2:
            lines.append(b"Accept: application/json\r\n")
        return lines


def pieces(given: Input) -> Iterator[bytes]:
    """What is sent at once."""
    for is_pause, parts in groupby(given, key=lambda part: part == PAUSE):
        if not is_pause:
            yield b"".join(parts)


def chunked(chance: random.Random, body: bytes) -> list[bytes]:
    """A body in chunks, with extensions and trailers now and then."""
    parts = []
    while body:
        size = chance.choice((1, 2, 7, 100, 4096))
        chunk, body = body[:size], body[size:]
        extension = b";" + grammar.raw(chance)[:50] if chance.random() < 0.1 else b""
        parts.append(b"%x%s\r\n%s\r\n" % (len(chunk), extension, chunk))
        if len(parts) > 200:
            break
    parts.append(b"0\r\n")
    for _ in range(chance.choice((0, 0, 0, 1, 3, 500))):
        parts.append(b"X-Trailer: %s\r\n" % grammar.raw(chance)[:200])
    return [*parts, b"\r\n"]
