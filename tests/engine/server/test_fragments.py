"""The fragment cache: an answer is kept until the next commit, for one URL and one person, and never longer.

The rules are shown on the cache alone, around an app that counts its renderings; what a person relies on, on the real
server over HTTP.
"""

import asyncio
import logging
import threading
import tracemalloc
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, tzinfo
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from server import fragments
from server.fragments import CHECK_EVERY, FragmentCache, fragment, today, zone
from tests.engine.conftest import Server

Headers = dict[str, str] | list[tuple[str, str]]


@dataclass
class Answer:
    """What came out of the cache."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def text(self) -> str:
        return self.body.decode()


def scope_of(url: str = "/", method: str = "GET", headers: Headers = {}) -> Scope:  # noqa: B006
    path, _, query = url.partition("?")
    given = headers.items() if isinstance(headers, dict) else headers
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in given],
    }


def no_body() -> Receive:
    """What a client sends that asks and then waits: an empty body, and nothing more."""
    messages = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Message:
        for message in messages:
            return message
        return await asyncio.get_running_loop().create_future()

    return receive


async def asked(app: Callable[..., Awaitable[None]], *request: Any, **more: Any) -> Answer:
    """The answer of an ASGI app to a request."""
    answer = Answer()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            assert answer.status == 0, "an answer begins once"
            answer.status = message["status"]
            answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            answer.body += message.get("body", b"")

    await app(scope_of(*request, **more), no_body(), send)
    return answer


class Kept:
    """A cache around one route, and how often that route has rendered."""

    def __init__(self, render: Callable[[Request], Any] | None = None, *, methods: Any = None, **options: Any) -> None:
        self.renderings = 0
        self.token = 0
        self.render = render or (lambda request: PlainTextResponse(f"{request.url.path}, data {self.token}"))
        app = Starlette(routes=[Route("/{path:path}", self._route, methods=methods)])
        self.cache = FragmentCache(app, lambda: self.token, session_cookie="session", **options)

    async def _route(self, request: Request) -> Response:
        self.renderings += 1
        return await self._kept(request)

    @fragment
    async def _kept(self, request: Request) -> Response:
        return self.render(request)

    def get(self, url: str = "/", method: str = "GET", headers: Headers = {}) -> Answer:  # noqa: B006
        return asyncio.run(asked(self.cache, url, method, headers))


@pytest.fixture
def kept() -> Kept:
    return Kept()


class Clock:
    """Stands in for `datetime` in the cache: the present moment is set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *moment: int) -> None:
        self.moment = datetime(*moment, tzinfo=UTC)
        monkeypatch.setattr(fragments, "datetime", self)

    def now(self, zone: tzinfo | None) -> datetime:
        return self.moment.astimezone(zone or UTC)


# A hit


def test_a_kept_answer_does_not_reach_the_app(kept: Kept) -> None:
    first = kept.get("/tasks?q=milk")
    assert kept.renderings == 1
    assert [kept.get("/tasks?q=milk") for _ in range(3)] == [first] * 3
    assert kept.renderings == 1
    assert (first.status, first.text) == (200, "/tasks, data 0")


def test_an_answer_says_how_it_may_be_kept_by_others(kept: Kept) -> None:
    for answer in (kept.get(), kept.get()):
        assert answer.headers["cache-control"] == "private, no-cache"
        assert {name.strip() for name in answer.headers["vary"].split(",")} == {
            "HX-Request",
            "HX-History-Restore-Request",
            "Cookie",
        }
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.headers["content-length"] == str(len(answer.body))


def test_an_answer_has_one_etag_vary_and_cache_control_whatever_the_route_says() -> None:
    mixed = {"ETag": '"mine"', "Vary": "Accept", "Cache-Control": "public"}
    kept = Kept(lambda request: PlainTextResponse("x", headers=mixed))
    sent: list[tuple[bytes, bytes]] = []

    async def send(message: Message) -> None:
        sent.extend(message.get("headers", []))

    asyncio.run(kept.cache(scope_of(), no_body(), send))
    for name in (b"etag", b"vary", b"cache-control"):
        assert [key.lower() for key, _ in sent].count(name) == 1


