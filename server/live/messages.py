"""What goes over the socket of a page: its list of what it shows, and HTML for it. Nothing here waits or sends."""

import html
import json
import re
from functools import cached_property
from typing import NamedTuple

from websockets.frames import Frame as WebSocketFrame
from websockets.frames import Opcode

from server.protocols.websocket import DEFLATE

VIEWS_PER_TAB = 64
VERSION_LENGTH = 64
URL_LENGTH = 2000

_ID = re.compile(r"[A-Za-z][\w-]*")
_URL = re.compile(r"/(?!/)[\x21-\x7e]*")


class Refused(ValueError):
    """A message that makes no sense; the text says why."""


class Shown(NamedTuple):
    """What an element of a page shows: an address, and which version of it; the empty text for none."""

    url: str
    version: str


class Frame:
    """HTML for a page, put into a WebSocket's frame once for all who get it."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def plain(self) -> bytes:
        """The bytes on the wire (RFC 6455, section 5.2; a server's frames are not masked)."""
        return WebSocketFrame(Opcode.TEXT, self.text.encode()).serialize(mask=False)

    @cached_property
    def deflated(self) -> bytes:
        """The same, compressed (RFC 7692, section 7.2.1)."""
        return WebSocketFrame(Opcode.TEXT, self.text.encode()).serialize(mask=False, extensions=[DEFLATE])


def parse(text: str) -> dict[str, Shown]:
    """The list of a page, by the id of the elements. Raises Refused for what is no such list."""
    try:
        entries = json.loads(text)["watch"]
        wanted = {entry["id"]: Shown(entry["url"], entry.get("version") or "") for entry in entries}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise Refused('A message is {"watch": [{"id": …, "url": …, "version": …}]}.') from None
    if len(wanted) > VIEWS_PER_TAB:
        raise Refused(f"A page watches at most {VIEWS_PER_TAB} elements.")
    for id, (url, version) in wanted.items():
        if not (isinstance(id, str) and _ID.fullmatch(id)):
            raise Refused("An id is a letter, then letters, digits, - and _.")
        if not (isinstance(url, str) and _URL.fullmatch(url)):
            raise Refused("A url is a path of this app.")
        if len(url) > URL_LENGTH:
            raise Refused(f"A url has at most {URL_LENGTH:,} characters.")
        if not (isinstance(version, str) and len(version) <= VERSION_LENGTH and version.isprintable()):
            raise Refused("A version is the text of data-version, or null.")
    return wanted


def partial(target: str, swap: str, body: bytes | bytearray) -> Frame:
    """HTML that goes into the element `target`, a selector, by the htmx swap `swap`."""
    text = body.decode(errors="replace")
    return Frame(f'<hx-partial hx-target="{html.escape(target)}" hx-swap="{html.escape(swap)}">{text}</hx-partial>')
