"""What a person may choose when the server starts: one frozen record, checked once, read everywhere.

The same choices come as options of `python3 server.py run`, and from the environment, as variables that begin as
`server/app_name.py` says. The command line writes its options there, so that `uvicorn app.main:app`, a worker and a
reloaded process all read the same record here.
"""

import ipaddress
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NewType

from server.app_name import PREFIX
from server.guard import host_names

LOG_LEVELS = ("critical", "error", "warning", "info", "debug")
LOG_FORMATS = ("text", "json")
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
# Where editors listen; the file begins with a slash.
EDITORS = {
    "vscode": "vscode://file{file}:{line}",
    "cursor": "cursor://file{file}:{line}",
    "zed": "zed://file{file}:{line}",
    "idea": "idea://open?file={file}&line={line}",
    "pycharm": "pycharm://open?file={file}&line={line}",
    "sublime": "subl://open?url=file://{file}&line={line}",
}
UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}

# In printable ASCII: it is a line of a file.
CONTACT = re.compile(r"(mailto:|https://|tel:)[!-~]+")

# What Kubernetes and Docker set for a service, or a container, that is called like the app: KUBERNETES_PORT=tcp://….
SERVICE_LINK = re.compile(r"(?:tcp|udp|sctp)://\S+")

Bytes = NewType("Bytes", int)

logger = logging.getLogger("uvicorn.error")


class SettingsError(ValueError):
    """A setting that cannot be used; the message says which, why, and what would do."""


