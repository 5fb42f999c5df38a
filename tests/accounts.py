"""Another account of this machine, for the tests of who may come in: only root can act as one."""

import os
import shutil
import subprocess
import sys

import pytest

# The account that every Linux has for what belongs to nobody, and one that has no name at all.
NOBODY, NAMELESS = 65534, 54321

only_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="only root, with setpriv, can act as another account of this machine",
)


def started_as(account: int, program: str, *arguments: object) -> "subprocess.Popen[str]":
    """A Python program, run by another account; its input and output are pipes."""
    # Without -I it would look for modules where that account may not.
    return subprocess.Popen(
        [
            *("setpriv", f"--reuid={account}", f"--regid={account}", "--clear-groups"),
            *(os.path.realpath(sys.executable), "-I", "-S", "-c", program, *map(str, arguments)),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
    )


def run_as(account: int, program: str, *arguments: object) -> str:
    """What a Python program prints that another account runs."""
    with started_as(account, program, *arguments) as process:
        printed = process.communicate(timeout=60)[0]
    assert process.returncode == 0, printed
    return printed
