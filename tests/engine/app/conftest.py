"""What the tests of the app share: a file as our migrations make it, for those that want one of their own."""

from pathlib import Path

import pytest

from app.database.preparation import prepare
from app.migrations import migrations


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory whose tables are empty, to be copied: to make one takes ten times as long."""
    return prepare(tmp_path_factory.mktemp("made") / "data", migrations).parent
