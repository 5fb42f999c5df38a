"""Static files: kept for ever under a name that carries their hash, and nothing outside their directory."""

import asyncio
import gzip
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import brotli
import httpx
import pytest
import uvicorn
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.types import ASGIApp

from server import assets as module
from server.assets import FOR_EVER, Assets
from tests.engine.conftest import PROJECT, ROOT
from tests.engine.server.test_fragments import Answer, asked

SECRET = "planted outside, never to be seen"
STYLE = "body { color: red }"
LONG = "".join(f".number-{number} {{ color: red }}\n" for number in range(500))
UNPACK = {"br": brotli.decompress, "gzip": gzip.decompress}


@pytest.fixture
def assets(tmp_path: Path) -> Assets:
    """A directory of static files, and a secret beside it."""
    static = tmp_path / "static"
    (static / "deep" / "v1.2").mkdir(parents=True)
    for name in ("app.css", "two.dots.js", "LICENSE", ".hidden", "deep/icon.svg", "deep/v1.2/plain", "no space.txt"):
        (static / name).write_text(STYLE, encoding="utf-8")
    (static / "way-out").symlink_to(tmp_path)
    (static / "link.txt").symlink_to(tmp_path / "secret.txt")
    (static / "round.txt").symlink_to(static / "round.txt")
    (tmp_path / "secret.txt").write_text(SECRET, encoding="utf-8")
    # Another directory whose name begins like that of the static files.
    (tmp_path / "static-private").mkdir()
    (tmp_path / "static-private" / "secret.txt").write_text(SECRET, encoding="utf-8")
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
    (assets.root / "app.css").write_text("body { color: blue }", encoding="utf-8")
    present = assets.url("app.css")
    assert present != former
    assert get(app, former).status == 404
    assert get(app, present).text == "body { color: blue }"


def test_a_file_written_to_without_a_newer_time_has_another_address(assets: Assets) -> None:
    """As `cp -p`, rsync and unpacked archives do."""
    style = assets.root / "app.css"
    former, times = assets.url("app.css"), (style.stat().st_atime_ns, style.stat().st_mtime_ns)
    style.write_text(STYLE.replace("red", "tan"), encoding="utf-8")
    os.utime(style, ns=times)
    assert assets.url("app.css") != former


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
        "round.txt",
        "round.txt/x",
        "nothing.css",
        "app.css/x",
        "x" * 300 + ".css",
    ],
)
def test_an_address_of_no_file_is_not_found(app: Starlette, path: str) -> None:
    assert get(app, f"/static/{path}").status == 404


def test_the_hash_of_another_file_does_not_do(assets: Assets, app: Starlette) -> None:
    (assets.root / "other.css").write_text("other", encoding="utf-8")
    its_hash = assets.url("other.css").split(".")[1]
    assert get(app, f"/static/app.{its_hash}.css").status == 404


def test_there_is_no_address_for_a_file_that_is_not_there(assets: Assets) -> None:
    for name in ("nothing.css", "deep", "../secret.txt", "link.txt", "round.txt"):
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


@pytest.fixture
def long(assets: Assets) -> str:
    """The address of a file that is worth packing."""
    (assets.root / "long.css").write_text(LONG, encoding="utf-8")
    return assets.url("long.css")


@pytest.mark.parametrize(
    ("accepted", "packing"),
    [
        (None, None),
        ("", None),
        ("identity", None),
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, deflate", "gzip"),
        ("deflate, zstd", None),
        ("BR", "br"),
        ("br;q=0.5, gzip;q=0.8", "gzip"),
        ("br;q=0.001", "br"),
        ("br;q=0, gzip", "gzip"),
        ("br;q=0.000,gzip;q=0.000", None),
        ("gzip;q=0.5, identity", None),
        ("*", "br"),
        ("*, br;q=0", "gzip"),
        ("*;q=0, gzip", "gzip"),
        ("*;q=0.5, br;q=0.1", "gzip"),
        ("identity;q=0, *", "br"),
        (" gzip ; q=1.0 ,, ", "gzip"),
        ("br;q=much, gzip", "gzip"),
        (";q=1", None),
        ("br;level=11", "br"),
    ],
)
def test_text_is_packed_as_the_browser_likes_it(
    app: Starlette, long: str, accepted: str | None, packing: str | None
) -> None:
    answer = get(app, long, **({} if accepted is None else {"Accept_Encoding": accepted}))
    assert (answer.status, answer.headers.get("content-encoding")) == (200, packing)
    assert answer.headers["vary"] == "Accept-Encoding"
    assert answer.headers["cache-control"] == FOR_EVER
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert int(answer.headers["content-length"]) == len(answer.body)
    if packing:
        assert len(answer.body) < len(LONG) / 4
    assert UNPACK.get(packing or "", bytes)(answer.body).decode() == LONG


