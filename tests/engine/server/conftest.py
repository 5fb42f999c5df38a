"""What the tests of the engine share."""

import signal
from collections.abc import Iterator

import pytest

from tests.engine.project import Project
from tests.engine.reloading import MAIN, Checkout
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


@pytest.fixture
def hears_hangup() -> Iterator[None]:
    """What a test starts hears of a closed terminal, also where the tests themselves run under nohup."""
    before = signal.getsignal(signal.SIGHUP)
    if before == signal.SIG_IGN:
        # What is ignored stays so in a program that is started; what is handled does not.
        signal.signal(signal.SIGHUP, lambda *_: None)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A server that follows its code."""
    checkout = Checkout(tmp_path_factory.mktemp("running")).start()
    yield checkout
    if checkout.process.poll() is None:
        assert checkout.end() == 0
    checkout.end_anyhow()


@pytest.fixture
def source(running: Checkout) -> Iterator[str]:
    """The code that it starts with; it is back after the test."""
    source = running.path(MAIN).read_text(encoding="utf-8")
    yield source
    running.path(MAIN).write_text(source, encoding="utf-8")
    running.publish()
