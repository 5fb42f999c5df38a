"""The token that lets people in from other machines: DATA/token, for its owner alone, and the link that holds it.

Whoever has the token may make a session; a session ends with the token that it was made with. So a new token, or a file
that was changed by hand, ends all of them, while the server runs.
"""

import contextlib
import io
import ipaddress
import logging
import os
import re
import secrets
import socket
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

from server.private_files import put, written
from server.standard_streams import can_show

FILE_NAME = "token"
# What a QR code in a terminal is made of.
BLOCKS = "\u2580\u2584\u2588"
HINT = "Other machines need to sign in: python3 server.py token shows the link."


def secret(path: Path) -> str:
    """The secret that this file keeps, made where there is none: 192 bits, for its owner alone."""
    with contextlib.suppress(FileNotFoundError):
        if kept := path.read_text(encoding="utf-8").strip():
            return kept
        # Nothing must not be what opens the door.
        path.unlink()
    whole = written(path.parent, _new())
    # Of two processes that start at once, one makes the secret and both read it whole.
    with contextlib.suppress(FileExistsError):
        os.link(whole, path)
    os.unlink(whole)
    return path.read_text(encoding="utf-8").strip()


def _new() -> bytes:
    return secrets.token_urlsafe(24).encode()


def read(directory: Path) -> str:
    """The token, made at the first time."""
    return secret(directory / FILE_NAME)


def renew(directory: Path) -> str:
    """A new token in the place of the old one, which ends every session."""
    put(directory / FILE_NAME, _new())
    return read(directory)


class Token:
    """The token as the file has it now; the file is read again when it was changed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        # Looked at in every request: joining a path takes as long as asking the system about it.
        self._path = str(directory / FILE_NAME)
        self._state: tuple[int, int] | None = None
        self._hash = ""

    def hash(self) -> str:
        """What a session keeps of the token that it was made with."""
        state = self._look()
        if state is None and self._hash and not self._directory.is_dir():
            return self._hash  # All data are gone, and not the token alone: that ends nobody's session.
        if state is None or state != self._state:
            self._hash = hashed(read(self._directory))
            # Looked at before it was read: what changes in between is noticed at the next call.
            self._state = state
        return self._hash

    def _look(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns


def hashed(value: str) -> str:
    """A value that opens something, as it may be kept: it cannot be had back from this."""
    return sha256(value.encode(errors="surrogatepass")).hexdigest()


def announce(directory: Path, address: str) -> str:
    """What the terminal says at a start: the whole invitation where the token is new, later where to find it."""
    if (directory / FILE_NAME).exists():
        return HINT
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return invitation(read(directory), address)
    except OSError:
        # What is wrong with the directory says whoever opens the file of the data in it.
        return HINT


def invitation(token: str, address: str) -> str:
    """The sign-in link for a server at `address` (http://…), in words and as a QR code."""
    import segno  # Needed for this alone.

    link = link_of(token, _reachable(address))
    picture = io.StringIO()
    if can_show(BLOCKS):
        segno.make(link).terminal(picture, compact=True)
    return f"{picture.getvalue()}\nSign in from another machine: {link}"


def link_of(token: str, address: str) -> str:
    """The sign-in link for a server at `address` (http://…)."""
    return f"{address}/sign-in?token={token}"


def keep_out_of_logs() -> None:
    """Have Uvicorn's log of requests leave out the token, or the code, that a link holds."""
    logging.getLogger("uvicorn.access").addFilter(_without_token)


def _without_token(record: logging.LogRecord) -> bool:
    if isinstance(record.args, tuple):
        record.args = tuple(
            re.sub(r"\b(token|code)=[^&\s]*", r"\1=…", each) if isinstance(each, str) else each for each in record.args
        )
    return True


def _reachable(address: str) -> str:
    """The address as other machines find it: one that stands for all of this machine's gives way to a real one."""
    parts = urlsplit(address)
    try:
        family = {"0.0.0.0": socket.AF_INET, "::": socket.AF_INET6}[str(ipaddress.ip_address(parts.hostname or ""))]
    except (ValueError, KeyError):
        return address
    name = _own_address(family)
    return f"{parts.scheme}://{f'[{name}]' if ':' in name else name}:{parts.port}"


def _own_address(family: int) -> str:
    """The address of this machine in its network; connecting UDP chooses it and sends nothing."""
    outside = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}[socket.AddressFamily(family)]
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as asking:
        asking.connect((outside, 9))
        return str(asking.getsockname()[0])
    return socket.gethostname()
