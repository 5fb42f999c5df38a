"""The app as a whole: its health, its key, and that routes work which are written as FastHTML's documentation does."""

import contextlib
import json
import os
import re
import socket
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import html5lib
import httpx
import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

from server.app_name import NAME, PREFIX, SLUG
from server.guard.request_bodies import FORM_LIMIT, MESSAGE_LIMIT
from server.sharing.sign_in_token import read
from tests.engine.conftest import PATIENCE, PROJECT, ROOT, STRICT
from tests.engine.server.test_run import Running, until
from tests.engine.watching import Follower, version_of

PART = 'Content-Disposition: form-data; name="{}"\r\n\r\n{}'
# What a person might paste from the documentation, below the app: nothing here knows this project but its last routes.
PASTED = """
from dataclasses import dataclass
from datetime import date

from fasthtml.common import *
from starlette.background import BackgroundTask

from app.main import app

rt = app.route
done = []


@rt
def hello(name: str = "you"):
    more = A("Go on", href=item.to(id=7)), Button("Load", hx_get=item.to(id=1))
    return Titled(f"Hello {name}", P("Let's do this!"), *more)


@dataclass
class Profile:
    email: str
    age: int
    born: date = None
    newsletter: bool = False


profile_form = Form(method="post", action="/profile")(
    Fieldset(Label("Email", Input(name="email")), Label("Age", Input(name="age"))), Button("Save", type="submit")
)


@rt("/profile")
def get():
    return Titled("Profile", fill_form(profile_form, Profile("ada@example.org", 36)))


@rt("/profile")
def post(profile: Profile):
    return Div(f"{profile}", id="saved")


@rt("/items/{id}")
def item(id: int, q: str = "nothing", tags: list[str] = None):
    return P(f"Item {id + 1}, looked for {q} in {tags}")


@rt
def trigger():
    return P("Changed"), HtmxResponseHeaders(trigger="changed", retarget="#there"), cookie("seen", "yes")


@rt
def go():
    return Redirect("/hello")


@rt
def visits(session):
    session.setdefault("count", 0)
    session["count"] += 1
    return P(f"Visit {session['count']}")


@rt
def told(htmx: HtmxHeaders, request):
    return P(f"target {htmx.target}, prompt {htmx.prompt}, path {request.url.path}")


@app.get("/api/numbers")
async def numbers():
    return {"numbers": [1, 2, 3], "day": date(2026, 1, 2)}


@rt
def both():
    return Title("Both"), Meta(name="robots", content="none"), Link(rel="next", href="/hello"), H1("Mine"), P("Second")


@rt
def plain():
    return "<b>As it is</b>"


@rt
async def upload(file: UploadFile):
    return P(f"{file.filename} has {len(await file.read())} bytes")


@rt
def later():
    return P("Soon"), BackgroundTask(done.append, "done")


@rt
def what_was_done():
    return Ul(*(Li(each) for each in done))


@rt
def stream():
    async def events():
        for number in range(3):
            yield f"data: {number}\\n\\n"

    return EventStream(events())


def greet(request, session):
    request.scope["greeting"] = "Good day"


@rt(before=greet)
def greeted(request):
    return P(request.scope["greeting"])


@rt("/cards/{id}")
class Cards:
    def get(self, id: int):
        return P(f"card {id}")

    def delete(self, id: int):
        return P(f"no card {id}")


@app.ws("/echo")
async def echo(msg: str, send):
    await send(Div("heard " + msg, id="echo"))


# Ours in theirs, and theirs in ours.
from templates.parts import tags as ours


@rt
def mixed():
    return Div(ours.P("ours <in> theirs", cls="a"), P("theirs", cls="b"), ours.Span(Em("theirs <in> ours")))


@rt
def only_ours():
    return ours.Div(Strong("theirs"), ours.P("& ours"), id="only")


# And what goes wrong.


@rt("/fail/{status}")
def fail(status: int):
    if status == 500:
        raise ZeroDivisionError("a secret of the program")
    raise HTTPException(status, "What was wrong.", headers={"x-more": "kept"})


@app.get("/fail-later")
async def fail_later():
    async def parts():
        yield "begun"
        raise ZeroDivisionError("a secret of the program")

    return StreamingResponse(parts())
"""


