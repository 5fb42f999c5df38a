"""How often one client may ask: who has not signed in for anything, who has for what is dear.

The generic cell rate algorithm (ITU-T I.371): of each client only the moment is kept at which it may ask freely again.
`limits` from PyPI was measured: 4 µs a request to 0.8 here, an entry for every client that ever came, and a thread to
sweep them. Each worker counts for itself.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from starlette.exceptions import HTTPException
from starlette.types import Scope

from server.guard.peer_account import account_of, peer_of
from server.settings import is_loopback

# Of more clients than these, those are forgotten that have not asked for longest.
CLIENTS = 10_000
# Longer than any address with its interface; what a proxy passes on may be anything.
ADDRESS_LIMIT = 64


class RateLimit:
    """So many requests of a client at once, `burst`, and after that one every `seconds`."""

    def __init__(self, burst: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self.clock = clock
        self._room = (burst - 1) * seconds
        self._free_at: OrderedDict[str, float] = OrderedDict()

    def wait(self, client: str) -> float:
        """Take one; 0, or the seconds until the client may ask again."""
        now = self.clock()
        free_at = max(self._free_at.get(client, now), now)
        if free_at - now > self._room:
            return free_at - now - self._room
        self._free_at[client] = free_at + self.seconds
        self._free_at.move_to_end(client)
        if len(self._free_at) > CLIENTS:
            self._free_at.popitem(last=False)
        return 0

    def check(self, client: str, what: str) -> None:
        """Raises HTTPException 429 where the client has to wait; `what` it did too much of."""
        seconds = self.wait(client)
        if seconds:
            raise HTTPException(
                429,
                f"There were too many {what} in a short time. Try again in {seconds:.0f} seconds.",
                {"retry-after": str(int(seconds) + 1)},
            )


# A page with its static files is ten requests.
STRANGERS = RateLimit(burst=300, seconds=0.01)
EXPORTS = RateLimit(burst=10, seconds=6)
UPLOADS = RateLimit(burst=10, seconds=6)


def client_of(scope: Scope) -> str:
    """Who asks: an address, of IPv6 the network that a household has, or on this machine the account where it is known.

    Behind a proxy with --proxy-headers the scope has the address that the proxy says; where that is none, it is the
    proxy who asks.
    """
    client = scope.get("client")
    address = (network_of(client[0]) or network_of(peer_of(scope))) if client else ""
    if not address or is_loopback(address):
        account = account_of(scope)
        return address if account is None else f"account {account} of this machine"
    return address


def network_of(address: str) -> str:
    """An address as limits count it: IPv4 whole, of IPv6 the first 64 bits; empty for what is no address."""
    return _network_of(address) if len(address) <= ADDRESS_LIMIT else ""


@lru_cache(maxsize=1024)
def _network_of(address: str) -> str:
    try:
        found = ip_address(address.partition("%")[0].removeprefix("::ffff:"))
    except ValueError:
        return ""
    is_network = isinstance(found, IPv6Address) and not found.is_loopback
    return str(ip_network((found, 64), strict=False)) if is_network else str(found)
