"""This app without its guard: what the guard costs is the difference."""

from app.main import app

app.middleware_stack = app.build_middleware_stack().app  # type: ignore[attr-defined]
