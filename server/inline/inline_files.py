"""Files of inline scripts and styles, each under the hash of its content.

What they hold are constants of the source (`server/inline/source_constants.py`), which `templates/parts/inline_code.py`
takes off the pages. A file is written into the directory of the data before the page that names it is sent. So every
worker has what any of them has named, and so has the process that serves after an edit, for the pages of the one
before. A browser may keep a file for ever. A file is served only if its content has the hash that its name says.

There are at most FILES of them: the oldest go, which no page of the present code names.
"""

import asyncio
import contextlib
import logging
import os
import re
import sys
from contextvars import ContextVar
from hashlib import blake2b
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from server import private_files
from server.assets import FOR_EVER
from server.inline.source_constants import is_constant
from server.reload.edits.loaded_files import is_own

PREFIX = "/inline"
FILES = 2000
# What is left out is said so often at most, each place once.
TOLD = 256
TYPES = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}
# These write tags for others.
WRITERS = (os.path.join("server", "inline_files.py"), "tags.py", "inline.py")
_NAME = re.compile(r"/([0-9a-f]{24})\.(js|css)")

logger = logging.getLogger(__name__)
# The address that is being answered, for the words about what was left out of it.
route: ContextVar[str] = ContextVar("route", default="")


class InlineFiles:
    """The ASGI app at PREFIX, and what the tags ask about scripts and styles.

    `directory` is where the files are; the directory above it has to be there.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        # What this process has named; a constant more is a file more.
        self._hashes: dict[tuple[str, str], str] = {}
        self._contents: dict[str, bytes] = {}
        self._told: set[tuple[str, str]] = set()

    def is_constant(self, text: str) -> bool:
        """Whether this very object is a constant of the source."""
        return is_constant(text)

    def keep(self, content: str, kind: str) -> str:
        """Keep a file of this kind; the hash by which it is asked for."""
        hash = self._hashes.get((content, kind))
        if hash is None:
            body = content.encode()
            hash = _digest(body)
            self._write(f"{hash}.{kind}", body)
            self._hashes[content, kind] = hash
        return hash

    def address(self, hash: str, kind: str) -> str:
        """Where the browser finds a file."""
        return f"{PREFIX}/{hash}.{kind}"

    def refuse(self, what: str, text: str, remedy: str) -> None:
        """Say once for each address that something was left out, and how it is written instead."""
        where = route.get()
        if (where, what) in self._told or len(self._told) >= TOLD:
            return
        self._told.add((where, what))
        logger.warning(
            "%s: %s was put together at run time, so nobody can tell whose it is, and it is left out. Write %s. It "
            "begins with “%s”%s.",
            where or "Outside a request",
            what,
            remedy,
            " ".join(text.split())[:80],
            _place(),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a file, to be kept for ever."""
        found = _NAME.fullmatch(scope["path"].removeprefix(scope.get("root_path", "")).removeprefix(PREFIX))
        content = await self._content(found[1], found[2]) if found and scope["method"] in ("GET", "HEAD") else None
        if found is None or content is None:
            raise HTTPException(404)
        body = content if scope["method"] == "GET" else b""
        headers = {"content-type": TYPES[found[2]], "cache-control": FOR_EVER}
        await Response(body, headers=headers)(scope, receive, send)

    async def _content(self, hash: str, kind: str) -> bytes | None:
        name = f"{hash}.{kind}"
        if name in self._contents:
            return self._contents[name]
        with contextlib.suppress(OSError):
            content = await asyncio.to_thread((self._directory / name).read_bytes)
            if _digest(content) == hash:
                return content
        return None

    def _write(self, name: str, content: bytes) -> None:
        self._contents[name] = content
        try:
            # Not those above it: where the data are gone, no directory is made in their place.
            self._directory.mkdir(mode=0o700, exist_ok=True)
            path = self._directory / name
            if path.exists():
                path.touch()
                return
            private_files.put(path, content)
            self._make_room()
        except OSError as error:
            logger.warning("The inline code of a page is known to this process alone until it ends: %s.", error)

    def _make_room(self) -> None:
        files = [path for path in self._directory.iterdir() if path.suffix[1:] in TYPES]
        if len(files) > FILES:
            files.sort(key=lambda path: path.stat().st_mtime)
            for path in files[: len(files) - FILES]:
                path.unlink(missing_ok=True)


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=12).hexdigest()


def _place() -> str:
    """Where in the project a tag is written, if that goes on at this moment: FastHTML's are written later."""
    frame = sys._getframe(1)
    while frame is not None and not frame.f_globals.get("__name__", "").startswith("fasthtml"):
        path = frame.f_code.co_filename
        if is_own(path) and not path.endswith(WRITERS):
            return f", in {path}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return ""
