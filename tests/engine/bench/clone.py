"""From `git clone` to a feature of one's own on the open page: the two commands of the README, one after the other.

Nothing is prepared but what a person has who did this before: the packages are in uv's cache.
"""

import argparse
import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from tests.engine.bench import following, report

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("uvicorn", "starlette", "python-fasthtml", "playwright")
FEATURE = ("recipe", "title:str", "minutes:int", "cooked:date?", "tags:text")
STATIONS = ("cloned", "first page painted", "command for the feature done", "feature painted")
# What is not there by then does not come: from the network, packages take longer than from the cache.
PATIENCE_SECONDS = 300
# The person's own Python, not one that has the packages already.
PYTHON = getattr(sys, "_base_executable", sys.executable)


def main(arguments: Sequence[str]) -> None:
    """Measure, and print the table."""
    options = argparse.ArgumentParser(prog="python -m tests.engine.bench clone", description=__doc__)
    options.add_argument("--rounds", type=int, default=5, help="how often it is done from the start (%(default)s)")
    rounds = options.parse_args(arguments).rounds
    print(report.head("clone", arguments, PACKAGES))
    print("\n" + asyncio.run(measure(rounds)))


async def measure(rounds: int) -> str:
    """All of it, so many times; the table."""
    async with following.chromium() as browser:
        times = []
        for number in range(rounds):
            report.say(f"clone, round {number + 1} of {rounds}, {report.load()}")
            with tempfile.TemporaryDirectory(prefix="bench-") as directory:
                times.append(await _once(browser, Path(directory) / "mine"))
    rows = [
        (station, f"{median(seconds):.2f}", report.spread(seconds, ".2f"))
        for station, seconds in zip(STATIONS, zip(*times, strict=True), strict=True)
    ]
    described = f"Seconds since `git clone` began; {rounds} rounds, each in a new directory"
    return f"{described}\n\n{report.table(('', 'median', 'least–most'), rows)}"


async def _once(browser: Any, project: Path) -> list[float]:
    """When each station was reached."""
    began = time.perf_counter()
    reached: list[float] = []

    def reach() -> None:
        reached.append(time.perf_counter() - began)

    await asyncio.to_thread(_run, ROOT, "git", "clone", "--quiet", ".", str(project))
    reach()
    with _serving(project) as address:
        page = await browser.new_page()
        page.set_default_timeout(PATIENCE_SECONDS * 1000)
        await page.goto(address)
        reach()
        await asyncio.to_thread(_run, project, PYTHON, "server.py", "new", *FEATURE)
        reach()
        await page.get_by_role("link", name="Recipes").click()
        await page.get_by_text("No recipes yet.").wait_for()
        reach()
        await page.close()
    return reached


@contextmanager
def _serving(project: Path) -> Iterator[str]:
    """`python3 server.py`, on a port that is free; the address that it prints."""
    command = [PYTHON, "server.py", "--port", "0", "--no-open", "--log-level", "warning"]
    with subprocess.Popen(
        command, cwd=project, env=_environment(), stdout=subprocess.PIPE, encoding="utf-8"
    ) as process:
        try:
            assert process.stdout is not None
            found = next(filter(None, (re.search(r"http://\S+", line) for line in process.stdout)), None)
            if found is None:
                raise SystemExit(f"The server did not start; its exit code is {process.wait()}.")
            yield found[0]
        finally:
            process.terminate()


def _run(directory: Path, *command: str) -> None:
    """A command there, to its end."""
    subprocess.run(command, cwd=directory, env=_environment(), check=True, stdout=subprocess.DEVNULL)


def _environment() -> dict[str, str]:
    """A person's shell, which is in no environment of this project."""
    return {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT")}
