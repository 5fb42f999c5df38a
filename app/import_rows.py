"""Rows of the table of imports, which other programs may have written: those that make no sense are told apart."""

import json
from collections.abc import Mapping
from typing import Any

from templates.imports import STATES

UNREADABLE = "Another program has changed what is kept of this import, and it cannot be read. Import the file again."
NUMBERS = ("process", "attempts", "problem_count", "bytes_read", "bytes_total", "rows_done", "rows_total")
TEXTS = ("filename", "error", "created_at")
JSON = {"columns": dict, "understood": dict, "problems": list}


def odd_columns(row: Mapping[str, Any]) -> list[str]:
    """The columns of a row, as far as it has them, that hold nothing which this app would write there."""
    return [name for name, value in row.items() if not _is_readable(name, value)]


def readable(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row that can be shown: one that makes no sense as an import that has failed."""
    odd = odd_columns(row)
    if not odd:
        return dict(row)
    empty: dict[str, Any] = dict.fromkeys(NUMBERS, 0) | dict.fromkeys(TEXTS, "?")
    empty |= {name: json.dumps(made()) for name, made in JSON.items()}
    return {**row, **{name: empty.get(name, "") for name in odd}, "state": "failed", "error": UNREADABLE}


def _is_readable(name: str, value: Any) -> bool:
    if name == "state":
        return isinstance(value, str) and value in STATES
    if name in NUMBERS:
        return isinstance(value, int)
    if name in JSON:
        try:
            return isinstance(json.loads(value), JSON[name])
        except (TypeError, ValueError, RecursionError):
            return False
    return name not in TEXTS or isinstance(value, str)
