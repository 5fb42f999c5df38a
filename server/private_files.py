"""Small files that are put in their place whole, for their owner alone, and what a killed process has left of them."""

import contextlib
import os
import re
import time
from pathlib import Path
from tempfile import mkstemp

NEW = ".new-"
_NEW = re.compile(re.escape(NEW) + "[a-z0-9_]{8}")
# To write one takes no time that anybody would notice.
OLD_SECONDS = 60


def put(path: Path, content: bytes) -> None:
    """Put a whole file in its place, whatever is there."""
    os.replace(written(path.parent, content), path)


def written(directory: Path, content: bytes) -> Path:
    """A new file of this directory, 0600, for the caller to give it its name."""
    sweep(directory)
    handle, whole = mkstemp(prefix=NEW, dir=directory)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    return Path(whole)


def sweep(directory: Path) -> None:
    """Delete the files in a directory that a process had written and not named before it ended."""
    with contextlib.suppress(FileNotFoundError):
        for each in list(directory.iterdir()):
            if _NEW.fullmatch(each.name):
                with contextlib.suppress(FileNotFoundError):
                    if time.time() - each.stat().st_mtime > OLD_SECONDS:
                        each.unlink()
