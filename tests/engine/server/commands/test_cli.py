"""The command line: what a person may write after `python3 server.py`, and what they read when that cannot be."""

import contextlib
import io
import logging.config
import os
import re
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from click.testing import CliRunner

import server.commands.cli
import server.run
import server.sharing.sign_in_token
from server.app_name import NAME, PREFIX
from server.commands.cli import commands, main
from server.settings import Settings
from tests.engine.conftest import PROJECT, ROOT

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def server_py(*arguments: object, cwd: Path = PROJECT, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python3 server.py …`, to its end."""
    return subprocess.run(
        [sys.executable, PROJECT / "server.py", *map(str, arguments)],
        env={**os.environ, f"{PREFIX}OPEN": "0", **environment},
        cwd=cwd,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )


def command(*arguments: object, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """The same without a process of its own, for what ends before it would serve."""
    printed, errors = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["server.py", *map(str, arguments)]),
        mock.patch.dict(os.environ, environment),
        mock.patch.object(server.run, "serve", side_effect=AssertionError("this was to be refused")),
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(errors),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    return subprocess.CompletedProcess(arguments, int(ended.value.code or 0), printed.getvalue(), errors.getvalue())


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings of the servers that were started; nothing is really served."""
    served: list[Settings] = []

    def serve(settings: Settings) -> int:
        assert Settings.from_environment(os.environ) == settings, "workers and reloaded processes read it there"
        served.append(settings)
        return 0

    monkeypatch.setattr(server.run, "serve", serve)
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.chdir(ROOT)
    return served


# Any file will do where only its name is passed on.
PEM = str(ROOT / "LICENSE")
CHOICES: list[tuple[list[str], dict[str, str], dict[str, Any]]] = [
    (["--host", "::1"], {f"{PREFIX}HOST": "::1"}, {"host": "::1"}),
    (["--port", "8000"], {f"{PREFIX}PORT": "8000"}, {"port": 8000}),
    (["--data", "/tmp"], {f"{PREFIX}DATA": "/tmp"}, {"data": Path("/tmp").resolve()}),
    (["--workers", "3"], {f"{PREFIX}WORKERS": "3"}, {"workers": 3}),
    (["--reload"], {f"{PREFIX}RELOAD": "1"}, {"reload": True}),
    (["--no-reload"], {f"{PREFIX}RELOAD": "0"}, {"reload": False}),
    (["--open"], {f"{PREFIX}OPEN": "true"}, {"open": True}),
    (["--no-open"], {f"{PREFIX}OPEN": "false"}, {"open": False}),
    (
        ["--allow-host", "tasks.test", "--allow-host", "10.0.0.7"],
        {f"{PREFIX}ALLOW_HOST": "tasks.test 10.0.0.7"},
        {"allow_host": ("tasks.test", "10.0.0.7")},
    ),
    (["--proxy-headers"], {f"{PREFIX}PROXY_HEADERS": "1"}, {"proxy_headers": True}),
    (["--keep-copies", "7"], {f"{PREFIX}KEEP_COPIES": "7"}, {"keep_copies": 7}),
    (["--max-upload", "20M"], {f"{PREFIX}MAX_UPLOAD": "20M"}, {"max_upload": 20 * 1024 * 1024}),
    (
        ["--security-contact", "tel:+1"],
        {f"{PREFIX}SECURITY_CONTACT": "tel:+1"},
        {"security_contact": "tel:+1"},
    ),
    (["--tls"], {f"{PREFIX}TLS": "1"}, {"tls": True}),
    (
        ["--cert", PEM, "--key", PEM],
        {f"{PREFIX}CERT": PEM, f"{PREFIX}KEY": PEM},
        {"cert": Path(PEM), "key": Path(PEM)},
    ),
    (["--http2"], {f"{PREFIX}HTTP2": "1"}, {"http2": True}),
    (["--editor", "zed"], {f"{PREFIX}EDITOR": "zed"}, {"editor": "zed"}),
    (["--log-format", "json"], {f"{PREFIX}LOG_FORMAT": "json"}, {"log_format": "json"}),
    (["--log-level", "debug"], {f"{PREFIX}LOG_LEVEL": "debug"}, {"log_level": "debug"}),
]


@pytest.mark.parametrize(("options", "environment", "chosen"), CHOICES, ids=lambda each: str(each))
def test_every_option_is_also_a_variable(
    served: list[Settings], options: list[str], environment: dict[str, str], chosen: dict[str, Any]
) -> None:
    for arguments, variables in ((["run", *options], {}), (options, {}), ([], environment), (["run"], environment)):
        os.environ.clear()
        CliRunner().invoke(commands, arguments, env=variables, catch_exceptions=False)
        settings = served.pop()
        assert {name: getattr(settings, name) for name in chosen} == chosen


def test_there_is_an_option_for_every_setting() -> None:
    shown = command("run", "--help").stdout
    for name in Settings().__dataclass_fields__:
        assert f"--{name.replace('_', '-')}" in shown
        assert any(f"{PREFIX}{name.upper()}" in variables for _, variables, _ in CHOICES)


def test_the_command_line_has_the_last_word(served: list[Settings]) -> None:
    CliRunner().invoke(commands, ["--port", "1234", "--no-reload"], env={f"{PREFIX}PORT": "80", f"{PREFIX}RELOAD": "1"})
    assert (served[0].port, served[0].reload) == (1234, False)


def test_a_directory_is_found_from_where_the_person_stands(
    served: list[Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for options, variables in ((["--data", "mine"], {}), ([], {f"{PREFIX}DATA": "mine"}), ([], {})):
        monkeypatch.chdir(tmp_path)
        os.environ.clear()
        CliRunner().invoke(commands, options, env=variables)
    assert [settings.data for settings in served] == [tmp_path / "mine", tmp_path / "mine", ROOT / "data"]


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_says_what_there_is(option: str) -> None:
    shown = command(option)
    assert shown.returncode == 0
    for word in ("Usage: server.py", "run", "test", "--version"):
        assert word in shown.stdout
    assert shown.stderr == ""
    of_run = command("run", option)
    assert of_run.returncode == 0
    for word in ("127.0.0.1", "5001", "(data)", "default: info", "--reload / --no-reload"):
        assert word in re.sub(r"\s+", " ", of_run.stdout)


def test_the_version_is_that_of_the_project() -> None:
    shown = server_py("--version")
    assert (shown.returncode, shown.stdout.split()) == (0, [*f"{NAME},".split(), "version", VERSION])


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["--port", "70000"], {}, ["--port", "65535", "70000"]),
        (["--port", "http"], {}, ["--port", "http", "integer"]),
        (["--workers", "0"], {}, ["--workers", "at least 1"]),
        (["--workers", "2", "--reload"], {}, ["--reload", "one worker"]),
        (["--log-level", "loud"], {}, ["--log-level", "loud", "warning"]),
        (["--prot", "80"], {}, ["--prot", "--port"]),
        (["--port"], {}, ["--port", "argument"]),
        (["--reload=yes"], {}, ["--reload"]),
        (["serve"], {}, ["serve"]),
        (["run", "extra"], {}, ["extra"]),
        ([], {f"{PREFIX}PORT": "http"}, ["--port", "http"]),
        ([], {f"{PREFIX}WORKERS": "0"}, ["--workers", "0"]),
        ([], {f"{PREFIX}RELOAD": "maybe"}, ["--reload", "maybe"]),
        ([], {f"{PREFIX}OPEN": "maybe"}, ["--open", "maybe"]),
        ([], {f"{PREFIX}LOG_LEVEL": "loud"}, ["--log-level", "loud"]),
        (["--data", ROOT / "pyproject.toml"], {}, ["--data", "pyproject.toml", "file"]),
        ([], {f"{PREFIX}DATA": str(ROOT / "pyproject.toml")}, ["--data", "pyproject.toml"]),
    ],
    ids=lambda each: " ".join(map(str, each)) if isinstance(each, list | dict) else None,
)
def test_what_cannot_be_used_is_one_line_that_says_so(
    arguments: list[str], environment: dict[str, str], words: list[str]
) -> None:
    is_refused(command(*arguments, **environment), *words)


def is_refused(ended: subprocess.CompletedProcess[str], *words: str) -> None:
    assert (ended.returncode, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("server.py: ")
    for word in words:
        assert word in line


def test_an_address_that_is_none_of_this_machine_is_one_line_that_says_so() -> None:
    is_refused(server_py(**{f"{PREFIX}HOST": "example.com"}), "example.com")


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_port_that_is_taken_is_one_line_that_says_so(family: socket.AddressFamily, host: str) -> None:
    with socket.socket(family) as taken:
        try:
            taken.bind((host, 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
        taken.listen()
        port = taken.getsockname()[1]
        ended = server_py("--host", host, "--port", port)
    is_refused(ended, f"Port {port} is in use", "--port")


@pytest.mark.parametrize("place", ["file/data", "locked/data"])
def test_a_directory_that_cannot_be_written_is_one_line_that_says_so(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("not a directory", encoding="utf-8")
    (tmp_path / "locked").mkdir(mode=0o500)
    if place.startswith("locked") and os.access(tmp_path / "locked", os.W_OK):
        pytest.skip("no directory is locked to root")
    ended = server_py("--port", 0, "--data", tmp_path / place)
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert str(tmp_path / place) in line
    assert "--data" in line
    assert (tmp_path / "file").read_text(encoding="utf-8") == "not a directory"


def test_the_tests_are_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = server_py("test", "--version", cwd=tmp_path)
    assert (shown.returncode, shown.stdout[:6]) == (0, "pytest")

    called: list[list[str]] = []
    monkeypatch.setattr(subprocess, "call", lambda command, **options: called.append(command) or 3)
    ended = CliRunner().invoke(commands, ["test", "tests/app", "-k", "milk", "--help"])
    assert ended.exit_code == 3
    assert called == [[sys.executable, "-m", "pytest", "tests/app", "-k", "milk", "--help"]]


def test_the_token_is_shown_with_its_link_and_kept(tmp_path: Path) -> None:
    shown = server_py("token", "--data", tmp_path / "data", "--host", "tasks.test", "--port", 8000, "--tls")
    token = (tmp_path / "data" / "token").read_text(encoding="utf-8")
    assert shown.returncode == 0
    assert shown.stdout.endswith(f" https://tasks.test:8000/sign-in?token={token}\n")
    again = command(
        "token", **{f"{PREFIX}DATA": str(tmp_path / "data"), f"{PREFIX}HOST": "fd00::2", f"{PREFIX}PORT": "81"}
    )
    assert again.stdout.endswith(f" http://[fd00::2]:81/sign-in?token={token}\n")


def test_the_link_is_for_other_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # In a sandbox a machine has none.
    monkeypatch.setattr(server.sharing.sign_in_token, "_own_address", lambda family: "192.0.2.9")
    shown = command("token", "--data", tmp_path).stdout.splitlines()
    of_this_machine = r"//(localhost|127\.|0\.0\.0\.0|\[::)"
    assert not re.search(of_this_machine, "\n".join(shown[:-1]))
    assert re.fullmatch(
        r"Sign in from another account of this machine: http://127\.0\.0\.1:5001/sign-in\?token=\S+", shown[-1]
    )
    assert "another account" not in command("token", "--data", tmp_path, "--host", "192.0.2.7").stdout


def test_a_new_token_is_asked_for(tmp_path: Path) -> None:
    tokens = [command("token", "--data", tmp_path, *more).stdout[-33:] for more in ([], [], ["--new"], [])]
    assert tokens[0] == tokens[1] != tokens[2] == tokens[3]


def test_a_token_that_cannot_be_kept_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    is_refused(command("token", "--data", tmp_path / "file" / "data"), str(tmp_path / "file" / "data"))


def test_backup_and_restore_find_the_directory_as_run_does(tmp_path: Path) -> None:
    for arguments in (["backup"], ["restore", str(ROOT / "LICENSE")]):
        ended = command(*arguments, **{f"{PREFIX}DATA": str(tmp_path / "none")})
        assert (ended.returncode, ended.stdout) == (1, "")
        (line,) = ended.stderr.splitlines()
        assert str({"backup": tmp_path / "none", "restore": ROOT / "LICENSE"}[arguments[0]]) in line


@pytest.mark.parametrize(
    "arguments",
    [
        ["restore"],
        ["restore", "no.db"],
        ["backup", "a.db", "b.db"],
        ["doctor", "--port", "65536"],
        ["doctor", "--workers", "0"],
    ],
    ids=" ".join,
)
def test_what_a_command_cannot_use_is_one_line_and_nothing_is_made(tmp_path: Path, arguments: list[str]) -> None:
    ended = command(*arguments, "--data", tmp_path / "data", cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert len(ended.stderr.splitlines()) == 1
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("link", ["tcp://10.0.0.1:80", "udp://[fd00::1]:53", "tcp://db:5432"])
def test_the_address_of_a_service_of_the_same_name_is_no_port(
    served: list[Settings], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, link: str
) -> None:
    monkeypatch.setattr(logging.config, "dictConfig", lambda config: None)
    links = {"PORT": link, "SERVICE_HOST": "10.0.0.1", "SERVICE_PORT": "80", "PORT_80_TCP": link, "NAME": "/web/app"}
    environment = {PREFIX + name: value for name, value in links.items()}
    CliRunner().invoke(commands, [], env=environment, catch_exceptions=False)
    assert (served[0].host, served[0].port) == (Settings.host, Settings.port)
    words = f"{PREFIX}PORT={link} is no port of this app, and is ignored: Kubernetes"
    assert [record.getMessage()[: len(words)] for record in caplog.records] == [words]
    os.environ.clear()
    CliRunner().invoke(commands, ["--port", "80"], env=environment, catch_exceptions=False)
    assert served[1].port == 80
    assert len(caplog.records) == 1
    assert Settings.from_environment(environment) == Settings()
    assert caplog.records[1].getMessage().startswith(words)


@pytest.mark.parametrize(
    ("options", "environment"),
    [(["--data", "~/here"], {}), (["--data=~/here"], {}), ([], {f"{PREFIX}DATA": "~/here"})],
)
def test_a_home_is_found_wherever_a_path_is_named(
    served: list[Settings], tmp_path: Path, options: list[str], environment: dict[str, str]
) -> None:
    (tmp_path / "cert.pem").touch()
    environment |= {"HOME": str(tmp_path), f"{PREFIX}CERT": "~/cert.pem"}
    CliRunner().invoke(commands, [*options, "--key", "~/cert.pem"], env=environment, catch_exceptions=False)
    home = tmp_path.resolve()
    assert (served[0].data, served[0].cert, served[0].key) == (home / "here", home / "cert.pem", home / "cert.pem")
    with mock.patch.dict(os.environ, environment):
        assert Settings.from_environment({f"{PREFIX}DATA": "~/here"}).data == tmp_path / "here"


def test_a_home_that_is_not_known_is_no_directory_of_that_name() -> None:
    refused = command("--data", "~nobody-of-that-name/here")
    assert refused.returncode == 2
    assert "“~nobody-of-that-name/here” begins with a home that is not known here" in refused.stderr


@pytest.mark.parametrize("arguments", [("run",), ("doctor",), ("token",), ("backup",), ("drop", "recipe")])
def test_data_that_cannot_be_looked_at_are_not_taken_for_none(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "data").symlink_to("data")
    refused = command(*arguments, "--data", tmp_path / "data" / "mine")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "mine” cannot be looked at: Too many levels of symbolic links." in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_a_copy_to_run_only_says_where_the_tests_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(server.commands.cli, "ROOT", tmp_path)
    refused = command("test")
    (line,) = refused.stderr.splitlines()
    assert (refused.returncode, refused.stdout) == (2, "")
    assert line.startswith(f"server.py: {tmp_path} is a copy of the project without its tests. Run them in your own")
