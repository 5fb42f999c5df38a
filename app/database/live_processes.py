"""Processes that share the file: whether one that has left its number in a row still lives."""

import os


def lives(process: int) -> bool:
    """Whether there is a process of this number, other than this one."""
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
