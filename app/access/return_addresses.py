"""Addresses that a request names, to go there afterwards: only those of this app."""

import re


def path_of_this_app(address: str) -> str:
    """An address to go to that leads nowhere else; the start page for any other."""
    # Browsers read \\ as /, and leave out tabs and line breaks.
    return address if re.fullmatch(r"/(?![/\\])[^\x00-\x20\x7f\\]*", address) else "/"
