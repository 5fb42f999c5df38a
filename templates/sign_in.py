"""The way in from another machine: one field for the token, one button."""

from templates.tags import H1, Button, Form, Input, Label, P, Safe, Section

HOW = (
    "Open the link that the server printed in its terminal, or paste the token. "
    "“python server.py token” shows both again."
)


def sign_in_page(token: str, next: str, problem: str = "") -> Safe:
    """The form, filled in where the link held the token; `next` is the page that was wanted."""
    return Section(
        H1("Sign in"),
        P(problem, cls="form-error", role="alert") if problem else P(HOW),
        Form(
            Label(
                "Token",
                Input(
                    name="token",
                    type="password",
                    value=token,
                    required=True,
                    autofocus=not token,
                    autocomplete="current-password",
                ),
            ),
            Input(type="hidden", name="next", value=next),
            Button("Sign in", cls="button primary", autofocus=bool(token)),
            method="post",
            action="/sign-in",
            cls="sign-in",
        ),
        cls="card error-page",
    )
