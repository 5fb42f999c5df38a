"""The live benchmark as a whole, as short as can be: every system carries changes, and every table has its rows."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

NEEDED = ("psutil", "socketio")
missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
if missing:
    pytest.skip(f"uv sync --group bench brings {', '.join(missing)}", allow_module_level=True)

from tests.engine.bench import live  # noqa: E402 (it needs what is looked for above)
from tests.engine.bench.broadcasts import NAMES, OURS  # noqa: E402

SHORTEST = replace(
    live.QUICK, commits=2, pages=(1, 3), distinct=(3, 2), counted=3, writes=5, readers=2, idle_seconds=0.1
)


@pytest.mark.slow
def test_a_change_reaches_the_pages_of_every_system(tmp_path: Path) -> None:
    tables = live.measure(tmp_path, SHORTEST)
    latencies, costs, idle, stalled = (each.splitlines() for each in tables.split("\n\n")[1::2])
    assert [line[:25].strip() for line in latencies[2:]].count(OURS) == 6
    assert {line[:25].strip() for line in costs[2:]} == {*NAMES}
    assert len(idle[2:]) == 2
    assert [line.split()[-1] for line in stalled[2:]] == ["all"] * 4
