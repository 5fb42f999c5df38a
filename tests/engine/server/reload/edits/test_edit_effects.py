"""What an edit means for pages, and for the process that watches."""

from pathlib import Path

from server.reload.edits import edit_effects


def test_a_style_is_swapped_alone_anything_else_loads_the_page(tmp_path: Path) -> None:
    style, script = tmp_path / "app.css", tmp_path / "app.js"
    style.touch()
    assert edit_effects.for_pages([style], tmp_path) == {"reload": "style", "files": ["app.css"]}
    assert edit_effects.for_pages([style, script], tmp_path) == {"reload": "page"}
    style.unlink()
    assert edit_effects.for_pages([style], tmp_path) == {"reload": "page"}


def test_what_runs_already_needs_a_new_start() -> None:
    root = Path(edit_effects.__file__).parents[3]
    assert edit_effects.that_need_a_new_start([root / "templates" / "none.py"], [], root) == []
    (pinned,) = edit_effects.that_need_a_new_start([root / "uv.lock"], [], root)
    assert pinned.startswith("uv.lock changed: stop the server")
    (running,) = edit_effects.that_need_a_new_start([Path(edit_effects.__file__)], [], root)
    assert running.startswith("server/reload/edits/edit_effects.py changed: the app has it")
    assert edit_effects.that_need_a_new_start([root / "helper.py"], [root / "helper.py"], root) == []
