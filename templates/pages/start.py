"""The page of an app without a feature: what this is, and how the first one is made."""

from collections.abc import Mapping

from templates.parts.tags import (
    H1,
    H2,
    Article,
    Button,
    Code,
    Dd,
    Div,
    Dl,
    Dt,
    P,
    Pre,
    Safe,
    Span,
)

COMMAND = "python3 server.py new recipe title:str minutes:int cooked:date:optional tags:text"
READ_ON: Mapping[str, str] = {
    "README.md": "how it is run, and what is where",
    "AGENTS.md": "how it is changed, for people and for assistants",
    "docs/running.md": "on a server, behind a proxy, with other servers",
    "python3 server.py --help": "all commands",
}


def start_page(name: str) -> Safe:
    """What stands at `/` until there is a feature."""
    return Article(
        Div(Span(cls="flame", aria_hidden="true"), H1(f"{name} is ready for its first feature"), cls="start-head"),
        P("It runs on this machine and keeps its data in one file that is yours. Nothing it does needs the network."),
        H2("Make the feature"),
        P("Leave this page open. In a second terminal, in the directory of the project:"),
        Div(
            Pre(Code(COMMAND), id="command", tabindex="0"),
            Button("Copy", type="button", cls="button", data_copy="command"),
            cls="command",
        ),
        P(
            "Recipes are an example: the words are yours to choose. A field is a name and a type, ",
            [(Code(type), ", ") for type in ("str", "text", "int", "float", "bool")],
            "or ",
            Code("date"),
            "; a question mark says that it may stay empty.",
        ),
        P(
            "The command writes the list with its search, the forms, import and export, the migration and the tests. "
            "In a checkout the server follows the code, and this page becomes your feature by itself."
        ),
        H2("Read on"),
        Dl([Div(Dt(Code(where)), Dd(what)) for where, what in READ_ON.items()], cls="read-on"),
        cls="card detail start",
    )
