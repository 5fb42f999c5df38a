"""Toasts: short messages at the foot of the page."""

from templates.parts.tags import Button, Div, Safe


def toast(*content: object, id: str | None = None, kind: str = "note") -> Safe:
    """A short message at the foot of the page; it can be closed, and a note goes by itself."""
    return Div(
        content,
        Button(cls="icon-button close", type="button", data_close=True, aria_label="Close this message"),
        id=id,
        cls=f"toast {kind}",
    )
