"""The flake, run by a real Nix on a copy of the project: check, develop, run, new.

Its inputs come from GitHub, which tests do not ask: tests/engine/nix/stub stands in for all four, and makes its virtual
environments with uv from the same lock file. So this is the flake's own logic; the real inputs are not tested here.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.app_name import NAME, PREFIX, SLUG
from tests.engine.conftest import PATIENCE, ROOT
from tests.engine.project import NO_UV, tool

PAGE = (ROOT / "docs" / "running.md").read_text(encoding="utf-8")
STUB = f"path:{Path(__file__).parent / 'stub'}"
INPUTS = ("nixpkgs", "pyproject-nix", "uv2nix", "pyproject-build-systems")
STUBBED = ["--impure", "--no-write-lock-file", *(word for name in INPUTS for word in ("--override-input", name, STUB))]
CONFIGURATION = """
experimental-features = nix-command flakes
sandbox = false
build-users-group =
substituters =
flake-registry =
"""
# What uv needs of the machine, besides where it is: its cache, and the way out where the cache is empty.
OF_UV = ("HOME", "PATH", "UV_CACHE_DIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "https_proxy", "ALL_PROXY")
MISSPELLED = {
    "a set of dependencies": ("flake.nix", "workspace.deps.default", "workspace.deps.defaults", "'defaults' missing"),
    "a file": ("flake.nix", "./static\n", "./statics\n", "pathExists"),
    "a hash": ("uv.lock", '"sha256:', '"sha256;', "uv.lock"),
}


@dataclass
class Nix:
    """Nix with a store of its own under `directory`, where `project` is a copy of the project."""

    directory: Path
    environment: dict[str, str]

    @property
    def project(self) -> Path:
        return self.directory / "project"

    @property
    def home(self) -> Path:
        return self.directory / "home"

    def command(self, verb: str, *rest: str, of: str = "", project: Path | None = None) -> list[str]:
        """`nix VERB` on the flake of a project, or on the attribute of it that `of` names."""
        flake = f"path:{project or self.project}" + (f"#{of}" if of else "")
        return ["nix", *verb.split(), flake, *STUBBED, *rest]

    def start(self, command: list[str], **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            cwd=self.project,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def end(self, command: list[str]) -> tuple[int, str, str]:
        """Exit code, output and errors of a command."""
        process = self.start(command)
        said, errors = process.communicate(timeout=4 * PATIENCE)
        return process.returncode, said, errors

    def ask(self, verb: str, *rest: str, of: str = "", project: Path | None = None) -> str:
        code, said, errors = self.end(self.command(verb, *rest, of=of, project=project))
        assert code == 0, errors
        return said

    @contextmanager
    def serving(self, verb: str, *rest: str, **environment: str) -> Iterator[str]:
        """The address of the app that the command starts; it ends well."""
        process = self.start(self.command(verb, *rest), **{f"{PREFIX}OPEN": "0", f"{PREFIX}PORT": "0"}, **environment)
        assert process.stdout is not None
        found = re.search(r"https?://\S+", process.stdout.readline())
        if found:
            try:
                yield found[0]
            finally:
                process.send_signal(signal.SIGTERM)
        errors = process.communicate(timeout=PATIENCE)[1]
        assert found, errors
        assert process.returncode == 0, errors


@pytest.fixture(scope="module")
def nix(tmp_path_factory: pytest.TempPathFactory) -> Nix:
    program = tool("nix", "no Nix on this machine: install the system's package `nix-bin`")
    uv = tool("uv", NO_UV)
    directory = tmp_path_factory.mktemp("nix")
    copy_of_project(directory / "project")
    (directory / "home").mkdir()
    return Nix(
        directory,
        {
            "PATH": os.pathsep.join([str(Path(program).parent), "/usr/bin", "/bin"]),
            "HOME": str(directory / "home"),
            "NIX_CONFIG": CONFIGURATION,
            "NIX_STORE_DIR": str(directory / "store"),
            "NIX_STATE_DIR": str(directory / "state"),
            "NIX_LOG_DIR": str(directory / "log"),
            "NIX_CONF_DIR": str(directory / "configuration"),
            "STUB_BASH": tool("bash", "no bash on this machine"),
            "STUB_PYTHON_VERSION": "{}.{}".format(*sys.version_info),
            "STUB_PYTHON": str(Path(sys.base_prefix, "bin", "python3")),
            "STUB_UV": str(with_what_it_knows(uv, directory / "uv")),
        },
    )


def copy_of_project(target: Path) -> None:
    """As a commit has it: without what .gitignore leaves out."""
    ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").split()]
    shutil.copytree(ROOT, target, ignore=shutil.ignore_patterns(".git", *ignored))


def with_what_it_knows(uv: str, script: Path) -> Path:
    """A command that runs uv as the tests could, from builds that know nothing of this machine."""
    known = [f"export {name}={shlex.quote(os.environ[name])}" for name in OF_UV if name in os.environ]
    script.write_text("\n".join(["#!/bin/sh", *known, f'exec {shlex.quote(uv)} "$@"', ""]), encoding="utf-8")
    script.chmod(0o700)
    return script


@pytest.fixture(scope="module")
def system(nix: Nix) -> str:
    found: str = json.loads(
        subprocess.check_output(
            ["nix", "eval", "--impure", "--json", "--expr", "builtins.currentSystem"], env=nix.environment
        )
    )
    return found


def test_the_lock_file_locks_what_the_flake_asks_for() -> None:
    flake = (ROOT / "flake.nix").read_text(encoding="utf-8")
    nodes = json.loads((ROOT / "flake.lock").read_text(encoding="utf-8"))["nodes"]
    assert nodes.pop("root") == {"inputs": {name: name for name in sorted(INPUTS)}}
    assert nodes.keys() == set(INPUTS)
    for name, node in nodes.items():
        asked, locked = node["original"], node["locked"]
        address = "/".join(filter(None, [asked["owner"], asked["repo"], asked.get("ref")]))
        written = re.search(rf'^    {name}(?:\.url = | = {{\n      url = )"github:(.+)";', flake, re.MULTILINE)
        assert written, name
        assert written[1] == address
        follows = re.search(rf"^    {name} = {{\n(.*?)^    }};", flake, re.MULTILINE | re.DOTALL)
        names = re.findall(r'inputs\.(\S+)\.follows = "(\S+)";', follows[1]) if follows else []
        assert node.get("inputs", {}) == {name: [followed] for name, followed in names}
        assert (locked["type"], locked["owner"], locked["repo"]) == ("github", asked["owner"], asked["repo"])
        assert re.fullmatch(r"[0-9a-f]{40}", locked["rev"])
        assert re.fullmatch(r"sha256-[\w+/]{43}=", locked["narHash"])
        assert locked["lastModified"] > 0


def test_everything_that_the_flake_offers_can_be_evaluated(nix: Nix) -> None:
    nix.ask("flake check", "--no-build")
    for offered in ("packages", "devShells", "checks", "formatter"):
        systems = json.loads(nix.ask("eval", "--json", "--apply", "builtins.attrNames", of=offered))
        assert systems == ["aarch64-darwin", "aarch64-linux", "x86_64-linux"], offered


@pytest.mark.slow
def test_the_app_imports_with_the_packages_of_a_run_alone(nix: Nix, system: str) -> None:
    nix.ask("build", "--no-link", of=f"checks.{system}.imports")


@pytest.mark.slow
def test_the_shell_has_the_packages_of_every_group_and_uv_that_installs_nothing(nix: Nix) -> None:
    look = "import sys, fasthtml, pytest, mypy, zttp, uvicorn_worker, django; print(sys.prefix)"
    for python in (["python"], ["uv", "run", "python"]):
        prefix = nix.ask("develop", "-c", *python, "-c", look).strip()
        assert prefix.startswith(str(nix.directory / "store")), python
    assert not (nix.project / ".venv").exists()


def test_the_hook_of_the_shell_only_sets_variables(nix: Nix, system: str) -> None:
    hook = nix.ask("eval", "--raw", of=f"devShells.{system}.default.shellHook")
    assert [line for line in hook.splitlines() if not re.match(r"(export|unset) [\w ]+(=\w+)?$", line)] == []


def test_the_app_answers_in_the_shell_and_makes_no_venv(nix: Nix) -> None:
    with nix.serving("develop", "-c", "python", "server.py") as address:
        assert httpx.get(address, timeout=PATIENCE, follow_redirects=True).status_code == 200
    assert (nix.project / "data" / "app.db").exists()
    assert not (nix.project / ".venv").exists()


@pytest.mark.parametrize(
    ("variable", "directory"),
    [
        ("", f"home/.local/share/{SLUG}"),
        pytest.param("XDG_DATA_HOME", f"elsewhere/{SLUG}", marks=pytest.mark.slow),
    ],
)
def test_the_app_runs_from_the_store_with_the_data_where_the_person_keeps_it(
    nix: Nix, variable: str, directory: str
) -> None:
    given = {variable: str(nix.directory / "elsewhere")} if variable else {}
    with nix.serving("run", **given) as address:
        page = httpx.get(address, timeout=PATIENCE, follow_redirects=True)
        assert page.status_code == 200
        for asset in re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text):
            assert httpx.get(address + asset, timeout=PATIENCE).status_code == 200, asset
    assert (nix.directory / directory / "app.db").exists()


def test_the_commands_beside_run_are_there_too(nix: Nix) -> None:
    assert NAME in nix.ask("run", "--", "--version")
    code, said, errors = nix.end(nix.command("run", "--", "doctor", "--port", "0"))
    assert "ok packages: those of uv.lock\n" in said
    assert "ok uv.lock: in step with pyproject.toml\n" in said
    wrong = [line for line in said.splitlines() if not line.startswith("ok ")]
    assert (len(wrong), code) in ((0, 0), (1, 1)), said + errors
    assert all(line.startswith("No Chromium") for line in wrong)


@pytest.mark.parametrize("command", [("new", "recipe", "title:str"), ("rename", "My App"), ("drop", "recipe")])
def test_what_edits_the_project_says_in_one_line_that_the_store_is_not_the_place(
    nix: Nix, command: tuple[str, ...]
) -> None:
    code, said, errors = nix.end(nix.command("run", "--", *command))
    (line,) = [line for line in errors.splitlines() if line.startswith("server.py:")]
    assert (code, said, "Traceback" in errors) == (2, "", False)
    assert line.startswith("server.py: This command edits the project, and /")
    assert "Nothing was changed. Run it in your own checkout: python3 server.py" in line


def test_the_tests_are_not_in_the_store_and_nothing_is_installed_for_them(nix: Nix) -> None:
    code, said, errors = nix.end(nix.command("run", "--", "test"))
    (line,) = [line for line in errors.splitlines() if line.startswith("server.py:")]
    assert (code, said, "Traceback" in errors, "making .venv" in errors) == (2, "", False, False)
    assert "is a copy of the project without its tests. Run them in your own checkout" in line


def test_the_package_says_which_program_it_is_run_by(nix: Nix, system: str) -> None:
    assert nix.ask("eval", "--raw", of=f"packages.{system}.default.meta.mainProgram") == SLUG
    assert "apps = " not in (nix.project / "flake.nix").read_text(encoding="utf-8")


def test_direnv_opens_the_shell_of_the_flake() -> None:
    assert (ROOT / ".envrc").read_text(encoding="utf-8") == "use flake\n"


def test_the_shell_has_a_browser_for_the_tests_on_linux(nix: Nix) -> None:
    names = 'map (package: builtins.head (builtins.match "[^-]*-([a-z-]+).*" (baseNameOf (toString package))))'
    for system, has in (("x86_64-linux", True), ("aarch64-linux", True), ("aarch64-darwin", False)):
        packages = nix.ask("eval", "--json", "--apply", names, of=f"devShells.{system}.default.nativeBuildInputs")
        assert ("chromium" in json.loads(packages)) == has
        assert {"git", "uv"} <= set(json.loads(packages))


def test_python_is_one_that_the_project_asks_for(nix: Nix, tmp_path: Path, system: str) -> None:
    project = Path(shutil.copytree(nix.project, tmp_path / "project"))
    settings = (project / "pyproject.toml").read_text(encoding="utf-8")
    (asked,) = re.findall(r'^requires-python = "(.*)"$', settings, re.MULTILINE)
    (project / "pyproject.toml").write_text(settings.replace(f'"{asked}"', '">=3.99"'), encoding="utf-8")
    code, _, errors = nix.end(nix.command("eval", "--raw", of=f"packages.{system}.default.outPath", project=project))
    assert code != 0
    assert "attribute 'python399' missing" in errors


def test_data_that_nix_copies_into_its_store_are_warned_of(nix: Nix, tmp_path: Path, system: str) -> None:
    project = Path(shutil.copytree(nix.project, tmp_path / "project", ignore=shutil.ignore_patterns("data")))
    command = nix.command("eval", "--raw", of=f"devShells.{system}.default.name", project=project)
    assert "warning: data/" not in nix.end(command)[2]
    (project / "data").mkdir()
    (project / "data" / "session.key").write_text("secret", encoding="utf-8")
    assert "warning: data/ was copied into the Nix store, which every account" in nix.end(command)[2]
    assert "git init && git add -A" in nix.ask("eval", "--raw", of="templates.default.welcomeText")


MODULE = """module: (module {{
  pkgs = {{ }};
  config.services.{slug} = {{
    enable = true;
    package = {{ outPath = "/package"; meta.mainProgram = "{slug}"; }};
    settings = {settings};
  }};
}}).config"""


def module(nix: Nix, settings: str) -> dict[str, Any]:
    """What the module for NixOS makes of these settings."""
    applied = MODULE.format(slug=SLUG, settings=settings)
    found: dict[str, Any] = json.loads(nix.ask("eval", "--json", "--apply", applied, of="nixosModules.default"))
    return found


def test_the_service_of_nixos_is_as_confined_as_that_of_the_documentation(nix: Nix) -> None:
    made = module(nix, '{ proxy-headers = true; allow-host = [ "app.example.org" "b" ]; port = 80; open = false; }')
    service = made["systemd"]["services"][SLUG]
    assert service["environment"] == {
        f"{PREFIX}DATA": f"/var/lib/{SLUG}",
        f"{PREFIX}OPEN": "0",
        f"{PREFIX}LOG_FORMAT": "json",
        f"{PREFIX}PROXY_HEADERS": "1",
        f"{PREFIX}ALLOW_HOST": "app.example.org b",
        f"{PREFIX}PORT": "80",
    }
    (unit,) = re.findall(r"^```ini\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    documented: dict[str, list[str]] = {}
    for line in re.search(r"\[Service\]\n(.*)\[Install\]", unit, re.DOTALL)[1].splitlines():  # type: ignore[index]
        if "=" in line and not line.startswith("#"):
            documented.setdefault(line.partition("=")[0], []).append(line.partition("=")[2])
    here = {"WorkingDirectory", "ReadOnlyPaths", "Environment", "ExecStart"}
    written = {True: "yes", False: "no"}
    given = {
        name: [str(written.get(each, each) if isinstance(each, bool) else each) for each in values]
        for name, value in service["serviceConfig"].items()
        for values in [value if isinstance(value, list) else [value]]
    }
    assert {name: given[name] for name in documented.keys() - here} == {
        name: values for name, values in documented.items() if name not in here
    }
    assert given.keys() - documented.keys() == {"Group"}
    assert given["ExecStart"] == [f"/package/bin/{SLUG}"]
    assert made["users"]["users"][SLUG]["isSystemUser"] is True


def test_a_service_for_other_machines_takes_connections_from_them(nix: Nix) -> None:
    of = {host: module(nix, f'{{ host = "{host}"; }}') for host in ("0.0.0.0", "::1")}
    services = {host: made["systemd"]["services"][SLUG]["serviceConfig"] for host, made in of.items()}
    assert "IPAddressDeny" not in services["0.0.0.0"]
    assert services["::1"]["IPAddressDeny"] == "any"


def test_a_new_project_is_the_whole_project(nix: Nix, tmp_path: Path) -> None:
    before = {path.relative_to(nix.project) for path in copied(nix.project)}
    new = tmp_path / "new"
    code, _, errors = nix.end(["nix", "flake", "new", "-t", f"path:{nix.project}", str(new)])
    assert code == 0, errors
    assert {path.relative_to(new) for path in copied(new)} == before
    nix.ask("flake check", "--no-build", project=new)


def copied(directory: Path) -> Iterator[Path]:
    return (path for path in directory.rglob("*") if path.is_file())


@pytest.mark.parametrize("what", MISSPELLED)
def test_what_is_misspelled_is_no_package(nix: Nix, tmp_path: Path, what: str) -> None:
    name, right, wrong, reason = MISSPELLED[what]
    project = Path(shutil.copytree(nix.project, tmp_path / "project"))
    text = (project / name).read_text(encoding="utf-8")
    assert right in text
    (project / name).write_text(text.replace(right, wrong), encoding="utf-8")
    code, _, errors = nix.end(nix.command("build", "--no-link", project=project))
    assert code != 0
    assert reason in errors
