"""The app: its parts in one list, and the layers around them.

`python server.py`, `uvicorn app.main:app` and Gunicorn all serve `app` from here, guarded and cached alike.
"""

import contextlib
import os
import secrets
import sys
import time
import tomllib
from pathlib import Path
from tempfile import mkstemp

from fasthtml.core import FastHTML
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from app import exports, imports, tasks
from app.db import UnusableDatabase, UnusableDirectory, db, prepare
from app.migrations import migrations
from app.pages import HANDLERS, ROOT, assets, error_answer
from server.bodies import FORM_LIMIT
from server.fragments import FragmentCache
from server.guard import Guard
from server.settings import LOOPBACK_NAMES, Settings, SettingsError
from templates import layout

SESSION_COOKIE = "kindling_session"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
STARTED = time.monotonic()


class App(FastHTML):
    """FastHTML, with the fragment cache around it and the guard around both."""

    def build_middleware_stack(self) -> ASGIApp:
        """Guard, then cache, then what FastHTML has."""
        return Guard(
            super().build_middleware_stack(),
            hosts={settings.host, *LOOPBACK_NAMES, *settings.allow_host},
            uploads={"/imports"},
            max_upload=settings.max_upload,
            cache=lambda app: FragmentCache(app, db.token, session_cookie=SESSION_COOKIE, check=settings.reload),
            refusal=lambda scope, status, words: error_answer(Request(scope), status, words),
        )


def session_key(directory: Path) -> str:
    """The key that signs sessions, made at the first start, readable by its owner alone."""
    path = directory / "session.key"
    if not path.exists():
        file, whole = mkstemp(dir=directory)
        with os.fdopen(file, "w") as key:
            key.write(secrets.token_urlsafe(32))
        # Of two processes that start at once, one makes the key and both read it whole.
        with contextlib.suppress(FileExistsError):
            os.link(whole, path)
        os.unlink(whole)
    return path.read_text()


try:
    settings = Settings.from_environment()
    database = prepare(settings.data, migrations)
except (SettingsError, UnusableDatabase) as problem:
    print(f"server.py: {problem}", file=sys.stderr)
    sys.exit(2 if isinstance(problem, SettingsError | UnusableDirectory) else 1)


async def start() -> None:
    """Open the file, and take up what a stop has left."""
    db.open(database)
    await imports.recover()


async def stop() -> None:
    """Let imports end and writes reach the disk."""
    await imports.end_all()
    db.close()


app = App(
    title=layout.NAME,
    hdrs=layout.head(assets.url),
    body_wrap=layout.shell,
    default_hdrs=False,
    canonical=False,
    htmlkw={"lang": "en"},
    secret_key=session_key(settings.data),
    session_cookie=SESSION_COOKIE,
    same_site="lax",
    max_part_size=FORM_LIMIT,
    exception_handlers=HANDLERS,
    on_startup=[start],
    on_shutdown=[stop],
)
app.mount(assets.prefix, assets)
for feature in (tasks, imports, exports):
    feature.rt.to_app(app)


@app.get("/healthz")
async def healthz(request: Request) -> JSONResponse:
    """Whether the app can read its file, for those who watch over it."""
    try:
        token, status = db.token(), "ok"
    except Exception as error:  # Whatever keeps it from reading is what the watcher asks for.
        token, status = None, f"the database cannot be read: {error}"
    return JSONResponse(
        {"status": status, "version": VERSION, "commit token": token, "uptime": round(time.monotonic() - STARTED, 1)},
        200 if token is not None else 503,
    )
