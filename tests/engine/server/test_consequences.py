"""What an edit means for pages, and for the process that watches."""

from pathlib import Path

from server import consequences


def test_a_style_is_swapped_alone_anything_else_loads_the_page(tmp_path: Path) -> None:
    style, script = tmp_path / "app.css", tmp_path / "app.js"
    style.touch()
    assert consequences.for_pages([style], tmp_path) == {"reload": "style", "files": ["app.css"]}
    assert consequences.for_pages([style, script], tmp_path) == {"reload": "page"}
    style.unlink()
    assert consequences.for_pages([style], tmp_path) == {"reload": "page"}


def test_what_runs_already_needs_a_new_start() -> None:
    root = Path(consequences.__file__).parent.parent
    assert consequences.that_need_a_new_start([root / "templates" / "none.py"], [], root) == []
    (pinned,) = consequences.that_need_a_new_start([root / "uv.lock"], [], root)
    assert pinned.startswith("uv.lock changed: stop the server")
    (running,) = consequences.that_need_a_new_start([Path(consequences.__file__)], [], root)
    assert running.startswith("server/consequences.py changed: the app has it")
    assert consequences.that_need_a_new_start([root / "helper.py"], [root / "helper.py"], root) == []
