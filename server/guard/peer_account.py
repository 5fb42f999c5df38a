"""Which account of this machine has opened a connection, as the system itself knows it. Linux alone says so.

For TCP the kernel is asked over NETLINK_SOCK_DIAG (man 7 sock_diag) by the four addresses of the connection, for a Unix
socket by SO_PEERCRED (man 7 unix). What cannot be known is None: another system, another network namespace, a peer that
is gone, an account that has no number in this user namespace.
"""

import contextlib
import os
import socket
import struct
import sys
from functools import cache
from ipaddress import ip_address
from typing import Any

from starlette.types import Scope

# Where a scope keeps what is known of its connection, for as long as that is open (server/protocols/http1.py). Under
# another server each request has one of its own.
CONNECTION = "server.connection"
TRANSPORT = "transport"
# There: whether who has opened the connection needs no session.
OWNER = "owner"
# What /usr/include/linux/sock_diag.h, inet_diag.h and netlink.h call NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY,
# NLM_F_REQUEST and INET_DIAG_NOCOOKIE.
SOCK_DIAG, BY_FAMILY, REQUEST, NO_COOKIE = 4, 20, 1, 0xFFFFFFFF
# struct nlmsghdr; the begin of inet_diag_req_v2, its ports and addresses, interface and cookie.
HEADER, QUESTION = struct.Struct("=IHHII"), struct.Struct("=BBBBI")
PORTS, ENDING = struct.Struct("!HH16s16s"), struct.Struct("=III")
# In inet_diag_msg: the state, the account and the number of the socket's file, counted from the begin of the message.
STATE, ACCOUNT = 17, struct.Struct("=II")
ACCOUNT_AT = HEADER.size + 4 + PORTS.size + ENDING.size + 12
# TCP_ESTABLISHED, and the two in which a peer has said that it sends no more, but reads on.
OPEN_STATES = frozenset((1, 4, 5))
CREDENTIALS = struct.Struct("=iII")


def account_of(scope: Scope) -> int | None:
    """The account (uid) whose process is at the other end of this request's connection; asked once a connection."""
    known: dict[str, Any] = scope.setdefault(CONNECTION, {})
    if "account" not in known:
        known["account"] = _asked(scope, known.get(TRANSPORT))
    account: int | None = known["account"]
    return account


def peer_of(scope: Scope) -> str:
    """The address at the other end of this request's connection, whatever its headers say; empty where it has none."""
    transport = scope.get(CONNECTION, {}).get(TRANSPORT)
    name = transport.get_extra_info("peername") if transport is not None else None
    # The peer of a Unix socket has a file's name, or none.
    return str(name[0]) if isinstance(name, tuple) else ""


def accounts_of_owner() -> frozenset[int]:
    """The accounts that may do what this process may: its own, and root. Empty where accounts have no numbers."""
    return frozenset((0, os.geteuid())) if hasattr(os, "geteuid") else frozenset()


def is_knowable() -> bool:
    """Whether this machine says who has opened a connection: tried with one of our own."""
    with (
        contextlib.suppress(OSError),
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname(), timeout=1) as client,
    ):
        return account_of_address(client.getsockname(), listening.getsockname()) in accounts_of_owner()
    return False


def account_of_address(peer: tuple[Any, ...], here: tuple[Any, ...]) -> int | None:
    """The account of the process that has the end `peer` of a TCP connection of which `here` is the other end."""
    if sys.platform != "linux":
        return None
    try:
        question = _question(peer, here)
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, SOCK_DIAG) as kernel:
            kernel.sendto(question, (0, 0))
            # The kernel has answered when `sendto` returns.
            answer, sender = kernel.recvfrom(4096, socket.MSG_DONTWAIT)
    except (OSError, ValueError, struct.error):
        return None
    return _account_in(answer) if sender[0] == 0 else None


def _asked(scope: Scope, transport: Any) -> int | None:
    """What the system says of the peer of this connection."""
    peer, here = scope.get("client"), scope.get("server")
    if here and here[0].startswith("/"):
        return _account_at_socket(transport)
    if transport is not None:
        peer, here = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
    elif any(name == b"x-forwarded-for" for name, _ in scope["headers"]):
        return None  # Uvicorn may have put what the header says in the place of the peer.
    return account_of_address(peer, here) if peer and here else None


def _account_at_socket(transport: Any) -> int | None:
    """Who has opened a connection to the file of a socket."""
    own = transport.get_extra_info("socket") if transport is not None else None
    if own is None or not hasattr(socket, "SO_PEERCRED"):
        return None
    try:
        with own.dup() as connection:
            found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    except OSError:
        return None
    return _numbered(CREDENTIALS.unpack(found)[1])


def _question(peer: tuple[Any, ...], here: tuple[Any, ...]) -> bytes:
    """A request for the socket that has the addresses of `peer` and `here` as its own and the other's."""
    family, address = _packed(peer[0])
    _, other = _packed(here[0])
    body = (
        QUESTION.pack(family, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF)
        + PORTS.pack(peer[1], here[1], address, other)
        + ENDING.pack(0, NO_COOKIE, NO_COOKIE)
    )
    return HEADER.pack(HEADER.size + len(body), BY_FAMILY, REQUEST, 0, 0) + body


def _packed(address: str) -> tuple[int, bytes]:
    """Family and bytes of an address; IPv4 is IPv4 where it came over IPv6 too."""
    found = ip_address(address.removeprefix("::ffff:"))
    return (socket.AF_INET if found.version == 4 else socket.AF_INET6), found.packed


def _account_in(answer: bytes) -> int | None:
    """The account in an answer of the kernel; None where it found no socket, or one that no process has any more."""
    if len(answer) < ACCOUNT_AT + ACCOUNT.size or HEADER.unpack_from(answer)[1] != BY_FAMILY:
        return None
    account, file = ACCOUNT.unpack_from(answer, ACCOUNT_AT)
    # A socket whose process has closed it has no file, and the kernel gives it to account 0, which is root.
    return _numbered(account) if file and answer[STATE] in OPEN_STATES else None


def _numbered(account: int) -> int | None:
    """The account, unless its number stands for all those that have none here."""
    return account if account != _number_of_unknown() else None


@cache
def _number_of_unknown() -> int:
    try:
        with open("/proc/sys/kernel/overflowuid", encoding="utf-8") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 65534
