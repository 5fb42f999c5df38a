"""The benchmarks: `uv run --group bench python -m tests.engine.bench NAME`, each a module here with a `main`."""

import importlib
import signal
import sys

BENCHES = {
    "fragments": "the list of tasks: served beside other frameworks, and built from its rows",
    "clone": "from git clone to a feature of one's own on the open page, with two commands",
    "live": "a commit on its way to the open pages, beside the documented broadcast and Socket.IO",
    "search": "pages of lists and searches over many rows, and how long the event loop waits for them",
    "attacks": "another person's fragments, and memory, while the server is attacked",
    "reload": "a saved edit on its way to the open page, beside uvicorn --reload and uvicorn-hmr",
}


def main() -> None:
    """Run the benchmark that the command line names; list them where it names none."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in BENCHES:
        print("uv run --group bench python -m tests.engine.bench NAME [options]; --help after NAME lists its options\n")
        print("\n".join(f"  {each:<12}{what}" for each, what in BENCHES.items()))
        sys.exit(0 if name in ("", "-h", "--help") else 2)
    # What a bench has started ends with it, also when it is told to stop.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    importlib.import_module(f"tests.engine.bench.{name}").main(sys.argv[2:])


if __name__ == "__main__":
    main()
