"""How a file is read, as a person sees and changes it: what was found, and a control for each guess.

The controls are fields of one form, so that none is lost when another is changed; they work without JavaScript.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from templates.imports.reading_options import OPTIONS
from templates.parts.tags import (
    Button,
    Code,
    Details,
    Div,
    Fieldset,
    Input,
    Label,
    Legend,
    Option,
    P,
    Safe,
    Select,
    Strong,
    Summary,
)
from templates.parts.text_direction import isolated, quoted

FOUND_OUT = "found out"
LABELS = {
    "header": "The first line has",
    "delimiter": "Columns are separated by",
    "quotes": "Quotation marks in values are",
    "encoding": "Encoding",
    "order": "In dates such as 01/02/2026 comes first",
    "serials": "Numbers in a column of days are",
}
SIGNS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", ":": "colons"}
ORDERS = {"day": "the day", "month": "the month", "year": "the year"}
SHOWN_EXAMPLES = 3
# As long as the name of a column is kept (app/imports/reading/files/column_names.py).
LONGEST_NAME = 100


def upload_choices() -> Safe:
    """What may be said of a file before it is read: where it was read wrongly before."""
    return Div([_select(name, FOUND_OUT, "") for name in ("encoding", "header", "delimiter", "quotes")], cls="choices")


def how_it_was_read(understood: Mapping[str, Any]) -> Safe:
    """Every choice that there is for such a file, in one place."""
    chosen = understood.get("choices", {})
    is_table = understood.get("header") is not None
    return Details(
        Summary("How it was read"),
        Div(
            [
                _select(name, f"{found} (found out)" if found else FOUND_OUT, chosen.get(name, ""))
                for name, found in _found(understood).items()
                if is_table or name in ("encoding", "order", "serials")
            ],
            _zone(understood, chosen),
            cls="choices",
        ),
    )


def question(understood: Mapping[str, Any]) -> Safe | None:
    """Asks which number of a date comes first, where the file does not tell it, or tells both."""
    asked = [each for each in understood.get("dates", ()) if each["order"] == ""]
    if not asked:
        return None
    examples = [example for each in asked for example in each["examples"]][:SHOWN_EXAMPLES]
    columns = ", ".join(quoted(each["column"], LONGEST_NAME) for each in asked)
    orders = [order for order in ORDERS if order != "year" or any("-" in example for example in examples)]
    return Fieldset(
        Legend("Which number comes first in the dates of ", columns, "?"),
        P(
            "The file has some with the day first and some with the month first: "
            if any(each["is_mixed"] for each in asked)
            else "The file does not tell: ",
            [
                (Code(isolated(example)), ", " if number < len(examples) else "")
                for number, example in enumerate(examples, 1)
            ],
            ". Until you say, such dates are not read as days.",
        ),
        Div(
            [
                Label(
                    Input(type="radio", name="_order", value=order, checked=False),
                    f"{OPTIONS['order'][order][:1].upper()}{OPTIONS['order'][order][1:]}",
                )
                for order in orders
            ],
            cls="radios",
        ),
        Button("Read the dates so", cls="button"),
        cls="question",
    )


def findings(understood: Mapping[str, Any]) -> list[Safe]:
    """What was found of the file that nobody may expect, in sentences."""
    sentences = []
    if understood.get("header") is False:
        sentences.append(P("It has no line with the names of the columns: the first line is a row like the others."))
    if understood.get("quotes") == "backslash":
        sentences.append(P("Quotation marks within a value have a backslash before them."))
    for each in understood.get("dates", ()):
        if each["order"]:
            sentences.append(
                P(
                    f"In the dates of {quoted(each['column'], LONGEST_NAME)} ",
                    Strong(f"{ORDERS[each['order']]} comes first"),
                    _such_as(each["examples"]),
                    ".",
                )
            )
    return sentences


def _found(understood: Mapping[str, Any]) -> dict[str, str]:
    """What was found out for each choice that there is for such a file; empty where a person has chosen."""
    chosen = understood.get("choices", {})
    dates: Sequence[Mapping[str, Any]] = understood.get("dates", ())
    sign = understood.get("delimiter")
    found = {
        "header": OPTIONS["header"]["yes" if understood.get("header") else "no"],
        "delimiter": SIGNS.get(sign, f"“{sign}”") if sign else OPTIONS["delimiter"]["none"],
        "quotes": OPTIONS["quotes"].get(understood.get("quotes") or "", ""),
        "encoding": understood.get("encoding") or "",
    }
    orders = {each["order"] for each in dates if each["order"]}
    if any(each["order"] for each in dates) or chosen.get("order"):
        found["order"] = " and ".join(ORDERS[order] for order in ORDERS if order in orders)
    if any(each["has_serials"] for each in dates) or chosen.get("serials"):
        found["serials"] = "kept as they are"
    return {name: "" if chosen.get(name) else value for name, value in found.items()}


def _select(name: str, found: str, chosen: str) -> Safe:
    return Label(
        LABELS[name],
        Select(
            Option(found, value="", selected=not chosen),
            [Option(words, value=value, selected=value == chosen) for value, words in OPTIONS[name].items()],
            name=f"_{name}",
        ),
    )


def _zone(understood: Mapping[str, Any], chosen: Mapping[str, Any]) -> Safe | None:
    """The time zone, where the file has times."""
    if not any(each["has_times"] for each in understood.get("dates", ())):
        return None
    return Label(
        "Times are read in the time zone",
        Input(
            name="_zone",
            value=chosen.get("zone", ""),
            placeholder="that of this machine",
            autocomplete="off",
            spellcheck="false",
        ),
    )


def _such_as(examples: Sequence[str]) -> str:
    return f", as in {', '.join(map(isolated, examples[:SHOWN_EXAMPLES]))}" if examples else ""
