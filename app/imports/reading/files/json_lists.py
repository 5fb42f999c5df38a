"""The lists of objects within a JSON text, wherever they lie in it: which one is meant, and its objects in turn.

The text is read twice in pieces, once to find the lists and once for the objects of one of them, so that its size does
not matter. The first reading takes everything in that could fail or grow: what it has passed, the second may rely on.
"""

import io
import re
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import ijson

from app.imports.reading.files.column_names import MOST_COLUMNS, READ_LETTERS
from app.imports.reading.text.decoding import UnreadableFile
from app.imports.reading.text.lines import LONGEST_RECORD, RECORD_MEGABYTES
from app.imports.reading.values.columns import matched
from app.records.kinds import Kind
from templates.parts.text_direction import quoted

# Exports nest five or six deep; deeper is a mistake or an attack, and each level costs memory.
DEEPEST = 100
# A board has a dozen lists. An object that is used as a dictionary may have a list for each of a million keys.
MOST_LISTS = 1000
# Of the names in all lists together, as far as they are remembered.
MOST_NAMES = 50_000
MOST_NAME_LETTERS = 2 * 1024**2
# Where a list lies, as the names around it say.
LONGEST_PATH = 2000
# How much is read at once. The parser begins a text that goes over the end of a piece again with each piece: the longer
# it is, the longer are they.
PIECE = 64 * 1024
LARGEST_PIECE = 1024**2
# In so many steps a place is looked for that is wrong within such a long text.
STEPS = 64
# No program counts with more digits. The parser ends its process at whole numbers of more than 4,300, and Decimal takes
# no exponent of more than 18: such a number must not reach them.
LONGEST_NUMBER = 300
LONGEST_EXPONENT = 4

# A quotation mark with an even number of backslashes before it: where a text begins or ends.
QUOTATION_MARK = re.compile(rb'(?<!\\)(?:\\\\)*"')
# What such a number holds, wherever it stands; and what a piece of the text that ends within a number ends with.
OVERLONG_NUMBER = re.compile(rb"[-+.0-9eE]{%d,}|[0-9.][eE][-+]?[0-9]{%d,}" % (LONGEST_NUMBER + 1, LONGEST_EXPONENT + 1))
SIGNS_OF_NUMBERS = frozenset("-+.0123456789eE")
# The parser's own, of texts that are no UTF-8 and of numbers that are none.
PARSER_ERRORS = (ijson.JSONError, ValueError, ArithmeticError)
# The end of the path of an object of objects, and what the key of each is called among its values.
KEYED = "*"
KEY = "key"
BEGINNINGS = frozenset(("start_map", "start_array"))
ENDS = frozenset(("end_map", "end_array"))

Opener = Callable[[], io.TextIOBase]


@dataclass
class ObjectList:
    """A list of objects; an object that is in no list counts as a list of one.

    An object of nothing but objects is a list too, of which each has a key: its path ends with KEYED.
    """

    path: str
    depth: int
    rows: int = 0
    names: dict[str, None] = field(default_factory=dict)
    letters: int = 0
    largest: int = 0
    began: int = 0

    @property
    def name(self) -> str | None:
        """The path as people write it: `cards`, or `items.items`; None for what is not named at all."""
        return re.sub(r"(^|\.)(item|\*)(?=\.|$)", "", self.path).strip(".") or None

    @property
    def has_too_many_names(self) -> bool:
        """Whether these are the names of no list of records."""
        return len(self.names) > MOST_COLUMNS or self.letters > READ_LETTERS

    def add(self, name: str) -> bool:
        """One more name of a value in the objects of this list; False where it is clear that there are too many."""
        if self.has_too_many_names:
            return False
        self.names[name] = None
        self.letters += len(name)
        return True


def lists_in(opened: Opener, kind: Kind) -> list[ObjectList]:
    """The list that most likely holds the kind, then the lists outside it. Raises UnreadableFile."""
    with opened() as text:
        stream = _JsonBytes(text)
        try:
            found = _lists(stream)
        except PARSER_ERRORS as error:
            raise _invalid(opened, stream) from error
    if not any(each.names for each in found):
        raise UnreadableFile(
            "The file is JSON, but there is no list of objects in it. Expected a list of "
            f'{kind.plural} such as [{{"{kind.fields[0].name}": "…"}}].'
        )
    best = max(found, key=lambda each: _likelihood(each, kind))
    if best.largest > LONGEST_RECORD + 2 * LARGEST_PIECE or best.has_too_many_names:
        raise UnreadableFile(
            f"The objects in the file are too large for {kind.plural}: one has more than {RECORD_MEGABYTES}, or all "
            f"together have more than {MOST_COLUMNS:,} different names. Expected a list of {kind.plural}, each with a "
            "few named values."
        )
    inside = best.path + "." if best.path else ""
    return [best, *(each for each in found if each.path and not each.path.startswith(inside) and each is not best)]


