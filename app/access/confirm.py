"""Asking again: before what takes all data away, or all sessions, the token is shown once more.

A browser that was left signed in is then not enough. Nobody is asked where only programs of this machine come in.
"""

import time
from urllib.parse import quote

from fasthtml.core import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from app.access.request_limits import EXPORTS, UPLOADS, client_of
from app.access.return_addresses import path_of_this_app
from app.access.sessions import sessions
from app.access.sign_in import NO_STORE, WRONG_TOKEN, is_token
from app.access.wrong_tokens import wrong_tokens
from app.pages.responses import (
    error_answer,
    page,
    wants_fragment,
    wants_json,
)
from app.records.forms import read_form
from templates.pages import sign_in as show

# What an address in a header is written with; anything else, as a letter that is no ASCII, is put in percent.
URL_SAFE = ":/%#?=@[]!$&'()*+,;"
FIRST = "Show the token again first: this needs more than a browser that is signed in."

rt = APIRouter()


class ConfirmFirst(HTTPException):
    """The person has to show the token again before this is done."""

    def __init__(self) -> None:
        super().__init__(403, FIRST)


def check_export(request: Request) -> None:
    """Raises HTTPException where a client exports too often, or has to show the token again first."""
    if _is_asked(request):
        check_confirmed(request)
        EXPORTS.check(client_of(request.scope), "exports")


def check_upload(request: Request) -> None:
    """Raises HTTPException where a client uploads too often."""
    if _is_asked(request):
        UPLOADS.check(client_of(request.scope), "uploads")


def check_confirmed(request: Request) -> None:
    """Raises ConfirmFirst where the person has to show the token again first."""
    session = sessions.session_of(request.scope)
    if _is_asked(request) and (session is None or not session.is_confirmed(time.time())):
        raise ConfirmFirst


async def ask(request: Request, error: Exception) -> Response:
    """The answer to ConfirmFirst: the form, and then on to what was asked for."""
    if wants_fragment(request) or wants_json(request):
        return error_answer(request, 403, FIRST)
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return _form(path_of_this_app(asked) if request.method == "GET" else "/access")


@rt("/sign-in/confirm", methods=["post"])
async def confirm(request: Request) -> Response:
    """Take the token, and go on."""
    form = await read_form(request)
    next = path_of_this_app(str(form.get("next", "")))
    session = sessions.session_of(request.scope)
    if session is not None:
        if not is_token(str(form.get("token", ""))):
            await wrong_tokens.slow_down(request.scope)
            return _form(next, WRONG_TOKEN)
        await sessions.confirm(session, request.scope)
        wrong_tokens.forget(request.scope)
    # A download leaves the page as it is, so the page that asked must not stay.
    headers = {**NO_STORE, "refresh": f"0; url={quote(next, safe=URL_SAFE)}"}
    return HTMLResponse(page("Thank you", show.confirmed_page(next)), headers=headers)


def _is_asked(request: Request) -> bool:
    """Whether others than programs of this machine come in where this request came in."""
    return not sessions.is_private(request.scope)


def _form(next: str, problem: str = "") -> Response:
    return HTMLResponse(page("Show the token again", show.confirm_page(next, problem)), 403, NO_STORE)