@pytest.fixture(scope="module")
def pasted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The app with these routes, on Uvicorn."""
    directory = tmp_path_factory.mktemp("pasted")
    (directory / "pasted.py").write_text(PASTED, encoding="utf-8")
    running = Running(
        *("-m", "uvicorn", "pasted:app", "--port", "0", "--log-level", "info"),
        data=directory / "data",
        PYTHONPATH=f"{directory}{os.pathsep}{PROJECT}",
    )
    yield running
    running.end_anyhow()


@pytest.fixture
def client(pasted: Running) -> Iterator[httpx.Client]:
    with pasted.client() as client:
        yield client


@pytest.fixture
def htmx(pasted: Running) -> Iterator[httpx.Client]:
    with pasted.client(headers={"HX-Request": "true"}) as client:
        yield client


def page_of(answer: httpx.Response) -> Any:
    """A whole page, in our shell; nothing of it comes from elsewhere."""
    assert answer.status_code == 200, answer.text
    assert answer.text.lstrip().lower().startswith("<!doctype html>")
    document = html5lib.parse(answer.text, namespaceHTMLElements=False)
    assert document.get("lang") == "en"
    assert document.find("./body/header/a[@class='brand']") is not None
    assert document.find("./body/main[@id='main']") is not None
    assert document.find("./body/div[@id='toasts']") is not None
    files = [each.get("src") or each.get("href") for each in document.find("./head") if each.tag in ("script", "link")]
    assert any(re.fullmatch(r"/static/app\.\w+\.css", file) for file in files)
    assert any(re.fullmatch(r"/static/vendor/htmx\.min\.\w+\.js", file) for file in files)
    assert all(file.startswith("/") for file in files)
    assert len(document.findall("./head/title")) == 1
    return document


def text_of(element: Any) -> str:
    return " ".join(text.strip() for text in element.itertext() if text.strip())


def main_of(answer: httpx.Response) -> str:
    """What a person reads in the main part of a page."""
    return text_of(page_of(answer).find("./body/main"))


def test_a_pasted_page_comes_in_our_shell(client: httpx.Client, htmx: httpx.Client) -> None:
    document = page_of(client.get("/hello"))
    assert document.find("./head/title").text == "Hello you"
    assert text_of(document.find("./body/main")) == "Hello you Let's do this! Go on Load"
    assert main_of(client.get("/hello?name=<b>Ada")).startswith("Hello <b>Ada")
    assert [link.get("href") for link in document.findall("./body/main//a")] == ["/items/7"]
    assert document.find("./body/main//button").get("hx-get") == "/items/1"
    fragment = htmx.get("/hello")
    assert "<html" not in fragment.text
    assert "Let's do this!" in fragment.text
    restored = htmx.get("/hello", headers={"HX-History-Restore-Request": "true"})
    assert page_of(restored) is not None


def test_what_belongs_into_the_head_goes_there(client: httpx.Client) -> None:
    document = page_of(client.get("/both"))
    assert document.find("./head/title").text == "Both"
    assert document.find("./head/meta[@name='robots']") is not None
    assert document.find("./head/link[@rel='next']") is not None
    assert text_of(document.find("./body/main")) == "Mine Second"
    assert page_of(client.get("/items/1")).find("./head/title").text == NAME, "where a page names none"


def test_a_form_fills_a_dataclass(client: httpx.Client, htmx: httpx.Client) -> None:
    shown = page_of(client.get("/profile"))
    assert [field.get("value") for field in shown.findall(".//input")] == ["ada@example.org", "36"]
    form = {"email": "bob@example.org", "age": "41", "born": "1985-01-02", "newsletter": "on"}
    saved = htmx.post("/profile", data=form).text
    assert "Profile(email='bob@example.org', age=41, born=datetime.date(1985, 1, 2), newsletter=True)" in (
        html5lib.parse(saved, namespaceHTMLElements=False).find(".//div").text
    )


def test_parameters_come_from_path_and_query_with_their_types(client: httpx.Client) -> None:
    assert main_of(client.get("/items/6?q=milk&tags=a&tags=b")) == "Item 7, looked for milk in ['a', 'b']"
    assert main_of(client.get("/items/6")) == "Item 7, looked for nothing in []"
    assert client.get("/items/six").status_code == 404


def test_headers_and_cookies_go_with_the_answer(client: httpx.Client) -> None:
    answer = client.get("/trigger")
    assert (answer.headers["hx-trigger"], answer.headers["hx-retarget"]) == ("changed", "#there")
    assert answer.cookies["seen"] == "yes"
    assert main_of(answer) == "Changed"


def test_a_redirect_is_one_for_browsers_and_for_htmx(client: httpx.Client, htmx: httpx.Client) -> None:
    answer = client.get("/go")
    assert (answer.status_code, answer.headers["location"]) == (303, "/hello")
    answer = htmx.get("/go")
    assert (answer.status_code, answer.headers["hx-redirect"]) == (200, "/hello")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/x-www-form-urlencoded", "email=Ä&age=36"),
        ("application/json; charset=utf-8", '{"email": "Ä", "age": "36"}'),
        (
            "Multipart/Form-Data; boundary=x",
            "\r\n".join(("--x", PART.format("email", "Ä"), "--x", PART.format("age", 36))),
        ),
    ],
)
def test_parameters_are_read_from_any_form_however_it_comes(client: httpx.Client, kind: str, body: str) -> None:
    """In pieces too, of which FastHTML's own reading makes a form without fields."""
    content = body.encode() + (b"\r\n--x--\r\n" if "boundary" in kind else b"")
    for sent in (content, iter([content])):
        answer = client.post("/profile", content=sent, headers={"Content-Type": kind})
        assert "Profile(email='Ä', age=36," in unescape(answer.text)