def objects_of(opened: Opener, path: str) -> Iterator[Any]:
    """The objects of one list, in turn."""
    with opened() as text:
        if path.endswith(KEYED):
            for key, value in ijson.kvitems(
                _JsonBytes(text), path.removesuffix(KEYED).rstrip("."), multiple_values=True
            ):
                yield {KEY: key, **value}
        else:
            yield from ijson.items(_JsonBytes(text), path, multiple_values=True)


@dataclass
class _Container:
    """A list or an object around the present place."""

    path: str | None
    is_list: bool
    present: ObjectList | None
    keyed: ObjectList | None

    def another(self, event: str, given: int) -> ObjectList | None:
        """The list of the values of this object, in which one more begins; none where one is no object."""
        if event != "start_map":
            self.keyed = None
        if self.keyed is not None:
            self.keyed.rows += 1
            self.keyed.began = given
        return self.keyed


class _JsonBytes:
    """The text as the parser reads it, in UTF-8. The parser holds each value whole, so one without end is refused."""

    def __init__(self, text: io.TextIOBase, steps_from: int | None = None, step: int = 1) -> None:
        self._text = text
        self._steps_from = steps_from
        self._step = step
        # How much has come since a text last began or ended.
        self._quiet = 0
        self._escaped = False
        self._in_text = False
        # What was read last, how much in all, and the place where that ends.
        self.last = ""
        self.given = 0
        self.line = 1
        self.column = 0

    def read(self, size: int) -> bytes:
        if size == 0:
            return b""
        self.last = self._text.read(self._size())
        if self._steps_from is None:
            self._read_number_to_its_end()
        self.given += len(self.last)
        piece = self.last.encode()
        self._refuse_overlong_numbers(piece)
        self._count_lines()
        self._listen(piece)
        return piece

    def _read_number_to_its_end(self) -> None:
        """Have no number go from one piece into the next, but one that is too long."""
        most = len(self.last) + PIECE
        while self.last and self.last[-1] in SIGNS_OF_NUMBERS and len(self.last) < most:
            more = self._text.read(LONGEST_NUMBER)
            self.last += more
            if not more:
                return

    def _size(self) -> int:
        if self._steps_from is None:
            return min(LARGEST_PIECE, max(PIECE, self._quiet))
        return min(LARGEST_PIECE, max(self._step, self._steps_from - self.given))

    def _count_lines(self) -> None:
        if lines := self.last.count("\n"):
            self.line += lines
            self.column = 0
        self.column += len(self.last) - self.last.rfind("\n") - 1

    def _refuse_overlong_numbers(self, piece: bytes) -> None:
        """Within a text, digits are as good as anything else."""
        in_text, seen = self._in_text, int(self._escaped)
        for found in OVERLONG_NUMBER.finditer(piece, seen):
            in_text ^= _ends_within_text(piece[seen : found.start()])
            seen = found.start()
            if not in_text:
                line = self.line + piece[:seen].count(b"\n")
                raise UnreadableFile(
                    f"On line {line:,} there is a number that is too long: at most {LONGEST_NUMBER} digits fit, and "
                    f"{LONGEST_EXPONENT} behind an e. Put it in quotation marks to have it kept as a text, or take it "
                    "out, and import the file again."
                )

    def _listen(self, piece: bytes) -> None:
        """Count how much has come since a text last began or ended."""
        rest = piece[self._escaped :]
        self._in_text ^= _ends_within_text(rest)
        self._escaped = (len(rest) - len(rest.rstrip(b"\\"))) % 2 == 1
        self._quiet = 0 if QUOTATION_MARK.search(rest) else self._quiet + len(piece)
        if self._quiet > LONGEST_RECORD:
            raise UnreadableFile(
                f"The file has a single value of more than {RECORD_MEGABYTES}, which is no list. Expected a list of "
                "objects, each with a few named values."
            )


def _ends_within_text(piece: bytes) -> bool:
    """Whether an odd number of quotation marks begins or ends a text."""
    return piece.replace(b"\\\\", b"").replace(b'\\"', b"").count(b'"') % 2 == 1