def test_the_etag_names_the_bytes(kept: Kept) -> None:
    etag = kept.get("/a").headers["etag"]
    assert etag.startswith('"')
    assert etag.endswith('"')
    kept.token = 1
    assert kept.get("/a").headers["etag"] != etag
    kept.token = 2
    kept.render = lambda request: PlainTextResponse("/a, data 0")
    assert kept.get("/a").headers["etag"] == etag


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', '{}, "other"', 'W/"other" , W/{} ', "*"])
def test_a_browser_that_has_the_bytes_is_not_sent_them_again(kept: Kept, form: str) -> None:
    full = kept.get()
    header = {"If-None-Match": form.format(full.headers["etag"])}
    hit = kept.get(headers=header)
    kept.token = 1
    kept.render = lambda request: PlainTextResponse(full.text)
    rendered_again = kept.get(headers=header)
    for answer in (hit, rendered_again):
        assert (answer.status, answer.body) == (304, b"")
        assert answer.headers["etag"] == full.headers["etag"]
        assert answer.headers["vary"] == full.headers["vary"]
        assert answer.headers["cache-control"] == full.headers["cache-control"]
        assert "content-length" not in answer.headers


@pytest.mark.parametrize("form", ["", '"other"', "{unquoted}", 'W/"other"', "no tag at all"])
def test_a_browser_that_has_other_bytes_is_sent_these(kept: Kept, form: str) -> None:
    full = kept.get()
    header = {"If-None-Match": form.format(unquoted=full.headers["etag"].strip('"'))}
    assert kept.get(headers=header) == full


def test_head_is_answered_from_the_same_entry_as_get(kept: Kept) -> None:
    full = kept.get("/a")
    head = kept.get("/a", "HEAD")
    assert (kept.renderings, head.status, head.headers) == (1, 200, full.headers)


def test_a_head_first_does_not_spoil_the_get_after_it(kept: Kept) -> None:
    head = kept.get("/a", "HEAD")
    full = kept.get("/a")
    assert full.text == "/a, data 0"
    assert head.headers == full.headers


# What makes an answer another one


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("/b", {}),
        ("/a?q=1", {}),
        ("/a?", {"HX-Request": "true"}),
        ("/a", {"Cookie": "session=bob"}),
        ("/a", {"Cookie": "timezone=Europe/Berlin"}),
        ("/a", {"Host": "127.0.0.1"}),
    ],
    ids=["path", "query", "fragment", "person", "time zone", "host"],
)
def test_url_fragment_person_zone_and_host_have_answers_of_their_own(kept: Kept, url: str, headers: Headers) -> None:
    kept.get("/a")
    kept.get(url, headers=headers)
    assert kept.renderings == 2
    kept.get(url, headers=headers)
    kept.get("/a")
    assert kept.renderings == 2


def test_a_restored_page_is_the_whole_page(kept: Kept) -> None:
    kept.get("/a", headers={"HX-Request": "true"})
    kept.get("/a", headers={"HX-Request": "true", "HX-History-Restore-Request": "true"})
    assert kept.renderings == 2
    kept.get("/a")
    assert kept.renderings == 2


def test_what_says_nothing_about_the_person_is_shared(kept: Kept) -> None:
    for headers in ({}, {"Cookie": "theme=dark"}, {"Accept-Language": "de"}, {"User-Agent": "other"}):
        kept.get("/a", headers=headers)
    assert kept.renderings == 1


COOKIES = [
    "session=alice",
    "session=bob",
    " session = alice",
    "session =bob",
    'session="alice"',
    "session=",
    "xsession=bob",
    "Session=bob",
    "theme=session=bob",
    "timezone=Europe/Berlin",
    "timezone =Asia/Tokyo",
    ";;=; ",
]


@given(st.lists(st.lists(st.lists(st.sampled_from(COOKIES), max_size=3).map(";".join), max_size=2), max_size=6))
def test_cookies_name_the_same_person_to_the_cache_as_to_the_app(requests: list[list[str]]) -> None:
    """However cookies are doubled, spaced, quoted or split into several headers."""

    def who(connection: HTTPConnection) -> str:
        return repr([connection.cookies.get(name, "") for name in ("session", "timezone")])

    kept = Kept(lambda request: PlainTextResponse(who(request)))
    for cookies in requests:
        headers = [("Cookie", each) for each in cookies]
        assert kept.get(headers=headers).text == who(HTTPConnection(scope_of(headers=headers)))


# What is kept, and what is not


