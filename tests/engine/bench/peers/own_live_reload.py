"""This app under `uvicorn --reload`, with FastHTML's own live reload instead of ours.

Its script comes as a file, as the policy of our pages lets none run that stands in the page. Styles are sent as they
are, as in development of ours.
"""

from typing import Any

from fasthtml.live_reload import LiveReloadJs, live_reload_ws
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute

from app.pages import responses
from templates.parts.tags import Script

_own = responses.head


def head() -> tuple[Any, ...]:
    """The head of every page, with one script more."""
    return *_own(), Script(src="/live-reload.js", defer=True)


responses.head = head
responses.assets.packs = False

from app.main import app  # noqa: E402 - with the other head


async def script(request: Request) -> Response:
    """FastHTML's script."""
    return Response(LiveReloadJs().children[0], media_type="text/javascript")


app.router.routes[:0] = [Route("/live-reload.js", script), WebSocketRoute("/live-reload", live_reload_ws)]
