"""The time until Python has loaded an app, with nothing else: what a start, a worker and a reload wait for."""

import os
import subprocess
import sys
from pathlib import Path
from statistics import median

from server.app_name import PREFIX
from tests.engine.bench import data, report, timing
from tests.engine.bench.systems import PEERS, ROOT

APPS = {
    "Python alone": "sys",
    "this app": "app.main",
    "FastHTML": f"{PEERS}.fasthtml_app",
    "FastAPI, Jinja2": f"{PEERS}.fastapi_app",
    "Litestar, Jinja2": f"{PEERS}.litestar_app",
    "Flask, Jinja2": f"{PEERS}.flask_app",
    "Django": f"{PEERS}.django_app",
}


def measure(directory: Path, rounds: int) -> str:
    """Load each app in a new process; the table."""
    database = data.make(directory / "importing")
    environment = {**os.environ, f"{PREFIX}DATA": str(database.parent), "BENCH_DATABASE": str(database)}

    def load(module: str) -> None:
        subprocess.run([sys.executable, "-c", f"import {module}"], cwd=ROOT, env=environment, check=True)

    report.say("importing")
    calls = {name: lambda module=module: load(module) for name, module in APPS.items()}
    for call in calls.values():
        call()  # The first time compiles, and reads from the disk.
    figures = timing.side_by_side(calls, rounds, 1, {})
    rows = [(name, f"{median(times):.0f}", report.spread(times, ".0f")) for name, times in figures.items()]
    described = f"Importing: `python -c 'import …'`, the whole process; {rounds} shuffled rounds; medians, least–most"
    return "\n".join([described, "", report.table(("", "ms", "least–most"), rows)])
