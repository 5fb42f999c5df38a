"""Who is signed in: where other machines can reach the app, each browser shows a cookie that it got for the token.

The file keeps hashes of both, never what opens a door. Programs of this machine need none while the app listens to them
alone.
"""

import secrets
import time
from functools import lru_cache
from pathlib import Path

from sqlite_utils.utils import sqlite3
from starlette.types import Scope

from app.db import db
from app.pages import assets
from server.fragments import SIGNED_IN, cookies_of
from server.guard import ADMITTED, Refused, local_address
from server.name import SLUG
from server.settings import is_loopback
from server.token import Token, hashed

LIFETIME = 180 * 24 * 60 * 60
HAS_ENDED = f"created_at < strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-{LIFETIME} seconds')"
# What answers anyone: the way in and the health; beside them the static files.
OPEN = frozenset(("/sign-in", "/healthz"))
SIGN_IN_FIRST = (
    "Sign in first: open the link that the server printed in its terminal; “python server.py token” shows it."
)


class Sessions:
    """The sessions of one data directory."""

    def open(self, directory: Path, is_private: bool) -> None:
        """Begin to know who may come in; nobody has to sign in to what is private, as far as its connections are."""
        self.token = Token(directory)
        self._is_private = is_private
        # When the sessions end that were looked up since the last commit, and what the answers hold for.
        self._ends: dict[str, float] = {}
        self._state: tuple[int, str] | None = None

    def admit(self, scope: Scope) -> None:
        """Raises Refused for a request that has to sign in first; marks one that is signed in."""
        if self._is_private and is_on_this_machine(local_address(scope)):
            scope[ADMITTED] = True
            return
        if scope["path"] in OPEN or scope["path"].startswith(f"{assets.prefix}/"):
            return
        try:
            known = self._is_known(cookie_of(scope))
        except sqlite3.Error:
            raise Refused(503, "The database cannot be read, so nobody can be let in. Try again in a moment.") from None
        if not known:
            raise Refused(401, SIGN_IN_FIRST)
        scope[SIGNED_IN] = "yes"
        scope[ADMITTED] = True

    async def begin(self) -> str:
        """Make a session; the value of its cookie."""
        cookie = secrets.token_urlsafe(24)
        row = [hashed(cookie), self.token.hash()]
        await db.write(
            lambda connection: connection.execute("INSERT INTO sessions (cookie_hash, token_hash) VALUES (?, ?)", row)
        )
        return cookie

    async def end(self, cookie: str) -> None:
        """End the session of this cookie; who has a copy of it is signed out too."""
        await db.write(
            lambda connection: connection.execute("DELETE FROM sessions WHERE cookie_hash = ?", [hashed(cookie)])
        )

    async def sweep(self) -> None:
        """Delete what has ended by itself."""
        if await db.read(f"SELECT 1 FROM sessions WHERE {HAS_ENDED} LIMIT 1"):
            await db.write(lambda connection: connection.execute(f"DELETE FROM sessions WHERE {HAS_ENDED}"))

    def _is_known(self, cookie: str) -> bool:
        if not cookie:
            return False
        state = db.token(), self.token.hash()
        if state != self._state:
            self._ends.clear()
            self._state = state
        end = self._ends.get(cookie)
        if end is None:
            found = db.read_now(
                "SELECT CAST(strftime('%s', created_at) AS INTEGER) FROM sessions "
                "WHERE cookie_hash = ? AND token_hash = ?",
                [hashed(cookie), state[1]],
            )
            if not found:
                return False
            end = self._ends[cookie] = found[0][0] + LIFETIME
        return time.time() < end


def cookie_of(scope: Scope) -> str:
    """The cookie of a session; empty where there is none."""
    return cookies_of(scope).get(cookie_name(scope), "")


def cookie_name(scope: Scope) -> str:
    """Cookies know no ports: two apps on one machine would take each other's without one in the name."""
    return f"{SLUG}_access_{(scope.get('server') or ('', 0))[1]}"


@lru_cache(maxsize=256)
def is_on_this_machine(address: str) -> bool:
    """Whether only programs of this machine can come in at an address, or at the file of a socket."""
    return address.startswith("/") or is_loopback(address.removeprefix("::ffff:"))


sessions = Sessions()
