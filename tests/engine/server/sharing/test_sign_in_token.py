"""The token: made once, for its owner alone, told in the terminal and in no log."""

import logging
import os
import re
import socket
import stat
import threading
from pathlib import Path

import pytest

from server.sharing import sign_in_token
from server.sharing.sign_in_token import (
    Token,
    announce,
    hashed,
    invitation,
    read,
    renew,
    secret,
)


def test_a_secret_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        made = secret(tmp_path / "key")
    finally:
        os.umask(before)
    assert re.fullmatch(r"[\w-]{32}", made), "six bits each: 192"
    assert secret(tmp_path / "key") == made != secret(tmp_path / "other key")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert sorted(each.name for each in tmp_path.iterdir()) == ["key", "other key"]


def test_processes_that_start_at_once_have_one_secret(tmp_path: Path) -> None:
    found: list[str] = []
    begin = threading.Barrier(8)

    def start() -> None:
        begin.wait()
        found.append(read(tmp_path))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(found) == 8
    assert len(set(found)) == 1


@pytest.mark.parametrize("nothing", ["", "\n"])
def test_an_empty_file_is_no_secret(tmp_path: Path, nothing: str) -> None:
    """Otherwise an empty field would open the door."""
    (tmp_path / "token").write_text(nothing, encoding="utf-8")
    assert len(read(tmp_path)) == 32


def test_a_file_written_by_hand_is_read_without_its_line_break(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("of my own\n", encoding="utf-8")
    assert read(tmp_path) == "of my own"


def test_a_new_token_takes_the_place_of_the_old_one_and_is_noticed_at_once(tmp_path: Path) -> None:
    kept = Token(tmp_path)
    assert kept.hash() == kept.hash() == hashed(read(tmp_path))
    for _ in range(3):
        before = read(tmp_path)
        after = renew(tmp_path)
        assert before != after == read(tmp_path)
        assert kept.hash() == hashed(after)
        assert after not in kept.hash()
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
    (tmp_path / "token").write_text("of my own", encoding="utf-8")
    assert kept.hash() == hashed("of my own")
    (tmp_path / "token").unlink()
    assert kept.hash() != hashed("of my own")
    assert kept.hash() == hashed(read(tmp_path))


def test_the_invitation_is_a_link_and_its_picture(tmp_path: Path) -> None:
    words = invitation("the-token", "http://192.0.2.7:5001")
    assert words.splitlines()[-1].endswith(" http://192.0.2.7:5001/sign-in?token=the-token")
    assert all(set(line) <= set("█▀▄ ") for line in words.splitlines()[:-1])
    assert "\x1b" not in words
    longer = invitation("the-token" * 9, "http://192.0.2.7:5001")
    assert longer.count("█") > words.count("█"), "the picture holds the link"


@pytest.mark.parametrize(
    ("address", "link"),
    [
        ("https://tasks.test:8000", "https://tasks.test:8000"),
        ("http://[fd00::2]:5001", "http://[fd00::2]:5001"),
        ("http://0.0.0.0:5001", "http://192.0.2.7:5001"),
        ("https://[::]:5001", "https://[fd00::7]:5001"),
    ],
)
def test_the_link_names_an_address_that_others_can_reach(
    monkeypatch: pytest.MonkeyPatch, address: str, link: str
) -> None:
    own = {socket.AF_INET: "192.0.2.7", socket.AF_INET6: "fd00::7"}
    monkeypatch.setattr(sign_in_token, "_own_address", lambda family: own[family])
    assert f" {link}/sign-in?token=x" in invitation("x", address)


def test_a_machine_without_a_network_is_called_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", fail)
    assert f"http://{socket.gethostname()}:5001/sign-in" in invitation("x", "http://0.0.0.0:5001")


def test_the_invitation_is_shown_once(tmp_path: Path) -> None:
    first = announce(tmp_path / "data", "http://192.0.2.7:5001")
    assert f"http://192.0.2.7:5001/sign-in?token={read(tmp_path / 'data')}" in first
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    later = announce(tmp_path / "data", "http://192.0.2.7:5001")
    assert read(tmp_path / "data") not in later
    assert "python3 server.py token" in later


def test_a_directory_that_cannot_be_used_is_no_crash_here(tmp_path: Path) -> None:
    """Whoever opens the data in it has the words for it."""
    (tmp_path / "file").touch()
    assert announce(tmp_path / "file" / "data", "http://192.0.2.7:5001") == sign_in_token.HINT


def test_the_log_of_requests_leaves_the_token_out(caplog: pytest.LogCaptureFixture) -> None:
    sign_in_token.keep_out_of_logs()
    with caplog.at_level(logging.INFO, "uvicorn.access"):
        for path in ("/sign-in?token=a-secret", "/sign-in?x=1&token=a-secret&y=2", "/tasks?q=x"):
            logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', "client", "GET", path, "1.1", 200)
    assert "a-secret" not in caplog.text
    assert "/sign-in?x=1&token=…&y=2 HTTP/1.1" in caplog.text
    assert "/tasks?q=x" in caplog.text