def test_a_session_belongs_to_one_person(pasted: Running) -> None:
    with pasted.client() as ada, pasted.client() as bob:
        assert [main_of(ada.get("/visits")) for _ in range(3)] == ["Visit 1", "Visit 2", "Visit 3"]
        assert main_of(bob.get("/visits")) == "Visit 1"
        (cookie,) = [cookie for cookie in ada.cookies.jar if cookie.name == f"{SLUG}_session"]
        assert cookie.has_nonstandard_attr("httponly")
        assert cookie.get_nonstandard_attr("samesite") == "lax"
        ada.cookies.set(f"{SLUG}_session", f"{cookie.value}x", domain=cookie.domain)
    with pasted.client(cookies={f"{SLUG}_session": f"{cookie.value}x"}) as forger:
        assert main_of(forger.get("/visits")) == "Visit 1"


def test_a_session_does_not_keep_fragments_from_being_kept(pasted: Running) -> None:
    with pasted.client() as ada:
        ada.get("/visits")
        etag = ada.get("/tasks").headers["etag"]
        assert ada.get("/tasks", headers={"If-None-Match": etag}).status_code == 304


def test_what_htmx_says_is_handed_over(htmx: httpx.Client) -> None:
    answer = htmx.get("/told", headers={"HX-Target": "here", "HX-Prompt": "Why?"})
    assert "target here, prompt Why?, path /told" in answer.text


def test_a_dictionary_is_json_and_a_string_is_html(client: httpx.Client) -> None:
    answer = client.get("/api/numbers")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"numbers": [1, 2, 3], "day": "2026-01-02"}
    answer = client.get("/plain")
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.text == "<b>As it is</b>"


def test_files_tasks_after_the_answer_and_streams_work(client: httpx.Client) -> None:
    assert "a.txt has 5 bytes" in client.post("/upload", files={"file": ("a.txt", b"12345")}).text
    assert main_of(client.get("/later")) == "Soon"
    until(lambda: main_of(client.get("/what_was_done")) == "done")
    answer = client.get("/stream")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text == "data: 0\n\ndata: 1\n\ndata: 2\n\n"


def test_a_route_may_have_something_before_it_and_be_a_class(client: httpx.Client) -> None:
    assert main_of(client.get("/greeted")) == "Good day"
    assert main_of(client.get("/cards/3")) == "card 3"
    assert "no card 3" in client.delete("/cards/3").text
    assert client.put("/cards/3").status_code == 405


