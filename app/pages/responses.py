"""How a route answers: the fragment alone for htmx, the same fragment in the shell for everyone else.

Errors are answered here too, each as a page, a fragment or JSON, whichever was asked for.
"""

import errno
import logging
import re
import traceback
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from fasthtml.core import reg_re_param
from sqlite_utils.utils import sqlite3
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Scope

from app.database.copies import restore_command
from app.database.db import LostData, db
from app.database.disk_space import used_up
from app.database.integrity.file_identity import Kind
from app.database.reads import UnansweredRead
from app.pages import fasthtml_tags
from app.records.kinds import kinds
from app.settings import settings
from server.assets import Assets
from server.fragments import signed_in
from server.guard.middleware import ADMITTED
from server.guard.peer_account import CONNECTION, OWNER, is_knowable
from server.reload.failure_page import as_html, failure, page_of
from templates import layout
from templates.pages import errors
from templates.pages.lost_data import notice as show_notice
from templates.parts.tags import Safe

ROOT = Path(__file__).resolve().parents[2]
# A file that is being worked on is sent as it is: to pack it well takes longer than to send it.
assets = Assets(ROOT / "static", packs=not settings.reload)
# What stands for an id in an address: a number that SQLite can hold. Anything else is no address of this app.
reg_re_param("id", "[0-8]?[0-9]{1,18}")
logger = logging.getLogger("uvicorn.error")
# In development: why what was edited since does not work, under "failure", as HTML.
edited: dict[str, str] = {}
# What mends a loss of the data.
ADVICE = {
    Kind.DELETED: "What was saved before is still in the open file, for as long as the server runs: save a copy before "
    "you end it. Then start the server again, and bring the copy back with python3 server.py restore FILE.",
    Kind.MOVED: "What was saved before is in it. Move it back, and all goes on. Or end the server, and name the "
    "directory where it is with --data.",
    Kind.LOG: "What was saved before is in the file itself. Start the server again.",
    Kind.OVERWRITTEN: "What the app has open cannot be whole any more, so nothing of it is shown, and no copy can "
    "be made. The next start serves what was put into the file.",
    Kind.OUT_OF_REACH: "What was saved before is on that disk. Bring it back; if this stays, start the server again.",
}
NO_ROOM = "Nothing was changed. Make room on the disk, then try again."


def wants_fragment(request: Request) -> bool:
    """Whether htmx asks, for a part of a page that it has; when it restores a page it asks for the whole."""
    return "hx-request" in request.headers and "hx-history-restore-request" not in request.headers


def wants_json(request: Request) -> bool:
    """Whether a program asks, which reads JSON."""
    return "application/json" in request.headers.get("accept", "")


def page(title: str, content: object, area: str = "", is_open: bool = False) -> Safe:
    """A whole page of this app; one that is open to those who have to sign in first leads nowhere else."""
    return layout.page(title, content, head=head(), area=area, signed_in=signed_in(), is_open=is_open, notice=notice())


def notice() -> Safe:
    """What every page says at its top; nothing while the data are where they were."""
    if db.loss is None:
        return show_notice()
    way_back = restore_command(db.path.parent, db.saved) if db.saved else ""
    return show_notice(db.loss.words, ADVICE[db.loss.kind], way_back, is_whole=not db.is_overwritten())


def head() -> tuple[Safe, ...]:
    """The head of every page; in development also what follows the code."""
    return layout.head(assets.url, follows_code=settings.reload)


def shell(content: Iterable[object]) -> tuple[Safe, ...]:
    """What stands around the content of a page that FastHTML puts together."""
    return layout.shell(fasthtml_tags.within(content), signed_in=signed_in(), notice=notice())


def answer(request: Request, title: str, fragment: Safe, area: str = "") -> Safe:
    """`fragment` alone where htmx asks, else in a whole page."""
    return fragment if wants_fragment(request) else page(title, fragment, area)


def form_again(request: Request, title: str, form: Safe, target: str, status: int, error: str) -> Response:
    """A form with what was typed and what was wrong with it, put where the form was; to a program the error alone."""
    if wants_json(request):
        return error_answer(request, status, error)
    headers = {"HX-Retarget": target, "HX-Reswap": "outerHTML"}
    return HTMLResponse(answer(request, title, form), status, headers)


def back(request: Request, otherwise: str) -> str:
    """The page of this app that the person came from, for the way back after a plain form."""
    referer = request.headers.get("referer", "")
    own = str(request.base_url)
    return "/" + referer.removeprefix(own).lstrip("/\\") if referer.startswith(own) else otherwise


