"""Texts in Markdown: short ones are drawn at once, longer ones in a process beside the event loop.

Python cannot stop in the middle of one, nor do anything else meanwhile. So one process per worker draws them, one after
another, each person's in turn, with a limit of time, memory and size (`app/pages/markdown_process.py`). What goes
beyond is shown as it was typed: never an error, nothing lost. What was found out about a text is kept, so that it costs
its time once; one whose turn has not come in time is shown as it was typed too, and drawn the next time.
"""

import asyncio
import logging
import os
import sys
from collections import OrderedDict
from collections.abc import Hashable
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

from starlette.exceptions import HTTPException

from app.database.fair_turns import Turns, present_person
from app.records.kinds import Kind
from server import background_work
from templates.parts.markdown import is_short, to_html
from templates.parts.tags import Safe, raw
from templates.parts.values import Cut, as_typed

ROOT = Path(__file__).resolve().parents[2]
# A book of 60 pages; what is longer is shown as it was typed.
LONGEST_TEXT = 200_000
# How long a text may take, in time on the clock; the process that still has it then is ended. And how long it may wait
# for others.
DRAW_SECONDS = 5
WAIT_SECONDS = 5
WAITING_TEXTS = 64
# Of one session or the owner: more than the live views that are rendered at once.
TEXTS_PER_PERSON = 24
KEPT_BYTES = 8 * 1024 * 1024
LENGTH_BYTES = 4
DRAWN, TOO_MUCH = b"1", b"0"

Record = TypeVar("Record", bound=Any)
logger = logging.getLogger("uvicorn.error")


class _Job:
    """A text that waits to be drawn, or is being drawn; `waiting` is how many wait for it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.drawn: asyncio.Future[Safe] = asyncio.get_running_loop().create_future()
        self.has_begun = False
        self.waiting = 0


class Texts:
    """What long texts look like, and the process that draws them."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, Safe] = OrderedDict()
        self._kept_bytes = 0
        self._jobs: dict[bytes, _Job] = {}
        self._turns: Turns[tuple[bytes, object]] = Turns(places=1, of_one=1)
        self._drawing: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._is_open = True

    async def draw(self, text: str) -> str:
        """A text as HTML; one without a word as it is. Raises HTTPException."""
        if len(text) > LONGEST_TEXT or isinstance(text, Cut):
            return as_typed(text)
        if is_short(text):
            return raw(to_html(text)) if text.strip() else text
        key = blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        return await self._wait(key, text, present_person.get())

    async def _wait(self, key: bytes, text: str, person: Hashable) -> Safe:
        """A text as HTML in its turn, as it was typed where that does not come in time. Raises HTTPException."""
        if len(self._turns) >= WAITING_TEXTS or self._turns.of(person) >= TEXTS_PER_PERSON:
            raise HTTPException(503, "Many long texts are being drawn. Try again in a moment.", {"retry-after": "5"})
        job = self._jobs.setdefault(key, _Job(text))
        job.waiting += 1
        # In the turn of each who waits for it: nobody waits for others of the one who was first.
        place = (key, object())
        if not job.has_begun:
            self._turns.add(person, place)
            self._begin_next()
        try:
            await asyncio.wait([job.drawn], timeout=WAIT_SECONDS)
            if not job.has_begun:
                logger.warning("A text of %s characters had to wait %s seconds for others.", len(text), WAIT_SECONDS)
                return as_typed(text)
            return await asyncio.shield(job.drawn)
        finally:
            self._turns.leave(person, place)
            job.waiting -= 1
            if not job.waiting and not job.has_begun:
                del self._jobs[key]

    def _begin_next(self) -> None:
        """Have the process draw the next text, unless it draws one."""
        while (turn := self._turns.next()) is not None:
            key, _ = turn.thing
            job = self._jobs.get(key)
            if job is not None and not job.has_begun:
                job.has_begun = True
                self._drawing = background_work.once("Drawing a long text", self._draw(key, job, turn.person))
                return
            # It was drawn in another's turn.
            self._turns.end(turn.person)

    async def close(self) -> None:
        """End the process, and what waits for it."""
        self._is_open = False
        for job in self._jobs.values():
            job.drawn.cancel()
        if self._drawing is not None:
            self._drawing.cancel()
            await asyncio.gather(self._drawing, return_exceptions=True)
        await self._end()

    async def _draw(self, key: bytes, job: "_Job", person: Hashable) -> None:
        try:
            drawn = await self._drawn(key, job.text)
            if not job.drawn.done():
                job.drawn.set_result(drawn)
        except Exception as error:
            job.drawn.set_exception(error)
        finally:
            job.drawn.cancel()
            self._jobs.pop(key, None)
            self._turns.end(person)
            if self._is_open:
                self._begin_next()

    async def _drawn(self, key: bytes, text: str) -> Safe:
        try:
            async with asyncio.timeout(DRAW_SECONDS):
                html = await self._answer(text)
        except TimeoutError:
            logger.warning("A text of %s characters was not drawn in %s seconds.", len(text), DRAW_SECONDS)
            html = None
        except OSError as error:
            logger.error("The process that draws long texts cannot be used: %s.", error)
            return as_typed(text)
        drawn = as_typed(text) if html is None else raw(html)
        self._keep(key, drawn)
        return drawn

    async def _answer(self, text: str) -> str | None:
        """What the process answers, None where the text is too much; a process that has not answered is ended."""
        try:
            return await self._ask(text)
        except asyncio.IncompleteReadError as error:
            logger.warning("A text of %s characters has ended the process that draws texts: %r.", len(text), error)
            await self._end()
            return None
        except (OSError, asyncio.CancelledError):
            await self._end()
            raise

    async def _ask(self, text: str) -> str | None:
        """What the process answers; None where the text is too much."""
        if self._process is not None and self._process.returncode is not None:
            self._process = None
        process = self._process = self._process or await asyncio.create_subprocess_exec(
            sys.executable, "-m", "app.pages.markdown_process",
            cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            # Or it would not look for the app where it is.
            env={name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"},
            # Ctrl-C in the terminal is for the server; it ends its processes itself.
            start_new_session=True,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        body = text.encode(errors="surrogatepass")
        process.stdin.write(len(body).to_bytes(LENGTH_BYTES, "big") + body)
        await process.stdin.drain()
        state = await process.stdout.readexactly(1)
        length = int.from_bytes(await process.stdout.readexactly(LENGTH_BYTES), "big")
        answer = await process.stdout.readexactly(length)
        return answer.decode(errors="surrogatepass") if state == DRAWN else None

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()

    def _keep(self, key: bytes, drawn: Safe) -> None:
        self._kept[key] = drawn
        self._kept_bytes += len(drawn)
        while self._kept_bytes > KEPT_BYTES:
            _, dropped = self._kept.popitem(last=False)
            self._kept_bytes -= len(dropped)


texts = Texts()


async def with_texts(kind: Kind, record: Record) -> Record:
    """A record of this kind with its long texts drawn."""
    names = [field.name for field in kind.fields if field.reads == "text"]
    drawn: Record = record._replace(**{name: await texts.draw(getattr(record, name)) for name in names})
    return drawn
