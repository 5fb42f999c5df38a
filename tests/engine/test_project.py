"""The project's own rules, held by reading its files: vendored files as published, dependencies with a reason, texts
that are true. What holds of your sources too is in tests/test_sources.py. A rule that no test holds is only a wish.
"""

import ast
import hashlib
import importlib
import importlib.metadata
import re
import shutil
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import click
import pytest

from server.app_name import PREFIX
from server.commands import cli
from server.commands.specimen_text import TYPES
from tests.conftest import ROOT
from tests.test_sources import MAY_IMPORT, imports, listed, sources

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

# What the group of the tests names itself; what it includes are groups of their own, each with its reason.
OF_TESTS = [each for each in PROJECT["dependency-groups"]["dev"] if isinstance(each, str)]

# Dependencies that no file of ours imports, and who uses them instead.
USED_BY_OTHERS = {
    "uvloop": "Uvicorn runs on it",
    "httptools": "Uvicorn reads requests with it",
    "websockets": "Uvicorn speaks WebSocket with it",
    "watchfiles": "the reload watches with it",
    "python-multipart": "Starlette reads forms and uploads with it",
    "pysqlite3": "sqlite-utils takes it instead of the sqlite3 of Python",
    "pytest-xdist": "pytest runs on several cores with it",
    "ruff": "a command",
    "mypy": "a command",
    "types-psutil": "types, for mypy",
    "fastapi": "an app of it is mounted in a process of its own",
}

# Written in pieces, so that this file does not contain what it looks for.
REGISTRIES = ("pypi" + ".org", "files." + "pythonhosted.org", "registry." + "npmjs.org")
PATHS_OF_A_MACHINE = re.compile(
    r"(?<![\w.~-])(?:/(?:ro" + r"ot|wo" + r"rk)/|/(?:ho" + r"me|Us" + r"ers)/\w)|\w:\\Users\\"
)


def test_every_text_names_its_encoding() -> None:
    """Or it is read as the locale of whoever runs it has it: on Windows, and where LANG says so, that is not UTF-8."""
    wrong = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path in (
            *(path for room in (*MAY_IMPORT, "server/commands/specimen", "tests") for path in sources(room)),
            ROOT / "server.py",
        )
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and leaves_encoding_to_the_locale(call)
    ]
    assert not wrong, listed(wrong)


def leaves_encoding_to_the_locale(call: ast.Call) -> bool:
    """Whether a call opens a file, or hears a process, as text in no encoding that it names."""
    called = ast.unparse(call.func)
    options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    if "encoding" in options:
        return False
    if called.endswith(".read_text"):
        return not call.args
    if called.endswith(".write_text"):
        return len(call.args) < 2
    if called in ("open", "io.open", "os.fdopen"):
        mode = ast.unparse(call.args[1]) if len(call.args) > 1 else options.get("mode", "")
        return "b" not in mode
    if called.endswith(".open"):  # Of a path: what else has this name takes no such mode as its first argument.
        mode = ast.unparse(call.args[0]) if call.args else options.get("mode", "")
        return re.fullmatch(r"'[rwax]t?\+?t?'", mode) is not None
    if called.endswith("TemporaryFile"):
        mode = ast.unparse(call.args[0]) if call.args else options.get("mode", "'w+b'")
        return "b" not in mode
    return options.keys() & {"text", "universal_newlines"} != set()


def test_all_that_is_printed_goes_one_way() -> None:
    """By `say` of `standard_streams`: a bare print ends in an error where the stream is closed, full or gone."""
    bare = re.compile(r"(?<![\w.`])print\(|click\.echo\(|sys\.std(?:out|err)\.write\(|print_exc\(\)")
    wrong = [
        f"{path.relative_to(ROOT)}:{number}"
        for room in MAY_IMPORT
        for path in sources(room)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if bare.search(line)
    ]
    assert not wrong, listed(wrong)


@pytest.mark.parametrize("directory", ["static/vendor", "tests/engine/vendor"])
def test_vendored_files_are_as_published(directory: str) -> None:
    noted = re.findall(
        r"^([0-9a-f]{64})\s+(\S+)", (ROOT / directory / "VENDORED.txt").read_text(encoding="utf-8"), re.MULTILINE
    )
    found = {path.name: sha256(path) for path in (ROOT / directory).iterdir() if path.suffix != ".txt"}
    assert found == {name: digest for digest, name in noted}