@pytest.mark.parametrize("accepted", ["*;q=0", "identity;q=0", "br;q=0, gzip;q=0, identity;q=0"])
def test_a_browser_that_refuses_every_form_is_told_so(app: Starlette, long: str, accepted: str) -> None:
    assert get(app, long, Accept_Encoding=accepted).status == 406


def test_each_form_has_an_etag_of_its_own_and_is_not_sent_twice(app: Starlette, long: str) -> None:
    etags = {form: get(app, long, Accept_Encoding=form).headers["etag"] for form in ("br", "gzip", "identity")}
    assert len(set(etags.values())) == 3
    assert all(re.fullmatch(r'"[0-9a-f]{12}(-br|-gzip)?"', etag) for etag in etags.values())
    for form, etag in etags.items():
        for known in (etag, f'W/{etag}, "other"', "*"):
            answer = get(app, long, Accept_Encoding=form, If_None_Match=known)
            assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", etag)
            assert (answer.headers["vary"], answer.headers["cache-control"]) == ("Accept-Encoding", FOR_EVER)
        others = ", ".join(other for other in etags.values() if other != etag)
        assert get(app, long, Accept_Encoding=form, If_None_Match=others).status == 200


def test_an_etag_follows_the_content_not_the_time(assets: Assets, app: Starlette) -> None:
    former = get(app, "/static/app.css").headers["etag"]
    os.utime(assets.root / "app.css", ns=(1, 1))
    assert get(app, "/static/app.css").headers["etag"] == former
    (assets.root / "app.css").write_text("body { color: tan }", encoding="utf-8")
    assert get(app, "/static/app.css", If_None_Match=former).status == 200


def test_head_tells_the_length_of_the_packed_form(app: Starlette, long: str) -> None:
    whole = get(app, long, Accept_Encoding="br")
    head = get(app, long, "HEAD", Accept_Encoding="br")
    assert (head.status, head.body, head.headers) == (200, b"", whole.headers)


def test_a_part_is_of_the_plain_form(app: Starlette, long: str) -> None:
    etag = get(app, long).headers["etag"]
    packed_etag = get(app, long, Accept_Encoding="br").headers["etag"]

    part = get(app, long, Accept_Encoding="br", Range="bytes=10-19")
    assert (part.status, part.text, part.headers["etag"]) == (206, LONG[10:20], etag)
    assert part.headers["vary"] == "Accept-Encoding"
    assert "content-encoding" not in part.headers

    assert get(app, long, Accept_Encoding="br", Range="bytes=10-19", If_Range=etag).text == LONG[10:20]
    for other in (packed_etag, '"other"', f"W/{etag}"):
        whole = get(app, long, Accept_Encoding="br", Range="bytes=10-19", If_Range=other)
        assert (whole.status, whole.text) == (200, LONG)
    assert "accept-ranges" not in get(app, long, Accept_Encoding="br").headers


def test_what_packing_does_not_make_smaller_is_sent_as_it_is(assets: Assets, app: Starlette) -> None:
    (assets.root / "noise.txt").write_bytes(os.urandom(2000))
    (assets.root / "tiny.css").write_text("a{}", encoding="utf-8")
    (assets.root / "picture.png").write_bytes(bytes(2000))
    for name in ("noise.txt", "tiny.css", "picture.png"):
        answer = get(app, f"/static/{name}", Accept_Encoding="br, gzip")
        assert (answer.status, answer.body) == (200, (assets.root / name).read_bytes())
        assert "content-encoding" not in answer.headers


@pytest.mark.parametrize("name", ["a.css", "a.js", "a.mjs", "a.svg", "a.json", "a.txt", "a.html", "a.xml"])
def test_every_kind_of_text_is_packed(assets: Assets, app: Starlette, name: str) -> None:
    (assets.root / name).write_text(LONG, encoding="utf-8")
    assert get(app, f"/static/{name}", Accept_Encoding="gzip").headers["content-encoding"] == "gzip"


