"""Multipart forms, looked at while they come: how many parts, how large their fields, and that all text is UTF-8.

It stands before whatever reads the form, a route of ours, FastHTML or an app beside it, and passes every byte on. To
look takes 0.1 ms a megabyte. What is no form at all is passed on too: whoever reads it has the same parser.
"""

import codecs
import logging
import re
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from server.guard.utf8 import CHARSETS, is_utf8, names_utf8

FILES = 1
FIELDS = 200
# All fields of a form together, in bytes; files are counted with the body.
FIELD_BYTES = 1024 * 1024
CHARSET_FIELD = b"_charset_"
NOT_UTF8 = "A form is sent in UTF-8: leave out any other charset."
_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_QUOTED = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_EXTENDED = re.compile(rb"\*\s*[0-9]*\*?\s*=")
# A form that is none is answered; it is no event for the log.
logging.getLogger("python_multipart").setLevel(logging.ERROR)
_PLAIN_TRANSFERS = frozenset((b"", b"7bit", b"8bit", b"binary"))


def boundary_of(kind: bytes) -> bytes:
    """The boundary that a Content-Type names. Raises HTTPException where that is none."""
    boundary = parse_options_header(kind)[1].get(b"boundary", b"")
    if not _BOUNDARY.fullmatch(boundary):
        raise HTTPException(400, "The boundary of a multipart form is 1 to 70 plain characters.")
    return boundary


def watched(receive: Receive, boundary: bytes) -> Receive:
    """The same body, ending in 400, 413 or 415 where it is no form as it is read here."""
    form = _Form(boundary)

    async def receive_watched() -> Message:
        message = await receive()
        if message["type"] == "http.request":
            form.add(message.get("body", b""), is_last=not message.get("more_body"))
        return message

    return receive_watched


class _Form:
    """What has come of a form."""

    def __init__(self, boundary: bytes) -> None:
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._add_name,
                "on_header_value": self._add_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_head,
                "on_part_data": self._add_data,
                "on_part_end": self._end,
                "on_end": self._end_form,
            },
        )
        self._files = 0
        self._fields = 0
        self._field_bytes = 0
        self._has_begun = self._is_whole = self._is_none = False
        self._name = self._value = b""
        self._begin()

    def add(self, piece: bytes, is_last: bool) -> None:
        """Take the next piece. Raises HTTPException for what no form holds."""
        if self._is_none:
            return
        try:
            self._parser.write(piece)
        except FormParserError:
            self._is_none = True
            return
        except UnicodeDecodeError:
            raise HTTPException(400, f"A field holds bytes that are no text. {NOT_UTF8}") from None
        self._has_begun = self._has_begun or bool(piece)
        if is_last and self._has_begun and not self._is_whole:
            raise HTTPException(400, "The form ends before its last boundary: a part of it is missing.")

    def _begin(self) -> None:
        self._disposition: bytes | None = None
        self._is_file = False
        self._charset: bytes | None = None
        self._decoder: Any = codecs.getincrementaldecoder("utf-8")()

    def _add_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        name, value = self._name.lower(), self._value.strip()
        self._name = self._value = b""
        if name == b"content-disposition":
            self._disposition = value
        elif name == b"content-transfer-encoding" and value.lower() not in _PLAIN_TRANSFERS:
            raise HTTPException(415, "The parts of a form are sent as they are, without Content-Transfer-Encoding.")
        elif name == b"content-encoding" and value.lower() != b"identity":
            raise HTTPException(415, "The parts of a form are sent as they are, without Content-Encoding.")
        if not names_utf8(value):
            raise HTTPException(415, NOT_UTF8)
        if not is_utf8(value):
            raise HTTPException(400, f"The head of a part holds bytes that are no text. {NOT_UTF8}")

    def _end_head(self) -> None:
        disposition = self._disposition or b""
        if _EXTENDED.search(_QUOTED.sub(b'""', disposition)):
            # RFC 7578, section 4.2: browsers send it as plain UTF-8.
            raise HTTPException(400, "The name of a file is sent as filename=…, in UTF-8, not as filename*=….")
        named = parse_options_header(disposition)[1]
        self._is_file = b"filename" in named
        if named.get(b"name", b"").strip().lower() == CHARSET_FIELD:
            self._charset = b""
        if self._is_file:
            self._files += 1
        else:
            self._fields += 1
        if self._files > FILES:
            raise HTTPException(400, "A form brings one file at a time.")
        if self._fields > FIELDS:
            raise HTTPException(400, f"A form has at most {FIELDS} fields.")

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            return
        self._field_bytes += end - start
        if self._field_bytes > FIELD_BYTES:
            raise HTTPException(413, f"The fields of a form are larger than the {FIELD_BYTES >> 20} MiB that fit here.")
        self._decoder.decode(data[start:end])
        if self._charset is not None:
            self._charset += data[start : min(end, start + 64)]

    def _end(self) -> None:
        if not self._is_file:
            self._decoder.decode(b"", final=True)
        if self._charset is not None and self._charset.strip().lower() not in CHARSETS:
            raise HTTPException(415, NOT_UTF8)

    def _end_form(self) -> None:
        self._is_whole = True
