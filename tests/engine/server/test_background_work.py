"""Background work: what fails is logged, counted and begun again, and nothing goes on without being looked after."""

import ast
import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.access.access_file import AccessFile
from app.database.db import Database
from app.database.preparation import prepare
from app.imports import import_queue
from app.migrations import migrations
from app.pages import presence
from server import background_work
from server.live import endpoint
from server.live.render_queue import _taken as taken
from server.live.revoked_sockets import OpenSockets
from server.protocols.connection_table import Connections, bounds
from server.reload import worker_pipe
from server.reload.edits.file_watch import Edits
from server.settings import Settings
from server.sharing import certificate_renewal
from server.workers import stalled_loop
from tests.engine.conftest import PATIENCE, ROOT
from tests.engine.watching import Page, answer, element

PAUSE = 0.01


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Short pauses, and nothing known of earlier failures."""
    monkeypatch.setattr(background_work, "FIRST_PAUSE", PAUSE)
    monkeypatch.setattr(background_work, "_records", {})
    return


class Failing:
    """What raises as often as there are errors, and then does what it is to do."""

    def __init__(self, *errors: BaseException, then: Callable[..., Any] = lambda *_: None) -> None:
        self.errors = list(errors)
        self.then = then
        self.calls = 0

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Raise, or do it."""
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.then(*arguments, **named)


async def nothing() -> None:
    """Awaited."""


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.exc_info]


def test_a_task_that_fails_is_logged_counted_and_begun_again(caplog: pytest.LogCaptureFixture) -> None:
    work = Failing(ValueError("first"), KeyError("second"), then=nothing)
    asyncio.run(awaited(background_work.begin, "Baking", work))
    assert work.calls == 3
    assert logged(caplog) == [f"Baking failed, and is begun again in {pause} s." for pause in (PAUSE, 2 * PAUSE)]
    assert "ValueError: first" in caplog.text
    assert "Traceback" in caplog.text
    assert background_work.failures() == {"Baking": 2}
    assert background_work.troubles() == ["Baking fails: KeyError: 'second'"]


async def awaited(start: Callable[..., "asyncio.Task[None]"], *arguments: Any) -> None:
    await start(*arguments)


def test_the_pauses_grow_up_to_a_bound_and_begin_anew_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_work, "LONGEST_PAUSE", 4 * PAUSE)
    pauses = background_work._Pauses()
    assert [pauses.next("Baking", ValueError()) for _ in range(5)] == [PAUSE, *[each * PAUSE for each in (2, 4, 4, 4)]]
    pauses._begun -= background_work.WELL_SECONDS + 1
    assert pauses.next("Baking", ValueError()) == PAUSE


def test_what_goes_well_again_is_no_trouble_any_more() -> None:
    work = Failing(ValueError("flour"), then=nothing)

    async def go() -> None:
        task = background_work.every(PAUSE, "Baking", work)
        await until(lambda: background_work.troubles() == ["Baking fails: ValueError: flour"])
        await until(lambda: work.calls >= 3)
        assert background_work.troubles() == []
        assert background_work.failures() == {"Baking": 1}
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        calls = work.calls
        await asyncio.sleep(5 * PAUSE)
        assert work.calls == calls

    asyncio.run(go())


def test_a_cancelled_future_that_it_waits_for_does_not_end_it() -> None:
    work = Failing(asyncio.CancelledError(), then=nothing)
    asyncio.run(awaited(background_work.begin, "Baking", work))
    assert (work.calls, background_work.failures()) == (2, {"Baking": 1})


