"""Doctor, from the command line: what it finds well, and what it says to do where something is not."""

import importlib.metadata
import os
import re
import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from server.commands import doctor
from server.commands.doctor import Finding
from server.guard import peer_account
from tests.engine.conftest import ROOT, Server
from tests.engine.server.commands.test_cli import command, server_py

IN_LOCK = importlib.metadata.version("click")


@pytest.fixture
def path_with_chromium(tmp_path: Path) -> str:
    """A PATH on which there is a Chromium, whatever this machine has."""
    program = tmp_path / "bin" / "chromium"
    program.parent.mkdir()
    program.touch(0o755)
    return f"{program.parent}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with what doctor reads."""
    for name in ("server.py", "uv.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def replaced(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_all_is_well_beside_a_running_server(server: Server, path_with_chromium: str) -> None:
    port = server.url.rpartition(":")[2]
    looked = server_py("doctor", "--data", server.data, "--port", port, PATH=path_with_chromium)
    lines = looked.stdout.splitlines()
    assert [line for line in lines if not line.startswith("ok ")] == []
    assert (looked.returncode, looked.stderr) == (0, "")
    for words in ("Python", "packages", "uv.lock", ".venv", "httptools", "Chromium", "SQLite", "app.db: whole", "disk"):
        assert any(words in line for line in lines), words
    assert f"ok port {port}: our own server, version" in looked.stdout
    assert f"ok {server.data}: yours alone" in lines


def test_before_the_first_start_all_is_well_and_nothing_is_made(tmp_path: Path, path_with_chromium: str) -> None:
    looked = command("doctor", "--data", tmp_path / "data", "--port", 0, PATH=path_with_chromium)
    assert (looked.returncode, looked.stderr) == (0, "")
    assert not (tmp_path / "data").exists()


def test_what_is_not_well_is_said_with_what_to_do(tmp_path: Path, path_with_chromium: str) -> None:
    (tmp_path / "data").mkdir(mode=0o755)
    (tmp_path / "data" / "app.db").write_text("no database", encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        threading.Thread(target=lambda: [taken.accept()[0].close() for _ in range(2)], daemon=True).start()
        looked = command("doctor", "--data", tmp_path / "data", "--port", port, PATH=path_with_chromium)
    assert (looked.returncode, looked.stderr) == (1, "")
    wrong = [line for line in looked.stdout.splitlines() if not line.startswith("ok ")]
    assert len(wrong) == 3
    assert re.search(r"app\.db is damaged \(.*\): run `python3 server\.py restore --data \S+ FILE`", wrong[0])
    assert f"can be read by others: run `chmod -R go= {tmp_path / 'data'}`." in wrong[1]
    assert f"Port {port} of 127.0.0.1: Address already in use: end what has it" in wrong[2]


def test_one_file_that_others_can_read_is_named(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    # What a link leads to is not of the data.
    (tmp_path / "public").touch(0o644)
    (data / "link").symlink_to(tmp_path / "public")
    (data / "lost").symlink_to(tmp_path / "nothing")
    (data / "token").touch(0o600)
    assert not doctor.privacy(data).remedy
    (data / "token").chmod(0o640)
    assert doctor.privacy(data).what == f"{data / 'token'} can be read by others"


def test_a_file_that_is_not_ours_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "app.db").touch(0o600)
    monkeypatch.setattr(os, "access", lambda path, mode: path.name != "app.db")
    assert "chown" in doctor.privacy(tmp_path).remedy


def test_an_old_python_is_said() -> None:
    assert not doctor.python((3, 11)).remedy
    assert "3.99 or newer" in doctor.python((3, 99)).remedy
    assert sys.version.split()[0] in doctor.python((3, 99)).what


def test_packages_that_are_not_those_of_the_lock_file_are_named(root: Path) -> None:
    assert not doctor.packages(root).remedy
    replaced(root / "uv.lock", f'name = "click"\nversion = "{IN_LOCK}"', 'name = "click"\nversion = "1.2.3"')
    assert f"click is {IN_LOCK}, not 1.2.3" in doctor.packages(root).what
    assert "uv sync" in doctor.packages(root).remedy


def test_a_package_that_is_missing_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = [each for each in importlib.metadata.distributions() if each.name.lower() not in ("h11", "uvloop")]
    monkeypatch.setattr(importlib.metadata, "distributions", lambda: there)
    # Uvicorn needs the one everywhere; the other is not for every machine.
    assert "(h11 is missing)" in doctor.packages(root).what


def test_a_lock_file_that_has_been_left_behind_is_said(root: Path) -> None:
    assert not doctor.lock(root).remedy
    replaced(root / "pyproject.toml", '"segno>=1.6"', '"segno>=1.7"')
    assert "(segno)" in doctor.lock(root).what
    assert "uv lock" in doctor.lock(root).remedy


@pytest.mark.parametrize(
    ("stamp", "fits", "words"),
    [
        (None, None, "ok .venv"),
        ("unfinished", False, "makes it anew"),
        ("old", False, "mends it"),
        ("now", True, "ok .venv"),
    ],
)
def test_the_stamp_of_the_door_is_read(stamp: str | None, fits: bool | None, words: str) -> None:
    door: Any = SimpleNamespace(UNFINISHED="unfinished", read_stamp=lambda: stamp, stamp_fits=lambda testing: fits)
    assert words in str(doctor.stamp(door))


def test_the_door_of_a_checkout_is_asked(root: Path) -> None:
    (root / ".venv").mkdir()
    (root / ".venv" / "made-from").write_text("unfinished", encoding="utf-8")
    lines = list(map(str, doctor.examine(root, root / "data", "127.0.0.1", 0, [Finding("of the app", "mend it")])))
    assert ".venv is unfinished: start `python3 server.py`, which makes it anew." in lines
    assert "of the app: mend it." in lines


def test_a_missing_event_loop_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not doctor.speed().remedy
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    assert doctor.speed().what.startswith("uvloop and httptools missing")


def test_a_missing_chromium_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "install" in doctor.browser().remedy


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.room(tmp_path / "none" / "yet").what.endswith(" free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=doctor.FREE_BYTES + 1000))
    assert not doctor.room(tmp_path).remedy
    (tmp_path / "app.db").write_bytes(b"x" * 2000)
    assert "500 MB" in doctor.room(tmp_path).what
    assert "--data" in doctor.room(tmp_path).remedy


class Answers(BaseHTTPRequestHandler):
    """Another program, or a server that is not well."""

    status, body = 200, b"{}"

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def other() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Answers) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        yield other
        other.shutdown()


def test_another_program_is_told_from_our_server(other: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    port = other.server_port
    assert "--port" in doctor.address("127.0.0.1", port).remedy
    monkeypatch.setattr(Answers, "status", 503)
    monkeypatch.setattr(Answers, "body", b'{"status": "the database cannot be read", "commit token": null}')
    assert "(the database cannot be read)" in doctor.address("127.0.0.1", port).what


def test_a_server_with_https_is_known(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", "--tls")
    try:
        assert "our own server" in str(doctor.address("127.0.0.1", int(server.url.rpartition(":")[2])))
        assert str(doctor.privacy(server.data)) == f"ok {server.data}: yours alone"
    finally:
        server.stop()


def test_a_server_that_tells_strangers_no_more_than_that_it_is_well_is_ours(tmp_path: Path) -> None:
    """As one that others can reach, where nobody is known without a session."""
    server = Server(tmp_path / "data", "--proxy-headers")
    try:
        port = int(server.url.rpartition(":")[2])
        assert str(doctor.address("127.0.0.1", port)) == f"ok port {port}: our own server"
    finally:
        assert server.stop() == 0


@pytest.mark.parametrize(("knows", "words"), [(True, "needs no sign-in"), (False, "a link that signs in")])
def test_whether_the_owner_has_to_sign_in_is_said_and_is_no_fault(
    monkeypatch: pytest.MonkeyPatch, knows: bool, words: str
) -> None:
    monkeypatch.setattr(peer_account, "is_knowable", lambda: knows)
    assert str(doctor.owner()).startswith("ok who asks on loopback: ")
    assert words in str(doctor.owner())
