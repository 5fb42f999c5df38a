"""Kinds: what each feature keeps, as far as imports and exports have to know it. Nothing here reads or writes data."""

import json
from typing import Any, NamedTuple


class Field(NamedTuple):
    """A column: what people call it, how its values are read, what other programs call it.

    `names` has the surest name first. Where a file does not say it, a row gets `default`, or is refused if `required`.
    """

    name: str
    label: str
    reads: str
    names: str = ""
    required: bool = False
    default: Any = None


class Kind(NamedTuple):
    """What a feature keeps: its table, the one for what was deleted, its words for one and for many.

    The first of `fields` names a row. What a file says beyond them is kept at the end of the text field `rest`; where
    there is none it is left out, and a row with a value that is not understood is refused. `sources` are programs whose
    exports are known to come in.
    """

    table: str
    deletions: str
    noun: str
    plural: str
    fields: tuple[Field, ...]
    rest: str = ""
    sources: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns of the table, in the order of an export."""
        return ("id", *(field.name for field in self.fields), *(field.name for field in TIMES))

    @property
    def searched(self) -> tuple[str, ...]:
        """The columns that the search looks into: all texts, the name first."""
        return tuple(field.name for field in self.fields if field.reads in TEXTS)


# How fields are read that hold words.
TEXTS = ("title", "line", "text")
TIMES = (
    Field(
        name="created_at",
        label="Created",
        reads="moment",
        names="""createdat created createdon createddate createdtime datecreated dateadded added addedat addedon
        creationdate creationtime entry""",
    ),
    Field(
        name="updated_at",
        label="Changed",
        reads="moment",
        names="""updatedat updated updatedon updateddate updatedtime dateupdated modified modifiedat lastmodified
        datemodified lastmodifieddate modifieddate lastupdated lastedited lasteditedtime datelastactivity
        lastmodifieddatetime geändert geändertam""",
    ),
)

# Those of the app by their tables, the main one first; app/main.py fills it from its list of features.
kinds: dict[str, Kind] = {}


def to_json(kind: Kind) -> str:
    """A kind as text, for the process that reads a file."""
    return json.dumps(kind._asdict() | {"fields": [field._asdict() for field in kind.fields]})


def from_json(text: str) -> Kind:
    """The kind that `to_json` was given."""
    kind = json.loads(text)
    return Kind(**{**kind, "fields": tuple(Field(**each) for each in kind["fields"])})
