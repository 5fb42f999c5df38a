"""What the system tells of files, on a real directory."""

import sys
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("inotify is Linux'", allow_module_level=True)

from server.reload.edits.inotify import Inotify


def told(inotify: Inotify) -> set[Path]:
    """All that there is to hear; the system has told of a call when it returns."""
    found: set[Path] = set()
    while inotify.has_more(0):
        found |= set(inotify.read())
    return found


def test_a_file_counts_when_it_is_closed_moved_here_or_gone(tmp_path: Path) -> None:
    inotify = Inotify([tmp_path], [])
    page = tmp_path / "page.py"
    with page.open("w", encoding="utf-8") as file:
        file.write("1")
        file.flush()
        assert told(inotify) == set()
    assert told(inotify) == {page}
    new = tmp_path / "new"
    page.rename(new)
    assert told(inotify) == {page, new}
    new.unlink()
    assert told(inotify) == {new}
    page.symlink_to("elsewhere")
    assert told(inotify) == {page}


def test_directories_that_come_are_watched_under_the_name_they_have(tmp_path: Path) -> None:
    inotify = Inotify([tmp_path], [])
    inner = tmp_path / "one" / "inner"
    inner.mkdir(parents=True)
    (inner / "early.py").touch()
    # The file may have been there before the watch: of a new directory all counts.
    assert tmp_path / "one" in told(inotify)
    (tmp_path / "one").rename(tmp_path / "two")
    assert told(inotify) == {tmp_path / "one", tmp_path / "two"}
    page = tmp_path / "two" / "inner" / "page.py"
    page.touch()
    assert told(inotify) == {page}


def test_a_tree_that_goes_and_comes_back_is_watched_again(tmp_path: Path) -> None:
    room = tmp_path / "app"
    room.mkdir()
    inotify = Inotify([room], [tmp_path])
    room.rmdir()
    told(inotify)
    room.mkdir()
    assert told(inotify) == {room}
    (room / "page.py").touch()
    assert told(inotify) == {room / "page.py"}


def test_of_a_directory_alone_only_its_own_files_count(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    inotify = Inotify([], [tmp_path])
    (tmp_path / "data" / "app.db").touch()
    (tmp_path / "more").mkdir()
    (tmp_path / "uv.lock").touch()
    assert told(inotify) == {tmp_path / "uv.lock"}


def test_caches_and_hidden_directories_are_silent(tmp_path: Path) -> None:
    for name in ("__pycache__", ".git"):
        (tmp_path / name).mkdir()
    inotify = Inotify([tmp_path], [])
    for name in ("__pycache__", ".git"):
        (tmp_path / name / "page.py").touch()
    assert told(inotify) == set()


def test_what_cannot_be_watched_is_said(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="max_user_watches"):
        Inotify([], [tmp_path / "nothing"])


def test_links_are_followed_under_their_own_names_and_not_in_a_circle(tmp_path: Path) -> None:
    shared, tree = tmp_path / "shared", tmp_path / "tree"
    shared.mkdir()
    tree.mkdir()
    (tree / "first").symlink_to(shared)
    inotify = Inotify([tree], [])
    (tree / "second").symlink_to(shared)
    (shared / "circle").symlink_to(shared)
    told(inotify)
    (shared / "page.py").touch()
    assert {tree / "first" / "page.py", tree / "second" / "page.py"} <= told(inotify)
    (tree / "first").unlink()
    told(inotify)
    (shared / "other.py").touch()
    assert {path for path in told(inotify) if "circle" not in path.parts} == {tree / "second" / "other.py"}


def test_more_is_watched_later_also_what_is_not_there_yet(tmp_path: Path) -> None:
    inotify = Inotify([], [tmp_path])
    inotify.add_tree(tmp_path / "later")
    (tmp_path / "alone").mkdir()
    inotify.add(tmp_path / "alone")
    (tmp_path / "later" / "inner").mkdir(parents=True)
    told(inotify)
    for name in ("later/inner/page.py", "alone/page.py"):
        (tmp_path / name).touch()
    assert told(inotify) == {tmp_path / "later" / "inner" / "page.py", tmp_path / "alone" / "page.py"}
