"""The state of a server that follows the code, in a file: commands that edit it wait until the server has reloaded.

A file for each of them in server/__pycache__, which is nobody's to keep: JSON, locked as long as the server runs. What
nobody has locked was left by one that was killed, and goes.
"""

import contextlib
import http.client
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

try:
    import fcntl
except ImportError:  # Windows has none: there the commands do not wait.
    fcntl = None  # type: ignore[assignment]

PLACE = Path("server", "__pycache__")
NAMES = "running-*.json"
# How long a command waits for a server to follow, and how often it looks.
FOLLOW_SECONDS = 15.0
LOOK_SECONDS = 0.02
# After its first edit a command's last one has been seen within this time.
SETTLE_SECONDS = 0.1


class Running:
    """The file of this process, a server at `url` of the project at `root`. Times are those of time.monotonic()."""

    def __init__(self, root: Path, url: str) -> None:
        self._state: dict[str, Any] = {"url": url, "edited": 0.0, "begun": 0.0, "failed": 0.0, "why": ""}
        self._path = root / PLACE / NAMES.replace("*", str(os.getpid()))
        self._file = -1
        if fcntl is None:
            return
        with contextlib.suppress(OSError):  # A project that cannot be written has no commands that edit it.
            self._path.parent.mkdir(exist_ok=True)
            self._file = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def say(self, **state: Any) -> None:
        """Say that code was `edited`, when what serves has `begun`, or that it has `failed` and `why`."""
        self._state.update(state)
        if self._file >= 0:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, 0)
                os.pwrite(self._file, json.dumps(self._state).encode(), 0)

    def end(self) -> None:
        """It runs no more."""
        if self._file >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._file)


def wait(root: Path, since: float, path: str = "") -> str:
    """Wait until each server of this project has followed the edits since then, and has something at `path`.

    What is to be said of it, in words.
    """
    states = list(_states(root))
    if not states:
        return f"No server follows the code at this moment: python3 server.py shows it at {path}." if path else ""
    return "\n".join(_follow(file, since, path) for file in states)


def _follow(file: Path, since: float, path: str) -> str:
    end = time.monotonic() + FOLLOW_SECONDS
    state: dict[str, Any] = {}
    while time.monotonic() < end:
        state = _read(file) or state
        if state and state["edited"] >= since and time.monotonic() > since + SETTLE_SECONDS:
            if state["begun"] >= state["edited"] and _is_there(state["url"], path):
                return f"It is served: {state['url']}{path}"
            if state["failed"] >= state["edited"]:
                return f"The server at {state['url']} cannot start with it: {state['why']}"
        time.sleep(LOOK_SECONDS)
    if not state:
        return "The server has ended meanwhile."
    return f"The server at {state['url']} has not followed within {FOLLOW_SECONDS:.0f} s; its terminal says why."


def _states(root: Path) -> Iterator[Path]:
    for file in (root / PLACE).glob(NAMES) if fcntl is not None else ():
        with contextlib.suppress(OSError), file.open("rb") as opened:
            try:
                fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                yield file
            else:
                file.unlink()


def _read(file: Path) -> dict[str, Any] | None:
    """What a server says; None while it is being written."""
    try:
        state: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return state


def _is_there(url: str, path: str) -> bool:
    """Whether something answers at a path; who is asked to sign in is not told."""
    if not path:
        return True
    parts = urlsplit(url)
    try:
        if parts.scheme == "https":
            import ssl  # Only here.

            context = ssl._create_unverified_context()  # Whether it answers is all that matters.
            asking: Any = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=5, context=context)
        else:
            asking = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)
        with contextlib.closing(asking):
            asking.request("GET", path)
            return bool(asking.getresponse().status != 404)
    except (OSError, http.client.HTTPException):
        return False
