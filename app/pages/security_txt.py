"""`/.well-known/security.txt` (RFC 9116): who is told of a security problem, where somebody has said so.

It is nobody's who has not set it: a fork that served the address of those before it would send reports to the wrong
people. The date on which it expires is counted from today, as it is right for as long as a server says it.
"""

from datetime import UTC, datetime, time, timedelta

from fasthtml.core import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse

from app.settings import settings

PATH = "/.well-known/security.txt"
# The RFC wants less than a year.
VALID = timedelta(days=180)

rt = APIRouter()


@rt(PATH, methods=["get"])
def security_txt() -> PlainTextResponse:
    """Contact and expiry; open to everybody."""
    if not settings.security_contact:
        raise HTTPException(404, "Nobody has said who is told of security problems here. --security-contact says it.")
    until = datetime.combine(datetime.now(UTC).date() + VALID, time(), UTC)
    lines = (f"Contact: {settings.security_contact}", f"Expires: {until:%Y-%m-%dT%H:%M:%SZ}", "Preferred-Languages: en")
    return PlainTextResponse("".join(f"{line}\n" for line in lines))
