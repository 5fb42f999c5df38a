"""The reload benchmark as a whole, as short as can be: this app alone, each kind of edit once."""

import importlib.util
import shutil
from pathlib import Path

import pytest

from tests.engine.chromium import BROWSERS

if importlib.util.find_spec("playwright") is None or not any(map(shutil.which, BROWSERS)):
    pytest.skip("no Chromium on this machine, or no playwright to drive it", allow_module_level=True)

from tests.engine.bench import reload
from tests.engine.bench.reloaders import OURS


@pytest.mark.slow
def test_every_kind_of_edit_is_seen_by_client_page_and_crowd(tmp_path: Path) -> None:
    times, crowds = reload.measure(tmp_path, reload.Plan(edits=1, names=(OURS,))).split("\n\n")[1::2]
    rows = times.splitlines()[2:]
    assert [row.partition(":")[0] for row in rows] == [*reload.KINDS, reload.CROWDED]
    # Each was painted: its last figure compares it with itself.
    assert {row.split()[-1] for row in rows} == {"1.0"}
    assert OURS in crowds.splitlines()[2]
