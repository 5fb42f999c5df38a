"""What a failure tells, made from real tracebacks: in the terminal, over a page, and instead of an answer."""

import textwrap
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import connect

from server.reload.failure_page import as_html, as_text, failure
from tests.engine import accounts
from tests.engine.reloading import Checkout, until

MODULE = """
def first():
    return second()


def second():
    raise {error}


def third():
    return 3
"""


def trace_of(root: Path, error: str, source: str = MODULE) -> str:
    """The traceback of a file of a project that fails."""
    path = root / "app" / "page.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source.replace("{error}", error), encoding="utf-8")
    namespace: dict[str, object] = {}
    try:
        exec(compile(path.read_text(encoding="utf-8"), path, "exec"), namespace)
        namespace["first"]()  # type: ignore[operator]
    except BaseException:
        return traceback.format_exc()
    raise AssertionError("it did not fail")


def test_message_file_line_and_the_lines_around_it(tmp_path: Path) -> None:
    found = failure(trace_of(tmp_path, "ValueError('no such day')"), tmp_path)
    assert found.message == "ValueError: no such day"
    assert (found.file, found.line) == (tmp_path / "app" / "page.py", 7)
    assert [number for number, _ in found.lines] == [3, 4, 5, 6, 7, 8, 9, 10, 11]
    assert dict(found.lines)[7] == "    raise ValueError('no such day')"


def test_the_line_of_a_syntax_error(tmp_path: Path) -> None:
    found = failure(trace_of(tmp_path, "ValueError(", MODULE), tmp_path)
    assert found.message.startswith("SyntaxError: ")
    assert (found.file, found.line) == (tmp_path / "app" / "page.py", 7)


def test_a_message_of_several_lines_is_told_whole(tmp_path: Path) -> None:
    found = failure(trace_of(tmp_path, r"ValueError('first\nsecond')"), tmp_path)
    assert found.message == "ValueError: first\nsecond"


def test_a_failure_in_a_group_of_tasks_has_its_message_and_its_place(tmp_path: Path) -> None:
    found = failure(trace_of(tmp_path, "ExceptionGroup('two', [ValueError('inner')])"), tmp_path)
    assert "two" in found.message
    assert "inner" in found.message
    assert (found.file, found.line) == (tmp_path / "app" / "page.py", 7)


def test_a_chain_is_told_by_its_end(tmp_path: Path) -> None:
    source = textwrap.dedent("""
        def first():
            try:
                {}["missing"]
            except KeyError as error:
                raise RuntimeError("no answer") from error
    """)
    found = failure(trace_of(tmp_path, "", source), tmp_path)
    assert (found.message, found.line) == ("RuntimeError: no answer", 6)


def test_packages_are_not_to_blame_where_the_project_called_them(tmp_path: Path) -> None:
    source = 'import json\ndef first():\n    json.loads("{")\n'
    assert failure(trace_of(tmp_path, "", source), tmp_path).line == 3
    inside = trace_of(tmp_path, "ValueError()").replace(f"{tmp_path}/app", f"{tmp_path}/.venv/lib")
    assert failure(inside, tmp_path).file is None


@pytest.mark.parametrize("trace", ["", "\n", "KeyboardInterrupt"])
def test_what_left_no_traceback_is_a_failure_too(tmp_path: Path, trace: str) -> None:
    found = failure(trace, tmp_path)
    assert found.message
    assert found.file is None
    assert "no file of this project" in as_text(found, tmp_path, "Meanwhile.")
    assert "<a " not in as_html(found, tmp_path, "vscode")


def test_a_file_that_is_gone_has_no_lines(tmp_path: Path) -> None:
    trace = trace_of(tmp_path, "ValueError()")
    (tmp_path / "app" / "page.py").unlink()
    assert failure(trace, tmp_path).lines == []


def test_the_block_in_the_terminal_points_at_the_line(tmp_path: Path) -> None:
    text = as_text(failure(trace_of(tmp_path, "ValueError('x')"), tmp_path), tmp_path, "Meanwhile.")
    assert "\nValueError: x\nin app/page.py:7. Meanwhile.\n" in text
    assert "\n>     7 |     raise ValueError('x')\n" in text


