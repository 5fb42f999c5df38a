"""Every route that the app has, asked of the app itself, so that a test covers the ones that are yet to come."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from server.app_name import PREFIX
from tests.engine.conftest import PROJECT

CODE = """
import json
from app.main import app
print(json.dumps([[route.path, sorted(getattr(route, "methods", None) or [])] for route in app.routes]))
"""


class Route(NamedTuple):
    """An address, with 1 for what varies in it, and its methods; a WebSocket and a directory have none."""

    address: str
    methods: list[str]


def routes(data: Path) -> list[Route]:
    """The routes of the app on a new directory of data."""
    found = subprocess.run(
        [sys.executable, "-c", CODE],
        env={f"{PREFIX}DATA": str(data)},
        cwd=PROJECT,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    return [Route(re.sub(r"\{[^}]*\}", "1", path), methods) for path, methods in json.loads(found.stdout)]