def _lists(stream: _JsonBytes) -> list[ObjectList]:
    """Every list of objects in the text, by its path as ijson writes it, and the object at the top."""
    found: dict[str, ObjectList] = {}
    names = letters = 0
    # The containers around the present place: path, whether it is a list, which list it is an object of, and which list
    # its own values are.
    around: list[_Container] = []
    name = ""
    present: ObjectList | None = None
    for event, value in ijson.basic_parse(stream, multiple_values=True):
        if event == "map_key":
            name = value
            if present is not None and name not in present.names and present.add(name):
                names += 1
                letters += len(name)
                if names > MOST_NAMES or letters > MOST_NAME_LETTERS:
                    raise UnreadableFile(
                        f"The lists in the file have more than {MOST_NAMES:,} different names, or very long ones. "
                        "Expected a list of objects, each with a few named values."
                    )
        elif event in BEGINNINGS:
            path, in_list = _inner_path(around, name)
            present = None
            if event == "start_map" and (in_list or not around):
                present = _another(found, path, len(around), stream.given)
            elif around:
                present = around[-1].another(event, stream.given)
            is_list = event == "start_array"
            keyed = (
                None if is_list or path is None or any(each.is_list for each in around) else _keyed(path, len(around))
            )
            around.append(_Container(path, is_list, present, keyed))
            if len(around) > DEEPEST:
                raise UnreadableFile(
                    f"The JSON is nested more than {DEEPEST} deep. Expected a list of objects, each with a few named "
                    "values."
                )
        elif event in ENDS:
            container = around.pop()
            if (ended := container.present) is not None:
                ended.largest = max(ended.largest, stream.given - ended.began)
            if (keyed := container.keyed) is not None and keyed.rows and len(found) < MOST_LISTS:
                found.setdefault(keyed.path, keyed)
            present = around[-1].present if around else None
        elif around and around[-1].keyed is not None:
            around[-1].keyed = None
    return list(found.values())


def _keyed(path: str, depth: int) -> ObjectList:
    """The list that an object would be whose values are all objects."""
    return ObjectList(f"{path}.{KEYED}" if path else KEYED, depth + 1, names={KEY: None})


def _inner_path(around: list["_Container"], name: str) -> tuple[str | None, bool]:
    """The path of the container that begins here, None where it is too long, and whether it stands in a list."""
    if not around:
        return "", False
    path, in_list = around[-1].path, around[-1].is_list
    step = "item" if in_list else name
    if path is None or len(path) + len(step) > LONGEST_PATH:
        return None, in_list
    return f"{path}.{step}" if path else step, in_list


def _another(found: dict[str, ObjectList], path: str | None, depth: int, given: int) -> ObjectList | None:
    """The list in which one more object begins, as far as lists are remembered."""
    if path is None:
        return None
    if path not in found:
        if len(found) == MOST_LISTS:
            return None
        found[path] = ObjectList(path, depth)
    found[path].rows += 1
    found[path].began = given
    return found[path]


def _likelihood(each: ObjectList, kind: Kind) -> tuple[int, bool, int, bool, int]:
    """How well a list fits: by its fields, then the outer before the inner, then by its text and its rows."""
    fields = set(matched(kind, each.names).values())
    own = {field.name for field in kind.fields} - {kind.rest}
    score = len(fields & own) if kind.fields[0].name in fields else 0
    if not each.path and score < 2:
        score = 0
    return score, bool(each.path), -each.depth, kind.rest in fields, each.rows


def _invalid(opened: Opener, failed: _JsonBytes) -> UnreadableFile:
    """What is wrong, and where. The parser does not say, so the last piece is read once more, letter by letter."""
    if not failed.last:
        return UnreadableFile(
            f"The JSON ends too early, after line {failed.line:,}: the file is cut off. Download or export it again."
        )
    # Only within a long text are the pieces larger.
    step = len(failed.last) // STEPS if len(failed.last) > PIECE + 2 * LONGEST_NUMBER else 1
    with opened() as text:
        stream = _JsonBytes(text, failed.given - len(failed.last), step)
        with suppress(*PARSER_ERRORS):
            deque(ijson.basic_parse(stream, multiple_values=True), maxlen=0)
        found = next(iter((stream.last + text.read(20)).splitlines()), "")
    if step > 1:
        return UnreadableFile(
            f"The file is not valid JSON: within a long text, near line {stream.line:,}, column {stream.column:,}, "
            "there is a backslash or another sign that JSON does not allow there. Export the file again, or mend that "
            "place in a text editor."
        )
    return UnreadableFile(
        f"The file is not valid JSON: at line {stream.line:,}, column {stream.column:,} there is {quoted(found)}, "
        "which JSON does not allow there. Export the file again, or mend that place in a text editor."
    )
