"""Whether the open files hold what SQLite has written to them: `cp other.db app.db` changes all in one file.

With a write-ahead log, only a checkpoint writes to the file itself: it copies pages from the log, counted in the
log's index, which all programs share in memory. So when the file has another size or time of change, a checkpoint must
have been counted, and what was copied last must stand in the file as it does in the log; all else, the first page above
all, must be as it was. And the log must be as long as its index says. Formats: https://www.sqlite.org/walformat.html.

What is not seen: a file that is overwritten in the milliseconds between a look and the checkpoint of another program,
where a second commit begins the log anew before the next look, and the first page is that of a file with such pages. A
checkpoint that was killed halfway is not judged until another one ends.
"""

import mmap
import os
import struct
import time
from collections.abc import Callable
from typing import NamedTuple

# Size of a page, last frame, pages of the file, salts; frames that are copied, frames that a checkpoint has begun with.
_INDEX = struct.Struct("=14xHII8x8s56xI28xI")
_FRAME = struct.Struct(">II8s8x")
_LOG_HEADER = 32
_MAGIC = b"SQLite format 3\0"
# Windows cannot read at a place; it also keeps other programs from writing over an open file.
CAN_LOOK = hasattr(os, "pread")
# So many pages are compared, and so many frames of the log looked through for them (1 µs each).
COMPARED_PAGES = 64
FRAMES_LOOKED_AT = 4000
# A file that was changed so shortly before may have been changed again at the same time; some disks keep seconds.
FRESH = 20_000_000
FRESH_IN_SECONDS = 2_500_000_000
# What changes while it is looked at is looked at again, a little later.
TRIES = 5
PAUSE_SECONDS = 0.002


class _Index(NamedTuple):
    """The header of the log's index at one moment."""

    page_size: int
    frames: int
    pages: int
    salts: bytes
    copied: int
    begun: int

    @property
    def checkpoint(self) -> tuple[bytes, int, int]:
        """What every checkpoint changes before it writes to the file, and again after it."""
        return self.salts, self.copied, self.begun

    @property
    def is_settled(self) -> bool:
        """Whether no checkpoint is under way, or was killed."""
        return self.copied == self.begun

    def place(self, frame: int) -> int:
        """Where a frame of the log begins; the first has the number 1."""
        return _LOG_HEADER + (frame - 1) * (_FRAME.size + self.page_size)


class _Seen(NamedTuple):
    """What the file was at the last look: time and size, where these are certain, and some of its pages."""

    written: tuple[int, int] | None
    size: int
    checkpoint: tuple[bytes, int, int]
    pages: dict[int, bytes]


