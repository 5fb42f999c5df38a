"""Open pages of a session that has ended: their sockets are closed at once, in every worker, and nobody else's."""

import contextlib
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from server.sharing.sign_in_token import read, renew
from tests.engine.conftest import PROJECT
from tests.engine.server.test_run import Running
from tests.engine.watching import Follower

PAGES = 6
# Sign-out is seen by all workers within this time, with room for a machine that has much else to do.
SOON = 5


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Two workers, for others than this machine alone."""
    options = ("--workers", "2", "--proxy-headers")
    running = Running("server.py", "run", *options, data=tmp_path_factory.mktemp("workers") / "data")
    with running.client() as client:
        assert client.get("/healthz").status_code == 200
    yield running
    running.end_anyhow()


@pytest.fixture
def person(running: Running) -> Iterator[httpx.Client]:
    with running.client() as client:
        assert client.post("/sign-in", data={"token": read(running.data)}).status_code == 303
        yield client


@pytest.fixture
def other(running: Running) -> Iterator[httpx.Client]:
    with running.client() as client:
        assert client.post("/sign-in", data={"token": read(running.data)}).status_code == 303
        yield client


def cookie_of(client: httpx.Client) -> str:
    return "; ".join(f"{name}={value}" for name, value in client.cookies.items())


@contextlib.contextmanager
def pages_of(client: httpx.Client, running: Running) -> Iterator[list[Follower]]:
    """So many open pages that each worker has some."""
    with contextlib.ExitStack() as opened:
        pages = [opened.enter_context(Follower(running.url, cookie_of(client))) for _ in range(PAGES)]
        for page in pages:
            page.watch(("tasks", "/tasks", None))
            assert page.next()[0] == "tasks"
        yield pages


def closed(page: Follower) -> tuple[int, str] | None:
    """The code and the words that a page is closed with soon; None where it is not."""
    end = time.monotonic() + SOON
    while time.monotonic() < end:
        try:
            page.socket.recv(timeout=0.1)
        except TimeoutError:
            continue
        except ConnectionClosed as error:
            return error.rcvd and (error.rcvd.code, error.rcvd.reason)
    return None


def sign_out(person: httpx.Client, other: httpx.Client, running: Running) -> None:
    person.post("/sign-out")


def end_one(person: httpx.Client, other: httpx.Client, running: Running) -> None:
    # This session is in the list of the other, and the other alone has no button there.
    for path in re.findall(r"/access/\d+/end", other.get("/access").text):
        other.post(path)


def end_others(person: httpx.Client, other: httpx.Client, running: Running) -> None:
    other.post("/access/end-others")


def sign_in_again(person: httpx.Client, other: httpx.Client, running: Running) -> None:
    person.post("/sign-in", data={"token": read(running.data)})


@pytest.mark.parametrize("end", [sign_out, end_one, end_others, sign_in_again])
def test_the_pages_of_a_session_that_has_ended_are_closed_and_no_others(
    running: Running,
    person: httpx.Client,
    other: httpx.Client,
    end: Callable[[httpx.Client, httpx.Client, Running], None],
) -> None:
    with pages_of(person, running) as pages, pages_of(other, running) as stay:
        began = time.monotonic()
        end(person, other, running)
        assert {closed(page) for page in pages} == {(4401, "Sign in again.")}
        assert time.monotonic() - began < SOON
        other.post("/tasks", data={"title": f"After {end.__name__}"})
        for page in stay:
            page.until_text(f"After {end.__name__}")


def by_command(running: Running) -> None:
    command = ("server.py", "token", "--new", "--data", running.data)
    subprocess.run([sys.executable, *command], cwd=PROJECT, check=True, capture_output=True)


def by_hand(running: Running) -> None:
    renew(running.data)


@pytest.mark.parametrize("make_new", [by_command, by_hand])
def test_a_new_token_closes_the_pages_of_all(
    running: Running, person: httpx.Client, other: httpx.Client, make_new: Callable[[Running], None]
) -> None:
    with pages_of(person, running) as pages, pages_of(other, running) as more:
        make_new(running)
        began = time.monotonic()
        assert {closed(page) for page in (*pages, *more)} == {(4401, "Sign in again.")}
        assert time.monotonic() - began < SOON


def test_a_new_link_closes_all_pages_but_what_the_person_goes_on_with(
    running: Running, person: httpx.Client, other: httpx.Client
) -> None:
    with pages_of(other, running) as pages:
        assert person.post("/access/token").status_code == 200
        assert {closed(page) for page in pages} == {(4401, "Sign in again.")}
    with pages_of(person, running) as pages:
        assert len(pages) == PAGES


def test_a_page_is_closed_without_any_commit(running: Running, person: httpx.Client) -> None:
    """Whatever is committed has views rendered, which are refused then; here nothing is."""
    with pages_of(person, running) as pages:
        for page in pages:
            page.watch(("connection", "/connection", None))
        for page in pages:
            page.until_text(f"Live in {PAGES} open tabs")  # The last commit that there is.
        with closing(sqlite3.connect(running.data / "access.db")) as file, file:
            file.execute("DELETE FROM sessions")
        assert closed(pages[0]) == (4401, "Sign in again.")
