"""What a person sees when something went wrong: what it was, and what to do."""

from templates.parts.tags import (
    H1,
    A,
    Div,
    P,
    Safe,
    Section,
)
from templates.parts.toast import toast

TITLES = {
    400: "That request does not make sense",
    401: "Please sign in",
    403: "That is not allowed",
    404: "There is nothing here",
    405: "That cannot be done here",
    409: "Changed in the meantime",
    413: "That is too large",
    415: "That kind of file does not fit",
    422: "Something is missing or wrong",
    429: "Too many at once",
    431: "That is too large",
    500: "Something broke on our side",
    503: "Not at this moment",
    507: "There is no room for that",
}


def title(status: int) -> str:
    """The heading for an HTTP status."""
    return TITLES.get(status, "That did not work")


def error_page(status: int, message: str) -> Safe:
    """The content of a page that says what was wrong and where to go."""
    return Section(
        P(status, cls="error-status"),
        H1(title(status)),
        P(message),
        P(A("Go to the start", href="/", cls="button")),
        cls="card error-page",
    )


def error_toast(status: int, message: str) -> Safe:
    """The same, small, where a fragment was asked for."""
    return toast(Div(P(title(status), cls="toast-title"), P(message)), kind="error")