def test_what_is_shown_is_text(tmp_path: Path) -> None:
    shown = as_html(
        failure(trace_of(tmp_path, "ValueError('<img src=x onerror=alert(1)>')"), tmp_path), tmp_path, "zed"
    )
    assert "<img" not in shown
    assert "&lt;img src=x" in shown


@pytest.mark.parametrize(
    ("editor", "address"),
    [
        ("vscode", "vscode://file{}:7"),
        ("pycharm", "pycharm://open?file={}&amp;line=7"),
        ("mine://{line}/{file}", "mine://7/{}"),
    ],
)
def test_the_link_opens_the_editor_at_the_line(tmp_path: Path, editor: str, address: str) -> None:
    root = tmp_path / "a project & #1"
    shown = as_html(failure(trace_of(root, "ValueError()"), root), root, editor)
    file = (root / "app" / "page.py").as_posix().replace(" ", "%20").replace("&", "%26").replace("#", "%23")
    assert f'href="{address.format(file)}"' in shown


# While a request is answered; what a start fails with is in test_reload.py.


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A server that follows its code."""
    checkout = Checkout(tmp_path_factory.mktemp("failure")).start("--reload", "--editor", "zed")
    yield checkout
    checkout.end_anyhow()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_page_that_fails_says_where(running: Checkout, method: str) -> None:
    with running.client() as client:
        answer = client.request(method, "/fail")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "<h1>ValueError: asked for it</h1>" in answer.text
    assert f'href="zed://file{running.path("app/main.py")}:' in answer.text
    assert "script-src 'self'" in answer.headers["content-security-policy"]


def test_a_fragment_that_fails_is_laid_over_the_page(running: Checkout) -> None:
    answer = running.get("/fail", **{"HX-Request": "true"})
    assert answer.status_code == 500
    assert answer.text.startswith('<section role="alert" class="failure"><h1>ValueError: asked for it</h1>')
    assert (answer.headers["hx-retarget"], answer.headers["hx-reswap"]) == ("body", "beforeend")


def test_a_program_is_told_in_a_sentence(running: Checkout) -> None:
    answer = running.get("/fail", Accept="application/json")
    assert answer.status_code == 500
    assert answer.json()["message"].startswith("It has been written to the log.")
    assert "ValueError: asked for it" in running.printed()


def test_nothing_but_its_own_files_is_served_under_development(running: Checkout) -> None:
    for path in ("/development/", "/development/../reload.py", "/development/%2e%2e/reload.py", "/development/x.js"):
        assert running.get(path).status_code == 404, path


# Who sees code: the owner on this machine, and nobody that a proxy or another account brings.

FAILING = "    raise RuntimeError('the words of the code')\n"
PASSED_ON = {"Host": "tasks.test", "X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
ASK = """
import sys, urllib.error, urllib.request
for address in sys.argv[1:]:
    try:
        answer = urllib.request.urlopen(urllib.request.Request(address, data=b"token=x"), timeout=60)
    except urllib.error.HTTPError as error:
        answer = error
    print(answer.status, answer.read().decode())