def test_a_route_without_the_promise_is_rendered_each_time() -> None:
    renderings = 0

    async def plain(request: Request) -> Response:
        nonlocal renderings
        renderings += 1
        return PlainTextResponse("plain")

    cache = FragmentCache(Starlette(routes=[Route("/", plain)]), lambda: 0, session_cookie="session")
    answers = [asyncio.run(asked(cache)) for _ in range(2)]
    assert renderings == 2
    assert "etag" not in answers[0].headers


@pytest.mark.parametrize("status", [201, 204, 206, 303, 404, 500])
def test_only_success_is_kept(status: int) -> None:
    kept = Kept(lambda request: PlainTextResponse("x" if status != 204 else "", status))
    assert [kept.get().status for _ in range(2)] == [status, status]
    assert kept.renderings == 2


def test_only_questions_are_kept() -> None:
    kept = Kept(methods=["POST", "DELETE", "OPTIONS"])
    for method in ("POST", "POST", "DELETE", "DELETE", "OPTIONS", "OPTIONS"):
        assert kept.get(method=method).status == 200
    assert kept.renderings == 6


def test_an_answer_that_sets_a_cookie_is_not_kept() -> None:
    kept = Kept(lambda request: PlainTextResponse(f"{kept.renderings}", headers={"Set-Cookie": "session=x"}))
    answers = [kept.get() for _ in range(2)]
    assert [answer.text for answer in answers] == ["1", "2"]
    assert all(answer.headers["set-cookie"] == "session=x" for answer in answers)


def test_an_answer_in_pieces_is_kept_whole() -> None:
    kept = Kept(lambda request: StreamingResponse(iter(["one ", "two ", "three"])))
    assert [kept.get().text for _ in range(2)] == ["one two three"] * 2
    assert kept.renderings == 1


def test_an_error_in_a_fragment_is_not_kept() -> None:
    def render(request: Request) -> Response:
        if kept.renderings == 1:
            raise RuntimeError("not today")
        return PlainTextResponse("well")

    kept = Kept(render)
    with pytest.raises(RuntimeError, match="not today"):
        kept.get()
    assert [kept.get().text for _ in range(2)] == ["well", "well"]
    assert kept.renderings == 2


def test_an_answer_that_breaks_off_is_not_kept() -> None:
    def pieces() -> Generator[str, None, None]:
        yield "half"
        if kept.renderings == 1:
            raise RuntimeError("cut off")
        yield " and half"

    kept = Kept(lambda request: StreamingResponse(pieces()))
    with pytest.raises(RuntimeError, match="cut off"):
        kept.get()
    assert kept.get().text == "half and half"


def test_plain_and_asynchronous_handlers_make_the_same_promise() -> None:
    calls: list[str] = []

    @fragment
    def plain(request: Request) -> Response:
        calls.append(threading.current_thread().name)
        return PlainTextResponse(f"{today()} {zone()}")

    @fragment
    async def asynchronous(request: Request) -> Response:
        calls.append(threading.current_thread().name)
        return PlainTextResponse(f"{today()} {zone()}")

    app = Starlette(routes=[Route("/plain", plain), Route("/asynchronous", asynchronous)])
    cache = FragmentCache(app, lambda: 0, session_cookie="session")
    headers = {"Cookie": "timezone=Asia/Tokyo"}
    texts = {asyncio.run(asked(cache, url, "GET", headers)).text for url in ("/plain", "/asynchronous") * 2}
    assert len(calls) == 2
    assert calls[0] != calls[1], "the plain handler runs on a thread of its own"
    assert texts == {f"{datetime.now(zone_info('Asia/Tokyo')).date()} Asia/Tokyo"}


def test_a_fragment_can_be_called_without_a_server() -> None:
    @fragment
    def handler(name: str) -> str:
        """Says good day."""
        return f"{name} {today()} {zone()}"

    assert handler("Ada") == f"Ada {date.today()} None"
    assert handler.__doc__ == "Says good day."


def zone_info(name: str) -> tzinfo:
    import zoneinfo

    return zoneinfo.ZoneInfo(name)


# Commits


def test_a_commit_ends_every_kept_answer(kept: Kept) -> None:
    assert kept.get("/a").text == "/a, data 0"
    kept.token = 1
    assert kept.get("/a").text == "/a, data 1"
    assert kept.get("/a").text == "/a, data 1"
    assert kept.renderings == 2


