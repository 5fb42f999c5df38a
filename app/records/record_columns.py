"""Records by name: the fields of a record say which columns are read and in which order, so none can take another's.

A record is a NamedTuple. What is asked for is written from its field names, so the order of the lines in its class, in
a list of columns or in a form does not matter anywhere.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

Record = TypeVar("Record", bound=NamedTuple)


def columns_of(record: type[Record], in_sql: Mapping[str, str] = {}) -> str:
    """What a SELECT asks for to fill such records: each field's column, or what `in_sql` has in its place."""
    return ", ".join(in_sql.get(name, name) for name in record._fields)


def records_of(record: type[Record], rows: Iterable[Iterable[Any]]) -> list[Record]:
    """The records that the rows of such a SELECT are.

    Raises TypeError for rows of another number of columns.
    """
    return [record._make(row) for row in rows]
