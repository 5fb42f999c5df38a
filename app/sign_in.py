"""Signing in and out: the token of the link is traded for a cookie. Asking for a page changes nothing."""

import asyncio
import hmac
import re

from fasthtml.core import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Scope

from app.pages import error_answer, page, wants_fragment
from app.sessions import LIFETIME, cookie_name, cookie_of, sessions
from server.token import hashed
from templates import sign_in as show

# How many may wait for the answer to a wrong token; more are sent away.
WAITING = 20
SLOWEST = 8

rt = APIRouter()


@rt("/sign-in", methods=["get"])
async def show_sign_in(request: Request) -> Response:
    """The form, with the token of the link in it: one click is left."""
    return _form(request.query_params.get("token", ""), "/")


@rt("/sign-in", methods=["post"])
async def sign_in(request: Request) -> Response:
    """Trade the token for a session, and go where the person wanted to go."""
    form = await request.form()
    given, next = str(form.get("token", "")).strip(), path_of_this_app(str(form.get("next", "")))
    if not hmac.compare_digest(hashed(given), sessions.token.hash()):
        await wrong_tokens.slow_down()
        return _form("", next, "That is not the token. “python server.py token” shows it.", 401)
    wrong_tokens.forget()
    answer = RedirectResponse(next, 303)
    answer.set_cookie(
        cookie_name(request.scope),
        await sessions.begin(),
        max_age=LIFETIME,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


@rt("/sign-out", methods=["post"])
async def sign_out(request: Request) -> Response:
    """End this browser's session."""
    await sessions.end(cookie_of(request.scope))
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(cookie_name(request.scope), httponly=True, samesite="strict")
    return answer


def refusal(scope: Scope, status: int, words: str) -> Response:
    """The answer to whom the guard does not let through: where a page was wanted, the way in and then to that page."""
    request = Request(scope)
    if status != 401 or wants_fragment(request) or "application/json" in request.headers.get("accept", ""):
        return error_answer(request, status, words)
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return _form("", path_of_this_app(asked) if request.method == "GET" else "/", status=401)


def path_of_this_app(address: str) -> str:
    """An address to go to that leads nowhere else; the start page for any other."""
    # Browsers read \\ as /, and leave out tabs and line breaks.
    return address if re.fullmatch(r"/(?![/\\])[^\x00-\x20\x7f\\]*", address) else "/"


class WrongTokens:
    """Whoever tries tokens waits longer each time; whoever has the right one never waits."""

    def __init__(self) -> None:
        self.count = 0
        self.waiting = 0

    async def slow_down(self) -> None:
        """Wait before saying that a token is wrong; 429 where too many wait already."""
        if self.waiting >= WAITING:
            raise HTTPException(429, "Too many wrong tokens at once. Wait a moment.", {"retry-after": str(SLOWEST)})
        self.count += 1
        self.waiting += 1
        try:
            await asyncio.sleep(delay(self.count))
        finally:
            self.waiting -= 1

    def forget(self) -> None:
        """Begin anew: who holds the token has come."""
        self.count = 0


def delay(count: int) -> float:
    """The seconds that the answer to the so-manieth wrong token takes."""
    return min(SLOWEST, 0.25 * 2 ** min(count - 1, 10))


wrong_tokens = WrongTokens()


def _form(token: str, next: str, problem: str = "", status: int = 200) -> Response:
    form = show.sign_in_page(token, next, problem)
    return HTMLResponse(page("Sign in", form), status, {"cache-control": "no-store"})