def test_a_socket_speaks_with_our_pages_only(pasted: Running) -> None:
    address = pasted.url.replace("http:", "ws:") + "/echo"
    with connect(address, origin=pasted.url, proxy=None) as socket:
        socket.send(json.dumps({"msg": "a word", "HEADERS": {}}))
        assert 'id="echo"' in (said := str(socket.recv(timeout=20)))
        assert "heard a word" in said
    with pytest.raises(InvalidStatus) as refusal, connect(address, origin="http://evil.example", proxy=None):
        pass
    assert refusal.value.response.status_code == 403


def test_a_socket_takes_messages_up_to_a_limit(pasted: Running) -> None:
    """Uvicorn itself would take sixteen megabytes."""
    with connect(pasted.url.replace("http:", "ws:") + "/echo", origin=pasted.url, proxy=None) as socket:
        fits = json.dumps({"msg": "x" * (MESSAGE_LIMIT - 100), "HEADERS": {}})
        socket.send(fits)
        assert "heard xxx" in str(socket.recv(timeout=20))
        socket.send(fits + " " * 100)
        with pytest.raises(ConnectionClosedError) as closed:
            socket.recv(timeout=20)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1009, "A message has at most 64 KiB.")


def test_our_tags_and_theirs_go_into_each_other(client: httpx.Client, htmx: httpx.Client) -> None:
    mixed = html5lib.parseFragment(htmx.get("/mixed").text, namespaceHTMLElements=False)
    div = mixed.find("div")
    assert [(child.tag, child.get("class"), text_of(child)) for child in div] == [
        ("p", "a", "ours <in> theirs"),
        ("p", "b", "theirs"),
        ("span", None, "theirs <in> ours"),
    ]
    assert div.find("span/em") is not None
    page_of(client.get("/mixed"))
    only = html5lib.parseFragment(htmx.get("/only_ours").text, namespaceHTMLElements=False)
    assert only.find("div[@id='only']/strong") is not None
    assert text_of(only) == "theirs & ours"


# What goes wrong in a pasted route


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 413, 415, 422, 429, 503])
def test_a_pasted_error_looks_like_ours(client: httpx.Client, htmx: httpx.Client, status: int) -> None:
    page = client.get(f"/fail/{status}")
    assert page.status_code == status
    assert 'class="brand"' in page.text
    assert "What was wrong." in page.text or status == 405
    assert page.headers["x-more"] == "kept"
    toast = htmx.get(f"/fail/{status}")
    assert (toast.status_code, toast.headers["hx-retarget"]) == (status, "#toasts")
    said = client.get(f"/fail/{status}", headers={"Accept": "application/json"}).json()
    assert said["status"] == status


def test_a_missing_field_is_named(client: httpx.Client) -> None:
    answer = client.post("/upload", data={"other": "x"})
    assert (answer.status_code, "file" in answer.text) == (400, True)


def test_what_nobody_expected_is_in_the_log_and_not_in_the_answer(pasted: Running) -> None:
    for headers in ({}, {"HX-Request": "true"}, {"Accept": "application/json"}):
        with pasted.client(headers=headers) as client:
            answer = client.get("/fail/500")
        assert answer.status_code == 500
        assert "written to the log" in answer.text
        for part in ("secret", "ZeroDivision", "Traceback", "pasted.py"):
            assert part not in answer.text
        assert "content-security-policy" in answer.headers
        pasted.wait_for("ZeroDivisionError: a secret of the program")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["status"] == 500


def test_what_breaks_off_does_not_pass_for_whole(pasted: Running) -> None:
    with pasted.client() as client, pytest.raises(httpx.RemoteProtocolError):
        client.get("/fail-later")
    with pasted.client() as client:
        assert client.get("/healthz").status_code == 200


# Health, key, settings


def test_health_says_that_and_since_when_the_app_can_read_its_file(client: httpx.Client) -> None:
    answer = client.get("/healthz")
    health = answer.json()
    assert answer.status_code == 200
    assert health.keys() >= {"status", "version", "commit token", "uptime"}
    assert health["status"] == "ok"
    assert re.fullmatch(r"\d+\.\d+\.\d+", health["version"])
    assert 0 <= health["uptime"] < 600
    client.post("/tasks", data={"title": "A commit"})
    later = client.get("/healthz").json()
    assert later["commit token"] != health["commit token"]
    assert later["uptime"] >= health["uptime"]


