"""Open files on their way to another process, over the pipe between the two.

`multiprocessing.reduction` can do this too, but waits for an answer (on macOS, and everywhere from Python 3.14 on): two
processes that pass something to each other at one moment would wait for ever.
"""

import os
import socket
from multiprocessing.connection import Connection


def pass_on(pipe: Connection, descriptor: int) -> None:
    """Send an open file, which stays open here. Raises OSError where nobody is at the other end."""
    with _socket(pipe) as way:
        socket.send_fds(way, [b"\0"], [descriptor])


def take(pipe: Connection) -> int:
    """Wait for an open file; its descriptor here. Raises EOFError where the other end was closed."""
    with _socket(pipe) as way:
        _, descriptors, _, _ = socket.recv_fds(way, 1, 1)
    if not descriptors:
        raise EOFError
    # As every file that Python opens: a program that this process starts does not have it.
    os.set_inheritable(descriptors[0], False)
    return descriptors[0]


def _socket(pipe: Connection) -> socket.socket:
    return socket.socket(fileno=os.dup(pipe.fileno()))
