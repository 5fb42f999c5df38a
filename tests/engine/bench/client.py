"""The load client, a process of its own: keep-alive connections that each ask again when the answer is whole.

A closed loop, without pipelining. It reads one job in JSON per line and answers one line in JSON, so that it is warm
when it counts. It is a bare protocol, as any HTTP library for Python would take longer than the servers it asks.
"""

import array
import asyncio
import gc
import json
import re
import sys
import time
from hashlib import blake2b
from itertools import count
from typing import Any

# Connections are opened and the server's caches filled before anything is counted.
RAMP_SECONDS = 0.3
# What a job may take beyond its time before it is given up.
PATIENCE_SECONDS = 15
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
# No two requests of a run have the same number, so an address with {number} in it is always a new one.
numbers = count(1)


class Wrong(Exception):
    """The server answered something else than expected."""


class Load:
    """One job: what is asked, what must come back, and what was counted."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.port = job["port"]
        self.connections = job["connections"]
        self.seconds = job["seconds"]
        self.status = b"HTTP/1.1 %d " % job["status"]
        self.length = job["length"]
        self.hash = job["hash"]
        self.request: str = job["request"]
        self.fixed = None if "{number}" in self.request else self.request.encode()
        self.latencies = array.array("d")
        self.answers = 0
        self.reconnects = 0
        self.is_over = False
        self.open = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> dict[str, Any]:
        """Ask for as long as the job says; what was counted."""
        started = time.perf_counter()
        for _ in range(self.connections):
            await self.connect()
        await asyncio.sleep(RAMP_SECONDS)
        self.latencies = array.array("d")
        began, processor = time.perf_counter(), time.process_time()
        await asyncio.wait([self.done], timeout=self.seconds)
        self.is_over = True
        took, used = time.perf_counter() - began, time.process_time() - processor
        latencies = sorted(self.latencies)
        await asyncio.wait_for(self.done, PATIENCE_SECONDS)
        if not latencies:
            raise Wrong("no answer came in time")
        return {
            "rate": len(latencies) / took,
            "p50": latencies[len(latencies) // 2] * 1000,
            "p99": latencies[len(latencies) * 99 // 100] * 1000,
            "client": used / took,
            "answers": self.answers,
            "elapsed": time.perf_counter() - started,
            "reconnects": self.reconnects,
        }

    async def connect(self) -> None:
        """Open one more connection."""
        await asyncio.get_running_loop().create_connection(lambda: Connection(self), "127.0.0.1", self.port)
        self.open += 1

    def next_request(self) -> bytes:
        """The bytes of the next request."""
        return self.fixed or self.request.replace("{number}", str(next(numbers))).encode()

    def closed(self) -> None:
        """A connection has ended: open another where the server keeps none alive."""
        self.open -= 1
        if not self.is_over and not self.done.done():
            self.reconnects += 1
            self.reconnecting = asyncio.ensure_future(self.connect())
        elif self.open == 0 and not self.done.done():
            self.done.set_result(None)

    def fail(self, error: Exception) -> None:
        """Give up the job."""
        if not self.done.done():
            self.done.set_exception(error)


class Connection(asyncio.Protocol):
    """One connection: a request is written, its answer read to the end and checked, then the next request follows."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.head = b""
        self.missing = 0
        self.sent = 0.0
        # The first body is kept to be hashed; of the others only the length is looked at.
        self.first: bytearray | None = bytearray()

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self.transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Take a piece of the answer."""
        try:
            if not self.missing:
                data = self._read_head(data)
                if data is None:
                    return
            if self.first is not None:
                self.first += data
            self.missing -= len(data)
            if self.missing <= 0:
                self._finish()
        except Wrong as error:
            self.load.fail(error)
            self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """The server, or the end of the job, has closed it."""
        self.load.closed()

    def _ask(self) -> None:
        self.sent = time.perf_counter()
        self.transport.write(self.load.next_request())

    def _read_head(self, data: bytes) -> Any:
        """Check status and length; the begin of the body, None while the head is not whole."""
        if self.head:
            data = self.head + data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self.head = data
            return None
        self.head = b""
        head = data[: end + 2]
        if not head.startswith(self.load.status):
            raise Wrong(f"expected {self.load.status!r}, found {head!r} {data[end + 4 : end + 200]!r}")
        # An answer without a body need not name its length.
        if self.load.length:
            found = LENGTH.search(head)
            if found is None or int(found[1]) != self.load.length:
                raise Wrong(f"expected a body of {self.load.length} bytes, found {head!r}")
        self.missing = self.load.length
        return data[end + 4 :]

    def _finish(self) -> None:
        load = self.load
        load.answers += 1
        load.latencies.append(time.perf_counter() - self.sent)
        if self.missing < 0:
            raise Wrong(f"{-self.missing} bytes came after the end of the answer")
        if self.first is not None:
            if blake2b(self.first).hexdigest() != load.hash:
                raise Wrong(f"another body than expected: {bytes(self.first[:300])!r}…")
            self.first = None
        if load.is_over or load.done.done():
            self.transport.close()
        else:
            self._ask()


def main() -> None:
    """Do each job that comes in."""
    import uvloop

    # A pause to collect would be counted as the server's.
    gc.disable()
    for line in sys.stdin:
        try:
            answer = uvloop.run(_do(json.loads(line)))
        except Exception as error:  # Whatever it was, who gave the job must hear of it.
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
        gc.collect()


async def _do(job: dict[str, Any]) -> dict[str, Any]:
    return await Load(job).run()


if __name__ == "__main__":
    main()