@dataclass(frozen=True)
class Settings:
    """The settings of one run.

    Raises SettingsError for a value that cannot be used.
    """

    host: str = "127.0.0.1"
    port: int = 5001
    data: Path = Path("data")
    workers: int = 1
    reload: bool = False
    open: bool = True
    allow_host: tuple[str, ...] = ()
    proxy_headers: bool = False
    max_upload: Bytes = Bytes(1024**3)
    keep_copies: int = 5
    tls: bool = False
    cert: Path | None = None
    key: Path | None = None
    http2: bool = False
    security_contact: str = ""
    editor: str = "vscode"
    log_level: str = "info"
    log_format: str = "text"

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise SettingsError(f"--port is a number from 0 to 65535, not {self.port}.")
        if self.workers < 1:
            raise SettingsError(f"--workers is at least 1, not {self.workers}.")
        if self.workers > 1 and self.reload:
            raise SettingsError("--reload works with one worker only: leave out --reload or --workers.")
        if self.editor not in EDITORS and "{file}" not in self.editor:
            raise SettingsError(
                f"--editor is one of {', '.join(EDITORS)}, or an address with {{file}} and {{line}} in it, "
                f"not “{self.editor}”."
            )
        if self.log_level not in LOG_LEVELS:
            raise SettingsError(f"--log-level is one of {', '.join(LOG_LEVELS)}, not “{self.log_level}”.")
        if self.log_format not in LOG_FORMATS:
            raise SettingsError(f"--log-format is one of {', '.join(LOG_FORMATS)}, not “{self.log_format}”.")
        object.__setattr__(self, "allow_host", tuple(_allowed(host) for host in self.allow_host))
        if self.max_upload < 1:
            raise SettingsError(f"--max-upload is at least 1 byte, not {self.max_upload}.")
        if self.keep_copies < 1:
            raise SettingsError(f"--keep-copies is at least 1, not {self.keep_copies}.")
        if self.security_contact and not CONTACT.fullmatch(self.security_contact):
            raise SettingsError(
                "--security-contact is an address that begins with mailto:, https:// or tel:, "
                f"not “{self.security_contact}”."
            )
        if bool(self.cert) != bool(self.key):
            raise SettingsError("--cert and --key come together: name both files, or use --tls alone.")

    @property
    def hosts(self) -> set[str]:
        """The names that the app answers to; a dot may end those that were allowed."""
        names = [name for name in self.allow_host if not name.endswith("]")]
        return {self.host, *LOOPBACK_NAMES, *self.allow_host, *(f"{name}." for name in names)}

    @property
    def logs_requests(self) -> bool:
        """Whether each request is a line in the log: in development, and where a program reads it."""
        return self.reload or self.log_format == "json"

    @property
    def is_private(self) -> bool:
        """Whether only people of this machine come in: it listens to them alone, and no proxy speaks for others."""
        return is_loopback(self.host) and not self.proxy_headers

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read PREFIX + HOST and so on; what is absent or empty keeps its default."""
        given: dict[str, Any] = {}
        for field in fields(cls):
            text = environment.get(PREFIX + field.name.upper())
            if text and is_service_link(field.name, text):
                logger.warning("%s", ignored(field.name, text))
            elif text:
                given[field.name] = _READERS[field.type](field.name, text)
        return cls(**given)

    def to_environment(self) -> dict[str, str]:
        """As variables of the environment, for the processes started from here."""
        return {PREFIX + field.name.upper(): _written(getattr(self, field.name)) for field in fields(self)}


def _allowed(text: str) -> str:
    """A host as browsers write it. Raises SettingsError."""
    try:
        return host_names.written(host_names.of_option(text))
    except ValueError as error:
        raise SettingsError(
            f"--allow-host is a name or an address without scheme and port, not “{text}”: {error}."
        ) from None


def is_service_link(name: str, text: str) -> bool:
    """Whether a setting was not meant: it says where another service is, which is called like the app."""
    return name == "port" and SERVICE_LINK.fullmatch(text) is not None


def ignored(name: str, text: str) -> str:
    """What is said of a setting that was not meant."""
    variable = PREFIX + name.upper()
    return (
        f"{variable}={text} is no {name} of this app, and is ignored: Kubernetes and Docker set it for a service of "
        f"this name (enableServiceLinks: false ends that). --{name} sets another than {getattr(Settings, name)}."
    )


def path(text: str) -> Path:
    """A path as people write it, where a “~” at its beginning is a home. Raises SettingsError where none is known.

    A shell does so only where the path is a word of its own, and not in --data=~/here or in a service.
    """
    expanded = Path(os.path.expanduser(text))
    if text.startswith("~") and str(expanded).startswith("~") and not expanded.exists():
        raise SettingsError(f"“{text}” begins with a home that is not known here: write the whole path, or ./{text}.")
    return expanded


def size(text: str) -> Bytes:
    """The bytes of a size as people write it: 500000, 64K, 20 MB, 1G, 1.5GiB; units are powers of 1,024.

    Raises SettingsError for anything else.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:I?B)?", text.strip().upper())
    if not found:
        raise SettingsError(f"A size is a number of bytes, or one with K, M or G behind it, not “{text}”.")
    return Bytes(int(float(found[1]) * UNITS[found[2]]))


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can reach a server bound to host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bracketed(host: str) -> str:
    """A name or an address as it stands in a web address, where a colon begins the port."""
    return f"[{host}]" if ":" in host else host


def _read_integer(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise SettingsError(f"{PREFIX}{name.upper()} is a whole number, not “{text}”.") from None


def _read_switch(name: str, text: str) -> bool:
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise SettingsError(f"{PREFIX}{name.upper()} is 1 or 0, not “{text}”.")


def _read_size(name: str, text: str) -> Bytes:
    try:
        return size(text)
    except SettingsError as error:
        raise SettingsError(f"{PREFIX}{name.upper()}: {error}") from None


def _written(value: object) -> str:
    match value:
        case bool():
            return str(int(value))
        case tuple():
            return " ".join(value)
        case None:
            return ""
    return str(value)


_READERS: dict[Any, Any] = {
    str: lambda name, text: text,
    int: _read_integer,
    bool: _read_switch,
    Bytes: _read_size,
    Path: lambda name, text: path(text),
    Path | None: lambda name, text: path(text),
    tuple[str, ...]: lambda name, text: tuple(text.split()),
}
