"""Forms: each type of field takes what a person would write, and says what is wrong with anything else."""

import asyncio
import time
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.types import Message

from app.records import forms
from app.records.forms import InputError, Reader, changes_of
from server.guard.request_bodies import FORM_LIMIT, checked
from tests.engine.conftest import Server

READERS: dict[str, tuple[str, Reader]] = {
    "title": ("Title", forms.line),
    "pages": ("Pages", forms.optional(forms.whole_number)),
    "mine": ("Mine", forms.yes_or_no),
}


LARGE = {
    "escaped letters": b"%C3%A9",
    "letters": "é".encode(),
    "letters of both kinds": "éx".encode(),
    "escaped letters of both kinds": b"%C3%A9x%61",
    "percent signs": b"%",
    "percent signs and ends of lines": b"%\n",
    "many fields": b"%C3%A9x" * 800 + b"&n=",
}


@pytest.mark.parametrize("text", LARGE.values(), ids=LARGE)
def test_a_large_form_keeps_nobody_waiting_and_is_read_whole(text: bytes) -> None:
    """A coarse bound: to read it on the loop took more than a second."""
    body = b"notes=" + (text * (FORM_LIMIT // len(text)))[: FORM_LIMIT - 6].rpartition(text)[0] + b"+z"
    body = body[:FORM_LIMIT]
    longest = 0.0

    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    async def beat() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            longest = max(longest, time.perf_counter() - before)

    async def read() -> list[tuple[str, Any]]:
        scope = {"type": "http", "method": "POST", "headers": [(b"content-type", forms.URLENCODED.encode())]}
        beating = asyncio.ensure_future(beat())
        await asyncio.sleep(0)
        form = await forms.read_form(Request(*checked(scope, receive, limit=FORM_LIMIT, upload_limit=FORM_LIMIT)))
        await asyncio.sleep(0.01)
        beating.cancel()
        assert isinstance(form, FormData)
        return form.multi_items()

    assert asyncio.run(read()) == parse_qsl(body.decode(), keep_blank_values=True)
    assert longest < 0.5


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (forms.line, " a \n b\0 ", "a b"),
        (forms.optional_line, " ", ""),
        (forms.text, "a\r\nb", "a\nb"),
        (forms.optional_text, "", ""),
        (forms.whole_number, " -12 ", -12),
        (forms.whole_number, "12.0", 12),
        (forms.number, "1.5", 1.5),
        (forms.number, "1e3", 1000.0),
        (forms.day, " 2030-01-02 ", "2030-01-02"),
        (forms.yes_or_no, "1", 1),
        (forms.yes_or_no, "", 0),
        (forms.optional(forms.day), " ", None),
        (forms.optional(forms.yes_or_no), "0", 0),
    ],
)
def test_a_field_is_read(read: Reader, text: str, value: Any) -> None:
    assert read(text, "Field") == value


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (forms.line, " \t", "“Field” is missing."),
        (forms.line, "x" * 1001, "“Field” has at most 1000 characters."),
        (forms.text, " \n", "“Field” is missing."),
        (forms.whole_number, "1.5", "“1.5” is not a whole number. Write “Field” as 12."),
        (forms.whole_number, "9" * 19, "not a whole number"),
        (forms.whole_number, "٣", "not a whole number"),
        (forms.number, "many", "“many” is not a number. Write “Field” as 1.5."),
        (forms.number, "inf", "not a number"),
        (forms.number, "1_0", "not a number"),
        (forms.day, "2030-02-30", "“2030-02-30” is not a date. Write it as 2026-12-31."),
        (
            forms.day,
            "0026-05-01",
            "The year of “0026-05-01” is not one from 1000 to 9999. Write its four digits, as in 2026-05-01.",
        ),
        (
            forms.day,
            "20260-05-01",
            "The year of “20260-05-01” is not one from 1000 to 9999. Write its four digits, as in 2026-12-31.",
        ),
        (
            forms.day,
            "0999-12-31",
            "The year of “0999-12-31” is not one from 1000 to 9999. Write its four digits, as in 2026-12-31.",
        ),
        (forms.yes_or_no, "maybe", "“Field” is 1 or 0."),
        (forms.optional(forms.whole_number), "x", "not a whole number"),
    ],
)
def test_what_is_wrong_is_said(read: Reader, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(text, "Field")


@given(st.sampled_from([forms.line, forms.text, forms.whole_number, forms.number, forms.day]), st.text())
def test_any_text_is_read_or_refused(read: Reader, text: str) -> None:
    with suppress(InputError):
        assert read(text, "Field") is not None


def test_a_form_changes_what_it_names_and_what_is_required() -> None:
    assert changes_of({"pages": "3", "_version": "7", "id": "1"}, READERS) == {"pages": 3}
    assert changes_of({"title": "a", "mine": "1"}, READERS, READERS) == {"title": "a", "pages": None, "mine": 1}
    with pytest.raises(InputError, match="“Title” is missing"):
        changes_of({"mine": "1"}, READERS, READERS)


# As they come over the wire

PART = '--x\r\nContent-Disposition: form-data; name="title"\r\n\r\n{}\r\n--x--\r\n'


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/x-www-form-urlencoded", "title=Käse 🧀"),
        ("application/x-www-form-urlencoded; charset=UTF-8", "title=K%C3%A4se+%F0%9F%A7%80"),
        ("APPLICATION/X-WWW-FORM-URLENCODED", "title=Käse+🧀"),
        ("application/json; charset=utf-8", '{"title": "Käse 🧀"}'),
        ("Application/JSON", r'{"title": "K\u00e4se \ud83e\uddc0"}'),
        ("multipart/form-data; boundary=x", PART.format("Käse 🧀")),
        ('Multipart/Form-Data; Charset=utf-8; Boundary="x"', PART.format("Käse 🧀")),
    ],
)
@pytest.mark.parametrize("in_pieces", [False, True])
def test_a_form_is_read_as_it_was_written(
    client: httpx.Client, server: Server, kind: str, body: str, in_pieces: bool
) -> None:
    """However its kind is spelled, whether or not its letters are escaped and its length is known beforehand."""
    content = iter([body.encode()[:9], body.encode()[9:]]) if in_pieces else body.encode()
    answer = client.post("/tasks", content=content, headers={"Content-Type": kind})
    assert answer.status_code == 303, answer.text
    assert [row["title"] for row in server.sql("SELECT title FROM tasks")] == ["Käse 🧀"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"title": "x", "done": %s}' % ("9" * 5000), "at most 300 digits"),
        ('{"title": "x", "done": 1e999999999}', "no number that can be kept"),
        ('{"title": "x", "done": -Infinity}', "no number that can be kept"),
        ('{"title": "x", "done": NaN}', "no number that can be kept"),
        ('{"title": ', "That is no JSON."),
        ("[]", "is an object"),
        (r'{"title": "\ud800"}', "half of a character"),
    ],
)
def test_json_that_cannot_be_kept_is_refused_in_a_sentence(
    client: httpx.Client, server: Server, body: str, words: str
) -> None:
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    answer = client.post("/tasks", content=body, headers=headers)
    assert answer.status_code == 400
    assert words in answer.json()["message"]
    assert server.sql("SELECT * FROM tasks") == []


def test_what_is_no_form_is_not_taken_for_an_empty_one(client: httpx.Client) -> None:
    for kind, status in (("multipart/form-data; boundary=x", 422), ("multipart/form-data", 400), ("text/csv", 415)):
        assert client.post("/tasks", content=b"title=x", headers={"Content-Type": kind}).status_code == status
    answer = client.post("/tasks", content=b"title=x")
    assert (answer.status_code, "Content-Type" in answer.text) == (415, True)


def test_a_number_that_is_too_long_for_a_sentence_is_cut() -> None:
    with pytest.raises(InputError) as refused:
        forms.whole_number("9" * 100_000, "Pages")
    assert len(str(refused.value)) < 200
