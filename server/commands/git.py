"""What git knows of the project: whether everything that a command is about to write over can be had again.

A check that could not be made is not passed: whatever keeps git from answering stops the command.
"""

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from server.commands.project_edits import EditError

# How long git may take, in seconds.
PATIENCE = 30
NO_GIT = "There is no git here to go back with."
# What tells git of another repository than the one around the project, as in a hook.
OF_ANOTHER = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE")
# Each file under its own name, as of this moment.
OPTIONS = ("--literal-pathspecs", "-c", "core.fsmonitor=false", "-c", "status.renames=false")
# In English, without a question to anybody, and without writing anything.
SPOKEN = {"LC_ALL": "C", "LANGUAGE": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
TRACKED = "H"
NOT_A_REPOSITORY = "not a git repository"
# What git says, and what mends it.
REMEDIES = {
    "dubious ownership": "The project belongs to another account. Where you trust what is in it, say so with `git "
    "config --global --add safe.directory {root}`; or run the command as that account",
    NOT_A_REPOSITORY: "Mend what `git status` says, or, to begin anew, delete .git and run `git init`, `git add -A` "
    "and `git commit`",
    "index file": "`rm .git/index` and `git reset` make git's index anew, and leave the files alone",
    "must be run in a work tree": "Run it in a clone of this repository, which has files to edit",
}


def check_committed(root: Path, files: Mapping[Path, str | None]) -> str:
    """Raises EditError where a file of the project is not as it was committed, or where that cannot be told.

    `files` are about to be written over; those that are None are about to go, for which there has to be a repository.
    Gives a word where there is none, else nothing.
    """
    if not _is_repository(root):
        if None in files.values():
            raise EditError(
                "There is no git repository here, so what this command deletes could not be had again. Nothing was "
                "changed. Make one first: git init && git add -A && git commit -m 'As it was'"
            )
        return NO_GIT
    lock = root / os.fsdecode(_ask(root, "rev-parse", "--git-path", "index.lock")).removesuffix("\n")
    if os.path.lexists(lock):
        raise EditError(
            f"Another git is at work here: there is {lock}. Nothing was changed. Try again when it has ended; where "
            "none runs, it was interrupted: delete that file."
        )
    there = [path for path in files if os.path.lexists(path)]
    changed = [*_changed(root), *_unknown(root, there)]
    if changed:
        named = list(dict.fromkeys(changed))
        more = f" and {len(named) - 3} more" if len(named) > 3 else ""
        raise EditError(
            f"There are edits that are not committed ({', '.join(named[:3])}{more}). Nothing was changed. "
            "Commit them first, with `git add -A` and `git commit`, to tell them from what this command writes."
        )
    return ""


def _is_repository(root: Path) -> bool:
    """Whether git has the project; raises EditError where it should have, and does not say so."""
    if os.path.lexists(root / ".git"):
        return True
    if not any(os.path.lexists(each / ".git") for each in root.parents):
        return False
    # One of a directory above, unless another disk begins in between.
    asked = _run(root, "rev-parse", "--git-dir")
    return asked.returncode == 0 or NOT_A_REPOSITORY not in os.fsdecode(asked.stderr)


def _changed(root: Path) -> list[str]:
    """The files of the project that git knows, and that are not as they were committed."""
    said = _ask(root, "status", "--porcelain", "--untracked-files=no", "-z", "--", ".")
    prefix = os.fsdecode(_ask(root, "rev-parse", "--show-prefix")).removesuffix("\n")
    return [line[3:].removeprefix(prefix) for line in _lines(said)]


def _unknown(root: Path, files: Sequence[Path]) -> list[str]:
    """Those of these files that git would not notice an edit of: it does not know them, or was told to look away."""
    names = [str(path.relative_to(root)) for path in files]
    if not names:
        return []
    tracked = {line[2:] for line in _lines(_ask(root, "ls-files", "-v", "-z", "--", *names)) if line[0] == TRACKED}
    return [name for name in names if name.replace(os.sep, "/") not in tracked]


def _lines(said: bytes) -> list[str]:
    return [os.fsdecode(line) for line in said.split(b"\0") if line]


def _ask(root: Path, *command: str) -> bytes:
    """What git says. Raises EditError where it fails."""
    asked = _run(root, *command)
    if asked.returncode == 0:
        return asked.stdout
    said = os.fsdecode(asked.stderr).strip().splitlines() or [f"exit code {asked.returncode}"]
    why = next((line for line in said if line.startswith(("fatal:", "error:"))), said[0])
    remedy = next((remedy for sign, remedy in REMEDIES.items() if sign in why), "Mend what `git status` says")
    raise _unanswered(f"it says “{why}”", remedy.format(root=shlex.quote(str(root))))


def _run(root: Path, *command: str) -> subprocess.CompletedProcess[bytes]:
    """What came of a command of git. Raises EditError where it did not come to its end."""
    environment = {name: value for name, value in os.environ.items() if name not in OF_ANOTHER}
    try:
        return subprocess.run(
            ["git", *OPTIONS, *command],
            cwd=root,
            env=environment | SPOKEN,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired:
        raise _unanswered(f"it has not answered for {PATIENCE} seconds", "See what holds `git status` up") from None
    except FileNotFoundError:
        raise _unanswered("it is not installed", "Install it") from None
    except OSError as error:
        raise _unanswered(f"it does not start ({error.strerror})", "Mend that") from None


def _unanswered(why: str, remedy: str) -> EditError:
    return EditError(
        f"Git cannot say whether there are edits that are not committed: {why}. Nothing was changed. {remedy}; then "
        "try again."
    )
