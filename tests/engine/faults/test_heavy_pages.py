"""Pages that cost much: whoever asks for them, others get their fragments meanwhile, and little memory is taken.

What is measured here is coarse, as the machine may have much else to do.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.engine.conftest import PLAIN, Server
from tests.engine.watching import watching

MEGABYTE = 1024 * 1024
WORDS = "wo world wool wonder work wolf won wob alpha beta gamma delta"
SEARCHES = [
    "/tasks?q=" + "+".join(["wo"] * 330),
    "/tasks?q=w+a+b+g+d",
    "/tasks?q=wor+woo+won+wol+al+be+ga+de&sort=title&page=3",
    "/tasks?q=" + ".".join(["wo"] * 60),
    "/tasks?q=" + "+".join(map(chr, range(0x1F300, 0x1F310))),
    "/tasks?sort=title&page=1000",
    "/tasks?q=w&page=49999",
]
HEAVY = {
    "references": f"[a]: /{'x' * 65_000}\n\n" + "[a]" * 25_000,
    "brackets": "[" * 1_000_000,
    "prose": "some *words* of [prose](/x). " * 6000,
}


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    """A server for nothing but this."""
    server = Server(tmp_path / "data")
    yield server
    assert server.stop() == 0
    log = server.log.read_text(encoding="utf-8")
    assert "Traceback" not in log, log


def memory(server: Server) -> int:
    """What the server and the processes that it has started hold, in bytes."""
    process = psutil.Process(server.process.pid)
    return sum(each.memory_info().rss for each in (process, *process.children(recursive=True)) if each.is_running())


def others_are_served(server: Server, attack: Callable[[threading.Event], None], seconds: float, clients: int) -> None:
    """Let `clients` attack for a while; what another person asks for comes soon, and memory stays within bounds."""
    before, most, waits = memory(server), 0, []
    ends = threading.Event()
    with ThreadPoolExecutor(clients) as attackers, httpx.Client(base_url=server.url, **PLAIN) as client:
        attacks = [attackers.submit(attack, ends) for _ in range(clients)]
        try:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                begin = time.monotonic()
                answer = client.get(f"/tasks?page={len(waits) % 5 + 1}", headers={"HX-Request": "true"})
                waits.append(time.monotonic() - begin)
                assert answer.status_code == 200
                most = max(most, memory(server))
                time.sleep(0.02)
        finally:
            ends.set()
        for each in attacks:
            each.result()
    assert len(waits) > 5
    assert sorted(waits)[int(len(waits) * 0.99)] < 2, "0.2 s where nothing else runs"
    assert most - before < 200 * MEGABYTE


@pytest.mark.parametrize("rows", [5_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_searches_and_deep_pages_keep_nobody_waiting(own: Server, rows: int) -> None:
    own.sql(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
        "INSERT INTO tasks (title, notes, done) SELECT 'word ' || i || ' wonder', ?, i % 2 FROM n",
        [rows, WORDS],
    )
    own.sql("UPDATE tasks SET notes = notes || id")

    def attack(ends: threading.Event) -> None:
        with httpx.Client(base_url=own.url, **PLAIN) as client:
            while not ends.is_set():
                for address in SEARCHES:
                    answer = client.get(f"{address}&x={time.monotonic_ns()}")
                    assert answer.status_code in (200, 503), answer.text
                    if answer.status_code == 503:
                        assert "Use more or longer words" in answer.text or "Try again" in answer.text

    others_are_served(own, attack, 1 if rows < 100_000 else 20, 6)


@pytest.mark.parametrize(
    "kind", ["references", *(pytest.param(kind, marks=pytest.mark.slow) for kind in HEAVY if kind != "references")]
)
def test_heavy_texts_on_many_open_pages_keep_nobody_waiting(own: Server, kind: str) -> None:
    for number in range(64):
        own.sql("INSERT INTO tasks (title, notes) VALUES (?, ?)", [f"Task {number}", f"{HEAVY[kind]} {number}"])

    def attack(ends: threading.Event) -> None:
        tab = threading.get_ident()
        entries = [(f"x{tab}-{number}", f"/tasks/{number}?tab={tab}", None) for number in range(1, 65)]
        with ExitStack() as stack:
            page = stack.enter_context(connect(f"ws{own.url.removeprefix('http')}/live", max_size=None))
            page.send(watching(*entries))
            while not ends.is_set():
                try:
                    page.recv(timeout=0.2)
                except TimeoutError:
                    continue
                except ConnectionClosed:
                    return

    others_are_served(own, attack, 1.5 if kind == "references" else 6, 6)
