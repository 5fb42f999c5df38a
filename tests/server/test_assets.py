"""Static files: kept for ever under a name that carries their hash, and nothing outside their directory."""

import asyncio
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from server.assets import FOR_EVER, Assets
from tests.conftest import ROOT
from tests.server.test_fragments import Answer, asked

SECRET = "planted outside, never to be seen"
STYLE = "body { color: red }"


@pytest.fixture
def assets(tmp_path: Path) -> Assets:
    """A directory of static files, and a secret beside it."""
    static = tmp_path / "static"
    (static / "deep" / "v1.2").mkdir(parents=True)
    for name in ("app.css", "two.dots.js", "LICENSE", ".hidden", "deep/icon.svg", "deep/v1.2/plain", "no space.txt"):
        (static / name).write_text(STYLE)
    (static / "way-out").symlink_to(tmp_path)
    (static / "link.txt").symlink_to(tmp_path / "secret.txt")
    (tmp_path / "secret.txt").write_text(SECRET)
    # Another directory whose name begins like that of the static files.
    (tmp_path / "static-private").mkdir()
    (tmp_path / "static-private" / "secret.txt").write_text(SECRET)
    return Assets(static)


@pytest.fixture
def app(assets: Assets) -> Starlette:
    app = Starlette()
    app.mount(assets.prefix, assets)
    return app


def get(app: Starlette, path: str, method: str = "GET", **headers: str) -> Answer:
    """Ask as the server hands it over: the path decoded."""
    return asyncio.run(asked(app, unquote(path), method, {name.replace("_", "-"): headers[name] for name in headers}))


@pytest.mark.parametrize(
    "name", ["app.css", "two.dots.js", "LICENSE", ".hidden", "deep/icon.svg", "deep/v1.2/plain", "no space.txt"]
)
def test_a_hashed_address_may_be_kept_for_ever(assets: Assets, app: Starlette, name: str) -> None:
    address = assets.url(name)
    assert address.startswith("/static/")
    assert address != f"/static/{name}"
    answer = get(app, address)
    assert answer.headers["content-type"] == get(app, f"/static/{name}").headers["content-type"]
    assert (answer.status, answer.text) == (200, STYLE)
    assert answer.headers["cache-control"] == FOR_EVER == "public, max-age=31536000, immutable"


def test_a_plain_address_is_asked_for_again(app: Starlette) -> None:
    answer = get(app, "/static/app.css")
    assert (answer.status, answer.text) == (200, STYLE)
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["content-type"].startswith("text/css")


def test_a_changed_file_has_another_address_and_the_former_is_gone(assets: Assets, app: Starlette) -> None:
    former = assets.url("app.css")
    assert assets.url("app.css") == former
    (assets.root / "app.css").write_text("body { color: blue }")
    present = assets.url("app.css")
    assert present != former
    assert get(app, former).status == 404
    assert get(app, present).text == "body { color: blue }"


def test_the_same_content_has_the_same_address(assets: Assets) -> None:
    former = assets.url("app.css")
    os.utime(assets.root / "app.css", ns=(1, 1))
    assert assets.url("app.css") == former


@pytest.mark.parametrize(
    "path",
    [
        "app.000000000000.css",
        "app..css",
        "app.css.",
        "000000000000.css",
        "app.000000000000.js",
        "",
        "deep",
        "deep/",
        "way-out",
        "nothing.css",
        "app.css/x",
        "x" * 300 + ".css",
    ],
)
def test_an_address_of_no_file_is_not_found(app: Starlette, path: str) -> None:
    assert get(app, f"/static/{path}").status == 404


def test_the_hash_of_another_file_does_not_do(assets: Assets, app: Starlette) -> None:
    (assets.root / "other.css").write_text("other")
    its_hash = assets.url("other.css").split(".")[1]
    assert get(app, f"/static/app.{its_hash}.css").status == 404


def test_there_is_no_address_for_a_file_that_is_not_there(assets: Assets) -> None:
    for name in ("nothing.css", "deep", "../secret.txt", "link.txt"):
        with pytest.raises(FileNotFoundError):
            assets.url(name)


