"""Runs the engine's tests on their subject: `python3 server.py test --engine [options of pytest]`."""

import subprocess
import sys

from server.commands.project_edits import EditError
from tests.engine.subject import ROOT, subject


def main(options: list[str]) -> int:
    """The exit code of pytest."""
    try:
        with subject() as root:
            if root != ROOT:
                print("The engine's tests run on a copy without your features.", flush=True)
            # What stands after testpaths is run where the options name no test.
            command = [sys.executable, "-m", "pytest", "-o", "testpaths=tests/engine", *options]
            return subprocess.call(command, cwd=root)
    except EditError as error:
        print(f"server.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
