"""What a person may choose when the server starts: one frozen record, checked once, read everywhere.

The same choices come as options of `python server.py run` and as KINDLING_… in the environment. The command line
writes its options into the environment, so that `uvicorn app.main:app`, a worker and a reloaded process all read
the same record here.
"""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

PREFIX = "KINDLING_"
LOG_LEVELS = ("critical", "error", "warning", "info", "debug")
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


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
    log_level: str = "info"

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise SettingsError(f"--port is a number from 0 to 65535, not {self.port}.")
        if self.workers < 1:
            raise SettingsError(f"--workers is at least 1, not {self.workers}.")
        if self.workers > 1 and self.reload:
            raise SettingsError("--reload works with one worker only: leave out --reload or --workers.")
        if self.log_level not in LOG_LEVELS:
            raise SettingsError(f"--log-level is one of {', '.join(LOG_LEVELS)}, not “{self.log_level}”.")
        if not is_loopback(self.host):
            raise SettingsError(
                f"--host {self.host} would let other machines in, and there is no sign-in yet: "
                "use 127.0.0.1, or put a proxy that asks for a password in front."
            )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read KINDLING_HOST, KINDLING_PORT and so on; what is absent or empty keeps its default."""
        given: dict[str, Any] = {}
        for field in fields(cls):
            text = environment.get(PREFIX + field.name.upper())
            if text:
                given[field.name] = _READERS[type(field.default)](field.name, text)
        return cls(**given)

    def to_environment(self) -> dict[str, str]:
        """The same settings as KINDLING_… variables, for the processes started from here."""
        return {PREFIX + field.name.upper(): _written(getattr(self, field.name)) for field in fields(self)}


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can reach a server bound to host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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


def _written(value: object) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


_READERS: dict[type, Any] = {
    str: lambda name, text: text,
    int: _read_integer,
    bool: _read_switch,
    type(Path()): lambda name, text: Path(text),
}