@pytest.mark.parametrize("hashed", [False, True])
def test_head_ranges_and_etags_work(assets: Assets, app: Starlette, hashed: bool) -> None:
    address = assets.url("app.css") if hashed else "/static/app.css"
    full = get(app, address)
    kept = FOR_EVER if hashed else "no-cache"

    head = get(app, address, "HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(STYLE)))

    part = get(app, address, Range="bytes=5-9")
    assert (part.status, part.text) == (206, STYLE[5:10])
    assert part.headers["content-range"] == f"bytes 5-9/{len(STYLE)}"
    assert part.headers["cache-control"] == kept

    unchanged = get(app, address, If_None_Match=full.headers["etag"])
    assert (unchanged.status, unchanged.body, unchanged.headers["cache-control"]) == (304, b"", kept)

    assert get(app, address, Range="bytes=500-").status == 416


def test_files_cannot_be_changed(app: Starlette) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = get(app, "/static/app.css", method)
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


# Ways out of the directory that have worked on some server. `{}` is the file outside.
UP = (
    "../",
    "..%2f",
    "..%2F",
    "%2e%2e/",
    "%2e%2e%2f",
    ".%2e/",
    "..\\",
    "..%5c",
    "%2e%2e%5c",
    "..%255c",
    "%252e%252e%252f",
)
SPELLINGS = [
    *(up * times + "{}" for up in UP for times in (1, 2)),
    "./../{}",
    ".//../{}",
    "/../{}",
    "//{absolute}",
    "%2f{absolute}",
    "%2F%2F{absolute}",
    "{absolute}",
    "\\{absolute}",
    "%5c{absolute}",
    "file://{absolute}",
    "app.css/../../{}",
    "deep/../../{}",
    "deep/../../static-private/{}",
    "../static-private/{}",
    "%2e%2e/static/../{}",
    "..;/{}",
    "..../{}",
    "....//{}",
    "..%00/{}",
    "..%c0%af{}",
    "%c0%ae%c0%ae/{}",
    "..%ef%bc%8f{}",
    "{}%00.css",
    "../{}%00",
    "../{}%00.css",
    "way-out/{}",
    "way-out/./{}",
    "link.txt",
    "link.txt/",
    "../static/way-out/{}",
    "~/{}",
    "..%0a/{}",
    "..%20/{}",
    "../{}?x=app.css",
    "../{}%23app.css",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_leads_out_of_the_directory(assets: Assets, app: Starlette, spelling: str) -> None:
    secret = assets.root.parent / "secret.txt"
    for name in ("secret.txt", "secret.000000000000.txt"):
        answer = get(app, "/static/" + spelling.format(name, absolute=secret.with_name(name)))
        assert answer.status == 404
        assert SECRET not in answer.text


@settings(deadline=None)
@given(st.lists(st.sampled_from(["..", ".", "", "deep", "way-out", "static", "\\", "secret.txt", "\0"]), max_size=8))
@example(["..", "secret.txt"])
def test_no_path_at_all_leads_out_of_the_directory(tmp_path_factory: pytest.TempPathFactory, parts: list[str]) -> None:
    directory = tmp_path_factory.getbasetemp() / "rule"
    if not directory.exists():
        (directory / "static" / "deep").mkdir(parents=True)
        (directory / "secret.txt").write_text(SECRET)
        (directory / "static" / "way-out").symlink_to(directory)
    app = Starlette()
    app.mount("/static", Assets(directory / "static"))
    answer = get(app, "/static/" + "/".join(parts))
    assert answer.status == 404
    assert SECRET not in answer.text


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Path]:
    """A file that never ends, as a device does: whoever opens it hangs until the test lets go."""
    path = tmp_path / "pipe.txt"
    os.mkfifo(path)
    yield path
    os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))


def test_a_file_outside_is_not_even_opened(assets: Assets, app: Starlette, pipe: Path) -> None:
    """Its hash was computed once, to compare it: a device such as /dev/zero ate all memory."""
    (assets.root / "inside.txt").symlink_to(pipe)
    asking = threading.Thread(
        target=lambda: [
            get(app, f"/static/{path}")
            for path in ("../pipe.000000000000.txt", "way-out/pipe.000000000000.txt", "inside.000000000000.txt")
        ],
        daemon=True,
    )
    asking.start()
    asking.join(10)
    assert not asking.is_alive()


def test_the_real_server_gives_nothing_outside_whatever_comes_over_the_wire(client: httpx.Client) -> None:
    """Sent as it stands, no client tidies the path up first. The file outside is the project's own."""
    outside = ROOT / "pyproject.toml"
    for spelling in [*SPELLINGS, *("../" * depth + "{absolute}" for depth in (1, 3, 9))]:
        path = "/static/" + spelling.format(outside.name, absolute=str(outside))
        answer = client.get("/", extensions={"target": path.encode("ascii")})
        assert answer.status_code == 404, path
        assert "[project]" not in answer.text


def test_a_page_names_its_files_by_their_hash(client: httpx.Client) -> None:
    addresses = re.findall(r'(?:href|src)="(/static/[^"]+)"', client.get("/tasks").text)
    assert len(addresses) >= 4
    for address in addresses:
        answer = client.get(urlsplit(address).path)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, FOR_EVER), address
