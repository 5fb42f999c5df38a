"""Another account of this machine, for the tests of who may come in: only root can act as one."""

import os
import shutil
import subprocess
import sys
from functools import cache

import pytest

# The account that every Linux has for what belongs to nobody, and one that has no name at all.
NOBODY, NAMELESS = 65534, 54321

only_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="only root, with setpriv, can act as another account of this machine",
)

# Asks for addresses on one connection, each given as METHOD PATH; prints the statuses, and the last body.
ASK = """
import http.client, json, socket, sys
host, port, headers, source = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]), int(sys.argv[4])
connection = http.client.HTTPConnection(host, port, timeout=60)
if host.startswith("/"):
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(host)
    headers = {"Host": "localhost", **headers}
else:
    connection.sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if source:
        connection.sock.bind((host, source))
    connection.sock.connect((host, port))
body = b""
for asked in sys.argv[5:]:
    connection.request(*asked.split(" ", 1), headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    print(answer.status)
print(body.decode(errors="replace"))
"""


def started_as(account: int, program: str, *arguments: object) -> "subprocess.Popen[str]":
    """A Python program, run by another account; its input and output are pipes."""
    # Without -I it would look for modules where that account may not.
    return subprocess.Popen(
        [*_as(account), _python(), "-I", "-S", "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        cwd="/",
    )


def run_as(account: int, program: str, *arguments: object) -> str:
    """What a Python program prints that another account runs."""
    with started_as(account, program, *arguments) as process:
        printed = process.communicate(timeout=60)[0]
    assert process.returncode == 0, printed
    return printed


def _as(account: int) -> list[str]:
    return ["setpriv", f"--reuid={account}", f"--regid={account}", "--clear-groups"]


@cache
def _python() -> str:
    """A Python that any account may run."""
    for path in (os.path.realpath(sys.executable), shutil.which("python3", path=os.defpath)):
        if path and subprocess.run([*_as(NAMELESS), path, "-I", "-S", "-c", ""], capture_output=True).returncode == 0:
            return path
    pytest.skip("no Python of this machine may be run by every account")
