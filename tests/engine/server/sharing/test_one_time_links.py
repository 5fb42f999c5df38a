"""Links that sign in once: once, for a while, in no place where another account could read them."""

import os
import stat
import threading
import time
from pathlib import Path

import pytest

from server.sharing import one_time_links
from server.sharing.one_time_links import (
    LIFETIME,
    give_back,
    link_of,
    make,
    page_to,
    sweep,
    use,
)


def test_a_code_is_good_once(tmp_path: Path) -> None:
    code, other = make(tmp_path), make(tmp_path)
    assert len(code) == 32
    assert use(tmp_path, code)
    assert not use(tmp_path, code)
    assert use(tmp_path, other), "of several each is good"


@pytest.mark.parametrize("code", ["", "wrong", "../token", "\0", "x" * 100_000, "\ud800"])
def test_any_other_is_not(tmp_path: Path, code: str) -> None:
    assert not use(tmp_path, code), "before any was made"
    make(tmp_path)
    assert not use(tmp_path, code)


def test_of_many_who_use_one_at_once_one_is_let_in(tmp_path: Path) -> None:
    for _ in range(20):
        code = make(tmp_path)
        let_in: list[bool] = []
        begin = threading.Barrier(8)

        def try_it(code: str = code, let_in: list[bool] = let_in, begin: threading.Barrier = begin) -> None:
            begin.wait()
            let_in.append(use(tmp_path, code))

        threads = [threading.Thread(target=try_it) for _ in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert sorted(let_in) == [False] * 7 + [True]


def test_it_is_good_for_a_while_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    early, late = make(tmp_path), make(tmp_path)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + LIFETIME - 5)
    assert use(tmp_path, early)
    monkeypatch.setattr(time, "time", lambda: now + LIFETIME + 5)
    assert not use(tmp_path, late)
    sweep(tmp_path)
    assert not list((tmp_path / one_time_links.DIRECTORY).iterdir())


def test_nothing_that_is_kept_tells_the_code(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        code = make(tmp_path)
        page = page_to(tmp_path, code, "http://127.0.0.1:5001")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / one_time_links.DIRECTORY).stat().st_mode) == 0o700
    for path in (tmp_path / one_time_links.DIRECTORY).iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert code not in path.name
    # The path of the page is what stands on the command line of a browser.
    assert code not in str(page)
    assert f'url={link_of("http://127.0.0.1:5001", code)}"' in page.read_text(encoding="utf-8")


def test_the_page_goes_with_its_link(tmp_path: Path) -> None:
    code = make(tmp_path)
    page = page_to(tmp_path, code, "http://127.0.0.1:5001")
    sweep(tmp_path)
    assert page.exists()
    use(tmp_path, code)
    sweep(tmp_path)
    assert not page.exists()


def test_what_was_never_used_is_swept_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep(tmp_path)
    page_to(tmp_path, make(tmp_path), "http://127.0.0.1:5001")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + LIFETIME + 5)
    sweep(tmp_path)
    assert not list((tmp_path / one_time_links.DIRECTORY).iterdir())


def test_one_that_let_nobody_in_can_be_given_back_but_lives_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = make(tmp_path)
    for _ in range(2):
        assert use(tmp_path, code)
        assert not use(tmp_path, code)
        give_back(tmp_path, code)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + LIFETIME + 5)
    assert not use(tmp_path, code)