def in_python(code: str, data: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code that imports the app in a process of its own."""
    return subprocess.run(
        [sys.executable, *STRICT, "-c", textwrap.dedent(code)],
        env={**os.environ, f"{PREFIX}DATA": str(data), **environment},
        cwd=PROJECT,
        capture_output=True,
        encoding="utf-8",
    )


def test_health_is_bad_where_the_file_cannot_be_read(tmp_path: Path) -> None:
    """Here because the app was not started, so that it has no file at all."""
    asked = in_python(
        """
        import asyncio, httpx
        from app.main import app

        async def ask():
            async def as_owner(scope, receive, send):
                await app({**scope, "server.connection": {"owner": True}}, receive, send)

            transport = httpx.ASGITransport(as_owner)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                answer = await client.get("/healthz")
                print(answer.status_code, answer.text)

        asyncio.run(ask())
        """,
        tmp_path / "data",
    )
    status, _, health = asked.stdout.partition(" ")
    assert status == "503", asked.stderr
    assert "the database cannot be read: " in json.loads(health)["status"]
    assert json.loads(health)["commit token"] is None


def test_what_is_looked_after_comes_back_after_any_failure_and_health_tells_of_it(tmp_path: Path) -> None:
    """Each by itself: an exception in one keeps none of the others from their work."""
    asked = in_python(
        """
        import asyncio
        from app import main
        from server import background_work as background

        background.FIRST_PAUSE = 0.01
        main.LOOK_AFTER_SECONDS = main.lost_data.LOOK_SECONDS = main.indexing.LOOK_SECONDS = 0.01
        calls = {}

        def failing(name):
            async def take_up():
                calls[name] = calls.get(name, 0) + 1
                if calls[name] <= 2:
                    raise ZeroDivisionError(name)
            return take_up

        main.import_routes.recover = failing("imports")
        main.presence.presence.clear = failing("tabs")
        main.sessions.look_after = failing("sessions")
        main.sessions.file.look = failing("access.db")
        main.lost_data.lost.look = failing("app.db")
        main.indexing.indexing.catch_up = failing("rows of others")

        async def go():
            tasks = main.look_after()
            async with asyncio.timeout(30):
                while len(background.troubles()) < 6:
                    await asyncio.sleep(0.001)
                while not all(calls[name] > 4 for name in calls):
                    await asyncio.sleep(0.001)
            for task in tasks:
                task.cancel()

        asyncio.run(go())
        print(sorted(background.failures().values()), background.troubles())
        """,
        tmp_path / "data",
    )
    assert asked.stdout.strip() == "[2, 2, 2, 2, 2, 2] []", asked.stderr
    assert asked.stderr.count("Traceback") == 12


def test_the_session_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    print_key = "from app.main import app; print(app.secret_key)"
    before = os.umask(0)
    try:
        keys = {in_python(print_key, tmp_path / "data").stdout.strip() for _ in range(2)}
    finally:
        os.umask(before)
    (key,) = keys
    assert len(key) >= 32
    path = tmp_path / "data" / "session.key"
    assert path.read_text(encoding="utf-8") == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(each.name for each in (tmp_path / "data").iterdir()) == ["app.db", "session.key"]
    assert not (ROOT / ".sesskey").exists(), "FastHTML writes its own, readable by all, where it gets none"


def test_settings_that_cannot_be_used_are_one_line_under_uvicorn_too(tmp_path: Path) -> None:
    ended = in_python("import app.main", tmp_path / "data", **{f"{PREFIX}PORT": "http"})
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert f"{PREFIX}PORT" in line
    assert not (tmp_path / "data").exists()


# However it is started, it is guarded

WAYS = {
    "uvicorn": ("uvicorn", "app.main:app", "--port", "0"),
    "uvicorn --reload": ("uvicorn", "app.main:app", "--port", "0", "--reload"),
    "gunicorn": (
        "gunicorn",
        "-k",
        "uvicorn_worker.UvicornWorker",
        "app.main:app",
        "-w",
        "2",
        "--bind",
        "127.0.0.1:0",
        "--no-control-socket",
    ),
}


@pytest.fixture(scope="module", params=WAYS.values(), ids=WAYS)
def started(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The app as others start it, told to listen to all machines and bound to this one."""
    data = tmp_path_factory.mktemp("started") / "data"
    chosen = {f"{PREFIX}HOST": "0.0.0.0", f"{PREFIX}ALLOW_HOST": "tasks.test", f"{PREFIX}MAX_UPLOAD": "2M"}
    running = Running("-m", *request.param, data=data, **chosen)
    running.wait_for("Application startup complete")
    # Uvicorn's reload says so before it listens.
    with httpx.Client(base_url=running.url, transport=httpx.HTTPTransport(retries=8)) as client:
        assert client.get("/healthz", timeout=PATIENCE).status_code == 200
    yield running
    running.end_anyhow()


@pytest.fixture
def person(started: Running) -> Iterator[httpx.Client]:
    """A browser that is signed in."""
    with started.client() as client:
        assert client.post("/sign-in", data={"token": read(started.data)}).status_code == 303
        yield client


def cookies_of(person: httpx.Client) -> str:
    """The cookies as a header, for a name that they were not made for."""
    return "; ".join(f"{name}={value}" for name, value in person.cookies.items())


def test_it_answers_to_its_own_names_only(started: Running, person: httpx.Client) -> None:
    for host in (httpx.URL(started.url).netloc.decode(), "localhost", "tasks.test:5001"):
        assert person.get("/tasks", headers={"Host": host, "Cookie": cookies_of(person)}).status_code == 200
    for host, status in (("evil.example", 403), ("user@localhost", 400), ("localhost:x", 400), ("", 400)):
        for path in ("/tasks", "/static/app.css", "/healthz", "/sign-in"):
            answer = person.get(path, headers={"Host": host})
            assert answer.status_code == status
            assert "content-security-policy" in answer.headers


def test_it_takes_changes_from_its_own_pages_only(started: Running, person: httpx.Client) -> None:
    own = {"Origin": started.url}
    assert person.post("/tasks", data={"title": "Mine"}, headers=own).status_code == 303
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "same-site"}):
        assert person.post("/tasks", data={"title": "Theirs"}, headers=headers).status_code == 403
    assert [task["title"] for task in person.get("/export.json").json()] == ["Mine"]
    address = started.url.replace("http:", "ws:") + "/live"
    for headers, status in (({"Origin": "http://evil.example"}, 403), ({}, 401)):
        with pytest.raises(InvalidStatus) as refusal, connect(address, additional_headers=headers, proxy=None):
            pass
        assert refusal.value.response.status_code == status


