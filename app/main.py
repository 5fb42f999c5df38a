"""The app: its parts in one list, and the layers around them.

`python3 server.py`, `uvicorn app.main:app` and Gunicorn all serve `app` from here, guarded and cached alike.
"""

import asyncio
import contextlib
import json
import logging
import tempfile
import time
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from fasthtml import core
from fasthtml.core import FastHTML
from sqlite_utils.utils import sqlite3
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Match, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from app import (
    migrations,
    tasks,
)
from app.access import confirm, sessions_page, sign_in
from app.access.access_file import Unreadable, UnusableFile
from app.access.sessions import cookie_name, sessions
from app.database import newer_schema
from app.database.db import LostData, db
from app.database.disk_space import UploadRoom
from app.database.preparation import (
    SeveralProcesses,
    UnusableDirectory,
    claim,
    prepare,
)
from app.database.reads import Moments
from app.database.run_migrations import NewerFile
from app.database.sqlite_connections import UnusableDatabase
from app.exports import export_routes
from app.imports import import_routes
from app.pages import fasthtml_tags, lost_data, presence, security_txt
from app.pages.markdown_texts import texts
from app.pages.presence import tabs_elsewhere
from app.pages.responses import (
    HANDLERS,
    ROOT,
    edited,
    head,
    may_see_code,
    page,
    shell,
)
from app.pages.responses import assets as static_files
from app.records import forms, indexing
from app.records.kinds import kinds
from app.settings import settings
from server import background_work
from server.app_name import SLUG
from server.fragments import ZONE_COOKIE, FragmentCache, is_fragment
from server.guard.csp_reports import PATH as REPORTS
from server.guard.csp_reports import Reports
from server.guard.middleware import ADMITTED, Guard
from server.guard.request_bodies import FORM_LIMIT
from server.inline.inline_files import PREFIX as INLINE
from server.inline.inline_files import InlineFiles, route
from server.live.endpoint import Hub
from server.live.revoked_sockets import OpenSockets
from server.log import RequestLog
from server.reload.failure_page import CHOOSE_PATH, DEVELOPMENT, choose
from server.reload.start_errors import CannotStart, Undecided
from server.sharing.sign_in_token import keep_out_of_logs, secret
from server.standard_streams import say
from server.workers import served_data
from templates import layout
from templates.pages import errors
from templates.pages.start import start_page
from templates.parts import inline_code

# What the app is about, each with routes and a kind of rows; the first is the main one.
FEATURES: list[ModuleType] = [
    # `python3 server.py new` adds a line at the end.
    tasks,
]
SESSION_COOKIE = f"{SLUG}_session"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
LOOK_AFTER_SECONDS = 5
NO_FRAGMENT = "This address is no fragment, so it cannot be kept live: a route says with @fragment that it is one."
# The paths that take files.
UPLOADS = frozenset(("/imports",))
STARTED = time.monotonic()

logger = logging.getLogger(__name__)