def test_a_commit_in_the_middle_of_a_rendering_is_not_lost() -> None:
    """What was read before the commit may be sent to the one who asked before it, and to nobody after it."""

    def render(request: Request) -> Response:
        text = f"data {kept.token}"
        if kept.renderings == 1:
            kept.token = 1
        return PlainTextResponse(text)

    kept = Kept(render)
    assert kept.get().text == "data 0"
    assert kept.get().text == "data 1"


def test_where_there_is_no_token_the_app_itself_says_what_is_wrong() -> None:
    def no_token() -> int:
        raise OSError("the disk is gone")

    kept = Kept(lambda request: PlainTextResponse(f"{zone()}"))
    kept.cache.token = no_token
    answers = [kept.get(headers={"Cookie": "timezone=Asia/Tokyo"}).text for _ in range(2)]
    assert answers == ["Asia/Tokyo"] * 2
    assert kept.renderings == 2


@types.coroutine
def pause() -> Generator[None, None, None]:
    """Give the hand back to the test."""
    yield


class World:
    """Committed data, and readers that the test moves on step by step, in any order."""

    def __init__(self, limit: int) -> None:
        self.commits = 0
        self.answers: list[tuple[str, str, int, Answer]] = []
        self.readers: list[tuple[Callable[[], None], Coroutine[Any, Any, None]]] = []
        self.cache = FragmentCache(self.app, lambda: self.commits, session_cookie="session", limit=limit)

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        await pause()
        message = await self.handler(scope)
        await pause()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await pause()
        await send({"type": "http.response.body", "body": message})

    @staticmethod
    def who(scope: Scope) -> str:
        return str(HTTPConnection(scope).cookies.get("session", ""))

    @fragment
    async def handler(self, scope: Scope) -> bytes:
        read = self.commits
        await pause()
        return f"{scope['path']} {self.who(scope)} {read}".encode()

    def begin(self, url: str, person: str) -> None:
        headers = {"Cookie": f"session={person}"} if person else {}

        async def read(begun_after: int = self.commits) -> None:
            self.answers.append((url, person, begun_after, await asked(self.cache, url, "GET", headers)))

        coroutine = read()
        context = copy_context()
        self.readers.append((lambda: context.run(coroutine.send, None), coroutine))

    def step(self, number: int) -> None:
        if self.readers:
            number %= len(self.readers)
            try:
                self.readers[number][0]()
            except StopIteration:
                del self.readers[number]


STEPS = st.one_of(
    st.just(("commit",)),
    st.tuples(st.just("begin"), st.sampled_from(["/a", "/b"]), st.sampled_from(["", "alice", "bob"])),
    st.tuples(st.just("step"), st.integers(0, 3)),
    st.tuples(st.just("step"), st.integers(0, 3)),
)


@given(st.lists(STEPS, max_size=60), st.sampled_from([0, 2500, 10**6]))
def test_no_answer_is_older_than_the_last_commit_before_its_question(steps: list[tuple[Any, ...]], limit: int) -> None:
    """Whatever the order of commits, questions and the steps of renderings under way, whoever asks for what."""
    world = World(limit)
    for kind, *what in steps:
        if kind == "commit":
            world.commits += 1
        elif kind == "begin":
            world.begin(*what)
        else:
            world.step(*what)
    while world.readers:
        world.step(0)
    for url, person, begun_after, answer in world.answers:
        shown_url, shown_person, read = answer.text.split(" ")
        assert (shown_url, shown_person) == (url, person)
        assert begun_after <= int(read) <= world.commits


