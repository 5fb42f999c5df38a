"""The commands of `python3 server.py`: each reads its options and calls one function.

Every option of `run` can also be given in the environment, under a name that begins as server/app_name.py says.
"""

import importlib
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click_default_group import DefaultGroup

from server import standard_streams
from server.app_name import NAME, PREFIX
from server.settings import (
    LOG_FORMATS,
    LOG_LEVELS,
    Settings,
    SettingsError,
    bracketed,
    ignored,
    is_loopback,
    is_service_link,
    path,
    size,
)
from server.standard_streams import say

ROOT = Path(__file__).resolve().parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
# Where the context of a command keeps what of the environment was not meant for the app.
IGNORED = "server.ignored"
# What the app itself does for a command, by its import path, as server/run.py names the app.
BACKUPS = "app.backup.backups"
CHECKS = "app.backup.doctor_checks"
REMOVALS = "app.backup.remove_feature_data"


def main() -> None:
    """Run the command that the command line names; `run` where it names none.

    The exit code says whether that was done: 0 also where nobody read what was printed, but 1 where it was to be kept
    and could not be, as on a full disk.
    """
    standard_streams.take()
    try:
        code = commands(prog_name="server.py", standalone_mode=False)
        if not code and standard_streams.lost():
            say(f"server.py: What it printed could not be written: {standard_streams.lost()}.", error=True)
            code = 1
        sys.exit(code)
    except click.ClickException as error:
        say(f"server.py: {error.format_message()}", error=True)
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)


