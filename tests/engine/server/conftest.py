"""What the tests of the engine share."""

import pytest

from tests.engine.project import Project
from tests.engine.watching import app, hub

__all__ = ["app", "hub"]  # fixtures


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A clone of the project."""
    return Project(tmp_path_factory.mktemp("clone") / "project")


@pytest.fixture
def project(clone: Project) -> Project:
    """That clone, with nothing to commit."""
    clone.begin_anew()
    return clone