def test_every_commit_of_this_or_another_program_is_seen(
    client: httpx.Client, htmx: httpx.Client, server: Server
) -> None:
    etags = {htmx.get("/tasks").headers["etag"] for _ in range(3)}
    assert len(etags) == 1
    client.post("/tasks", data={"title": "Of this program"})
    own = htmx.get("/tasks")
    assert "Of this program" in own.text
    server.sql("UPDATE tasks SET title = 'Of another program'")
    foreign = htmx.get("/tasks")
    assert "Of another program" in foreign.text
    assert "Of this program" not in foreign.text
    etags |= {own.headers["etag"], foreign.headers["etag"]}
    assert len(etags) == 3
    unchanged = htmx.get("/tasks", headers={"If-None-Match": foreign.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")


def test_who_asks_after_an_acknowledged_write_never_sees_the_state_before_it(server: Server) -> None:
    """Many write and read at once; each reads at once what it has just written, and so does everybody else."""
    acknowledged = [0] * 4
    stale: list[str] = []

    def write_and_read(writer: int) -> None:
        with httpx.Client(base_url=server.url, timeout=20, headers={"HX-Request": "true"}) as client:
            address = f"/tasks/{writer + 1}"
            for number in range(1, 26):
                assert client.patch(address, data={"notes": f"version {number} end"}).status_code == 200
                acknowledged[writer] = number
                for other in range(len(acknowledged)):
                    at_least = acknowledged[other]
                    shown = client.get(f"/tasks/{other + 1}").text
                    if not any(f"version {seen} end" in shown for seen in range(at_least, 26)):
                        stale.append(f"{other} was at {at_least}: {shown}")

    server.sql("DELETE FROM sqlite_sequence WHERE name = 'tasks'")
    server.add(len(acknowledged), notes="version 0 end")
    with ThreadPoolExecutor(len(acknowledged)) as pool:
        list(pool.map(write_and_read, range(len(acknowledged))))
    assert stale == []


def test_head_over_http_has_the_headers_of_get_and_no_body(client: httpx.Client) -> None:
    full, head = client.get("/tasks"), client.head("/tasks")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"] == full.headers["etag"]
    assert head.headers["content-length"] == str(len(full.content))


# The day


def test_a_view_of_the_day_is_made_anew_when_the_day_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, 2026, 12, 31, 23, 59, 59)
    kept = Kept(lambda request: PlainTextResponse(f"{today()}"))
    assert [kept.get().text for _ in range(2)] == ["2026-12-31"] * 2
    clock.moment = datetime(2027, 1, 1, tzinfo=UTC)
    assert [kept.get().text for _ in range(2)] == ["2027-01-01"] * 2
    assert kept.renderings == 2


def test_a_view_without_a_day_outlives_the_day(monkeypatch: pytest.MonkeyPatch, kept: Kept) -> None:
    clock = Clock(monkeypatch, 2026, 12, 31)
    kept.get()
    clock.moment = datetime(2027, 1, 1, tzinfo=UTC)
    kept.get()
    assert kept.renderings == 1


def test_persons_in_different_time_zones_have_different_days_at_one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, 2026, 6, 15, 11, 30)
    kept = Kept(lambda request: PlainTextResponse(f"{today()} {zone()}"))
    zones = ["Pacific/Kiritimati", "Europe/Berlin", "Pacific/Pago_Pago"]

    def days() -> list[str]:
        return [kept.get(headers={"Cookie": f"timezone={zone}"}).text.split()[0] for zone in zones]

    assert days() == ["2026-06-16", "2026-06-15", "2026-06-15"]
    clock.moment = datetime(2026, 6, 15, 10, 30, tzinfo=UTC)
    assert days() == ["2026-06-16", "2026-06-15", "2026-06-14"]


@pytest.mark.parametrize(
    ("cookie", "name"),
    [
        ("Europe/Berlin", "Europe/Berlin"),
        ("Europe%2FBerlin", "Europe/Berlin"),
        ("Europe%2fBerlin", "Europe/Berlin"),
        ("Etc%2FGMT%2B5", "Etc/GMT+5"),
        ("", "None"),
        ("Mars/Olympus", "None"),
        ("Europe", "None"),
        ("../../../etc/passwd", "None"),
        ("/etc/passwd", "None"),
        ("a%00b", "None"),
        ("%ff", "None"),
        ("\xe9", "None"),
        ("x" * 3000, "None"),
    ],
)
def test_a_time_zone_is_an_iana_name_or_else_the_machines_own(cookie: str, name: str) -> None:
    kept = Kept(lambda request: PlainTextResponse(f"{zone()}"))
    assert kept.get(headers={"Cookie": f"timezone={cookie}"}).text == name


def test_a_write_knows_the_time_zone_of_who_writes() -> None:
    kept = Kept(lambda request: PlainTextResponse(f"{zone()}"), methods=["POST"])
    assert kept.get(method="POST", headers={"Cookie": "timezone=Asia/Tokyo"}).text == "Asia/Tokyo"


