"""What an edit means for those who have the old version: an open page, and the process that watches.

That an edit of the code means a new worker, server/reload/supervisor.py knows itself.
"""

import sys
from pathlib import Path
from typing import Any


def for_pages(changed: list[Path], static: Path) -> dict[str, Any]:
    """How the pages follow: a style is swapped alone, anything else is loaded again with the page."""
    if not all(path.suffix == ".css" and path.exists() for path in changed):
        return {"reload": "page"}
    return {"reload": "style", "files": [path.relative_to(static).as_posix() for path in changed]}


def that_need_a_new_start(changed: list[Path], code: list[Path], root: Path) -> list[str]:
    """What to tell the person of files that this process itself runs on; workers have the new version."""
    pinned = [path.name for path in changed if path.parent == root and path not in code]
    running = [str(path.relative_to(root)) for path in changed if path.is_relative_to(root) and _is_loaded(path)]
    words = []
    if pinned:
        words.append(f"{', '.join(pinned)} changed: stop the server and start it again to use that.")
    if running:
        words.append(
            f"{', '.join(running)} changed: the app has it, what watches and starts it goes on as before; stop the "
            "server and start it again to use that there too."
        )
    return words


def _is_loaded(path: Path) -> bool:
    """Whether this process has the module of a file."""
    return any(getattr(module, "__file__", None) == str(path) for module in list(sys.modules.values()))