def error_answer(request: Request, status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """What went wrong, as JSON, as a toast or as a page, whichever was asked for."""
    headers = {**(headers or {}), "cache-control": "no-store"}
    if wants_json(request):
        return JSONResponse({"status": status, "error": errors.title(status), "message": message}, status, headers)
    if wants_fragment(request):
        headers |= {"HX-Retarget": "#toasts", "HX-Reswap": "beforeend"}
        return HTMLResponse(errors.error_toast(status, message), status, headers)
    return HTMLResponse(page(errors.title(status), errors.error_page(status, message)), status, headers)


async def refused(request: Request, error: Exception) -> Response:
    """The answer to an HTTPException."""
    assert isinstance(error, HTTPException)
    message = error.detail
    if error.status_code == 404 and message == "Not Found":
        message = "The address is wrong, or what was here is gone."
    elif error.status_code == 405:
        message = f"{request.method} is not something this address does."
    return error_answer(request, error.status_code, message, dict(error.headers or {}))


async def failed(request: Request, error: Exception) -> Response:
    """The answer to an exception that no one expected; the trace is in the log, for who writes the code on the page."""
    answer = _failure(request, error)
    # Uvicorn closes the connection after an exception. A client that is not told so sends its next request into it.
    answer.headers["connection"] = "close"
    return answer


def _failure(request: Request, error: Exception) -> Response:
    if may_see_code(request.scope) and not wants_json(request):
        # An exception of the code that serves is no news where it was edited since, and does not work.
        told = edited.get("failure") or _as_html(error)
        if wants_fragment(request):
            return HTMLResponse(told, 500, {"HX-Retarget": "body", "HX-Reswap": "beforeend"})
        return HTMLResponse(page_of(told), 500)
    return error_answer(request, 500, "It has been written to the log. Your data is as it was. Try again.")


def _as_html(error: Exception) -> str:
    return as_html(failure("".join(traceback.format_exception(error)), ROOT), ROOT, settings.editor)


def may_see_code(scope: Scope) -> bool:
    """Whether a failure may be shown with its code: in development, to the owner's own processes on this machine.

    Where the system does not say whose a process is, to who has signed in on this machine.
    """
    if not (settings.reload and settings.is_private and ADMITTED in scope):
        return False
    return bool(scope.get(CONNECTION, {}).get(OWNER)) or not _knows_owners()


@cache
def _knows_owners() -> bool:
    return is_knowable()


async def database_failed(request: Request, error: Exception) -> Response:
    """The answer where SQLite could not do it: no room, another program at work, a table that is gone."""
    if db.look() is not None:
        return await data_lost(request, error)
    missing = re.search(r"no such table: (\w+)", str(error))
    if missing and missing[1].removesuffix("_fts").removesuffix("_sort") in {
        name for kind in kinds.values() for name in kind[:2]
    }:
        # A feature that is just being dropped: its table goes before the process that knew it.
        return error_answer(request, 404, f"What was here is gone: the data has no table “{missing[1]}”.")
    logger.error("%s %s: SQLite says: %s", request.method, request.url.path, error)
    if "full" in str(error):
        if words := await used_up():
            return error_answer(request, 507, words)
        return error_answer(request, 507, NO_ROOM)
    if "locked" in str(error):
        return error_answer(
            request, 503, "Another program is writing to the file. Try again in a moment.", {"retry-after": "2"}
        )
    raise error


async def data_lost(request: Request, error: Exception) -> Response:
    """The answer to whatever cannot be done, as the file is not where it was."""
    words = db.loss.words if db.loss is not None else str(error)
    return error_answer(request, 503, f"Nothing was saved. {words} The top of each page says what to do.")


async def read_unanswered(request: Request, error: Exception) -> Response:
    """The answer where a read was given up."""
    return error_answer(request, 503, str(error), {"retry-after": "5"})


async def disk_failed(request: Request, error: Exception) -> Response:
    """The answer where a file could not be written, as there is no room for it."""
    assert isinstance(error, OSError)
    if db.look() is not None:
        return await data_lost(request, error)
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        raise error
    logger.error("%s %s: %s", request.method, request.url.path, error)
    return error_answer(request, 507, NO_ROOM)


async def left(request: Request, error: Exception) -> Response:
    """The answer to a client that left in the middle of what it sent: nobody reads it, and it is no fault."""
    return Response(status_code=400)


HANDLERS: dict[Any, Any] = {
    HTTPException: refused,
    404: refused,
    UnansweredRead: read_unanswered,
    LostData: data_lost,
    sqlite3.OperationalError: database_failed,
    OSError: disk_failed,
    ClientDisconnect: left,
    Exception: failed,
}