class App(FastHTML):
    """FastHTML, with the fragment cache around it, the guard around both, and the log of requests around all."""

    def build_middleware_stack(self) -> ASGIApp:
        """Guard, then cache, then what FastHTML has, whose reads are of one moment."""
        self.guarded = Guard(
            open_sockets.around(UploadRoom(super().build_middleware_stack(), UPLOADS)),
            hosts=settings.hosts,
            uploads=UPLOADS,
            max_upload=settings.max_upload,
            admit=sessions.admit,
            count=sessions.count,
            cache=self.keep,
            refusal=sign_in.refusal,
            is_download=export_routes.is_download,
            is_private=settings.is_private,
            behind_proxy=settings.proxy_headers,
            reports=REPORTS if settings.reload else "",
        )
        return RequestLog(self.guarded) if settings.logs_requests else self.guarded

    def keep(self, app: ASGIApp) -> ASGIApp:
        """The fragment cache around `app`, which reads after the cache has asked for the token."""
        self.cache = FragmentCache(Moments(app), db.token, session_cookie=SESSION_COOKIE, check=settings.reload)
        return self.cache

    async def render(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that the app itself makes, for a live view: as any other, but no line in the log.

        Only a fragment is rendered: whatever else an address does, it would be done again at every commit.
        """
        answer = self.guarded if self._is_harmless(scope) else sign_in.refusal(scope, 400, NO_FRAGMENT)
        await answer({**scope, "app": self}, receive, send)

    def _endp(self, f: Any, body_wrap: Any, before: Any = None) -> Any:
        """FastHTML's way from a request to the function of a route; it says whether that is a fragment.

        What a route of an APIRouter puts on a page stands in the shell, as what one of the app does: so it is live, and
        follows the code. FastHTML gives such a route a body of its own that does nothing.
        """
        wrapped = super()._endp(f, self.body_wrap if body_wrap is core.noop_body else body_wrap, before=before)

        async def endpoint(request: Request) -> Any:
            route.set(request.url.path)
            return await wrapped(request)

        endpoint.is_fragment = is_fragment(f)  # type: ignore[attr-defined]
        return endpoint

    def _is_harmless(self, scope: Scope) -> bool:
        """Whether a fragment answers this address, or nothing does."""
        found = (route for route in self.routes if route.matches(scope)[0] is Match.FULL)
        route = next(found, None)
        return route is None or is_fragment(getattr(route, "endpoint", None))


def is_in_use() -> bool:
    """Whether another process of this app serves the file at this moment, as with a hot reload."""
    if not settings.reload:
        return False
    from server.reload.handover import follows_another  # Only where there is a handover.

    return follows_another()


def made_ready() -> Path:
    """Prepare the database. If it is newer than the code, do what the person chose on the page about it."""
    choice = chosen() if settings.reload else ""
    try:
        return prepare(
            settings.data,
            migrations.migrations,
            is_in_use=is_in_use(),
            served=served_data.before(),
            accepts_newer=choice == newer_schema.KEEP,
        )
    except NewerFile as problem:
        copy = newer_schema.copy_before(problem.path, migrations.migrations)
        if choice == newer_schema.RESTORE and copy is not None:
            from app.backup.backups import restore  # Only here.

            say(restore(settings.data, copy), error=True)
            return prepare(settings.data, migrations.migrations)
        if not settings.reload:
            raise
        names = ", ".join(f"“{name}”" for name in problem.names)
        words = f"The data are newer than the code: {problem.path} has {names}, which this version does not know."
        raise Undecided(words, newer_schema.offers(problem.path, migrations.migrations, ROOT)) from None


def chosen() -> str:
    """What somebody has chosen on the page that said why the app cannot start."""
    from server.reload import handover  # Only where there is a handover.

    return handover.chosen()


try:
    database = made_ready()
    # The reloader takes care that there is one server, and lets two versions of it overlap for a moment.
    if not settings.reload:
        claim(settings.data, settings.workers)
except UnusableDatabase as problem:
    if settings.reload and problem.__cause__ is not None and not isinstance(problem, UnusableDirectory):
        # It may be the migration that is being written: where in it, the reloader tells.
        raise problem.__cause__ from None
    if not settings.reload:
        say(f"server.py: {problem}", error=True)
    code = 2 if isinstance(problem, UnusableDirectory | SeveralProcesses) else 1
    raise CannotStart(f"server.py: {problem}", code) from problem


sessions.open(settings.data, settings.is_private)
open_sockets = OpenSockets(sessions.rights, sessions.may_stay)
sessions.on_end = open_sockets.look
keep_out_of_logs()


async def start() -> None:
    """Open the file, and take up what a stop has left."""
    db.open(database)
    app.state.served = db.number()
    # Large uploads wait on the disk of the data, not in a memory that the system calls its temporary directory.
    tempfile.tempdir = str(settings.data.resolve())
    db.on_commit = hub.wake
    db.before_commit = indexing.complete
    await presence.presence.begin()
    background_work.hear(asyncio.get_running_loop())
    app.state.looking_after = look_after()


def look_after() -> list[asyncio.Task[None]]:
    """Start the periodic background work: imports and tabs of processes that are gone, ended sessions, rows
    of other programs.

    None of it is waited for at a start, as another process may be writing for a long time.
    """
    return [
        background_work.every(lost_data.LOOK_SECONDS, "Looking at the file of the data", lost_data.lost.look),
        background_work.every(lost_data.LOOK_SECONDS, "Looking at the file of sessions", patient(sessions.file.look)),
        background_work.every(LOOK_AFTER_SECONDS, "Taking up imports", patient(import_routes.recover)),
        background_work.every(LOOK_AFTER_SECONDS, "Forgetting closed tabs", patient(presence.presence.clear)),
        background_work.every(LOOK_AFTER_SECONDS, "Looking after sessions", patient(sessions.look_after)),
        background_work.every(indexing.LOOK_SECONDS, "Indexing", indexing.indexing.catch_up),
    ]


def patient(take_up: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """`take_up`, with a full disk or a locked file logged as a warning, to be tried again."""

    async def attempt() -> None:
        if db.loss is not None:
            return
        try:
            await take_up()
        except (sqlite3.OperationalError, *Unreadable) as error:
            logger.warning("What was left behind could not be taken up, and will be tried again: %s.", error)

    return attempt


async def stop() -> None:
    """Let imports end and writes reach the disk."""
    for each in app.state.looking_after:
        each.cancel()
    await lost_data.lost.secure()
    await import_routes.end_all()
    with contextlib.suppress(LostData):
        await presence.presence.leave()
    await texts.close()
    await sessions.file.close()
    tempfile.tempdir = None
    db.close()


async def choose_what_to_do(request: Request) -> Response:
    """Pass on to the reloader what its page was told; who may not see the code may not choose."""
    if not may_see_code(request.scope):
        return Response("Only the owner of the code chooses that.", 403)
    await choose(request)
    return Response(status_code=204)


# FastHTML reads a form for the parameters of every route: as our own routes do, and not by halves where it comes in
# pieces or says its charset.
core.parse_form = forms.read_form
app = App(
    title=layout.NAME,
    hdrs=head(),
    body_wrap=shell,
    default_hdrs=False,
    canonical=False,
    htmlkw={"lang": "en"},
    secret_key=secret(settings.data / "session.key"),
    session_cookie=SESSION_COOKIE,
    same_site="lax",
    max_part_size=FORM_LIMIT,
    exception_handlers={**HANDLERS, confirm.ConfirmFirst: confirm.ask, UnusableFile: sign_in.unusable},
    on_startup=[start],
    on_shutdown=[stop],
)
app.mount(static_files.prefix, static_files)
inline_files = InlineFiles(settings.data / "inline")
app.mount(INLINE, inline_files)
inline_code.use(inline_files)
fasthtml_tags.follow()
for feature in FEATURES:
    kinds[feature.KIND.table] = feature.KIND
for part in (
    *FEATURES,
    import_routes,
    export_routes,
    lost_data,
    presence,
    sign_in,
    confirm,
    sessions_page,
    security_txt,
):
    part.rt.to_app(app)
hub = Hub(
    app.render,
    db.token,
    report=lambda words: errors.error_toast(500, words),
    cookies=lambda scope: (cookie_name(scope), SESSION_COOKIE, ZONE_COOKIE),
    on_count=presence.presence.count,
)
app.router.routes.append(WebSocketRoute("/live", hub))
if settings.reload:
    app.router.routes.append(Route(CHOOSE_PATH, choose_what_to_do, methods=["POST"]))
    app.router.routes.append(Route(REPORTS, Reports().take, methods=["POST"]))
    app.mount("/development", StaticFiles(directory=DEVELOPMENT))


def tell(message: dict[str, Any]) -> None:
    """Pass on to the open pages what the reloader says; a static file that has changed has another address."""
    app.cache.clear()
    if message["reload"] == "style":
        message["styles"] = [static_files.url(name) for name in message.pop("files")]
    if message["reload"] == "failure":
        # A page that comes later learns of it too.
        edited["failure"] = message["failure"]
        hub.tell(json.dumps(message), lasting=True, is_told=may_see_code)
    else:
        hub.tell(json.dumps(message), lasting=False)


app.state.tell = tell


@app.get("/")
def index() -> Any:
    """The way in: the first feature, or how to make one."""
    if layout.FEATURES:
        return RedirectResponse(next(iter(layout.FEATURES)), 303)
    return page("Start", start_page(layout.NAME))


@app.get("/healthz")
async def healthz(request: Request) -> JSONResponse:
    """Whether the app can read its file and all goes on that is to go on, for those who watch over it.

    A stranger is told no more than that.
    """
    problems = background_work.troubles()
    if (loss := db.look()) is not None:
        problems.insert(0, f"the data are lost: {loss.words}")
    token, clients = None, len(hub.tabs)
    try:
        token = db.token()
        clients += await tabs_elsewhere()
    except Exception as error:  # Whatever keeps it from reading is what the watcher asks for.
        token = None
        problems.insert(0, f"the database cannot be read: {error}")
    is_admitted = ADMITTED in request.scope
    health: dict[str, Any] = {"status": ("; ".join(problems) if is_admitted else "not ok") if problems else "ok"}
    if is_admitted:
        uptime = round(time.monotonic() - STARTED, 1)
        health |= {"version": VERSION, "commit token": token, "uptime": uptime, "clients": clients}
        health |= {"failures": background_work.failures()}
    return JSONResponse(health, 503 if problems else 200, {"cache-control": "no-store"})
