"""Asking again: what takes all data away needs the token a short while ago, where others can come in."""

import sqlite3
from contextlib import closing

import httpx
import pytest

from app.access import confirm
from app.access.confirm import ConfirmFirst, check_export, check_upload
from app.access.request_limits import RateLimit
from server.sharing.sign_in_token import read
from tests.engine.conftest import Server
from tests.engine.server.test_run import Running

EXPORTS = ("/export.csv", "/export.json", "/export.db", "/tasks/export.csv", "/tasks/export.json")


def forget_confirmation(shared: Running) -> None:
    """Make it long ago that anybody showed the token."""
    with closing(sqlite3.connect(shared.data / "access.db")) as file, file:
        file.execute("UPDATE sessions SET confirmed_at = confirmed_at - 601")


@pytest.fixture
def idle(shared: Running, person: httpx.Client) -> httpx.Client:
    """Somebody who signed in a while ago."""
    forget_confirmation(shared)
    return person


def test_an_export_needs_no_second_showing_just_after_the_sign_in(person: httpx.Client) -> None:
    assert person.get("/tasks/export.csv").status_code == 200


@pytest.mark.parametrize("path", EXPORTS)
def test_an_export_asks_again_and_then_goes_on(shared: Running, idle: httpx.Client, path: str) -> None:
    asked = idle.get(path)
    assert asked.status_code == 403
    assert asked.headers["cache-control"] == "no-store"
    assert f'value="{path}"' in asked.text
    assert "content-disposition" not in asked.headers
    for method in ("HEAD", "GET"):
        assert idle.request(method, path).status_code in (403, 405)
    shown = idle.post("/sign-in/confirm", data={"token": read(shared.data), "next": path})
    assert (shown.status_code, shown.headers["refresh"]) == (200, f"0; url={path}")
    assert idle.get(path).status_code == 200


def test_an_export_ends_with_the_session_that_asked_for_it(shared: Running, person: httpx.Client) -> None:
    with closing(sqlite3.connect(shared.data / "app.db")) as file, file:
        file.executemany("INSERT INTO tasks (title, notes) VALUES (?, ?)", [("Long", "x" * 90_000)] * 300)
    for path in ("/tasks/export.csv", "/export.db"):
        with shared.client(cookies=person.cookies) as elsewhere, elsewhere.stream("GET", path) as answer:
            pieces = answer.iter_raw()
            next(pieces)
            person.post("/sign-out")
            with pytest.raises(httpx.RemoteProtocolError):
                for _ in pieces:
                    pass
        assert person.post("/sign-in", data={"token": read(shared.data)}).status_code == 303
    shared.wait_for("An export was ended(.|\\n)*An export was ended")


def test_pages_go_on_meanwhile(idle: httpx.Client) -> None:
    assert idle.get("/tasks").status_code == 200
    assert idle.get("/imports").status_code == 200
    assert idle.get("/tasks", headers={"HX-Request": "true"}).status_code == 200


def test_a_wrong_token_confirms_nothing(shared: Running, idle: httpx.Client) -> None:
    wrong = idle.post("/sign-in/confirm", data={"token": "wrong", "next": "/export.csv"})
    assert wrong.status_code == 403
    assert "That is not the token." in wrong.text
    assert 'value="/export.csv"' in wrong.text
    assert idle.get("/export.csv").status_code == 403
    idle.post("/sign-in/confirm", data={"token": read(shared.data)})


def test_nobody_is_led_elsewhere_by_it(shared: Running, idle: httpx.Client) -> None:
    for next in ("https://evil.example", "//evil.example", "/\\evil.example", "/x; url=//evil.example\n"):
        shown = idle.post("/sign-in/confirm", data={"token": read(shared.data), "next": next})
        assert "evil.example" not in shown.headers["refresh"]


def test_an_address_in_any_script_is_gone_on_to(shared: Running, person: httpx.Client) -> None:
    """A header holds no such letters."""
    for next, to in (
        ("/tasks?q=Käse", "/tasks?q=K%C3%A4se"),
        ("/☃", "/%E2%98%83"),
        ("/tasks?q=a%20b", "/tasks?q=a%20b"),
    ):
        shown = person.post("/sign-in/confirm", data={"token": read(shared.data), "next": next})
        assert (shown.status_code, shown.headers["refresh"]) == (200, f"0; url={to}")
        assert person.post("/sign-in", data={"token": read(shared.data), "next": next}).headers["location"] == to


def test_a_program_is_told_too(idle: httpx.Client) -> None:
    said = idle.get("/export.json", headers={"Accept": "application/json"})
    assert (said.status_code, said.json()["status"]) == (403, 403)
    assert "token again" in said.json()["message"]
    toast = idle.get("/export.csv", headers={"HX-Request": "true"})
    assert (toast.status_code, toast.headers["hx-retarget"]) == (403, "#toasts")


def test_who_has_no_session_confirms_nothing(shared: Running) -> None:
    with shared.client() as stranger:
        assert stranger.post("/sign-in/confirm", data={"token": read(shared.data)}).status_code == 401
        assert stranger.get("/export.csv").status_code == 401


def test_the_owner_is_never_asked(server: Server, client: httpx.Client) -> None:
    for _ in range(15):
        assert client.get("/tasks/export.csv").status_code == 200


class Sessions:
    def __init__(self, is_private: bool) -> None:
        self._is_private = is_private

    def is_private(self, scope: object) -> bool:
        return self._is_private

    def session_of(self, scope: object) -> "Sessions":
        return self

    def is_confirmed(self, now: float) -> bool:
        return True


class Request:
    def __init__(self) -> None:
        self.scope = {"client": ("192.0.2.7", 1), "server": ("192.0.2.1", 2), "headers": []}


@pytest.mark.parametrize(("check", "what"), [(check_export, "exports"), (check_upload, "uploads")])
def test_what_is_dear_is_limited_where_others_come_in(
    monkeypatch: pytest.MonkeyPatch, check: object, what: str
) -> None:
    assert callable(check)
    monkeypatch.setattr(confirm, what.upper(), RateLimit(burst=2, seconds=6, clock=lambda: 0))
    monkeypatch.setattr(confirm, "sessions", Sessions(is_private=True))
    for _ in range(5):
        check(Request())
    monkeypatch.setattr(confirm, "sessions", Sessions(is_private=False))
    check(Request())
    check(Request())
    with pytest.raises(Exception, match=f"too many {what}") as refusal:
        check(Request())
    assert not isinstance(refusal.value, ConfirmFirst)
    assert getattr(refusal.value, "status_code", 0) == 429


def test_uploads_are_limited(shared: Running, person: httpx.Client) -> None:
    """Over HTTP: the answer of the eleventh says when to come back."""
    answers = [person.post("/imports", files={"file": ("a.csv", b"title\n")}) for _ in range(12)]
    assert 429 in [each.status_code for each in answers]
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert "too many uploads" in answers[-1].text
