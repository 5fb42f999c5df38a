"""How much memory a process and all that it has started hold, watched from a process of its own:
`python -m tests.engine.bench.holding PID`. It says a line when it begins, and the most of it in MB when its input ends.

To look at every process of a machine takes Python some 20 ms, in which nobody else's time can be taken.
"""

import contextlib
import os
import sys
import threading

import psutil

EVERY_SECONDS = 0.1


def held(root: psutil.Process) -> float:
    """What they hold now, in MB."""
    total = 0
    for process in [root, *root.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total / 1e6


def main() -> None:
    """Watch until the input ends."""
    os.nice(10)
    root = psutil.Process(int(sys.argv[1]))
    most = idle = held(root)
    ended = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    print("begun", flush=True)
    while not ended.wait(EVERY_SECONDS):
        most = max(most, held(root))
    print(most - idle, flush=True)


if __name__ == "__main__":
    main()
