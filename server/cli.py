"""The commands of `python server.py`: each reads its options and calls one function.

Every option of `run` can also be given as KINDLING_… in the environment.
"""

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
from click_default_group import DefaultGroup

from server.settings import LOG_LEVELS, PREFIX, Settings, SettingsError

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Run the command that the command line names; `run` where it names none."""
    try:
        sys.exit(commands(prog_name="server.py", standalone_mode=False))
    except click.ClickException as error:
        click.echo(f"server.py: {error.format_message()}", err=True)
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)


@click.group(
    cls=DefaultGroup, default="run", default_if_no_args=True, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"], prog_name="Kindling")
def commands() -> None:
    """Kindling: an app on your own machine, its data in one file that is yours."""


def _setting(name: str) -> dict[str, Any]:
    """Default and environment variable of an option of `run`."""
    return {"default": getattr(Settings, name), "envvar": PREFIX + name.upper(), "show_default": True}


@commands.command()
@click.option("--host", **_setting("host"), help="Address to listen on.")
@click.option("--port", type=int, **_setting("port"), help="Port to listen on; 0 takes a free one.")
# A directory that is named is found from where the person stands, the default one in the project.
@click.option(
    "--data",
    type=click.Path(file_okay=False, resolve_path=True, path_type=Path),
    **_setting("data") | {"default": ROOT / Settings.data, "show_default": str(Settings.data)},
    help="Directory of the data.",
)
@click.option("--workers", type=int, **_setting("workers"), help="Processes that answer requests.")
@click.option("--reload/--no-reload", **_setting("reload"), help="Start again whenever the code changes.")
@click.option("--open/--no-open", **_setting("open"), help="Open the page in the browser.")
@click.option("--log-level", type=click.Choice(LOG_LEVELS), **_setting("log_level"), help="What is logged.")
def run(**options: Any) -> None:
    """Serve the app (the default command)."""
    from server.run import AddressTaken, serve  # Uvicorn is loaded only by the command that needs it.

    os.chdir(ROOT)
    try:
        settings = Settings(**options)
        os.environ.update(settings.to_environment())
        code = serve(settings)
    except (SettingsError, AddressTaken) as error:
        click.echo(f"server.py: {error}", err=True)
        sys.exit(2)
    sys.exit(code)


@commands.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("pytest_options", nargs=-1, type=click.UNPROCESSED)
def test(pytest_options: tuple[str, ...]) -> None:
    """Run the tests; what follows goes to pytest."""
    sys.exit(subprocess.call([sys.executable, "-m", "pytest", *pytest_options], cwd=ROOT))