def test_every_dependency_stands_under_the_reason_for_it() -> None:
    lists = re.findall(
        r"^(\S+) = \[\n(.*?)^\]", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    of_packages = {name: lines for name, lines in lists if name in {"dependencies", *PROJECT["dependency-groups"]}}
    assert of_packages.keys() == {"dependencies", *PROJECT["dependency-groups"]}
    without = [name for name, lines in of_packages.items() if not lines.lstrip().startswith("# ")]
    assert without == [], "the first packages of these lists have no comment above them"


@pytest.mark.parametrize(
    ("dependencies", "rooms"),
    [
        (PROJECT["project"]["dependencies"], ("server", "app", "templates")),
        (OF_TESTS, ("tests",)),
    ],
    ids=["run", "dev"],
)
def test_every_dependency_is_imported_or_used_by_a_named_other(dependencies: list[str], rooms: tuple[str, ...]) -> None:
    imported = {module.partition(".")[0] for room in rooms for path in sources(room) for _, module in imports(path)}
    sold_as = importlib.metadata.packages_distributions()
    used = {normal(name) for module in imported for name in sold_as.get(module, ())}
    unused = [name for name in map(name_of, dependencies) if name not in used | USED_BY_OTHERS.keys()]
    assert unused == []


def test_the_list_of_what_others_use_names_only_dependencies() -> None:
    asked = [*PROJECT["project"]["dependencies"], *OF_TESTS]
    assert USED_BY_OTHERS.keys() <= set(map(name_of, asked))


def test_every_peer_is_measured() -> None:
    bench = "\n".join(path.read_text(encoding="utf-8") for path in sources("tests/engine/bench"))
    peers = map(name_of, PROJECT["dependency-groups"].get("bench", []))
    assert [name for name in peers if not re.search(rf"\b{name}\b", bench, re.IGNORECASE)] == []


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    known = lines_with(PATHS_OF_A_MACHINE, texts())
    assert not known, listed(known)


def test_commands_are_named_as_the_readme_has_them() -> None:
    other = re.compile(r"(?<![/\w.])python server\.py")
    named = lines_with(other, (path for path in texts() if path != Path(__file__)))
    assert not named, listed(named)


def test_a_path_in_a_command_that_is_printed_is_quoted() -> None:
    bare = re.compile(r"(?:server\.py (?:restore|backup|--data)|sqlite3 )[^\"{%]*(?:%s|\{(?!shlex\.quote))")
    named = lines_with(bare, (path for room in ("server", "app", "templates") for path in sources(room)))
    assert not named, listed(named)


def test_no_file_but_the_lock_file_names_a_package_registry() -> None:
    registries = re.compile("|".join(map(re.escape, REGISTRIES)))
    named = lines_with(registries, (path for path in texts() if path != ROOT / "uv.lock"))
    assert not named, listed(named)


def test_the_lock_file_names_the_public_registry_only() -> None:
    hosts = set(re.findall(r"https?://([^/\"]+)", (ROOT / "uv.lock").read_text(encoding="utf-8")))
    assert hosts == set(REGISTRIES[:2])


def name_of(requirement: str) -> str:
    return normal(re.split(r"[^\w.-]", requirement, maxsplit=1)[0])


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def texts() -> Iterator[Path]:
    """Every text file of the project, but not what .gitignore leaves out."""
    ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").split()]
    leave_out = shutil.ignore_patterns(".git", *ignored)
    waiting = [ROOT]
    while waiting:
        directory = waiting.pop()
        names = {path.name: path for path in directory.iterdir()}
        for name in sorted(names.keys() - leave_out(str(directory), list(names))):
            if names[name].is_dir():
                waiting.append(names[name])
            elif b"\0" not in names[name].read_bytes():
                yield names[name]


def lines_with(pattern: re.Pattern[str], paths: Iterator[Path]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number} has {found.group()}"
        for path in paths
        for number, line in enumerate(path.read_text(errors="replace", encoding="utf-8").splitlines(), 1)
        if (found := pattern.search(line))
    ]


def test_the_documentation_names_every_option_as_it_is() -> None:
    row = rf"^\| (`--.+?) \| `({PREFIX}\w+)` \| (.+?) \|"
    rows = re.findall(row, (ROOT / "docs" / "commands.md").read_text(encoding="utf-8"), re.MULTILINE)
    told = {names: (variable, default.strip("`")) for names, variable, default in rows}
    asked = [parameter for parameter in cli.run.params if isinstance(parameter, click.Option)]
    assert told == {
        " / ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts]): (option.envvar, shown(option))
        for option in asked
    }


def shown(option: click.Option) -> str:
    """The default of an option, as a person reads it."""
    if isinstance(option.show_default, str):
        return option.show_default
    return ("on" if option.default else "off") if option.is_flag else str(option.default)


