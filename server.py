"""The door: `python3 server.py …` hands over to server.commands.cli, and does nothing else.

Only where the packages are missing (a bare checkout) it first makes `.venv` from uv.lock and goes on inside it. A stamp
in `.venv`, written last, says what it was made from. What is found, and what is then done:

    the packages are here already (Nix, `uv run`, activated)    nothing
    `.venv` whose stamp fits, or that somebody else made        go on inside it
    `.venv` whose stamp no longer fits, or without packages     bring it up to date, go on inside it
    `.venv` unfinished or without a Python of its own; none     make it anew, go on inside it

Only the standard library, in words that Python 3.6 can read: it must live long enough to say that it is too old.
"""

import os
import sys
from importlib.machinery import PathFinder

NAME = "Kindling"
OLDEST_PYTHON = (3, 11)
PACKAGES = ("fasthtml", "uvicorn", "sqlite_utils", "click_default_group")  # what server.commands.cli stands on
TEST_PACKAGES = ("pytest", "xdist", "hypothesis", "playwright")
OLDEST_UV = (0, 5)  # reads uv.lock and the groups of dependencies; an older one is passed over
PATIENCE = 600  # seconds to wait for another start that is making `.venv`

ROOT = os.path.dirname(os.path.realpath(__file__))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "Scripts", "python.exe") if os.name == "nt" else os.path.join(VENV, "bin", "python")
STAMP = os.path.join(VENV, "made-from")
UV_PINNED = os.path.join(ROOT, "server", "uv-requirements.txt")  # one version of uv, and the hash of each wheel of it
UNFINISHED = "unfinished"

TOO_OLD = (
    "Start it with a newer one (`python{}.{} server.py`); or, where uv is installed, `uv run server.py` brings one."
)
NO_VENV = "On Debian and Ubuntu `apt install python3-venv` mends that, elsewhere installing uv does; then start again."
NO_NETWORK = "If this machine is not connected, connect it (HTTPS_PROXY names a proxy); then start again."
REMEDIES = {
    "DO NOT MATCH THE HASHES": "What came is not the uv that this project pins: it was damaged on its way, or somebody "
    "has put another in its place. Start again; if it stays so, install uv in another way, and tell its makers.",
    "No space left": "The disk is full: free about 500 MB, then start again.",
    "Permission denied": "Make the project's directory and its .venv writable for you, then start again.",
    "Read-only file system": "Copy the project to a disk that can be written, and start it there.",
}


def hand_over():
    open_streams()
    testing = sys.argv[1:2] == ["test"] and os.path.isdir(os.path.join(ROOT, "tests"))
    try:
        if not all_is_here(testing):
            if is_inside() or not stamp_fits(testing):
                prepare(testing)
            go_inside()
    except ImportError as error:
        stop(f"{NAME} could not make .venv: {error}", NO_VENV)
    except OSError as error:
        stop(f"{NAME} could not make .venv: {error}", remedy_for(str(error), "Mend that, then start again."))
    except KeyboardInterrupt:
        stop("Stopped before .venv was finished.", "The next start begins it again.", 130)
    find_project()
    from server.commands.cli import main

    main()


def find_project():
    """Have the modules of the project be found, here and by what is started from here, whatever Python was told."""
    os.environ.pop("PYTHONSAFEPATH", None)
    if sys.path[0] != ROOT:
        sys.path.insert(0, ROOT)


def all_is_here(testing):
    found = sys.version_info >= OLDEST_PYTHON and all(map(PathFinder.find_spec, packages(testing)))
    return found and not (is_inside() and stamp_fits(testing) is False)


def packages(testing):
    return PACKAGES + TEST_PACKAGES if testing else PACKAGES


def is_inside():
    return sys.executable == PYTHON or (os.path.exists(PYTHON) and os.path.samefile(sys.prefix, VENV))


def stamp_fits(testing):
    """True or False for a `.venv` that was made here, None for one that somebody else made."""
    stamp = read_stamp()
    return None if stamp is None else stamp.startswith(stamp_now(testing))


