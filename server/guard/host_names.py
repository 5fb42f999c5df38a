"""Names and addresses of hosts: one grammar for the Host header of a request and for the names that are let in.

A name is read in one way wherever it stands: in small letters, an address as the address that it is. So `--allow-host`
takes exactly what a browser can ask for.
"""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

Host = str | IPv4Address | IPv6Address
LONGEST = 253
_LABEL = "[A-Za-z0-9_-]{1,63}"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_WITH_PORT = re.compile(r"(\[[^\]]*\]|[^\[\]:]*)(?::([0-9]{0,5}))?")


def of_header(header: bytes) -> Host:
    """The host in a Host header, whatever its port. Raises ValueError for what is none."""
    return _of_address(header.decode("latin-1"))


def of_page(address: bytes) -> Host | None:
    """The host of the page at an address (http://…/…); None where it has none."""
    parts = address.split(b"/", 3)
    try:
        return of_header(parts[2]) if len(parts) > 2 else None
    except ValueError:
        return None


def of_option(text: str) -> Host:
    """The host that a person names, as a name, in letters of any script, or as an address; without the dot at its end.

    Raises ValueError, whose message says what is wrong and what would do.
    """
    if "*" in text:
        raise ValueError("a name stands for itself alone, and not for others: name each host")
    if "/" in text:
        raise ValueError("leave out scheme and path")
    try:
        name = (text if text.isascii() else _as_asked(text)).removesuffix(".")
        return _of_address(name) if _is_bracketed(name) else read(name)
    except ValueError:
        pass
    is_with_port = re.search(r":\d*$", text) is not None
    raise ValueError(
        "leave out the port: a name is let in with any"
        if is_with_port
        else "letters, digits, “-” and “_”, in words of at most 63 with a dot between them, make a name"
    )


def read(text: str) -> Host:
    """A name or an address without brackets and port. Raises ValueError for what is neither."""
    try:
        # The interface of an address (fe80::1%eth0) never stands in a Host header.
        return ip_address(text if "%" not in text else "")
    except ValueError:
        pass
    if len(text) > LONGEST or not _NAME.fullmatch(text):
        raise ValueError(f"“{text}” is neither a name nor an address")
    return text.lower()


def named(text: str) -> Host:
    """The same, of a host that this server is to listen on, whatever stands there."""
    try:
        return read(text.strip("[]"))
    except ValueError:
        return text.lower()


def is_of_machine(host: Host) -> bool:
    """Whether every machine calls itself so."""
    return host == "localhost" if isinstance(host, str) else host.is_loopback or host.is_unspecified


def written(host: Host) -> str:
    """A host as it stands in a web address, where a colon begins the port."""
    return f"[{host}]" if isinstance(host, IPv6Address) else str(host)


def _of_address(text: str) -> Host:
    """The host of `name:port`, an IPv6 address in brackets."""
    found = _WITH_PORT.fullmatch(text)
    if not found or int(found[2] or 0) > 65535:
        raise ValueError(f"“{text}” is neither a name nor an address")
    host = read(found[1].strip("[]"))
    if _is_bracketed(found[1]) != isinstance(host, IPv6Address):
        raise ValueError(f"“{text}” is neither a name nor an address")
    return host


def _is_bracketed(text: str) -> bool:
    return text.startswith("[") and text.endswith("]")


def _as_asked(text: str) -> str:
    """A name in letters of any script as browsers ask for it (https://www.unicode.org/reports/tr46/)."""
    import idna  # Imported late: only such a name needs it.

    return idna.encode(text, uts46=True).decode()
