"""Signing in and out: the token of the link, or the code of a link for once, is traded for a cookie.

Asking for a page changes nothing, so that nothing that looks at links ahead of a person uses one up.
"""

import hmac
import logging

from fasthtml.core import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Scope

from app.access.return_addresses import path_of_this_app
from app.access.session_events import Kind
from app.access.sessions import LIFETIME, SIGN_IN_FIRST, cookie_name, sessions
from app.access.wrong_tokens import wrong_tokens
from app.pages.responses import (
    error_answer,
    page,
    wants_fragment,
    wants_json,
)
from app.records.forms import read_form
from app.settings import settings
from server.guard.middleware import ADMITTED
from server.sharing import one_time_links
from server.sharing.sign_in_token import hashed
from templates.pages import sign_in as show

WRONG_TOKEN = "That is not the token. “python3 server.py token” shows it."
USED_LINK = "This link was used, or is older than ten minutes. “python3 server.py token” shows one that stays good."
UNUSABLE = (
    "The file of those who may come in, access.db, cannot be used; the log says why. Move it away from the data, and "
    "everybody signs in once more."
)
NO_STORE = {"cache-control": "no-store"}
# What this origin may keep. Cookies know no ports, so “cookies” would sign out of other apps of this machine as well.
CLEAR = {"clear-site-data": '"cache", "storage"'}

logger = logging.getLogger(__name__)

rt = APIRouter()


@rt("/sign-in", methods=["get"])
async def show_sign_in(request: Request) -> Response:
    """The form, with what the link holds in it: one click is left, and of a link for once not even that."""
    query = request.query_params
    return form_answer(query.get("token", ""), query.get("code", ""), "/")


@rt("/sign-in", methods=["post"])
async def sign_in(request: Request) -> Response:
    """Trade the token, or a code, for a session, and go where the person wanted to go."""
    form = await read_form(request)
    code, next = str(form.get("code", "")), path_of_this_app(str(form.get("next", "")))
    if code:
        if not one_time_links.use(settings.data, code):
            await wrong_tokens.slow_down(request.scope)
            return form_answer("", "", next, problem=USED_LINK, status=401)
        return await _begun(request, Kind.SIGNED_IN_ONCE, next, code)
    if not is_token(str(form.get("token", ""))):
        await wrong_tokens.slow_down(request.scope)
        return form_answer("", "", next, problem=WRONG_TOKEN, status=401)
    return await _begun(request, Kind.SIGNED_IN, next)


@rt("/sign-out", methods=["post"])
async def sign_out(request: Request) -> Response:
    """End this browser's session."""
    await sessions.end(request.scope)
    answer = RedirectResponse("/sign-in", 303, CLEAR)
    answer.delete_cookie(cookie_name(request.scope), httponly=True, samesite="lax")
    return answer


async def unusable(request: Request, error: Exception) -> Response:
    """The answer where the file of those who may come in cannot be used."""
    logger.error("%s %s: %s", request.method, request.url.path, error)
    return error_answer(request, 503, UNUSABLE)


def is_token(given: str) -> bool:
    """Whether this is the token; how long the answer takes says nothing of how much of it is right."""
    return hmac.compare_digest(hashed(given.strip()), sessions.token.hash())


def set_cookie(answer: Response, request: Request, cookie: str) -> None:
    """Give the browser the cookie of a session.

    It comes along when a link of another site is followed (“lax”): that is a GET, which changes nothing. A change from
    another site is refused by the guard, whatever cookies come with it.
    """
    answer.set_cookie(
        cookie_name(request.scope),
        cookie,
        max_age=LIFETIME,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )


def refusal(scope: Scope, status: int, words: str) -> Response:
    """The answer to whom the guard does not let through: where a page was wanted, the way in and then to that page."""
    request = Request(scope)
    if status != 401 or wants_fragment(request) or wants_json(request):
        return error_answer(request, status, words, {"retry-after": "1"} if status == 429 else None)
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    next = path_of_this_app(asked) if request.method == "GET" else "/"
    return form_answer("", "", next, how="" if words == SIGN_IN_FIRST else words, status=401)


def form_answer(token: str, code: str, next: str, *, problem: str = "", how: str = "", status: int = 200) -> Response:
    """The page with the form; `problem` is what was wrong before, `how` says otherwise than usual how to sign in."""
    form = show.sign_in_page(token, code, next, problem, how)
    return HTMLResponse(page("Sign in", form, is_open=True), status, NO_STORE)


async def _begun(request: Request, kind: Kind, next: str, code: str = "") -> Response:
    """A session for this browser, and the way to where it wanted to go."""
    try:
        cookie = await sessions.begin(request.scope, kind)
    except BaseException:
        if code:
            one_time_links.give_back(settings.data, code)
        raise
    wrong_tokens.forget(request.scope)
    # The connection is no stranger's from now on, though this path is open to everybody.
    request.scope[ADMITTED] = True
    answer = RedirectResponse(next, 303, NO_STORE)
    set_cookie(answer, request, cookie)
    return answer
