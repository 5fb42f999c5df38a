"""This app without the checks of its guard; limits and security headers stay, as in the kept answer they cost bytes."""

from app.main import app

app.middleware_stack = app.build_middleware_stack().app  # type: ignore[attr-defined]
