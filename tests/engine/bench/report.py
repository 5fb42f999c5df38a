"""How results are printed: plain text that can be pasted."""

import os
import platform
import shlex
import sqlite3
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

PACKAGES = (
    "uvicorn",
    "uvloop",
    "httptools",
    "starlette",
    "python-fasthtml",
    "fastapi",
    "litestar",
    "flask",
    "django",
    "gunicorn",
    "jinja2",
)


def head(bench: str, arguments: Sequence[str], names: Sequence[str] = PACKAGES) -> str:
    """The command, the machine and the versions."""
    command = shlex.join(["uv", "run", "--group", "bench", "python", "-m", "tests.engine.bench", bench, *arguments])
    packages = ", ".join(f"{package} {version(package)}" for package in names)
    return (
        f"$ {command}\n"
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {processor()}, {os.cpu_count()} cores, {platform.system()} "
        f"{platform.release()}, {platform.python_implementation()} {platform.python_version()}\n"
        f"{packages}; SQLite {app_sqlite()} in this app, {sqlite3.sqlite_version} in the peers; {load()}"
    )


def load() -> str:
    """How busy the machine is."""
    return f"load average {os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "load average unknown"


def processor() -> str:
    """The name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def app_sqlite() -> str:
    """The version of SQLite that the app reads with."""
    from sqlite_utils.utils import sqlite3 as driver

    return str(driver.sqlite_version)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns set in line: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    lines = [heads, ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def spread(values: Sequence[float], form: str) -> str:
    """The least and the most of all rounds."""
    return f"{min(values):{form}}–{max(values):{form}}"


def say(text: str) -> None:
    """Progress, apart from the result."""
    print(text, file=sys.stderr, flush=True)
