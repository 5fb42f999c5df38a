"""Texts: long ones are drawn beside the event loop, within bounds; beyond them they are shown as they were typed."""

import asyncio
import os
import signal
import time
from collections.abc import Coroutine
from typing import Any

import httpx
import pytest
from starlette.exceptions import HTTPException

from app.database.fair_turns import present_person
from app.pages import markdown_texts as module
from app.pages.markdown_texts import LONGEST_TEXT, Texts
from templates.parts.markdown import to_html
from templates.parts.tags import Safe
from tests.engine.conftest import Server
from tests.engine.watching import until

LONG = "A *long* text with a [link](/x).\n\n" * 100
HEAVY = {
    "references": f"[a]: /{'x' * 65_000}\n\n" + "[a]" * 25_000,
    "brackets": "[" * 150_000,
    "images": "![" * 75_000,
    "stars": "*a **b " * 25_000,
    "quotes": ">" * 150_000,
    "cells": "a|" * 9000 + "\n" + "-|" * 9000 + "\n" + "a\n" * 9000,
    "backticks": "".join("`" * number + " " for number in range(500)),
    "links": "[a](" * 35_000,
    "lines": "[a\n" * 60_000,
}


def drawn(work: Coroutine[Any, Any, Any], texts: Texts) -> Any:
    """What `work` gives; what it has started ends with it."""

    async def run() -> Any:
        try:
            return await asyncio.wait_for(work, 120)
        finally:
            await texts.close()

    return asyncio.run(run())


@pytest.fixture
def texts() -> Texts:
    return Texts()


def test_a_short_text_is_drawn_at_once(texts: Texts) -> None:
    assert drawn(texts.draw("*short*"), texts) == to_html("*short*")
    assert drawn(texts.draw(" "), texts) == " ", "a template has words for it"
    assert texts._process is None, "no process is started for it"


def test_a_long_text_is_drawn_as_a_short_one_is_and_once(texts: Texts, monkeypatch: pytest.MonkeyPatch) -> None:
    async def twice() -> list[str]:
        both = await asyncio.gather(texts.draw(LONG), texts.draw(LONG))
        assert texts._process is not None
        process = texts._process.pid
        os.kill(process, signal.SIGKILL)
        return [*both, await texts.draw(LONG)]

    results = drawn(twice(), texts)
    assert results == [to_html(LONG)] * 3, "the last one from what is kept"
    assert all(isinstance(result, Safe) for result in results)


def test_a_text_of_a_surrogate_is_drawn_too(texts: Texts) -> None:
    assert "\ud800" in drawn(texts.draw(LONG + "\ud800"), texts)


QUICK = ("references", "cells")


@pytest.mark.parametrize(
    "kind", [*QUICK, *(pytest.param(kind, marks=pytest.mark.slow) for kind in HEAVY if kind not in QUICK)]
)
def test_a_heavy_text_is_drawn_within_bounds_or_shown_as_it_was_typed(texts: Texts, kind: str) -> None:
    text = HEAVY[kind]
    assert len(text) <= LONGEST_TEXT
    longest = 0.0

    async def draw() -> str:
        nonlocal longest
        drawing = asyncio.ensure_future(texts.draw(text))
        while not drawing.done():
            before = time.perf_counter()
            await asyncio.sleep(0.005)
            longest = max(longest, time.perf_counter() - before)
        return await drawing

    result = drawn(draw(), texts)
    assert len(result) < 8 * LONGEST_TEXT
    if kind in ("references", "cells"):
        assert "as-typed" in result, "it would be gigabytes"
    assert longest < 1, "a coarse bound: the machine may have much else to do"


def test_what_is_longer_than_a_book_is_not_even_tried(texts: Texts) -> None:
    result = drawn(texts.draw("a <b> " * LONGEST_TEXT), texts)
    assert texts._process is None
    assert "here are its first 200,000 characters" in result
    assert "a &lt;b&gt; a" in result
    assert len(result) < 5 * LONGEST_TEXT


