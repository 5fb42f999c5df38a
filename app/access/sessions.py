"""Who may come in: this process's owner, on this machine, and each browser that shows a cookie it got for the token.

The files keep hashes of both, never what opens a door. A session ends 30 days after it was last used, 180 days after it
began, when it is signed out or ended from another browser, and with the token that it was made with.
"""

import logging
import secrets
import time
from collections.abc import Callable, Hashable
from functools import lru_cache
from pathlib import Path

from starlette.types import Scope

from app.access.access_file import AccessFile, Unreadable
from app.access.browser_names import browser_of
from app.access.request_limits import STRANGERS, client_of
from app.access.session_events import Kind, record
from app.database.sqlite_connections import Connection, Row
from app.pages.responses import assets
from app.pages.security_txt import PATH as SECURITY_TXT
from server.app_name import SLUG
from server.fragments import SIGNED_IN, cookies_of
from server.guard.middleware import ADMITTED, Refused, local_address
from server.guard.peer_account import (
    CONNECTION,
    OWNER,
    account_of,
    accounts_of_owner,
)
from server.guard.request_headers import headers_by_name
from server.settings import is_loopback
from server.sharing import one_time_links
from server.sharing.sign_in_token import Token, hashed

DAY = 24 * 60 * 60
LIFETIME = 180 * DAY
IDLE = 30 * DAY
# How long a person who has shown the token is not asked for it again.
CONFIRMED = 10 * 60
# When a session was last used is written once a minute; so is looked whether sessions have ended by themselves.
MINUTE = 60
# One person has so many browsers at most; of more sessions, those go that were not used for longest.
SESSIONS = 200
# What answers anyone: the way in, the health, and whom to tell of a security problem; beside them the static files.
SIGN_IN = "/sign-in"
# The bytes of a form that shows a token: from an address that asks too often, one of this size is read all the same.
SIGN_IN_BYTES = 2048
OPEN = frozenset((SIGN_IN, "/healthz", SECURITY_TXT))
SIGN_IN_FIRST = (
    "Sign in first: open the link that the server printed in its terminal; “python3 server.py token” shows it."
)
OF_ANOTHER_ACCOUNT = (
    "This app listens to programs of its owner's account on this machine alone, and this request is not known to be of "
    "one. Sign in with the link that “python3 server.py token” shows there. A proxy needs --proxy-headers, a container "
    "--host 0.0.0.0; an SSH tunnel goes to the owner's account."
)
# A session that another program has made something else of does not count.
SENSIBLE = (
    "typeof(created_at) = 'integer' AND typeof(used_at) = 'integer' AND typeof(confirmed_at) = 'integer' "
    "AND typeof(cookie_hash) = 'text' AND typeof(address) = 'text' AND typeof(browser) = 'text'"
)
TOO_OFTEN = "Too many requests come from your address. Wait a second, then try again."
UNREADABLE = "The file of those who may come in cannot be read, so nobody can be let in. Try again in a moment."

logger = logging.getLogger(__name__)


class Session:
    """A browser that has signed in, as the file has it; times in seconds since 1970."""

    __slots__ = ("address", "browser", "confirmed_at", "cookie_hash", "created_at", "id", "used_at", "written_at")

    def __init__(self, row: Row) -> None:
        self.id: int = row["id"]
        self.cookie_hash: str = row["cookie_hash"]
        self.created_at: int = row["created_at"]
        self.confirmed_at: int = row["confirmed_at"]
        self.address: str = row["address"]
        self.browser: str = row["browser"]
        # As this process knows it, and as it was written last.
        self.used_at: float = row["used_at"]
        self.written_at: float = row["used_at"]

    def is_over(self, now: float) -> bool:
        """Whether it has ended by itself."""
        return now >= self.created_at + LIFETIME or now >= self.used_at + IDLE

    def is_confirmed(self, now: float) -> bool:
        """Whether the person has shown the token a short while ago."""
        return now < self.confirmed_at + CONFIRMED


