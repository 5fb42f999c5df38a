"""Open files between two processes: they arrive open, and nobody waits for anybody."""

import multiprocessing
import os
import tempfile

import pytest

from server.reload.descriptor_passing import pass_on, take


def test_two_that_pass_on_at_one_moment_wait_for_nothing() -> None:
    one, other = multiprocessing.Pipe()
    with one, other, tempfile.TemporaryFile() as first, tempfile.TemporaryFile() as second:
        first.write(b"first")
        second.write(b"second")
        one.send("what comes with it")
        pass_on(one, first.fileno())
        pass_on(other, second.fileno())
        assert other.recv() == "what comes with it"
        for pipe, file in ((other, first), (one, second)):
            with os.fdopen(take(pipe), "rb") as taken:
                assert os.path.samestat(os.fstat(taken.fileno()), os.fstat(file.fileno()))


def test_who_waits_for_one_that_is_gone_is_told() -> None:
    one, other = multiprocessing.Pipe()
    with other:
        one.close()
        with pytest.raises(EOFError):
            take(other)
        with pytest.raises(OSError, match="Broken pipe"):
            pass_on(other, 0)
