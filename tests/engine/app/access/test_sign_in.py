"""Signing in and out, on a server that other machines could reach, over HTTP as a person does it."""

import asyncio
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import html5lib
import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from app.pages.presence import WRITE_SECONDS
from server.app_name import PREFIX, SLUG
from server.guard.request_bodies import FORM_LIMIT
from server.sharing import one_time_links
from server.sharing.sign_in_token import read
from tests.engine.conftest import PROJECT, STRICT
from tests.engine.server.test_run import Running, until
from tests.engine.watching import Follower

DAYS_180 = 180 * 24 * 60 * 60


@pytest.fixture(scope="module")
def running(shared: Running) -> Running:
    """The one of this room, as others in this file are started too."""
    return shared


@pytest.fixture
def client(running: Running) -> Iterator[httpx.Client]:
    with running.client() as client:
        yield client


def test_who_comes_through_a_proxy_signs_in(tmp_path: Path) -> None:
    """The headers are those that Caddy, or nginx as docs/running.md sets it up, adds for a browser outside."""
    options = ("--port", "0", "--proxy-headers", "--allow-host", "tasks.test")
    running = Running("server.py", "run", *options, data=tmp_path / "data")
    try:
        link = running.wait_for(r"https://tasks\.test/sign-in\?token=\S+")
        outside = {"Host": "tasks.test", "X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}
        with running.client(headers=outside) as client:
            assert client.get("/tasks").status_code == 401
            form = form_of(client.get(link.removeprefix("https://tasks.test")))
            assert client.post("/sign-in", data=form, headers={"Origin": "http://tasks.test"}).status_code == 403
            answer = client.post("/sign-in", data=form, headers={"Origin": "https://tasks.test"})
            assert "; secure" in answer.headers["set-cookie"].lower()
            cookie = answer.headers["set-cookie"].partition(";")[0]
            assert client.get("/tasks", headers={"Cookie": cookie}).status_code == 200
    finally:
        running.end_anyhow()


def token_of(running: Running) -> str:
    return read(running.data)


def sign_in(client: httpx.Client, token: str, next: str = "/tasks") -> httpx.Response:
    return client.post("/sign-in", data={"token": token, "next": next})


def calm_version(watching: sqlite3.Connection) -> tuple[int]:
    """The version of the data, when nothing is written any more: tabs of the tests before are written off later."""
    seen: tuple[int] | None = None
    since = time.monotonic()

    def is_calm() -> bool:
        nonlocal seen, since
        before, seen = seen, watching.execute("PRAGMA data_version").fetchone()
        if seen != before:
            since = time.monotonic()
        return time.monotonic() - since > 3 * WRITE_SECONDS

    until(is_calm)
    assert seen is not None
    return seen


def be_forgiven(running: Running) -> None:
    """Show the right token: what was tried before is forgotten then."""
    with running.client() as client:
        sign_in(client, token_of(running))


def form_of(answer: httpx.Response) -> dict[str, str]:
    """The fields of the sign-in form on a page."""
    form = html5lib.parse(answer.text, namespaceHTMLElements=False).find(".//form[@action='/sign-in']")
    return {field.get("name"): field.get("value") for field in form.findall(".//input")}


def test_without_a_session_there_is_only_the_way_in(client: httpx.Client) -> None:
    for path in ("/", "/tasks", "/tasks/1", "/imports", "/export.db", "/nothing"):
        answer = client.get(path)
        assert answer.status_code == 401
        assert "python3 server.py token" in answer.text
        assert answer.headers["cache-control"] == "no-store"
        assert "Sign out" not in answer.text
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert client.request(method, "/tasks", data={"title": "x"}).status_code == 401
    page = client.get("/tasks")
    style = re.findall(r"/static/app\.[^\"]*css", page.text)[0]
    for path in (style, "/healthz", "/sign-in"):
        assert client.get(path).status_code == 200


def test_a_fragment_and_json_say_it_too(client: httpx.Client) -> None:
    toast = client.get("/tasks", headers={"HX-Request": "true"})
    assert (toast.status_code, toast.headers["hx-retarget"]) == (401, "#toasts")
    assert "<html" not in toast.text
    assert "python3 server.py token" in toast.text
    said = client.get("/tasks", headers={"Accept": "application/json"})
    assert (said.status_code, said.json()["status"]) == (401, 401)
    assert "python3 server.py token" in said.json()["message"]


def handshake(running: Running, **headers: str) -> int:
    """The status that a WebSocket handshake is answered with."""
    try:
        with connect(running.url.replace("http:", "ws:") + "/live", proxy=None, additional_headers=headers):
            return 101
    except InvalidStatus as refusal:
        return refusal.response.status_code


def test_a_handshake_without_a_session_is_refused(running: Running, client: httpx.Client) -> None:
    assert handshake(running) == 401
    sign_in(client, token_of(running))
    cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    assert handshake(running, Cookie=cookies) != 401
    assert handshake(running, Cookie=cookies, Origin="http://evil.example") == 403


def test_the_link_takes_one_click_and_changes_nothing_before_it(running: Running, client: httpx.Client) -> None:
    with closing(sqlite3.connect(running.data / "app.db")) as watching:
        before = calm_version(watching)
        page = client.get("/sign-in", params={"token": token_of(running)})
        assert page.headers["cache-control"] == "no-store"
        assert client.head("/sign-in", params={"token": token_of(running)}).status_code == 200
        assert "set-cookie" not in page.headers
        assert client.get("/tasks").status_code == 401
        assert watching.execute("PRAGMA data_version").fetchone() == before
    answer = client.post("/sign-in", data=form_of(page))
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    (cookie,) = client.cookies.jar
    assert cookie.name == f"{SLUG}_access_{urlsplit(running.url).port}"
    assert len(cookie.value or "") >= 32
    said = answer.headers["set-cookie"].lower()
    for part in ("; httponly", "; path=/", "; samesite=lax", f"; max-age={DAYS_180}"):
        assert part in said
    assert "secure" not in said
    assert client.get("/tasks").status_code == 200


def test_who_asked_for_a_page_comes_to_it(running: Running, client: httpx.Client) -> None:
    form = form_of(client.get("/tasks?q=milk&status=open"))
    assert form["next"] == "/tasks?q=milk&status=open"
    answer = sign_in(client, token_of(running), form["next"])
    assert (answer.status_code, answer.headers["location"]) == (303, "/tasks?q=milk&status=open")
    assert sign_in(client, token_of(running), "https://evil.example").headers["location"] == "/"


def test_questions_change_nothing_for_who_is_signed_in_either(running: Running, client: httpx.Client) -> None:
    sign_in(client, token_of(running))
    with closing(sqlite3.connect(running.data / "app.db")) as watching:
        before = calm_version(watching)
        for path in ("/sign-in", "/sign-out", f"/sign-in?token={token_of(running)}&next=/", "/tasks", "/imports"):
            for method in ("GET", "HEAD", "OPTIONS"):
                assert client.request(method, path).status_code in (200, 405)
        assert watching.execute("PRAGMA data_version").fetchone() == before


def test_pages_are_kept_for_who_is_signed_in(running: Running, client: httpx.Client) -> None:
    sign_in(client, token_of(running))
    page = client.get("/imports")
    assert "Sign out" in page.text
    again = client.get("/imports", headers={"If-None-Match": page.headers["etag"]})
    assert again.status_code == 304


def test_a_cookie_is_dead_after_signing_out(running: Running, client: httpx.Client) -> None:
    sign_in(client, token_of(running))
    kept = dict(client.cookies)
    with running.client() as other:
        sign_in(other, token_of(running))
        answer = client.post("/sign-out")
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
        assert not client.cookies
        with running.client(cookies=kept) as replayed:
            assert replayed.get("/tasks").status_code == 401
        assert other.get("/tasks").status_code == 200, "the other browser is another session"


@pytest.mark.parametrize("token", ["", "wrong", "ü", "\0", "x" * 10_000])
def test_a_wrong_token_opens_nothing(running: Running, client: httpx.Client, token: str) -> None:
    token_of(running)
    sign_in(client, token_of(running))  # Nobody waits longer for what others have tried.
    client.cookies.clear()
    answer = sign_in(client, token, "/imports")
    assert answer.status_code == 401
    assert "That is not the token." in answer.text
    assert form_of(answer) == {"token": "", "next": "/imports"}
    assert "set-cookie" not in answer.headers


def test_a_right_token_does_not_wait_for_wrong_ones(running: Running) -> None:
    async def try_all() -> None:
        async with httpx.AsyncClient(base_url=running.url, timeout=20) as client:
            wrong = [asyncio.ensure_future(client.post("/sign-in", data={"token": "wrong"})) for _ in range(6)]
            # Once the first is answered all have come.
            await asyncio.wait(wrong, return_when=asyncio.FIRST_COMPLETED)
            right = await client.post("/sign-in", data={"token": token_of(running)})
            assert right.status_code == 303
            assert not all(each.done() for each in wrong)
            for each in wrong:
                each.cancel()
            await asyncio.gather(*wrong, return_exceptions=True)

    asyncio.run(try_all())


def test_who_has_not_signed_in_sends_little_and_who_has_a_whole_form(running: Running, client: httpx.Client) -> None:
    note = "é" * ((FORM_LIMIT - len("title=Long&notes=")) // 2)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    large = client.post("/sign-in", content=f"token=x&notes={note}".encode(), headers=form)
    assert (large.status_code, "larger than the 16 KiB" in large.text) == (413, True)
    sign_in(client, token_of(running))
    assert client.post("/tasks", content=f"title=Long&notes={note}".encode(), headers=form).status_code in (200, 303)
    with closing(sqlite3.connect(running.data / "app.db")) as data:
        assert data.execute("SELECT notes FROM tasks WHERE title = 'Long'").fetchall() == [(note,)]


def test_a_new_token_signs_everybody_out_while_the_server_runs(running: Running, client: httpx.Client) -> None:
    old = token_of(running)
    sign_in(client, old)
    assert client.get("/tasks").status_code == 200
    renewed = subprocess.run(
        [sys.executable, "server.py", "token", "--new", "--data", running.data],
        cwd=PROJECT,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert token_of(running) != old
    assert f"/sign-in?token={token_of(running)}" in renewed.stdout
    assert client.get("/tasks").status_code == 401
    assert sign_in(client, old).status_code in (401, 429), "of the test before, some tries may wait"
    assert sign_in(client, token_of(running)).status_code == 303
    assert client.get("/tasks").status_code == 200


def test_no_secret_is_in_the_log(tmp_path: Path) -> None:
    running = Running(
        *("-m", "uvicorn", "app.main:app", "--port", "0", "--log-level", "debug"),
        data=tmp_path / "data",
        **{f"{PREFIX}HOST": "0.0.0.0"},
    )
    try:
        with running.client() as client:
            token = token_of(running)
            client.get("/sign-in", params={"token": token})
            client.get("/sign-in", params={"token": token}, headers={"Host": "evil.example"})
            sign_in(client, token)
            client.get("/tasks", params={"token": token})
            code = one_time_links.make(running.data)
            client.get("/sign-in", params={"code": code})
            client.post("/sign-in", data={"code": code})
            cookies = dict(client.cookies)
        assert running.end(signal.SIGTERM) in (0, -signal.SIGTERM)
    finally:
        running.end_anyhow()
    assert "GET /sign-in?token=… " in running.printed
    for secret in (token, code, *cookies.values()):
        assert secret not in running.printed


PLAIN = """
import asyncio, httpx, os
from app.main import app, start, stop, settings
from server.sharing.sign_in_token import read

async def as_owner(scope, receive, send):
    await app({**scope, "server.connection": {"account": os.geteuid()}}, receive, send)

async def ask():
    await start()
    for address in ("http://127.0.0.1:5001", "http://192.0.2.7:5001", "https://192.0.2.7:5001"):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(as_owner), base_url=address) as client:
            print((await client.get("/imports")).status_code)
            signed_in = await client.post("/sign-in", data={"token": read(settings.data)})
            print("Secure" in signed_in.headers["set-cookie"])
            print("Sign out" in (await client.get("/imports")).text)
    await stop()

asyncio.run(ask())
"""


def test_a_connection_from_another_machine_needs_a_session_however_the_app_was_started(tmp_path: Path) -> None:
    """As with `uvicorn app.main:app --host 0.0.0.0`, which no setting knows of. Over https the cookie is for https."""
    asked = subprocess.run(
        [sys.executable, *STRICT, "-c", PLAIN],
        env={**os.environ, f"{PREFIX}DATA": str(tmp_path / "data")},
        cwd=PROJECT,
        capture_output=True,
        encoding="utf-8",
    )
    assert asked.stdout.split() == ["200", "False", "False", "401", "False", "True", "401", "True", "True"], (
        asked.stderr
    )


def test_who_has_signed_out_is_shown_nothing_more(running: Running) -> None:
    with pytest.raises(InvalidStatus) as refused:
        Follower(running.url)
    assert refused.value.response.status_code == 401
    with running.client() as client:
        sign_in(client, token_of(running))
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        with Follower(running.url, cookie) as follower:
            follower.watch(("tasks", "/tasks", None))
            assert follower.next()[0] == "tasks"
            client.post("/sign-out")
            assert follower.close_code() == (4401, "Sign in again.")


# Links for once


def test_a_link_for_once_signs_in_once_and_asking_for_it_uses_nothing_up(running: Running) -> None:
    code = one_time_links.make(running.data)
    with running.client() as first, running.client() as second:
        for method in ("GET", "HEAD", "GET"):
            page = first.request(method, "/sign-in", params={"code": code})
            assert (page.status_code, page.headers["cache-control"]) == (200, "no-store")
            assert "set-cookie" not in page.headers
        form = form_of(page)
        assert form == {"code": code, "next": "/"}
        answer = first.post("/sign-in", data=form)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        replayed = second.post("/sign-in", data=form)
        assert replayed.status_code == 401
        assert "This link was used" in replayed.text
        assert "set-cookie" not in replayed.headers
        assert first.get("/tasks").status_code == 200
        assert second.get("/tasks").status_code == 401


def test_a_link_for_once_is_no_token_and_the_token_is_no_link(running: Running, client: httpx.Client) -> None:
    assert sign_in(client, one_time_links.make(running.data)).status_code in (401, 429)
    assert client.post("/sign-in", data={"code": token_of(running)}).status_code in (401, 429)
    assert client.get("/tasks").status_code == 401


def test_of_many_who_use_one_link_at_once_one_comes_in(running: Running) -> None:
    be_forgiven(running)

    async def use_all() -> None:
        async with httpx.AsyncClient(base_url=running.url, timeout=30) as client:
            code = one_time_links.make(running.data)
            answers = await asyncio.gather(*(client.post("/sign-in", data={"code": code}) for _ in range(6)))
            assert [each.status_code for each in answers].count(303) == 1

    asyncio.run(use_all())


def test_signing_out_clears_what_this_origin_keeps_and_no_cookie_of_another_app(
    running: Running, client: httpx.Client
) -> None:
    sign_in(client, token_of(running))
    answer = client.post("/sign-out")
    assert answer.headers["clear-site-data"] == '"cache", "storage"'
    (deleted,) = answer.headers.get_list("set-cookie")
    assert deleted.startswith(f'{SLUG}_access_{urlsplit(running.url).port}=""; ')
    assert "max-age=0" in deleted.lower()


def test_a_cookie_that_was_planted_is_no_session_afterwards(running: Running, client: httpx.Client) -> None:
    name = f"{SLUG}_access_{urlsplit(running.url).port}"
    client.cookies.set(name, "known-to-somebody-else", domain="127.0.0.1", path="/")
    sign_in(client, token_of(running))
    with running.client(cookies={name: "known-to-somebody-else"}) as other:
        assert other.get("/tasks").status_code == 401


def test_how_long_it_takes_does_not_tell_a_nearly_right_token(running: Running) -> None:
    """Hashes are compared, in constant time: what a hash begins with says nothing of what a token begins with."""
    right = token_of(running)
    be_forgiven(running)
    for nearly in (right[:-1], right + "x", right[:-1] + ("a" if right[-1] != "a" else "b"), right.swapcase()):
        with running.client() as client:
            assert sign_in(client, nearly).status_code in (401, 429)


def test_what_a_stranger_does_moves_no_page(running: Running, client: httpx.Client) -> None:
    with closing(sqlite3.connect(running.data / "app.db")) as watching:
        before = calm_version(watching)
        be_forgiven(running)
        sign_in(client, "wrong")
        client.get("/tasks")
        sign_in(client, token_of(running))
        client.post("/sign-out")
        assert watching.execute("PRAGMA data_version").fetchone() == before


def test_a_stranger_is_told_only_whether_it_is_well(running: Running, client: httpx.Client) -> None:
    said = client.get("/healthz")
    assert (said.status_code, said.json()) == (200, {"status": "ok"})
    assert said.headers["cache-control"] == "no-store"
    sign_in(client, token_of(running))
    assert client.get("/healthz").json().keys() == {
        *("status", "version", "commit token", "uptime", "clients", "failures"),
    }


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("/nothing", {}),
        ("/tasks/999999", {}),
        ("/static/nothing.css", {}),
        ("/tasks", {"method": "PUT"}),
        ("/tasks", {"headers": {"Host": "evil.example"}}),
        ("/tasks", {"method": "POST", "headers": {"Origin": "http://evil.example"}}),
        ("/tasks?sort=nothing-like-it", {"headers": {"Accept": "application/json"}}),
        ("/imports", {"method": "POST", "json": {}}),
        ("/sign-in/x", {}),
    ],
)
def test_no_error_is_kept_by_a_browser(running: Running, client: httpx.Client, path: str, options: Any) -> None:
    for signed_in in (False, True):
        if signed_in:
            sign_in(client, token_of(running))
        answer = client.request(**{"method": "GET", "url": path, **options})
        if answer.status_code >= 400:
            assert answer.headers.get("cache-control") == "no-store", (signed_in, answer.status_code)
