"""What counts as an edit; that it is seen, and how often, is in test_reload.py."""

from pathlib import Path

import pytest

from server.edits import Edits, Filter


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
    page.write_text("1")
    edits = Edits(tmp_path)
    page.write_text("1")
    assert edits.among({page}) == []
    page.write_text("2")
    assert edits.among({page}) == [page]
    assert edits.among({page}) == []
    page.unlink()
    assert edits.among({page}) == [page]
    page.write_text("")
    assert edits.among({page}) == [page]
    # What came and went before anyone looked.
    assert edits.among({tmp_path / "app" / "4913.py"}) == []
