"""Text comes in UTF-8. What names another charset, or is no UTF-8, is refused; nothing is guessed, nothing replaced.

A charset that a request names is the name of a decoder, and some of Python's take a minute for a megabyte. So none is
looked up: a request may say UTF-8 or its part US-ASCII, or nothing.
"""

import re
from binascii import a2b_qp

CHARSETS = frozenset((b"utf-8", b"utf8", b"us-ascii"))
# Also as RFC 2231 and RFC 5987 have it: charset*0*=….
_CHARSET = re.compile(rb"charset[\s*0-9]*=\s*\"?([^\s\";,]*)", re.IGNORECASE)
# A byte that no UTF-8 has stands for each sign of equality, while percent signs are written with that.
_STAND_IN = re.compile(rb"\xff|%[fF][fF]")
_STEPS = (
    (b"=", b"\xff"),
    (b"%3D", b"\xff"),
    (b"%3d", b"\xff"),
    # Twice, as the first leaves every other pair.
    (b"%%", b"%25%"),
    (b"%%", b"%25%"),
    (b"%\n", b"%25\n"),
    (b"%\r", b"%25\r"),
)
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
    return not _STAND_IN.search(text) and is_utf8(unescaped(text))


def unescaped(text: bytes) -> bytes:
    """The bytes that are meant where some are written as %…; any other percent sign stays. None of them is 255.

    Python's own `unquote_to_bytes` takes a second for a megabyte, in which nothing else is done. Quoted-printable
    (RFC 2045, section 6.7) is the same with another sign, and is read in a few milliseconds; the steps before keep from
    it what it has beside: ends of lines that do not count, and a sign at the end.
    """
    if b"%" not in text:
        return text
    for meant, written in _STEPS:
        text = text.replace(meant, written)
    text = text + b"25" if text.endswith(b"%") else text
    return a2b_qp(text.replace(b"%", b"=")).replace(b"=", b"%").replace(b"\xff", b"=")


def names_utf8(header: bytes) -> bool:
    """Whether every charset that a header names is UTF-8; most name none."""
    return all(name.lower() in CHARSETS for name in _CHARSET.findall(header))


def has_half_a_pair(json: bytes) -> bool:
    r"""Whether JSON holds half of a surrogate pair as an escape: "\ud800" is no character, and no file can keep it."""
    return b"\\u" in json and any(found[1] for found in _JSON_ESCAPE.finditer(json))
