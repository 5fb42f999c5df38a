"""The door, opened for real: in copies of the checkout `python3 server.py` makes, mends or leaves alone a `.venv`.

Behind the door stands a stub that tells from where it was called; one test goes through to the commands themselves.
"""

import ast
import errno
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from server.app_name import NAME
from tests.engine.conftest import PATIENCE, ROOT

fcntl = pytest.importorskip("fcntl", reason="these tests speak of POSIX: signals, links, execv")

PINNED = Path("server", "uv-requirements.txt")
HANDED_ON = 7  # the exit code of the stub
STUB = f"""
import json, sys
from importlib.util import find_spec

def main():
    tests = all(map(find_spec, ("pytest", "hypothesis", "playwright")))
    loaded = sorted(sys.modules)
    print(json.dumps({{"prefix": sys.prefix, "arguments": sys.argv[1:], "tests": tests, "loaded": loaded}}))
    sys.exit({HANDED_ON})
"""


@dataclass
class Checkout:
    """A copy of the project with nothing in it but what the door needs."""

    directory: Path
    python: str
    environment: dict[str, str]

    @property
    def venv(self) -> Path:
        return self.directory / ".venv"

    @property
    def stamp(self) -> Path:
        return self.venv / "made-from"

    @property
    def inner_python(self) -> str:
        return str(self.venv / "bin" / "python")

    @property
    def site_packages(self) -> Path:
        return next(self.venv.glob("lib/python3*/site-packages"))

    def begin(self, *arguments: str, python: str = "", **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [python or self.python, str(self.directory / "server.py"), *arguments],
            env={**self.environment, **environment},
            cwd=self.directory.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,
        )

    def start(self, *arguments: str, python: str = "", **environment: str) -> "Start":
        return ended(self.begin(*arguments, python=python, **environment))

    def use_uv(self, script: str, version: str = "9.9") -> None:
        """Puts a shell script in the place of uv; `$BEGUN` and `$GO` are files to speak with the test through."""
        tools = self.directory.parent / "other-tools"
        tools.mkdir()
        uv = tools / "uv"
        uv.write_text(
            f'#!/bin/sh\nBEGUN="{tools}/begun"\nGO="{tools}/go"\n'
            f'[ "$1" = --version ] && echo uv {version}.0 && exit 0\n{script}\n',
            encoding="utf-8",
        )
        uv.chmod(0o755)
        os.mkfifo(tools / "go")
        self.environment["PATH"] = f"{tools}:{self.environment['PATH']}"

    def wait_until_uv_begins(self) -> None:
        begun = self.directory.parent / "other-tools" / "begun"
        wait_until(begun.exists)

    def let_uv_end(self) -> None:
        (self.directory.parent / "other-tools" / "go").write_text("go\n", encoding="utf-8")


@dataclass
class Start:
    """How one start ended, and what the stub behind the door saw."""

    code: int
    said: str
    saw: dict

    @property
    def lines(self) -> list[str]:
        return self.said.splitlines()


def ended(process: subprocess.Popen[str]) -> Start:
    output, errors = process.communicate(timeout=120)
    return Start(process.returncode, errors, json.loads(output) if output else {})


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.01)


def assert_inside(start: Start, checkout: Checkout) -> None:
    assert start.code == HANDED_ON, start.said
    assert start.saw["prefix"] == str(checkout.venv)


def assert_failed(start: Start, *remedies: str) -> None:
    assert start.code == 1, start.said
    assert not start.saw
    assert "Traceback" not in start.said
    for remedy in remedies:
        assert remedy in start.said