"""


def tells_code(text: str) -> bool:
    return any(words in text for words in ("the words of the code", "Traceback", "sign_in.py", "RuntimeError", ".py:"))


def break_sign_in(checkout: Checkout) -> None:
    checkout.edit("app/access/sign_in.py", "async def sign_in(request: Request) -> Response:\n", SIGN_IN)


SIGN_IN = 'async def sign_in(request: Request) -> Response:\n    """Fail."""\n' + FAILING


def test_behind_a_proxy_nobody_sees_code(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    break_sign_in(checkout)
    try:
        checkout.start("--reload", "--proxy-headers", "--allow-host", "tasks.test", wait=False)
        with checkout.client(headers=PASSED_ON) as client:
            until(lambda: client.get("/healthz").status_code == 200, "it serves")
        for headers in ({}, {"HX-Request": "true"}, {"Accept": "application/json"}):
            # Uvicorn closes the connection on which an app has failed.
            with checkout.client(headers={**PASSED_ON, **headers}) as client:
                answer = client.post("/sign-in", data={"token": "x"})
                assert answer.status_code == 500
                assert "It has been written to the log" in answer.text
                assert not tells_code(answer.text)
        assert "RuntimeError: the words of the code" in checkout.printed()
    finally:
        checkout.end_anyhow()


def test_the_page_that_stands_in_tells_code_to_nobody_behind_a_proxy(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    checkout.path("app/main.py").write_text(FAILING.lstrip(), encoding="utf-8")
    try:
        checkout.start("--reload", "--proxy-headers", "--allow-host", "tasks.test", wait=False)
        with checkout.client(headers={**PASSED_ON, "Host": "localhost"}) as client:
            for path in ("/", "/sign-in", "/development/reload.js", "/development/again"):
                answer = client.get(path)
                assert (answer.status_code, "No app" in answer.text) == (503, True), path
                assert not tells_code(answer.text)
            assert client.post("/development/again").status_code == 503
    finally:
        checkout.end_anyhow()


@accounts.only_root
def test_another_account_of_this_machine_sees_no_code_where_the_owner_does(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    break_sign_in(checkout)
    main = checkout.path("app/main.py")
    source = main.read_text(encoding="utf-8")
    try:
        checkout.start("--reload")
        with checkout.client() as client:
            assert tells_code(client.post("/sign-in", data={"token": "x"}).text)
        printed = accounts.run_as(accounts.NOBODY, ASK, f"{checkout.url}/sign-in")
        assert printed.startswith("500 ")
        assert not tells_code(printed)

        main.write_text(FAILING.lstrip(), encoding="utf-8")
        checkout.end()
        checkout.start("--reload", wait=False)
        page = checkout.get("/tasks")
        assert (page.status_code, tells_code(page.text)) == (500, True)
        # What a proxy passes on, which nobody spoke of, is refused as in the app itself.
        assert checkout.get("/tasks", **{"X-Forwarded-For": "203.0.113.7"}).status_code == 403
        addresses = [f"{checkout.url}{path}" for path in ("/tasks", "/development/again", "/development/reload.js")]
        printed = accounts.run_as(accounts.NOBODY, ASK, *addresses)
        assert printed.count("503 ") == len(addresses)
        assert not tells_code(printed)
        assert checkout.get("/tasks").status_code == 500, "nobody else had it start again"
        main.write_text(source, encoding="utf-8")
    finally:
        checkout.end_anyhow()


def test_a_failure_is_told_to_the_open_pages_of_the_owner_alone(tmp_path: Path) -> None:
    """One process serves both; the other comes in by the sign-in link, as from another machine."""
    checkout = Checkout(tmp_path)
    try:
        checkout.start("--reload", "--proxy-headers", "--allow-host", "tasks.test", wait=False)
        with checkout.client(headers=PASSED_ON) as client:
            until(lambda: client.get("/healthz").status_code == 200, "it serves")
            client.post("/sign-in", data={"token": (checkout.data / "token").read_text(encoding="utf-8").strip()})
            # It is for https alone, which no proxy stands before here.
            headers = {**PASSED_ON, "Cookie": "; ".join(f"{name}={value}" for name, value in client.cookies.items())}
            assert client.get("/tasks", headers=headers).status_code == 200
            del headers["Host"]
            with connect(f"ws{checkout.url.removeprefix('http')}/live", additional_headers=headers) as socket:
                checkout.path("templates/parts/lists.py").write_text("def (\n", encoding="utf-8")
                until(lambda: "SyntaxError" in checkout.printed(), "it is said in the terminal")
                # Every page is told of a style, and what is told comes in its order.
                checkout.edit("static/app.css", "}", "} /* edited */")
                frames = [str(socket.recv(timeout=20))]
                while '"style"' not in frames[-1]:
                    frames.append(str(socket.recv(timeout=20)))
        assert not [frame for frame in frames if "SyntaxError" in frame]
    finally:
        checkout.end_anyhow()
