"""What counts as an edit; that it is seen, and how often, is in test_reload.py."""

from pathlib import Path
from queue import Empty, SimpleQueue

import pytest

from server.reload.edits.file_watch import IS_TOLD, Edits, Filter


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("app/main.py", True),
        ("templates/tasks.py", True),
        ("static/app.css", True),
        ("static/vendor/htmx.min.js", True),
        ("pyproject.toml", True),
        ("uv.lock", True),
        ("templates/tasks.html", True),
        ("README.md", False),
        ("data/app.db", False),
        ("data/app.db-wal", False),
        ("app/__pycache__/main.cpython-311.pyc", False),
        ("app/__pycache__/main.py", False),
        ("app/.main.py.swp", False),
        ("app/.main.py", False),
        ("app/main.py~", False),
        ("app/#main.py#", False),
        ("app/.#main.py", False),
        ("app/4913", False),
        ("app/main.py.tmp.1", False),
        ("app/main.py___jb_tmp___", False),
    ],
)
def test_what_matters(name: str, counts: bool) -> None:
    assert Filter()(None, f"/project/{name}") is counts  # type: ignore[arg-type]


def test_to_save_is_not_to_edit_but_to_write_remove_or_bring_back_is(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    page = tmp_path / "app" / "page.py"
    page.write_text("1", encoding="utf-8")
    edits = Edits(tmp_path)
    page.write_text("1", encoding="utf-8")
    assert edits.among({page}) == []
    page.write_text("2", encoding="utf-8")
    assert edits.among({page}) == [page]
    assert edits.among({page}) == []
    page.unlink()
    assert edits.among({page}) == [page]
    page.write_text("", encoding="utf-8")
    assert edits.among({page}) == [page]
    # What came and went before anyone looked.
    assert edits.among({tmp_path / "app" / "4913.py"}) == []


def test_what_a_directory_brings_or_takes_is_an_edit(tmp_path: Path) -> None:
    page = tmp_path / "app" / "more" / "page.py"
    page.parent.mkdir(parents=True)
    page.touch()
    edits = Edits(tmp_path)
    moved = tmp_path / "app" / "others"
    page.parent.rename(moved)
    assert edits.among({page.parent, moved}) == [page, moved / "page.py"]


def test_what_is_written_between_start_and_watch_is_told(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    edits, told = Edits(tmp_path), SimpleQueue[set[Path]]()
    page = tmp_path / "app" / "page.py"
    page.write_text("1", encoding="utf-8")
    edits.watch(told.put)
    assert edits.among(told.get(timeout=10)) == [page]
    edits.end()


@pytest.mark.skipif(not IS_TOLD, reason="elsewhere watchfiles is used in any case")
def test_where_the_system_tells_nothing_it_is_found_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.reload.edits.file_watch.IS_TOLD", False)
    monkeypatch.setattr("server.reload.edits.file_watch.AGAIN", 50)
    test_what_is_written_between_start_and_watch_is_told(tmp_path)


@pytest.mark.skipif(not IS_TOLD, reason="elsewhere watchfiles is used in any case")
def test_where_the_system_tells_no_more_it_is_found_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def exhausted(*_: object) -> None:
        raise OSError(28, "no more")

    monkeypatch.setattr("server.reload.edits.file_watch.Inotify", exhausted)
    monkeypatch.setattr("server.reload.edits.file_watch.AGAIN", 50)
    test_what_is_written_between_start_and_watch_is_told(tmp_path)
    assert "no more. So they are looked at three times a second" in caplog.text


def test_an_edit_waits_for_git_also_in_a_worktree(tmp_path: Path) -> None:
    root, own = tmp_path / "worktree", tmp_path / "main" / ".git" / "worktrees" / "worktree"
    (root / "app").mkdir(parents=True)
    own.mkdir(parents=True)
    (root / ".git").write_text(f"gitdir: {own}\n", encoding="utf-8")
    edits, told = Edits(root), SimpleQueue[set[Path]]()
    edits.watch(told.put)
    (own / "index.lock").touch()
    first, second = root / "app" / "first.py", root / "app" / "second.py"
    first.write_text("1", encoding="utf-8")
    with pytest.raises(Empty):
        told.get(timeout=0.5)
    second.write_text("2", encoding="utf-8")
    (own / "index.lock").unlink()
    assert told.get(timeout=10) == {first, second}
    edits.end()
