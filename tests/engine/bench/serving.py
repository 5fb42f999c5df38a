"""Requests per second, side by side: all systems run, one is asked at a time, in an order shuffled per round."""

import json
import random
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from statistics import median
from typing import Any

from server.app_name import PREFIX
from tests.engine.bench import data, dom, report, systems
from tests.engine.bench.systems import LIMIT, Answer, Running

# In a closed loop a server fills its core. Where it got less, others had it: that round says nothing and is run again.
WHOLE_CORE = 0.93
ATTEMPTS = 3


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rounds: int = 5
    seconds: float = 2.0
    warm_up: float = 1.0
    connections: int = 32
    # Only systems whose name holds one of these; all where there is none.
    only: tuple[str, ...] = ()


class Client:
    """The load client's process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def load(self, server: Running, answer: Answer, seconds: float, connections: int) -> dict[str, Any]:
        """Ask a server for some seconds; what came of it. Raises RuntimeError for a wrong answer."""
        job = {
            "port": server.port,
            "request": server.request(),
            "status": server.system.status,
            "length": len(answer.body),
            "hash": blake2b(answer.body).hexdigest(),
            "seconds": seconds,
            "connections": connections,
        }
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        before = server.processor_seconds()
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        result: dict[str, Any] = json.loads(self.process.stdout.readline() or '{"error": "the client has ended"}')
        if "error" in result:
            raise RuntimeError(f"{server.system.name}: {result['error']}")
        used = server.processor_seconds() - before
        return result | {"server": used / result["elapsed"], "cost": used / result["answers"] * 1e6}


@contextmanager
def load_client(core: int | None) -> Iterator[Client]:
    """Start the load client, end it afterwards."""
    with systems.asking("tests.engine.bench.client", core) as process:
        yield Client(process)


@contextmanager
def started(directory: Path, only: Sequence[str] = ()) -> Iterator[list[tuple[Running, Answer]]]:
    """Start all systems on one file, or those whose name holds a word of `only`, with the answer of each.

    Raises Different where one does not answer the same HTML as this app.
    """
    database = data.make(directory / "data")
    core, _ = systems.cores()
    body, headers = directory / "body.html", directory / "headers.json"
    environment = {f"{PREFIX}DATA": str(database.parent), "BENCH_DATABASE": str(database), "BENCH_BODY": str(body)}
    with ExitStack() as stack:
        with systems.running(systems.cached(database.parent), environment, core) as server:
            model = server.wait()
        body.write_bytes(model.body)
        systems.write_headers(model, headers)
        chosen = [
            system
            for system in systems.all_systems(database.parent, headers, dict(model.headers)["etag"])
            if not only or any(word in system.name for word in only)
        ]
        # They load side by side; only then is any of them waited for.
        servers = [stack.enter_context(systems.running(system, environment, core)) for system in chosen]
        answers = [server.wait() for server in servers]
        for server, answer in zip(servers, answers, strict=True):
            if server.system.status == 200:
                dom.assert_same(server.system.name, model.body.decode(), answer.body.decode())
        yield list(zip(servers, answers, strict=True))


def measure(directory: Path, plan: Plan) -> str:
    """Run the rounds; the table."""
    with (
        started(directory, (LIMIT, *plan.only) if plan.only else ()) as running,
        load_client(systems.cores()[1]) as client,
    ):
        sizes = [len(answer.body) for server, answer in running if server.system.status == 200]
        for server, answer in running:
            client.load(server, answer, plan.warm_up, plan.connections)
        results: dict[str, list[dict[str, Any]]] = {server.system.name: [] for server, _ in running}
        for number in range(plan.rounds):
            report.say(f"serving, round {number + 1} of {plan.rounds}, {report.load()}")
            for server, answer in random.sample(running, len(running)):
                results[server.system.name].append(undisturbed(client, server, answer, plan))
        memory = {server.system.name: server.megabytes() for server, _ in running}
    lines = [*_described(plan, sizes), "", _table(results, memory), *_disturbed(results), *_reconnected(results)]
    return "\n".join(lines)


def undisturbed(client: Client, server: Running, answer: Answer, plan: Plan) -> dict[str, Any]:
    """A round in which the server had its core to itself; after ATTEMPTS the one in which it had most of it."""
    attempts: list[dict[str, Any]] = []
    while len(attempts) < ATTEMPTS and not any(attempt["server"] > WHOLE_CORE for attempt in attempts):
        attempts.append(client.load(server, answer, plan.seconds, plan.connections))
    return max(attempts, key=lambda attempt: attempt["server"]) | {"attempts": len(attempts)}


def _described(plan: Plan, sizes: Sequence[int]) -> list[str]:
    core, client_core = systems.cores()
    pinned = f"server on core {core}, client on core {client_core}" if core is not None else "not pinned to cores"
    return [
        f"Serving: GET /tasks with HX-Request, 20 of {data.TASKS:,} tasks, {min(sizes):,} to {max(sizes):,} bytes, the "
        "same DOM from all (checked)",
        f"One worker each, loopback, {plan.connections} keep-alive connections in a closed loop; {pinned}; "
        f"{plan.rounds} shuffled rounds of {plan.seconds:g} s; medians, least–most",
        "CPU µs: processor time of the server per answer, which other work on the machine hardly changes; "
        "server, client: share of a core that each used",
    ]


def _disturbed(results: dict[str, list[dict[str, Any]]]) -> list[str]:
    """How busy others kept the machine."""
    rounds = [result for each in results.values() for result in each]
    again = sum(result["attempts"] - 1 for result in rounds)
    doubtful = sum(result["server"] <= WHOLE_CORE for result in rounds)
    if not again:
        return []
    return [
        f"Others used the machine: {again} of {len(rounds) + again} runs were repeated, as the server had less than "
        f"{WHOLE_CORE:.0%} of its core; {doubtful} of the {len(rounds)} that count still had less."
    ]


def _reconnected(results: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Which systems closed connections that the client would have kept."""
    counts = {name: sum(result["reconnects"] for result in rounds) for name, rounds in results.items()}
    return [f"{name.strip()}: closed {count:,} connections after an answer" for name, count in counts.items() if count]


def _table(results: dict[str, list[dict[str, Any]]], memory: dict[str, float]) -> str:
    rates = {name: [result["rate"] for result in rounds] for name, rounds in results.items()}
    heads = ("", "requests/s", "least–most", "of limit", "p50 ms", "p99 ms", "CPU µs", "RSS MB", "server", "client")
    rows = []
    for name, rounds in results.items():
        middle = {key: median(result[key] for result in rounds) for key in rounds[0]}
        # Each round by itself, as the machine may be slower in one than in another.
        ratio = median(rate / limit for rate, limit in zip(rates[name], rates[LIMIT], strict=True))
        rows.append(
            (
                name,
                f"{middle['rate']:,.0f}",
                report.spread(rates[name], ",.0f"),
                f"{ratio:.3f}",
                f"{middle['p50']:.2f}",
                f"{middle['p99']:.2f}",
                f"{middle['cost']:,.0f}",
                f"{memory[name]:.0f}",
                f"{middle['server']:.0%}",
                f"{middle['client']:.0%}",
            )
        )
    return report.table(heads, rows)
