"""What went wrong in the code, for the one who writes it: message, file, line, the lines around it.

Made from the text of a traceback, as that is what every way of failing leaves: a module that cannot be imported, an app
that cannot start, an exception in a request. Shown in the terminal and in the browser, in development only, and there
to the owner of the code alone.
"""

import html
import re
import signal
from collections.abc import Sequence
from itertools import dropwhile
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.types import Receive, Scope, Send

from server.guard.middleware import Guard
from server.guard.peer_account import account_of, accounts_of_owner
from server.reload import handover
from server.reload.start_errors import Offer
from server.settings import EDITORS

LINES_AROUND = 4
NO_APP = "<!doctype html><title>No app</title><p>The app could not start. The terminal of the server says why.</p>"
AGAIN_PATH = "/development/again"
CHOOSE_PATH = "/development/choose"
AGAIN = (
    f'<form method="post" action="{AGAIN_PATH}"><p>It starts again at the next edit. <button>Start now</button></form>'
)
# The style and the script of these pages.
DEVELOPMENT = Path(__file__).resolve().parent / "development"
# A group of exceptions has its traceback behind a margin.
_PLACE = re.compile(r'^[ |]*File "(.+?)", line (\d+).*', re.MULTILINE)
_MARGIN = re.compile(r"^ *(?:\+-.*|\| ?)")


class Failure(NamedTuple):
    """One failure; `lines` are those around it with their numbers, none where no file of the project is to blame."""

    message: str
    file: Path | None
    line: int
    lines: list[tuple[int, str]]
    trace: str


def failure(trace: str, root: Path) -> Failure:
    """The failure that a traceback tells of; the place is the last one inside `root` that is not a package's."""
    places = [(Path(file), int(line)) for file, line in _PLACE.findall(trace)]
    own = [place for place in places if place[0].is_relative_to(root) and ".venv" not in place[0].parts]
    file, line = own[-1] if own else (None, 0)
    return Failure(_message(trace), file, line, _around(file, line), trace)


def shown(path: Path, root: Path) -> str:
    """A file as the person knows it: within the project from its root, elsewhere whole."""
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def as_text(failure: Failure, root: Path, meanwhile: str) -> str:
    """A block for the terminal; what is served `meanwhile` is part of it."""
    place = f"{shown(failure.file, root)}:{failure.line}" if failure.file else "no file of this project"
    lines = [f"{'>' if number == failure.line else ' '} {number:5} | {text}" for number, text in failure.lines]
    bar = "─" * 72
    return "\n".join([bar, failure.message, f"in {place}. {meanwhile}", *lines, bar])


def as_html(failure: Failure, root: Path, editor: str, more: str = "") -> str:
    """The same for the browser, with a link that opens the editor, and what `more` there is to do, as HTML."""
    place = ""
    if failure.file:
        file = "/" + failure.file.as_posix().lstrip("/")
        address = EDITORS.get(editor, editor).replace("{file}", quote(file, "/:")).replace("{line}", str(failure.line))
        words = f"{shown(failure.file, root)}:{failure.line}"
        place = f'<p><a href="{html.escape(address)}">{html.escape(words)}</a></p>'
    lines = "".join(
        f'<li value="{number}"{" class=here" if number == failure.line else ""}><code>{html.escape(text)}</code></li>'
        for number, text in failure.lines
    )
    return (
        f'<section role="alert" class="failure"><h1>{html.escape(failure.message)}</h1>{place}'
        + (f"<ol>{lines}</ol>" if lines else "")
        + f"{more}<details><summary>Traceback</summary><pre>{html.escape(failure.trace)}</pre></details></section>"
    )


def offered(offers: Sequence[Offer]) -> str:
    """What can be done, as HTML, with a button for each choice."""
    return "".join(f"<p>{html.escape(offer.words)}</p>{_button(offer) if offer.choice else ''}" for offer in offers)


def _button(offer: Offer) -> str:
    return (
        f'<form method="post" action="{CHOOSE_PATH}"><p><button name="choice" value="{html.escape(offer.choice)}">'
        f"{html.escape(offer.label)}</button></p></form>"
    )


def as_page(failure: Failure, root: Path, editor: str, more: str = "") -> str:
    """A whole page, where there is no other to lay it over; it is loaded again when other code serves."""
    return page_of(as_html(failure, root, editor, more))


def page_of(failure: str) -> str:
    """Such a page of what `as_html` has made."""
    return (
        '<!doctype html><html lang="en" data-failed><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>It failed</title>'
        '<link rel="stylesheet" href="/development/reload.css"><script src="/development/reload.js" defer></script>'
        f"</head><body>{failure}</body></html>"
    )


class StandIn:
    """The ASGI app that serves where none does: it says why, until the code is mended, or AGAIN was pressed.

    Nobody can sign in to it. So it tells that to the owner's own processes, where only this machine comes in
    (`is_private`). All others, as where the system does not say whose a process is, hear that there is no app.
    """

    def __init__(self, page: str, hosts: tuple[str, ...], *, is_private: bool) -> None:
        self.page = page
        self.hosts = hosts
        self.is_private = is_private

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        guard = Guard(self._answer, hosts=self.hosts, is_private=self.is_private, behind_proxy=not self.is_private)
        await guard(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not (self.is_private and account_of(scope) in accounts_of_owner()):
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1013, "reason": "There is no app yet."})
            else:
                await HTMLResponse(NO_APP, 503, {"cache-control": "no-store"})(scope, receive, send)
            return
        if scope["type"] == "websocket":
            # It closes when another version serves; that is what the page waits for.
            await send({"type": "websocket.accept"})
            while (await receive())["type"] != "websocket.disconnect":
                pass
            return
        if scope["method"] == "POST" and scope["path"] == AGAIN_PATH:
            signal.raise_signal(signal.SIGTERM)  # The reloader starts the app in its place.
            await Response(status_code=204)(scope, receive, send)
            return
        if scope["method"] == "POST" and scope["path"] == CHOOSE_PATH:
            await choose(Request(scope, receive))
            await Response(status_code=204)(scope, receive, send)
            return
        file = DEVELOPMENT / Path(scope["path"]).name
        is_own = scope["path"].startswith("/development/") and file.is_file()
        answer = FileResponse(file) if is_own else HTMLResponse(self.page, 500, {"cache-control": "no-store"})
        await answer(scope, receive, send)


async def choose(request: Request) -> None:
    """Tell the reloader what was chosen."""
    async with request.form(max_files=0, max_fields=1) as form:
        handover.choose(str(form.get("choice", "")))


def _message(trace: str) -> str:
    """What stands below the last place and its line of code."""
    *_, below = _PLACE.split(trace)
    lines = (_MARGIN.sub("", line) for line in below.splitlines())
    told = dropwhile(lambda line: not line or line.startswith(" "), lines)
    return "\n".join(told).strip() or "It failed without a word."


def _around(file: Path | None, line: int) -> list[tuple[int, str]]:
    if file is None:
        return []
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    first = max(1, line - LINES_AROUND)
    return [(number, lines[number - 1]) for number in range(first, min(len(lines), line + LINES_AROUND) + 1)]
