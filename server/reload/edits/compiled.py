"""Compiled code of files that are being edited: kept under the hash of the source, so that it never stands for another.

Python itself takes compiled code for up to date that is of the same second and of a source of the same length. What it
keeps by hash (https://peps.python.org/pep-0552/) it compares with the source each time.
"""

import contextlib
import importlib.util
import py_compile
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

# The second word of a compiled file: it goes by the hash of the source, which is to be compared.
BY_HASH = (0b11).to_bytes(4, "little")
FLAGS = slice(4, 8)


def distrust(source: Path) -> None:
    """Take away what is compiled of a file, unless that goes by its content."""
    compiled = _place(source)
    with contextlib.suppress(FileNotFoundError):
        if _flags(compiled) != BY_HASH:
            compiled.unlink()


def keep(sources: Iterable[Path], is_disturbed: Callable[[], bool]) -> None:
    """Compile files, and keep that by their content, until something else is to be done.

    What cannot be compiled or kept is left to whoever imports it, who can say why.
    """
    if sys.dont_write_bytecode:
        return
    for source in sources:
        if is_disturbed():
            return
        with contextlib.suppress(OSError, ValueError, py_compile.PyCompileError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if not _is_kept(source):
                mode = py_compile.PycInvalidationMode.CHECKED_HASH
                py_compile.compile(str(source), doraise=True, invalidation_mode=mode)


def _is_kept(source: Path) -> bool:
    """Whether what is compiled is of the content that a file has now."""
    with contextlib.suppress(FileNotFoundError):
        head = importlib.util.MAGIC_NUMBER + BY_HASH + importlib.util.source_hash(source.read_bytes())
        with _place(source).open("rb") as file:
            return file.read(len(head)) == head
    return False


def _flags(compiled: Path) -> bytes:
    with compiled.open("rb") as file:
        return file.read(FLAGS.stop)[FLAGS]


def _place(source: Path) -> Path:
    return Path(importlib.util.cache_from_source(str(source)))
