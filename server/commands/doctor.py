"""What `doctor` looks at: this machine, the installed packages, the data directory. It changes nothing.

What the app itself has to say of its data is handed in as findings.
"""

import http.client
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import socket
import ssl
import sys
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from types import ModuleType
from typing import Any

# The first has no window and takes half the processor time.
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Room for the log of a large import and for a few uploads; a copy of the data comes on top.
FREE_BYTES = 500 * 1024**2
ANSWER_SECONDS = 3
MEND_PACKAGES = "run `uv sync --inexact`, or delete .venv and start `python3 server.py`"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; with a remedy where it is not as it should be."""

    what: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}." if self.remedy else f"ok {self.what}"


def examine(root: Path, data: Path, host: str, port: int, of_the_app: Iterable[Finding]) -> Iterator[Finding]:
    """All findings, those of the app among them."""
    door = _door(root)
    yield python(door.OLDEST_PYTHON)
    yield packages(root)
    yield lock(root)
    yield stamp(door)
    yield speed()
    yield browser()
    yield from of_the_app
    yield privacy(data)
    yield room(data)
    yield address(host, port)
    yield owner()


def _door(root: Path) -> ModuleType:
    """server.py in the checkout, which makes .venv; its name is taken by this package."""
    specification = importlib.util.spec_from_file_location("door", root / "server.py")
    assert specification is not None
    assert specification.loader is not None
    door = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(door)
    return door


def python(oldest: tuple[int, int]) -> Finding:
    """Whether this Python is new enough."""
    name = f"Python {sys.version.split()[0]}"
    if sys.version_info >= oldest:
        return Finding(name)
    return Finding(f"{name} is too old", f"start with Python {oldest[0]}.{oldest[1]} or newer")


def packages(root: Path) -> Finding:
    """Whether what is installed is what uv.lock names.

    Whether a package that some machines need is missing on this one is seen by what it is there for.
    """
    locked = _locked(root)
    installed = {_normal(each.name): each.version for each in importlib.metadata.distributions()}
    missing = [f"{name} is missing" for name in sorted(_needed(locked) - installed.keys())]
    versions = {name: {package.get("version") for package in each} for name, each in locked.items()}
    other = [
        f"{name} is {version}, not {' or '.join(sorted(map(str, versions[name])))}"
        for name, version in sorted(installed.items())
        if name in versions and version not in versions[name]
    ]
    if missing or other:
        return Finding(f"The packages are not those of uv.lock ({', '.join((missing + other)[:3])})", MEND_PACKAGES)
    return Finding("packages: those of uv.lock")


def _locked(root: Path) -> dict[str, list[dict[str, Any]]]:
    """The packages of uv.lock by name; some come in several versions."""
    locked: dict[str, list[dict[str, Any]]] = {}
    for package in tomllib.loads((root / "uv.lock").read_text(encoding="utf-8"))["package"]:
        locked.setdefault(package["name"], []).append(package)
    return locked


def _needed(locked: dict[str, list[dict[str, Any]]]) -> set[str]:
    """What the project needs on every machine, and what that needs."""
    waiting = [name for name, each in locked.items() if "virtual" in each[0]["source"]]
    project, needed = set(waiting), set(waiting)
    while waiting:
        for package in locked[waiting.pop()]:
            names = {each["name"] for each in package.get("dependencies", ()) if "marker" not in each} - needed
            needed |= names
            waiting += names
    return needed - project


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def lock(root: Path) -> Finding:
    """Whether uv.lock was made from pyproject.toml as it is."""
    asked = {
        (_normal(found[1]), found[2].strip())
        for line in tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
        if (found := re.match(r"([\w.-]+)(?:\[.*?\])?([^;]*)", line))
    }
    (project,) = [each[0] for each in _locked(root).values() if "virtual" in each[0]["source"]]
    noted = {(each["name"], each.get("specifier", "")) for each in project["metadata"]["requires-dist"]}
    if asked != noted:
        names = ", ".join(sorted({name for name, _ in asked ^ noted}))
        return Finding(
            f"uv.lock is not in step with pyproject.toml ({names})", "run `uv lock`, then `uv sync --inexact`"
        )
    return Finding("uv.lock: in step with pyproject.toml")


def stamp(door: ModuleType) -> Finding:
    """Whether the .venv that server.py made is finished and fits uv.lock."""
    made_from = door.read_stamp()
    if made_from is None:
        return Finding(".venv: none that server.py has made")
    if made_from == door.UNFINISHED:
        return Finding(".venv is unfinished", "start `python3 server.py`, which makes it anew")
    if not door.stamp_fits(False):
        return Finding(".venv does not fit uv.lock any more", "start `.venv/bin/python server.py`, which mends it")
    return Finding(".venv: made from uv.lock as it is")


def speed() -> Finding:
    """Whether the fast event loop and parser are there."""
    wanted = ("httptools",) if os.name == "nt" else ("uvloop", "httptools")
    missing = [name for name in wanted if importlib.util.find_spec(name) is None]
    if missing:
        return Finding(f"{' and '.join(missing)} missing, so pages come at about half the speed", MEND_PACKAGES)
    return Finding(" and ".join(wanted))


def browser() -> Finding:
    """Whether there is a Chromium for the browser tests."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        return Finding("No Chromium, so the browser tests are skipped", "install the system's package `chromium`")
    return Finding(f"Chromium for the browser tests: {found}")


