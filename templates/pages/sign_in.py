"""The way in: one field for the token, one button; and the same again before what needs more than a session."""

from templates.parts.tags import (
    H1,
    A,
    Button,
    Form,
    Input,
    Label,
    P,
    Safe,
    Section,
)

HOW = (
    "Open the link that the server printed in its terminal, or paste the token. "
    "“python3 server.py token” shows both again."
)
AGAIN = (
    "This takes all data out, or signs everybody out, so a browser that is signed in is not enough. Show the token "
    "again; for ten minutes you are not asked any more. “python3 server.py token” shows it."
)
ONCE = "This link signs you in once. If nothing happens, press the button."


def sign_in_page(token: str, code: str, next: str, problem: str = "", how: str = "") -> Safe:
    """The form, filled in where the link held the token or a code for once; `next` is the page that was wanted.

    `problem` is what was wrong with the last try, `how` says it otherwise than usual how to sign in.
    """
    if code:
        return Section(
            H1("Sign in"),
            P(ONCE),
            Form(
                Input(type="hidden", name="code", value=code),
                Input(type="hidden", name="next", value=next),
                Button("Sign in", cls="button primary", autofocus=True),
                method="post",
                action="/sign-in",
                cls="sign-in",
                data_sent_at_once=True,
            ),
            cls="card error-page",
        )
    return Section(
        H1("Sign in"), _said(problem, how or HOW), _form("/sign-in", token, next, "Sign in"), cls="card error-page"
    )


def confirm_page(next: str, problem: str = "") -> Safe:
    """The form that asks for the token again; `next` is what was asked for."""
    return Section(
        H1("Show the token again"),
        _said(problem, AGAIN),
        _form("/sign-in/confirm", "", next, "Go on"),
        cls="card error-page",
    )


def confirmed_page(next: str) -> Safe:
    """What is left on the screen when the browser has gone on by itself to `next`, which may be a download."""
    return Section(
        H1("Thank you"),
        P("It goes on by itself. If it does not, ", A("go on here", href=next), "."),
        P(A("Go to the start", href="/", cls="button")),
        cls="card error-page",
    )


def _said(problem: str, how: str) -> Safe:
    return P(problem, cls="form-error", role="alert") if problem else P(how)


def _form(action: str, token: str, next: str, button: str) -> Safe:
    return Form(
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
        Button(button, cls="button primary", autofocus=bool(token)),
        method="post",
        action=action,
        cls="sign-in",
    )
