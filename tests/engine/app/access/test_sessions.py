"""Sessions: who needs one, how long it holds, and that an answer is remembered until it changes and no longer."""

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils.utils import sqlite3
from starlette.types import Scope

from app.access import sessions as module
from app.access.access_file import UnusableFile
from app.access.request_limits import RateLimit
from app.access.session_events import Kind, recent
from app.access.sessions import (
    CONFIRMED,
    IDLE,
    LIFETIME,
    MINUTE,
    SESSIONS,
    Sessions,
    cookie_name,
    cookie_of,
    is_on_this_machine,
)
from server.app_name import SLUG
from server.fragments import SIGNED_IN
from server.guard.middleware import ADMITTED, Refused
from server.guard.peer_account import CONNECTION, accounts_of_owner
from server.settings import Settings
from server.sharing.sign_in_token import read, renew
from tests.engine.accounts import NAMELESS

OWNER = max(accounts_of_owner())


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "STRANGERS", RateLimit(burst=1000, seconds=1))
    return tmp_path


@pytest.fixture
def sessions(file: Path) -> Iterator[Sessions]:
    """Those of a server that listens to all machines."""
    sessions = opened(file)
    yield sessions
    run(sessions.file.close())


def opened(file: Path, is_private: bool = False) -> Sessions:
    sessions = Sessions()
    sessions.open(file, is_private)
    return sessions


def run(waiting: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(waiting)


def scope_with(cookie: str = "", path: str = "/tasks", address: str = "192.0.2.7", port: int = 5001) -> Scope:
    headers = [(b"cookie", f"{SLUG}_access_{port}={cookie}".encode())] if cookie else []
    return {"type": "http", "method": "GET", "path": path, "server": (address, port), "headers": headers}


def begin(sessions: Sessions, cookie: str = "") -> str:
    """Sign in; the value of the new cookie."""
    return str(run(sessions.begin(scope_with(cookie), Kind.SIGNED_IN)))


def comes_in(sessions: Sessions, *scope: Any, account: int | None = None, **more: Any) -> bool:
    asked = scope_with(*scope, **more) | {CONNECTION: {"account": account}}
    try:
        sessions.admit(asked)
    except Refused:
        return False
    return True


@pytest.mark.parametrize(
    ("bound", "came_in_on", "is_needed"),
    [
        ("127.0.0.1", "127.0.0.1", False),
        ("localhost", "::1", False),
        ("127.0.0.1", "::ffff:127.0.0.1", False),
        ("127.0.0.1", "/run/app.sock", False),
        ("127.0.0.1", "192.0.2.7", True),
        ("127.0.0.1", "fe80::1%eth0", True),
        ("0.0.0.0", "127.0.0.1", True),
        ("::", "::1", True),
        ("192.0.2.7", "192.0.2.7", True),
        ("tasks.test", "127.0.0.1", True),
        ("127.0.0.1", "", True),
    ],
)
def test_the_owner_needs_a_session_where_other_machines_can_come_in(
    file: Path, bound: str, came_in_on: str, is_needed: bool
) -> None:
    """`uvicorn app.main:app --host 0.0.0.0` is not known from the settings: the connection tells."""
    sessions = opened(file, Settings(host=bound).is_private)
    assert comes_in(sessions, address=came_in_on, account=OWNER) != is_needed


@pytest.mark.parametrize("account", [NAMELESS, None])
def test_any_other_account_needs_one_everywhere(file: Path, account: int | None) -> None:
    sessions = opened(file, is_private=True)
    assert comes_in(sessions, address="127.0.0.1", account=0), "root may do anything anyway"
    assert not comes_in(sessions, address="127.0.0.1", account=account)
    with pytest.raises(Refused, match="--proxy-headers") as refusal:
        sessions.admit(scope_with(address="127.0.0.1"))
    assert refusal.value.status == 401
    cookie = begin(sessions)
    assert comes_in(sessions, cookie, address="127.0.0.1", account=account)
    run(sessions.file.close())


def test_whose_connection_it_is_is_found_out_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = opened(file, is_private=True)
    asked: list[Scope] = []
    monkeypatch.setattr(module, "account_of", lambda scope: asked.append(scope) or OWNER)
    connection: dict[str, Any] = {}
    for _ in range(3):
        sessions.admit(scope_with(address="127.0.0.1") | {CONNECTION: connection})
    assert len(asked) == 1
    sessions.admit(scope_with(address="127.0.0.1"))
    assert len(asked) == 2, "under another server each request is asked about"


def test_where_the_connection_came_in_is_not_known_a_session_is_needed(file: Path) -> None:
    sessions = opened(file, is_private=True)
    with pytest.raises(Refused):
        sessions.admit({**scope_with(), "server": None, CONNECTION: {"account": OWNER}})


@pytest.mark.parametrize("path", ["/sign-in", "/healthz", "/static/app.css"])
def test_the_way_in_the_health_and_the_static_files_are_open(sessions: Sessions, path: str) -> None:
    assert comes_in(sessions, path=path)


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/tasks", "/sign-in/", "/sign-in/x", "/sign-in/confirm", "/sign-out", "/access"),
        *("/static", "/staticx", "/SIGN-IN", "//static/x", ""),
    ],
)
def test_nothing_else_is(sessions: Sessions, path: str) -> None:
    assert not comes_in(sessions, path=path)