class Sessions:
    """The sessions of one data directory; `on_end` is called when this process has ended one."""

    def __init__(self) -> None:
        self.on_end: Callable[[], None] = lambda: None

    def open(self, directory: Path, is_private: bool) -> None:
        """Begin to know who may come in; the owner has to sign in only to what is not private."""
        self.token = Token(directory)
        self.file = AccessFile(directory)
        self._is_private = is_private
        self._owner = accounts_of_owner()
        # The sessions by their hash and, those that were used since they were read, by their cookie; and from when.
        self._by_hash: dict[str, Session] = {}
        self._by_cookie: dict[str, Session] = {}
        self._state: Hashable = None
        self._ended = 0
        self._reported = 0.0

    def admit(self, scope: Scope) -> None:
        """Raises Refused for a request that has to sign in first; marks those of the owner and of who is signed in."""
        if self._is_owner(scope):
            scope[ADMITTED] = OWNER
            return
        try:
            session, is_known = self.session_of(scope), True
        except Unreadable as error:
            session, is_known = None, False
            self._report(error)
        if session is not None:
            scope[SIGNED_IN] = "yes"
            scope[ADMITTED] = session.cookie_hash
            return
        if STRANGERS.wait(client_of(scope)) and not _shows_token(scope):
            raise Refused(429, TOO_OFTEN)
        if scope["path"] in OPEN or scope["path"].startswith(f"{assets.prefix}/"):
            return
        if not is_known:
            raise Refused(503, UNREADABLE)
        raise Refused(401, OF_ANOTHER_ACCOUNT if self.is_private(scope) else SIGN_IN_FIRST)

    def count(self, scope: Scope) -> None:
        """Raises Refused where requests of a stranger come too often; also those that nobody looks at further count."""
        if not self._is_owner(scope) and STRANGERS.wait(client_of(scope)):
            raise Refused(429, TOO_OFTEN)

    def may_stay(self, scope: Scope) -> bool:
        """Whether who was admitted may still be; raises one of Unreadable where that cannot be known."""
        return self._is_owner(scope) or self.session_of(scope) is not None

    def rights(self) -> Hashable:
        """Another value than before when somebody who was let in may not stay."""
        if self._state is not None:
            try:
                self._look()
            except Unreadable:
                return None
        return self._ended, int(time.time() // MINUTE)

    def session_of(self, scope: Scope) -> Session | None:
        """The session of this request; raises one of Unreadable where that cannot be known."""
        cookie = cookie_of(scope)
        if not cookie:
            return None
        self._look()
        session = self._by_cookie.get(cookie) or self._found(cookie)
        if session is None:
            return None
        now = time.time()
        if session.is_over(now):
            return None
        session.used_at = now
        return session

    def is_private(self, scope: Scope) -> bool:
        """Whether this is a connection by which only programs of this machine can come in."""
        return self._is_private and is_on_this_machine(local_address(scope))

    def all(self) -> list[Session]:
        """The sessions that have not ended, those used last first."""
        self._look()
        now = time.time()
        return sorted(
            (each for each in self._by_hash.values() if not each.is_over(now)), key=lambda each: -each.used_at
        )

    async def begin(self, scope: Scope, kind: Kind) -> str:
        """Make a session in the place of the one that this browser has, if any; the value of its cookie."""
        cookie, now = secrets.token_urlsafe(24), int(time.time())
        before, token_hash = hashed(cookie_of(scope)), self.token.hash()
        row = [hashed(cookie), token_hash, now, now, now, client_of(scope), browser_of(scope)]

        def change(connection: Connection) -> None:
            connection.execute("DELETE FROM sessions WHERE cookie_hash = ?", [before])
            connection.execute(
                "INSERT INTO sessions (cookie_hash, token_hash, created_at, used_at, confirmed_at, address, browser) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                row,
            )
            connection.execute(
                "DELETE FROM sessions WHERE id NOT IN (SELECT id FROM sessions ORDER BY used_at DESC, id DESC LIMIT ?)",
                [SESSIONS],
            )

        await self.file.write(change)
        record(self.file, scope, kind)
        self.on_end()
        return cookie

    async def confirm(self, session: Session, scope: Scope) -> None:
        """Take note that the person has shown the token again."""
        now = int(time.time())
        await self.file.write(
            lambda connection: connection.execute(
                "UPDATE sessions SET confirmed_at = ? WHERE id = ?", [now, session.id]
            )
        )
        record(self.file, scope, Kind.CONFIRMED)

    async def end(self, scope: Scope) -> None:
        """End the session of this request; who has a copy of its cookie is signed out too."""
        cookie_hash = hashed(cookie_of(scope))
        await self.file.write(
            lambda connection: connection.execute("DELETE FROM sessions WHERE cookie_hash = ?", [cookie_hash])
        )
        record(self.file, scope, Kind.SIGNED_OUT)
        self.on_end()

    async def end_one(self, id: int, scope: Scope) -> bool:
        """End a session by its number; whether there was one."""
        count: int = await self.file.write(
            lambda connection: connection.execute("DELETE FROM sessions WHERE id = ?", [id]).rowcount
        )
        if count:
            record(self.file, scope, Kind.ENDED)
            self.on_end()
        return count > 0

    async def end_others(self, scope: Scope) -> None:
        """End every session but that of this request."""
        own = hashed(cookie_of(scope))
        await self.file.write(
            lambda connection: connection.execute("DELETE FROM sessions WHERE cookie_hash <> ?", [own])
        )
        record(self.file, scope, Kind.ENDED_OTHERS)
        self.on_end()

    async def look_after(self) -> None:
        """Delete what has ended, write when sessions were used, and take note of a token that has changed."""
        one_time_links.sweep(self.file.path.parent)
        if self._state is None and not self.file.path.exists():
            return  # Nobody has ever signed in.
        self.file.look_after()
        self._look()
        now, token_hash = time.time(), self.token.hash()
        used = [each for each in self._by_hash.values() if each.used_at - each.written_at >= MINUTE]
        over = [each for each in self._by_hash.values() if each.is_over(now)]
        noted = [row[0] for row in self.file.rows("SELECT token_hash FROM tokens")]
        if not used and not over and noted == [token_hash]:
            return

        def change(connection: Connection) -> bool:
            connection.executemany(
                "UPDATE sessions SET used_at = max(used_at, ?) WHERE id = ?",
                [(int(each.used_at), each.id) for each in used],
            )
            connection.executemany("DELETE FROM sessions WHERE id = ?", [(each.id,) for each in over])
            before = [row[0] for row in connection.execute("SELECT token_hash FROM tokens")]
            if before != [token_hash]:
                connection.execute("DELETE FROM sessions WHERE token_hash <> ?", [token_hash])
                connection.execute("DELETE FROM tokens")
                connection.execute("INSERT INTO tokens VALUES (?)", [token_hash])
            return before not in ([], [token_hash])

        if await self.file.write(change):
            record(self.file, None, Kind.NEW_TOKEN)

    def _is_owner(self, scope: Scope) -> bool:
        """Whether the owner's own account, or root, has opened this connection; found out once for all its requests."""
        connection = scope.get(CONNECTION)
        if connection is not None and OWNER in connection:
            return bool(connection[OWNER])
        is_owner = self.is_private(scope) and account_of(scope) in self._owner
        scope.setdefault(CONNECTION, {})[OWNER] = is_owner
        return is_owner

    def _look(self) -> None:
        """Read the sessions anew where the file or the token has changed."""
        state = self.file.state(), self.token.hash()
        if state == self._state:
            return
        found = self.file.rows(f"SELECT * FROM sessions WHERE token_hash = ? AND {SENSIBLE}", [state[1]])
        before = self._by_hash
        self._by_hash = {row["cookie_hash"]: Session(row) for row in found}
        for hash, session in self._by_hash.items():
            if hash in before:
                session.used_at = max(session.used_at, before[hash].used_at)
        self._by_cookie.clear()
        self._ended += not before.keys() <= self._by_hash.keys()
        # The file is looked at before it is read: what is committed in between is noticed at the next call.
        self._state = state

    def _report(self, error: Exception) -> None:
        """Log that the file cannot be read, once a minute: any stranger can have it tried."""
        now = time.monotonic()
        if now >= self._reported + MINUTE or not self._reported:
            self._reported = now
            logger.error("Who is signed in cannot be read, so nobody can be let in: %s.", error)

    def _found(self, cookie: str) -> Session | None:
        """The session of a cookie that was not seen since the sessions were read."""
        session = self._by_hash.get(hashed(cookie))
        if session is not None:
            self._by_cookie[cookie] = session
        return session


def _shows_token(scope: Scope) -> bool:
    """Whether this may be a token, by its size: one that is right is never refused for others of the same address."""
    if scope["path"] != SIGN_IN or scope.get("method") != "POST":
        return False
    size = headers_by_name(scope).get(b"content-length", b"")
    return size.isdigit() and len(size) <= len(str(SIGN_IN_BYTES)) and int(size) <= SIGN_IN_BYTES


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
