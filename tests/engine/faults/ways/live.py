"""The way in: the WebSocket `/live`, its frames (RFC 6455) and the messages in them."""

import json
import random
import struct

from tests.engine.faults import grammar
from tests.engine.faults.fuzzing import Input
from tests.engine.faults.ways.http import PAUSE, HttpWay
from tests.engine.faults.ways.json_bodies import NUMBERS, string, value

HEAD = (
    b"GET /live HTTP/1.1\r\n",
    b"Host: localhost\r\n",
    b"Connection: Upgrade\r\n",
    b"Upgrade: websocket\r\n",
    b"Sec-WebSocket-Version: 13\r\n",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
)
PACKED = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
OPCODES = (TEXT, TEXT, TEXT, 0x0, BINARY, CLOSE, PING, PONG, 0x3, 0xB, 0xF)
IDS = ("tasks", "summary", "t1", "", "1", "a b", "é", "x" * 5000, "<", "#", "tasks>*", "constructor")
ADDRESSES = (
    *(
        "/tasks",
        "/summary",
        "/tasks/1",
        "/tasks?q=x",
        "/tasks?page=9",
        "/imports",
        "/imports/1",
        "/healthz",
        "/live",
        "/sign-in",
    ),
    *(
        "/export.db",
        "/export.csv",
        "/export.json",
        "/static/app.css",
        "//evil.example/",
        "http://localhost/",
        "/tasks#x",
        "",
        "x",
    ),
    *(
        "/tasks?q=%",
        "/tasks?q=%ff",
        "/tasks?" + "q=a&" * 500,
        "/tasks/1/edit",
        "/../tasks",
        "/tasks/%2e%2e",
        "/tasks/1/changes",
    ),
    *("/tasks?q=" + "wo+" * 330, "/\\evil", "/tasks\r\nX: y", "/tasks?q=" + "x" * 20_000, "/development/page.js"),
)


class Live(HttpWay):
    """One connection: a handshake, then frames with messages, the end of it."""

    kind = "live"

    def make(self, chance: random.Random) -> Input:
        """A handshake and some frames."""
        head = [*HEAD, *self.outside(chance)[1:]]
        if chance.random() < 0.3:
            head.append(PACKED)
        head.append(b"\r\n")
        if chance.random() < 0.05:
            head = list(grammar.mutated(chance, head))
        frames = [frame(chance, self._message(chance)) for _ in range(chance.choice((1, 1, 2, 3, 10)))]
        if chance.random() < 0.3:
            frames = list(grammar.mutated(chance, frames))
        if chance.random() < 0.7:
            frames.append(plain(CLOSE, struct.pack(">H", chance.choice((1000, 1001, 1005, 0, 2999, 5000, 65535)))))
        return (*head, PAUSE, *frames)

    def _message(self, chance: random.Random) -> bytes:
        kind = chance.random()
        if kind < 0.1:
            return grammar.encoded(value(chance, 3))
        if kind < 0.15:
            return chance.choice(
                (b"[" * 60_000, b'{"watch":' * 5000, b"\xff" * 50, b"", b'{"watch": []}' + b" " * 65_000)
            )
        watched = [
            self._entry(chance) for _ in range(chance.choice((0, 1, 2, 3, 63, 64, 65) if kind < 0.3 else (1, 2, 3)))
        ]
        return grammar.encoded(f'{{"watch": [{", ".join(watched)}]}}')

    def _entry(self, chance: random.Random) -> str:
        if chance.random() < 0.05:
            return value(chance, 2)
        url = chance.choice(ADDRESSES) if chance.random() < 0.7 else self.address(chance, "GET").decode("latin-1")
        members = {
            '"id"': json.dumps(chance.choice(IDS) if chance.random() < 0.3 else f"t{chance.randrange(100)}"),
            '"url"': json.dumps(url),
            '"version"': chance.choice(('""', "null", '"x"', f'"{"x" * 65}"')),
        }
        if chance.random() < 0.15:
            members[chance.choice(list(members))] = chance.choice((chance.choice(NUMBERS), string(chance), "[]", "{}"))
        if chance.random() < 0.05:
            del members[chance.choice(list(members))]
        return f"{{{', '.join(f'{name}: {said}' for name, said in members.items())}}}"


def plain(opcode: int, payload: bytes) -> bytes:
    """A frame as a client sends it, with a mask that changes nothing."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else struct.pack(">BH", 0xFE, size) if size < 65536 else b""
    return bytes([0x80 | opcode]) + (length or struct.pack(">BQ", 0xFF, size)) + bytes(4) + payload


def frame(chance: random.Random, message: bytes) -> bytes:
    """A frame of this message, mostly right: its bits, opcode, length and mask may be odd, and it may be two."""
    if chance.random() < 0.75:
        return plain(TEXT, message)
    if chance.random() < 0.3:
        at = chance.randint(0, len(message))
        first = plain(TEXT, message[:at])
        return bytes([first[0] & 0x7F]) + first[1:] + plain(0x0, message[at:])
    opcode = chance.choice(OPCODES)
    made = bytearray(plain(opcode, message[:125] if opcode & 0x8 else message))
    if chance.random() < 0.3:
        made[0] ^= chance.choice((0x10, 0x20, 0x40, 0x80, 0x70))
    if chance.random() < 0.2:
        made[1] ^= 0x80
    if chance.random() < 0.1:
        made[1:2] = struct.pack(">BQ", 0xFF, chance.choice((0, 1, 2**31, 2**63 - 1, 2**63, 2**64 - 1)))
    return bytes(made)