@pytest.mark.parametrize("error", [ValueError("flour"), SystemExit(3), KeyboardInterrupt()])
def test_a_thread_that_fails_is_begun_again(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    work = Failing(error)
    background_work.thread("Kneading", work).join(PATIENCE)
    assert (work.calls, background_work.failures()) == (2, {"Kneading": 1})
    assert len(logged(caplog)) == 1


def test_what_cannot_be_begun_again_is_logged_now_and_then_and_always_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def burn() -> None:
        raise ValueError("burnt")

    async def go() -> None:
        await asyncio.gather(*(background_work.once("Toasting", burn()) for _ in range(5)))
        background_work.attempt("Slicing", Failing(ValueError("cut")))

    asyncio.run(go())
    assert logged(caplog) == ["Toasting failed.", "Slicing failed."]
    assert background_work.failures() == {"Toasting": 5, "Slicing": 1}
    assert background_work.troubles() == [], "it is over"


def test_what_is_cancelled_before_it_has_begun_is_no_warning() -> None:
    async def go() -> None:
        task = background_work.once("Toasting", nothing())
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(go())


def test_what_nobody_has_caught_is_counted_too(caplog: pytest.LogCaptureFixture) -> None:
    async def go() -> None:
        loop = asyncio.get_running_loop()
        background_work.hear(loop)
        loop.call_soon(Failing(ValueError("nobody's")))
        await until(background_work.failures)

    asyncio.run(go())
    assert background_work.failures() == {"event loop": 1}
    assert "nobody's" in caplog.text


def test_a_task_belongs_to_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    from server.log import request_id

    seen = []

    async def look() -> None:
        seen.append(request_id.get())

    async def go() -> None:
        request_id.set("7f-1")
        await background_work.begin("Looking", look)
        await background_work.once("Looking", look())

    asyncio.run(go())
    assert seen == ["", ""]


# Each of those that there are comes back


def presence_writes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, work: Failing) -> Callable[[], None]:
    work.then = lambda change: nothing()
    monkeypatch.setattr(presence.db, "write", work)
    return lambda: presence.Presence().count(3)


def sign_in_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, work: Failing) -> Callable[[], None]:
    monkeypatch.setattr("app.access.access_file.SOON_SECONDS", PAUSE)
    file = AccessFile(tmp_path)
    work.then = lambda change: nothing()
    monkeypatch.setattr(file, "write", work)

    def start() -> None:
        # What is being written when it fails is lost; what comes after it is not.
        file.write_soon(print)
        asyncio.get_running_loop().call_later(20 * PAUSE, file.write_soon, print)

    return start


def imports_are_worked_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, work: Failing) -> Callable[[], None]:
    work.then = lambda: no_rows()
    monkeypatch.setattr(import_queue, "_waiting", work)
    return lambda: import_queue.Queue().wake()


async def no_rows() -> list[Any]:
    return []


def certificates_are_renewed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, work: Failing) -> Callable[[], None]:
    monkeypatch.setattr(certificate_renewal, "LOOK_SECONDS", PAUSE)
    work.then = lambda settings: (None, None)
    monkeypatch.setattr(certificate_renewal.certificate, "files", work)
    monkeypatch.setattr(certificate_renewal.Settings, "from_environment", lambda: Settings())

    class Config:
        ssl, ssl_certfile, ssl_keyfile = object(), None, None

    return lambda: certificate_renewal.begin(Config()) and None  # type: ignore[arg-type,func-returns-value]


def live_pages_are_looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, work: Failing) -> Callable[[], None]:
    work.then = lambda: 0.0
    error = work.errors.pop()

    async def app(*_: Any) -> None:
        """Never asked."""

    hub = endpoint.Hub(app, token=lambda: 1, clock=work)

    class Tab:
        shows: dict[str, Any] = {}  # noqa: RUF012

    def start() -> None:
        hub._add(Tab())  # type: ignore[arg-type]
        work.errors.append(error)

    return start


def sockets_are_looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, work: Failing) -> Callable[[], None]:
    monkeypatch.setattr("server.live.revoked_sockets.LOOK_SECONDS", PAUSE)
    error = work.errors.pop()
    sockets = OpenSockets(work, lambda scope: True)

    async def send(message: Any) -> None:
        """Never called."""

    def start() -> None:
        sockets._add(1, {"type": "websocket"}, send)
        work.errors.append(error)

    return start


def connections_are_looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, work: Failing) -> Callable[[], None]:
    monkeypatch.setattr("server.protocols.connection_table.TICK_SECONDS", PAUSE)
    table = Connections(bounds(1000))
    monkeypatch.setattr(table.cuts, "tick", work)

    class Connection:
        def look(self) -> None:
            """All is well."""

    return lambda: table.enter(Connection(), "")  # type: ignore[arg-type]


def edits_are_heard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, work: Failing) -> Callable[[], None]:
    over = threading.Event()
    work.then = lambda: [tmp_path] if not over.wait(0.05) else over.wait(PATIENCE) and []
    edits = Edits(tmp_path)

    class Inotify:
        read = staticmethod(work)
        has_more = staticmethod(lambda seconds: False)

    edits._inotify = Inotify()  # type: ignore[assignment]
    return lambda: edits.watch(lambda paths: None)


