"""The subject of the engine's tests: the project with none of your features, and with tasks at /tasks.

The tests of lists, forms, imports and all the rest need a feature to try them with, and no other beside it. As it comes
the project is that: it has the example, and the tests run in place. Any other is copied, and in the copy

- the features but the example go, with their migrations, and the modules that only they need;
- where the example is gone, the tasks that `new task …` would write take its place.

What the engine's tests use of tasks is what both have: list, search, forms and rows. What the example has beyond that
is tested in the files that go with it (server/commands/example/example.toml).
"""

import ast
import re
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from server.commands import specimen_text
from server.commands.features import (
    FEATURES,
    IMPORTS,
    MIGRATIONS,
    NAVIGATION,
    list_in,
    with_line,
    without_migration,
)
from server.commands.project_edits import EditError, put, text_of
from server.commands.remove_example import DECLARATION
from server.commands.specimen_text import Feature, Field

ROOT = Path(__file__).resolve().parents[2]
HAS_EXAMPLE = (ROOT / DECLARATION).exists()
TASKS = Feature(
    "task",
    "tasks",
    "title",
    (Field("notes", "text", True), Field("due", "date", True), Field("done", "bool", False)),
    "python3 server.py new task title:str notes:text:optional due:date:optional done:bool",
)
LISTED = {IMPORTS: "    tasks,", FEATURES: "    tasks,", NAVIGATION: '    "/tasks": "Tasks",'}
Texts = dict[Path, str | None]


@contextmanager
def subject() -> Iterator[Path]:
    """The project where it is its own subject, else a copy that is gone at the end."""
    if is_pristine(ROOT):
        yield ROOT
        return
    with tempfile.TemporaryDirectory(prefix="subject-", ignore_cleanup_errors=True) as directory:
        yield make(ROOT, Path(directory).resolve() / "project")


def is_pristine(root: Path) -> bool:
    """Whether a project is its own subject."""
    try:
        return not _edits(root)
    except EditError:
        return False


def make(root: Path, copy: Path) -> Path:
    """The subject of a project, as a new directory. Raises EditError where a list of features is not in its form."""
    ignored = [line.strip("/") for line in text_of(root / ".gitignore").splitlines() if not line.startswith("#")]
    shutil.copytree(root, copy, ignore=shutil.ignore_patterns(".git", *ignored), symlinks=True)
    put(_edits(copy))
    return copy


def _edits(root: Path) -> Texts:
    """The files of a project that are others in its subject; those that are None go."""
    example = tomllib.loads(text_of(root / DECLARATION)) if (root / DECLARATION).exists() else None
    mine = _features(root) - ({example["feature"]} if example else set())
    texts: Texts = {root / path: text_of(root / path) for path, *_ in (IMPORTS, NAVIGATION)}
    texts[root / MIGRATIONS] = _without_tables(text_of(root / MIGRATIONS), mine)
    for place in LISTED:
        _take_out(texts, root, place, mine)
    going = _no_longer_needed(root, texts, example["files"] if example else [])
    texts |= dict.fromkeys(going)
    if not example:
        _add_tasks(texts, root)
    return {path: text for path, text in texts.items() if text != (text_of(path) if path.exists() else None)}


def _features(root: Path) -> set[str]:
    """The features that the lists name."""
    places = ((place, list_in(text_of(root / place[0]), place)) for place in (FEATURES, NAVIGATION))
    return {name for _, (_, items, _) in places for name in map(_name, items) if name}


def _name(item: str) -> str:
    """What an item of a list names: `recipes,` and `"/recipes": "Recipes",` both name recipes; a comment nothing."""
    found = re.match(r'\s*(?:"/)?(\w+)', item)
    return found[1] if found else ""


def _take_out(texts: Texts, root: Path, place: tuple[Path, str, str], names: set[str]) -> None:
    """Take these names out of a list."""
    before, items, after = list_in(texts[root / place[0]] or "", place)
    texts[root / place[0]] = "\n".join([*before, *(item for item in items if _name(item) not in names), *after])


def _without_tables(text: str, tables: set[str]) -> str:
    """The migrations but those whose SQL speaks of these tables."""
    names = "|".join(tables)
    speaks = re.compile(rf'(?:\b(?:TABLE|EXISTS|ON|INTO|FROM|UPDATE|JOIN) |(?:table\(|\[)")(?:{names})\b')
    for found in re.finditer(r"^@migrations\(\)\ndef (\w+)\(.*?(?=^@migrations|\Z)", text, re.MULTILINE | re.DOTALL):
        if tables and speaks.search(found[0]):
            text = without_migration(text, found[1])
    return text


def _no_longer_needed(root: Path, texts: Texts, of_example: list[str]) -> list[Path]:
    """The modules that are yours, with their tests: no test of the engine stands beside them, and nothing needs them
    that stays."""
    modules = {path for room in ("app", "templates") for path in (root / room).rglob("*.py")}
    stay = {path for path in modules if path.name == "__init__.py" or _test(path, root, "tests/engine").exists()}
    stay |= modules & {root / name for name in of_example}
    while needed := {path for path in modules - stay if _dotted(path, root) in _imports(stay, texts)}:
        stay |= needed
    going = modules - stay
    return sorted(going | {test for path in going if (test := _test(path, root, "tests")).exists()})


def _test(path: Path, root: Path, room: str) -> Path:
    return root / room / path.relative_to(root).with_name(f"test_{path.name}")


def _dotted(path: Path, root: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts)


def _imports(paths: set[Path], texts: Texts) -> set[str]:
    """The modules, and what is taken from them, that these files import."""
    names: set[str] = set()
    for path in paths:
        for node in ast.walk(ast.parse(texts.get(path) or text_of(path))):
            if isinstance(node, ast.Import):
                names |= {each.name for each in node.names}
            elif isinstance(node, ast.ImportFrom):
                names |= {str(node.module), *(f"{node.module}.{each.name}" for each in node.names)}
    return names


def _add_tasks(texts: Texts, root: Path) -> None:
    """Add what `new task …` writes."""
    texts |= specimen_text.files(root, TASKS)
    texts[root / MIGRATIONS] = f"{texts[root / MIGRATIONS]}{specimen_text.migration(root, TASKS)}"
    for place, line in LISTED.items():
        texts[root / place[0]] = with_line(texts[root / place[0]] or "", place, line, in_order=place == IMPORTS)