class Content:
    """What is in the open file, its log and the index of that, which are given by their descriptors."""

    def __init__(self, file: int, log: int, index: int) -> None:
        self._file, self._log = file, log
        self._memory = mmap.mmap(index, _INDEX.size, access=mmap.ACCESS_READ)
        self._page_size = _page_size(os.pread(file, 100, 0)) if CAN_LOOK else 0
        found, state = os.fstat(file), self._index()
        # Two new files of this app are alike in their first page: some of all others are compared, too.
        count = found.st_size // self._page_size if self._page_size else 0
        numbers = range(1, count + 1, max(1, count // COMPARED_PAGES))
        pages = {number: _read(file, self._page_size, number - 1) for number in numbers}
        self._seen = _Seen(None, found.st_size, state.checkpoint, pages)

    def fault(self) -> str:
        """Which of both has been written to by something else than SQLite: "file" or "log"; empty where neither has."""
        if not CAN_LOOK:
            return ""
        if not self._log_is_whole():
            return "log"
        state, seen = self._index(), self._seen  # Before the file is looked at: what it counts is in the file by then.
        found = os.fstat(self._file)
        if (found.st_mtime_ns, found.st_size) == seen.written:
            if state.checkpoint != seen.checkpoint:
                self._seen = seen._replace(checkpoint=state.checkpoint)
            return ""
        return "" if self._until_certain(self._file_is_own) else "file"

    def _index(self) -> _Index:
        # While the log is empty its index says no size; with a log it stays the same.
        _, *others = _INDEX.unpack(self._memory[: _INDEX.size])
        return _Index(self._page_size, *others)

    def _until_certain(self, look: Callable[[], bool | None]) -> bool:
        """What a look finds; what changes all the time goes on as it should."""
        for _ in range(TRIES):
            if (found := look()) is not None:
                return found
            time.sleep(PAUSE_SECONDS)
        return True

    def _log_is_whole(self) -> bool:
        state = self._index()
        return self._has_last_frame(state) or self._until_certain(self._look_at_log)

    def _look_at_log(self) -> bool | None:
        state = self._index()
        if self._has_last_frame(state):
            return True
        return False if self._index() == state else None

    def _has_last_frame(self, state: _Index) -> bool:
        """Whether the log has the begin and the last frame that its index names.

        What is cut short and written to again before a look has the last frame, behind a hole.
        """
        if not state.frames:
            return True
        if os.pread(self._log, _LOG_HEADER, 0)[16:24] != state.salts:
            return False
        header = os.pread(self._log, _FRAME.size, state.place(state.frames))
        if len(header) < _FRAME.size or _FRAME.unpack(header)[2] != state.salts:
            return False
        return os.fstat(self._log).st_size >= state.place(state.frames + 1)

    def _file_is_own(self) -> bool | None:
        """Whether the file is what it was, and what checkpoints have written; None where it changes meanwhile."""
        state, seen, now = self._index(), self._seen, time.time_ns()
        found = os.fstat(self._file)
        first = _read(self._file, state.page_size, 0)
        if not _is_first_page(first, state.page_size):
            return False
        if not state.is_settled:
            return True
        copied = self._copied(state, seen)
        if copied is None or self._index() != state:
            return None
        is_same = state.checkpoint == seen.checkpoint
        expected = {**copied, **seen.pages} if is_same else copied
        if is_same and found.st_size != seen.size:
            return False
        # What a checkpoint has left out may be at the end.
        if state.copied == state.frames and found.st_size < int.from_bytes(first[28:32], "big") * state.page_size:
            return False
        right = all(page == _read(self._file, state.page_size, number - 1) for number, page in expected.items())
        if self._index() != state:
            return None
        if right:
            written = (found.st_mtime_ns, found.st_size)
            pages = expected if is_same or copied else {}
            self._seen = _Seen(
                None if _is_fresh(found.st_mtime_ns, now) else written,
                found.st_size,
                state.checkpoint,
                {**pages, 1: first},
            )
        return right

    def _copied(self, state: _Index, seen: _Seen) -> dict[int, bytes] | None:
        """The pages that must be in the file as they are in the log, or were before; None where the log changes."""
        is_same_log = state.salts == seen.checkpoint[0]
        since = seen.checkpoint[1] if is_same_log else 0
        pages: dict[int, bytes] = {}
        if state.frames - since > FRAMES_LOOKED_AT:
            return pages
        smallest, has_first, left_out = state.pages, False, set[int]()
        for frame in range(state.frames, since, -1):
            header = os.pread(self._log, _FRAME.size, state.place(frame))
            if len(header) < _FRAME.size:
                return None
            number, size, salts = _FRAME.unpack(header)
            if salts != state.salts:
                return None
            # Of a page beyond the end that the file has had since, a checkpoint copies nothing.
            smallest = min(smallest, size or smallest)
            if frame > state.begun:
                # A checkpoint copies the last frame of a page or none: this one was not to be seen by a reader yet.
                left_out.add(number)
                continue
            has_first = has_first or number == 1
            if number > smallest or number in pages or number in left_out:
                continue
            if number == 1 or len(pages) < COMPARED_PAGES:
                pages[number] = os.pread(self._log, state.page_size, state.place(frame) + _FRAME.size)
        if is_same_log and not has_first:
            pages[1] = seen.pages[1]
        return pages


def _read(file: int, page_size: int, number: int) -> bytes:
    return os.pread(file, page_size, number * page_size)


def _is_first_page(page: bytes, page_size: int) -> bool:
    return page.startswith(_MAGIC) and len(page) == page_size == _page_size(page)


def _page_size(header: bytes) -> int:
    size = int.from_bytes(header[16:18], "big")
    return 65536 if size == 1 else size


def _is_fresh(modified: int, now: int) -> bool:
    in_seconds = modified % 1_000_000 == 0
    return abs(now - modified) < (FRESH_IN_SECONDS if in_seconds else FRESH)