@click.group(
    cls=DefaultGroup, default="run", default_if_no_args=True, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(VERSION, prog_name=NAME)
def commands() -> None:
    """An app on your own machine, its data in one file that is yours."""


def _setting(name: str) -> dict[str, Any]:
    """Default and environment variable of an option of `run`."""
    return {
        "default": getattr(Settings, name),
        "envvar": PREFIX + name.upper(),
        "show_envvar": True,
        "show_default": True,
    }


class Size(click.ParamType[int]):
    """A number of bytes as people write it, like 500M."""

    name = "size"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> int:
        """The number of bytes; fails for what is no size."""
        try:
            return size(str(value))
        except SettingsError as error:
            self.fail(str(error), parameter, context)


class Port(click.ParamType[int]):
    """A port to listen on."""

    name = "integer"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> int:
        """The port; the default one where the environment speaks of another service."""
        if is_service_link("port", str(value)):
            click.get_current_context().meta[IGNORED] = ignored("port", str(value))
            return Settings.port
        port = int(click.INT.convert(value, parameter, context))
        if not 0 <= port <= 65535:
            self.fail(f"a port is a number from 0 to 65535, not {port}.", parameter, context)
        return port


class HomePath(click.Path):
    """A path in which “~” stands for a home."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        """The path; fails where no such home is known, or where it cannot be told whether something is there."""
        try:
            found = super().convert(path(str(value)), parameter, context)
            os.stat(found)
        except SettingsError as error:
            self.fail(str(error), parameter, context)
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            self.fail(f"“{value}” cannot be looked at: {error.strerror}.", parameter, context)
        return found


# A directory that is named is found from where the person stands, the default one in the project.
DATA: dict[str, Any] = _setting("data") | {
    "type": HomePath(file_okay=False, resolve_path=True, path_type=Path),
    "default": ROOT / Settings.data,
    "show_default": str(Settings.data),
    "help": "Directory of the data.",
}
FILE = HomePath(dir_okay=False, exists=True, resolve_path=True, path_type=Path)


@commands.command()
@click.option("--host", **_setting("host"), help="Address to listen on.")
@click.option("--port", type=Port(), **_setting("port"), help="Port to listen on; 0 takes a free one.")
@click.option("--data", **DATA)
@click.option("--workers", type=int, **_setting("workers"), help="Processes that answer requests.")
@click.option(
    "--reload/--no-reload",
    **_setting("reload") | {"default": None, "show_default": "on in a checkout, with one worker"},
    help="Follow the code: a saved edit shows on every open page.",
)
@click.option("--editor", **_setting("editor"), help="What opens a file from an error page, or an address of yours.")
@click.option("--open/--no-open", **_setting("open"), help="Open the page in the browser.")
@click.option(
    "--allow-host",
    multiple=True,
    **_setting("allow_host") | {"show_default": "none"},
    help="Another name that the app answers to; may be given several times.",
)
@click.option("--proxy-headers/--no-proxy-headers", **_setting("proxy_headers"), help="Trust a proxy on this machine.")
@click.option(
    "--max-upload", type=Size(), **_setting("max_upload") | {"show_default": "1G"}, help="How large a file may be."
)
@click.option("--keep-copies", type=int, **_setting("keep_copies"), help="How many copies of each sort stay.")
@click.option("--tls/--no-tls", **_setting("tls"), help="Serve https with a certificate made here.")
@click.option("--cert", type=FILE, **_setting("cert") | {"show_default": "none"}, help="Your own certificate (PEM).")
@click.option("--key", type=FILE, **_setting("key") | {"show_default": "none"}, help="The key of that certificate.")
@click.option("--http2/--no-http2", **_setting("http2"), help="Speak HTTP/2 too, where zttp is installed.")
@click.option(
    "--security-contact",
    **_setting("security_contact") | {"show_default": "none"},
    help="Who is told of security problems, in /.well-known/security.txt: mailto:…, https://… or tel:…",
)
@click.option("--log-level", type=click.Choice(LOG_LEVELS), **_setting("log_level"), help="What is logged.")
@click.option("--log-format", type=click.Choice(LOG_FORMATS), **_setting("log_format"), help="Text, or JSON lines.")
def run(**options: Any) -> None:
    """Serve the app (the default command)."""
    from server.run import AddressTaken, serve  # Uvicorn is loaded only by the command that needs it.

    os.chdir(ROOT)
    if options["reload"] is None:
        options["reload"] = options["workers"] == 1 and _is_developed(options)
    try:
        settings = Settings(**options)
        os.environ.update(settings.to_environment())
        _log_what_is_ignored(settings)
        code = serve(settings)
    except (SettingsError, AddressTaken) as error:
        say(f"server.py: {error}", error=True)
        sys.exit(2)
    sys.exit(code)


def _is_developed(options: dict[str, Any]) -> bool:
    """Whether the code is followed where nobody says: in a checkout, also one that is a folder of a larger one.

    Where there is no git, as in a ZIP that was unpacked, it is where the files can be edited and nobody else comes in.
    """
    from server.reload.edits.loaded_files import top_of  # Only here.

    if (top_of(ROOT) / ".git").exists():
        return True
    is_private = is_loopback(options["host"]) and not options["proxy_headers"]
    return is_private and os.access(ROOT / "app", os.W_OK)


def _log_what_is_ignored(settings: Settings) -> None:
    words = click.get_current_context().meta.get(IGNORED)
    if words:
        import logging.config

        from server import log

        logging.config.dictConfig(log.config(settings.log_level, settings.log_format))
        logging.getLogger("uvicorn.error").warning("%s", words)


@commands.command()
@click.option("--new", is_flag=True, help="Make a new one first, which signs everybody out.")
@click.option("--data", **DATA)
@click.option("--host", **_setting("host"), help="The --host of the server.")
@click.option("--port", type=Port(), **_setting("port"), help="The --port of the server.")
@click.option("--tls/--no-tls", **_setting("tls"), help="Whether the server has --tls.")
def token(new: bool, data: Path, host: str, port: int, tls: bool) -> None:
    """Show the link that signs another machine in, and its QR code."""
    from server.sharing.sign_in_token import (
        invitation,
        link_of,
        read,
        renew,
    )  # Only here.

    scheme = "https" if tls else "http"
    # A server for this machine alone does not ask its owner: who wants the link means one that others can reach, or
    # another account of this machine.
    outside = "0.0.0.0" if is_loopback(host) else host
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        value = renew(data) if new else read(data)
        say(invitation(value, f"{scheme}://{bracketed(outside)}:{port}"))
        if outside != host:
            link = link_of(value, f"{scheme}://{bracketed(host)}:{port}")
            say(f"Sign in from another account of this machine: {link}")
    except OSError as error:
        say(f"server.py: The token in {data} cannot be used: {error.strerror}.", error=True)
        sys.exit(2)


@commands.command()
@click.argument("file", required=False, type=HomePath(dir_okay=False, resolve_path=True, path_type=Path))
@click.option("--list", "lists", is_flag=True, help="Show the copies that there are, and make none.")
@click.option("--sweep", "sweeps", is_flag=True, help="Delete those that need not stay, and make none.")
@click.option("--data", **DATA)
def backup(file: Path | None, lists: bool, sweeps: bool, data: Path) -> None:
    """Copy the data to FILE, while the server runs, and check the copy.

    Without FILE the copy is DATA/backups/TIME.db. Of such copies, and of those from before a migration, a restore or a
    removal, the newest few stay (KEEP_COPIES of them), then one a day for 14 days and one a month for a year; what has
    a name of your own always stays.
    """
    if (lists or sweeps) and (file or (lists and sweeps)):
        raise click.UsageError("--list and --sweep make no copy: leave out FILE, or one of the two.")
    if lists or sweeps:
        _tell("listed" if lists else "swept", data)
    else:
        _tell("backup", data, file)


@commands.command()
@click.argument("file", type=FILE)
@click.option("--data", **DATA)
def restore(file: Path, data: Path) -> None:
    """Make the data what it is in FILE, while the server runs.

    What it was before is kept as DATA/backups/TIME-before-restore.db.
    """
    _tell("restore", data, file)


def _tell(command: str, *arguments: Any) -> None:
    """Say what a function of app/backup/backups.py says."""
    backups = importlib.import_module(BACKUPS)
    try:
        say(getattr(backups, command)(*arguments))
    except backups.UnusableDatabase as error:
        say(f"server.py: {error}", error=True)
        sys.exit(1)


@commands.command()
@click.argument("name")
@click.argument("fields", nargs=-1)
@click.option("--plural", default="", help="What many are called, where English would have it otherwise.")
def new(name: str, fields: tuple[str, ...], plural: str) -> None:
    """Write a feature, such as: new recipe title:str minutes:int cooked:date:optional tags:text.

    FIELDS are NAME:TYPE with one of the types str, text, int, float, bool, date; “:optional” after the type says that
    a field may be left empty. The first str is what a list shows.
    """
    from server.commands.features import new, path_of  # Only here.

    _edit(lambda: new(ROOT, name, fields, plural), lambda: path_of(name, fields, plural))


@commands.command()
@click.argument("name")
@click.option("--force", is_flag=True, help="Also what was edited since.")
@click.option("--data", **DATA)
def drop(name: str, force: bool, data: Path) -> None:
    """Take a feature that `new` has written out of the code and, after a backup, of the data."""
    from server.commands.features import drop  # Only here.

    _edit(lambda: drop(ROOT, name, _taking_out(data), force))


@commands.command()
@click.argument("name")
@click.option("--without-example", is_flag=True, help="Also take the example out, and, after a backup, its data.")
@click.option("--data", **DATA)
def rename(name: str, without_example: bool, data: Path) -> None:
    """Call the project NAME, in every place that says what it is called."""
    from server.commands.rename import rename  # Only here.

    _edit(lambda: rename(ROOT, name, _taking_out(data) if without_example else None))


def _taking_out(data: Path) -> Any:
    """What takes a feature out of the data in a directory."""
    return lambda kept: importlib.import_module(REMOVALS).taken_out(data, kept)


def _edit(edit: Callable[[], str], path: Callable[[], str] = lambda: "") -> None:
    """Say what was edited, and return when the servers that follow the code have done so, with something at `path`."""
    from server.commands.project_edits import EditError, check_whole
    from server.reload import server_state  # Only here.

    since = time.monotonic()
    try:
        check_whole(ROOT)
        say(edit())
        said = server_state.wait(ROOT, since, path())
        if said:
            say(said)
    except EditError as error:
        say(f"server.py: {error}", error=True)
        sys.exit(2)


@commands.command()
@click.option("--data", **DATA)
@click.option("--host", **_setting("host"), help="The --host of the server.")
@click.option("--port", type=Port(), **_setting("port"), help="The --port of the server.")
@click.option("--workers", type=click.IntRange(1), **_setting("workers"), help="The --workers of the server.")
def doctor(data: Path, host: str, port: int, workers: int) -> None:
    """Look at machine, packages and data, and say what to do; exit code 0 when all is well."""
    from server.commands.doctor import examine  # Only here.

    is_well = True
    for finding in examine(ROOT, data, host, port, importlib.import_module(CHECKS).findings(data, workers)):
        say(finding)
        is_well = is_well and not finding.remedy
    click.get_current_context().exit(0 if is_well else 1)


@commands.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.option("--engine", is_flag=True, help="Those of the engine, on a copy without your features.")
@click.argument("pytest_options", nargs=-1, type=click.UNPROCESSED)
def test(engine: bool, pytest_options: tuple[str, ...]) -> None:
    """Run the tests of your features, ruff and mypy; with --engine those of the engine. What follows goes to pytest."""
    if not (ROOT / "tests").exists():
        where = "Run them in your own checkout: python3 server.py test (with Nix first `nix develop`)."
        say(f"server.py: {ROOT} is a copy of the project without its tests. {where}", error=True)
        sys.exit(2)
    # They start some two hundred processes, each of which would compile all of this anew.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    sys.exit(
        subprocess.call(
            [sys.executable, "-m", "tests.engine" if engine else "pytest", *pytest_options], cwd=ROOT, env=environment
        )
    )
