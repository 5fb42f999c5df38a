"""Time zones by their names. The server asks for them too, so this imports nothing of how files are read."""

import zoneinfo
from datetime import tzinfo
from functools import lru_cache

LONGEST_ZONE = 64
REMEMBERED_ZONES = 1024


@lru_cache(REMEMBERED_ZONES)
def zone_named(name: str) -> tzinfo | None:
    """The time zone of an IANA name; None where there is none of that name."""
    try:
        return zoneinfo.ZoneInfo(name) if 0 < len(name) <= LONGEST_ZONE else None
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return None