def loops_are_watched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, work: Failing) -> Callable[[], None]:
    monkeypatch.setattr("server.workers.stalled_loop.LOOK_SECONDS", PAUSE)
    monkeypatch.setattr("server.workers.stalled_loop.IS_TIMED", False)
    loops: list[asyncio.AbstractEventLoop] = []
    error = work.errors.pop()

    def wind_up(seconds: float) -> None:
        work()

    def start() -> None:
        loops.append(asyncio.get_running_loop())
        stalled_loop.Watch().follow(loops[0])
        monkeypatch.setattr("server.workers.stalled_loop._wind_up", wind_up)
        work.errors.append(error)

    return start


def workers_are_heard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, work: Failing) -> Callable[[], None]:
    ended = threading.Event()
    work.then = lambda: ended.wait(0.05) and None

    class Silent(worker_pipe.Worker):
        def __init__(self) -> None:
            """Without a process."""

        def _hear(self) -> None:
            work()
            work()

    return lambda: background_work.thread("Hearing a worker", Silent()._hear) and None


def files_are_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, work: Failing) -> Callable[[], None]:
    database = Database()
    database.open(prepare(tmp_path / "data", migrations))
    database.on_commit = work

    def start() -> None:
        async def write() -> None:
            for _ in range(2):  # The second one finds a writer too, with a connection of its own.
                await database.write(lambda connection: connection.execute("DELETE FROM presence"))
            database.close()

        background_work.once("Test", write())

    return start


def views_are_rendered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, work: Failing) -> Callable[[], None]:
    """One of which a rendering has failed is rendered again at the next commit."""
    commits = [0]
    work.then = lambda view, answer: answer

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, element("a", commits[0]))

    hub = endpoint.Hub(app, token=lambda: commits[0])
    monkeypatch.setattr(
        "server.live.render_queue._taken", lambda view, answer: work(view, answer) and taken(view, answer)
    )

    def start() -> None:
        page = Page(hub)
        page.watch(a=None)
        loop = asyncio.get_running_loop()

        def commit() -> None:
            commits[0] += 1

        loop.call_later(20 * PAUSE, commit)

    return start


LOOPS = [
    loops_are_watched,
    workers_are_heard,
    files_are_written,
    views_are_rendered,
    presence_writes,
    sign_in_is_kept,
    imports_are_worked_on,
    certificates_are_renewed,
    live_pages_are_looked_at,
    sockets_are_looked_at,
    connections_are_looked_at,
    edits_are_heard,
]


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__name__)
def test_each_loop_comes_back(
    loop: Callable[..., Callable[[], None]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    work = Failing(ZeroDivisionError("once"))
    start = loop(monkeypatch, tmp_path, work)

    async def go() -> None:
        start()
        await until(lambda: not work.errors and background_work.failures())
        calls = work.calls
        await until(lambda: work.calls > calls)

    asyncio.run(go())
    assert list(background_work.failures().values()) == [1]
    assert "ZeroDivisionError: once" in caplog.text


# Nothing else starts any

STARTS = {"create_task", "ensure_future", "Thread", "Timer", "start_new_thread"}
# What is awaited where it was started, or ends the process.
AWAITED = {
    "app/exports/export_routes.py": {"_made": "asyncio.shield(job)", "_send": "await sending"},
    "app/database/reads.py": {"_read_patiently": "asyncio.wait(awaited"},
    "server/workers/stalled_loop.py": {"_hangs": "os._exit"},
}


def test_no_task_or_thread_is_started_elsewhere() -> None:
    bare = []
    for path in [ROOT / "server.py", *(each for room in ("app", "server", "templates") for each in
                                       sorted((ROOT / room).rglob("*.py")))]:  # fmt: skip
        name = path.relative_to(ROOT).as_posix()
        text = path.read_text(encoding="utf-8")
        if name == "server/background_work.py":
            continue
        for function in ast.walk(ast.parse(text)):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            started = [node for node in ast.walk(function) if isinstance(node, ast.Call) and called(node) in STARTS]
            awaited = AWAITED.get(name, {}).get(function.name)
            if started and not (awaited and awaited in (ast.get_source_segment(text, function) or "")):
                bare.append(f"{name}:{function.name}")
    assert bare == [], "start it with server/background_work.py"


def called(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