def test_a_view_that_asks_for_the_day_only_now_and_then_is_kept_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, 2026, 12, 31)
    kept = Kept(lambda request: PlainTextResponse(f"{today()}" if kept.token % 2 else "no day"))
    for token, day in enumerate((31, 31, 31, 1, 1, 1)):
        kept.token = token
        clock.moment = datetime(2026 + (day == 1), 12 if day == 31 else 1, day, tzinfo=UTC)
        expected = f"{clock.moment.date()}" if token % 2 else "no day"
        assert [kept.get().text for _ in range(2)] == [expected] * 2
        assert kept.renderings == token + 1


# The promise, checked in development


class Log:
    """What the cache has reported."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.caplog = caplog

    @property
    def lines(self) -> list[str]:
        return [record.getMessage() for record in self.caplog.records if record.name == "uvicorn.error"]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    caplog.set_level(logging.WARNING)
    return Log(caplog)


def test_a_fragment_that_breaks_its_promise_is_reported_with_its_route_and_line(log: Log) -> None:
    kept = Kept(lambda request: PlainTextResponse(f"same\nhits: {kept.renderings} of them\nsame"), check=True)
    answers = {kept.get("/impure?q=1").text for _ in range(CHECK_EVERY + 1)}
    assert kept.renderings == 2
    assert answers == {"same\nhits: 1 of them\nsame"}, "the kept answer goes out all the same"
    (line,) = log.lines
    assert line.startswith("/impure is not a pure fragment")
    assert "Line 2: kept “hits: 1 of them”, now “hits: 2 of them”." in line
    assert "@fragment" in line


def test_answers_of_different_length_are_a_difference_too(log: Log) -> None:
    kept = Kept(lambda request: PlainTextResponse("words" * kept.renderings), check=True)
    for _ in range(CHECK_EVERY + 1):
        kept.get()
    assert "Line 1: kept “words”, now “wordswords”." in log.lines[0]


def test_a_fragment_that_keeps_its_promise_is_not_reported(log: Log) -> None:
    kept = Kept(lambda request: PlainTextResponse(f"{today()} {zone()}"), check=True)
    for _ in range(3 * CHECK_EVERY):
        kept.get(headers={"Cookie": "timezone=Asia/Tokyo"})
    assert kept.renderings == 3
    assert log.lines == []


def test_a_commit_between_two_renderings_is_no_broken_promise(log: Log) -> None:
    def render(request: Request) -> Response:
        if kept.renderings == 2:
            kept.token += 1
        return PlainTextResponse(f"data {kept.token}")

    kept = Kept(render, check=True)
    for _ in range(CHECK_EVERY + 1):
        kept.get()
    assert kept.renderings == 2
    assert log.lines == []


def test_outside_development_nothing_is_rendered_twice(kept: Kept) -> None:
    for _ in range(3 * CHECK_EVERY):
        kept.get()
    assert kept.renderings == 1


# Memory


def test_the_least_recently_used_answer_goes_first() -> None:
    kept = Kept(lambda request: PlainTextResponse("x" * 10_000), limit=35_000)
    for url in ("/a", "/b", "/c", "/a", "/d"):
        kept.get(url)
    assert kept.renderings == 4
    kept.get("/a")
    assert kept.renderings == 4, "it was used after /b"
    kept.get("/b")
    assert kept.renderings == 5


def test_an_answer_larger_than_the_limit_is_sent_and_not_kept() -> None:
    kept = Kept(lambda request: PlainTextResponse("x" * 10_000), limit=5_000)
    assert [len(kept.get().body) for _ in range(2)] == [10_000] * 2
    assert (kept.renderings, kept.cache.size) == (2, 0)


@pytest.mark.parametrize("grows", ["body", "query", "cookie", "number"])
def test_what_is_kept_is_bounded_in_bytes_whatever_grows(grows: str) -> None:
    kept = Kept(lambda request: PlainTextResponse("x" * (10_000 if grows == "body" else 1)), limit=200_000)
    long = "x" * (10_000 if grows in ("query", "cookie") else 1)
    count = 500 if grows in ("number", "cookie") else 100
    # Beside the answers, the last 128 headers of cookies are remembered with what they mean.
    remembered = 128 * 2 * len(long) if grows == "cookie" else 0

    def ask(number: int) -> None:
        cookie = {"Cookie": f"session={long}{number}"} if grows == "cookie" else {}
        asyncio.run(asked(kept.cache, f"/?{number}{long if grows == 'query' else ''}", "GET", cookie))

    ask(0)
    tracemalloc.start()
    for number in range(count):
        ask(number)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept.cache.size <= 200_000
    assert held < 400_000 + remembered
