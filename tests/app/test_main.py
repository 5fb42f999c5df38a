"""The app as a whole: FastHTML's own way of writing works in it, health is told, its key is private."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import ROOT, Server

# Routes in the way in which FastHTML's documentation writes them.
PASTED = """
from dataclasses import dataclass
from datetime import date

from fasthtml.common import *

from app.main import app
from templates import tags

rt = app.route


@rt
def hello(name: str = "world"):
    return Titled(f"Hello {name}", P("A paragraph", cls="first"), Button("Go", hx_get="/fragment", hx_target="#out"))


@rt("/fragment")
def get():
    return Div(P("one"), P("two"), id="out"), HtmxResponseHeaders(trigger="seen"), cookie("seen", "yes")


@dataclass
class Recipe:
    name: str
    minutes: int
    vegan: bool = False
    cooked: date = None


@rt("/recipes")
def post(recipe: Recipe):
    return Article(H2(recipe.name), Small(f"{recipe.minutes + 1} {recipe.vegan} {recipe.cooked}"))


@rt("/recipes/{id}")
def get(id: int, kind: str = "any"):
    return f"{id + 1} {kind}"


@rt
def away():
    return Redirect("/hello")


@rt
def counted(session):
    session["count"] = session.get("count", 0) + 1
    return P(session["count"], id="count")


@rt
def headers(htmx: HtmxHeaders, request):
    return P(str(htmx.request), " ", request.method)


@rt
def data():
    return {"a": 1, "b": [True, None]}


@rt
def mixed():
    return Div(tags.P("ours <in> theirs"), tags.Div(P("theirs <in> ours")), tags.raw("<hr>"))
"""


@pytest.fixture(scope="module")
def pasted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A copy of the project with those routes in it, served by plain Uvicorn."""
    copy = tmp_path_factory.mktemp("pasted") / "copy"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".venv", ".git", "data", "tests", "__pycache__"))
    (copy / "app" / "pasted.py").write_text(PASTED)
    with subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "app.pasted:app", "--port", "0", "--no-access-log"],
        cwd=copy,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "running on" in line)
        address = line.split("running on ")[1].split()[0]
        with httpx.Client(base_url=address, timeout=20) as client:
            yield client
        process.terminate()


def test_a_pasted_page_comes_in_our_shell(pasted: httpx.Client) -> None:
    page = pasted.get("/hello", params={"name": "<you>"}).text
    assert "<title>Hello &lt;you&gt;</title>" in page
    assert '<p class="first">A paragraph</p>' in page
    assert 'hx-get="/fragment"' in page
    assert 'class="brand"' in page
    assert "/static/app." in page
    assert "https://" not in page


def test_a_tuple_gives_content_headers_and_cookies(pasted: httpx.Client) -> None:
    answer = pasted.get("/fragment", headers={"HX-Request": "true"})
    assert answer.headers["hx-trigger"] == "seen"
    assert "seen=yes" in answer.headers["set-cookie"]
    assert answer.text.lstrip().startswith('<div id="out">')


def test_a_dataclass_takes_a_form(pasted: httpx.Client) -> None:
    form = {"name": "Soup", "minutes": "20", "vegan": "1", "cooked": "2030-01-02"}
    answer = pasted.post("/recipes", data=form, headers={"HX-Request": "true"})
    assert "<h2>Soup</h2>" in answer.text
    assert "21 True 2030-01-02" in answer.text


def test_path_and_query_have_their_types(pasted: httpx.Client) -> None:
    assert pasted.get("/recipes/41?kind=soup").text == "42 soup"
    assert pasted.get("/recipes/x").status_code == 404


def test_redirects_sessions_headers_and_json_work(pasted: httpx.Client) -> None:
    assert pasted.get("/away").headers["location"] == "/hello"
    assert pasted.get("/away", headers={"HX-Request": "true"}).headers["hx-redirect"] == "/hello"
    assert [pasted.get("/counted", headers={"HX-Request": "1"}).text.strip() for _ in range(2)] == [
        '<p id="count">1</p>',
        '<p id="count">2</p>',
    ]
    assert "true GET" in pasted.get("/headers", headers={"HX-Request": "true"}).text
    assert pasted.get("/data").json() == {"a": 1, "b": [True, None]}


def test_our_tags_and_theirs_go_into_each_other(pasted: httpx.Client) -> None:
    text = pasted.get("/mixed", headers={"HX-Request": "true"}).text
    assert "<p>ours &lt;in&gt; theirs</p>" in text
    assert "<p>theirs &lt;in&gt; ours</p>" in text
    assert "<hr>" in text


def test_health_is_told(client: httpx.Client, server: Server) -> None:
    before = client.get("/healthz")
    assert before.status_code == 200
    assert before.json().keys() == {"status", "version", "commit token", "uptime"}
    assert before.json()["status"] == "ok"
    server.add(1)
    assert client.get("/healthz").json()["commit token"] != before.json()["commit token"]


def test_the_session_key_is_private_and_stays(server: Server, tmp_path: Path) -> None:
    key = server.data / "session.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert len(key.read_text()) > 30
    other = Server(tmp_path / "data")
    made = (other.data / "session.key").read_text()
    other.stop()
    again = Server(tmp_path / "data")
    again.stop()
    assert (again.data / "session.key").read_text() == made != key.read_text()
