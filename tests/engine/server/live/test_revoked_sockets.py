"""Open sockets: of whom may not stay they are closed, whatever app they belong to and whatever server carries them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from server.fragments import SIGNED_IN
from server.guard.middleware import ADMITTED
from server.live import revoked_sockets
from server.live.revoked_sockets import LATER, SIGN_IN_FIRST, OpenSockets
from server.protocols.connection_table import Bounds
from tests.engine.watching import until


class Rights:
    """Who may stay, and a number that moves when somebody may not."""

    def __init__(self) -> None:
        self.version: int | None = 0
        self.out: set[str] = set()
        self.asked = 0

    def take(self, *people: str) -> None:
        self.out |= set(people)
        self.version = (self.version or 0) + 1

    def may_stay(self, scope: Scope) -> bool:
        self.asked += 1
        if "?" in self.out:
            raise OSError("the disk is gone")
        return scope["person"] not in self.out


class Outlet:
    def __init__(self) -> None:
        self.ended: list[int] = []

    def end(self, code: int, reason: str) -> None:
        self.ended.append(code)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """A route of one's own, as Starlette's documentation has it."""
    socket = WebSocket(scope, receive, send)
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text)


class Client:
    """One end of a socket, of a server that sends frames itself or not."""

    def __init__(self, app: Callable[..., Awaitable[None]], person: str, outlet: Outlet | None = None) -> None:
        self.sent: list[Message] = []
        self.said: asyncio.Queue[Message] = asyncio.Queue()
        self.said.put_nowait({"type": "websocket.connect"})
        extensions = {"server.frames": outlet} if outlet else {}
        scope = {"type": "websocket", "person": person, "extensions": extensions, "headers": [], "path": "/own"}
        scope[ADMITTED] = person
        if person != "owner":
            scope[SIGNED_IN] = "yes"
        self.task = asyncio.create_task(app(scope, self.said.get, self._send))  # type: ignore[arg-type]

    async def _send(self, message: Message) -> None:
        self.sent.append(message)
        if message["type"] == "websocket.close":
            self.said.put_nowait({"type": "websocket.disconnect", "code": message["code"]})

    async def leave(self) -> None:
        self.said.put_nowait({"type": "websocket.disconnect", "code": 1001})
        await self.task

    @property
    def codes(self) -> list[int]:
        return [each["code"] for each in self.sent if each["type"] == "websocket.close"]


@pytest.fixture
def rights() -> Rights:
    return Rights()


@pytest.fixture
def sockets(rights: Rights, monkeypatch: pytest.MonkeyPatch) -> OpenSockets:
    monkeypatch.setattr(revoked_sockets, "LOOK_SECONDS", 0.005)
    return OpenSockets(lambda: rights.version, rights.may_stay)


def test_those_of_who_may_not_stay_are_closed_and_no_others(sockets: OpenSockets, rights: Rights) -> None:
    async def run() -> None:
        outlet = Outlet()
        app = sockets.around(echo)
        clients = [Client(app, "a"), Client(app, "b"), Client(app, "a", outlet)]
        await until(lambda: all(each.sent for each in clients))
        await asyncio.sleep(0.02)
        assert rights.asked == 0, "nobody is asked about while nothing has moved"
        rights.take("a")
        await until(lambda: outlet.ended)
        await until(lambda: clients[0].task.done())
        assert (clients[0].codes, clients[1].codes, outlet.ended) == ([SIGN_IN_FIRST], [], [SIGN_IN_FIRST])
        clients[1].said.put_nowait({"type": "websocket.receive", "text": "still here"})
        await until(lambda: clients[1].sent[-1].get("text") == "still here")
        for client in clients[1:]:
            await client.leave()

    in_loop(run)


def test_who_ends_a_session_looks_at_once(rights: Rights) -> None:
    async def run() -> None:
        sockets = OpenSockets(lambda: rights.version, rights.may_stay)
        client = Client(sockets.around(echo), "a")
        await until(lambda: client.sent)
        rights.take("a")
        sockets.look()
        await until(lambda: client.task.done(), seconds=revoked_sockets.LOOK_SECONDS * 0.9)
        assert client.codes == [SIGN_IN_FIRST]

    in_loop(run)


def test_what_cannot_be_found_out_is_no_yes(sockets: OpenSockets, rights: Rights) -> None:
    async def run() -> None:
        client = Client(sockets.around(echo), "a")
        await until(lambda: client.sent)
        rights.take("?")
        await until(lambda: client.task.done())
        assert client.codes == [LATER]

    in_loop(run)


def test_a_connection_that_is_gone_keeps_nobody_from_being_closed(sockets: OpenSockets, rights: Rights) -> None:
    async def run() -> None:
        clients = [Client(sockets.around(echo), "a") for _ in range(2)]
        await until(lambda: all(each.sent for each in clients))

        async def fail(message: Message) -> None:
            raise OSError("gone")

        first = next(iter(sockets._open))
        sockets._open[first] = (sockets._open[first][0], fail)
        rights.take("a")
        await until(lambda: clients[1].task.done())
        await clients[0].leave()

    in_loop(run)


def test_one_session_does_not_take_the_places_of_all_and_the_owner_has_as_many_as_there_are(
    rights: Rights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revoked_sockets, "bounds", lambda files: Bounds(4, 2, 4, 4))

    async def run() -> None:
        app = OpenSockets(lambda: rights.version, rights.may_stay).around(echo)
        clients = [Client(app, "a") for _ in range(2)]
        await until(lambda: all(each.sent for each in clients))
        third = Client(app, "a")
        await asyncio.wait_for(third.task, 5)
        assert third.codes == [LATER]
        clients.append(Client(app, "b"))
        await until(lambda: clients[2].sent)
        await clients.pop(0).leave()
        clients.append(Client(app, "a"))
        await until(lambda: clients[2].sent)
        clients += [Client(app, "owner") for _ in range(3)]
        await until(lambda: all(each.sent for each in clients))
        assert [each.codes for each in clients] == [[]] * 6
        for each in clients:
            await each.leave()

    in_loop(run)


def test_nothing_is_looked_at_without_open_sockets(sockets: OpenSockets, rights: Rights) -> None:
    async def run() -> None:
        for _ in range(2):
            client = Client(sockets.around(echo), "a")
            await until(lambda: client.sent)  # noqa: B023
            await client.leave()
            assert sockets._timer is None
        rights.take("a")
        sockets.look()
        assert rights.asked == 0

    in_loop(run)


def test_anything_but_a_socket_passes(sockets: OpenSockets) -> None:
    async def run() -> None:
        seen: list[Any] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            seen.append((scope, receive, send))

        scope: Scope = {"type": "http"}
        await sockets.around(app)(scope, run, run)  # type: ignore[arg-type]
        assert seen == [(scope, run, run)]

    in_loop(run)


def in_loop(run: Callable[[], Any]) -> None:
    """Run it, then make sure that it has left nothing in the loop."""

    async def watched() -> None:
        await run()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(watched())
