"""Which strings are constants of the source: whole, as they stand there, and the very objects that Python made of them.

What a page may run has to be the developer's own. A text that was put together at run time cannot be told from one that
somebody has sent, so it is not asked what a text says but where it comes from: `is_constant` is true for the object
that the compiler has made of a literal (`co_consts` of a module, of its functions and classes), and for no other object
with the same letters. So:

- a text from the database, a form or a file is none, even if it is equal to a constant: who can choose the text of an
  event handler cannot choose among the handlers that stand elsewhere in the source;
- what `%`, `format`, `+`, `join` or an f-string put together is none, whatever its parts are; what the compiler itself
  joins ("a" "b", "a" + "b", an f-string without a value) is one;
- a constant that is passed on, or kept in a global, a default or a table, is still the same object, and still one.

Python makes one object of equal texts in two cases alone: a text of one character, and one that is a name (letters,
digits, `_`), as it keeps these once. Neither does anything as a script; they count as no constants.

The code objects of modules are noted as they are imported, through the public `SourceFileLoader.get_code`, because a
module does not keep its own. Only those of the project, and of FastHTML, whose components carry scripts too, are noted.
They are looked through when somebody asks for the first time: an app without inline code pays nothing.
"""

import os
from importlib.machinery import SourceFileLoader
from types import CodeType
from typing import Any

# Packages whose constants count as those of the project do.
PACKAGES = ("fasthtml",)
INSTALLED = ("site-packages", "dist-packages")
STANDARD = os.path.dirname(os.__file__) + os.sep
# The code of each module, to be looked through.
_unread: list[CodeType] = []
# The constants by their identity. They are kept, so that no other object can get the identity of one.
_known: dict[int, str] = {}


def follow() -> None:
    """Note the code of each module that is imported from now on."""
    load = SourceFileLoader.get_code
    if getattr(load, "notes_constants", False):
        return

    def get_code(self: SourceFileLoader, fullname: str) -> Any:
        code = load(self, fullname)
        if code is not None and _counts(fullname, self.path):
            _unread.append(code)
        return code

    get_code.notes_constants = True  # type: ignore[attr-defined]
    SourceFileLoader.get_code = get_code  # type: ignore[method-assign, assignment]


def is_constant(text: str) -> bool:
    """Whether this object is a whole string constant of the source."""
    while _unread:
        _read(_unread.pop())
    return _known.get(id(text)) is text


def _counts(module: str, path: str) -> bool:
    if module.partition(".")[0] in PACKAGES:
        return True
    return not path.startswith(STANDARD) and not any(each in path for each in INSTALLED)


def _read(code: CodeType) -> None:
    """Take up the strings of a code object, of tuples in it, and of the code objects in it."""
    rest: list[object] = list(code.co_consts)
    while rest:
        found = rest.pop()
        if type(found) is str:
            # A name, or a single character, may be the same object elsewhere.
            if len(found) > 1 and not found.replace("_", "a").isalnum():
                _known[id(found)] = found
        elif isinstance(found, tuple | frozenset):
            rest.extend(found)
        elif isinstance(found, CodeType):
            rest.extend(found.co_consts)
