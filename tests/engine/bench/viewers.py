"""The viewers, a process of its own: many open pages, and whoever commits.

Commands come as one JSON object a line, answers go back alike. A page here is a bare protocol that reads the heads of
frames and counts the bytes between: a WebSocket library would take longer for a frame than the servers do, and what is
measured would be the library. A frame has arrived when its last byte has.
"""

import asyncio
import gc
import json
import random
import socket
import sqlite3
import sys
import time
from collections.abc import Callable
from typing import Any

# How many handshakes are under way at once, and how long anything may take.
OPENING = 50
PATIENCE_SECONDS = 30
# An update is larger, also where it is compressed, whatever else a server says over the socket smaller.
UPDATE_BYTES = 500
# A command asks for frames no sooner than all have what came before.
SETTLE_SECONDS = 0.2
# Some systems would take 32 MB for a page that reads nothing.
STALLED_BYTES = 64 * 1024
PING, TEXT = 0x9, 0x1
# What Chromium says: it also offers to take compressed frames.
HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
)


class Wrong(Exception):
    """The server did something else than expected."""


class Wave:
    """The frames that follow one commit: one for each page."""

    def __init__(self, pages: int) -> None:
        self.missing = pages
        self.arrivals: list[float] = []
        self.whole = asyncio.get_running_loop().create_future()

    def arrive(self) -> None:
        """One more page has its frame."""
        self.arrivals.append(time.perf_counter())
        self.missing -= 1
        if self.missing == 0 and not self.whole.done():
            self.whole.set_result(None)


