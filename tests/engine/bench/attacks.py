"""The benchmark of attacks: what another person notices while the server is attacked, and how much memory it takes.

That person asks for a kept fragment and for a new one every 20 ms each, in the moment before the attack and during it.
An answer counts from when it was to be asked for, so that a server that stands still is not asked less. The server is a
new one each time, on a core of its own; attackers and the other person share the other one.
"""

import argparse
import contextlib
import http.client
import json
import shutil
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple
from urllib.parse import urlsplit

import psutil

from server.sharing.sign_in_token import read
from tests.engine.bench import data, report, systems
from tests.engine.bench.attacking import ATTACKS, Attack
from tests.engine.conftest import Server

PACKAGES = ("uvicorn", "uvloop", "httptools", "starlette", "python-fasthtml")
EVERY_SECONDS = 0.02
PATIENCE_SECONDS = 30
# How long an index of all the rows may take.
INDEX_SECONDS = 120
# The aims: what another person's fragment may take, in ms, and what the server may hold over idle, in MB.
MOST_MS, MOST_MB = 200, 200
NOTHING = "nothing"


class Plan(NamedTuple):
    """How much is measured."""

    rounds: int = 3
    seconds: float = 6
    calm_seconds: float = 2
    names: tuple[str, ...] = tuple(ATTACKS)
    # How many rows the searches go through.
    many: int = 100_000
    large_megabytes: int = 20


QUICK = Plan(rounds=1, seconds=2, calm_seconds=1)


class Seen(NamedTuple):
    """What one round saw: the other person's times in ms, the most memory over idle in MB, how many of that person's
    requests failed, and how often the attackers have done what they do."""

    calm: dict[str, list[float]]
    attacked: dict[str, list[float]]
    megabytes: float
    failed: int
    done: int


def main(arguments: Sequence[str]) -> None:
    """Measure, and print the table."""
    options = _options()
    chosen = options.parse_args(arguments)
    plan = QUICK if chosen.quick else Plan(rounds=chosen.rounds)
    if chosen.only:
        plan = plan._replace(names=tuple(name for name in ATTACKS if name in chosen.only.split(",")))
    print(report.head("attacks", arguments, PACKAGES))
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        print("\n" + measure(Path(directory), plan), flush=True)
    print(f"\nAt the end: {report.load()}")


def measure(directory: Path, plan: Plan) -> str:
    """Every attack in each round; the table."""
    rooms = make(directory, plan)
    results: dict[str, list[Seen]] = {name: [] for name in plan.names}
    for number in range(plan.rounds):
        for name in plan.names:
            report.say(f"attacks, round {number + 1} of {plan.rounds}: {name}, {report.load()}")
            results[name].append(_attacked(name, ATTACKS[name], rooms, directory / f"{name}-{number}", plan))
    return _table(results, plan)


def make(directory: Path, plan: Plan) -> dict[str, Path]:
    """The data: tasks as the other benches have them; many rows with the same words; large ones."""
    tasks = data.make(directory / "tasks").parent
    rooms = {"tasks": tasks, **{name: directory / name for name in ("many", "large")}}
    notes = " ".join(f"wo{letter}" for letter in ["", *"rdsabc"])
    added = {
        "many": [(f"Word {number}", notes) for number in range(plan.many)],
        "large": [(f"Large {number}", "x" * 100_000) for number in range(10 * plan.large_megabytes)],
    }
    for name, rows in added.items():
        shutil.copytree(tasks, rooms[name])
        with contextlib.closing(sqlite3.connect(rooms[name] / "app.db")) as connection:
            connection.executemany("INSERT INTO tasks (title, notes) VALUES (?, ?)", rows)
            connection.commit()
        _index(rooms[name])
    return rooms


def _index(data: Path) -> None:
    """Have the app make its index of what was added, which is work of its own and not that of an attack."""
    server = Server(data)
    try:
        with contextlib.closing(sqlite3.connect(data / "app.db", timeout=PATIENCE_SECONDS)) as connection:
            end = time.monotonic() + INDEX_SECONDS
            while connection.execute("SELECT 1 FROM unindexed").fetchone():
                if time.monotonic() > end:
                    raise RuntimeError(f"The index was not made within {INDEX_SECONDS} s.")
                time.sleep(0.2)
    finally:
        server.stop()


def _attacked(name: str, attack: Attack, rooms: dict[str, Path], data: Path, plan: Plan) -> Seen:
    """One round of an attack, on a new server."""
    shutil.copytree(rooms[attack.data], data)
    server = Server(data, *attack.options)
    core, other = systems.cores()
    try:
        systems.pin(server.process.pid, core)
        person = Person(server, attack)
        person.ask(0.5)
        calm = person.ask(plan.calm_seconds)
        site = {"port": person.address.port, "tls": person.address.scheme == "https", "headers": {}}
        with (
            _beside("holding", str(server.process.pid), "", other) as memory,
            _beside("attacking", name, json.dumps(site), other) as attackers,
        ):
            attacked = person.ask(plan.seconds)
            done, megabytes = int(_last_word(attackers)), float(_last_word(memory))
        return Seen(calm, attacked, megabytes, person.failed, done)
    finally:
        for process in [*psutil.Process(server.process.pid).children(recursive=True), server.process]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        server.process.wait()
        assert server.process.stdout is not None
        server.process.stdout.close()
        shutil.rmtree(data, ignore_errors=True)