@pytest.fixture(scope="module")
def plain_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python with no packages: a copy, so that nothing that goes wrong here reaches the one of this machine."""
    return copy_of_python(tmp_path_factory.mktemp("python"))


@pytest.fixture
def checkout(tmp_path: Path, plain_python: str) -> Checkout:
    """A bare checkout, started without uv."""
    directory = tmp_path / "bare checkout"
    (directory / "server" / "commands").mkdir(parents=True)
    (directory / "tests").mkdir()
    for name in ("server.py", "pyproject.toml", "uv.lock", "README.md"):
        shutil.copy(ROOT / name, directory)
    for room in ("server", "server/commands"):
        (directory / room / "__init__.py").touch()
    (directory / "server" / "commands" / "cli.py").write_text(STUB, encoding="utf-8")
    shutil.copy(ROOT / PINNED, directory / PINNED)
    unwanted = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "UV_PYTHON", "UV_OFFLINE", "UV_PROJECT_ENVIRONMENT")
    environment = {name: value for name, value in os.environ.items() if name not in unwanted}
    path = [place for place in os.get_exec_path() if not os.path.exists(os.path.join(place, "uv"))]
    return Checkout(directory, plain_python, {**environment, "PATH": ":".join(path)})


@pytest.fixture
def with_uv(checkout: Checkout, tmp_path: Path) -> Checkout:
    """A bare checkout, started on a machine that has uv."""
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        pytest.skip("no uv here")
    if "shims" in uv:  # pyenv's stand-in needs to know which Python it stands for
        uv = subprocess.check_output(["pyenv", "which", "uv"], encoding="utf-8").strip()
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "uv").symlink_to(uv)
    checkout.environment["PATH"] = f"{tools}:{checkout.environment['PATH']}"
    return checkout


@pytest.fixture(scope="module")
def made_venvs() -> dict[str, Path]:
    """What the door has made, to be made but once."""
    return {}


@pytest.fixture
def made(with_uv: Checkout, made_venvs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout whose `.venv` the door has made."""
    if "made" not in made_venvs:
        assert_inside(with_uv.start(), with_uv)
        made_venvs["made"] = tmp_path_factory.mktemp("made") / ".venv"
        copy_of_venv(with_uv.venv, made_venvs["made"])
    else:
        copy_of_venv(made_venvs["made"], with_uv.venv)
    return with_uv


