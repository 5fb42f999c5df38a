"""This app without its guard, neither its checks nor its headers: what the guard costs is the difference."""

from app.main import app

cache = app.build_middleware_stack().app  # type: ignore[attr-defined]
cache.app = cache.app.app
app.middleware_stack = cache
