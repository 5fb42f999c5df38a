"""Forms: the fields that a person has sent, and the values that they mean."""

import asyncio
import json
import re
from collections.abc import Callable, Collection, Mapping
from datetime import date
from math import isfinite
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser
from starlette.requests import Request

from app.records.text_cleaning import odd_year, one_line, storable
from server.guard.multipart import FIELD_BYTES, FIELDS, FILES
from server.guard.request_bodies import KEPT_FORMS, SHORT, fields_of
from templates.parts.forms import LINE_LENGTH
from templates.parts.text_direction import quoted

# Browsers send the first two; the guard has made sure that each is written in one way.
URLENCODED = "application/x-www-form-urlencoded"
FORM_TYPES = (URLENCODED, "multipart/form-data", "application/json")
# What is larger waits on disk, in a file that nobody else sees.
MultiPartParser.spool_max_size = 64 * 1024
# More digits than any number has that means something; Python itself gives up at 4,300.
DIGITS = 300

# What a form may hold beside the fields of a row: what it is about, and what an export has of a row.
BESIDE = frozenset(("_method", "_version", "in", "page", "id", "created_at", "updated_at"))

# From the text of a field and what people call it to the value of its column. Raises InputError.
Reader = Callable[[str, str], Any]


class InputError(ValueError):
    """What was typed cannot be kept; the message says why and what would do."""


async def read_form(request: Request) -> FormData | dict[str, Any]:
    """What a body holds, as every route reads it, whether it asks for it itself or FastHTML does for its parameters.

    Nothing where there is no form. Its files are closed when the request ends. Raises HTTPException.
    """
    kind = kind_of(request)
    if kind == "application/json":
        return _object(await request.body())
    if kind not in FORM_TYPES:
        await request.body()
        return FormData()
    if kind == URLENCODED:
        # The guard has looked at how many there are, and that they are UTF-8. Starlette would take a second for them.
        body = await request.body()
        return FormData(_texts(body) if len(body) <= SHORT else await asyncio.to_thread(_texts, body))
    try:
        form = await request.form(max_files=FILES, max_fields=FIELDS, max_part_size=FIELD_BYTES)
    except HTTPException as error:
        if error.detail == "Invalid multipart data.":  # So Starlette says it.
            words = "That is no multipart form: its parts do not begin and end as its head says."
            raise HTTPException(422, words) from None
        raise
    request.scope.setdefault(KEPT_FORMS, []).append(form)
    return form


def _texts(body: bytes) -> list[tuple[str, str | UploadFile]]:
    return [(name.decode(), value.decode()) for name, value in fields_of(body)]


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form or of a JSON object, from the body alone."""
    kind = kind_of(request)
    if kind and kind not in FORM_TYPES:
        raise HTTPException(415, f"A form or JSON is understood here, not {kind}.")
    if not kind and await request.body():
        raise HTTPException(415, "A form or JSON is understood here: say in the Content-Type which of them is sent.")
    fields = await read_form(request)
    if any(not isinstance(value, str | int | float | None) for value in fields.values()):
        raise HTTPException(422, "Every field is a text, a number, or null.")
    return {
        name: "" if value is None else str(int(value)) if isinstance(value, bool) else str(value)
        for name, value in fields.items()
    }


def kind_of(request: Request) -> str:
    """What a request says that its body is; empty where it does not say."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _object(body: bytes) -> dict[str, Any]:
    """A JSON object; an empty one where nothing was sent. Raises HTTPException."""
    try:
        found = json.loads(body or b"{}", parse_int=_integer, parse_float=_finite, parse_constant=_finite)
    except InputError as error:
        raise HTTPException(400, str(error)) from None
    except (ValueError, RecursionError):
        raise HTTPException(400, "That is no JSON.") from None
    if not isinstance(found, dict):
        raise HTTPException(400, "The JSON of a form is an object: {…}.")
    return found


def _integer(digits: str) -> int:
    if len(digits) > DIGITS:
        raise InputError(f"A number in JSON has at most {DIGITS} digits.")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if not isfinite(number):
        raise InputError(f"{quoted(digits)} is no number that can be kept.")
    return number


def changes_of(
    form: Mapping[str, str], readers: Mapping[str, tuple[str, Reader]], required: Collection[str] = ()
) -> dict[str, Any]:
    """The columns that a form sets, read and checked; what it does not name is read as empty where it is `required`.

    Raises InputError, also for a field that there is not, and where nothing would be set.
    """
    unknown = [name for name in form if name not in readers and name not in BESIDE]
    if unknown:
        raise InputError(f"There is no field {quoted(unknown[0])} here. The fields are {', '.join(readers)}.")
    if not required and not any(name in readers for name in form):
        raise InputError(f"There is nothing to change here: send one of {', '.join(readers)}.")
    return {
        name: read(form.get(name, ""), label)
        for name, (label, read) in readers.items()
        if name in form or name in required
    }


def line(text: str, label: str) -> str:
    """One line of text."""
    return _filled(optional_line(text, label), label)


def optional_line(text: str, label: str) -> str:
    """One line of text, or nothing."""
    line = one_line(text)
    if len(line) > LINE_LENGTH:
        raise InputError(f"“{label}” has at most {LINE_LENGTH} characters.")
    return line


def text(text: str, label: str) -> str:
    """Text of any length."""
    return _filled(optional_text(text, label), label)


def optional_text(text: str, label: str) -> str:
    """Text of any length, or nothing; blank text is nothing."""
    return storable(text.replace("\r\n", "\n")) if text.strip() else ""


def whole_number(text: str, label: str) -> int:
    """A number that SQLite holds as an integer."""
    found = text.strip().removesuffix(".0")
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", found):
        raise InputError(f"{quoted(text)} is not a whole number. Write “{label}” as 12.")
    return int(found)


def number(text: str, label: str) -> float:
    """A number with a decimal point."""
    try:
        found = float(text.replace("_", "x"))
    except ValueError:
        found = float("nan")
    if not isfinite(found):
        raise InputError(f"{quoted(text)} is not a number. Write “{label}” as 1.5.")
    return found


def day(text: str, label: str) -> str:
    """An ISO date of the years 1000 to 9999."""
    if error := odd_year(text):
        raise InputError(error)
    try:
        return date.fromisoformat(text.strip()).isoformat()
    except ValueError:
        raise InputError(f"{quoted(text)} is not a date. Write it as 2026-12-31.") from None


def yes_or_no(text: str, label: str) -> int:
    """1 or 0; no as well where nothing was sent, as of a box that is not ticked."""
    if text not in ("", "0", "1"):
        raise InputError(f"“{label}” is 1 or 0.")
    return int(text or 0)


def optional(read: Reader) -> Reader:
    """The same, or None where nothing was typed."""

    def read_if_any(text: str, label: str) -> Any:
        return read(text, label) if text.strip() else None

    return read_if_any


def as_typed(value: Any) -> str:
    """A value as a form begins with it."""
    # The begin of a text that is too large stays what it is, so that no form takes it for the text.
    return value if isinstance(value, str) else "" if value is None else str(value)


def conflict(noun: str, label: str, name: str) -> str:
    """Says that what a form would change was changed by someone else since it was opened."""
    now = f"its {label} is now {quoted(name)}"
    return f"This {noun} was changed in the meantime; {now}. Save again to put yours in its place."


def _filled(text: str, label: str) -> str:
    if not text.strip():
        raise InputError(f"“{label}” is missing.")
    return text
