"""Runs a command as the systemd unit in docs/running.md would, as far as that can be done without systemd: in a mount
namespace of its own everything is read-only but the data; no capability is left, no way to get one, only the system
calls and address families of the unit, and no memory that can be written and then executed.

    python -m tests.engine.sandbox UNIT DATA COMMAND...
"""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

PR_SET_NO_NEW_PRIVS, PR_CAPBSET_DROP, PR_SET_MDWE = 38, 24, 65
ALLOW, EPERM = 0x7FFF0000, 0x00050001
EQUAL = 4


class Comparison(ctypes.Structure):
    """A condition on an argument of a system call: struct scmp_arg_cmp of libseccomp."""

    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


def settings(unit: Path) -> dict[str, list[str]]:
    """What a unit sets: the values of each name, in order."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text(encoding="utf-8").splitlines():
        name, is_set, value = line.partition("=")
        if is_set and not line.startswith(("#", ";")):
            found.setdefault(name, []).append(value)
    return found


def system_calls(filters: list[str]) -> set[str]:
    """The system calls that the lines of SystemCallFilter= leave."""
    allowed: set[str] = set()
    for line in filters:
        named = set().union(*(_members(word) for word in line.removeprefix("~").split()))
        allowed = allowed - named if line.startswith("~") else allowed | named
    return allowed | _members("@default")


def _members(word: str) -> set[str]:
    if not word.startswith("@"):
        return {word}
    said = subprocess.run(
        ["systemd-analyze", "syscall-filter", word], check=True, capture_output=True, encoding="utf-8"
    )
    words = [line.strip() for line in said.stdout.splitlines()[1:]]
    return set().union(*(_members(each) for each in words if each and not each.startswith("#")))


def confine(calls: set[str], families: list[int]) -> None:
    """Leave this process these system calls and address families, and no way to get more."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(64):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")
    if libc.prctl(PR_SET_MDWE, 1, 0, 0, 0):
        print(
            "This kernel is older than 6.3: memory stays executable, which systemd does in another way.",
            file=sys.stderr,
        )
    seccomp = ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(EPERM))
    for call in sorted(calls - {"socket"}):
        number = seccomp.seccomp_syscall_resolve_name(call.encode())
        if number >= 0:
            seccomp.seccomp_rule_add_array(context, ALLOW, number, 0, None)
    for family in families:
        equal = Comparison(0, EQUAL, family, 0)
        number = seccomp.seccomp_syscall_resolve_name(b"socket")
        seccomp.seccomp_rule_add_array(context, ALLOW, number, 1, ctypes.byref(equal))
    if seccomp.seccomp_load(context):
        raise OSError("the filter of system calls was not taken")


def main(unit: str, data: str, *command: str) -> None:
    """Confine this process, then become the command."""
    if not os.environ.get("TESTS_SANDBOX"):
        words = ["unshare", "--mount", "--propagation", "private", sys.executable, "-m", "tests.engine.sandbox"]
        os.execvpe(words[0], [*words, unit, data, *command], {**os.environ, "TESTS_SANDBOX": "1"})
    import socket

    told = settings(Path(unit))
    families = [getattr(socket, name) for name in told["RestrictAddressFamilies"][0].split()]
    calls = system_calls(told["SystemCallFilter"])
    for mount in (
        ["--bind", data, data],
        ["-o", "bind,remount,ro", "/"],
        ["-t", "tmpfs", "-o", "mode=1777", "tmpfs", "/var/tmp"],
    ):
        subprocess.run(["mount", *mount], check=True)
    confine(calls, families)
    os.execvp(command[0], list(command))


if __name__ == "__main__":
    main(*sys.argv[1:])
