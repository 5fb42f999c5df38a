"""The index of SQLite's write-ahead log, whose header changes with every commit of any program.

All programs that use the file share the index in memory, so a look at the header costs a tenth of a question to SQLite.
"""

import mmap
import os
from pathlib import Path
from typing import Any

from app.database.sqlite_connections import Connection, read_once

# The first copy of the header: counter of commits, size, checksum and salts of the log, in bytes.
LOG_INDEX_HEADER = 48
_never_closed: list[Any] = []


def map_log_index(path: Path, reader: Connection) -> mmap.mmap:
    """The memory of the write-ahead log's index (https://www.sqlite.org/walformat.html, section 2).

    What is opened here is never closed: closing any descriptor of a file ends the locks that SQLite holds on it in this
    process (https://www.sqlite.org/howtocorrupt.html, section 2.2). `reader` stays open as long, so the index stays.
    """
    read_once(reader)
    index = mmap.mmap(os.open(f"{path}-shm", os.O_RDONLY), LOG_INDEX_HEADER, access=mmap.ACCESS_READ)
    _never_closed.append(index)
    return index