def test_a_session_holds_until_it_ends(sessions: Sessions) -> None:
    cookie, other = begin(sessions), begin(sessions)
    assert comes_in(sessions, cookie)
    assert not comes_in(sessions, cookie + "x")
    assert not comes_in(sessions, cookie[:-1])
    run(sessions.end(scope_with(cookie)))
    assert not comes_in(sessions, cookie)
    assert comes_in(sessions, other)


def test_a_browser_that_signs_in_again_has_another_session(sessions: Sessions) -> None:
    """A cookie that somebody had put into a browser is worth nothing after the sign-in."""
    before = begin(sessions)
    planted = "chosen-by-somebody-else"
    assert planted not in (begin(sessions, planted), "")
    assert not comes_in(sessions, planted)
    after = begin(sessions, before)
    assert comes_in(sessions, after)
    assert not comes_in(sessions, before)


def test_one_is_ended_by_its_number_and_all_others_at_once(sessions: Sessions) -> None:
    first, second, third = begin(sessions), begin(sessions), begin(sessions)
    numbers = {each.cookie_hash: each.id for each in sessions.all()}
    assert len(numbers) == 3
    scope = scope_with(third)
    assert run(sessions.end_one(numbers[module.hashed(first)], scope))
    assert not run(sessions.end_one(numbers[module.hashed(first)], scope))
    assert [comes_in(sessions, each) for each in (first, second, third)] == [False, True, True]
    run(sessions.end_others(scope))
    assert [comes_in(sessions, each) for each in (first, second, third)] == [False, False, True]


def test_who_may_come_in_is_marked_and_who_may_not_is_told_what_to_do(sessions: Sessions) -> None:
    scope = scope_with(begin(sessions))
    sessions.admit(scope)
    assert scope[SIGNED_IN]
    assert scope[ADMITTED]
    scope = scope_with("not a session")
    with pytest.raises(Refused, match=r"python3 server\.py token") as refusal:
        sessions.admit(scope)
    assert refusal.value.status == 401
    assert not {SIGNED_IN, ADMITTED} & scope.keys()
    scope = scope_with("not a session", "/healthz")
    sessions.admit(scope)
    assert not {SIGNED_IN, ADMITTED} & scope.keys()
    scope = scope_with(begin(sessions), "/healthz")
    sessions.admit(scope)
    assert scope[ADMITTED], "on an open page too"


def test_a_new_token_ends_every_session(sessions: Sessions, file: Path) -> None:
    cookie = begin(sessions)
    assert comes_in(sessions, cookie)
    old = read(file)
    run(sessions.look_after())
    renew(file)
    assert not comes_in(sessions, cookie)
    run(sessions.look_after())
    (file / "token").write_text(old, encoding="utf-8")
    assert not comes_in(sessions, cookie), "it has ended for good"


