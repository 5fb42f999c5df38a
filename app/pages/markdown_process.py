"""The process that draws long texts: it reads one after another, each after its length, and writes what it looks like.

length, text → "1", length, HTML        "0", 0 where that takes too long, too much memory, or is too large
"""

import signal
import sys
from types import FrameType

from app.pages.markdown_texts import DRAWN, LENGTH_BYTES, TOO_MUCH
from server.process_limits import limit_this_process
from templates.parts.markdown import TooLarge, to_html

# Of the processor, for one text: 200,000 letters of prose take a third of it.
DRAW_SECONDS = 3


class TooSlow(BaseException):
    """A text has taken DRAW_SECONDS; nothing on the way may take it for an error of its own."""


def main() -> None:
    """Draw what comes until nothing does any more."""
    limit_this_process()
    if hasattr(signal, "setitimer"):  # Windows has none: there the time on the clock alone ends it.
        signal.signal(signal.SIGPROF, _give_up)
    while head := sys.stdin.buffer.read(LENGTH_BYTES):
        text = sys.stdin.buffer.read(int.from_bytes(head, "big")).decode(errors="surrogatepass")
        html = _drawn(text)
        body = b"" if html is None else html.encode(errors="surrogatepass")
        state = TOO_MUCH if html is None else DRAWN
        sys.stdout.buffer.write(state + len(body).to_bytes(LENGTH_BYTES, "big") + body)
        sys.stdout.buffer.flush()


def _drawn(text: str) -> str | None:
    try:
        _set_timer(DRAW_SECONDS)
        html = to_html(text)
        _set_timer(0)
    except (TooSlow, TooLarge, MemoryError, RecursionError):
        _set_timer(0)
        return None
    return html


def _set_timer(seconds: float) -> None:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)


def _give_up(number: int, frame: FrameType | None) -> None:
    raise TooSlow


if __name__ == "__main__":
    main()