def read_stamp():
    try:
        with open(STAMP, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return None


def write_stamp(stamp):
    with open(STAMP, "w", encoding="utf-8") as file:
        file.write(stamp)


def stamp_now(testing):
    import zlib  # crc32 loads faster than a hash that withstands attackers, and here there are none

    if not (os.path.exists(PYTHON) and os.path.exists(os.path.join(VENV, "pyvenv.cfg"))):
        return "no Python of its own"
    with open(os.path.join(ROOT, "uv.lock"), "rb") as lock:
        made_from = zlib.crc32(lock.read())
    python = os.stat(PYTHON)
    groups = "run, test" if testing else "run"  # in this order: what is made for the tests fits a run as well
    return f"uv.lock {made_from}, Python {python.st_size} {python.st_mtime_ns}, for: {groups}"


def go_inside():
    command = [PYTHON, *sys.argv]
    if os.name != "nt":
        os.execv(PYTHON, command)
    import signal
    import subprocess

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server inside, whose exit code is handed on
    sys.exit(subprocess.call(command))


def prepare(testing):
    if is_right(testing):
        return
    if sys.version_info < OLDEST_PYTHON:
        found = "{} is Python {}.{}.{}".format(sys.executable, *sys.version_info)
        stop("{} needs Python {}.{} or newer; {}.".format(NAME, *OLDEST_PYTHON, found), TOO_OLD.format(*OLDEST_PYTHON))
    with open(__file__, "a", encoding="utf-8") as door:  # for writing, as network disks want it; nothing is written
        wait_for_turn(door)
        if not is_right(testing):
            make(testing, door)


def is_right(testing):
    return stamp_fits(testing) is not False and has(packages(testing))


def has(names):
    """True where the Python of `.venv` starts, is new enough, finds the packages, and is that of `.venv` indeed:
    without pyvenv.cfg the same file is the Python beneath, and what uv then installs would go to the whole machine.
    """
    look = f"""if True:
        import os, sys
        from importlib.machinery import PathFinder
        usable = sys.version_info >= {OLDEST_PYTHON} and os.path.samefile(sys.prefix, {VENV!r})
        sys.exit(0 if usable and all(map(PathFinder.find_spec, {names!r})) else 1)"""
    return starts([PYTHON, "-c", look])


def starts(command):
    import subprocess

    try:
        return subprocess.call(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def wait_for_turn(door):
    """Two starts at once would spoil each other's work. The lock ends with the last process that holds `door` open."""
    import time

    try:
        import fcntl
    except ImportError:  # Windows has no such lock
        return
    for turn in range(PATIENCE * 10):
        try:
            fcntl.flock(door, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if turn == 0:
                say("Another start is making .venv: waiting for it.")
            time.sleep(0.1)
        except OSError as error:
            stop(f"This disk has no locks for making .venv: {error}", "Make it with `uv sync`, then start again.")
    stop(f"Another start has been making .venv for {PATIENCE} seconds.", "End it, then start again.")


def make(testing, door):
    import shutil
    import subprocess

    before = read_stamp()
    testing = testing or "test" in (before or "")  # what is there stays, and is kept up to date
    anew = before == UNFINISHED or not has(())
    if anew:
        say("The packages are missing: making .venv from uv.lock, once. This can take a minute.")
        make_empty()
    else:
        say("Bringing .venv up to date with uv.lock.")
    write_stamp(UNFINISHED)
    try:
        install(testing, door)
    except subprocess.CalledProcessError as failure:
        remedy = remedy_for(failure.output, NO_VENV if "ensurepip" in failure.cmd else NO_NETWORK)
        if anew:
            shutil.rmtree(VENV, ignore_errors=True)
        elif remedy == NO_NETWORK:  # uv fetches everything before it changes anything
            write_stamp(before or "")
        said = [line[:160] for line in failure.output.splitlines() if line.strip()]
        stop("\n    ".join([NAME + " could not make .venv:", *said[-6:]]), remedy)
    if not has(packages(testing)):
        stop(NAME + "'s packages are missing from .venv although uv put them there.", "Start again: it is made anew.")
    write_stamp(stamp_now(testing))


def make_empty():
    import shutil
    import venv

    if os.path.lexists(VENV):
        shutil.rmtree(VENV)
    if os.pathsep in VENV and os.name != "nt":
        # The module `venv` makes none there, as no shell could have such a directory in PATH; here none has to.
        make_by_hand()
    else:
        venv.EnvBuilder(symlinks=os.name != "nt").create(VENV)


def make_by_hand():
    """What makes a directory an environment of its own (https://docs.python.org/3/library/site.html)."""
    base = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    os.makedirs(os.path.dirname(PYTHON))
    os.makedirs(os.path.join(VENV, "lib", "python{}.{}".format(*sys.version_info), "site-packages"))
    for name in ("python", "python3", "python{}.{}".format(*sys.version_info)):
        os.symlink(base if name == "python" else "python", os.path.join(os.path.dirname(PYTHON), name))
    with open(os.path.join(VENV, "pyvenv.cfg"), "w", encoding="utf-8") as file:
        lines = ["home = " + os.path.dirname(base), "include-system-site-packages = false"]
        file.write("\n".join([*lines, "version = {}.{}.{}".format(*sys.version_info), ""]))


def install(testing, door):
    uv = find_uv(door)
    groups = [] if testing else ["--no-dev"]
    # Inexact: what the person (or this door: uv itself) put there besides stays.
    run([*uv, "sync", "--project", ROOT, "--frozen", "--inexact", "--python", PYTHON, *groups], door)


def find_uv(door):
    for uv in (["uv"], [PYTHON, "-m", "uv"]):
        if version_of(uv) >= OLDEST_UV:
            return uv
    run([PYTHON, "-m", "ensurepip"], door)
    # No source is taken: to build it would fetch what no hash here knows.
    pinned = ["--require-hashes", "--only-binary", ":all:", "--requirement", UV_PINNED]
    run([PYTHON, "-m", "pip", "install", "--quiet", "--no-deps", *pinned], door)
    return [PYTHON, "-m", "uv"]


def version_of(uv):
    """The first two numbers of the version of a uv, none where it does not start or says something else."""
    import re
    import subprocess

    try:
        said = subprocess.run(
            [*uv, "--version"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8", errors="replace"
        )
    except OSError:
        return ()
    found = re.match(r"uv (\d+)\.(\d+)", said.stdout)
    return tuple(map(int, found.groups())) if found and said.returncode == 0 else ()


def run(command, door):
    import subprocess

    unwanted = ("VIRTUAL_ENV", "UV_NO_DEV")
    environment = {name: value for name, value in os.environ.items() if name not in unwanted}
    environment["UV_PROJECT_ENVIRONMENT"] = VENV
    subprocess.run(
        command,
        check=True,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        # So that the lock holds as long as any of this goes on, even where this process was killed.
        pass_fds=() if os.name == "nt" else (door.fileno(),),
    )


def remedy_for(words, otherwise):
    return next((remedy for sign, remedy in REMEDIES.items() if sign in words), otherwise)


def open_streams():
    """A stream that was closed leads nowhere: the next file that is opened would be taken for it."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it gets the lowest number that is free


def say(line):
    try:
        if sys.stderr is not None:
            print(line, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        sys.stderr = None  # nobody reads it; what Python still has to write there would change the exit code


def stop(what, remedy, code=1):
    say(f"{what}\n{remedy}")
    sys.exit(code)


if __name__ == "__main__":
    hand_over()
