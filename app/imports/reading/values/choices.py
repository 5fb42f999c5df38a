"""What a person has said of how a file is to be read; what they have not said, which is empty, is found out.

One JSON object carries it to the process that reads, with what an earlier reading to the end of the file has found.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from app.imports.reading.text.decoding import UnreadableFile
from app.imports.reading.values.day_order import Facts
from app.imports.reading.values.time_zones import zone_named
from templates.imports.reading_options import OPTIONS
from templates.parts.text_direction import quoted


class Choices(NamedTuple):
    """How a file is to be read. `columns` has the column of a field, None where it is to have none."""

    columns: Mapping[str, str | None] = MappingProxyType({})
    encoding: str = ""
    delimiter: str = ""
    quotes: str = ""
    header: str = ""
    order: str = ""
    serials: str = ""
    zone: str = ""
    facts: Facts | None = None

    def as_json(self) -> dict[str, Any]:
        """What was chosen, without what was found."""
        chosen = {name: value for name, value in self._asdict().items() if name != "facts"}
        return chosen | {"columns": dict(self.columns)}


NONE = Choices()


def choices_of(given: dict[str, Any]) -> Choices:
    """The choices that a JSON object holds. Raises UnreadableFile for what is none."""
    for name in (*OPTIONS, "zone"):
        if given.get(name) and not is_choice(name, given[name]):
            raise UnreadableFile(f"{quoted(str(given[name]))} is nothing to choose as {name}. Choose another.")
    values = {name: given[name] for name in Choices._fields if given.get(name) is not None}
    if "facts" in values:
        values["facts"] = Facts(**values["facts"])
    return Choices(**values)


def is_choice(name: str, value: Any) -> bool:
    """Whether a file can be read so; what is empty is always one."""
    if not isinstance(value, str):
        return False
    return not value or (zone_named(value) is not None if name == "zone" else value in OPTIONS[name])
