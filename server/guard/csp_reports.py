"""What browsers refuse because of the Content-Security-Policy, as one line each in the log; in development only.

Without it an inline script or a style attribute that a template has got is silently without effect. The reports are
those of CSP Level 3, section 5.3 (`report-uri`), which every browser sends at once and to this origin.
"""

import json
import logging
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

PATH = "/development/refused"
# Of one report, and of one of its values.
LIMIT, VALUE_LIMIT = 16384, 200
# A page that is refused a hundred things is one page to be mended.
LINES, SECONDS = 10, 10
EXTENSION = "-extension:"

logger = logging.getLogger(__name__)


class Reports:
    """The place that reports are sent to. So many lines in so many seconds are logged, and how many more there were."""

    def __init__(self) -> None:
        self._begun = 0.0
        self._count = 0

    async def take(self, request: Request) -> Response:
        """Log what was refused."""
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > LIMIT:
                return Response("A report is shorter.", 413)
        try:
            report = json.loads(body)["csp-report"]
            words = _words(report)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return Response("This is no report of a Content-Security-Policy.", 400)
        # What extensions of the browser want to do on the page is not the app's.
        if EXTENSION not in f"{report.get('source-file')} {report.get('blocked-uri')}":
            self._log(words)
        return Response(status_code=204)

    def _log(self, words: str) -> None:
        now = time.monotonic()
        if now - self._begun > SECONDS:
            if self._count > LINES:
                logger.warning("Browsers have refused %s more things.", self._count - LINES)
            self._begun, self._count = now, 0
        self._count += 1
        if self._count <= LINES:
            logger.warning("%s", words)


def _words(report: dict[str, Any]) -> str:
    """One line of what, where and by which directive."""

    def told(name: str) -> str:
        return " ".join(str(report.get(name) or "").split())[:VALUE_LIMIT]

    directive = told("effective-directive") or told("violated-directive")
    place = ":".join(filter(None, (told("source-file"), told("line-number"))))
    sample = told("script-sample")
    parts = [
        f"The browser refused “{told('blocked-uri')}” on {told('document-uri')}: {directive} of the policy forbids it",
        f"it stands in {place}" if place else "",
        f"it begins with “{sample}”" if sample else "",
    ]
    return "; ".join(filter(None, parts)) + "."