def privacy(data: Path) -> Finding:
    """Whether the data directory and all in it belong to this person alone."""
    if not data.exists():
        return Finding(f"{data}: made at the first start")
    if os.name == "nt":
        return Finding(f"{data}: as private as its directory")
    open_to_others, locked = [], []
    for path in (data, *data.rglob("*")):
        if path.is_symlink():
            continue
        with suppress(FileNotFoundError):  # What a running server has taken away meanwhile.
            can_be_written = os.access(path, os.W_OK)
            if path.stat().st_mode & 0o077:
                open_to_others.append(path)
            if not can_be_written:
                locked.append(path)
    if locked:
        return Finding(f"{_listed(locked)} cannot be written by you", f"run `sudo chown -R $USER {data}`")
    if open_to_others:
        return Finding(f"{_listed(open_to_others)} can be read by others", f"run `chmod -R go= {data}`")
    return Finding(f"{data}: yours alone")


def _listed(paths: list[Path]) -> str:
    return str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"


def room(data: Path) -> Finding:
    """Whether the disk has room for a copy of the data and for work."""
    there = next(each for each in (data, *data.parents) if each.exists())
    free = shutil.disk_usage(there).free
    size = 0
    with suppress(FileNotFoundError):  # What a running server has taken away meanwhile.
        size = sum(path.stat().st_size for path in data.glob("*.db"))
    if free < FREE_BYTES + size:
        return Finding(
            f"The disk of {data} has only {_megabytes(free)} free",
            f"free {_megabytes(FREE_BYTES + size - free)}, or choose another directory with --data",
        )
    return Finding(f"disk: {_megabytes(free)} free")


def _megabytes(count: int) -> str:
    return f"{count / 1024**2:,.0f} MB"


def address(host: str, port: int) -> Finding:
    """Whether the port is free, or has our own server."""
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            return Finding(f"port {port}: free")
    except OSError as error:
        health = _health({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port)
        if health is None:
            reason = str(error.strerror).partition(" (")[0]
            return Finding(f"Port {port} of {host}: {reason}", "end what has it, or choose another with --port")
    if health.get("status") != "ok":
        return Finding(f"The server on port {port} is not well ({health.get('status')})", "see its log, and restart it")
    # To whom it does not know it says no more than that it is well.
    version = f", version {health['version']}" if "version" in health else ""
    return Finding(f"port {port}: our own server{version}")


def owner() -> Finding:
    """Whether the owner needs no sign-in on loopback; where this machine does not say who asks, that is no fault."""
    try:
        from server.guard.peer_account import is_knowable
    except ImportError:  # Packages are missing, which is found out otherwise.
        return Finding("who asks on loopback: not looked at")
    if is_knowable():
        return Finding("who asks on loopback: this machine says so, and its owner needs no sign-in")
    return Finding(
        "who asks on loopback: this machine does not say so; the browser is opened with a link that signs in"
    )


def _health(host: str, port: int) -> dict[str, Any] | None:
    """What /healthz of our own server says; None where another program answers, or none."""
    # Nothing is told to it; whose certificate it has does not matter.
    anyone = ssl.create_default_context()
    anyone.check_hostname = False
    anyone.verify_mode = ssl.CERT_NONE
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=anyone))
    for scheme in ("http", "https"):
        with suppress(OSError, ValueError, http.client.HTTPException):
            try:
                name = f"[{host}]" if ":" in host else host
                answer = direct.open(f"{scheme}://{name}:{port}/healthz", timeout=ANSWER_SECONDS)
            except urllib.error.HTTPError as error:
                answer = error
            with answer:
                health = json.loads(answer.read(10_000))
            if isinstance(health, dict) and ("commit token" in health or _is_guarded(answer.headers)):
                return health
    return None


def _is_guarded(headers: Message) -> bool:
    """Whether an answer carries the headers of our guard, as every one of ours does."""
    with suppress(ImportError):
        from server.guard.middleware import SECURITY_HEADERS  # Where packages are missing, that is found out otherwise.

        return all(headers.get(name.decode()) == value.decode() for name, value in SECURITY_HEADERS)
    return False