def test_that_there_was_a_new_token_is_noticed_once_by_all_workers(sessions: Sessions, file: Path) -> None:
    other = opened(file)
    begin(sessions)
    for each in (sessions, other):
        run(each.look_after())
    renew(file)

    async def all_look() -> None:
        for each in (sessions, other, sessions):
            await each.look_after()
        for each in (sessions, other):
            await each.file.close()

    run(all_look())
    assert [each.kind for each in recent(sessions.file)].count(Kind.NEW_TOKEN) == 1


@pytest.mark.parametrize(("unused", "lifetime"), [(IDLE, False), (LIFETIME, True)])
def test_a_session_ends_when_it_was_not_used_and_with_its_lifetime(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, unused: int, lifetime: bool
) -> None:
    cookie = begin(sessions)
    now = time.time()
    # Used every 29 days it goes on to its lifetime.
    days = range(29, 180, 29) if lifetime else ()
    for after, is_in in (*((day * module.DAY, True) for day in days), (unused - 60, True)):
        monkeypatch.setattr(time, "time", lambda after=after: now + after)
        if lifetime or after == unused - 60:
            assert comes_in(sessions, cookie) == is_in
    end = unused + 60 if lifetime else 2 * unused
    monkeypatch.setattr(time, "time", lambda: now + end)
    assert not comes_in(sessions, cookie)