def test_a_process_that_hangs_is_ended_and_the_next_text_has_another(
    texts: Texts, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang() -> tuple[str, str]:
        await texts.draw(LONG)
        assert texts._process is not None
        os.kill(texts._process.pid, signal.SIGSTOP)
        monkeypatch.setattr(module, "DRAW_SECONDS", 0.2)
        hung = await texts.draw(LONG + "a")
        monkeypatch.setattr(module, "DRAW_SECONDS", 60)
        return hung, await texts.draw(LONG + "b")

    hung, after = drawn(hang(), texts)
    assert "as-typed" in hung
    assert after == to_html(LONG + "b")


def test_who_only_waits_for_others_waits_no_longer_and_is_drawn_the_next_time(
    texts: Texts, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wait() -> tuple[float, str, str]:
        await texts.draw(LONG)
        assert texts._process is not None
        os.kill(texts._process.pid, signal.SIGSTOP)
        monkeypatch.setattr(module, "DRAW_SECONDS", 60)
        before = asyncio.ensure_future(texts.draw(LONG + "a"))
        await until(lambda: texts._jobs)
        monkeypatch.setattr(module, "WAIT_SECONDS", 0.2)
        begin = time.monotonic()
        waited = await texts.draw(LONG + "b")
        took = time.monotonic() - begin
        os.kill(texts._process.pid, signal.SIGCONT)
        await before
        return took, waited, await texts.draw(LONG + "b")

    took, waited, after = drawn(wait(), texts)
    assert took < 10
    assert "as-typed" in waited
    assert after == to_html(LONG + "b")
    assert not texts._jobs
    assert not len(texts._turns)


def test_the_time_of_a_text_counts_from_when_it_is_begun(texts: Texts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DRAW_SECONDS", 2)

    async def wait() -> list[str]:
        await texts.draw(LONG)
        assert texts._process is not None
        os.kill(texts._process.pid, signal.SIGSTOP)
        return await asyncio.gather(*(texts.draw(LONG + letter) for letter in "abc"))

    hung, *others = drawn(wait(), texts)
    assert "as-typed" in hung
    assert others == [to_html(LONG + "b"), to_html(LONG + "c")], "they waited as long as one may be drawn"


def test_nobody_waits_for_more_than_a_turn_of_another_person(texts: Texts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TEXTS_PER_PERSON", 8)
    monkeypatch.setattr(module, "WAIT_SECONDS", 60)
    order: list[str] = []

    async def draw(person: str, end: str) -> None:
        present_person.set(person)
        await texts.draw(LONG + end)
        order.append(person + end)

    async def several() -> None:
        tabs = [asyncio.ensure_future(draw("a", f"{number}")) for number in range(8)]
        await until(lambda: len(texts._jobs) == 8)
        with pytest.raises(HTTPException):
            await asyncio.create_task(draw("a", "more"))
        # Another person's own, and one that the first person waits for too, behind many others.
        await asyncio.gather(*(asyncio.create_task(draw("b", end)) for end in ("own", "7")))
        assert len([each for each in order if each.startswith("a") and each != "a7"]) <= 3
        await asyncio.gather(*tabs)

    drawn(several(), texts)
    assert sorted(order) == sorted([*(f"a{number}" for number in range(8)), "bown", "b7"])
    assert not texts._jobs
    assert not len(texts._turns)


def test_a_process_that_is_killed_meanwhile_is_noticed(texts: Texts) -> None:
    async def kill() -> tuple[str, str]:
        await texts.draw(LONG)
        assert texts._process is not None
        os.kill(texts._process.pid, signal.SIGSTOP)
        drawing = asyncio.ensure_future(texts.draw(LONG + "a"))
        await asyncio.sleep(0.05)
        os.kill(texts._process.pid, signal.SIGKILL)
        return await drawing, await texts.draw(LONG + "b")

    killed, after = drawn(kill(), texts)
    assert "as-typed" in killed
    assert after == to_html(LONG + "b")


def test_who_goes_takes_nothing_from_those_who_wait_for_the_same(texts: Texts) -> None:
    async def leave() -> str:
        first = asyncio.ensure_future(texts.draw(LONG))
        second = asyncio.ensure_future(texts.draw(LONG))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert drawn(leave(), texts) == to_html(LONG)


def test_no_more_wait_than_there_is_room_for(texts: Texts, monkeypatch: pytest.MonkeyPatch) -> None:
    # One is being drawn, and so many wait.
    monkeypatch.setattr(module, "WAITING_TEXTS", 1)

    async def many() -> list[Any]:
        return await asyncio.gather(*(texts.draw(LONG + f"{n}") for n in range(3)), return_exceptions=True)

    *first, last = drawn(many(), texts)
    assert first == [to_html(LONG + "0"), to_html(LONG + "1")]
    assert isinstance(last, HTTPException)
    assert (last.status_code, last.headers) == (503, {"retry-after": "5"})


def test_what_is_kept_is_bounded(texts: Texts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_BYTES", 2.5 * len(to_html(LONG)))

    async def several() -> None:
        for number in range(4):
            await texts.draw(LONG + f"{number}")

    drawn(several(), texts)
    assert list(texts._kept.values()) == [to_html(LONG + "2"), to_html(LONG + "3")]
    assert texts._kept_bytes == sum(map(len, texts._kept.values()))


def test_a_long_note_is_on_its_page_and_a_heavy_one_as_it_was_typed(client: httpx.Client, server: Server) -> None:
    server.sql("INSERT INTO tasks (title, notes) VALUES ('long', ?), ('heavy', ?)", [LONG, HEAVY["references"]])
    long, heavy = (row["id"] for row in server.sql("SELECT id FROM tasks ORDER BY id"))
    assert to_html(LONG) in client.get(f"/tasks/{long}").text
    page = client.get(f"/tasks/{heavy}")
    assert page.status_code == 200
    assert "it is shown as it was typed" in page.text
    assert "[a]" * 25_000 in page.text


def test_the_process_ends_with_its_server(server: Server) -> None:
    """Its standard input ends; nothing else has to reach it."""
    own = Server(server.data.parent / "own")
    own.sql("INSERT INTO tasks (title, notes) VALUES ('long', ?)", [LONG])
    assert httpx.get(f"{own.url}/tasks/1", timeout=60).status_code == 200
    children = f"/proc/{own.process.pid}/task/{own.process.pid}/children"
    if not os.path.exists(children):
        own.stop()
        pytest.skip("this system does not say which processes another one has started")
    with open(children, encoding="utf-8") as file:
        started = [int(pid) for pid in file.read().split()]
    assert started
    own.stop(signal.SIGKILL)
    asyncio.run(until(lambda: not any(os.path.exists(f"/proc/{pid}/cmdline") and is_alive(pid) for pid in started), 20))


def is_alive(pid: int) -> bool:
    """Whether a process runs, which a zombie does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
