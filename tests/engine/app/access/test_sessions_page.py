"""The page of who is signed in: what it lists, and what its buttons end."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import html5lib
import httpx
import pytest

from app.access.access_file import AccessFile
from server.sharing.sign_in_token import read
from tests.engine.conftest import Server
from tests.engine.server.test_run import Running, until

PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1 Version/19.0 Mobile Safari/604.1"


@pytest.fixture
def phone(shared: Running) -> Iterator[httpx.Client]:
    """The same person on another machine."""
    with shared.client(headers={"User-Agent": PHONE}) as client:
        client.post("/sign-in", data={"token": read(shared.data)})
        yield client


@pytest.fixture(autouse=True)
def nobody(shared: Running) -> None:
    """Begin with nobody signed in, and nothing that has happened."""
    with closing(sqlite3.connect(AccessFile(shared.data).path)) as file, file:
        for table in ("sessions", "events"):
            if file.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", [table]).fetchone():
                file.execute(f"DELETE FROM {table}")


def parsed(answer: httpx.Response) -> Any:
    return html5lib.parse(answer.text, namespaceHTMLElements=False)


def listed(client: httpx.Client) -> list[str]:
    """The browsers on the page, in words."""
    answer = client.get("/access")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    items = parsed(answer).findall(".//ul[@class='browsers']/li")
    return [" ".join("".join(each.itertext()).split()) for each in items]


def forms(client: httpx.Client) -> list[str]:
    return [form.get("action") for form in parsed(client.get("/access")).iter("form")]


def test_it_lists_the_browsers_this_one_first(phone: httpx.Client, person: httpx.Client) -> None:
    for client, own, other in (
        (person, "Firefox on Linux", "Safari on iPhone"),
        (phone, "Safari on iPhone", "Firefox on Linux"),
    ):
        first, second = listed(client)
        assert first.startswith(f"{own}this one")
        assert second.startswith(other)
        assert "this one" not in second
        assert re.search(r"Signed in \d{1,2} \w{3} \d{4}, \d\d:\d\d, last used \d{1,2} ", second)
    assert ("a", "Sessions") in {(each.tag, each.text) for each in parsed(person.get("/tasks")).iterfind(".//nav/*")}


def test_one_is_ended(phone: httpx.Client, person: httpx.Client) -> None:
    (end,) = [each for each in forms(person) if re.fullmatch(r"/access/\d+/end", each)]
    answer = person.post(end)
    assert (answer.status_code, answer.headers["location"]) == (303, "/access")
    assert phone.get("/tasks").status_code == 401
    assert person.get("/tasks").status_code == 200
    assert person.post(end).status_code == 404
    assert "/access/end-others" not in forms(person), "there are none"


def test_all_others_are_ended_at_once(shared: Running, phone: httpx.Client, person: httpx.Client) -> None:
    with shared.client() as third:
        third.post("/sign-in", data={"token": read(shared.data)})
        assert "/access/end-others" in forms(person)
        assert person.post("/access/end-others").status_code == 303
        assert [each.get("/tasks").status_code for each in (phone, third, person)] == [401, 401, 200]
    assert len(listed(person)) == 1


def test_it_says_what_has_happened(shared: Running, phone: httpx.Client, person: httpx.Client) -> None:
    phone.post("/sign-out")
    with shared.client(headers={"User-Agent": "<script>alert(1)</script>"}) as stranger:
        stranger.post("/sign-in", data={"token": "wrong"})

    def told() -> list[str]:
        items = parsed(person.get("/access")).findall(".//ol[@class='events']/li/div/p[1]")
        return ["".join(each.itertext()) for each in items]

    until(lambda: len(told()) >= 4 and told()[0].startswith("Tried"))
    assert told()[:4] == ["Tried a wrong token", "Signed out", *["Signed in with the token"] * 2]
    assert "<script>alert" not in person.get("/access").text


def test_a_new_link_ends_all_others_and_this_one_goes_on(
    shared: Running, phone: httpx.Client, person: httpx.Client
) -> None:
    old = read(shared.data)
    answer = person.post("/access/token")
    new = read(shared.data)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert f"{shared.url}/sign-in?token={new}" in answer.text
    assert new != old
    assert person.get("/tasks").status_code == 200
    assert phone.get("/tasks").status_code == 401
    with shared.client() as stranger:
        assert stranger.post("/sign-in", data={"token": old}).status_code in (401, 429)
        assert stranger.post("/sign-in", data={"token": new}).status_code == 303


def test_a_new_link_needs_the_token_once_more(shared: Running, person: httpx.Client) -> None:
    with closing(sqlite3.connect(shared.data / "access.db")) as file, file:
        file.execute("UPDATE sessions SET confirmed_at = 0")
    old = read(shared.data)
    asked = person.post("/access/token")
    assert asked.status_code == 403
    assert 'value="/access"' in asked.text
    assert read(shared.data) == old


def test_questions_and_other_sites_end_nothing(person: httpx.Client, phone: httpx.Client) -> None:
    (end,) = [each for each in forms(person) if re.fullmatch(r"/access/\d+/end", each)]
    for path in (end, "/access/end-others", "/access/token", "/sign-out"):
        assert person.get(path).status_code == 405
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}):
            assert person.post(path, headers=headers).status_code == 403
    assert [each.get("/tasks").status_code for each in (person, phone)] == [200, 200]


def test_the_owner_of_a_private_server_sees_it_too(server: Server, client: httpx.Client) -> None:
    answer = client.get("/access")
    assert answer.status_code == 200
    assert "Nobody" in answer.text


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE sessions SET {} = 'x' WHERE browser LIKE 'Safari%'",
        "UPDATE sessions SET {} = x'ff' WHERE browser LIKE 'Safari%'",
        "UPDATE sessions SET browser = CAST(x'ff' AS TEXT), {} = 1.5 WHERE browser LIKE 'Safari%'",
        "UPDATE events SET at = 'x', kind = x'ff', address = 5, browser = x'00', tries = 'y'",
        "UPDATE events SET at = -1e300, kind = CAST(x'ff' AS TEXT), tries = 1e300",
    ],
)
def test_what_another_program_has_written_there_takes_the_page_from_nobody(
    shared: Running, phone: httpx.Client, person: httpx.Client, change: str
) -> None:
    for column in ("created_at", "used_at", "confirmed_at"):
        until(lambda: has_events(shared))
        with closing(sqlite3.connect(AccessFile(shared.data).path)) as file, file:
            file.execute(change.format(column))
        assert listed(person)[0].startswith("Firefox on Linux")
        assert person.get("/tasks").status_code == 200
        assert phone.get("/tasks").status_code in (200, 401)
        assert httpx.get(f"{shared.url}/healthz").status_code == 200


def has_events(shared: Running) -> bool:
    with closing(sqlite3.connect(AccessFile(shared.data).path)) as file:
        return bool(file.execute("SELECT count(*) FROM events").fetchone()[0])