def test_the_documentation_names_every_command() -> None:
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)", text, re.MULTILINE)) == set(cli.commands.commands)


@pytest.mark.skipif(not (ROOT / "docs/figures.md").exists(), reason="the figures are those of the example")
def test_every_figure_names_a_measurement_that_is_there() -> None:
    text = (ROOT / "docs" / "figures.md").read_text(encoding="utf-8")
    measured = re.findall(r"^    uv run .*tests\.engine\.bench (\w+)", text, re.MULTILINE)
    assert len(measured) > 2
    for path in [*(f"tests/engine/bench/{name}.py" for name in measured), *re.findall(r"tests/[\w/]+(?:\.py)?", text)]:
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("name", ["README.md", "AGENTS.md", "docs/commands.md"])
def test_every_command_and_file_that_is_named_is_there(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    commands = re.findall(r"server\.py (\w+)", text)
    assert commands
    for command in commands:
        assert command in cli.commands.commands
    for path in re.findall(r"`((?:app|server|templates|static|tests|docs|specimen)/[\w./]*)`", text):
        assert (ROOT / path).exists(), path


UNITS = {
    "": 1, "ms": 0.001, "s": 1, "min": 60, "h": 60 * 60, "days": 24 * 60 * 60,
    "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3,
}  # fmt: skip
# Constants that are called like limits, and bound nothing that a client, a file or a person can make larger.
NO_LIMITS = {
    "server/background_work.py LONGEST_PAUSE",
    "server/process_limits.py LONGEST_TEXT",
    "server/reload/edits/read_ahead.py MOST_MODULES",
    "server/reload/edits/file_watch.py MOST_LINKS",
    "server/reload/edits/loaded_files.py MOST_FILES",
    "server/commands/features.py LONGEST_NAME",
    "server/commands/rename.py LONGEST_NAME",
    "server/reload/supervisor.py STACK_LIMIT",
    "server/protocols/paced_reading.py LARGEST",
    "server/reload/warm_process.py KEPT_CODES",
    "app/pages/lost_data.py LONGEST_PAUSE",
    "app/database/reads.py LARGEST",
    "app/records/rows.py LARGEST_LINE",
    "app/records/lists.py COUNT_LIMIT",
    "app/imports/job.py LONGEST_ERROR",
}
# Parts of what the table has as a whole: each cuts what is shown of a value, or is counted in a larger limit.
PARTS = re.compile(r"app/imports/reading/[\w/]+\.py \w+|app/access/browser_names\.py LONGEST")
LIKE_A_LIMIT = re.compile(
    r"^((?:MOST|LONGEST|LARGEST|WAITING|KEPT)(?:_[A-Z]+)*|[A-Z_]+_(?:LIMIT|PER_PERSON|PER_TAB)) = \d",
    re.MULTILINE,
)
LIMIT = re.compile(r"^\| (.+?) \| ([\d,.]+) ?(\w*) \| `(\S+)\.py` `([A-Z_]+)` \|$", re.MULTILINE)


def test_every_limit_in_the_documentation_is_that_of_the_code() -> None:
    found = LIMIT.findall((ROOT / "docs" / "security.md").read_text(encoding="utf-8"))
    assert len(found) > 40
    for what, number, unit, path, name in found:
        limit = getattr(importlib.import_module(path.replace("/", ".")), name)
        limit = limit.total_seconds() if isinstance(limit, timedelta) else limit
        assert limit == float(number.replace(",", "")) * UNITS[unit], what


def test_every_limit_of_the_code_is_in_the_documentation() -> None:
    documented = set(
        re.findall(r"`(\S+\.py)` `([A-Z_]+)`", (ROOT / "docs" / "security.md").read_text(encoding="utf-8"))
    )
    found = [
        (path.relative_to(ROOT).as_posix(), name)
        for room in ("server", "app")
        for path in sources(room)
        for name in LIKE_A_LIMIT.findall(path.read_text(encoding="utf-8"))
    ]
    assert len(found) > 20
    missing = [f"{path} {name}" for path, name in found if (path, name) not in documented]
    assert not [each for each in missing if each not in NO_LIMITS and not PARTS.fullmatch(each)]


def test_every_test_that_the_documentation_of_security_names_is_there() -> None:
    named = re.findall(
        r"`(?:(tests/[\w/]*)/)?(test_\w+\.py)`", (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    )
    assert len(named) > 30
    missing = [name for room, name in named if not any((ROOT / (room or "tests")).rglob(name))]
    assert missing == []


def test_what_assistants_read_is_short_and_names_every_type_of_field() -> None:
    text = (ROOT / "AGENTS.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 60
    assert ", ".join(TYPES) in text
