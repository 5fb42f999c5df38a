"""Which number of `01/05/2026` is the day: what all rows of a file say about it together, and not the first of them.

A column proves its order where a number above 12, or a weekday, allows one alone. One that proves nothing has that of
the columns that do, where these agree. A column with a date of each order, and one of which nothing tells, has none:
the person is asked. The same rows tell whether each instant of a column stands for a day.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from app.imports.reading.values.date_forms import (
    DAY,
    LONGEST_DATE,
    MONTH,
    YEAR,
    written,
)
from app.imports.reading.values.dates import MIDNIGHT, SERIAL, instant
from app.imports.reading.values.values import dated

# What every date of numbers alone holds that does not begin with a year of four digits.
NUMBERS = re.compile(r"(?<!\d)\d{1,2}([/-])\d{1,2}\1\d\d", re.ASCII)
EXAMPLES = 3
ISO_LETTERS = len("2026-05-01")
# Programs whose instants are always such, also those at midnight in UTC, by a column that they have.
WITH_INSTANTS = ("dueComplete",)


class Facts(NamedTuple):
    """What a file says of its dates: the order of each column that has such dates, and examples of them.

    The order is empty where nothing proves it. `instants` are columns with moments, not days; `serials` have numbers
    that may be days as spreadsheets count them.
    """

    orders: Mapping[str, str] = {}
    examples: Mapping[str, list[str]] = {}
    mixed: tuple[str, ...] = ()
    instants: tuple[str, ...] = ()
    serials: tuple[str, ...] = ()


class _Column:
    """What the dates of one column allow."""

    def __init__(self) -> None:
        self.orders = {DAY, MONTH, YEAR}
        self.is_american = False
        self.examples: dict[str, list[str]] = {}

    def add(self, text: str, orders: frozenset[str], is_american: bool) -> None:
        self.orders &= orders
        self.is_american |= is_american
        # Of each order one, for a person to see what contradicts what.
        examples = self.examples.setdefault(",".join(sorted(orders)), [])
        if len(examples) < EXAMPLES and text not in examples:
            examples.append(text)


class Evidence:
    """Collects what the records of a file say; `days` are the columns that become days."""

    def __init__(self, columns: Collection[str], days: Collection[str]) -> None:
        self._days = days
        self._columns: dict[str, _Column] = {}
        self._instants = set(days) if any(name in columns for name in WITH_INSTANTS) else set()
        self._serials: set[str] = set()

    def watched(self, records: Iterable[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
        """The records, each added on its way."""
        for place, record in records:
            if isinstance(record, dict):
                self.add(record)
            yield place, record

    def add(self, record: Mapping[str, Any]) -> None:
        """Take note of one more record."""
        try:
            texts = "\n".join(record.values())
        except TypeError:
            # JSON has other values too.
            texts = "\n".join(value for value in record.values() if value.__class__ is str)
        # One look at the whole record, as nearly all have no such date.
        if NUMBERS.search(texts):
            for name, value in record.items():
                if isinstance(value, str) and len(value) <= LONGEST_DATE and NUMBERS.search(value):
                    self._add_numbered(name, value)
        for name in self._days:
            value = record.get(name)
            # A day as ISO has it, as most have, tells nothing.
            if value is not None and (value.__class__ is not str or len(value) != ISO_LETTERS):
                self._add_day(name, dated(value)[0])

    def facts(self) -> Facts:
        """What is known by now."""
        return Facts(
            orders=self._orders(),
            examples={name: list(_mixed_up(column.examples))[:EXAMPLES] for name, column in self._columns.items()},
            mixed=tuple(name for name, column in self._columns.items() if not column.orders),
            instants=tuple(sorted(self._instants)),
            serials=tuple(sorted(self._serials)),
        )

    def _add_numbered(self, name: str, value: str) -> None:
        found = written(value)
        if found and found.orders:
            self._columns.setdefault(name, _Column()).add(value.strip(), found.orders, found.is_american)

    def _add_day(self, name: str, text: str) -> None:
        if len(text) > ISO_LETTERS:
            if name not in self._instants and instant(text) not in (None, MIDNIGHT):
                self._instants.add(name)
        elif len(text) < len("1/5/2026") and SERIAL.fullmatch(text.strip()):
            self._serials.add(name)

    def _orders(self) -> dict[str, str]:
        proven = {order for column in self._columns.values() if len(column.orders) == 1 for order in column.orders}
        american = any(column.is_american for column in self._columns.values())
        return {name: _order(column, proven, american) for name, column in self._columns.items()}


def _order(column: _Column, proven: set[str], american: bool) -> str:
    """The order of a column, by its own dates, else by those of the other columns, else by the form of the dates."""
    if len(column.orders) <= 1:
        return next(iter(column.orders), "")
    allowed = column.orders & proven
    if column.is_american or (american and not proven):
        allowed |= {MONTH} & column.orders
    return next(iter(allowed)) if len(allowed) == 1 and len(proven) <= 1 else ""


def _mixed_up(examples: Mapping[str, list[str]]) -> Iterator[str]:
    """The examples of each sort in turn."""
    for number in range(EXAMPLES):
        for each in examples.values():
            yield from each[number : number + 1]
