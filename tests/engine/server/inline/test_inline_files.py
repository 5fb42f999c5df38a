"""Files of inline code: known to every process, kept for ever by browsers, bounded, and never of other content."""

import asyncio
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from server.inline import inline_files
from server.inline.inline_files import InlineFiles, route


@pytest.fixture
def files(tmp_path: Path) -> InlineFiles:
    return InlineFiles(tmp_path / "inline")


def get(files: InlineFiles, address: str, method: str = "GET") -> Any:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    return TestClient(Starlette(routes=[Mount(inline_files.PREFIX, files)])).request(method, address)


def test_a_file_is_there_for_every_process_and_for_ever(files: InlineFiles, tmp_path: Path) -> None:
    address = files.address(files.keep("go('ä')", "js"), "js")
    for process in (files, InlineFiles(tmp_path / "inline")):
        answer = get(process, address)
        assert answer.text == "go('ä')"
        assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
        assert "immutable" in answer.headers["cache-control"]
        assert get(process, address, "HEAD").content == b""
    assert files.keep("go('ä')", "js") == files.keep("go('ä')", "js")
    style = files.address(files.keep("a { color: red }", "css"), "css")
    assert get(files, style).headers["content-type"] == "text/css; charset=utf-8"
    (file, other) = (tmp_path / "inline").iterdir()
    assert {file.stat().st_mode & 0o777, other.stat().st_mode & 0o777} == {0o600}
    assert (tmp_path / "inline").stat().st_mode & 0o777 == 0o700


def test_nothing_else_is_served(files: InlineFiles, tmp_path: Path) -> None:
    hash = files.keep("go('all')", "js")
    fresh = InlineFiles(tmp_path / "inline")
    (tmp_path / "inline" / f"{hash}.js").write_text("other('content')", encoding="utf-8")
    (tmp_path / "secret.js").write_text("secret", encoding="utf-8")
    for path in (f"{hash}.js", f"{hash}.css", f"{'0' * 24}.js", "..%2fsecret.js", f"{hash}.js/x", "", "x"):
        assert get(fresh, f"/inline/{path}").status_code == 404, path
    assert get(files, f"/inline/{hash}.js", "POST").status_code == 404


def test_the_oldest_go_where_there_are_too_many(
    files: InlineFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inline_files, "FILES", 3)
    for age, word in enumerate(("oldest", "older", "old"), 1):
        hash = files.keep(f"go('{word}')", "js")
        os.utime(tmp_path / "inline" / f"{hash}.js", (1000 * age, 1000 * age))
    # What the code that serves now names is new again.
    InlineFiles(tmp_path / "inline").keep("go('oldest')", "js")
    files.keep("go('new')", "js")
    left = {path.read_text(encoding="utf-8") for path in (tmp_path / "inline").iterdir()}
    assert left == {"go('oldest')", "go('old')", "go('new')"}


def test_where_nothing_can_be_written_this_process_has_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    gone = InlineFiles(tmp_path / "gone" / "inline")
    address = gone.address(gone.keep("go('gone')", "js"), "js")
    assert get(gone, address).text == "go('gone')"
    assert not (tmp_path / "gone").exists()
    assert "known to this process alone" in caplog.text


def test_what_is_left_out_is_said_once_for_each_address(
    files: InlineFiles, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING)

    async def refuse(where: str) -> None:
        route.set(where)
        files.refuse("onclick of <button>", "go('x')\n\x1bend" + "x" * 500, 'onclick="go()"')

    for where in ("/a", "/a", "/b"):
        asyncio.run(refuse(where))
    assert [record.getMessage()[:3] for record in caplog.records] == ["/a:", "/b:"]
    assert all("onclick of <button>" in record.getMessage() for record in caplog.records)
    assert max(len(record.getMessage()) for record in caplog.records) < 600
    monkeypatch.setattr(inline_files, "TOLD", 2)
    asyncio.run(refuse("/c"))
    assert len(caplog.records) == 2
