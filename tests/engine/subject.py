"""What the tests of the engine serve: a project with tasks at /tasks.

Here that is the example. A project without it is copied, once for a whole run of the tests, and `new` writes tasks into
the copy. So these tests use of tasks only what both have: list, search, forms and rows; what the example has beyond
that is tested in the files that go with it.
"""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from server.example import DECLARATION

ROOT = Path(__file__).resolve().parents[2]
TASK = ("task", "title:str", "notes:text?", "due:date?", "done:bool")
HAS_EXAMPLE = (ROOT / DECLARATION).exists()
# Where deleted tasks are kept.
DELETIONS = "deletions" if HAS_EXAMPLE else "deleted_tasks"
# The processes of a run share the copy that the first of them has made.
SHARED = "SUBJECT_OF_TESTS"
_LEFT_OUT = shutil.ignore_patterns(".*", "data", "result", "__pycache__")


def new_title(page: Any) -> Any:
    """The field for the title of a new task on the page of tasks, which may be folded away."""
    field = page.locator("#new-title, #add [name=title]")
    if not field.is_visible():
        page.locator("#add > summary").click()
    return field


def _project() -> Path:
    if HAS_EXAMPLE:
        return ROOT
    if SHARED not in os.environ:
        directory = tempfile.mkdtemp(prefix="subject-")
        atexit.register(shutil.rmtree, directory, ignore_errors=True)
        os.environ[SHARED] = str(_with_tasks(Path(directory).resolve() / "project"))
    return Path(os.environ[SHARED])


def _with_tasks(copy: Path) -> Path:
    """A copy of the project with tasks as its first feature."""
    shutil.copytree(ROOT, copy, ignore=_LEFT_OUT)
    made = subprocess.run([sys.executable, "server.py", "new", *TASK], cwd=copy, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    for name, line in (("app/main.py", "    tasks,\n"), ("templates/layout.py", '    "/tasks": "Tasks",\n')):
        text = (copy / name).read_text()
        opening = next(each for each in text.splitlines(keepends=True) if each.startswith("FEATURES: "))
        before, after = text.split(opening)
        (copy / name).write_text(before + opening + line + "".join(after.split(line, 1)))
    return copy


def _take_its_schema() -> None:
    """Have `app.migrations` of this process be that of the project with tasks, as the rest of its app is the same."""
    spec = spec_from_file_location("app.migrations", PROJECT / "app" / "migrations.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules["app.migrations"] = module = module_from_spec(spec)
    spec.loader.exec_module(module)
    # The process that reads a file for a restore has to have it too.
    import_module("app.backups").ROOT = PROJECT  # type: ignore[attr-defined]


PROJECT = _project()
if not HAS_EXAMPLE:
    _take_its_schema()