class Person:
    """Another person, who may come in, and asks for a list again and again."""

    def __init__(self, server: Server, attack: Attack) -> None:
        self.address = urlsplit(server.url)
        self.headers = {"Host": "localhost", "HX-Request": "true"}
        if "--proxy-headers" in attack.options:
            self.headers["X-Forwarded-For"] = "192.0.2.1"
            self.headers["Cookie"] = self._sign_in(read(server.data))
        self.number = 0
        # Answers that were none: refused, thrown out, not answered in time.
        self.failed = 0

    def connect(self) -> http.client.HTTPConnection:
        """A connection of its own."""
        if self.address.scheme == "http":
            return http.client.HTTPConnection("127.0.0.1", self.address.port, timeout=PATIENCE_SECONDS)
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection("127.0.0.1", self.address.port, timeout=PATIENCE_SECONDS, context=context)

    def ask(self, seconds: float) -> dict[str, list[float]]:
        """Ask for so long, for a kept fragment and a new one; the times of each in ms."""
        times: dict[str, list[float]] = {"kept": [], "new": []}
        asking = [threading.Thread(target=self._ask, args=(kind, seconds, times[kind])) for kind in times]
        for each in asking:
            each.start()
        for each in asking:
            each.join()
        return times

    def _ask(self, kind: str, seconds: float, times: list[float]) -> None:
        connection = self.connect()
        due = time.monotonic()
        end = due + seconds
        while due < end:
            time.sleep(max(0, due - time.monotonic()))
            self.number += 1
            address = "/tasks" if kind == "kept" else f"/tasks?x={self.number}"
            try:
                connection.request("GET", address, headers=self.headers)
                answer = connection.getresponse()
                answer.read()
                self.failed += answer.status != 200
            except (OSError, http.client.HTTPException):
                # It counts for as long as it took, and is tried again.
                self.failed += 1
                connection.close()
                connection = self.connect()
            times.append((time.monotonic() - due) * 1000)
            due += EVERY_SECONDS
            # What was missed while one answer was waited for would have waited as well.
            while due < min(end, time.monotonic()) - EVERY_SECONDS:
                times.append((time.monotonic() - due) * 1000)
                due += EVERY_SECONDS
        connection.close()

    def _sign_in(self, token: str) -> str:
        connection = self.connect()
        headers = {**self.headers, "Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", "/sign-in", f"token={token}&next=/tasks", headers)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        assert answer.status == 303, answer.status
        return (answer.getheader("set-cookie") or "").partition(";")[0]


@contextlib.contextmanager
def _beside(module: str, argument: str, first: str, core: int | None) -> Iterator["subprocess.Popen[str]"]:
    """A process of a bench that is told something first, and works until its input ends."""
    command = [sys.executable, "-m", f"tests.engine.bench.{module}", argument]
    with subprocess.Popen(
        command,
        cwd=systems.ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
    ) as process:
        try:
            systems.pin(process.pid, core)
            assert process.stdin is not None
            assert process.stdout is not None
            print(first, file=process.stdin, flush=True)
            assert process.stdout.readline() == "begun\n"
            yield process
        finally:
            process.kill()


def _last_word(process: "subprocess.Popen[str]") -> str:
    """What it says at its end."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    return process.stdout.read().split()[-1]


def _table(results: dict[str, list[Seen]], plan: Plan) -> str:
    rows = [
        (
            ATTACKS[name].words,
            *_times([each.attacked for each in seen]),
            f"{median(each.megabytes for each in seen):.0f}",
            f"{sum(each.failed for each in seen)}",
            f"{median(each.done for each in seen):,.0f}",
        )
        for name, seen in results.items()
    ]
    calm = [each.calm for seen in results.values() for each in seen]
    heads = ("", "kept p50", "p99", "max", "new p50", "p99", "max", "MB", "failed", "done")
    over = [row[0] for row in rows if max(float(row[2]), float(row[5])) > MOST_MS or float(row[7]) > MOST_MB]
    return "\n".join(
        (
            f"Another person's fragments in ms, one kept and one new every {EVERY_SECONDS * 1000:.0f} ms, while the "
            f"server is attacked for {plan.seconds:g} s; most memory over idle in MB; how many of that person's "
            "requests failed in all, and how often the attackers have done what they do.",
            f"Medians of {plan.rounds} rounds. {NOTHING.capitalize()}: before each attack, {plan.calm_seconds:g} s.",
            "",
            report.table(heads, [(NOTHING, *_times(calm), "", "", ""), *rows]),
            "",
            f"Over {MOST_MS} ms (p99) or {MOST_MB} MB, or somebody else refused: {', '.join(over) or 'none'}.",
        )
    )


def _times(rounds: list[dict[str, list[float]]]) -> tuple[str, ...]:
    """Median of the rounds: middle, 99th of a hundred and slowest of each kind."""
    found = []
    for kind in ("kept", "new"):
        ordered = [sorted(each[kind]) for each in rounds]
        for pick in (lambda times: times[len(times) // 2], lambda times: times[len(times) * 99 // 100], max):
            figure = median(pick(times) for times in ordered)
            found.append(f"{figure:.0f}" if figure >= 10 else f"{figure:.1f}")
    return tuple(found)


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python -m tests.engine.bench attacks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("--quick", action="store_true", help="one short round, to see that all works")
    options.add_argument("--rounds", type=int, default=Plan().rounds, help="how often each is measured (%(default)s)")
    options.add_argument("--only", default="", help=f"some of {', '.join(ATTACKS)}; comma between")
    return options
