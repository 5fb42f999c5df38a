"""Events of sessions, in the log and in a table: sign-ins, failed ones, sign-outs, ended sessions, new tokens."""

import logging
import time
from enum import StrEnum
from typing import NamedTuple

from starlette.types import Scope

from app.access.access_file import AccessFile
from app.access.browser_names import browser_of
from app.access.request_limits import client_of
from app.database.sqlite_connections import Connection
from app.records.record_columns import columns_of, records_of

logger = logging.getLogger(__name__)

# So many are kept of each kind, so that those that a stranger can cause push out no others, and for so long.
EVENTS = 200
KEPT_SECONDS = 365 * 24 * 60 * 60
SHOWN = 50


class Kind(StrEnum):
    """The kinds of events; the value is what the list shows."""

    SIGNED_IN = "Signed in with the token"
    SIGNED_IN_ONCE = "Signed in with a link for once"
    CONFIRMED = "Showed the token again"
    WRONG_TOKEN = "Tried a wrong token"
    SIGNED_OUT = "Signed out"
    ENDED = "Ended another session"
    ENDED_OTHERS = "Ended all other sessions"
    NEW_TOKEN = "A new token ended all sessions"


class Event(NamedTuple):
    """One event; its moment in seconds since 1970, and how often it had come by then where it comes again and again."""

    at: int
    kind: str
    address: str
    browser: str
    tries: int


def record(file: AccessFile, scope: Scope | None, kind: Kind, tries: int = 1) -> None:
    """Log what has happened, and keep it; of what nobody asked for there is no `scope`."""
    address, browser = (client_of(scope), browser_of(scope)) if scope else ("", "")
    logger.log(
        logging.WARNING if kind is Kind.WRONG_TOKEN else logging.INFO,
        "%s%s%s%s.",
        kind,
        f": {address}" if address else "",
        f", {browser}" if browser else "",
        f" ({tries} tries)" if tries > 1 else "",
    )
    now = int(time.time())

    def keep(connection: Connection) -> None:
        connection.execute(
            "INSERT INTO events (at, kind, address, browser, tries) VALUES (:at, :kind, :address, :browser, :tries)",
            {"at": now, "kind": str(kind), "address": address, "browser": browser, "tries": tries},
        )
        connection.execute(
            "DELETE FROM events WHERE at < ? OR (kind = ? AND id <= "
            "(SELECT id FROM events WHERE kind = ? ORDER BY id DESC LIMIT 1 OFFSET ?))",
            [now - KEPT_SECONDS, str(kind), str(kind), EVENTS],
        )

    file.write_soon(keep)


def recent(file: AccessFile) -> list[Event]:
    """The last events, newest first."""
    # Another program may have put anything there.
    in_sql = {name: f"CAST({name} AS TEXT)" for name in ("kind", "address", "browser")}
    asked = columns_of(Event, in_sql | {"tries": "CAST(tries AS INTEGER)"})
    return records_of(Event, file.rows(f"SELECT {asked} FROM events ORDER BY id DESC LIMIT ?", [SHOWN]))