class Page(asyncio.BufferedProtocol):
    """One open page: frames are counted, pings answered, what is in them is not looked at."""

    # All pages read into the same memory: nobody looks at it afterwards.
    buffer = bytearray(256 * 1024)

    def __init__(self, request: bytes, hello: bytes, awaited: int) -> None:
        self.request = request
        self.hello = hello
        # How many messages come before it shows everything.
        self.awaited = awaited
        self.ready = asyncio.get_running_loop().create_future()
        self.head = b""
        self.missing = 0
        self.is_open = False
        self.is_update = False
        self.wave: Wave | None = None

    def connection_made(self, transport: Any) -> None:
        """Ask for a WebSocket."""
        self.transport = transport
        transport.write(self.request)

    def get_buffer(self, sizehint: int) -> bytearray:
        """Where the next bytes go."""
        return self.buffer

    def buffer_updated(self, count: int) -> None:
        """Take `count` bytes."""
        at = 0
        if not self.is_open:
            at = self._shake_hands(count)
        while at < count:
            if self.missing:
                taken = min(self.missing, count - at)
                self.missing -= taken
                at += taken
                if not self.missing:
                    self._arrive()
            else:
                at = self._read_head(at, count)

    def connection_lost(self, error: Exception | None) -> None:
        """Whoever waits for this page must know."""
        if not self.ready.done():
            self.ready.set_exception(Wrong("the server closed a connection that was being opened"))
        elif self.wave is not None and not self.wave.whole.done():
            self.wave.whole.set_exception(Wrong("the server closed a connection"))

    def say(self, text: bytes, opcode: int = TEXT) -> None:
        """Send a message, masked with zeros."""
        length = bytes((0x80 | len(text),)) if len(text) < 126 else b"\xfe" + len(text).to_bytes(2, "big")
        self.transport.write(bytes((0x80 | opcode,)) + length + bytes(4) + text)

    def _shake_hands(self, count: int) -> int:
        answer = bytes(self.buffer[:count])
        end = answer.find(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 101 ") or end < 0:
            raise Wrong(f"expected a WebSocket, found {answer[:200]!r}")
        self.is_open = True
        if self.hello:
            self.say(self.hello)
        if not self.awaited:
            self.ready.set_result(None)
        return end + 4

    def _read_head(self, at: int, count: int) -> int:
        """Read the head of a frame, which may come in two pieces; where its payload begins."""
        head = self.head + bytes(self.buffer[at : min(count, at + 14 - len(self.head))])
        length = head[1] & 0x7F if len(head) > 1 else 0
        size = 2 + {126: 2, 127: 8}.get(length, 0)
        # The payload of a small frame is read with its head, as it may have to be answered.
        whole = size + length if length <= 8 else size
        if len(head) < whole or len(head) < 2:
            self.head = head
            return count
        read = at + whole - len(self.head)
        self.head = b""
        self.missing = int.from_bytes(head[2:size], "big") if length > 125 else length
        self.is_update = self.missing >= UPDATE_BYTES
        if length <= 8:
            self.missing = 0
            self._answer(head[0] & 0xF, head[2:whole])
        return read

    def _answer(self, opcode: int, payload: bytes) -> None:
        """A ping of the WebSocket, and that of Engine.IO."""
        if opcode == PING:
            self.say(payload, PING + 1)
        elif payload == b"2":
            self.say(b"3")

    def _arrive(self) -> None:
        """A message has come whole."""
        if not self.ready.done():
            self.awaited -= 1
            if not self.awaited:
                self.ready.set_result(None)
        elif self.wave is not None and self.is_update:
            self.wave.arrive()


class Viewers:
    """The pages of one server, and the commits that they wait for."""

    def __init__(self) -> None:
        self.pages: list[Page] = []
        self.stalled: Page | None = None
        self.port = 0
        self.number = 0
        self.posting: asyncio.StreamWriter | None = None

    async def open(self, port: int, path: str, hellos: list[str], awaited: int, count: int) -> dict[str, Any]:
        """Open pages until there are `count`; each says one of `hellos` in turn and awaits so many messages."""
        self.port = port
        request = HANDSHAKE.format(path=path, port=port).encode()
        opening = asyncio.Semaphore(OPENING)

        async def one(number: int) -> None:
            async with opening:
                page = Page(request, hellos[number % len(hellos)].encode(), awaited)
                await asyncio.get_running_loop().create_connection(lambda: page, "127.0.0.1", port)
                await asyncio.wait_for(page.ready, PATIENCE_SECONDS)
                self.pages.append(page)

        began = time.perf_counter()
        await asyncio.gather(*(one(number) for number in range(len(self.pages), count)))
        await asyncio.sleep(SETTLE_SECONDS)
        return {"took": time.perf_counter() - began}

    async def stall(self) -> dict[str, Any]:
        """The last page reads nothing any more, and nobody waits for it; the system keeps little for it."""
        self.stalled = self.pages.pop()
        self.stalled.transport.pause_reading()
        connection = self.stalled.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, STALLED_BYTES)
        return {}

    async def commit(self, kind: str, database: str, count: int, every: float, patience: float) -> dict[str, Any]:
        """Commit `count` times, at least `every` seconds apart, each when all pages have the one before.

        Latencies in ms, from the moment at which the commit was done, or, through HTTP, was asked for.
        """
        act = self._foreign(database) if kind == "foreign" else await self._own()
        latencies: list[float] = []
        used = 0.0
        for number in range(count):
            wave = Wave(len(self.pages))
            for page in self.pages:
                page.wave = wave
            began, processor = time.perf_counter(), time.process_time()
            committed = act()
            try:
                await asyncio.wait_for(wave.whole, patience)
            except TimeoutError:
                return {"stopped": number, "latencies": latencies}
            used += time.process_time() - processor
            latencies += [(arrival - committed) * 1000 for arrival in wave.arrivals]
            # No whole multiple of any interval in a server.
            await asyncio.sleep(max(0.0, began + every * random.uniform(0.9, 1.1) - time.perf_counter()))
        return {"latencies": latencies, "client": used / count * 1000}

    async def close(self) -> dict[str, Any]:
        """Close every page."""
        for page in [*self.pages, *([self.stalled] if self.stalled else [])]:
            page.wave = None
            page.transport.abort()
        self.pages, self.stalled = [], None
        if self.posting is not None:
            self.posting.close()
            self.posting = None
        await asyncio.sleep(SETTLE_SECONDS)
        return {}

    def _foreign(self, database: str) -> Callable[[], float]:
        """Another program, which knows nothing of the server."""
        connection = sqlite3.connect(database, isolation_level=None)

        def act() -> float:
            self.number += 1
            connection.execute("INSERT INTO tasks (title) VALUES (?)", [f"From elsewhere {self.number}"])
            return time.perf_counter()

        return act

    async def _own(self) -> Callable[[], float]:
        """A form that is posted; its answer is read whenever it comes."""
        if self.posting is None:
            reader, self.posting = await asyncio.open_connection("127.0.0.1", self.port)
            self.answers = asyncio.ensure_future(_read_all(reader))
        writer = self.posting

        def act() -> float:
            self.number += 1
            form = f"title=From+a+form+{self.number}"
            began = time.perf_counter()
            writer.write(
                f"POST /tasks HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nContent-Length: {len(form)}\r\n"
                f"Content-Type: application/x-www-form-urlencoded\r\n\r\n{form}".encode()
            )
            return began

        return act


async def _read_all(reader: asyncio.StreamReader) -> None:
    while await reader.read(65536):
        pass


def main() -> None:
    """Do what is asked, one command a line."""
    import uvloop

    # A pause to collect would be counted as the server's.
    gc.disable()
    uvloop.run(_serve())


async def _serve() -> None:
    viewers = Viewers()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command = json.loads(line)
        try:
            answer = await getattr(viewers, command.pop("do"))(**command)
        except Exception as error:  # Whatever it was, who gave the command must hear of it.
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
