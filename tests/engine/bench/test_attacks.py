"""The benchmark of attacks as a whole, as short as can be: each is a row of the table."""

import importlib.util
from pathlib import Path

import pytest

from tests.engine.bench import attacks
from tests.engine.bench.attacking import ATTACKS

SHORTEST = attacks.QUICK._replace(seconds=0.5, calm_seconds=0.2, many=1000, large_megabytes=1)


@pytest.mark.slow
def test_every_attack_is_measured(tmp_path: Path) -> None:
    names = [name for name, attack in ATTACKS.items() if "--http2" not in attack.options]
    if importlib.util.find_spec("zttp"):
        names = list(ATTACKS)
    table = attacks.measure(tmp_path, SHORTEST._replace(names=tuple(names)))
    rows = table.split("\n\n")[1].splitlines()[2:]
    assert [row[: len(ATTACKS[name].words)] for row, name in zip(rows[1:], names, strict=True)] == [
        ATTACKS[name].words for name in names
    ]
