"""The names of a file's columns: how many there may be, how long each is, and no two the same.

A name is shown once for each field, and kept once for each row in which its column has no field. So all names of a file
together have a bound, and one that is too long is shortened.
"""

from collections.abc import Collection, Sequence
from itertools import chain, count

from app.imports.reading.text.decoding import UnreadableFile
from app.imports.reading.values.values import shortened

# A table of more columns is no list of records, and each is shown to the person.
MOST_COLUMNS = 1000
# Questions of a survey are the longest names that people have.
LONGEST_NAME = 80
# What a thousand names of a usual length have together.
NAMES_LETTERS = 20_000
SHORTEST_SHARE = 15
# Of names as a file has them, before they are shortened: as much as a record may have.
READ_LETTERS = 1024**2


class Names:
    """The different names that the lines of a file have, in the order in which they come. Raises UnreadableFile."""

    def __init__(self, plural: str) -> None:
        self._plural = plural
        self._letters = 0
        self.found: dict[str, None] = {}

    def add(self, names: Collection[str], line: int) -> None:
        """Take note of the names of the record on this line."""
        for name in names:
            if name not in self.found:
                self.found[name] = None
                self._letters += len(name)
                if len(self.found) > MOST_COLUMNS or self._letters > READ_LETTERS:
                    raise UnreadableFile(
                        f"Up to line {line:,} the file has more than {MOST_COLUMNS:,} different names, or very long "
                        f"ones. Expected {self._plural}, each with a few named values."
                    )


def shown(names: Sequence[str]) -> dict[str, str]:
    """What each of these names, which differ, is called here: short enough, and still different from all others."""
    longest = LONGEST_NAME
    if sum(min(len(name), longest) for name in names) > NAMES_LETTERS:
        longest = max(SHORTEST_SHARE, NAMES_LETTERS // len(names))
    found: dict[str, str] = {name: name for name in names if len(name) <= longest}
    taken = set(found)
    for name in names:
        if name not in found:
            found[name] = unused(shortened(name, longest), taken)
            taken.add(found[name])
    return {name: found[name] for name in names}


def unused(name: str, names: Collection[str]) -> str:
    """The name, with a number where it is taken."""
    return next(each for each in chain([name], (f"{name} ({n})" for n in count(2))) if each not in names)
