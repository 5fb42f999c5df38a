"""Links that sign in once: what opens the browser at a start, where nobody is known by their connection.

As Jupyter does it, the browser is given the path of a file that leads on to the link, so that the code in the link
stands on no command line, which every account of the machine can read. For each link that was not used yet, there is an
empty file in DATA/links (0700), named after the hash of its code.
"""

import contextlib
import html
import os
import secrets
import time
from pathlib import Path

from server.sharing.sign_in_token import hashed

DIRECTORY = "links"
USED = ".used"
# How long a link can be used, in seconds.
LIFETIME = 10 * 60


def make(directory: Path) -> str:
    """A new code, for one sign-in within LIFETIME."""
    sweep(directory)
    code = secrets.token_urlsafe(24)
    room = directory / DIRECTORY
    for each in (directory, room):
        each.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(room / hashed(code), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    return code


def use(directory: Path, code: str) -> bool:
    """Whether this code is good, which it is once: of several who use it at the same time one is let in."""
    path = directory / DIRECTORY / hashed(code)
    try:
        is_good = time.time() - path.stat().st_mtime < LIFETIME
        path.rename(path.with_suffix(USED))
    except (FileNotFoundError, NotADirectoryError):
        return False
    return is_good


def give_back(directory: Path, code: str) -> None:
    """Have a code be as good as before it was used, as nobody has come in by it. It needs no room on the disk."""
    path = directory / DIRECTORY / hashed(code)
    path.with_suffix(USED).rename(path)


def page_to(directory: Path, code: str, address: str) -> Path:
    """A file that leads a browser from `address` (http://…) to the link with this code; it goes when that is used."""
    page = directory / DIRECTORY / f"{hashed(code)}.html"
    link = html.escape(link_of(address, code))
    with open(os.open(page, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
        file.write(
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>Sign in</title>'
            f'<meta http-equiv="refresh" content="0; url={link}"><p><a href="{link}">Sign in</a></p></html>\n'
        )
    return page


def link_of(address: str, code: str) -> str:
    """The link with this code, to a server at `address` (http://…)."""
    return f"{address}/sign-in?code={code}"


def sweep(directory: Path) -> None:
    """Delete what can be used no more, and the files that lead to it."""
    with contextlib.suppress(FileNotFoundError):
        for path in list((directory / DIRECTORY).iterdir()):
            with contextlib.suppress(FileNotFoundError):
                is_used = path.suffix == ".html" and not path.with_suffix("").exists()
                # A used one stays for its time: whoever it let in may yet be refused.
                if is_used or time.time() - path.stat().st_mtime >= LIFETIME:
                    path.unlink()
