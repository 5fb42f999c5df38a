"""The page of who is signed in: each session, what has happened at the door, and the ways to end it."""

from fasthtml.core import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.access import session_events
from app.access.confirm import check_confirmed
from app.access.session_events import Kind
from app.access.sessions import sessions
from app.access.sign_in import NO_STORE, set_cookie
from app.pages.responses import page
from app.settings import settings
from server.fragments import zone
from server.sharing import sign_in_token

rt = APIRouter()


@rt("/access", methods=["get"])
async def show_access(request: Request) -> Response:
    """Who is signed in, this browser first, and the last events."""
    from templates.pages import sessions as show  # Seldom looked at, and a start waits for nothing.

    own = sessions.session_of(request.scope)
    shown = [
        show.Browser(
            id=each.id,
            name=each.browser,
            address=each.address,
            since=each.created_at,
            used=each.used_at,
            is_this=own is not None and each.id == own.id,
        )
        for each in sorted(sessions.all(), key=lambda each: own is None or each.id != own.id)
    ]
    recent = [
        show.Event(at=each.at, what=each.kind, address=each.address, browser=each.browser, tries=each.tries)
        for each in session_events.recent(sessions.file)
    ]
    return HTMLResponse(page("Who is signed in", show.access_page(shown, recent, zone())), headers=NO_STORE)


@rt("/access/{id:id}/end", methods=["post"])
async def end_session(request: Request, id: int) -> Response:
    """End one session."""
    if not await sessions.end_one(id, request.scope):
        raise HTTPException(404, "This session has ended already.")
    return RedirectResponse("/access", 303)


@rt("/access/end-others", methods=["post"])
async def end_others(request: Request) -> Response:
    """End every session but this browser's."""
    await sessions.end_others(request.scope)
    return RedirectResponse("/access", 303)


@rt("/access/token", methods=["post"])
async def renew_token(request: Request) -> Response:
    """Make a new token, which ends every session; this browser has a new one."""
    from templates.pages.sessions import new_link_page

    check_confirmed(request)
    has_session = sessions.session_of(request.scope) is not None
    new = sign_in_token.renew(settings.data)
    link = sign_in_token.link_of(new, str(request.base_url).rstrip("/"))
    answer = HTMLResponse(page("The new link", new_link_page(link)), headers=NO_STORE)
    if has_session:
        set_cookie(answer, request, await sessions.begin(request.scope, Kind.SIGNED_IN))
    return answer