def test_a_file_is_packed_once_for_each_content_and_when_somebody_asks(
    assets: Assets, app: Starlette, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed: list[tuple[str, str]] = []
    pack = module._pack

    def counted(path: str, packing: str) -> module._Packed:
        packed.append((Path(path).name, packing))
        return pack(path, packing)

    monkeypatch.setattr(module, "_pack", counted)
    style = assets.root / "long.css"
    style.write_text(LONG, encoding="utf-8")
    get(app, assets.url("long.css"))
    assert packed == []
    for _ in range(3):
        get(app, assets.url("long.css"), Accept_Encoding="br")
        os.utime(style)  # Saved again as it was.
    assert packed == [("long.css", "br")]
    style.write_text(LONG * 2, encoding="utf-8")
    for _ in range(3):
        assert brotli.decompress(get(app, assets.url("long.css"), Accept_Encoding="br").body).decode() == LONG * 2
    assert packed == [("long.css", "br")] * 2
    assert len(assets._packed) == 1


def test_while_a_file_is_packed_the_others_are_served_and_all_who_want_it_wait_for_the_same(
    assets: Assets, app: Starlette, long: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end, pack, times = threading.Event(), threading.Event(), module._pack, []

    def slowly(path: str, packing: str) -> module._Packed:
        times.append(path)
        begun.set()
        assert may_end.wait(10)
        return pack(path, packing)

    monkeypatch.setattr(module, "_pack", slowly)

    async def act() -> list[Answer]:
        waiting = [asyncio.create_task(asked(app, long, "GET", {"Accept-Encoding": "br"})) for _ in range(8)]
        await asyncio.to_thread(begun.wait, 10)
        assert (await asked(app, assets.url("app.css"), "GET", {})).text == STYLE
        assert not any(task.done() for task in waiting)
        may_end.set()
        return await asyncio.gather(*waiting)

    assert {brotli.decompress(answer.body).decode() for answer in asyncio.run(act())} == {LONG}
    assert len(times) == 1


def test_a_file_written_to_while_it_is_packed_is_not_kept_under_its_former_hash(
    assets: Assets, app: Starlette, long: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = module._pack

    def late(path: str, packing: str) -> module._Packed:
        Path(path).write_text(LONG * 2, encoding="utf-8")
        return pack(path, packing)

    monkeypatch.setattr(module, "_pack", late)
    assert "content-encoding" not in get(app, long, "HEAD", Accept_Encoding="br").headers


def test_a_start_does_not_pay_for_what_only_a_browser_needs() -> None:
    look = "import sys, server.assets; sys.exit('brotli' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", look], cwd=ROOT).returncode == 0


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
    "..%u002f{}",
    "%uff0e%uff0e/{}",
    "..%e0%80%af{}",
    "%e0%80%ae%e0%80%ae/{}",
    "%f0%80%80%ae%f0%80%80%ae/{}",
    "%2e%2e%5c%2e%2e/{}",
    "..%25255c{}",
    "%25252e%25252e%25252f{}",
    "%00/../{}",
    "app.css%00/../../{}",
    "..%0d%0a/{}",
    ".%20./{}",
    "..\\/{}",
    "..%5c/{}",
    "..%01/{}",
    "%ff../{}",
    "..%ff/{}",
    "deep/./.././../{}",
    "static/../../{}",
    "way-out/static/../{}",
    "way-out/way-out/{}",
    "way-out%2f{}",
    "deep/../way-out/{}",
    "round.txt/../../{}",
    "C:\\{}",
    "\\\\?\\{absolute}",
    "%2fproc%2fself%2froot{absolute}",
    "/proc/self/root{absolute}",
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


@given(st.lists(st.sampled_from(["..", ".", "", "deep", "way-out", "static", "\\", "secret.txt", "\0"]), max_size=8))
@example(["..", "secret.txt"])
def test_no_path_at_all_leads_out_of_the_directory(tmp_path_factory: pytest.TempPathFactory, parts: list[str]) -> None:
    directory = tmp_path_factory.getbasetemp() / "rule"
    if not directory.exists():
        (directory / "static" / "deep").mkdir(parents=True)
        (directory / "secret.txt").write_text(SECRET, encoding="utf-8")
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


@contextmanager
def serving(app: ASGIApp, parser: str) -> Iterator[tuple[str, int]]:
    """The address of an app on a real Uvicorn."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, http=parser, lifespan="off", log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield listening.getsockname()
        finally:
            server.should_exit = True
            thread.join()


def sent(address: tuple[str, int], path: str) -> tuple[int, bytes]:
    """Status and whole answer to a path that no client has looked at: its bytes go out as they are."""
    with socket.create_connection(address, timeout=10) as connection:
        target = path.replace(" ", "%20").encode("latin-1")
        connection.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        with connection.makefile("rb") as file:
            answer = file.read()
    return int(answer.split()[1]), answer


@pytest.mark.parametrize("parser", ["httptools", "h11"])
def test_a_real_server_gives_no_planted_secret_whatever_comes_over_the_wire(
    assets: Assets, app: Starlette, parser: str
) -> None:
    secret = assets.root.parent / "secret.txt"
    raw = ("..\x00/{}", "\x00../{}", "..\x7f/{}", "\xc0\xae\xc0\xae/{}", "..\xff/{}", "..\t/{}")
    spellings = [*SPELLINGS, *raw, *("../" * depth + "{absolute}" for depth in (1, 3, 9))]
    with serving(app, parser) as address:
        for spelling in spellings:
            for prefix in ("/static/", "/static//", "/static/deep/../"):
                path = prefix + spelling.format(secret.name, absolute=str(secret))
                status, answer = sent(address, path)
                assert status in (400, 404), path
                assert SECRET.encode() not in answer
        assert sent(address, assets.url("app.css"))[1].endswith(STYLE.encode())


def test_the_real_server_gives_nothing_outside_whatever_comes_over_the_wire(client: httpx.Client) -> None:
    """Sent as it stands, no client tidies the path up first. The file outside is the project's own."""
    outside = PROJECT / "pyproject.toml"
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
