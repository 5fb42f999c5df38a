"""Errors of a start that no edit of the code mends: the process ends, or waits until somebody has chosen."""

from collections.abc import Sequence
from typing import NamedTuple


class CannotStart(SystemExit):
    """The app cannot start, and nothing that is edited would mend that: the process ends with `code`.

    The one who raises it has said `words`, unless the reloader is there to say them.
    """

    def __init__(self, words: str, code: int) -> None:
        super().__init__(code)
        self.words = words


class Offer(NamedTuple):
    """Something that can be done where the app cannot start: said in `words`, done where `choice` is chosen, if any."""

    words: str
    choice: str = ""
    label: str = ""


class Undecided(Exception):
    """The app does not start before somebody has chosen one of the `offers`, or has edited the code."""

    def __init__(self, words: str, offers: Sequence[Offer]) -> None:
        super().__init__(words)
        self.offers = tuple(offers)