def test_it_reads_only_so_much(person: httpx.Client) -> None:
    assert person.post("/tasks", content=b"x" * (FORM_LIMIT + 1)).status_code == 413
    deep = person.post("/tasks", content=b"[" * 5000, headers={"Content-Type": "application/json"})
    assert (deep.status_code, "100 levels" in deep.text) == (400, True)
    large = person.post("/imports", files={"file": ("a.csv", b"x" * 2 * FORM_LIMIT)})
    assert (large.status_code, "2 MiB" in large.text) == (413, True)


def test_it_lets_in_who_is_signed_in_whichever_worker_answers(started: Running, person: httpx.Client) -> None:
    kept = dict(person.cookies)
    for _ in range(8):
        # A connection is one worker's: with a new one for each request both get some.
        with started.client() as stranger:
            assert stranger.get("/tasks").status_code == 401
        with started.client(cookies=kept) as same:
            assert same.get("/tasks").status_code == 200
    person.post("/sign-out")
    for _ in range(8):
        with started.client(cookies=kept) as replayed:
            assert replayed.get("/tasks").status_code == 401


MOUNTED = """
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from app.main import app

api = FastAPI()


@api.get("/hello/{name}")
def hello(name: str):
    return {"hello": name}


@api.post("/things")
def add(things: list[int]):
    return {"count": len(things)}


async def plain(request):
    return PlainTextResponse((await request.body())[:9])


app.mount("/api", api)
app.mount("/other", Starlette(routes=[Route("/plain", plain, methods=["GET", "POST"])]))
"""


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Other apps beside ours, as their documentation mounts them."""
    directory = tmp_path_factory.mktemp("mounted")
    (directory / "mounted.py").write_text(MOUNTED, encoding="utf-8")
    running = Running(
        *("-m", "uvicorn", "mounted:app", "--port", "0"),
        data=directory / "data",
        PYTHONPATH=f"{directory}{os.pathsep}{PROJECT}",
    )
    with running.client() as client:
        yield client
    running.end_anyhow()


def test_another_app_can_be_mounted(mounted: httpx.Client) -> None:
    assert mounted.get("/api/hello/Ada").json() == {"hello": "Ada"}
    assert mounted.get("/api/openapi.json").json()["paths"].keys() == {"/hello/{name}", "/things"}
    assert mounted.post("/api/things", json=[1, 2]).json() == {"count": 2}
    assert mounted.post("/other/plain", content=b"As it is").text == "As it is"
    assert mounted.get("/tasks").status_code == 200


def test_what_is_mounted_is_guarded_too(mounted: httpx.Client) -> None:
    for path in ("/api/things", "/other/plain"):
        assert mounted.post(path, json=[], headers={"Host": "evil.example"}).status_code == 403
        assert mounted.post(path, json=[], headers={"Origin": "http://evil.example"}).status_code == 403
        assert mounted.post(path, content=b"[" * (FORM_LIMIT + 1)).status_code in (400, 413)
        assert mounted.post(path, content=b"x" * (FORM_LIMIT + 1), headers={"Content-Type": "a/b"}).status_code == 413
        deep = mounted.post(path, content=b"[" * 5000, headers={"Content-Type": "application/json"})
        assert (deep.status_code, "100 levels" in deep.text) == (400, True)
        assert "content-security-policy" in deep.headers


# Files that come


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="Linux says which files a process has open")
def test_a_large_file_waits_in_the_directory_of_the_data_and_a_crash_leaves_nothing(tmp_path: Path) -> None:
    running = Running("-m", "uvicorn", "app.main:app", "--port", "0", data=tmp_path / "data")
    try:
        running.wait_for("Application startup complete")
        address = urlsplit(running.url)
        with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
            connection.sendall(
                f"POST /imports HTTP/1.1\r\nHost: localhost\r\nContent-Length: {64 * FORM_LIMIT}\r\n"
                "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
                '--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'.encode()
            )
            connection.sendall(b"x" * 4 * FORM_LIMIT)
            until(lambda: len(spooled(running)) == 1)
            (mode,) = spooled(running)
            assert stat.S_IMODE(mode) == 0o600
            running.process.kill()
            running.process.communicate(timeout=20)
        assert {path.name.partition("-")[0] for path in running.data.iterdir()} == {"app.db", "session.key"}
    finally:
        running.end_anyhow()


def spooled(running: Running) -> list[int]:
    """The modes of the files without a name that the process has open in the directory of its data."""
    modes = []
    for file in Path(f"/proc/{running.process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # It is closed by now.
            if re.match(f"{running.data}/.*deleted", os.readlink(file)) and file.stat().st_size > FORM_LIMIT:
                modes.append(file.stat().st_mode)
    return modes


def test_its_pages_are_live_on_plain_uvicorn(pasted: Running) -> None:
    """Its WebSockets take no finished frames: what is live then goes through ASGI."""
    with Follower(pasted.url) as follower, Follower(pasted.url) as other:
        for each in (follower, other):
            each.watch(("tasks", "/tasks", version_of(pasted.url, "/tasks")), ("connection", "/connection", None))
            assert each.next()[0] == "connection"
        for number in range(20):
            httpx.post(f"{pasted.url}/tasks", data={"title": f"Task {number}"})
        for each in (follower, other):
            each.until("tasks", version_of(pasted.url, "/tasks"))
        follower.socket.send("no JSON")
        assert follower.close_code()[0] == 1008
