"""Text comes in UTF-8. What names another charset, or is no UTF-8, is refused; nothing is guessed, nothing replaced.

A charset that a request names is the name of a decoder, and some of Python's take a minute for a megabyte. So none is
looked up: a request may say UTF-8 or its part US-ASCII, or nothing.
"""

import re
from binascii import unhexlify

CHARSETS = frozenset((b"utf-8", b"utf8", b"us-ascii"))
# Also as RFC 2231 and RFC 5987 have it: charset*0*=….
_CHARSET = re.compile(rb"charset[\s*0-9]*=\s*\"?([^\s\";,]*)", re.IGNORECASE)
_ESCAPES = re.compile(rb"(?:%[0-9A-Fa-f]{2})+")
# One of these stands in every text that is not ASCII.
_ESCAPED_LETTER = re.compile(rb"%[89A-Fa-f]")
# In JSON: an escaped pair that is one character, half of such a pair, any other escaped character.
_JSON_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F])|.)", re.DOTALL)


def is_utf8(text: bytes) -> bool:
    """Whether these bytes are UTF-8; half a surrogate pair is none."""
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_escaped_utf8(text: bytes) -> bool:
    """Whether these bytes, with %… in place of some of them, are UTF-8."""
    if not _ESCAPED_LETTER.search(text):
        return is_utf8(text)
    return is_utf8(_ESCAPES.sub(lambda found: unhexlify(found[0].replace(b"%", b"")), text))


def names_utf8(header: bytes) -> bool:
    """Whether every charset that a header names is UTF-8; most name none."""
    return all(name.lower() in CHARSETS for name in _CHARSET.findall(header))


def has_half_a_pair(json: bytes) -> bool:
    r"""Whether JSON holds half of a surrogate pair as an escape: "\ud800" is no character, and no file can keep it."""
    return b"\\u" in json and any(found[1] for found in _JSON_ESCAPE.finditer(json))
