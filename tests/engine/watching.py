"""Pages that follow: of a hub alone, around an app of a few lines where a fault can be made, and of a real server."""

import asyncio
import json
import re
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from server.guard.middleware import ADMITTED
from server.live import endpoint, views
from server.live.endpoint import Hub
from server.live.messages import Frame
from server.live.views import State
from tests.engine.conftest import PATIENCE


class App:
    """Views by their path: how often each was rendered, and a number for each that is its data."""

    def __init__(self) -> None:
        self.data: dict[str, int] = {}
        self.commits = 0
        self.renders: dict[str, int] = {}
        self.instead: dict[str, Callable[[Scope, Send], Awaitable[None]]] = {}

    def commit(self, *paths: str) -> None:
        """Change what these views show; without any, something that none shows."""
        self.commits += 1
        for path in paths:
            self.data[path] = self.commits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        self.renders[path] = self.renders.get(path, 0) + 1
        if path in self.instead:
            await self.instead[path](scope, send)
        else:
            await answer(send, element(path.strip("/"), self.data.get(path, 0)))


def element(id: str, number: int, more: str = "") -> str:
    """What a view answers; its version says which state it is."""
    return f'<p id="{id}" data-live="/{id}" data-version="v{number}">{more}</p>'


async def answer(send: Send, text: str, status: int = 200, kind: bytes = b"text/html; charset=utf-8") -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
    await send({"type": "http.response.body", "body": text.encode()})


class Outlet:
    """A connection that takes what is written, unless it is blocked."""

    def __init__(self) -> None:
        self.on_drain: Callable[[], None] | None = None
        self.standing: str | None = None
        self.frames: list[str] = []
        self.is_blocked = False
        self.is_given_up = False
        self.on_frame: Callable[[str], None] = lambda text: None

    def write_frame(self, frame: Frame) -> bool:
        if self.is_blocked:
            return False
        self.frames.append(frame.text)
        self.on_frame(frame.text)
        return True

    def drain(self) -> None:
        self.is_blocked = False
        if self.on_drain is not None:
            self.on_drain()

    def end(self, code: int, reason: str) -> None:
        self.is_given_up = code == 1013


class Page:
    """An open page of the hub alone."""

    def __init__(self, hub: Hub, cookie: str = "", outlet: Outlet | None = None, person: str = "") -> None:
        self.outlet = outlet or Outlet()
        self.sent: list[Message] = []
        self._said: asyncio.Queue[Message] = asyncio.Queue()
        headers = [(b"host", b"localhost")] + ([(b"cookie", cookie.encode())] if cookie else [])
        scope = {
            "type": "websocket",
            "scheme": "ws",
            "headers": headers,
            "server": ("127.0.0.1", 5001),
            ADMITTED: person,
            "extensions": {"server.frames": self.outlet},
        }
        self._said.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.create_task(hub(scope, self._said.get, self._send))

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    def say(self, text: str) -> None:
        self._said.put_nowait({"type": "websocket.receive", "text": text})

    def watch(self, **versions: str | None) -> None:
        self.say(watching(*((id, f"/{id}", version) for id, version in versions.items())))

    async def heard(self) -> None:
        """Wait until the hub has taken in all that was said; it does so between two of its waits."""
        await until(self._said.empty)

    async def close(self) -> None:
        self._said.put_nowait({"type": "websocket.disconnect", "code": 1001})
        await self.task

    @property
    def frames(self) -> list[str]:
        """The versions that were sent, each with its element."""
        return [" ".join(state_of(text)) for text in self.outlet.frames]


def watching(*entries: tuple[str, str, str | None]) -> str:
    return json.dumps({"watch": [{"id": id, "url": url, "version": version} for id, url, version in entries]})


def state_of(frame: str) -> tuple[str, str]:
    """The element that a frame is for, and its version."""
    found = re.match(r'<hx-partial hx-target="#([\w-]+)" hx-swap="(\w+)">(.*)</hx-partial>$', frame, re.DOTALL)
    assert found, frame
    if found[2] != "outerMorph":
        return found[1], found[3]
    version = re.match(r'[^>]* data-version="([^"]*)"', found[3])
    return found[1], version[1] if version else found[3]


async def until(happened: Callable[[], Any], seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        await asyncio.sleep(0.001)


async def settled(hub: Hub) -> None:
    """Wait until all has been rendered that is to be."""
    await until(lambda: not hub._renderings._tasks and all(view.state is State.FRESH for view in hub._views.values()))


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def hub(app: App, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub that does not dawdle."""
    monkeypatch.setattr(endpoint, "LOOK_SECONDS", 0.002)
    monkeypatch.setattr(views, "FRAME_SECONDS", 0.001)
    return Hub(app, lambda: app.commits, cookies=lambda scope: ("session",))


def in_loop(run: Coroutine[Any, Any, None]) -> None:
    """Run it, then make sure that it has left nothing in the loop."""

    async def watched() -> None:
        await run
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(watched())


class Follower:
    """The socket of a page of the real server."""

    def __init__(self, url: str, cookie: str = "") -> None:
        headers = {"Cookie": cookie} if cookie else {}
        self._connection = connect(f"ws{url.removeprefix('http')}/live", additional_headers=headers)
        self.socket = self._connection.__enter__()
        self.frames: list[str] = []

    def watch(self, *entries: tuple[str, str, str | None]) -> None:
        self.socket.send(watching(*entries))

    def next(self) -> tuple[str, str]:
        """The element and version of the next frame."""
        self.frames.append(str(self.socket.recv(timeout=PATIENCE)))
        return state_of(self.frames[-1])

    def until(self, id: str, version: str) -> None:
        """Take frames until this element has this version."""
        while self.next() != (id, version):
            pass

    def until_text(self, text: str) -> None:
        """Take frames until one has this text."""
        while text not in (self.frames or [""])[-1]:
            self.next()

    def close_code(self) -> tuple[int, str]:
        """How the server ends the connection."""
        with pytest.raises(ConnectionClosed) as closed:
            list(self.socket)
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code, closed.value.rcvd.reason

    def __enter__(self) -> "Follower":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.__exit__(None, None, None)


def version_of(url: str, path: str, cookie: str = "") -> str:
    """The version that a page shows which is loaded now."""
    headers = {"HX-Request": "true"} | ({"Cookie": cookie} if cookie else {})
    found = re.search(r'data-version="([^"]+)"', httpx.get(f"{url}{path}", headers=headers).text)
    assert found
    return found[1]


def handshake(host: str) -> bytes:
    """How a page asks for its socket."""
    return (
        f"GET /live HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {b64encode(bytes(16)).decode()}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


@contextmanager
def serving(app: ASGIApp) -> Iterator[int]:
    """An app on Uvicorn with our protocols, in a thread; the port."""
    config = uvicorn.Config(
        app,
        http="server.protocols.http1:HttpProtocol",
        ws="server.protocols.websocket:WebSocketProtocol",
        lifespan="off",
        log_level="critical",
    )
    served = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=served.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            served.should_exit = True
            thread.join(10)