def copy_of_venv(venv: Path, copy: Path) -> None:
    """The packages themselves are links: whoever changes one puts another file in its place."""

    def link_or_copy(source: str, target: str) -> object:
        return (os.link if "site-packages" in source else shutil.copy2)(source, target)

    shutil.copytree(venv, copy, symlinks=True, copy_function=link_or_copy)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[ModuleType]:
    """server.py as a module: reading it starts nothing."""
    spec = importlib.util.spec_from_file_location("door", ROOT / "server.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# What is made


def test_a_bare_checkout_makes_its_venv_says_so_in_one_line_and_goes_on_inside(with_uv: Checkout) -> None:
    first = with_uv.start("run", "--port", "0", VIRTUAL_ENV="/somewhere/else")
    assert_inside(first, with_uv)
    assert first.saw["arguments"] == ["run", "--port", "0"]
    assert first.lines == ["The packages are missing: making .venv from uv.lock, once. This can take a minute."]
    second = with_uv.start()
    assert_inside(second, with_uv)
    assert second.said == ""


def test_a_checkout_whose_path_has_a_colon_makes_its_venv_too(with_uv: Checkout) -> None:
    """The module `venv` makes none there, as it could not be put into PATH."""
    with_uv.directory = Path(shutil.move(with_uv.directory, with_uv.directory.with_name("bare: 'check\" out % ü")))
    first = with_uv.start("run", "--port", "0")
    assert_inside(first, with_uv)
    assert first.lines == ["The packages are missing: making .venv from uv.lock, once. This can take a minute."]
    assert with_uv.start().said == ""
    inside = [with_uv.inner_python, "-c", "import sys, click; print(sys.prefix, sys.base_prefix, sep='\\n')"]
    prefix, base = subprocess.check_output(inside, text=True, encoding="utf-8").splitlines()
    assert prefix == str(with_uv.venv)
    assert Path(base).samefile(Path(with_uv.python).resolve().parents[1])


def test_running_leaves_the_tools_of_the_tests_out_and_testing_brings_them(made: Checkout) -> None:
    run = made.start("run")
    assert not run.saw["tests"]
    test = made.start("test", "-x", UV_NO_DEV="1")
    assert_inside(test, made)
    assert test.saw["tests"]
    assert test.saw["arguments"] == ["test", "-x"]
    change(made.directory / "uv.lock")
    assert made.start("run").lines == ["Bringing .venv up to date with uv.lock."]
    assert made.start("test").said == ""  # the tools of the tests were brought up to date with the rest


def test_a_copy_without_tests_asks_for_none_of_their_tools(made: Checkout) -> None:
    (made.directory / "tests").rmdir()
    test = made.start("test")
    assert_inside(test, made)
    assert (test.said, test.saw["tests"]) == ("", False)


@pytest.mark.slow
def test_without_uv_a_bare_checkout_gets_it_from_pip_and_keeps_it(checkout: Checkout) -> None:
    needs_ensurepip(checkout.python)
    assert_inside(checkout.start(), checkout)
    uv = checkout.venv / "bin" / "uv"
    made = uv.stat().st_mtime_ns
    change(checkout.directory / "uv.lock")
    assert_inside(checkout.start(), checkout)
    assert uv.stat().st_mtime_ns == made


@pytest.mark.slow
def test_two_starts_at_once_both_go_on_inside(with_uv: Checkout) -> None:
    starts = [ended(process) for process in [with_uv.begin(), with_uv.begin()]]
    for start in starts:
        assert_inside(start, with_uv)
        assert "up to date" not in start.said  # what the first has made, the second does not make again
    assert sum("making .venv" in start.said for start in starts) == 1 + sum("waiting" in start.said for start in starts)


# What is left alone


def test_an_environment_that_has_the_packages_is_used_as_it_is(checkout: Checkout) -> None:
    start = checkout.start("test", python=sys.executable)
    assert start.code == HANDED_ON
    assert start.said == ""
    assert start.saw["prefix"] == sys.prefix
    assert not checkout.venv.exists()
    assert not {"subprocess", "shutil", "zlib", "venv", "fcntl"} & set(start.saw["loaded"])


@pytest.mark.slow
def test_a_venv_that_somebody_else_made_is_used_and_left_alone(with_uv: Checkout) -> None:
    command = ["uv", "sync", "--quiet", "--frozen", "--no-dev", "--python", with_uv.python]
    subprocess.run(command, check=True, cwd=with_uv.directory, env=with_uv.environment)
    change(with_uv.directory / "uv.lock")
    for python in (with_uv.python, with_uv.inner_python):
        start = with_uv.start(python=python)
        assert_inside(start, with_uv)
        assert start.said == ""
    assert not with_uv.stamp.exists()


# What is mended


def test_a_venv_that_is_older_than_the_lock_file_is_brought_up_to_date(made: Checkout) -> None:
    for python in (made.python, made.inner_python):
        change(made.directory / "uv.lock")
        take_away(made, "ijson")
        start = made.start(python=python)
        assert_inside(start, made)
        assert start.lines == ["Bringing .venv up to date with uv.lock."]
        assert (made.site_packages / "ijson").exists()
        assert made.start(python=python).said == ""


@pytest.mark.slow
def test_what_the_person_put_into_venv_stays(made: Checkout) -> None:
    mine = made.site_packages / "mine-1.0.dist-info"
    mine.mkdir()
    (mine / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n", encoding="utf-8")
    (mine / "RECORD").write_text("mine-1.0.dist-info/METADATA,,\nmine-1.0.dist-info/RECORD,,\n", encoding="utf-8")
    change(made.directory / "uv.lock")
    assert_inside(made.start(), made)
    assert mine.exists()


@pytest.mark.slow
def test_packages_that_were_taken_away_come_back(made: Checkout) -> None:
    take_away(made, "click_default_group")
    assert_inside(made.start(), made)


@pytest.mark.slow
def test_an_empty_venv_that_somebody_else_made_is_filled(with_uv: Checkout) -> None:
    subprocess.run([with_uv.python, "-m", "venv", "--without-pip", str(with_uv.venv)], check=True)
    mine = with_uv.venv / "mine"
    mine.touch()
    assert_inside(with_uv.start(python=with_uv.inner_python), with_uv)
    assert mine.exists()


@pytest.mark.parametrize(
    "broken", ["gone", *(pytest.param(broken, marks=pytest.mark.slow) for broken in ("does not start", "is too old"))]
)
def test_a_venv_whose_python_is_of_no_use_is_made_anew(made: Checkout, broken: str) -> None:
    python = made.venv / "bin" / "python"
    python.unlink()
    if broken == "gone":
        python.symlink_to(made.directory / "no" / "python")
    elif broken == "is too old":
        python.symlink_to(old_python(8) or old_python(9) or pytest.skip("no Python 3.8 or 3.9 here"))
    else:
        python.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
        python.chmod(0o755)
    start = made.start()
    assert_inside(start, made)
    assert "making .venv" in start.said


@pytest.mark.parametrize("stamped", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_venv_that_lost_its_configuration_is_made_anew_and_the_python_beneath_stays_as_it_was(
    made: Checkout, stamped: bool
) -> None:
    (made.venv / "pyvenv.cfg").unlink()  # so its Python takes itself for the one beneath, and so does uv
    if not stamped:
        made.stamp.unlink()
    assert_inside(made.start(), made)
    assert (made.venv / "pyvenv.cfg").exists()
    assert not list(Path(made.python).parent.parent.glob("lib/python3*/site-packages/*"))


def test_a_start_that_was_killed_half_way_is_begun_again(with_uv: Checkout) -> None:
    path = with_uv.environment["PATH"]
    with_uv.use_uv('touch "$BEGUN"; read line < "$GO"')
    process = with_uv.begin()
    with_uv.wait_until_uv_begins()
    os.killpg(process.pid, signal.SIGKILL)
    assert ended(process).code == -signal.SIGKILL
    half_made = with_uv.venv / "half-made"
    half_made.touch()
    assert_inside(with_uv.start(PATH=path), with_uv)
    assert not half_made.exists()


@pytest.mark.slow
def test_a_start_waits_for_what_a_killed_one_has_left_running(with_uv: Checkout) -> None:
    path = with_uv.environment["PATH"]
    with_uv.use_uv('touch "$BEGUN"; read line < "$GO"')
    killed = with_uv.begin()
    with_uv.wait_until_uv_begins()
    killed.kill()
    assert ended(killed).code == -signal.SIGKILL
    waiting = with_uv.begin(PATH=path)
    assert waiting.stderr is not None
    assert waiting.stderr.readline() == "Another start is making .venv: waiting for it.\n"
    with_uv.let_uv_end()
    assert_inside(ended(waiting), with_uv)


@pytest.mark.slow
def test_ctrl_c_says_what_it_left_and_the_next_start_begins_again(with_uv: Checkout) -> None:
    path = with_uv.environment["PATH"]
    with_uv.use_uv('touch "$BEGUN"; read line < "$GO"')
    process = with_uv.begin()
    with_uv.wait_until_uv_begins()
    os.killpg(process.pid, signal.SIGINT)
    stopped = ended(process)
    assert stopped.code == 130
    assert stopped.lines[1:] == ["Stopped before .venv was finished.", "The next start begins it again."]
    assert_inside(with_uv.start(PATH=path), with_uv)


# What fails, and what it says


def test_the_door_can_be_read_by_pythons_that_are_too_old() -> None:
    ast.parse((ROOT / "server.py").read_text(encoding="utf-8"), feature_version=(3, 7))


def test_a_python_that_is_too_old_is_named_with_the_remedies(
    door: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(door, "OLDEST_PYTHON", (9, 99))
    monkeypatch.setattr(door, "PYTHON", str(tmp_path / "no python"))
    with pytest.raises(SystemExit) as stopped:
        door.hand_over()
    said = capsys.readouterr().err
    assert stopped.value.code == 1
    assert "needs Python 9.99 or newer" in said
    assert f"is Python {'.'.join(map(str, sys.version_info[:3]))}" in said
    assert "`python9.99 server.py`" in said
    assert "`uv run server.py`" in said


@pytest.mark.parametrize("minor", [6, 7, 8, 9, 10])
def test_a_real_python_that_is_too_old_says_so(checkout: Checkout, minor: int) -> None:
    python = old_python(minor)
    if python is None:
        pytest.skip(f"no Python 3.{minor} here")
    start = checkout.start(python=python)
    assert_failed(start, "needs Python 3.11 or newer", f"is Python 3.{minor}.", "uv run server.py")
    assert not checkout.venv.exists()


def test_a_python_that_is_too_old_can_still_open_a_venv_that_is_right(made: Checkout) -> None:
    python = old_python(8) or old_python(9) or old_python(10)
    if python is None:
        pytest.skip("no Python 3.8 to 3.10 here")
    assert_inside(made.start(python=python), made)


def test_without_network_uv_fails_with_the_remedy_and_leaves_nothing_behind(with_uv: Checkout, tmp_path: Path) -> None:
    start = with_uv.start(UV_OFFLINE="1", UV_CACHE_DIR=str(tmp_path / "empty"))
    assert_failed(start, "Network connectivity is disabled", "If this machine is not connected, connect it")
    assert not with_uv.venv.exists()
    assert_inside(with_uv.start(), with_uv)


@pytest.mark.slow
def test_without_network_pip_fails_with_the_remedy_and_leaves_nothing_behind(checkout: Checkout) -> None:
    needs_ensurepip(checkout.python)
    start = checkout.start(PIP_NO_INDEX="1", PIP_CONFIG_FILE=os.devnull)
    assert_failed(start, "No matching distribution found for uv", "If this machine is not connected, connect it")
    assert not checkout.venv.exists()


def test_tests_that_cannot_be_had_without_network_do_not_spoil_the_running(made: Checkout, tmp_path: Path) -> None:
    start = made.start("test", UV_OFFLINE="1", UV_CACHE_DIR=str(tmp_path / "empty"))
    assert_failed(start, "If this machine is not connected, connect it")
    run = made.start("run")
    assert_inside(run, made)
    assert run.said == ""


def test_a_python_without_ensurepip_names_the_package_that_brings_it(checkout: Checkout, tmp_path: Path) -> None:
    python = copy_of_python(tmp_path / "debian", without="ensurepip")
    start = checkout.start(python=python)
    assert_failed(start, "No module named ensurepip", "apt install python3-venv")
    assert not checkout.venv.exists()


def test_a_python_without_venv_names_the_package_that_brings_it(checkout: Checkout, tmp_path: Path) -> None:
    python = copy_of_python(tmp_path / "debian", without="venv")
    assert_failed(checkout.start(python=python), "No module named 'venv'", "apt install python3-venv")


@pytest.mark.slow
def test_with_uv_a_python_without_ensurepip_is_enough(with_uv: Checkout, tmp_path: Path) -> None:
    python = copy_of_python(tmp_path / "debian", without="ensurepip")
    assert_inside(with_uv.start(python=python), with_uv)


def test_a_uv_that_does_not_start_is_as_good_as_none(checkout: Checkout, tmp_path: Path) -> None:
    checkout.use_uv("")
    (tmp_path / "other-tools" / "uv").write_text("#!/bin/sh\nexit 127\n", encoding="utf-8")
    python = copy_of_python(tmp_path / "debian", without="ensurepip")
    assert_failed(checkout.start(python=python), "No module named ensurepip")


def test_a_uv_that_is_too_old_for_the_lock_file_is_as_good_as_none(checkout: Checkout, tmp_path: Path) -> None:
    checkout.use_uv("exit 3", version="0.4")
    python = copy_of_python(tmp_path / "debian", without="ensurepip")
    assert_failed(checkout.start(python=python), "No module named ensurepip")


@pytest.mark.slow
def test_another_uv_than_the_pinned_one_is_refused(checkout: Checkout, tmp_path: Path) -> None:
    """One of the same name and version, but not with one of the hashes that its makers published."""
    needs_ensurepip(checkout.python)
    version = pinned_uv()[0]
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    with zipfile.ZipFile(shelf / f"uv-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"uv-{version}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: uv\nVersion: {version}\n")
        wheel.writestr(f"uv-{version}.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"uv-{version}.dist-info/RECORD", "")
        wheel.writestr("uv.py", "print('uv 9.9.0')")
    offline = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": str(shelf)}
    assert_failed(checkout.start(**offline), "Got  ", "not the uv that this project pins")
    assert not checkout.venv.exists()


def test_one_version_of_uv_is_pinned_with_the_hash_of_every_wheel() -> None:
    version, hashes = pinned_uv()
    assert len(hashes) == len(set(hashes)) >= 15, "one for each platform"
    left = (ROOT / PINNED).read_text(encoding="utf-8").replace(f"uv=={version}", "")
    for digest in hashes:
        left = left.replace(f"--hash=sha256:{digest}", "")
    assert [line for line in left.splitlines() if line.strip(" \\") and not line.startswith("#")] == []
    assert "uv pip compile" in left, "how it is brought up to date"


def pinned_uv() -> tuple[str, list[str]]:
    """The version of uv that the door installs, and the hashes that it takes."""
    text = (ROOT / PINNED).read_text(encoding="utf-8")
    (version,) = re.findall(r"^uv==([\d.]+) ", text, re.MULTILINE)
    return version, re.findall(r"--hash=sha256:([0-9a-f]{64})\b", text)


def test_a_full_disk_that_uv_tells_of_is_named(checkout: Checkout) -> None:
    checkout.use_uv("echo 'failed to copy file: No space left on device (os error 28)' >&2; exit 2")
    assert_failed(checkout.start(), "No space left on device", "The disk is full: free about 500 MB")


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "The disk is full: free about 500 MB"),
        (errno.EACCES, "Make the project's directory and its .venv writable"),
        (errno.EROFS, "Copy the project to a disk that can be written"),
        (errno.EIO, "Mend that, then start again."),
    ],
)
def test_a_disk_that_cannot_be_written_is_named_with_the_remedy(
    door: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    number: int,
    remedy: str,
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number), str(tmp_path))

    monkeypatch.setattr(door, "PYTHON", str(tmp_path / "no python"))
    monkeypatch.setattr(door, "PACKAGES", ("no_such_package",))
    monkeypatch.setattr(door, "make_empty", refuse)
    with pytest.raises(SystemExit) as stopped:
        door.hand_over()
    assert stopped.value.code == 1
    assert remedy in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_checkout_that_cannot_be_written_is_named_with_the_remedy(checkout: Checkout) -> None:
    checkout.directory.chmod(0o500)
    assert_failed(checkout.start(), "Permission denied", "Make the project's directory and its .venv writable")


def test_waiting_for_another_start_has_an_end(
    door: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(door, "PATIENCE", 1)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    path = tmp_path / "door"
    path.touch()
    with path.open() as mine, path.open() as others:
        fcntl.flock(others, fcntl.LOCK_EX)
        with pytest.raises(SystemExit) as stopped:
            door.wait_for_turn(mine)
    assert stopped.value.code == 1
    assert "End it, then start again." in capsys.readouterr().err


def test_a_disk_without_locks_names_the_way_without_them(
    door: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (ROOT / "server.py").open() as file, pytest.raises(SystemExit) as stopped:
        door.wait_for_turn(file)
    assert stopped.value.code == 1
    assert "Make it with `uv sync`" in capsys.readouterr().err


# What must agree with the rest of the project


def test_what_the_door_looks_for_is_what_the_project_asks_for(door: ModuleType) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["requires-python"] == ">=" + ".".join(map(str, door.OLDEST_PYTHON))
    sold_as = importlib.metadata.packages_distributions()
    for packages, asked in (
        (door.PACKAGES, project["project"]["dependencies"]),
        (door.TEST_PACKAGES, project["dependency-groups"]["dev"]),
    ):
        for package in packages:
            assert any(requirement.startswith(tuple(sold_as[package])) for requirement in asked), package


def test_behind_the_door_are_the_commands() -> None:
    start = subprocess.run(
        [sys.executable, str(ROOT / "server.py"), "--version"], capture_output=True, encoding="utf-8"
    )
    assert start.returncode == 0, start.stderr
    assert start.stdout.startswith(NAME)


def change(path: Path) -> None:
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")


def take_away(checkout: Checkout, package: str) -> None:
    for place in checkout.site_packages.glob(f"{package}*"):
        shutil.rmtree(place) if place.is_dir() else place.unlink()


def old_python(minor: int) -> str | None:
    """A Python 3.minor of this machine, if it has one that starts."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = [shutil.which(f"python3.{minor}"), *map(str, pyenv.glob(f"versions/3.{minor}.*/bin/python"))]
    look = f"import sys; sys.exit(sys.version_info[:2] != (3, {minor}))"
    for python in filter(None, found):
        if subprocess.call([python, "-c", look], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0:
            return python
    return None


def copy_of_python(directory: Path, without: str = "") -> str:
    """The Python beneath this environment, without its packages, and without one module of its standard library, as
    Debian ships it: ensurepip comes with python3-venv.
    """
    version = f"python3.{sys.version_info.minor}"
    library = directory / "lib" / version
    (library / "site-packages").mkdir(parents=True)
    for entry in Path(sys.base_prefix, "lib", version).iterdir():
        if entry.name not in ("site-packages", without):
            (library / entry.name).symlink_to(entry)
    (directory / "bin").mkdir()
    beneath = os.path.realpath(Path(sys.base_prefix, "bin", version))
    copy = str(shutil.copy(beneath, directory / "bin" / version)) if os.path.exists(beneath) else "none"
    look = f"import json, sys; sys.exit(sys.prefix != {str(directory)!r})"
    if subprocess.call(["env", copy, "-c", look], stderr=subprocess.DEVNULL) != 0:
        pytest.skip(f"the Python at {sys.base_prefix} cannot be copied")
    return copy


def needs_ensurepip(python: str) -> None:
    if subprocess.call([python, "-c", "import ensurepip"], stderr=subprocess.DEVNULL) != 0:
        pytest.skip("the Python beneath this environment has no ensurepip")
