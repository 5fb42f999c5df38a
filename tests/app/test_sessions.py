"""Sessions: who needs one, how long it holds, and that an answer is remembered until the next commit and no longer."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils.utils import sqlite3
from starlette.types import Scope

from app import sessions as module
from app.db import db, prepare
from app.migrations import migrations
from app.sessions import LIFETIME, Sessions, cookie_name, cookie_of, is_on_this_machine
from server.fragments import SIGNED_IN
from server.guard import Refused
from server.name import SLUG
from server.settings import Settings
from server.token import read, renew


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    db.open(prepare(tmp_path, migrations))
    yield tmp_path
    db.close()


@pytest.fixture
def sessions(file: Path) -> Sessions:
    """Those of a server that listens to all machines."""
    sessions = Sessions()
    sessions.open(file, is_private=False)
    return sessions


def scope_with(cookie: str = "", path: str = "/tasks", address: str = "192.0.2.7", port: int = 5001) -> Scope:
    headers = [(b"cookie", f"{SLUG}_access_{port}={cookie}".encode())] if cookie else []
    return {"type": "http", "path": path, "server": (address, port), "headers": headers}


def comes_in(sessions: Sessions, *scope: Any, **more: Any) -> bool:
    asked = scope_with(*scope, **more)
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
def test_a_session_is_needed_where_other_machines_can_come_in(
    file: Path, bound: str, came_in_on: str, is_needed: bool
) -> None:
    """`uvicorn app.main:app --host 0.0.0.0` is not known from the settings: the connection tells."""
    sessions = Sessions()
    sessions.open(file, Settings(host=bound).is_private)
    assert comes_in(sessions, address=came_in_on) != is_needed


def test_where_the_connection_came_in_is_not_known_a_session_is_needed(file: Path) -> None:
    sessions = Sessions()
    sessions.open(file, is_private=True)
    with pytest.raises(Refused):
        sessions.admit({**scope_with(), "server": None})


@pytest.mark.parametrize("path", ["/sign-in", "/healthz", "/static/app.css"])
def test_the_way_in_the_health_and_the_static_files_are_open(sessions: Sessions, path: str) -> None:
    assert comes_in(sessions, path=path)


@pytest.mark.parametrize(
    "path", ["/", "/tasks", "/sign-in/", "/sign-in/x", "/sign-out", "/static", "/staticx", "/SIGN-IN", "//static/x", ""]
)
def test_nothing_else_is(sessions: Sessions, path: str) -> None:
    assert not comes_in(sessions, path=path)


def test_a_session_holds_until_it_ends(sessions: Sessions) -> None:
    cookie = asyncio.run(sessions.begin())
    other = asyncio.run(sessions.begin())
    assert comes_in(sessions, cookie)
    assert not comes_in(sessions, cookie + "x")
    assert not comes_in(sessions, cookie[:-1])
    asyncio.run(sessions.end(cookie))
    assert not comes_in(sessions, cookie)
    assert comes_in(sessions, other)


def test_who_is_signed_in_is_marked_and_who_is_not_is_told_what_to_do(sessions: Sessions) -> None:
    scope = scope_with(asyncio.run(sessions.begin()))
    sessions.admit(scope)
    assert scope[SIGNED_IN]
    scope = scope_with("not a session")
    with pytest.raises(Refused, match=r"python server\.py token") as refusal:
        sessions.admit(scope)
    assert refusal.value.status == 401
    assert SIGNED_IN not in scope


def test_a_new_token_ends_every_session(sessions: Sessions, file: Path) -> None:
    cookie = asyncio.run(sessions.begin())
    assert comes_in(sessions, cookie)
    old = read(file)
    renew(file)
    assert not comes_in(sessions, cookie)
    (file / "token").write_text(old)
    assert comes_in(sessions, cookie), "the session belongs to that token"
    (file / "token").unlink()
    assert not comes_in(sessions, cookie)


def test_a_session_ends_with_its_lifetime(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    cookie = asyncio.run(sessions.begin())
    now = time.time()
    for after, is_in in ((LIFETIME - 60, True), (LIFETIME + 60, False)):
        monkeypatch.setattr(time, "time", lambda after=after: now + after)
        assert comes_in(sessions, cookie) == is_in


def test_what_has_ended_is_swept_away(sessions: Sessions) -> None:
    def grow_old(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE sessions SET created_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-181 days')")

    old = asyncio.run(sessions.begin())
    asyncio.run(db.write(grow_old))
    new = asyncio.run(sessions.begin())
    assert not comes_in(sessions, old)
    asyncio.run(sessions.sweep())
    assert comes_in(sessions, new)
    assert len(db.read_now("SELECT * FROM sessions")) == 1


def test_the_file_keeps_nothing_that_opens_a_door(sessions: Sessions, file: Path) -> None:
    cookie = asyncio.run(sessions.begin())
    (row,) = db.read_now("SELECT * FROM sessions")
    assert sorted(row.keys()) == ["cookie_hash", "created_at", "token_hash"]
    kept = b"".join(path.read_bytes() for path in file.glob("app.db*"))
    assert row["cookie_hash"].encode() in kept
    assert cookie.encode() not in kept
    assert read(file).encode() not in kept


def test_an_answer_is_remembered_until_the_next_commit(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    cookie = asyncio.run(sessions.begin())
    looked: list[str] = []
    look = db.read_now
    monkeypatch.setattr(db, "read_now", lambda sql, parameters: looked.append(sql) or look(sql, parameters))
    for _ in range(5):
        assert comes_in(sessions, cookie)
    assert len(looked) == 1
    with sqlite3.connect(db.path) as outside:
        outside.execute("DELETE FROM sessions")
    outside.close()
    assert not comes_in(sessions, cookie)
    assert len(looked) == 2


def test_where_the_database_cannot_be_read_nobody_comes_in(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> int:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(module.db, "token", fail)
    with pytest.raises(Refused) as refusal:
        sessions.admit(scope_with("a-cookie"))
    assert refusal.value.status == 503


def test_a_cookie_belongs_to_one_port(sessions: Sessions) -> None:
    """Cookies know no ports: two of these apps on one machine would sign each other out."""
    cookie = asyncio.run(sessions.begin())
    scope = scope_with(cookie, port=5001)
    assert cookie_name(scope) == f"{SLUG}_access_5001"
    assert cookie_of(scope) == cookie
    assert cookie_of({**scope, "server": ("192.0.2.7", 5002)}) == ""
    assert cookie_of({**scope, "headers": [(b"cookie", b"a=b"), *scope["headers"]]}) == cookie


@pytest.mark.parametrize("address", ["", "localhost.evil.example", "0.0.0.0", "::", "::ffff:192.0.2.7", "run/x"])
def test_what_is_not_surely_of_this_machine_is_not(address: str) -> None:
    assert not is_on_this_machine(address)
