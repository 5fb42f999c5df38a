"""The benchmark of fragments: served beside other frameworks, built from their rows, and the app loaded.

A peer that does not answer the same HTML ends it. Nothing is measured against a limit here: figures are for people.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.engine.bench import building, guarding, importing, report, serving

PARTS = ("serving", "guard", "building", "importing")


def main(arguments: Sequence[str]) -> None:
    """Measure what the command line asks for, and print the tables."""
    options = _options()
    chosen = options.parse_args(arguments)
    parts = chosen.parts.split(",")
    if not {*parts} <= {*PARTS}:
        options.error(f"--parts is some of {', '.join(PARTS)}, not “{chosen.parts}”.")
    rounds, seconds, repeats = (2, 0.5, 50) if chosen.quick else (chosen.rounds, chosen.seconds, 200)
    plan = serving.Plan(
        rounds, seconds, min(1.0, seconds), chosen.connections, tuple(chosen.only.split(",")) if chosen.only else ()
    )
    print(report.head("fragments", arguments))
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        if "serving" in parts:
            print("\n" + serving.measure(Path(directory), plan), flush=True)
        if "guard" in parts:
            print(
                "\n" + guarding.measure(Path(directory), replace(plan, rounds=rounds * 3, seconds=plan.seconds / 2)),
                flush=True,
            )
        if "building" in parts:
            print("\n" + building.measure(Path(directory), rounds * 2, repeats), flush=True)
        if "importing" in parts:
            print("\n" + importing.measure(Path(directory), rounds), flush=True)
    print(f"\nAt the end: {report.load()}")


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python -m tests.engine.bench fragments",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("--parts", default=",".join(PARTS), help="what to measure, comma between (%(default)s)")
    options.add_argument("--quick", action="store_true", help="two short rounds, to see that all works")
    options.add_argument("--rounds", type=int, default=5, help="how often each system is asked")
    options.add_argument("--seconds", type=float, default=2.0, help="for how long each time")
    options.add_argument("--connections", type=int, default=32, help="how many clients ask at once")
    options.add_argument("--only", default="", help="systems whose names hold one of these words, comma between")
    return options
