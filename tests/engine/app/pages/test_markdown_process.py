"""The process that draws long texts: one after another, each within its bounds, until nothing comes any more."""

import subprocess
import sys

from app.pages.markdown_texts import LENGTH_BYTES
from templates.parts.markdown import to_html
from tests.engine.conftest import PROJECT

HEAVY = f"[a]: /{'x' * 65_000}\n\n" + "[a]" * 25_000


def test_texts_are_drawn_one_after_another_and_what_is_too_much_is_said_to_be() -> None:
    texts = ["# One", HEAVY, "ä *two*", ""]
    sent = b"".join(len(text.encode()).to_bytes(LENGTH_BYTES, "big") + text.encode() for text in texts)
    done = subprocess.run(
        [sys.executable, "-m", "app.pages.markdown_process"],
        input=sent,
        cwd=PROJECT,
        capture_output=True,
        check=True,
        timeout=60,
    )
    answers, rest = [], done.stdout
    while rest:
        length = int.from_bytes(rest[1 : 1 + LENGTH_BYTES], "big")
        answers.append((rest[:1], rest[1 + LENGTH_BYTES :][:length].decode()))
        rest = rest[1 + LENGTH_BYTES + length :]
    assert answers == [(b"1", to_html("# One")), (b"0", ""), (b"1", to_html("ä *two*")), (b"1", "")]
    assert done.stderr == b""
