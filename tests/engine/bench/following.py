"""Who sees an edit: a page in a real Chromium, a client that asks without end, and a crowd that must notice nothing."""

import asyncio
import http.client
import shutil
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.engine.chromium import BROWSERS

SCRIPT = Path(__file__).with_name("painted.js")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]
# Between two questions of the client that waits for the edit.
PAUSE_SECONDS = 0.002
CROWD_PER_SECOND = 200
KEPT_CONNECTIONS = 8
ANSWER_SECONDS = 10


class Page:
    """A page that is open all the time, and what its script says: kind, value, seconds since 1970."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str, float]] = []
        self._news = asyncio.Event()

    def hear(self, source: Any, kind: str, value: str, moment: float) -> None:
        """What the script has seen."""
        self.said.append((kind, value, moment / 1000))
        self._news.set()

    async def wait(self, wanted: Iterable[tuple[str, str]], seconds: float) -> float | None:
        """When all of it was there; None where it is not in time."""
        try:
            async with asyncio.timeout(seconds):
                while any(self.when(*each) is None for each in wanted):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return None
        return max(self.when(*each) or 0 for each in wanted)

    def when(self, kind: str, value: str, since: float = 0) -> float | None:
        """When it was said first."""
        return next((when for *said, when in self.said if said == [kind, value] and when >= since), None)


@asynccontextmanager
async def chromium() -> AsyncIterator[Any]:
    """A real Chromium, the system's own."""
    from playwright.async_api import async_playwright

    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        raise SystemExit("No Chromium on this machine: install the system's package `chromium`.")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        await browser.close()


async def open_page(browser: Any, address: str) -> Page:
    """A person's page; a browser of its own, so that none is in the background."""
    page = Page()
    context = await browser.new_context(timezone_id="UTC")
    await context.expose_binding("said", page.hear)
    await context.add_init_script(path=SCRIPT)
    await (await context.new_page()).goto(address)
    return page


def served(port: int, wanted: bytes, seconds: float) -> float | None:
    """When the list has `wanted` in it, for a client that keeps its connection; None where it has not in time."""
    deadline = time.time() + seconds
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        while time.time() < deadline:
            try:
                connection.request("GET", "/tasks")
                found = wanted in connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                connection.close()
                found = False
            if found:
                return time.time()
            time.sleep(PAUSE_SECONDS)
        return None
    finally:
        connection.close()


class Crowd:
    """A steady stream of requests, every other one on a new connection; what they met."""

    def __init__(self, port: int, path: str) -> None:
        self.port = port
        self.request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        self.taken: list[float] = []
        self.failures: list[str] = []
        self._kept: deque[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = deque()

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        """Ask as long as this lasts."""
        self._kept.extend([await self._connect() for _ in range(KEPT_CONNECTIONS)])
        stream = asyncio.create_task(self._ask_steadily())
        try:
            yield
        finally:
            stream.cancel()
            await asyncio.wait([stream])
            while self._kept:
                self._kept.popleft()[1].close()

    async def _ask_steadily(self) -> None:
        asked: set[asyncio.Task[None]] = set()
        begin = time.perf_counter()
        number = 0
        try:
            while True:
                await asyncio.sleep(max(0, begin + number / CROWD_PER_SECOND - time.perf_counter()))
                task = asyncio.create_task(self._ask(keeps=number % 2 == 0))
                asked.add(task)
                task.add_done_callback(asked.discard)
                number += 1
        finally:
            if asked:
                await asyncio.wait(asked)

    async def _ask(self, keeps: bool) -> None:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                # Where all that are kept wait for an answer, one more is opened, as browsers do.
                reader, writer = self._kept.popleft() if keeps and self._kept else await self._connect()
                writer.write(self.request)
                head = await reader.readuntil(b"\r\n\r\n")
                fields = dict(line.lower().split(b": ", 1) for line in head.splitlines()[1:] if line)
                await reader.readexactly(int(fields[b"content-length"]))
            if not head.startswith(b"HTTP/1.1 200 "):
                raise ValueError(head.splitlines()[0].decode())
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            self.failures.append(f"{type(error).__name__}: {error}")
            return
        self.taken.append(time.perf_counter() - began)
        if keeps and fields.get(b"connection") != b"close":
            self._kept.append((reader, writer))
        else:
            writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)