def test_when_it_was_used_is_written_once_a_minute(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    cookie = begin(sessions)
    now = time.time()
    written = []
    for after in (0, 1, MINUTE - 2, MINUTE + 1, MINUTE + 30):
        monkeypatch.setattr(time, "time", lambda after=after: now + after)
        assert comes_in(sessions, cookie)
        run(sessions.look_after())
        written.append(round(sessions.file.rows("SELECT used_at FROM sessions")[0][0] - now))
    assert written[:3] == written[:1] * 3
    assert written[3] == written[4] == pytest.approx(MINUTE + 1, abs=1)


def test_another_worker_does_not_make_it_look_less_used(sessions: Sessions, file: Path) -> None:
    cookie = begin(sessions)
    now = int(time.time())
    assert comes_in(sessions, cookie)
    with sqlite3.connect(sessions.file.path) as other:
        other.execute("UPDATE sessions SET used_at = ?", [now - 5000])
    other.close()
    assert sessions.all()[0].used_at >= now - 1


def test_what_has_ended_is_swept_away(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    old = begin(sessions)
    with sqlite3.connect(sessions.file.path) as other:
        other.execute("UPDATE sessions SET used_at = used_at - ?", [31 * module.DAY])
    other.close()
    new = begin(sessions)
    assert not comes_in(sessions, old)
    run(sessions.look_after())
    assert comes_in(sessions, new)
    assert len(sessions.file.rows("SELECT * FROM sessions")) == 1


def test_there_are_only_so_many_and_those_used_last_stay(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SESSIONS", 3)
    cookies = [begin(sessions) for _ in range(5)]
    assert [comes_in(sessions, each) for each in cookies] == [False, False, True, True, True]
    assert SESSIONS == 200


def test_the_token_is_asked_for_again_after_a_while(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    cookie = begin(sessions)
    session = sessions.session_of(scope_with(cookie))
    assert session is not None
    now = time.time()
    assert session.is_confirmed(now + CONFIRMED - 5)
    assert not session.is_confirmed(now + CONFIRMED + 5)
    monkeypatch.setattr(time, "time", lambda: now + CONFIRMED + 5)
    run(sessions.confirm(session, scope_with(cookie)))
    again = sessions.session_of(scope_with(cookie))
    assert again is not None
    assert again.is_confirmed(now + CONFIRMED + 10)


def test_the_file_keeps_nothing_that_opens_a_door(sessions: Sessions, file: Path) -> None:
    cookie = begin(sessions)
    (row,) = sessions.file.rows("SELECT * FROM sessions")
    kept = b"".join(path.read_bytes() for path in file.glob("access.db*"))
    assert row["cookie_hash"].encode() in kept
    assert cookie.encode() not in kept
    assert read(file).encode() not in kept


def test_an_answer_is_remembered_until_the_next_commit(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    cookie = begin(sessions)
    looked: list[str] = []
    rows = sessions.file.rows
    monkeypatch.setattr(sessions.file, "rows", lambda *asked: looked.append(asked[0]) or rows(*asked))
    for _ in range(5):
        assert comes_in(sessions, cookie)
        assert not comes_in(sessions, "wrong")
    assert len(looked) == 1, "cookies of strangers do not have the file read"
    with sqlite3.connect(sessions.file.path) as outside:
        outside.execute("DELETE FROM sessions")
    outside.close()
    assert not comes_in(sessions, cookie)
    assert len(looked) == 2


def test_rights_move_when_somebody_may_not_stay_and_at_nothing_else(sessions: Sessions) -> None:
    assert sessions.rights() == sessions.rights()
    cookie, other = begin(sessions), begin(sessions)
    assert sessions.may_stay(scope_with(cookie))
    before = sessions.rights()
    begin(sessions)
    assert sessions.rights() == before
    run(sessions.end(scope_with(cookie)))
    after = sessions.rights()
    assert after != before
    assert not sessions.may_stay(scope_with(cookie))
    assert sessions.may_stay(scope_with(other))
    renew(sessions.file.path.parent)
    assert sessions.rights() != after
    assert not sessions.may_stay(scope_with(other))


def test_where_the_file_cannot_be_read_nobody_comes_in_but_the_owner(file: Path, caplog: Any) -> None:
    (file / "access.db").write_bytes(b"This is no SQLite file." * 100)
    sessions = opened(file, is_private=True)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            with pytest.raises(Refused, match="cannot be read") as refusal:
                sessions.admit(scope_with("a-cookie", address="127.0.0.1") | {CONNECTION: {"account": NAMELESS}})
            assert refusal.value.status == 503
    assert caplog.text.count("nobody can be let in") == 1, "strangers do not fill the log"
    assert comes_in(sessions, address="127.0.0.1", account=OWNER)
    assert comes_in(sessions, "a-cookie", "/sign-in", account=NAMELESS)
    with pytest.raises(UnusableFile):
        begin(sessions)
    assert (file / "access.db").read_bytes().startswith(b"This is no"), "it was left as it is"


def test_a_stranger_who_asks_too_often_is_sent_away_but_a_right_token_is_not(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    cookie = begin(sessions)
    monkeypatch.setattr(module, "STRANGERS", RateLimit(burst=3, seconds=1, clock=lambda: 0.0))
    statuses = []
    for path in ("/tasks", "/sign-in", "/healthz", "/tasks", "/static/app.css"):
        try:
            sessions.admit(scope_with(path=path) | {"client": ("192.0.2.9", 40000)})
            statuses.append(200)
        except Refused as refusal:
            statuses.append(refusal.status)
    assert statuses == [401, 200, 200, 429, 429]
    shown = scope_with(path="/sign-in") | {"client": ("192.0.2.9", 40000), "method": "POST"}
    sessions.admit(shown | {"headers": [(b"content-length", b"%d" % module.SIGN_IN_BYTES)]})
    for size in (b"2049", b"1048576", b"9" * 9000, b"-1", b"\xb2", b""):
        with pytest.raises(Refused, match="Too many requests"):
            sessions.admit(shown | {"headers": [(b"content-length", size)]})
    with pytest.raises(Refused, match="Too many requests"):
        sessions.admit(shown)
    sessions.admit(scope_with(path="/sign-in") | {"client": ("192.0.2.10", 40000)})
    for _ in range(10):
        sessions.admit(scope_with(cookie) | {"client": ("192.0.2.9", 40000)})


def test_a_cookie_belongs_to_one_port(sessions: Sessions) -> None:
    """Cookies know no ports: two of these apps on one machine would sign each other out."""
    cookie = begin(sessions)
    scope = scope_with(cookie, port=5001)
    assert cookie_name(scope) == f"{SLUG}_access_5001"
    assert cookie_of(scope) == cookie
    assert cookie_of({**scope, "server": ("192.0.2.7", 5002)}) == ""
    assert cookie_of({**scope, "headers": [(b"cookie", b"a=b"), *scope["headers"]]}) == cookie


@pytest.mark.parametrize("address", ["", "localhost.evil.example", "0.0.0.0", "::", "::ffff:192.0.2.7", "run/x"])
def test_what_is_not_surely_of_this_machine_is_not(address: str) -> None:
    assert not is_on_this_machine(address)
