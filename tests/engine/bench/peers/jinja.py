"""The Jinja2 environment that FastAPI, Litestar, Flask and the build benchmark use: its defaults for HTML.

Templates are compiled once; looking at the file for changes is for development.
"""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader

from tests.engine.bench.peers.tasks import STATUSES, due_label

TEMPLATES = Path(__file__).parent / "templates"
GLOBALS = {"due_label": due_label, "statuses": STATUSES}

environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, auto_reload=False)
environment.globals.update(GLOBALS)
