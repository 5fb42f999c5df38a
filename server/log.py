"""What is logged, and how: one line an event, as text for a person or as JSON for a program.

Each line of a request carries the request's id, which its answer carries as `X-Request-ID`. A line never holds a
control character, nor the value of a query parameter or form field that is a secret, and no client makes it long.
"""

import json
import logging
import re
import sys
import time
import traceback
from asyncio import CancelledError
from contextvars import ContextVar
from datetime import UTC, datetime
from itertools import count
from secrets import token_hex
from typing import Any, TextIO
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server import standard_streams

logger = logging.getLogger(__name__)

request_id: ContextVar[str] = ContextVar("request_id", default="")
# Everything that moves a terminal's cursor, changes its colours, begins a line of its own, or turns what follows.
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
SECRETS = frozenset(("token", "key", "secret", "password", "code"))
# How many characters a line has, each value of it in JSON, and the trace below it. What a client sends may be in all of
# them, and in the two that follow, an address that was asked for and who a proxy says that the client is, always is.
LINE_LIMIT = 8000
TRACE_LIMIT = 64_000
ADDRESS_LIMIT = 2000
CLIENT_LIMIT = 64


def config(level: str, format: str) -> dict[str, Any]:
    """What `logging.config.dictConfig` takes, for Uvicorn and for the app's own loggers alike."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": f"server.log.{'Json' if format == 'json' else 'Text'}Line"}},
        "filters": {"said elsewhere": {"()": "server.log.SaidElsewhere"}},
        "handlers": {
            "stderr": {
                "()": "server.log.Terminal",
                "formatter": "line",
                "filters": ["said elsewhere"],
            }
        },
        "root": {"handlers": ["stderr"], "level": level.upper()},
        "loggers": {
            # Each step of Uvicorn's start and end is for debugging; a person's terminal stays calm.
            "uvicorn.error": {"level": "WARNING" if level == "info" else level.upper()},
            # It tells of every file that changes, and of every second in which none did.
            "watchfiles": {"level": "WARNING"},
        },
    }


class Terminal(logging.StreamHandler[TextIO]):
    """Standard error, also of a process that Uvicorn has started, whatever becomes of it."""

    def __init__(self) -> None:
        standard_streams.take()
        super().__init__(sys.stderr)


class TextLine(logging.Formatter):
    """`18:20:01 INFO what happened`, with the trace of an exception below."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the trace of an exception indented below it."""
        moment = time.strftime("%H:%M:%S", time.localtime(record.created))
        id = request_id.get()
        message = _printable(shortened(record.getMessage(), LINE_LIMIT))
        line = f"{moment} {record.levelname:<7} {message}" + (f" [{id}]" if id else "")
        return "\n".join([line, *(f"    {_printable(each)}" for each in _trace(record).splitlines())])


class JsonLine(logging.Formatter):
    """One JSON object a line: time (UTC, ISO 8601), level, logger, message, and what else is known."""

    def format(self, record: logging.LogRecord) -> str:
        """The object as one line of ASCII."""
        known: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "request": request_id.get(),
            **getattr(record, "request", {}),
        }
        known = {
            name: shortened(value, LINE_LIMIT) if isinstance(value, str) else value for name, value in known.items()
        }
        known["trace"] = _trace(record)
        return json.dumps({name: value for name, value in known.items() if value != ""}, default=str)


class SaidElsewhere(logging.Filter):
    """Leaves out what Uvicorn logs beside a better line, or instead of one.

    Its own line for each WebSocket has the whole address in it, secrets and all. That requests were still under way
    when the server ended, it says for all of them, and again as a trace for each.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is another one."""
        if record.name != "uvicorn.error":
            return True
        is_cancelled = record.exc_info is not None and record.exc_info[0] is CancelledError
        return not (is_cancelled or str(record.msg).startswith('%s - "WebSocket %s"'))


class RequestLog:
    """ASGI middleware that logs a line for every request, and gives each an id."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._process = token_hex(3)
        self._numbers = count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        id = f"{self._process}-{next(self._numbers)}"
        request_id.set(id)
        began = time.perf_counter()
        status = 0

        async def send_noted(message: Message) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", id.encode())]
            elif message["type"] == "websocket.accept":
                status = 101
            await send(message)

        try:
            await self.app(scope, receive, send_noted)
        finally:
            _log(scope, status, (time.perf_counter() - began) * 1000)


def _log(scope: Scope, status: int, milliseconds: float) -> None:
    request = {
        "method": scope.get("method", "WEBSOCKET"),
        "path": shortened(address(scope), ADDRESS_LIMIT),
        "status": status,
        "ms": round(milliseconds, 1),
        "client": shortened(scope["client"][0], CLIENT_LIMIT) if scope.get("client") else "",
    }
    logger.info("%(method)s %(path)s %(status)s %(ms)s ms", request, extra={"request": request})


def address(scope: Scope) -> str:
    """Path and query of a request as a person reads them, without secrets."""
    query = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
    shown = "&".join(f"{name}={'…' if name.lower() in SECRETS else value}" for name, value in query)
    return scope["path"] + (f"?{shown}" if shown else "")


def shortened(text: str, limit: int) -> str:
    """The text, or its begin, its end and how long it is, where it has more characters than `limit`."""
    if len(text) <= limit:
        return text
    return f"{text[: limit // 2]}…{text[-(limit // 2) :]} ({len(text):,} characters)"


def _trace(record: logging.LogRecord) -> str:
    if not record.exc_info:
        return ""
    return shortened("".join(traceback.format_exception(*record.exc_info)), TRACE_LIMIT)


def _printable(text: str) -> str:
    """The text with its control characters written out."""
    return CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
